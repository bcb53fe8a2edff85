/* SPDX-License-Identifier: Apache-2.0
 * Conditions that silence decides: a field whose absence would open a door (E0406, language.md
 * 4.6), and a check that waits for what its own action removed (E0403, R39).
 */
#include "check/blind.h"
#include "check/check_items_priv.h"

/* ---- E0406 ---- */

static bool is_question(const struct mp_t_expr *e)
{
    return e->kind == MP_TX_IS && e->op.is != MP_T_STALE;
}

/* Does the condition ask somewhere whether this field is there? */
static bool asks_about(const struct mp_t_expr *e, const struct mp_t_walk *walk)
{
    if (e == NULL) return false;
    if (is_question(e) && e->kid[0]->kind == MP_TX_WALK && ck_walk_eq(e->kid[0]->walk, walk)) {
        return true;
    }
    for (int i = 0; i < 3; i++) {
        if (asks_about(e->kid[i], walk)) return true;
    }
    return false;
}

/* A field of the record inside e whose absence makes e unknown. */
static const struct mp_t_expr *missing_field(const struct mp_t_expr *e)
{
    if (e == NULL || e->kind == MP_TX_IS || e->kind == MP_TX_DEFAULT) return NULL;
    if (e->kind == MP_TX_WALK) {
        const struct mp_t_walk *w = e->walk;
        if (w->base != MP_T_BASE_RECORD_FIELD) return NULL;
        bool there = w->entry.ptr == NULL && (w->field->always || w->field->preset != NULL);
        return there ? NULL : e;
    }
    for (int i = 0; i < 3; i++) {
        const struct mp_t_expr *found = missing_field(e->kid[i]);
        if (found != NULL) return found;
    }
    return NULL;
}

/* Where to look for doors: the whole `when`, and the action that would not happen. */
struct door {
    struct ck *ck;
    const struct mp_t_act *act;
    const struct mp_t_expr *when;
};

static void open_door(const struct door *at, const struct mp_t_expr *atom, bool whole,
                      const struct mp_t_expr *field)
{
    struct ck *ck = at->ck;
    mp_str name = field->walk->entry.ptr != NULL ? field->walk->entry : field->walk->field->name;
    mp_str record = ck_signal_record_word(field->walk->signal);
    mp_str where = ck_source(ck, field->span), text = ck_source(ck, atom->span);
    struct mp_diag *d = ck_error(ck, "E0406", atom->span,
                                 "a %.*s without `%.*s` would pass this `%.*s`", MP_STR_ARG(record),
                                 MP_STR_ARG(name), MP_STR_ARG(at->act->action->name));
    mp_diag_label(d, atom->span, "unknown where there is no `%.*s`", MP_STR_ARG(name));
    if (whole) {
        mp_diag_help(d, "`(%.*s is absent or %.*s)`", MP_STR_ARG(where), MP_STR_ARG(text));
    } else {
        mp_diag_help(d, "say what is meant: `%.*s is absent`, `is known`, or a `default`",
                     MP_STR_ARG(where));
    }
}

/* It takes one negation to turn absence into a pass. `shown` is the atom with its own `not`;
 * where that lies inside of another one, `whole` is false and no repair of the atom alone helps. */
static void look_at_atom(const struct door *at, const struct mp_t_expr *e, bool negated,
                         const struct mp_t_expr *shown, bool whole)
{
    bool unequal = e->kind == MP_TX_CMP && e->op.cmp == MP_T_NE;
    if (negated == unequal) return;
    const struct mp_t_expr *field = missing_field(e);
    if (field == NULL || asks_about(at->when, field->walk)) return;
    open_door(at, shown, whole, field);
}

static bool is_junction(const struct mp_t_expr *e)
{
    return e->kind == MP_TX_AND || e->kind == MP_TX_OR || e->kind == MP_TX_NOT;
}

static void look_for_doors(const struct door *at, const struct mp_t_expr *e, bool negated)
{
    if (e->kind == MP_TX_NOT && !is_junction(e->kid[0])) {
        look_at_atom(at, e->kid[0], !negated, e, !negated);
    } else if (e->kind == MP_TX_NOT) {
        look_for_doors(at, e->kid[0], !negated);
    } else if (is_junction(e)) {
        look_for_doors(at, e->kid[0], negated);
        look_for_doors(at, e->kid[1], negated);
    } else {
        look_at_atom(at, e, negated, e, !negated);
    }
}

void ck_check_doors(struct ck *ck, const struct mp_t_rule *rule)
{
    for (uint32_t i = 0; i < rule->steps[0].act_count; i++) {
        const struct mp_t_act *act = &rule->steps[0].acts[i];
        if (act->target_kind != MP_TARGET_RECORD || !ck_denies(act->action)) continue;
        const struct door at = {ck, act, rule->when.cond};
        look_for_doors(&at, rule->when.cond, false);
        return;
    }
}

/* ---- E0403 ---- */

void ck_check_answerable(struct ck *ck, const struct mp_t_step *step)
{
    for (uint32_t i = 0; i < step->act_count; i++) {
        const struct mp_t_act *act = &step->acts[i];
        if (act->action == NULL || act->target_kind != MP_TARGET_LEASE) continue;
        const struct mp_t_expr *blind = mp_blinded(step->verify.cond, act);
        if (blind == NULL) continue;
        mp_str signal = mp_blinded_signal(blind, act)->name, target = ck_source(ck,
                                                                                act->target->span);
        mp_str text = ck_source(ck, blind->span);
        struct mp_diag *d = ck_error(ck, "E0403", blind->span, "this check can never be answered");
        mp_diag_label(d, act->span, "removes `%.*s` to %.*s", MP_STR_ARG(signal),
                      MP_STR_ARG(target));
        mp_diag_label(d, blind->span, "is computed from `%.*s` to %.*s", MP_STR_ARG(signal),
                 MP_STR_ARG(target));
        mp_diag_note(d, "without %.*s %.*s stays unknown, and unknown never verifies",
                     MP_STR_ARG(signal),
                MP_STR_ARG(text));
        ck_blind_help(d, ck, act, text);
        return;
    }
}

/* Somebody else saw the same traffic: a set of the target's own kind, where the vocabulary has
 * one. */
void ck_blind_help(struct mp_diag *d, struct ck *ck, const struct mp_t_act *act, mp_str text)
{
    struct mp_t_type t = act->target->type;
    mp_str target = ck_source(ck, act->target->span);
    for (uint32_t i = 0; t.base == MP_TYPE_ENTITY && i < t.entity->attr_count; i++) {
        const struct mp_t_attr *a = &t.entity->attrs[i];
        if (!a->type.is_set || a->type.entity != t.entity) continue;
        mp_diag_help(d, "look at the %.*s: `%.*s of %.*s.%.*s`", MP_STR_ARG(a->name),
                     MP_STR_ARG(text),
                MP_STR_ARG(target), MP_STR_ARG(a->name));
        return;
    }
    mp_diag_help(d, "verify by something that the action does not remove, or by a count of it");
}
