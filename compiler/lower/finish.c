/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* ---- how records find rows and leases ---- */

static void feed(struct lw *lw, struct lw_signal *s, struct lw_grouping *g)
{
    struct lw_way *ways = LW_NEW(lw, struct lw_way, g->keys->count);
    for (uint32_t i = 0; i < g->keys->count; i++) {
        /* Only what other keys' rows say is read here: no record of this signal has such a key. */
        if (!lw_record_way(lw, s, &g->keys->keys[i], &ways[i])) return;
    }
    uint32_t walks = lw_walk_rows(lw, ways, g->keys->count);
    *LW_ADD(lw, feed) = (struct mp_feed_row){s->row, g->row, walks, g->keys->count};
}

static void feeds(struct lw *lw, struct lw_signal *s)
{
    uint32_t from = lw->ir->feed.len;
    for (uint32_t i = 0; i < lw->groupings.len; i++) {
        if (lw->groupings.ptr[i]->reads[s->t->index]) feed(lw, s, lw->groupings.ptr[i]);
    }
    MP_IR_SPAN(lw->ir, signal, s->row, feeds, feed, from);
    from = lw->ir->agg_use.len;
    for (uint32_t i = 0; i < s->aggs.len; i++) LW_ADD(lw, agg_use)->agg = s->aggs.ptr[i];
    MP_IR_SPAN(lw->ir, signal, s->row, aggs, agg_use, from);
}

static void reach(struct lw *lw, struct lw_signal *s, const struct mp_action_target_row *target,
                  const struct lw_way *way, bool outbound)
{
    uint32_t walk = lw_walk_rows(lw, way, 1);
    *LW_ADD(lw, reach) =
        (struct mp_reach_row){s->row, target->entity, target->type, walk, outbound};
}

static bool is_target(const struct mp_action_target_row *target, struct mp_t_type type)
{
    if (type.is_set || type.is_map) return false;
    if (target->entity == MP_NONE) return type.base == (enum mp_type)target->type;
    return type.base == MP_TYPE_ENTITY && type.entity->index == target->entity;
}

static bool reach_by_key(struct lw *lw, struct lw_signal *s,
                         const struct mp_action_target_row *target)
{
    bool found = false;
    for (uint32_t k = 0; k < s->t->key_count; k++) {
        struct mp_t_type type = {.base = MP_TYPE_ENTITY, .entity = s->t->keys[k]};
        if (!is_target(target, type)) continue;
        struct lw_way way = {.base = MP_WALK_FIELD, .index = lw_key_slot(lw, s, k),
                             .entity = s->t->keys[k], .type = type};
        reach(lw, s, target, &way, false);
        found = true;
    }
    return found;
}

static void reach_by_field(struct lw *lw, struct lw_signal *s,
                           const struct mp_action_target_row *target, bool outbound_only)
{
    for (uint32_t f = 0; f < s->t->field_count; f++) {
        const struct mp_t_field *field = &s->t->fields[f];
        if (!is_target(target, field->type) || (outbound_only && !field->outbound)) continue;
        struct lw_way way = {.base = MP_WALK_FIELD, .type = field->type};
        way.index = lw_field_slot(lw, s, field, (mp_str){0});
        if (field->type.base == MP_TYPE_ENTITY) way.entity = field->type.entity;
        reach(lw, s, target, &way, field->outbound);
    }
}

/* What the record itself says of its entity, and what the inventory says. */
static void reach_by_attr(struct lw *lw, struct lw_signal *s,
                          const struct mp_action_target_row *target)
{
    for (uint32_t k = 0; k < s->t->key_count; k++) {
        const struct mp_t_entity *entity = s->t->keys[k];
        for (uint32_t a = 1; a < entity->attr_count; a++) {
            const struct mp_t_attr *attr = &entity->attrs[a];
            if (!is_target(target, attr->type)) continue;
            struct lw_way told = {.base = MP_WALK_FIELD, .type = attr->type};
            told.index = lw_attr_slot(lw, s, k, attr);
            if (attr->type.base == MP_TYPE_ENTITY) told.entity = attr->type.entity;
            reach(lw, s, target, &told, false);
            struct lw_way known = {.base = MP_WALK_FIELD, .index = lw_key_slot(lw, s, k),
                                   .entity = entity, .hops = &attr, .hop_count = 1,
                                   .type = attr->type};
            reach(lw, s, target, &known, false);
        }
    }
}

