/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

#include "base/hash.h"

/* ---- words ---- */

static void walk_hops(struct mp_buf *out, const struct mp_t_attr *const *hops, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        mp_buf_putc(out, '.');
        mp_buf_put(out, hops[i]->name);
    }
}

static void entry(struct mp_buf *out, mp_str name)
{
    if (name.ptr == NULL) return;
    mp_buf_puts(out, "[\"");
    mp_buf_put(out, name);
    mp_buf_puts(out, "\"]");
}

void lw_canonical_walk(struct mp_buf *out, const struct mp_t_walk *w)
{
    switch (w->base) {
    case MP_T_BASE_RECORD_KEY: mp_buf_put(out, w->signal->keys[w->index]->name); break;
    case MP_T_BASE_RECORD_FIELD:
        mp_buf_put(out, w->field->name);
        if (w->hop_count == 0) entry(out, w->entry);
        break;
    case MP_T_BASE_ROW_KEY: mp_buf_printf(out, "key%u", w->index); break;
    case MP_T_BASE_CONST:
        mp_buf_putc(out, '"');
        mp_buf_put(out, w->constant);
        mp_buf_putc(out, '"');
        break;
    case MP_T_BASE_MEMBER: mp_buf_puts(out, "member"); break;
    case MP_T_BASE_EXPR:
        mp_buf_putc(out, '(');
        lw_canonical(out, w->expr, true);
        mp_buf_putc(out, ')');
        break;
    }
    walk_hops(out, w->hops, w->hop_count);
    if (w->hop_count > 0) entry(out, w->entry);
}

static void one_key(struct mp_buf *out, const struct mp_t_key *key)
{
    if (key->field != NULL) {
        mp_buf_put(out, key->signal->name);
        mp_buf_putc(out, '.');
        mp_buf_put(out, key->field->name);
        entry(out, key->entry);
    } else {
        mp_buf_put(out, key->root == NULL ? mp_type_word(key->type.base) : key->root->name);
    }
    walk_hops(out, key->hops, key->hop_count);
}

void lw_canonical_keys(struct mp_buf *out, const struct mp_t_keys *keys)
{
    if (keys == NULL || keys->count == 0) mp_buf_puts(out, "mesh");
    for (uint32_t i = 0; keys != NULL && i < keys->count; i++) {
        if (i > 0) mp_buf_puts(out, ", ");
        one_key(out, &keys->keys[i]);
    }
}

static void duration(struct mp_buf *out, int64_t ns, bool numbers)
{
    if (numbers) {
        mp_value_print(out, MP_TYPE_DURATION, mp_value_int(ns));
    } else {
        mp_buf_putc(out, '#');
    }
}

/* ---- expressions ---- */

static void constant(struct mp_buf *out, const struct mp_t_expr *e, bool numbers)
{
    enum mp_rep rep = lw_rep(e->type);
    if (rep == MP_REP_T || e->type.base == MP_TYPE_ENTITY) {
        mp_buf_putc(out, '"');
        mp_buf_put(out, e->text);
        mp_buf_putc(out, '"');
    } else if (rep == MP_REP_B) {
        mp_buf_puts(out, e->value.w[0] != 0 ? "true" : "false");
    } else if (rep == MP_REP_A || numbers) {
        mp_value_print(out, e->type.base, e->value);
        if (e->type.base == MP_TYPE_CIDR) mp_buf_printf(out, "/%u", e->bits);
    } else {
        mp_buf_putc(out, '#');
    }
}

static void with_word(struct mp_buf *out, const struct mp_t_expr *e, const char *word, bool numbers)
{
    mp_buf_putc(out, '(');
    lw_canonical(out, e->kid[0], numbers);
    mp_buf_printf(out, " %s ", word);
    lw_canonical(out, e->kid[1], numbers);
    mp_buf_putc(out, ')');
}

static void list(struct mp_buf *out, const struct mp_t_expr *e, const char *word, bool numbers)
{
    mp_buf_putc(out, '(');
    lw_canonical(out, e->kid[0], numbers);
    mp_buf_printf(out, " %s %.*s.%.*s)", word, MP_STR_ARG(e->list->package),
                  MP_STR_ARG(e->list->name));
}

static void called(struct mp_buf *out, const char *name, const struct mp_t_expr *e, bool numbers)
{
    mp_buf_printf(out, "%s(", name);
    for (int i = 0; i < 3 && e->kid[i] != NULL; i++) {
        if (i > 0) mp_buf_puts(out, ", ");
        lw_canonical(out, e->kid[i], numbers);
    }
    mp_buf_putc(out, ')');
}

