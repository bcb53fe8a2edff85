/* SPDX-License-Identifier: Apache-2.0
 * Cells of rows: one function per kind of column (enums.def: column).
 */
#include "window/window_priv.h"

/* Whose cell it is: a key of a grouping, or a record (grouping MP_NONE). */
struct place {
    const struct mp_read *how;
    uint32_t grouping, key;      /* key MP_NONE: one that does not live */
    const struct mp_value *keys; /* its values */
    const struct mp_record *record;
};

static bool cell(struct mp_window *w, const struct place *at, uint32_t column,
                 struct mp_value *out);

static void set_cell(struct mp_window *w, const struct place *at, uint32_t column, uint32_t slot,
                     struct mp_row *row)
{
    if (cell(w, at, column, &row->cell[slot])) row->known[slot / 64] |= UINT64_C(1) << (slot % 64);
}

bool mp_read_walks(struct mp_window *w, const struct mp_record *r, const struct mp_value *keys,
                   uint32_t at, uint32_t count, struct mp_value *out)
{
    for (uint32_t i = 0; i < count && i < KEYS_MAX; i++) {
        if (!mp_walk_resolve(w->inventory, at + i, r, keys, &out[i])) return false;
    }
    return true;
}

static bool agg_cell(struct mp_window *w, const struct place *at, const struct mp_column_row *c,
                     uint32_t key, struct mp_value *out)
{
    if ((c->flags & MP_COL_RECORDS) != 0 || c->kind == MP_COL_SAMPLES) {
        *out = mp_value_int((int64_t)mp_window_samples(w, at->how, c->agg, key));
        return true;
    }
    unsigned char *total = mp_agg_total(w, at->how, c->agg, key);
    return mp_agg_answer(w, at->how, c->agg, c->flags, key, total, out);
}

/* ---- other keys ---- */

static bool reached_key(struct mp_window *w, const struct place *at, const struct mp_column_row *c,
                        uint32_t *key)
{
    struct mp_value values[KEYS_MAX];
    if (!mp_read_walks(w, at->record, at->keys, c->walks_at, c->walks_count, values)) return false;
    *key = mp_window_find(w, w->p->agg[c->agg].grouping, values);
    return true;
}

/* The kept value of a slot of time. NULL: this read is not of now, and is made anew. */
static struct published *kept(struct mp_window *w, const struct place *at, uint32_t grouping,
                              uint32_t key, uint32_t cache)
{
    if (at->how->settled || at->how->since_ns > 0 || key == MP_NONE || cache == MP_NONE) {
        return NULL;
    }
    struct group *g = &w->groups[grouping];
    return &g->published[(size_t)key * g->published_count + cache];
}

static bool fresh(const struct mp_window *w, const struct published *p)
{
    return p->slot == floor_div(w->now_ns, MP_WINDOW_SLOT_NS) && p->epoch == w->epoch;
}

static bool keep(const struct mp_window *w, struct published *p, bool known, struct mp_value *out)
{
    if (!known) *out = (struct mp_value){{0, 0}};
    if (p != NULL) {
        *p = (struct published){floor_div(w->now_ns, MP_WINDOW_SLOT_NS), w->epoch, *out, known};
    }
    return known;
}

static bool published_cell(struct mp_window *w, const struct place *at, uint32_t column,
                           struct mp_value *out)
{
    const struct mp_column_row *c = &w->p->column[column];
    uint32_t key;
    if (!reached_key(w, at, c, &key)) return false;
    struct published *p = kept(w, at, w->p->agg[c->agg].grouping, key, w->column_cache[column]);
    if (p != NULL && fresh(w, p)) {
        *out = p->value;
        return p->known;
    }
    return keep(w, p, agg_cell(w, at, c, key, out), out);
}

/* The members of the set that a walk leads to, copied to the stack of members, so that walks below
 * cannot change them. False: unknown, or more than there is room for. */
static bool take_members(struct mp_window *w, const struct place *at, uint32_t walk,
                         const struct mp_value **list, uint32_t *count)
{
    struct mp_value set;
    if (!mp_walk_resolve(w->inventory, walk, at->record, at->keys, &set)) return false;
    if (!mp_walk_is_set(w->p, walk)) { /* one member */
        if (w->member_top == MP_WALK_SET_MAX) return false;
        w->members[w->member_top] = set;
        *list = &w->members[w->member_top];
        *count = 1;
        w->member_top++;
        return true;
    }
    if (set.w[1] > MP_WALK_SET_MAX - w->member_top) return false;
    *count = (uint32_t)set.w[1];
    *list = &w->members[w->member_top];
    if (*count != 0) {
        memcpy(&w->members[w->member_top], (const void *)(uintptr_t)set.w[0],
               *count * sizeof *w->members);
    }
    w->member_top += *count;
    return true;
}

