/* SPDX-License-Identifier: Apache-2.0
 * `mpol decisions` at the control socket: what is in force, a lease by hand, taking one back. A
 * request is
 *
 *   decisions list FORMAT
 *   decisions state ID [FORMAT]       in JSON its members alone, from the comma before them
 *   decisions add MODE FORMAT WIDE REASON VERB TARGET [NAME=VALUE]...
 *   decisions delete MODE FORMAT REASON TARGET|#ID
 *
 * where MODE is `look`, `show` (the same without a verdict) or `do`, FORMAT `text` or `json`,
 * WIDE `wide` or `-`. To look is to be told whom it would touch; nothing changes.
 */
#include "daemon/daemon_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"

#define ARGS_MAX 8

struct request {
    struct dm *d;
    char *const *words;
    size_t count;
    const char *who;
    struct dm_bytes *out;
    bool json, look, show;
};

static bool word_is(const struct request *r, size_t i, const char *word)
{
    return i < r->count && strcmp(r->words[i], word) == 0;
}

static void put_duration(struct dm_bytes *out, int64_t ns)
{
    char room[512];
    struct mp_arena arena;
    struct mp_buf b;
    mp_arena_init_fixed(&arena, room, sizeof room);
    mp_buf_init(&b, &arena);
    mp_value_print(&b, MP_TYPE_DURATION, mp_value_int(ns));
    dm_bytes_add(out, b.ptr, b.len);
}

/* What is left is told in whole seconds: the rest only makes a list restless. */
static void put_rest(struct dm_bytes *out, int64_t ns)
{
    int64_t second = 1000000000;
    put_duration(out, ns > second ? ns / second * second : ns > 0 ? second : 0);
}

static void put_hooks(struct dm_bytes *out, uint32_t hooks)
{
    static const char *const names[] = {"ingress", "service", "edge"};
    const char *between = "";
    for (int i = 0; i < 3; i++) {
        if ((hooks >> i & 1) == 0) continue;
        dm_bytes_printf(out, "%s%s", between, names[i]);
        between = "+";
    }
}

static void member(struct dm_bytes *out, const char *name, mp_str value)
{
    dm_bytes_printf(out, ",\"%s\":", name);
    dm_json_text(out, value);
}

static void member_time(struct dm_bytes *out, const char *name, int64_t time_ns)
{
    char time[MP_DATE_TEXT];
    mp_date_text(time_ns, time);
    member(out, name, (mp_str){time, sizeof time});
}

/* ---- list ---- */

static void args_text(struct dm_bytes *out, const struct mp_lease *l)
{
    char room[1024];
    for (uint32_t i = 0; i < l->arg_count; i++) {
        const struct mp_lease_arg *a = &l->args[i];
        struct mp_arena arena;
        struct mp_buf b;
        if (!a->known || mp_str_eq(a->name, MP_STR("on"))) continue;
        mp_arena_init_fixed(&arena, room, sizeof room);
        mp_buf_init(&b, &arena);
        mp_value_print(&b, (enum mp_type)a->type, a->value);
        /* as if nothing was said */
        if (b.len == 0 || mp_str_eq(mp_buf_view(&b), MP_STR("0"))) continue;
        dm_bytes_printf(out, "%s%.*s=%.*s", out->len > 0 ? " " : "", MP_STR_ARG(a->name),
                        MP_STR_ARG(mp_buf_view(&b)));
    }
}

/* A row of the table: columns are as wide as what is in them, so it is made whole first. */
enum { COLUMNS = 8 };
static const char *const heads[COLUMNS] = {"ID", "VERB",  "TARGET",  "ON",
                                           "BY", "STATE", "ENDS IN", "WHY"};

struct table {
    struct request *r;
    struct dm_bytes cells; /* each with a zero behind it */
    size_t widths[COLUMNS], rows;
    const char *between; /* of JSON */
};

static void cell(struct table *t, size_t column, const struct dm_bytes *text)
{
    size_t width = 0;
    for (size_t i = 0; i < text->len; i++) width += ((unsigned char)text->ptr[i] & 0xC0) != 0x80;
    if (width > t->widths[column]) t->widths[column] = width;
    dm_bytes_add(&t->cells, text->ptr, text->len);
    dm_bytes_add(&t->cells, "", 1);
}

