/* SPDX-License-Identifier: Apache-2.0
 * Keeping and restoring: a row a case, a lease, a message, a clock, and an admission. The same rows
 * carry the state over a restart and over a change of program (R50): names and values, no row
 * numbers of a program, no pointers. A row's id is its slot, and it comes back into that slot.
 */
#include "engine/state_priv.h"

#define META_ADMISSIONS 16 /* META rows from this id on are admissions, by number */

void en_remember_gone(struct mp_engine *e, const struct en_gone *gone, mp_str rule, mp_str key,
                      mp_str verb, mp_str target)
{
    if (e->gone_count == EN_GONE_MAX) return;
    struct en_gone *g = &e->gone[e->gone_count++];
    *g = *gone;
    g->rule = mp_arena_str(&e->gone_arena, rule);
    g->key = mp_arena_str(&e->gone_arena, key);
    g->verb = mp_arena_str(&e->gone_arena, verb);
    g->target = mp_arena_str(&e->gone_arena, target);
}

uint64_t en_durable_with(const struct mp_engine *e)
{
    return e->swapping ? mp_ledger_seq(e->ledger) : 0;
}

static void put_clock(struct mp_engine *e, struct en_out *o, const struct en_clock *c)
{
    en_put_u8(o, EN_ROW_VERSION);
    en_put_u64(o, e->p->digest);
    en_put_u64(o, c->hold);
    en_put_key(e, o, e->p->hold[c->hold].grouping, c->key);
    en_put_i64(o, e->now_ns);
    en_put_hold(o, &c->h);
}

/* A nested hold has no name: another program begins it anew. */
static enum mp_err restore_clock(struct mp_engine *e, uint64_t id, struct en_in *i)
{
    if (id == 0 || id > e->limits.holds) return MP_ELIMIT;
    e->clocks[id - 1].dirty = true;
    uint64_t digest = en_get_u64(i), hold = en_get_u64(i);
    if (i->bad) return MP_ECORRUPT;
    if (digest != e->p->digest || hold >= e->p->hold_count) return MP_OK;
    uint32_t key = en_get_key(e, i, e->p->hold[hold].grouping);
    int64_t stopped_ns = en_get_span(i);
    struct mp_hold h = en_get_hold(i);
    if (i->bad) return MP_ECORRUPT;
    if (key == MP_NONE) return MP_OK;
    if (stopped_ns > e->kept_ns) e->kept_ns = stopped_ns;
    e->clocks[id - 1] =
        (struct en_clock){.hold = (uint32_t)hold, .key = key, .used = true, .dirty = true, .h = h};
    en_clock_adopt(e, &e->clocks[id - 1]);
    return MP_OK;
}

static void put_meta(struct mp_engine *e, struct en_out *o)
{
    en_put_u8(o, EN_ROW_VERSION);
    en_put_u64(o, e->next_incident);
    en_put_u64(o, e->next_lease);
    en_put_u8(o, e->braked);
}

/* An engine that is idle changes nothing, and then nothing may be written. */
static bool meta_changed(struct mp_engine *e)
{
    struct en_meta now = {e->next_incident, e->next_lease, e->braked};
    bool same = now.next_incident == e->meta_told.next_incident &&
                now.next_lease == e->meta_told.next_lease && now.braked == e->meta_told.braked;
    e->meta_told = now;
    return !same;
}

static void put_admitted(struct en_out *o, uint64_t n, const struct mp_admitted *a)
{
    en_put_u8(o, EN_ROW_VERSION);
    en_put_u64(o, n);
    en_put_i64(o, a->time_ns);
    en_put_u64(o, a->quota);
    en_put_u64(o, a->target);
    en_put_u64(o, a->per);
    en_put_u8(o, a->shadow);
}

static enum mp_err restore_meta(struct mp_engine *e, uint64_t id, struct en_in *i)
{
    if (id >= META_ADMISSIONS) {
        uint64_t n = en_get_u64(i);
        struct mp_admitted a = {.time_ns = en_get_span(i)};
        a.quota = en_get_u64(i);
        a.target = en_get_u64(i);
        a.per = en_get_u64(i);
        a.shadow = en_get_u8(i) != 0;
        if (i->bad) return MP_ECORRUPT;
        mp_decide_restore(e->decide, n, &a);
        if (n >= e->admissions_told) e->admissions_told = n + 1;
        return MP_OK;
    }
    uint64_t incident = en_get_u64(i), lease = en_get_u64(i);
    bool braked = en_get_u8(i) != 0;
    if (i->bad) return MP_ECORRUPT;
    e->next_incident = incident;
    e->next_lease = lease;
    e->braked = braked;
    e->meta_restored = true;
    return MP_OK;
}