static bool pool(struct mp_window *w, const struct place *at, const struct mp_column_row *c,
                 struct mp_value *out)
{
    const struct mp_value *members;
    uint32_t count, top = w->member_top;
    if (!take_members(w, at, c->walks_at, &members, &count)) return false;
    const struct acc *a = &w->accs[w->agg_acc[c->agg]];
    bool any_seen = false;
    mp_acc_clear_total(a, w->gather2);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = mp_window_find(w, w->p->agg[c->agg].grouping, &members[i]);
        if (key == MP_NONE) continue;
        if (a->family == FAM_SEEN) {
            any_seen |= mp_window_samples(w, at->how, c->agg, key) != 0;
        } else if (a->family != FAM_LAST) {
            mp_acc_merge_total(a, w->gather2, mp_agg_total(w, at->how, c->agg, key));
        }
    }
    w->member_top = top;
    if (a->family == FAM_SEEN) {
        *out = (c->flags & MP_COL_RECORDS) != 0 ? mp_value_int(any_seen) : mp_value_bool(any_seen);
        return true;
    }
    if ((c->flags & MP_COL_RECORDS) != 0) {
        bool silent = mp_window_silent(w, a->signal);
        *out = mp_value_int(silent ? 0 : (int64_t)mp_acc_samples(w->gather2));
        return true;
    }
    return mp_agg_answer(w, at->how, c->agg, c->flags, MP_NONE, w->gather2, out);
}

/* Does `fn` hold for a member? Its row has only the cells that fn reads. */
static bool member_fits(struct mp_window *w, const struct place *at, uint32_t column,
                        struct mp_value member)
{
    const struct mp_column_row *c = &w->p->column[column];
    const struct mp_grouping_row *g = &w->p->grouping[c->grouping];
    struct mp_row *row = &w->member_row[w->nest - 1];
    struct place inner = {.how = at->how, .grouping = c->grouping, .keys = &member,
                          .key = mp_window_find(w, c->grouping, &member)};
    memset(row->known, 0, (g->columns_count / 64 + 1) * sizeof *row->known);
    memset(row->cell, 0, g->columns_count * sizeof *row->cell);
    const struct member_plan *plan = &w->member_plans[column];
    for (uint32_t i = 0; i < plan->count; i++) {
        uint32_t of = w->member_columns[plan->at + i], slot = of - g->columns_at;
        set_cell(w, &inner, of, slot, row);
    }
    row->grouping = c->grouping;
    row->key = inner.key;
    return w->hooks.member != NULL && w->hooks.member(w->hooks.ctx, c->fn, row) == MP_TRUE;
}

static bool count_members(struct mp_window *w, const struct place *at, uint32_t column,
                          struct mp_value *out)
{
    const struct mp_value *members;
    uint32_t count, fit = 0, top = w->member_top;
    if (w->nest == NEST_MAX) return false;
    if (!take_members(w, at, w->p->column[column].walks_at, &members, &count)) return false;
    w->nest++;
    for (uint32_t i = 0; i < count; i++) fit += member_fits(w, at, column, members[i]);
    w->nest--;
    w->member_top = top;
    *out = mp_value_int(fit);
    return true;
}

static bool set_size(struct mp_window *w, const struct place *at, const struct mp_column_row *c,
                     struct mp_value *out)
{
    struct mp_value set;
    if (!mp_walk_resolve(w->inventory, c->walks_at, at->record, at->keys, &set)) return false;
    *out = mp_value_int(mp_walk_is_set(w->p, c->walks_at) ? (int64_t)set.w[1] : 1);
    return true;
}

static bool slow_cell(struct mp_window *w, const struct place *at, uint32_t column,
                      struct mp_value *out)
{
    const struct mp_column_row *c = &w->p->column[column];
    struct published *p = at->grouping != MP_NONE
                              ? kept(w, at, at->grouping, at->key, w->column_cache[column]) : NULL;
    if (p != NULL && fresh(w, p)) {
        *out = p->value;
        return p->known;
    }
    bool known = c->kind == MP_COL_POOLED    ? pool(w, at, c, out)
                 : c->kind == MP_COL_MEMBERS ? count_members(w, at, column, out)
                                             : set_size(w, at, c, out);
    return keep(w, p, known, out);
}

/* ---- the record at hand ---- */

static bool event_cell(const struct place *at, const struct mp_column_row *c, struct mp_value *out)
{
    const struct mp_read *how = at->how;
    if (how->record == NULL || how->outputs == NULL || how->record->signal != c->signal) {
        return false;
    }
    if (!bit(how->outputs->known, c->index)) return false;
    if (mp_type_rep(c->type) == MP_REP_B) {
        *out = mp_value_bool(bit(how->outputs->truth, c->index));
    } else {
        *out = how->outputs->value[c->index];
    }
    return true;
}