void lw_canonical_agg(struct mp_buf *out, const struct mp_t_agg *agg, bool numbers)
{
    mp_buf_put(out, mp_agg_word(agg->kind));
    if (agg->kind == MP_AGG_QUANTILE) mp_buf_printf(out, "%u", agg->quantile);
    mp_buf_printf(out, "(%.*s", MP_STR_ARG(agg->signal->name));
    if (agg->value != NULL) {
        mp_buf_puts(out, ": ");
        lw_canonical(out, agg->value, numbers);
    }
    if (agg->where != NULL) {
        mp_buf_puts(out, " where ");
        lw_canonical(out, agg->where, numbers);
    }
    mp_buf_putc(out, ')');
    if (agg->window_ns > 0) {
        mp_buf_puts(out, " over ");
        duration(out, agg->window_ns, numbers);
    }
    mp_buf_puts(out, " per ");
    lw_canonical_keys(out, agg->keys);
    if (agg->layers != 0 && agg->layers != MP_LAYER_ALL) mp_buf_printf(out, " at %u", agg->layers);
    if (agg->min_samples > 1 && numbers) mp_buf_printf(out, " min %u", agg->min_samples);
    if (agg->panes > 0 && numbers) mp_buf_printf(out, " panes %u", agg->panes);
}

/* The aggregate, and where it is read. */
static void read_agg(struct mp_buf *out, const struct mp_t_agg *agg, bool numbers)
{
    lw_canonical_agg(out, agg, numbers);
    if (agg->of_set != NULL) {
        mp_buf_puts(out, " of ");
        lw_canonical_walk(out, agg->of_set);
        return;
    }
    for (uint32_t i = 0; agg->at != NULL && agg->keys != NULL && i < agg->keys->count; i++) {
        mp_buf_puts(out, i == 0 ? " at " : ", ");
        lw_canonical_walk(out, &agg->at[i]);
    }
}

static void members(struct mp_buf *out, const struct mp_t_expr *e, bool numbers)
{
    mp_buf_puts(out, "count(");
    lw_canonical_walk(out, e->walk);
    if (e->kid[0] != NULL) {
        mp_buf_puts(out, " where ");
        lw_canonical(out, e->kid[0], numbers);
    }
    mp_buf_putc(out, ')');
}

static void pieces(struct mp_buf *out, const struct mp_t_expr *e)
{
    mp_buf_putc(out, '"');
    for (uint32_t i = 0; i < e->piece_count; i++) {
        mp_buf_put(out, e->pieces[i].literal);
        if (e->pieces[i].hole == NULL) continue;
        mp_buf_putc(out, '{');
        lw_canonical(out, e->pieces[i].hole, true);
        mp_buf_putc(out, '}');
    }
    mp_buf_putc(out, '"');
}

static const char *const cmp_words[] = {[MP_T_LT] = "<", [MP_T_LE] = "<=", [MP_T_GT] = ">",
                                        [MP_T_GE] = ">=", [MP_T_EQ] = "==", [MP_T_NE] = "!="};
static const char *const arith_words[] = {[MP_T_ADD] = "+", [MP_T_SUB] = "-", [MP_T_MUL] = "*",
                                          [MP_T_DIV] = "/"};
static const char *const match_words[] = {[MP_T_LIKE] = "like", [MP_T_MATCHES] = "matches",
                                          [MP_T_STARTS] = "starts with", [MP_T_ENDS] = "ends with",
                                          [MP_T_CONTAINS] = "contains"};
static const char *const is_words[] = {[MP_T_KNOWN] = "known", [MP_T_UNKNOWN] = "unknown",
                                       [MP_T_ABSENT] = "absent", [MP_T_STALE] = "stale"};
static const char *const call_words[] = {[MP_T_ABS] = "abs", [MP_T_LOWER] = "lower",
                                         [MP_T_LENGTH] = "length", [MP_T_TO_NUMBER] = "number",
                                         [MP_T_POINTS] = "points", [MP_T_CLAMP] = "clamp",
                                         [MP_T_POW] = "pow", [MP_T_ID_PART] = "part"};

static void state(struct mp_buf *out, const struct mp_t_expr *e, bool numbers)
{
    mp_buf_putc(out, '(');
    if (e->signal != NULL) {
        mp_buf_put(out, e->signal->name);
    } else {
        lw_canonical(out, e->kid[0], numbers);
    }
    mp_buf_printf(out, " is %s)", is_words[e->op.is]);
}

static void convert(struct mp_buf *out, const struct mp_t_expr *e, bool numbers)
{
    mp_str word = mp_type_word(lw_type(e->type));
    mp_buf_put(out, word);
    called(out, "", e, numbers);
}

