/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* ---- the cells of a row ---- */

uint32_t lw_owner_number(struct lw_owner owner)
{
    return owner.grouping != NULL ? owner.grouping->row : LW_SIGNAL_OWNER + owner.signal->row;
}

static struct mp_column_row column(enum mp_column kind, struct mp_t_type type)
{
    struct mp_column_row row = {.kind = kind, .type = lw_type(type), .grouping = MP_NONE,
                                .signal = MP_NONE, .agg = MP_NONE, .fn = MP_NONE};
    if (type.is_set) row.flags = MP_COL_SET;
    return row;
}

static uint32_t slot_count(const struct lw_owner *owner)
{
    return owner->grouping != NULL ? owner->grouping->columns.len : owner->signal->columns.len;
}

static uint32_t add_column(struct lw *lw, struct lw_owner owner, const struct mp_column_row *made)
{
    *LW_ADD(lw, column) = *made;
    uint32_t number = lw->ir->column.len - 1;
    LW_PUSH(lw, &lw->column_owners, lw_owner_number(owner));
    LW_PUSH(lw, &lw->column_stamps, 0);
    if (owner.grouping != NULL) {
        LW_PUSH(lw, &owner.grouping->columns, number);
    } else {
        LW_PUSH(lw, &owner.signal->columns, number);
    }
    return slot_count(&owner) - 1;
}

/* The words of a row are its content: equal rows of one owner are one column. Texts are for people,
 * and the first author's stays. */
static uint32_t find_or_add(struct lw *lw, struct lw_owner owner, struct mp_column_row row)
{
    const uint32_t words[] = {lw_owner_number(owner), row.kind, row.type, row.grouping, row.signal,
                              row.agg, row.walks_at, row.walks_count, row.fn, row.index, row.flags,
                              (uint32_t)row.window_ns, (uint32_t)(row.window_ns >> 32)};
    bool fresh;
    uint32_t slot = LW_INTERN_WORDS(lw, 'C', words, slot_count(&owner), &fresh);
    return fresh ? add_column(lw, owner, &row) : slot;
}

static uint32_t row_of_slot(struct lw_owner owner, uint32_t slot)
{
    if (owner.grouping != NULL) return owner.grouping->columns.ptr[slot];
    return owner.signal->columns.ptr[slot];
}

uint32_t lw_read(struct lw_ctx *c, struct mp_column_row row)
{
    uint32_t slot = find_or_add(c->lw, c->owner, row);
    if (row.agg != MP_NONE && c->agg_column == MP_NONE) c->agg_column = row_of_slot(c->owner, slot);
    enum mp_rep rep = row.flags & MP_COL_SET ? MP_REP_S : mp_type_rep(row.type);
    return lw_op_col(c, slot, rep);
}

static void set_text(struct lw_ctx *c, struct mp_column_row *row, mp_str text)
{
    row->text = lw_text(c->lw, text);
}

static void set_walks(struct lw_ctx *c, struct mp_column_row *row, const struct lw_way *ways,
                      uint32_t count)
{
    row->walks_at = lw_walk_rows(c->lw, ways, count);
    row->walks_count = count;
}

/* A record of `signal` may change what a row of the owner says. */
static void note_signal(struct lw_ctx *c, const struct mp_t_signal *signal)
{
    if (c->owner.grouping != NULL) c->owner.grouping->reads[signal->index] = true;
}

/* ---- walks ---- */

static uint32_t read_key(struct lw_ctx *c, const struct lw_way *way, struct mp_t_type type,
                         mp_str text)
{
    struct mp_column_row row = column(MP_COL_KEY, type);
    row.index = way->index;
    set_text(c, &row, text);
    return lw_read(c, row);
}

static uint32_t read_attr(struct lw_ctx *c, const struct lw_way *way, mp_str text)
{
    struct mp_column_row row = column(MP_COL_ATTR, way->type);
    set_walks(c, &row, way, 1);
    set_text(c, &row, text);
    return lw_read(c, row);
}

/* Does a record say this of its own entity? Not sets: members are for the inventory to tell. */
static bool is_told(const struct mp_t_walk *walk)
{
    if (walk->base != MP_T_BASE_RECORD_KEY || walk->hop_count != 1) return false;
    return !walk->hops[0]->type.is_map && !walk->hops[0]->type.is_set;
}