static bool hold_cell(struct mp_window *w, const struct place *at, const struct mp_column_row *c,
                      struct mp_value *out)
{
    if (w->hooks.hold == NULL || at->key == MP_NONE || at->grouping == MP_NONE) return false;
    uint32_t hold = w->p->grouping[at->grouping].holds_at + c->index;
    enum mp_truth t = w->hooks.hold(w->hooks.ctx, at->how, hold, at->key);
    *out = mp_value_bool(t == MP_TRUE);
    return t != MP_UNKNOWN;
}

static bool incident_cell(struct mp_window *w, const struct place *at, uint32_t column,
                          struct mp_value *out)
{
    return w->hooks.incident != NULL &&
           w->hooks.incident(w->hooks.ctx, column, at->key, at->how->asker, out);
}

static bool cell_of_kind(struct mp_window *w, const struct place *at, uint32_t column,
                         struct mp_value *out)
{
    const struct mp_column_row *c = &w->p->column[column];
    uint32_t key;
    switch ((enum mp_column)c->kind) {
    case MP_COL_AGG:
    case MP_COL_SAMPLES: return agg_cell(w, at, c, at->key, out);
    case MP_COL_REACHED: return reached_key(w, at, c, &key) && agg_cell(w, at, c, key, out);
    case MP_COL_PUBLISHED: return published_cell(w, at, column, out);
    case MP_COL_POOLED:
    case MP_COL_MEMBERS:
    case MP_COL_SET_SIZE: return slow_cell(w, at, column, out);
    case MP_COL_ATTR: return mp_walk_resolve(w->inventory, c->walks_at, at->record, at->keys, out);
    case MP_COL_KEY:
        if (at->keys != NULL) *out = at->keys[c->index];
        return at->keys != NULL;
    case MP_COL_EVENT: return event_cell(at, c, out);
    case MP_COL_HOLD: return hold_cell(w, at, c, out);
    case MP_COL_STALE: *out = mp_value_bool(mp_window_silent(w, c->signal)); return true;
    case MP_COL_AT_TRIGGER:
    case MP_COL_INCIDENTS: return incident_cell(w, at, column, out);
    case MP_COL_OVERRIDE: return mp_override_read(w, at->record, at->keys, column, out);
    case MP_COL_COUNT: break;
    }
    MP_UNREACHABLE("a kind of column");
}

/* A cell; zeros where it is unknown. */
static bool cell(struct mp_window *w, const struct place *at, uint32_t column, struct mp_value *out)
{
    bool known = cell_of_kind(w, at, column, out);
    if (!known) *out = (struct mp_value){{0, 0}};
    return known;
}

/* ---- rows ---- */

static struct place place_of(const struct mp_window *w, const struct mp_read *how,
                             uint32_t grouping, uint32_t key)
{
    return (struct place){.how = how, .grouping = grouping, .key = key,
                          .keys = key != MP_NONE ? mp_window_key(w, grouping, key) : NULL};
}

void mp_window_fill(struct mp_window *w, const struct mp_read *how, uint32_t grouping, uint32_t key,
                    struct mp_row *row)
{
    const struct mp_grouping_row *g = &w->p->grouping[grouping];
    struct place at = place_of(w, how, grouping, key);
    memset(row->known, 0, (g->columns_count + 63) / 64 * sizeof *row->known);
    row->grouping = grouping;
    row->key = key;
    for (uint32_t i = 0; i < g->columns_count; i++) set_cell(w, &at, g->columns_at + i, i, row);
}

void mp_window_fill_inputs(struct mp_window *w, const struct mp_read *how, uint32_t grouping,
                           uint32_t key, uint32_t first, uint32_t count, struct mp_row *row)
{
    const struct mp_grouping_row *g = &w->p->grouping[grouping];
    struct place at = place_of(w, how, grouping, key);
    memset(row->known, 0, (g->columns_count + 63) / 64 * sizeof *row->known);
    memset(row->cell, 0, g->columns_count * sizeof *row->cell);
    row->grouping = grouping;
    row->key = key;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t column = w->p->input[first + i].column, slot = column - g->columns_at;
        MP_ASSERT(slot < g->columns_count);
        set_cell(w, &at, column, slot, row);
    }
}

bool mp_window_read(struct mp_window *w, const struct mp_read *how, uint32_t grouping, uint32_t key,
                    uint32_t column, struct mp_value *out)
{
    struct place at = place_of(w, how, grouping, key);
    return cell(w, &at, column, out);
}

void mp_window_fill_record(struct mp_window *w, const struct mp_record *r, struct mp_row *row)
{
    static const struct mp_read now = {0};
    const struct mp_signal_row *s = &w->p->signal[r->signal];
    struct place at = {.how = &now, .grouping = MP_NONE, .key = MP_NONE, .record = r};
    memset(row->known, 0, (s->columns_count + 63) / 64 * sizeof *row->known);
    row->grouping = row->key = MP_NONE;
    for (uint32_t i = 0; i < s->columns_count; i++) set_cell(w, &at, s->columns_at + i, i, row);
}
