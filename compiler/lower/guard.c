/* SPDX-License-Identifier: Apache-2.0 */
#include "check/carve.h"
#include "lower/lower_priv.h"

uint32_t lw_quota(struct lw *lw, const struct mp_t_quota *t)
{
    if (t == NULL) return MP_NONE;
    struct mp_quota_row row = {.percent = t->percent, .count = t->count,
                               .entity = lw_entity_row(t->entity),
                               .members = lw_target_walk(lw, t->members),
                               .per_entity = lw_entity_row(t->per),
                               .per_walk = lw_target_walk(lw, t->per_walk), .per_ns = t->per_ns};
    row.text = lw_text(lw, t->text);
    *LW_ADD(lw, quota) = row;
    return lw->ir->quota.len - 1;
}

/* The condition: over the target as the one key of a row, or over the record. */
static uint32_t condition(struct lw *lw, const struct mp_t_guard *t)
{
    struct lw_ctx c = {.lw = lw, .agg_column = MP_NONE};
    if (t->kind == MP_GUARD_WHERE_RECORD) {
        c.owner.signal = lw_signal_of(lw, t->signal);
        c.record = true;
    } else {
        c.owner.grouping = lw_grouping_of(lw, t->target);
        c.keys = c.owner.grouping->keys;
    }
    struct lw_clause clause = {.kind = MP_CLAUSE_GUARD, .rule = MP_NONE, .cond = t->where,
                               .text = t->text};
    clause.name = lw_printf(lw, "never %.*s", MP_STR_ARG(t->verb));
    return lw_clause(&c, &clause);
}

static void carves(struct lw *lw, const struct mp_t_guard *t)
{
    struct mp_carve carve[MP_CARVES_MAX];
    uint32_t count = 0;
    if (!mp_carve_read(t, carve, &count)) return;
    for (uint32_t i = 0; i < count; i++) {
        struct mp_carve_row row = {.guard = lw->ir->guard.len - 1,
                                   .path = lw_text(lw, carve[i].path),
                                   .prefix = carve[i].prefix};
        *LW_ADD(lw, carve) = row;
    }
}

static void one_guard(struct lw *lw, const struct mp_t_guard *t, struct lw_place place)
{
    struct mp_guard_row row = {.kind = t->kind, .entity = MP_NONE, .quota = lw_quota(lw, t->quota),
                               .clause = MP_NONE, .signal = MP_NONE, .unit = MP_NONE};
    if (t->target.base == MP_TYPE_ENTITY) row.entity = t->target.entity->index;
    row.type = lw_type(t->target);
    if (t->where != NULL) row.clause = condition(lw, t);
    if (t->kind == MP_GUARD_WHERE_RECORD) {
        row.signal = t->signal->index;
        row.unit = place.unit;
        row.out = place.out;
    }
    row.package = lw_text(lw, t->package);
    row.verb = lw_text(lw, t->verb);
    row.text = lw_text(lw, t->text);
    lw_set_place(lw, t->span, &row.file, &row.line, NULL);
    *LW_ADD(lw, guard) = row;
    carves(lw, t);
}

void lw_guards(struct lw *lw)
{
    for (uint32_t i = 0; i < lw->t->guards.len; i++) {
        one_guard(lw, lw->t->guards.ptr[i], lw->guard_units[i]);
    }
}