/* What the record itself says of its entity comes first. */
static uint32_t read_record_attr(struct lw_ctx *c, const struct mp_t_walk *walk,
                                 const struct lw_way *way)
{
    uint32_t known = read_attr(c, way, walk->text);
    if (!is_told(walk)) return known;
    uint32_t slot = lw_attr_slot(c->lw, c->owner.signal, walk->index, walk->hops[0]);
    uint32_t told = lw_op_field(c, slot, lw_rep(walk->type));
    return lw_op(c, MP_OP_DEFAULT, told, known, 0);
}

uint32_t lw_read_walk(struct lw_ctx *c, const struct mp_t_walk *walk, struct mp_span span)
{
    struct lw_way way = lw_way_of(c, walk, span);
    if (way.hop_count > 0) {
        return c->record ? read_record_attr(c, walk, &way) : read_attr(c, &way, walk->text);
    }
    switch (way.base) {
    case MP_WALK_CONST: return lw_op_const(c, way.index);
    case MP_WALK_FIELD: return lw_op_field(c, way.index, lw_rep(walk->type));
    default: return read_key(c, &way, walk->type, walk->text);
    }
}

/* ---- aggregates ---- */

static bool at_own_key(const struct lw_ctx *c, const struct lw_grouping *g,
                       const struct lw_way *ways)
{
    if (c->record || c->owner.grouping != g) return false;
    for (uint32_t i = 0; i < g->keys->count; i++) {
        bool itself = ways[i].base == MP_WALK_KEY && ways[i].index == i && ways[i].hop_count == 0;
        if (!itself) return false;
    }
    return true;
}

static bool lower_bound_is_enough(const struct lw_ctx *c, const struct mp_t_agg *agg)
{
    return c->sign > 0 && mp_agg_counting(agg->kind) && agg->kind != MP_AGG_SEEN;
}

static void set_reach(struct lw_ctx *c, const struct mp_t_expr *e, struct mp_column_row *row)
{
    const struct mp_t_agg *agg = e->agg;
    if (agg->of_set != NULL) {
        struct lw_way way = lw_way_of(c, agg->of_set, e->span);
        row->kind = MP_COL_POOLED;
        set_walks(c, row, &way, 1);
        return;
    }
    struct lw_grouping *g = lw_grouping(c->lw, agg->keys);
    struct lw_way *ways = LW_NEW(c->lw, struct lw_way, g->keys->count);
    for (uint32_t i = 0; i < g->keys->count; i++) ways[i] = lw_way_of(c, &agg->at[i], e->span);
    if (at_own_key(c, g, ways)) return;
    row->kind = c->record || agg->published ? MP_COL_PUBLISHED : MP_COL_REACHED;
    set_walks(c, row, ways, g->keys->count);
}

uint32_t lw_read_agg(struct lw_ctx *c, const struct mp_t_expr *e, bool samples)
{
    uint32_t agg = lw_agg(c->lw, e->agg, e->type);
    struct mp_column_row row = column(MP_COL_AGG, e->type);
    row.agg = agg;
    row.window_ns = e->agg->window_ns;
    set_reach(c, e, &row);
    if (samples) {
        row.type = MP_TYPE_INT;
        if (row.kind == MP_COL_AGG) {
            row.kind = MP_COL_SAMPLES;
        } else {
            row.flags |= MP_COL_RECORDS;
        }
    } else {
        if (lower_bound_is_enough(c, e->agg)) row.flags |= MP_COL_LOWER_BOUND;
        if (e->agg->kind == MP_AGG_SEEN) row.flags |= MP_COL_OBSERVED;
    }
    set_text(c, &row, e->text);
    note_signal(c, e->agg->signal);
    return lw_read(c, row);
}

/* ---- the record at hand, in a rule with a row ---- */