static void by_text(struct dm_bytes *out, const struct mp_lease_view *v)
{
    if (v->manual) {
        dm_bytes_printf(out, "manual (%.*s)", MP_STR_ARG(v->who));
    } else {
        dm_bytes_printf(out, "%.*s", MP_STR_ARG(v->rule_name));
    }
}

static bool list_row(void *ctx, const struct mp_lease_view *v)
{
    struct table *t = ctx;
    struct dm_bytes text[COLUMNS] = {{0}};
    const struct mp_lease *l = v->lease;
    dm_bytes_printf(&text[0], "#%" PRIu64, l->id);
    dm_bytes_printf(&text[1], "%.*s", MP_STR_ARG(v->verb));
    dm_bytes_printf(&text[2], "%.*s=%.*s", MP_STR_ARG(v->kind), MP_STR_ARG(v->target));
    put_hooks(&text[3], l->hooks);
    by_text(&text[4], v);
    dm_bytes_printf(&text[5], "%.*s%s", MP_STR_ARG(v->state), l->shadow ? " (shadow)" : "");
    dm_ramp_share(&text[5], " ", v);
    if (v->ends_ns > 0) {
        put_rest(&text[6], v->ends_ns - mp_engine_now(t->r->d->engine));
    } else {
        dm_bytes_printf(&text[6], "-");
    }
    args_text(&text[7], l);
    struct dm_bytes remarks = {0};
    dm_ramp_end(&remarks, v);
    dm_mesh_remarks(t->r->d, v, &remarks);
    const mp_str words[] = {v->reason, v->trouble, {remarks.ptr, remarks.len}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (words[i].len == 0) continue;
        dm_bytes_printf(&text[7], "%s%.*s", text[7].len > 0 ? "; " : "", MP_STR_ARG(words[i]));
    }
    dm_bytes_free(&remarks);
    for (size_t c = 0; c < COLUMNS; c++) {
        cell(t, c, &text[c]);
        dm_bytes_free(&text[c]);
    }
    t->rows++;
    return true;
}

static void json_args(struct dm_bytes *out, const struct mp_lease *l)
{
    const char *between = "";
    dm_bytes_printf(out, ",\"args\":{");
    for (uint32_t i = 0; i < l->arg_count; i++) {
        const struct mp_lease_arg *a = &l->args[i];
        char room[1024];
        struct mp_arena arena;
        struct mp_buf b;
        if (!a->known) continue;
        mp_arena_init_fixed(&arena, room, sizeof room);
        mp_buf_init(&b, &arena);
        mp_value_print(&b, (enum mp_type)a->type, a->value);
        dm_bytes_printf(out, "%s", between);
        dm_json_text(out, a->name);
        dm_bytes_printf(out, ":");
        dm_json_text(out, mp_buf_view(&b));
        between = ",";
    }
    dm_bytes_printf(out, "}");
}

static void json_hooks(struct dm_bytes *out, uint32_t hooks)
{
    struct dm_bytes text = {0};
    put_hooks(&text, hooks);
    member(out, "on", (mp_str){text.ptr, text.len});
    dm_bytes_free(&text);
}

/* `at 40%, given back in steps until 09:11:48` */
static void put_ramp(struct dm_bytes *out, const char *before, const struct mp_lease_view *v)
{
    if (!dm_ramp_share(out, before, v)) return;
    dm_bytes_printf(out, ", ");
    dm_ramp_end(out, v);
}

/* With which reservation it is in force. */
static void json_remarks(struct dm *d, const struct mp_lease_view *v, struct dm_bytes *out)
{
    struct dm_bytes text = {0};
    put_ramp(&text, "", v);
    dm_mesh_remarks(d, v, &text);
    if (text.len > 0) member(out, "only", (mp_str){text.ptr, text.len});
    dm_bytes_free(&text);
}

