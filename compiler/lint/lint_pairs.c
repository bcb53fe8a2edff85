/* SPDX-License-Identifier: Apache-2.0
 * Of two rules: one that makes the other needless (L103), and a bucket that a client can leave
 * (L144).
 */
#include "check/bounds.h"
#include "lint/lint_priv.h"

/* LIMIT: pairs of rules that are compared; more are not, as with L154. */
#define PAIRS_MAX 200000u

/* ---- L103 ---- */

/* What a rule does first, where that is one lease and nothing else. */
static const struct mp_t_act *only_act(const struct mp_t_rule *r)
{
    if (r->kind != MP_RULE_LOOP || r->steps[0].act_count != 1) return NULL;
    return lint_lease(&r->steps[0]);
}

static bool same_row(const struct mp_t_rule *a, const struct mp_t_rule *b)
{
    if (a->layers != b->layers || a->keys->count != b->keys->count) return false;
    for (uint32_t i = 0; i < a->keys->count; i++) {
        if (!mp_str_eq(a->keys->keys[i].name, b->keys->keys[i].name)) return false;
    }
    return true;
}

static bool implied_by(const struct mp_bound *wide, const struct mp_bounds *narrow)
{
    for (uint32_t i = 0; i < narrow->count; i++) {
        const struct mp_bound *n = &narrow->at[i];
        if (mp_same_value(n->about, wide->about) && mp_bound_implies(n, wide)) return true;
    }
    return false;
}

/* Does `wide` hold wherever `narrow` does, and for as short a time? Parameters at their values: an
 * operator who moves one knows why. */
static bool fires_whenever(const struct mp_t_rule *wide, const struct mp_t_rule *narrow)
{
    struct mp_bounds of_wide = {.at_values = true}, of_narrow = {.at_values = true};
    mp_bounds_gather(wide->when.cond, false, &of_wide);
    mp_bounds_gather(narrow->when.cond, false, &of_narrow);
    if (of_wide.partial || of_wide.count == 0 ||
        wide->when.hold_ns > narrow->when.hold_ns) return false;
    for (uint32_t i = 0; i < of_wide.count; i++) {
        if (!implied_by(&of_wide.at[i], &of_narrow)) return false;
    }
    return true;
}

/* Is nothing left for `weak` to do while `strong` is in force? */
static bool is_stronger(const struct mp_t_act *strong, const struct mp_t_act *weak)
{
    return mp_str_eq(strong->action->class_name, weak->action->class_name) &&
           strong->action->strength > weak->action->strength &&
           strong->duration_ns >= weak->duration_ns &&
               (strong->hooks & weak->hooks) == weak->hooks &&
           mp_same_value(strong->target, weak->target);
}

static bool always_acts(const struct mp_t_rule *r)
{
    return !r->has_unless && r->mode == MP_MODE_ENFORCE && r->limit == NULL && !r->has_until &&
           r->no_data == MP_NODATA_HOLD && r->priority == 0;
}

static void say_shadowed(struct lint *l, const struct mp_t_rule *wide,
                         const struct mp_t_rule *narrow)
{
    mp_str name = wide->name;
    struct mp_diag *d = lint_say(l, MP_DIAG_L103, narrow->when.span,
                                 "`%.*s` fires whenever this does, and does more",
                                     MP_STR_ARG(name));
    if (d == NULL) return;
    mp_diag_label(d, wide->when.span, "holds wherever the other does");
    mp_diag_label(d, wide->steps[0].acts[0].span, "stronger, and on the same target");
}

void lint_shadowed(struct lint *l)
{
    uint32_t looked_at = 0;
    if (!lint_wants(l, MP_DIAG_L103)) return;
    for (uint32_t i = 0; i < l->program->rules.len; i++) {
        const struct mp_t_rule *wide = l->program->rules.ptr[i];
        const struct mp_t_act *strong = only_act(wide);
        for (uint32_t j = 0; strong != NULL && always_acts(wide) &&
             j < l->program->rules.len; j++) {
            const struct mp_t_rule *narrow = l->program->rules.ptr[j];
            const struct mp_t_act *weak = only_act(narrow);
            if (i == j || weak == NULL || narrow->step_count > 1) continue;
            if (++looked_at > PAIRS_MAX) return;
            if (!is_stronger(strong, weak) || !same_row(wide, narrow)) continue;
            if (fires_whenever(wide, narrow)) say_shadowed(l, wide, narrow);
        }
    }
}

/* ---- L144 ---- */

static bool asks_absent(const struct mp_t_expr *e, const struct mp_t_key *key)
{
    if (e == NULL) return false;
    if (e->kind == MP_TX_IS && e->op.is != MP_T_STALE && e->kid[0]->kind == MP_TX_WALK) {
        const struct mp_t_walk *w = e->kid[0]->walk;
        if (w->field == key->field && mp_str_eq(w->entry, key->entry)) return true;
    }
    return asks_absent(e->kid[0], key) || asks_absent(e->kid[1], key) || asks_absent(e->kid[2],
                                                                                     key);
}

static bool somebody_asks(const struct lint *l, const struct mp_t_key *key)
{
    for (uint32_t i = 0; i < l->program->rules.len; i++) {
        const struct mp_t_rule *r = l->program->rules.ptr[i];
        if (r->kind == MP_RULE_INLINE && asks_absent(r->when.cond, key)) return true;
    }
    return false;
}

static bool may_be_left_out(const struct mp_t_key *key)
{
    if (key->field == NULL) return false;
    return key->entry.ptr != NULL || !(key->field->always || key->field->preset != NULL);
}

void lint_buckets(struct lint *l)
{
    for (uint32_t i = 0; i < l->program->rules.len; i++) {
        const struct mp_t_rule *r = l->program->rules.ptr[i];
        if (r->kind != MP_RULE_INLINE || r->keys == NULL) continue;
        for (uint32_t k = 0; k < r->keys->count; k++) {
            const struct mp_t_key *key = &r->keys->keys[k];
            if (!may_be_left_out(key) || somebody_asks(l, key)) continue;
            mp_str name = key->name;
            struct mp_diag *d = lint_say(l, MP_DIAG_L144, r->span,
                                         "who leaves out `%.*s` is not throttled",
                                         MP_STR_ARG(name));
            if (d != NULL) mp_diag_help(d, "a rule `when %.*s is absent` says what happens then",
                                        MP_STR_ARG(name));
        }
    }
}