/* ---- telling and restoring ---- */

static void tell(struct mp_engine *e, enum mp_row_kind kind, uint64_t id, const struct en_out *o,
                 void *ctx, void (*row)(void *ctx, const struct mp_state_row *row))
{
    size_t len = o == NULL ? 0 : (size_t)(o->at - e->words);
    struct mp_state_row r = {kind, id, {e->words, len}};
    row(ctx, &r);
}

static struct en_out empty_row(struct mp_engine *e)
{
    return (struct en_out){e->words, e->words + EN_WORDS_BYTES};
}

static void tell_meta(struct mp_engine *e, void *ctx,
                      void (*row)(void *ctx, const struct mp_state_row *row))
{
    struct en_out o = empty_row(e);
    if (meta_changed(e)) {
        put_meta(e, &o);
        tell(e, MP_ROW_META, 1, &o, ctx, row);
    }
    for (; e->admissions_told < mp_decide_noted(e->decide); e->admissions_told++) {
        struct mp_admitted a;
        if (!mp_decide_admitted(e->decide, e->admissions_told, &a)) continue;
        o = empty_row(e);
        put_admitted(&o, e->admissions_told, &a);
        uint64_t id = META_ADMISSIONS + e->admissions_told % e->limits.admissions;
        tell(e, MP_ROW_META, id, &o, ctx, row);
    }
}

static void tell_all(struct mp_engine *e, bool everything, void *ctx,
                     void (*row)(void *ctx, const struct mp_state_row *row))
{
    struct en_out o;
    /* The brake is asked apart: taken off, it would cancel out one entry in a sum. */
    uint64_t mark = mp_ledger_seq(e->ledger) + e->truth_total + e->clock_total;
    if (!everything && mark == e->told_mark && e->braked == e->meta_told.braked) return;
    if (!everything) e->told_mark = mark;
    if (!everything) tell_meta(e, ctx, row); /* another program does not change the numbers */
#define TELL(array, limit, is_used, kind, write)                                                   \
    for (uint32_t i = 0; i < (limit); i++) {                                                       \
        if (!(array)[i].dirty && !(everything && (is_used))) continue;                             \
        if (!everything) (array)[i].dirty = false;                                                 \
        if (is_used) {                                                                             \
            o = empty_row(e);                                                                      \
            write(e, &o, &(array)[i]);                                                             \
            tell(e, kind, i + 1, &o, ctx, row);                                                    \
        } else if (!everything) {                                                                  \
            tell(e, kind, i + 1, NULL, ctx, row);                                                  \
        }                                                                                          \
    }
    TELL(e->cases, e->case_end, e->cases[i].used, MP_ROW_INCIDENT, en_put_case)
    TELL(e->leases, e->lease_end, e->leases[i].used, MP_ROW_LEASE, en_put_lease)
    TELL(e->messages, e->limits.messages, e->messages[i].state != EN_MAIL_FREE, MP_ROW_MESSAGE,
         en_put_message)
    TELL(e->clocks, e->limits.holds, e->clocks[i].used, MP_ROW_HOLD, put_clock)
#undef TELL
    en_entry_begin(e);
}

void mp_engine_changes(struct mp_engine *e, void *ctx,
                       void (*row)(void *ctx, const struct mp_state_row *row))
{
    tell_all(e, false, ctx, row);
}

void en_state_tell(struct mp_engine *e, void *ctx,
                   void (*row)(void *ctx, const struct mp_state_row *row))
{
    tell_all(e, true, ctx, row);
}

enum mp_err mp_engine_restore(struct mp_engine *e, const struct mp_state_row *row)
{
    struct en_in i = {row->bytes.ptr, row->bytes.ptr + row->bytes.len, false};
    e->restoring = true;
    if (en_get_u8(&i) != EN_ROW_VERSION) return MP_ECORRUPT;
    switch (row->kind) {
    case MP_ROW_META: return restore_meta(e, row->id, &i);
    case MP_ROW_INCIDENT: return en_restore_case(e, row->id, &i);
    case MP_ROW_LEASE: return en_restore_lease(e, row->id, &i);
    case MP_ROW_MESSAGE: return en_restore_message(e, row->id, &i);
    case MP_ROW_HOLD: return restore_clock(e, row->id, &i);
    }
    return MP_ECORRUPT;
}