static bool list_object(void *ctx, const struct mp_lease_view *v)
{
    struct table *t = ctx;
    struct dm_bytes *out = t->r->out;
    const struct mp_lease *l = v->lease;
    dm_bytes_printf(out, "%s{\"id\":%" PRIu64 ",\"incident\":%" PRIu64, t->between, l->id,
                    l->incident);
    t->between = ",";
    member(out, "verb", v->verb);
    member(out, "kind", v->kind);
    member(out, "target", v->target);
    json_hooks(out, l->hooks);
    json_args(out, l);
    member(out, "rule", v->rule_name);
    dm_bytes_printf(out, ",\"manual\":%s", v->manual ? "true" : "false");
    if (v->manual) member(out, "who", v->who);
    if (v->manual) member(out, "reason", v->reason);
    member(out, "state", v->state);
    if (v->trouble.len > 0) member(out, "trouble", v->trouble);
    dm_bytes_printf(out, ",\"in_force\":%s,\"shadow\":%s", v->in_force ? "true" : "false",
                    l->shadow ? "true" : "false");
    if (v->ends_ns > 0) member_time(out, "ends", v->ends_ns);
    if (v->in_force && l->given_back > 0)
        dm_bytes_printf(out, ",\"share\":%.9g", 1 - l->given_back);
    json_remarks(t->r->d, v, out);
    dm_bytes_printf(out, "}");
    t->rows++;
    return true;
}

static void print_row(const struct table *t, const char *const *cells)
{
    struct dm_bytes *out = t->r->out;
    for (size_t c = 0; c < COLUMNS; c++) {
        size_t width = 0;
        for (const char *at = cells[c]; *at != '\0'; at++)
            width += ((unsigned char)*at & 0xC0) != 0x80;
        dm_bytes_printf(out, "%s%s", c > 0 ? "  " : "", cells[c]);
        for (; width < t->widths[c] && c + 1 < COLUMNS; width++) dm_bytes_add(out, " ", 1);
    }
    dm_bytes_add(out, "\n", 1);
}

static void print_table(const struct table *t)
{
    const char *at = t->cells.ptr;
    print_row(t, heads);
    for (size_t row = 0; row < t->rows && at != NULL; row++) {
        const char *cells[COLUMNS];
        for (size_t c = 0; c < COLUMNS; c++) {
            cells[c] = at;
            at += strlen(at) + 1;
        }
        print_row(t, cells);
    }
}

static int list(struct request *r)
{
    struct table t = {.r = r, .between = ""};
    if (r->json) {
        dm_bytes_printf(r->out, "{\"version\":1");
        member_time(r->out, "time", mp_engine_now(r->d->engine));
        dm_bytes_printf(r->out, ",\"brake\":%s,\"decisions\":[",
                        mp_engine_braked(r->d->engine) ? "true" : "false");
        mp_engine_leases(r->d->engine, &t, list_object);
        dm_bytes_printf(r->out, "]}\n");
        return 0;
    }
    for (size_t c = 0; c < COLUMNS; c++) t.widths[c] = strlen(heads[c]);
    mp_engine_leases(r->d->engine, &t, list_row);
    if (t.rows == 0) {
        dm_bytes_printf(r->out, "nothing is in force\n");
    } else {
        print_table(&t);
    }
    dm_bytes_free(&t.cells);
    return 0;
}

/* ---- add ---- */

static void put_facts(struct dm_bytes *out, const struct mp_manual_answer *a)
{
    for (uint32_t i = 0; i < a->fact_count; i++) {
        dm_bytes_printf(out, "  %-12.*s %.*s\n", MP_STR_ARG(a->facts[i].name),
                        MP_STR_ARG(a->facts[i].value));
    }
}

static bool has_fact(const struct mp_manual_answer *a, mp_str name)
{
    for (uint32_t i = 0; i < a->fact_count; i++) {
        if (mp_str_eq(a->facts[i].name, name)) return true;
    }
    return false;
}

/* What was seen of the target lately, for signals that no policy counts for it. The texts live in
 * `room`. */
