/* SPDX-License-Identifier: Apache-2.0
 * What the control socket answers: status, why, release, brake, reload, ledger tail.
 */
#include "daemon/daemon_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"

void dm_duration(struct dm_bytes *out, int64_t ns)
{
    char room[4096];
    struct mp_arena arena;
    struct mp_buf b;
    mp_arena_init_fixed(&arena, room, sizeof room);
    mp_buf_init(&b, &arena);
    /* Tenths of a second are what a reader can use. */
    mp_value_print(&b, MP_TYPE_DURATION, mp_value_int(ns / 100000000 * 100000000));
    dm_bytes_add(out, b.ptr, b.len);
}

static void time_of_day(struct dm_bytes *out, int64_t time_ns)
{
    char time[MP_DATE_TEXT];
    mp_date_text(time_ns, time);
    dm_bytes_add(out, time + 11, 8);
}

/* ---- ramps ---- */

static bool is_ramped(const struct mp_lease_view *v)
{
    return v->lease != NULL && v->in_force && v->lease->given_back > 0;
}

bool dm_ramp_share(struct dm_bytes *out, const char *before, const struct mp_lease_view *v)
{
    if (!is_ramped(v)) return false;
    dm_bytes_printf(out, "%sat %.4g%%", before, (1 - v->lease->given_back) * 100);
    return true;
}

void dm_ramp_end(struct dm_bytes *out, const struct mp_lease_view *v)
{
    if (!is_ramped(v)) return;
    dm_bytes_printf(out, "given back in steps until ");
    time_of_day(out, v->ends_ns);
}

/* ---- status ---- */

struct listing {
    struct dm *d;
    struct dm_bytes *out;
    uint32_t count;
};

static bool list_incident(void *ctx, const struct mp_incident_view *i)
{
    struct listing *l = ctx;
    l->count++;
    dm_bytes_printf(l->out, "  #%-6" PRIu64 " %-24.*s %-20.*s %.*s, rung %u, for ", i->id,
                    MP_STR_ARG(i->rule_name), MP_STR_ARG(i->key), MP_STR_ARG(i->state), i->rung);
    dm_duration(l->out, mp_engine_now(l->d->engine) - i->since_ns);
    dm_bytes_printf(l->out, "%s\n", i->shadow ? " (shadow)" : "");
    return true;
}

static bool list_lease(void *ctx, const struct mp_lease_view *v)
{
    struct listing *l = ctx;
    l->count++;
    dm_bytes_printf(l->out, "  #%-6" PRIu64 " %.*s %.*s  %.*s", v->lease->id, MP_STR_ARG(v->verb),
                    MP_STR_ARG(v->target), MP_STR_ARG(v->state));
    bool ramped = dm_ramp_share(l->out, " ", v);
    dm_bytes_printf(l->out, "%s", v->in_force ? ", in force" : "");
    if (ramped) {
        dm_bytes_printf(l->out, ", ");
        dm_ramp_end(l->out, v);
    } else if (v->ends_ns > 0) {
        dm_bytes_printf(l->out, ", ends at ");
        time_of_day(l->out, v->ends_ns);
    }
    dm_bytes_printf(l->out, "\n");
    return true;
}