void lw_canonical(struct mp_buf *out, const struct mp_t_expr *e, bool numbers)
{
    switch (e->kind) {
    case MP_TX_CONST: constant(out, e, numbers); break;
    case MP_TX_PARAM:
        mp_buf_printf(out, "%.*s.%.*s", MP_STR_ARG(e->param->package), MP_STR_ARG(e->param->name));
        break;
    case MP_TX_WALK: lw_canonical_walk(out, e->walk); break;
    case MP_TX_AGG: read_agg(out, e->agg, numbers); break;
    case MP_TX_DEF: lw_canonical(out, e->kid[0], numbers); break;
    case MP_TX_NOT: called(out, "not", e, numbers); break;
    case MP_TX_AND: with_word(out, e, "and", numbers); break;
    case MP_TX_OR: with_word(out, e, "or", numbers); break;
    case MP_TX_CMP: with_word(out, e, cmp_words[e->op.cmp], numbers); break;
    case MP_TX_ARITH: with_word(out, e, arith_words[e->op.arith], numbers); break;
    case MP_TX_NEG: called(out, "-", e, numbers); break;
    case MP_TX_CONVERT: convert(out, e, numbers); break;
    case MP_TX_IN:
        if (e->list != NULL) {
            list(out, e, "in", numbers);
        } else {
            with_word(out, e, "in", numbers);
        }
        break;
    case MP_TX_RANGE: called(out, "between", e, numbers); break;
    case MP_TX_MATCH:
        if (e->list != NULL) {
            list(out, e, match_words[e->op.match], numbers);
        } else {
            with_word(out, e, match_words[e->op.match], numbers);
        }
        break;
    case MP_TX_IS: state(out, e, numbers); break;
    case MP_TX_DEFAULT: with_word(out, e, "default", numbers); break;
    case MP_TX_CALL:
        called(out, call_words[e->op.call], e, numbers);
        if (e->op.call == MP_T_ID_PART) mp_buf_printf(out, ".%u", e->part);
        break;
    case MP_TX_MEMBERS: members(out, e, numbers); break;
    case MP_TX_AT_TRIGGER: called(out, "at_trigger", e, numbers); break;
    case MP_TX_INCIDENTS:
        mp_buf_puts(out, "incidents over ");
        duration(out, e->window_ns, numbers);
        break;
    case MP_TX_HELD:
        called(out, "held", e, numbers);
        mp_buf_puts(out, " for ");
        duration(out, e->hold_ns, numbers);
        break;
    case MP_TX_TEXT: pieces(out, e); break;
    }
}

/* ---- marks: what a reload compares (R50) ---- */

static void held(struct mp_buf *out, const struct mp_t_held *h, bool numbers)
{
    lw_canonical(out, h->cond, numbers);
    mp_buf_puts(out, " for ");
    duration(out, h->hold_ns, numbers);
}

static void trigger(struct mp_buf *out, const struct mp_t_rule *rule, bool numbers)
{
    held(out, &rule->when, numbers);
    mp_buf_puts(out, " per ");
    lw_canonical_keys(out, rule->keys);
    mp_buf_printf(out, " at %u", rule->layers);
}

static void act(struct mp_buf *out, const struct mp_t_act *a)
{
    if (a->action == NULL) {
        mp_buf_puts(out, "rollback");
        return;
    }
    mp_buf_printf(out, "%.*s.%.*s ", MP_STR_ARG(a->action->package), MP_STR_ARG(a->action->name));
    if (a->target != NULL) lw_canonical(out, a->target, true);
    mp_buf_printf(out, " for %lld on %u via %.*s", (long long)a->duration_ns, a->hooks,
                  MP_STR_ARG(a->via));
    for (uint32_t i = 0; i < a->arg_count; i++) {
        mp_buf_printf(out, " %.*s ", MP_STR_ARG(a->args[i].name));
        if (a->args[i].value != NULL) lw_canonical(out, a->args[i].value, true);
    }
    if (a->message != NULL) lw_canonical(out, a->message, true);
}

static void ladder(struct mp_buf *out, const struct mp_t_rule *rule)
{
    for (uint32_t s = 0; s < rule->step_count; s++) {
        const struct mp_t_step *step = &rule->steps[s];
        if (step->rollback) mp_buf_puts(out, "rollback ");
        for (uint32_t i = 0; i < step->act_count; i++) act(out, &step->acts[i]);
        if (step->has_verify) held(out, &step->verify, true);
        if (step->has_harm) held(out, &step->harm, true);
        mp_buf_printf(out, " %lld %lld else ", (long long)step->within_ns,
                      (long long)step->settle_ns);
    }
    if (rule->limit != NULL) mp_buf_put(out, rule->limit->text);
}

static void until(struct mp_buf *out, const struct mp_t_rule *rule)
{
    if (rule->has_until) held(out, &rule->until, true);
    mp_buf_printf(out, " ramp %lld %lld", (long long)(rule->ramp * 1e6),
                  (long long)rule->ramp_every_ns);
}

/* Not a secret and not from outside: the same text is the same mark on every machine. */
static int64_t mark(struct lw *lw, const struct mp_buf *text)
{
    static const struct mp_hash_key key = {0x6d706f6c206d6172ULL, 0x6b206f6620727573ULL};
    if (text->failed) lw_fail(lw, MP_ENOMEM);
    return (int64_t)mp_siphash(key, text->ptr, text->len);
}

void lw_marks(struct lw *lw, const struct mp_t_rule *rule, struct mp_rule_row *row)
{
    struct mp_buf text[4];
    for (int i = 0; i < 4; i++) mp_buf_init(&text[i], lw->scratch);
    trigger(&text[0], rule, true);
    trigger(&text[1], rule, false);
    ladder(&text[2], rule);
    until(&text[3], rule);
    row->mark_trigger = mark(lw, &text[0]);
    row->mark_trigger_shape = mark(lw, &text[1]);
    row->mark_ladder = mark(lw, &text[2]);
    row->mark_until = mark(lw, &text[3]);
}