static void add_recent(struct request *r, struct mp_manual_answer *a, struct dm_bytes *room)
{
    const struct mp_program *p = r->d->now.program;
    size_t starts[MP_MANUAL_FACTS_MAX], count = 0;
    uint32_t first = a->fact_count;
    for (uint32_t s = 0; s < p->signal_count && a->fact_count < MP_MANUAL_FACTS_MAX; s++) {
        struct dm_recent_count seen;
        mp_str name = mp_program_text(p, p->signal[s].name);
        if (has_fact(a, name) || !dm_recent_ask(r->d, s, &a->where, &seen)) continue;
        starts[count++] = room->len;
        dm_bytes_printf(room, "%" PRIu64 " of %" PRIu64 " in the last ", seen.met, seen.all);
        put_rest(room, seen.span_ns);
        a->facts[a->fact_count++].name = name;
    }
    for (size_t i = 0; i < count; i++) {
        size_t end = i + 1 < count ? starts[i + 1] : room->len;
        a->facts[first + i].value = (mp_str){room->ptr + starts[i], end - starts[i]};
    }
}

static void put_what(struct dm_bytes *out, const struct mp_manual_answer *a)
{
    dm_bytes_printf(out, "%.*s %.*s=%.*s on ", MP_STR_ARG(a->verb), MP_STR_ARG(a->kind),
                    MP_STR_ARG(a->target));
    put_hooks(out, a->hooks);
    dm_bytes_printf(out, " for ");
    put_duration(out, a->ttl_ns);
}

struct wanted {
    uint64_t lease;
    struct mp_lease_view view;
};

static bool find_lease(void *ctx, const struct mp_lease_view *v)
{
    struct wanted *w = ctx;
    if (v->lease->id != w->lease) return true;
    w->view = *v;
    return false;
}

/* As it is now; where the mesh takes longer, whoever asked asks again. */
static struct mp_lease_view view_of(struct request *r, uint64_t lease)
{
    struct wanted w = {.lease = lease, .view = {.state = MP_STR("withdrawn")}};
    mp_engine_leases(r->d->engine, &w, find_lease);
    return w.view;
}

static void put_state(struct request *r, const struct mp_lease_view *v)
{
    struct dm_bytes remarks = {0};
    if (v->lease != NULL) dm_mesh_remarks(r->d, v, &remarks);
    dm_bytes_printf(r->out, "%.*s", MP_STR_ARG(v->state));
    put_ramp(r->out, " ", v);
    dm_bytes_printf(r->out, "%s%.*s", v->trouble.len > 0 ? ": " : "", MP_STR_ARG(v->trouble));
    if (remarks.len > 0) dm_bytes_printf(r->out, " (%.*s)", (int)remarks.len, remarks.ptr);
    dm_bytes_printf(r->out, "\n");
    dm_bytes_free(&remarks);
}

static bool lease_id(const char *word, uint64_t *out)
{
    const char *digits = word[0] == '#' ? word + 1 : word;
    char *end = NULL;
    if (digits[0] < '0' || digits[0] > '9') return false;
    *out = strtoull(digits, &end, 10);
    return *end == '\0';
}

/* `state`, and what goes with it. */
static void json_state(struct request *r, const struct mp_lease_view *v)
{
    member(r->out, "state", v->state);
    if (v->trouble.len > 0) member(r->out, "trouble", v->trouble);
    if (v->lease != NULL) json_remarks(r->d, v, r->out);
}

static int state(struct request *r)
{
    uint64_t lease = 0;
    if (r->count < 3 || !lease_id(r->words[2], &lease)) {
        dm_bytes_printf(r->out, "say which: 12\n");
        return 2;
    }
    struct mp_lease_view v = view_of(r, lease);
    if (word_is(r, 3, "json")) {
        json_state(r, &v);
    } else {
        put_state(r, &v);
    }
    return 0;
}