static int status(struct dm *d, char *const *words, size_t count, const char *who,
                  struct dm_bytes *out)
{
    struct mp_engine_status s;
    struct listing l = {d, out, 0};
    struct mp_ingest_counts unread = dm_unread(d);
    mp_engine_status(d->engine, &s);
    dm_bytes_printf(out, "generation %" PRIu64 ", %u rules, since ", d->now.number,
                    d->now.program->rule_count);
    time_of_day(out, d->now.since_ns);
    dm_bytes_printf(out, "\n%s", d->problem[0] != '\0' ? "the last reload was refused: " : "");
    dm_bytes_printf(out, "%s%s", d->problem, d->problem[0] != '\0' ? "\n" : "");
    if (d->inventory_problem[0] != '\0')
        dm_bytes_printf(out, "the inventory stays as it was: %s\n", d->inventory_problem);
    dm_bytes_printf(out,
                    "records %" PRIu64 ", late %" PRIu64 ", ahead %" PRIu64 ", bad lines %" PRIu64
                    ", unread lines %" PRIu64 ", bad values %" PRIu64 "\n",
                    s.records, s.late, s.ahead, d->counts.bad_lines, unread.other,
                    unread.bad_values);
    if (dm_clock_back(d, out)) dm_bytes_printf(out, "\n");
    if (dm_room_full(d, out)) dm_bytes_printf(out, "\n");
    dm_bytes_printf(out, "ledger: %" PRIu64 " entries, %" PRIu64 " durable%s\n", s.entries,
                    s.committed,
                    s.store_failed ? "; THE STORE CANNOT WRITE, nothing new is decided" : "");
    dm_bytes_printf(out, "brake %s\n", s.braked ? "ON: nothing new is enforced" : "off");
    dm_bytes_printf(out, "incidents:\n");
    mp_engine_incidents(d->engine, &l, list_incident);
    dm_bytes_printf(out, "%s", l.count == 0 ? "  none\n" : "");
    l.count = 0;
    dm_bytes_printf(out, "leases:\n");
    mp_engine_leases(d->engine, &l, list_lease);
    dm_bytes_printf(out, "%s", l.count == 0 ? "  none\n" : "");
    dm_mesh_status(d, out);
    dm_modules_status(d, out);
    return 0;
}

/* ---- why ---- */

struct why_to {
    struct dm_bytes *out;
    mp_str rule, key;
};

static void write_why(void *ctx, const struct mp_why_line *line)
{
    const struct why_to *to = ctx;
    char room[8192];
    struct mp_arena arena;
    struct mp_buf b;
    mp_arena_init_fixed(&arena, room, sizeof room);
    mp_buf_init(&b, &arena);
    mp_why_print(&b, to->rule, to->key, line);
    dm_bytes_add(to->out, b.ptr, b.len);
}

struct truth_listing {
    struct dm_bytes *out;
    int64_t until_ns;
};

static bool write_truth(void *ctx, const struct mp_truth_view *t)
{
    struct truth_listing *l = ctx;
    if (t->time_ns > l->until_ns) return false;
    char room[4096];
    struct mp_arena arena;
    struct mp_buf b;
    mp_arena_init_fixed(&arena, room, sizeof room);
    mp_buf_init(&b, &arena);
    mp_truth_print(&b, t);
    dm_bytes_printf(l->out, "  ");
    time_of_day(l->out, t->time_ns);
    dm_bytes_printf(l->out, " %.*s\n", (int)b.len, b.ptr);
    return true;
}

/* `--at HH:MM:SS` is today's, a full time is itself: what is kept is each change of truth. */
static bool time_given(struct dm *d, const char *text, int64_t *out)
{
    int64_t now = mp_engine_now(d->engine);
    int h, m, s;
    if (sscanf(text, "%2d:%2d:%2d", &h, &m, &s) == 3 && strlen(text) == 8) {
        int64_t day = INT64_C(86400) * 1000000000;
        *out = now / day * day + ((int64_t)h * 3600 + m * 60 + s) * 1000000000;
        return true;
    }
    return mp_read_time(mp_str_of(text), out);
}

static int why(struct dm *d, char *const *words, size_t count, const char *who,
               struct dm_bytes *out)
{
    if (count < 3) {
        dm_bytes_printf(out, "say which rule, and for which key\n");
        return 2;
    }
    mp_str rule = mp_str_of(words[1]), key = mp_str_of(words[2]);
    if (count > 3 && words[3][0] != '\0') {
        struct truth_listing l = {out, 0};
        if (!time_given(d, words[3], &l.until_ns)) {
            dm_bytes_printf(out, "%s is no time: 12:03:10, or 2026-11-23T12:03:10Z\n", words[3]);
            return 2;
        }
        dm_bytes_printf(out, "%s for %s up to %s:\n", words[1], words[2], words[3]);
        mp_engine_truths(d->engine, rule, key, INT64_MIN, &l, write_truth);
        return 0;
    }
    enum mp_err err =
        mp_engine_why(d->engine, rule, key, &(struct why_to){out, rule, key}, write_why);
    if (err == MP_OK) return 0;
    dm_bytes_printf(out, "no rule is called %s\n", words[1]);
    return 2;
}

/* ---- acts of an operator: answered when they are durable ---- */

static void tell_if_not_durable(struct dm *d, struct dm_bytes *out)
{
    if (!dm_keep_flush(d)) dm_bytes_printf(out, "but it is not kept: the store cannot write\n");
}