uint32_t lw_read_event(struct lw_ctx *c, const struct mp_t_expr *e)
{
    struct lw_reads reads = lw_reads(e);
    MP_ASSERT(reads.record && reads.signal != NULL && !c->record);
    if (c->member) {
        lw_refuse(c->lw, e->span, "a condition on members that also asks the record at hand");
    }
    if (e->type.is_set) {
        lw_refuse(c->lw, e->span, "a set of the record at hand, in a rule with windows");
    }
    struct lw_signal *s = lw_signal_of(c->lw, reads.signal);
    struct mp_column_row row = column(MP_COL_EVENT, e->type);
    row.signal = s->row;
    row.index = lw_record_out(c->lw, s, e, c->rule);
    set_text(c, &row, e->text);
    note_signal(c, reads.signal);
    return lw_read(c, row);
}

/* ---- members of a set ---- */

/* What a member's condition reads, the rows of whoever counts it read too. */
static void note_member_signals(struct lw_ctx *c, const struct lw_grouping *members)
{
    for (uint32_t i = 0; c->owner.grouping != NULL && i < c->lw->t->signals.len; i++) {
        if (members->reads[i]) c->owner.grouping->reads[i] = true;
    }
}

/* `count(svc.instances)`: all of them. */
static bool counts_all(const struct mp_t_expr *e)
{
    const struct mp_t_expr *cond = e->kid[0];
    return cond == NULL || (cond->kind == MP_TX_CONST && cond->value.w[0] != 0);
}

/* Equal conditions on members are one function, so that those who count them share a column. */
static uint32_t member_fn(struct lw_ctx *c, const struct mp_t_expr *e, struct lw_grouping *members)
{
    struct mp_buf text;
    mp_buf_init(&text, c->lw->scratch);
    mp_buf_printf(&text, "M%u ", members->row);
    lw_canonical(&text, e->kid[0], true);
    bool fresh;
    uint32_t known = lw_intern(c->lw, lw_view(c->lw, &text), MP_NONE, &fresh);
    if (!fresh) return known;
    struct lw_ctx inner = {.lw = c->lw, .owner = {.grouping = members}, .member = true,
                           .keys = members->keys, .rule = c->rule, .agg_column = MP_NONE};
    uint32_t fn = lw_fn(&inner, e->text, e->kid[0], 0);
    mp_map_get(&c->lw->interned, lw_view(c->lw, &text))->value = fn;
    return fn;
}

uint32_t lw_read_members(struct lw_ctx *c, const struct mp_t_expr *e)
{
    struct lw_way way = lw_way_of(c, e->walk, e->span);
    struct mp_t_type int_type = {.base = MP_TYPE_INT};
    struct mp_column_row row = column(counts_all(e) ? MP_COL_SET_SIZE : MP_COL_MEMBERS, int_type);
    set_walks(c, &row, &way, 1);
    set_text(c, &row, e->text);
    if (counts_all(e)) return lw_read(c, row);
    struct lw_grouping *members = lw_grouping_of(c->lw, e->walk->type);
    row.fn = member_fn(c, e, members);
    row.grouping = members->row;
    note_member_signals(c, members);
    return lw_read(c, row);
}

/* ---- the rest ---- */

uint32_t lw_read_stale(struct lw_ctx *c, const struct mp_t_signal *signal)
{
    struct mp_column_row row = column(MP_COL_STALE, (struct mp_t_type){.base = MP_TYPE_BOOL});
    row.signal = lw_signal_of(c->lw, signal)->row;
    set_text(c, &row, signal->name);
    note_signal(c, signal);
    return lw_read(c, row);
}

uint32_t lw_read_held(struct lw_ctx *c, const struct mp_t_expr *e)
{
    struct lw_grouping *g = c->owner.grouping;
    if (g == NULL || c->member) {
        lw_refuse(c->lw, e->span, "`for` inside a condition without a row of its own");
    }
    struct mp_column_row row = column(MP_COL_HOLD, (struct mp_t_type){.base = MP_TYPE_BOOL});
    set_text(c, &row, e->text);
    struct mp_buf key;
    mp_buf_init(&key, c->lw->scratch);
    mp_buf_printf(&key, "H%u %lld ", g->row, (long long)e->hold_ns);
    lw_canonical(&key, e->kid[0], true);
    bool fresh;
    row.index = lw_intern(c->lw, lw_view(c->lw, &key), g->hold_count, &fresh);
    if (!fresh) return lw_read(c, row);
    struct lw_ctx inner = *c;
    struct mp_ir_fn unused;
    inner.fn = &unused;
    uint32_t fn = lw_fn(&inner, e->text, e->kid[0], 0);
    /* A hold inside this one took a number meanwhile: numbers follow the order of the rows. */
    row.index = g->hold_count++;
    mp_map_get(&c->lw->interned, lw_view(c->lw, &key))->value = row.index;
    uint32_t value = lw_read(c, row);
    struct mp_hold_row *hold = LW_ADD(c->lw, hold);
    hold->grouping = g->row;
    hold->fn = fn;
    hold->hold_ns = e->hold_ns;
    hold->column = g->columns.ptr[g->columns.len - 1];
    return value;
}