/* `v` NULL: nothing was done. */
static void json_answer(struct request *r, const struct mp_manual_answer *a,
                        const struct mp_lease_view *v)
{
    static const char *const how[] = {"bad", "withheld", "admitted"};
    struct dm_bytes *out = r->out;
    dm_bytes_printf(out, "{\"version\":1,\"looked\":%s,\"how\":\"%s\"", r->look ? "true" : "false",
                    how[a->how]);
    if (a->lease != 0)
        dm_bytes_printf(out, ",\"id\":%" PRIu64 ",\"incident\":%" PRIu64, a->lease, a->incident);
    if (a->why.len > 0) member(out, "why", a->why);
    if (a->help.len > 0) member(out, "help", a->help);
    if (a->verb.len > 0) {
        member(out, "verb", a->verb);
        member(out, "kind", a->kind);
        member(out, "target", a->target);
        json_hooks(out, a->hooks);
        dm_bytes_printf(out, ",\"for_seconds\":%.9g", (double)a->ttl_ns / 1e9);
    }
    if (v != NULL) json_state(r, v);
    dm_bytes_printf(out, ",\"facts\":[");
    for (uint32_t i = 0; i < a->fact_count; i++) {
        dm_bytes_printf(out, "%s[", i > 0 ? "," : "");
        dm_json_text(out, a->facts[i].name);
        dm_bytes_printf(out, ",");
        dm_json_text(out, a->facts[i].value);
        dm_bytes_printf(out, "]");
    }
    dm_bytes_printf(out, "]}\n");
}

static int tell_bad(struct request *r, const struct mp_manual_answer *a)
{
    if (r->json) {
        json_answer(r, a, NULL);
    } else {
        dm_bytes_printf(r->out, "%.*s%s%.*s\n", MP_STR_ARG(a->why), a->help.len > 0 ? "; " : "",
                        MP_STR_ARG(a->help));
    }
    return 2;
}

static int tell_look(struct request *r, const struct mp_manual_answer *a)
{
    int code = a->how == MP_MANUAL_WITHHELD && !r->show;
    if (r->json) {
        json_answer(r, a, NULL);
        return code;
    }
    put_what(r->out, a);
    dm_bytes_printf(r->out, "\n");
    put_facts(r->out, a);
    if (code != 0) dm_bytes_printf(r->out, "it would be withheld: %.*s\n", MP_STR_ARG(a->why));
    return code;
}

static int tell_done(struct request *r, const struct mp_manual_answer *a)
{
    bool withheld = a->how == MP_MANUAL_WITHHELD;
    bool durable = dm_keep_flush(r->d);
    struct mp_lease_view v = {.state = MP_STR("withheld")};
    if (!withheld) v = view_of(r, a->lease);
    if (r->json) {
        json_answer(r, a, &v);
        return withheld || !durable;
    }
    if (a->lease != 0) put_what(r->out, a); /* else there was no room even to read it */
    if (withheld) {
        dm_bytes_printf(r->out, "%swithheld: %.*s\n", a->lease != 0 ? ": " : "",
                        MP_STR_ARG(a->why));
    } else {
        dm_bytes_printf(r->out, ": #%" PRIu64 " ", a->lease);
        put_state(r, &v);
    }
    if (!durable) dm_bytes_printf(r->out, "but it is not kept: the store cannot write\n");
    return withheld || !durable;
}

/* NAME=VALUE; false: it is no such thing. */
static bool split(const char *word, struct mp_note *out)
{
    const char *equals = strchr(word, '=');
    if (equals == NULL || equals == word) return false;
    *out = (struct mp_note){{word, (size_t)(equals - word)}, mp_str_of(equals + 1)};
    return true;
}

static int decided(struct request *r, const struct mp_manual_answer *a)
{
    dm_log(r->d, "warn", "%s decides %s %s: %s", r->who, r->words[6], r->words[7],
           a->how == MP_MANUAL_WITHHELD ? "withheld" : "admitted");
    return tell_done(r, a);
}

static int add(struct request *r)
{
    struct mp_note args[ARGS_MAX];
    struct mp_manual_answer answer;
    if (r->count < 8 || r->count - 8 > ARGS_MAX) {
        dm_bytes_printf(r->out, "say what to do, and to whom: deny client.ip=10.0.0.7\n");
        return 2;
    }
    struct mp_manual ask = {.verb = mp_str_of(r->words[6]),
                            .target = mp_str_of(r->words[7]),
                            .args = args,
                            .who = mp_str_of(r->who),
                            .reason = mp_str_of(r->words[5]),
                            .wide = word_is(r, 4, "wide"),
                            .look = r->look};
    for (size_t i = 8; i < r->count; i++) {
        if (split(r->words[i], &args[ask.arg_count++])) continue;
        dm_bytes_printf(r->out, "`%s` is no NAME=VALUE\n", r->words[i]);
        return 2;
    }
    struct dm_bytes room = {0};
    mp_engine_decide(r->d->engine, &ask, &answer);
    if (answer.how == MP_MANUAL_BAD) return tell_bad(r, &answer);
    add_recent(r, &answer, &room);
    int code = r->look ? tell_look(r, &answer) : decided(r, &answer);
    dm_bytes_free(&room);
    return code;
}

