/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* R3: how many panes a window has where nobody says so. */
#define PANES_FINE 60
#define PANES_COARSE 8
#define PANES_SKETCH 6
#define CAP_FINE 10000

static uint32_t panes_of(const struct mp_t_agg *agg)
{
    if (agg->window_ns == 0) return 0;
    uint32_t panes = agg->panes;
    if (panes == 0) {
        bool sketch = agg->kind == MP_AGG_QUANTILE || agg->kind == MP_AGG_DISTINCT;
        panes = agg->keys != NULL && agg->keys->cap > CAP_FINE ? PANES_COARSE : PANES_FINE;
        if (sketch) panes = PANES_SKETCH;
    }
    return panes > agg->window_ns ? (uint32_t)agg->window_ns : panes;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b != 0);
}

/* R2: as many more panes as the watermark is behind. */
static uint32_t late_panes_of(int64_t lateness_ns, uint32_t panes, int64_t window_ns)
{
    if (panes == 0) return 0;
    int64_t product;
    if (__builtin_mul_overflow(lateness_ns, (int64_t)panes, &product)) return UINT32_MAX;
    int64_t late = divide_up(product, window_ns);
    return late > UINT32_MAX ? UINT32_MAX : (uint32_t)late;
}

static struct mp_ir_fn *record_unit(struct lw *lw, struct lw_signal *s)
{
    if (!s->has_unit) {
        mp_ir_fn_begin(&s->unit, lw->ir, lw_printf(lw, "%.*s aggregates", MP_STR_ARG(s->t->name)),
                       s->row, MP_NONE);
        s->has_unit = true;
    }
    return &s->unit;
}

uint32_t lw_record_out(struct lw *lw, struct lw_signal *s, const struct mp_t_expr *e,
                       const struct mp_t_rule *rule)
{
    struct lw_ctx c = {.lw = lw, .fn = record_unit(lw, s), .owner = {.signal = s}, .record = true,
                       .keys = rule == NULL ? NULL : rule->keys, .rule = rule,
                       .agg_column = MP_NONE};
    uint32_t value = lw_expr(&c, e);
    enum mp_type type = lw_type(e->type);
    for (uint32_t i = 0; i < s->unit.outs.len; i++) {
        const struct mp_out_row *out = &s->unit.outs.ptr[i];
        if (out->value == value && out->type == type) return i;
    }
    if (s->unit.outs.len >= MP_FN_OUTS_MAX) {
        lw_refuse(lw, e->span,
                  "more than 4096 different conditions in the aggregates of one signal");
    }
    uint32_t out = mp_ir_out(&s->unit, value, type);
    lw_ok(lw);
    return out;
}

/* A gauge's aggregates are over its one field. */
static uint32_t gauge_out(struct lw *lw, struct lw_signal *s, const struct mp_t_field *field)
{
    struct mp_ir_fn *unit = record_unit(lw, s);
    uint32_t slot = lw_field_slot(lw, s, field, (mp_str){0});
    uint32_t value = mp_ir_op_field(unit, slot, lw_rep(field->type));
    for (uint32_t i = 0; i < unit->outs.len; i++) {
        if (unit->outs.ptr[i].value == value) return i;
    }
    uint32_t out = mp_ir_out(unit, value, lw_type(field->type));
    lw_ok(lw);
    return out;
}

static void add_agg(struct lw *lw, const struct mp_agg_row *made, mp_str text)
{
    mp_text_ref ref = lw_text(lw, text);
    struct mp_agg_row *row = LW_ADD(lw, agg);
    *row = *made;
    row->text = ref;
    LW_PUSH(lw, &lw->signals[made->signal].aggs, lw->ir->agg.len - 1);
}

uint32_t lw_agg(struct lw *lw, const struct mp_t_agg *agg, struct mp_t_type type)
{
    struct lw_signal *s = lw_signal_of(lw, agg->signal);
    struct lw_grouping *g = lw_grouping(lw, agg->keys);
    g->reads[s->t->index] = true;
    struct mp_agg_row row = {.kind = agg->kind, .type = lw_type(type), .grouping = g->row,
                             .signal = s->row,
                             .layers = agg->layers == 0 ? MP_LAYER_ALL : agg->layers,
                             .where = MP_NONE, .value = MP_NONE, .window_ns = agg->window_ns,
                             .quantile = agg->quantile, .min_samples = agg->min_samples};
    if (agg->where != NULL) row.where = lw_record_out(lw, s, agg->where, NULL);
    if (agg->value != NULL) {
        row.value = lw_record_out(lw, s, agg->value, NULL);
        row.value_type = lw_type(agg->value->type);
    } else if (s->t->kind != MP_SIGNAL_EVENT && agg->kind != MP_AGG_COUNT) {
        MP_ASSERT(s->t->field_count > 0);
        row.value = gauge_out(lw, s, &s->t->fields[0]);
        row.value_type = lw_type(s->t->fields[0].type);
    }
    row.panes = panes_of(agg);
    row.pane_ns = row.panes == 0 ? 0 : divide_up(agg->window_ns, row.panes);
    row.late_panes = late_panes_of(agg->signal->lateness_ns, row.panes, agg->window_ns);
    if (row.min_samples == 0 && !mp_agg_counting(agg->kind)) row.min_samples = 1;

    bool fresh;
    const uint32_t words[] = {row.kind, row.type, row.grouping, row.signal, row.layers, row.where,
                              row.value, row.value_type, row.panes, row.quantile, row.min_samples,
                              (uint32_t)row.window_ns, (uint32_t)(row.window_ns >> 32)};
    uint32_t number = LW_INTERN_WORDS(lw, 'A', words, lw->ir->agg.len, &fresh);
    if (!fresh) return number;
    struct mp_buf text;
    mp_buf_init(&text, lw->scratch);
    lw_canonical_agg(&text, agg, true);
    add_agg(lw, &row, lw_view(lw, &text));
    return number;
}