static bool seen_before(const struct lw *lw, uint32_t index)
{
    const struct mp_action_target_row *rows = lw->ir->action_target.ptr;
    for (uint32_t i = 0; i < index; i++) {
        if (rows[i].entity == rows[index].entity && rows[i].type == rows[index].type) return true;
    }
    return false;
}

/* Leases of these classes are asked about at each request, or while it is open (R31). */
static bool is_met(const struct mp_action_row *action)
{
    return action->class == MP_CLASS_TRAFFIC || action->class == MP_CLASS_ACCESS ||
           action->class == MP_CLASS_SESSION;
}

/* What no policy acts on may be acted on by an operator: there the nearest way is enough, so that
 * records are asked for little more than policies read. */
static void reach_target(struct lw *lw, struct lw_signal *s, uint32_t number, bool by_policies)
{
    struct mp_action_target_row target = lw->ir->action_target.ptr[number];
    bool lease = target.type != MP_TYPE_EVENT && target.type != MP_TYPE_ANY;
    if (!lease || seen_before(lw, number)) return;
    uint32_t before = lw->ir->reach.len;
    bool by_key = reach_by_key(lw, s, &target);
    reach_by_field(lw, s, &target, !by_policies && by_key); /* both directions (R30) */
    if (by_policies ? !by_key : lw->ir->reach.len == before) reach_by_attr(lw, s, &target);
}

static void reaches(struct lw *lw, struct lw_signal *s)
{
    uint32_t from = lw->ir->reach.len;
    for (uint32_t a = 0; s->t->kind == MP_SIGNAL_EVENT && a < lw->ir->action.len; a++) {
        const struct mp_action_row *action = &lw->ir->action.ptr[a];
        bool by_policies = a < lw->actions_used;
        if (!by_policies && !is_met(action)) continue;
        for (uint32_t i = action->targets_at; i < action->targets_at + action->targets_count; i++) {
            reach_target(lw, s, i, by_policies);
        }
    }
    MP_IR_SPAN(lw->ir, signal, s->row, reaches, reach, from);
}

/* What a record says of its entities beside their keys, where somebody reads it (4.1). */
static void told(struct lw *lw, struct lw_signal *s)
{
    for (uint32_t k = 0; s->t->kind == MP_SIGNAL_EVENT && k < s->t->key_count; k++) {
        const struct lw_entity *entity = &lw->entities[s->t->keys[k]->index];
        for (uint32_t a = 1; a < entity->t->attr_count; a++) {
            const struct mp_t_attr *attr = &entity->t->attrs[a];
            bool scalar = !attr->type.is_set && !attr->type.is_map;
            if (scalar && entity->attrs[a] != MP_NONE) lw_attr_slot(lw, s, k, attr);
        }
    }
}

static void record_unit(struct lw *lw, struct lw_signal *s)
{
    if (!s->has_unit) return;
    uint32_t fn = mp_ir_fn_end(&s->unit);
    lw_ok(lw);
    struct mp_unit_row *row = LW_ADD(lw, unit);
    row->kind = MP_UNIT_RECORD;
    row->signal = s->row;
    row->fn = fn;
    lw->ir->signal.ptr[s->row].unit = lw->ir->unit.len - 1;
}

/* ---- rows of one owner become neighbours ---- */

/* Rows of `table` get new numbers: every reference to them follows. */
static void renumber(struct lw *lw, uint32_t table, const uint32_t *new_row)
{
    struct mp_program view;
    mp_ir_view(lw->ir, &view);
    for (uint32_t t = 0; t < MP_TABLE_COUNT; t++) {
        const struct mp_table_layout *layout = mp_table_layout(t);
        uint32_t count, member_count;
        char *rows = (char *)mp_program_rows(&view, t, &count);
        const struct mp_member *members = mp_table_members(t, &member_count);
        for (uint32_t m = 0; m < member_count; m++) {
            const struct mp_member *member = &members[m];
            bool refers = member->kind == MP_MEMBER_REF || member->kind == MP_MEMBER_NEED;
            if (!refers || member->of != table) continue;
            for (uint32_t i = 0; i < count; i++) {
                char *row = rows + (size_t)i * layout->row_bytes;
                uint32_t *ref = (uint32_t *)(void *)(row + member->offset_bytes);
                if (*ref != MP_NONE) *ref = new_row[*ref];
            }
        }
    }
}

/* Sorts the rows of `table` by owner, stably; starts[o] is the first row of owner o,
 * starts[owner_count] the end. */
