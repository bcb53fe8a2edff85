/* SPDX-License-Identifier: Apache-2.0
 * envoy.admin.v3.ListenersConfigDump, as the admin port writes it in JSON: which listeners have
 * HTTP connection managers that lack filters.
 */
#include <stdarg.h>
#include <stdio.h>

#include "envoy_prove/admin_json.h"
#include "envoy_prove/readback.h"

/* ---- which filters ---- */

/* One that takes its configuration from us; another of that name would not obey. */
static bool has_filter(const json_t *manager, mp_str name)
{
    size_t i;
    const json_t *filter;
    json_array_foreach(json_object_get(manager, "http_filters"), i, filter) {
        if (!mp_str_eq(admin_text(json_object_get(filter, "name")), name)) continue;
        return json_is_object(json_object_get(filter, "config_discovery")) &&
               !json_is_true(json_object_get(filter, "disabled"));
    }
    return false;
}

/* A bit for each filter: not there; there, and another one or none for some routes. `tcp`: some
 * connections are passed on as they are, and no filter sees a request. */
struct lacks {
    uint32_t missing, passed_over;
    bool tcp;
};

/* Names in every `typed_per_filter_config` inside of a part of the configuration: of routes,
 * virtual hosts, weighted clusters. LIMIT: jansson reads no more than 2,048 levels. */
static uint32_t overrides_in(const struct mp_prove_task *task, json_t *part)
{
    uint32_t found = 0;
    size_t i;
    const char *name;
    json_t *inner;
    json_array_foreach(part, i, inner) found |= overrides_in(task, inner);
    json_object_foreach(part, name, inner) {
        found |= overrides_in(task, inner);
        if (strcmp(name, "typed_per_filter_config") != 0) continue;
        for (size_t k = 0; k < task->filter_count; k++) {
            mp_str filter = task->filters[k];
            if (json_object_getn(inner, filter.ptr, filter.len) != NULL) found |= UINT32_C(1) << k;
        }
    }
    return found;
}

static void look_at_manager(const struct mp_prove_task *task, const json_t *manager,
                            struct lacks *out)
{
    for (size_t i = 0; i < task->filter_count; i++) {
        if (!has_filter(manager, task->filters[i])) out->missing |= UINT32_C(1) << i;
    }
    out->passed_over |= overrides_in(task, json_object_get(manager, "route_config"));
}

static void look_at_chain(const struct mp_prove_task *task, const json_t *chain, struct lacks *out)
{
    size_t i;
    const json_t *filter;
    json_array_foreach(json_object_get(chain, "filters"), i, filter) {
        const json_t *config = json_object_get(filter, "typed_config");
        mp_str type = admin_text(json_object_get(config, "@type"));
        if (mp_str_ends(type, MP_STR(".HttpConnectionManager")))
            look_at_manager(task, config, out);
        out->tcp |= mp_str_ends(type, MP_STR(".TcpProxy"));
    }
}

static struct lacks lacks_of(const struct mp_prove_task *task, const json_t *listener)
{
    struct lacks out = {0, 0, false};
    size_t i;
    const json_t *chain;
    look_at_chain(task, json_object_get(listener, "default_filter_chain"), &out);
    json_array_foreach(json_object_get(listener, "filter_chains"), i, chain) {
        look_at_chain(task, chain, &out);
    }
    out.passed_over &= ~out.missing;
    return out;
}

/* ---- which listener ---- */

static size_t host_len(mp_str address)
{
    size_t at = address.len;
    while (at > 0 && address.ptr[at - 1] != ':') at--;
    return at > 0 ? at - 1 : 0;
}

static bool is_any(mp_str host)
{
    return mp_str_eq(host, MP_STR("0.0.0.0")) || mp_str_eq(host, MP_STR("[::]"));
}

/* What listens on every address listens on that one. */
static bool is_same(mp_str a, mp_str b)
{
    size_t host_a = host_len(a), host_b = host_len(b);
    if (!mp_str_eq(mp_str_sub(a, host_a, a.len), mp_str_sub(b, host_b, b.len))) return false;
    mp_str x = mp_str_sub(a, 0, host_a), y = mp_str_sub(b, 0, host_b);
    return mp_str_eq(x, y) || is_any(x) || is_any(y);
}