uint32_t lw_read_incidents(struct lw_ctx *c, const struct mp_t_expr *e)
{
    if (c->record) lw_refuse(c->lw, e->span, "`count(incidents)` without a row");
    struct mp_column_row row = column(MP_COL_INCIDENTS, e->type);
    row.window_ns = e->window_ns;
    set_text(c, &row, e->text);
    return lw_read(c, row);
}

uint32_t lw_read_trigger(struct lw_ctx *c, const struct mp_t_expr *e)
{
    if (c->triggers == NULL) {
        lw_refuse(c->lw, e->span, "`at_trigger` outside of a rule with windows");
    }
    uint32_t index = 0;
    for (; index < c->triggers->list.len; index++) {
        const struct mp_t_expr *known = c->triggers->list.ptr[index];
        struct mp_buf a, b;
        mp_buf_init(&a, c->lw->scratch);
        mp_buf_init(&b, c->lw->scratch);
        lw_canonical(&a, known, true);
        lw_canonical(&b, e->kid[0], true);
        if (mp_str_eq(lw_view(c->lw, &a), lw_view(c->lw, &b))) break;
    }
    if (index == c->triggers->list.len) LW_PUSH(c->lw, &c->triggers->list, e->kid[0]);
    struct mp_column_row row = column(MP_COL_AT_TRIGGER, e->type);
    row.index = index;
    set_text(c, &row, e->text);
    return lw_read(c, row);
}

/* ---- what a test sets ---- */

bool lw_overridable(const struct lw *lw, const struct mp_t_expr *e)
{
    if (!lw->options->with_tests || e->kind != MP_TX_DEF) return false;
    if (e->def->kind == MP_DEF_ATTR) return false;
    if (e->def->kind == MP_DEF_DEF && e->def->body == NULL) return false; /* it has parameters */
    uint32_t keys = e->def->keys == NULL ? 0 : e->def->keys->count;
    return keys == 0 || e->def_at != NULL;
}

uint32_t lw_def(struct lw *lw, const struct mp_t_def *def)
{
    uint32_t *known = &lw->def_rows[def->index];
    if (*known != MP_NONE) return *known;
    uint32_t grouping = def->kind == MP_DEF_ATTR ? MP_NONE : lw_grouping(lw, def->keys)->row;
    uint32_t attr = def->attr == NULL ? MP_NONE : lw_attr(lw, def->attr);
    struct mp_def_row *row = LW_ADD(lw, def);
    *known = lw->ir->def.len - 1;
    row->type = lw_type(def->type);
    row->kind = def->kind;
    row->grouping = grouping;
    row->attr = attr;
    row->signal = def->signal == NULL ? MP_NONE : def->signal->index;
    row->package = lw_text(lw, def->package);
    row->name = lw_text(lw, def->name);
    return *known;
}

uint32_t lw_read_override(struct lw_ctx *c, const struct mp_t_expr *e, bool state)
{
    struct mp_t_type type = state ? (struct mp_t_type){.base = MP_TYPE_INT} : e->type;
    struct mp_column_row row = column(MP_COL_OVERRIDE, type);
    if (state) row.flags |= MP_COL_STATE;
    row.index = lw_def(c->lw, e->def);
    uint32_t keys = e->def->keys == NULL ? 0 : e->def->keys->count;
    struct lw_way *ways = LW_NEW(c->lw, struct lw_way, keys);
    for (uint32_t i = 0; i < keys; i++) ways[i] = lw_way_of(c, &e->def_at[i], e->span);
    set_walks(c, &row, ways, keys);
    set_text(c, &row, e->text);
    return lw_read(c, row);
}