static uint32_t *gather(struct lw *lw, uint32_t table, const uint32_t *owners, uint32_t owner_count)
{
    struct mp_program view;
    mp_ir_view(lw->ir, &view);
    uint32_t count, row_bytes = mp_table_layout(table)->row_bytes;
    char *rows = (char *)mp_program_rows(&view, table, &count);
    uint32_t *starts = LW_NEW(lw, uint32_t, owner_count + 1);
    for (uint32_t i = 0; i < count; i++) starts[owners[i] + 1]++;
    for (uint32_t o = 0; o < owner_count; o++) starts[o + 1] += starts[o];
    uint32_t *next = LW_NEW(lw, uint32_t, owner_count), *new_row = LW_NEW(lw, uint32_t, count);
    for (uint32_t o = 0; o < owner_count; o++) next[o] = starts[o];
    char *copy = LW_NEW(lw, char, (size_t)count * row_bytes);
    if (count > 0) memcpy(copy, rows, (size_t)count * row_bytes);
    for (uint32_t i = 0; i < count; i++) {
        new_row[i] = next[owners[i]]++;
        memcpy(rows + (size_t)new_row[i] * row_bytes, copy + (size_t)i * row_bytes, row_bytes);
    }
    renumber(lw, table, new_row);
    return starts;
}

/* Owners of all rows of a table, from a member of the row itself. */
#define LW_OWNERS(lw, out, table, owner)                                                           \
    uint32_t *out = LW_NEW((lw), uint32_t, (lw)->ir->table.len);                                   \
    for (uint32_t i_ = 0; i_ < (lw)->ir->table.len; i_++) out[i_] = (lw)->ir->table.ptr[i_].owner

#define LW_SET_SPANS(lw, owner_table, span, starts, first)                                         \
    for (uint32_t i_ = 0; i_ < (lw)->ir->owner_table.len; i_++) {                                  \
        const uint32_t *s_ = &(starts)[(first) + i_];                                              \
        (lw)->ir->owner_table.ptr[i_].span##_at = s_[0];                                           \
        (lw)->ir->owner_table.ptr[i_].span##_count = s_[1] - s_[0];                                \
    }

static void gather_columns(struct lw *lw)
{
    uint32_t groupings = lw->ir->grouping.len, signals = lw->ir->signal.len;
    uint32_t *owners = LW_NEW(lw, uint32_t, lw->ir->column.len);
    for (uint32_t i = 0; i < lw->ir->column.len; i++) {
        uint32_t owner = lw->column_owners.ptr[i];
        owners[i] = owner < LW_SIGNAL_OWNER ? owner : groupings + (owner - LW_SIGNAL_OWNER);
    }
    uint32_t *starts = gather(lw, MP_TABLE_column, owners, groupings + signals);
    LW_SET_SPANS(lw, grouping, columns, starts, 0);
    LW_SET_SPANS(lw, signal, columns, starts, groupings);
}

static void gather_all(struct lw *lw)
{
    LW_OWNERS(lw, of_attr, attr, entity);
    uint32_t *starts = gather(lw, MP_TABLE_attr, of_attr, lw->ir->entity.len);
    LW_SET_SPANS(lw, entity, attrs, starts, 0);
    LW_OWNERS(lw, of_field, field, signal);
    starts = gather(lw, MP_TABLE_field, of_field, lw->ir->signal.len);
    LW_SET_SPANS(lw, signal, fields, starts, 0);
    LW_OWNERS(lw, of_agg, agg, grouping);
    starts = gather(lw, MP_TABLE_agg, of_agg, lw->ir->grouping.len);
    LW_SET_SPANS(lw, grouping, aggs, starts, 0);
    LW_OWNERS(lw, of_hold, hold, grouping);
    starts = gather(lw, MP_TABLE_hold, of_hold, lw->ir->grouping.len);
    LW_SET_SPANS(lw, grouping, holds, starts, 0);
    gather_columns(lw);
}

void lw_finish(struct lw *lw)
{
    lw_actions(lw);
    for (uint32_t i = 0; i < lw->t->signals.len; i++) {
        feeds(lw, &lw->signals[i]);
        reaches(lw, &lw->signals[i]);
    }
    for (uint32_t i = 0; i < lw->t->signals.len; i++) told(lw, &lw->signals[i]);
    for (uint32_t i = 0; i < lw->t->signals.len; i++) record_unit(lw, &lw->signals[i]);
    lw_attrs(lw);
    if (!lw->ir->failed) gather_all(lw);
}
