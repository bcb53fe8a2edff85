/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/mesh_secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/mesh_secrets_priv.h"

/* Somebody who renews certificates writes several files, one after the other. */
#define SETTLE_MS 50
#define LINE_BYTES 1100

struct dm_secrets {
    struct dm_secrets_options options;
    struct secret_reading now;
    char trouble[4500]; /* of the folder as a whole, when it was read last; empty: none */
    uv_fs_event_t watch;
    uv_timer_t settle;
    int open_handles;
};

/* ---- what is said of it ---- */

static void say(const struct dm_secrets *s, const char *line)
{
    s->options.log(s->options.ctx, line);
}

static void print_refused(const struct secret_item *item, char *out, size_t size)
{
    snprintf(out, size, "%.*s; %s", MP_STR_ARG(item->why),
             item->text.len > 0 ? "what was there before is served on"
                                : "nothing is served for it");
}

/* What is served is out of date: who notices, and how? */
static bool print_out_of_date(const struct secret_item *item, int64_t now_s, char *out,
                              size_t size)
{
    static const struct {
        const char *what, *so;
    } kinds[] = {
        [SECRET_TRUST] = {"the authority", "proxies let nobody in by it"},
        [SECRET_REVOKED] = {"the list of", "proxies let in nobody of that authority"},
        [SECRET_PAIR] = {"the certificate", "it is served, and who verifies it refuses it"},
    };
    char why[300];
    if (item->text.len == 0) return false;
    if (!mp_pem_out_of_date(&item->dates, now_s, kinds[item->kind].what, why, sizeof why))
        return false;
    snprintf(out, size, "%.*s: %s: %s", MP_STR_ARG(item->name), why, kinds[item->kind].so);
    return true;
}

void dm_secrets_look(struct dm_secrets *s, int64_t now_s)
{
    char line[LINE_BYTES];
    for (size_t i = 0; i < s->now.count; i++) {
        struct secret_item *item = &s->now.items[i];
        bool out_of_date = print_out_of_date(item, now_s, line, sizeof line);
        if (out_of_date && !item->told) say(s, line);
        item->told = out_of_date;
    }
}

void dm_secrets_tell(const struct dm_secrets *s, int64_t now_s, dm_secrets_line_fn each, void *ctx)
{
    char line[LINE_BYTES];
    if (s->trouble[0] != '\0') each(ctx, s->trouble);
    for (size_t i = 0; i < s->now.count; i++) {
        const struct secret_item *item = &s->now.items[i];
        if (item->why.len > 0) {
            print_refused(item, line, sizeof line);
            each(ctx, line);
        }
        if (print_out_of_date(item, now_s, line, sizeof line)) each(ctx, line);
    }
}

void dm_secrets_count(const struct dm_secrets *s, int64_t now_s, struct dm_secrets_counts *out)
{
    char line[LINE_BYTES];
    *out = (struct dm_secrets_counts){.refused = s->trouble[0] != '\0', .end_s = INT64_MAX};
    for (size_t i = 0; i < s->now.count; i++) {
        const struct secret_item *item = &s->now.items[i];
        out->refused += item->why.len > 0;
        if (item->text.len == 0) continue;
        out->pairs += item->kind == SECRET_PAIR;
        out->out_of_date += print_out_of_date(item, now_s, line, sizeof line);
        if (item->dates.until_s < out->end_s) out->end_s = item->dates.until_s;
    }
}

/* ---- changes ---- */

static bool same(const struct secret_reading *a, const struct secret_reading *b)
{
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct secret_item *x = &a->items[i], *y = &b->items[i];
        if (!mp_str_eq(x->name, y->name) || !mp_str_eq(x->text, y->text) ||
            !mp_str_eq(x->key, y->key))
            return false;
    }
    return true;
}

/* What is told once stays told, while the same is served, or the same is wrong. */
static void say_refused(const struct dm_secrets *s, struct secret_reading *fresh)
{
    char line[LINE_BYTES];
    for (size_t i = 0; i < fresh->count; i++) {
        struct secret_item *item = &fresh->items[i];
        const struct secret_item *old = secrets_find(&s->now, item->name);
        if (old != NULL && mp_str_eq(old->text, item->text)) item->told = old->told;
        if (item->why.len == 0 || (old != NULL && mp_str_eq(old->why, item->why))) continue;
        print_refused(item, line, sizeof line);
        say(s, line);
    }
}