static bool is_own(const struct mp_prove_task *task, const json_t *listener)
{
    char room[ADMIN_ADDRESS_BYTES];
    size_t i;
    const json_t *more;
    if (task->listen.len == 0) return false;
    if (is_same(admin_address(listener, room, sizeof room), task->listen)) return true;
    json_array_foreach(json_object_get(listener, "additional_addresses"), i, more) {
        if (is_same(admin_address(more, room, sizeof room), task->listen)) return true;
    }
    return false;
}

/* ---- all of them ---- */

struct gaps {
    const struct mp_prove_task *task;
    const json_t *first; /* its own, where that is one of them; one that speaks HTTP before TCP */
    struct lacks first_lacks;
    int first_rank;
    uint32_t count, own_missing;
};

static void look_at(struct gaps *g, const json_t *listener)
{
    struct lacks lacks = lacks_of(g->task, listener);
    bool http = lacks.missing != 0 || lacks.passed_over != 0;
    if (!http && !lacks.tcp) return;
    bool own = is_own(g->task, listener);
    int rank = own ? 3 : http ? 2 : 1;
    if (own) g->own_missing |= lacks.missing;
    g->count++;
    if (rank <= g->first_rank) return;
    g->first = listener;
    g->first_lacks = lacks;
    g->first_rank = rank;
}

static void look_at_dump(struct gaps *g, const json_t *dump)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(dump, "static_listeners"), i, one) {
        look_at(g, json_object_get(one, "listener"));
    }
    json_array_foreach(json_object_get(dump, "dynamic_listeners"), i, one) {
        const json_t *state = json_object_get(one, "active_state");
        if (state == NULL) state = json_object_get(one, "warming_state");
        look_at(g, json_object_get(state, "listener"));
    }
}

/* What is written is cut at the room. */
struct line {
    char *to;
    size_t size, len;
};

static void add(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(l->to + l->len, l->size - l->len, format, args);
    va_end(args);
    if (len > 0) l->len += (size_t)len;
    if (l->len >= l->size) l->len = l->size - 1;
}

static void add_filters(struct line *l, const struct mp_prove_task *task, uint32_t mask,
                        const char *before)
{
    for (size_t i = 0; i < task->filter_count; i++) {
        if ((mask >> i & 1) == 0) continue;
        add(l, "%s%.*s", before, MP_STR_ARG(task->filters[i]));
        before = ", ";
    }
}

static void print(const struct gaps *g, char *seen, size_t size)
{
    struct line l = {seen, size, 0};
    char room[ADMIN_ADDRESS_BYTES];
    mp_str at = admin_address(g->first, room, sizeof room);
    mp_str name = admin_text(json_object_get(g->first, "name"));
    const struct lacks *lacks = &g->first_lacks;
    add(&l, "listener %.*s (%.*s)", MP_STR_ARG(name), MP_STR_ARG(at));
    add_filters(&l, g->task, lacks->missing, " lacks ");
    add_filters(&l, g->task, lacks->passed_over,
                lacks->missing != 0 ? ", and routes change " : " has routes that change ");
    if (lacks->tcp)
        add(&l, "%s passes TCP on", lacks->missing != 0 || lacks->passed_over != 0 ? ", and" : "");
    if (g->count > 1) add(&l, "; so do %u more", g->count - 1);
}

enum mp_readback mp_readback_listeners(const struct mp_prove_task *task, mp_str body,
                                       uint32_t *missing, char *seen, size_t seen_size)
{
    json_error_t error;
    json_t *root = json_loadb(body.ptr != NULL ? body.ptr : "", body.len, 0, &error);
    const json_t *configs = json_object_get(root, "configs"), *dump;
    struct gaps g = {.task = task};
    size_t i;
    bool good = json_is_object(root) && (configs == NULL || json_is_array(configs));
    json_array_foreach(configs, i, dump) look_at_dump(&g, dump);
    *missing = g.own_missing;
    if (!good) snprintf(seen, seen_size, "no JSON as an admin port writes it");
    if (g.count > 0) print(&g, seen, seen_size);
    json_decref(root);
    if (!good) return MP_READBACK_BAD;
    return g.count > 0 ? MP_READBACK_OTHERWISE : MP_READBACK_AS_WANTED;
}