/* ---- delete ---- */

struct undoing {
    struct request *r;
    struct dm_bytes text;
    uint32_t count;
};

static void write_undone(void *ctx, const struct mp_undo_view *v)
{
    struct undoing *u = ctx;
    struct dm_bytes *out = &u->text;
    u->count++;
    if (!u->r->json) {
        dm_bytes_printf(out, "#%" PRIu64 " %.*s %.*s=%.*s by %.*s: %.*s\n", v->lease,
                        MP_STR_ARG(v->verb), MP_STR_ARG(v->kind), MP_STR_ARG(v->target),
                        MP_STR_ARG(v->rule), MP_STR_ARG(v->next));
        return;
    }
    dm_bytes_printf(out, "%s{\"id\":%" PRIu64 ",\"incident\":%" PRIu64, u->count > 1 ? "," : "",
                    v->lease, v->incident);
    member(out, "verb", v->verb);
    member(out, "kind", v->kind);
    member(out, "target", v->target);
    member(out, "rule", v->rule);
    dm_bytes_printf(out, ",\"manual\":%s", v->manual ? "true" : "false");
    member(out, "next", v->next);
    dm_bytes_printf(out, "}");
}

static int undo(struct request *r)
{
    struct undoing u = {.r = r};
    mp_str why;
    if (r->count != 6) {
        dm_bytes_printf(r->out, "say what: client.ip=10.0.0.7, or #12\n");
        return 2;
    }
    const char *what = r->words[5];
    struct mp_undo ask = {
        .who = mp_str_of(r->who), .reason = mp_str_of(r->words[4]), .look = r->look};
    if (!lease_id(what, &ask.lease)) ask.target = mp_str_of(what);
    if (ask.target.len == 0 && ask.lease == 0) {
        dm_bytes_printf(r->out, "say what: client.ip=10.0.0.7, or #12\n");
        return 2;
    }
    mp_engine_undo(r->d->engine, &ask, &u, write_undone, &why);
    if (why.len > 0) {
        dm_bytes_printf(r->out, "%.*s\n", MP_STR_ARG(why));
        return 2;
    }
    if (!r->look && u.count > 0)
        dm_log(r->d, "warn", "%s deletes %s: %u leases", r->who, what, u.count);
    bool durable = r->look || dm_keep_flush(r->d);
    if (r->json) {
        dm_bytes_printf(r->out, "{\"version\":1,\"looked\":%s,\"deleted\":[%.*s]}\n",
                        r->look ? "true" : "false", (int)u.text.len,
                        u.text.len > 0 ? u.text.ptr : "");
    } else if (u.count == 0) {
        dm_bytes_printf(r->out, "nothing is in force on %s; `mpol decisions list` tells what is\n",
                        what);
    } else {
        dm_bytes_add(r->out, u.text.ptr, u.text.len);
        if (!durable) dm_bytes_printf(r->out, "but it is not kept: the store cannot write\n");
    }
    dm_bytes_free(&u.text);
    return u.count == 0 || !durable;
}

int dm_decisions(struct dm *d, char *const *words, size_t count, const char *who,
                 struct dm_bytes *out)
{
    struct request r = {.d = d, .words = words, .count = count, .who = who, .out = out};
    if (word_is(&r, 1, "list")) {
        r.json = word_is(&r, 2, "json");
        return list(&r);
    }
    if (word_is(&r, 1, "state")) return state(&r);
    r.look = !word_is(&r, 2, "do");
    r.show = word_is(&r, 2, "show");
    r.json = word_is(&r, 3, "json");
    if (word_is(&r, 1, "add")) return add(&r);
    if (word_is(&r, 1, "delete")) return undo(&r);
    dm_bytes_printf(out, "decisions list, decisions add, or decisions delete\n");
    return 2;
}