static void on_settled(uv_timer_t *timer)
{
    struct dm_secrets *s = timer->data;
    struct secret_reading fresh;
    bool good = secrets_read(s->options.folder, s->options.keys, &s->now, &fresh);
    snprintf(s->trouble, sizeof s->trouble, "%s%s", fresh.why,
             good ? "" : "; all stays as it was");
    if (!good) {
        say(s, s->trouble);
        mp_arena_free(&fresh.arena);
        return;
    }
    say_refused(s, &fresh);
    struct secret_reading old = s->now;
    bool changed = !same(&old, &fresh);
    s->now = fresh;
    if (changed) s->options.changed(s->options.ctx);
    mp_arena_free(&old.arena);
}

static void on_change(uv_fs_event_t *watch, const char *name, int events, int status)
{
    struct dm_secrets *s = watch->data;
    (void)name;
    (void)events;
    (void)status;
    uv_timer_start(&s->settle, on_settled, SETTLE_MS, 0);
}

/* ---- life ---- */

static void free_all(struct dm_secrets *s)
{
    mp_arena_free(&s->now.arena);
    free(s);
}

static void on_closed(uv_handle_t *handle)
{
    struct dm_secrets *s = handle->data;
    if (--s->open_handles == 0) free_all(s);
}

void dm_secrets_close(struct dm_secrets *s)
{
    if (s == NULL) return;
    uv_close((uv_handle_t *)&s->watch, on_closed);
    uv_close((uv_handle_t *)&s->settle, on_closed);
}

/* Without trust nobody is let in, and nothing was there before. */
static bool read_first(struct dm_secrets *s, char *why, size_t why_size)
{
    struct secret_reading first;
    bool good = secrets_read(s->options.folder, s->options.keys, NULL, &first);
    const struct secret_item *trust = good ? secrets_find(&first, MP_STR("trust.pem")) : NULL;
    bool trusts = good && trust->text.len > 0;
    if (!good) snprintf(why, why_size, "%s", first.why);
    if (good && !trusts)
        snprintf(why, why_size, "%s: %.*s", s->options.folder, MP_STR_ARG(trust->why));
    if (trusts) say_refused(s, &first);
    s->now = first;
    return trusts;
}

bool dm_secrets_open(const struct dm_secrets_options *options, struct dm_secrets **out, char *why,
                     size_t why_size)
{
    struct dm_secrets *s = calloc(1, sizeof *s);
    if (s == NULL) {
        snprintf(why, why_size, "no memory");
        return false;
    }
    s->options = *options;
    if (!read_first(s, why, why_size)) {
        free_all(s);
        return false;
    }
    uv_fs_event_init(options->loop, &s->watch);
    uv_timer_init(options->loop, &s->settle);
    s->watch.data = s->settle.data = s;
    s->open_handles = 2;
    if (uv_fs_event_start(&s->watch, on_change, options->folder, 0) != 0) {
        snprintf(why, why_size, "%s: cannot be watched", options->folder);
        dm_secrets_close(s);
        return false;
    }
    on_change(&s->watch, NULL, 0, 0); /* what has changed before the watch began */
    *out = s;
    return true;
}

/* ---- what is asked ---- */

static const struct secret_item *pair_of(const struct dm_secrets *s, mp_str service)
{
    char name[300];
    if (service.len == 0 || service.len + sizeof ".crt" > sizeof name) return NULL;
    for (size_t i = 0; i < service.len; i++) name[i] = service.ptr[i] == '/' ? '.' : service.ptr[i];
    memcpy(name + service.len, ".crt", sizeof ".crt");
    return secrets_find(&s->now, mp_str_of(name));
}

mp_str dm_secrets_get(const struct dm_secrets *s, enum mp_envoy_secret which, mp_str service)
{
    const struct secret_item *item = NULL;
    switch (which) {
    case MP_ENVOY_SECRET_TRUST: item = secrets_find(&s->now, MP_STR("trust.pem")); break;
    case MP_ENVOY_SECRET_REVOKED: item = secrets_find(&s->now, MP_STR("revoked.pem")); break;
    case MP_ENVOY_SECRET_CHAIN:
    case MP_ENVOY_SECRET_KEY: item = pair_of(s, service); break;
    }
    if (item == NULL) return MP_STR("");
    return which == MP_ENVOY_SECRET_KEY ? item->key : item->text;
}