static int release(struct dm *d, char *const *words, size_t count, const char *who,
                   struct dm_bytes *out)
{
    char *end = NULL;
    if (count < 2) {
        dm_bytes_printf(out, "say which incident, or which rule and key, or --all\n");
        return 2;
    }
    if (strcmp(words[1], "--all") == 0) {
        uint32_t released = mp_engine_release_all(d->engine);
        dm_log(d, "info", "%s releases all: %u incidents", who, released);
        dm_bytes_printf(out, "%u incidents are being released\n", released);
        tell_if_not_durable(d, out);
        return 0;
    }
    unsigned long long id = strtoull(words[1][0] == '#' ? words[1] + 1 : words[1], &end, 10);
    bool by_id = count == 2 && end != words[1] && *end == '\0';
    enum mp_err err = by_id ? mp_engine_release(d->engine, id)
                            : mp_engine_release_rule(d->engine, mp_str_of(words[1]),
                                                     mp_str_of(count > 2 ? words[2] : ""));
    if (err != MP_OK) {
        dm_bytes_printf(out, "there is no such open incident; `mpol status` lists them\n");
        return 1;
    }
    dm_log(d, "info", "%s releases %s %s", who, words[1], count > 2 ? words[2] : "");
    dm_bytes_printf(out, "it is being released\n");
    tell_if_not_durable(d, out);
    return 0;
}

static int brake(struct dm *d, char *const *words, size_t count, const char *who,
                 struct dm_bytes *out)
{
    const char *word = count > 1 ? words[1] : "status";
    bool turned = strcmp(word, "on") == 0 || strcmp(word, "off") == 0;
    if (turned) {
        dm_brake(d, strcmp(word, "on") == 0);
        dm_log(d, "warn", "%s turned the brake %s", who, word);
    } else if (strcmp(word, "status") != 0) {
        dm_bytes_printf(out, "brake on, brake off, or brake status\n");
        return 2;
    }
    bool on = mp_engine_braked(d->engine);
    dm_bytes_printf(out, "brake %s%s\n", on ? "on" : "off",
                    on && d->brake_file ? " (by the file BRAKE)" : "");
    if (turned) tell_if_not_durable(d, out);
    if (strcmp(word, "off") != 0 || !on) return 0;
    dm_bytes_printf(out, "the brake stays on until the file BRAKE is removed\n");
    return 1;
}

static int reload(struct dm *d, char *const *words, size_t count, const char *who,
                  struct dm_bytes *out)
{
    dm_reload(d);
    bool refused = d->problem[0] != '\0', stays = d->inventory_problem[0] != '\0';
    if (refused) {
        dm_bytes_printf(out, "refused: %s\n", d->problem);
    } else {
        dm_bytes_printf(out, "generation %" PRIu64 " is in force\n", d->now.number);
    }
    if (stays) {
        dm_bytes_printf(out, "the inventory stays as it was: %s\n", d->inventory_problem);
    } else if (d->options->inventory_count > 0) {
        dm_bytes_printf(out, "inventory: %s\n",
                        d->inventory_told[0] != '\0' ? d->inventory_told : "as it was");
    }
    return refused || stays;
}

static const struct {
    const char *word;
    int (*answer)(struct dm *d, char *const *words, size_t count, const char *who,
                  struct dm_bytes *out);
} questions[] = {
    {"status", status}, {"why", why}, {"release", release}, {"brake", brake}, {"reload", reload},
    {"decisions", dm_decisions},
};

void dm_answer(struct dm *d, char *const *words, size_t count, const char *who,
               struct dm_bytes *out)
{
    struct dm_bytes text = {0};
    int code = 2;
    size_t i = 0;
    while (i < sizeof questions / sizeof questions[0] && strcmp(words[0], questions[i].word) != 0)
        i++;
    if (d->engine == NULL) {
        dm_bytes_printf(&text, "not ready yet\n");
    } else if (i == sizeof questions / sizeof questions[0]) {
        dm_bytes_printf(&text, "this daemon does not know `%s`\n", words[0]);
    } else {
        code = questions[i].answer(d, words, count, who, &text);
    }
    dm_bytes_printf(out, "%d\n", code);
    dm_bytes_add(out, text.ptr, text.len);
    dm_bytes_free(&text);
}
