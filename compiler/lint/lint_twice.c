/* SPDX-License-Identifier: Apache-2.0
 * L143: comparisons that whoever sends a request passes by sending a header, an argument or a
 * cookie twice: its values are joined then, and the joined text is equal to none of them.
 */
#include "lint/lint_priv.h"

/* What a sender who means no good wants of a comparison: of `deny ... when x == "1"` that it is
 * false, of `allow ... when x != "1"` that it is true. */
enum wish { WISH_NONE, WISH_FALSE, WISH_TRUE };

struct door {
    struct lint *l;
    const struct mp_t_act *act; /* of the rule, the first that somebody wishes something of */
    enum wish wish;             /* of the rule's condition */
};

/* ---- what a second value spoils ---- */

/* The field that is sent, whatever is done to its text. */
static const struct mp_t_expr *repeated_field(const struct mp_t_expr *e)
{
    while (e->kind == MP_TX_CONVERT || e->kind == MP_TX_DEFAULT ||
           (e->kind == MP_TX_CALL && e->op.call == MP_T_LOWER))
        e = e->kid[0];
    if (e->kind != MP_TX_WALK || e->walk->base != MP_T_BASE_RECORD_FIELD) return NULL;
    return e->walk->field->repeated && e->walk->hop_count == 0 ? e : NULL;
}

static bool is_anchored(mp_str pattern)
{
    size_t len = pattern.len;
    for (size_t i = 0; i < len; i++) {
        if (pattern.ptr[i] == '|') return false; /* some of it may not be */
    }
    bool end = len > 0 && pattern.ptr[len - 1] == '$' && (len == 1 || pattern.ptr[len - 2] != '\\');
    return end || (len > 0 && pattern.ptr[0] == '^');
}

/* Is the match one of the whole text, its begin or its end? */
static bool is_bound(const struct mp_t_expr *e)
{
    bool is_text = e->kid[1] != NULL && e->kid[1]->kind == MP_TX_CONST;
    mp_str text = is_text ? e->kid[1]->text : MP_STR("");
    switch (e->op.match) {
    case MP_T_STARTS:
    case MP_T_ENDS: return true;
    case MP_T_CONTAINS: return false;
    case MP_T_MATCHES: return is_anchored(text);
    case MP_T_LIKE:
        return is_text && !(mp_str_starts(text, MP_STR("*")) && mp_str_ends(text, MP_STR("*")));
    }
    return false;
}

/* ---- what does look at each value ---- */

#define PATTERN_MAX 120 /* bytes of what is proposed; longer, and it is only described */

struct pattern {
    char text[PATTERN_MAX];
    size_t len;
    bool failed;
};

static void put(struct pattern *p, mp_str text)
{
    if (p->len + text.len > sizeof p->text) {
        p->failed = true;
        return;
    }
    memcpy(p->text + p->len, text.ptr, text.len);
    p->len += text.len;
}

/* The text as a pattern that fits it alone, where it is a constant. */
static void put_plain(struct pattern *p, const struct mp_t_expr *e)
{
    bool is_text = e != NULL && e->kind == MP_TX_CONST && e->type.base == MP_TYPE_STRING;
    p->failed |= !is_text;
    for (size_t i = 0; is_text && i < e->text.len; i++) {
        char c = e->text.ptr[i];
        if (c == '\'' || (unsigned char)c < ' ') p->failed = true;
        if (strchr("\\^$.|?*+()[]{}", c) != NULL) put(p, MP_STR("\\"));
        put(p, mp_str_sub(e->text, i, 1));
    }
}

static void put_each(struct pattern *p, const struct mp_t_list *list)
{
    put(p, MP_STR("("));
    p->failed |= list->item_count == 0 || list->name.len > 0; /* one that has a name may grow */
    for (uint32_t i = 0; i < list->item_count; i++) {
        if (i > 0) put(p, MP_STR("|"));
        put_plain(p, list->items[i]);
    }
    put(p, MP_STR(")"));
}

/* `other`: what the field is compared with. */
static void put_pattern(struct pattern *p, const struct mp_t_expr *e, const struct mp_t_expr *other)
{
    bool starts = e->kind == MP_TX_MATCH && e->op.match == MP_T_STARTS;
    bool ends = e->kind == MP_TX_MATCH && e->op.match == MP_T_ENDS;
    p->failed |= e->kind == MP_TX_MATCH && !starts && !ends;
    if (!ends) put(p, MP_STR("(^|,) *"));
    if (e->list != NULL) {
        put_each(p, e->list);
    } else {
        put_plain(p, other);
    }
    if (!starts) put(p, MP_STR(" *(,|$)"));
}

/* ---- what is said ---- */

static void say(const struct door *at, const struct mp_t_expr *e, const struct mp_t_expr *side,
                const struct mp_t_expr *other)
{
    struct lint *l = at->l;
    bool unequal = e->kind == MP_TX_CMP && e->op.cmp == MP_T_NE;
    mp_str name = lint_text(l, repeated_field(side)->span), text = lint_text(l, side->span);
    mp_str verb = at->act->action->name;
    struct mp_diag *d = lint_say(l, MP_DIAG_L143, e->span, "who sends `%.*s` twice %s this `%.*s`",
                                 MP_STR_ARG(name),
                                 at->wish == WISH_FALSE ? "passes" : "is let through by",
                                 MP_STR_ARG(verb));
    if (d == NULL) return;
    mp_diag_note(d, "what is sent twice is both values, joined by `, `");
    struct pattern p = {.len = 0};
    put_pattern(&p, e, other);
    if (p.failed) {
        mp_diag_help(d, "`contains`, or `matches` without an anchor, looks at all of them");
    } else {
        mp_diag_help(d, "`%s%.*s matches '%.*s'%s` looks at each of them", unequal ? "not (" : "",
                     MP_STR_ARG(text), (int)p.len, p.text, unequal ? ")" : "");
    }
}

/* ---- where it stands ---- */

static enum wish opposite(enum wish wish) { return wish == WISH_FALSE ? WISH_TRUE : WISH_FALSE; }

/* A second value makes what wants one text false, and what does not want it true. */
static void look_at_text(const struct door *at, const struct mp_t_expr *e, enum wish wish)
{
    bool unequal = e->kind == MP_TX_CMP && e->op.cmp == MP_T_NE;
    if (wish != (unequal ? WISH_TRUE : WISH_FALSE)) return;
    for (int i = 0; i < (e->kind == MP_TX_CMP ? 2 : 1); i++) {
        if (repeated_field(e->kid[i]) == NULL) continue;
        say(at, e, e->kid[i], e->kid[1 - i]);
        return;
    }
}

static bool grows_with_records(enum mp_agg kind)
{
    return kind == MP_AGG_COUNT || kind == MP_AGG_RATE || kind == MP_AGG_RATIO ||
           kind == MP_AGG_DISTINCT;
}

static void look(const struct door *at, const struct mp_t_expr *e, enum wish wish);

/* Records that are not counted keep a count below its limit. */
static void look_at_counts(const struct door *at, const struct mp_t_expr *e, enum wish wish)
{
    bool first_is_more = e->op.cmp == MP_T_GT || e->op.cmp == MP_T_GE;
    for (int i = 0; i < 2; i++) {
        const struct mp_t_expr *agg = e->kid[i];
        while (agg->kind == MP_TX_CONVERT) agg = agg->kid[0];
        if (agg->kind != MP_TX_AGG || !grows_with_records(agg->agg->kind)) continue;
        look(at, agg->agg->where, first_is_more == (i == 0) ? wish : opposite(wish));
    }
}

/* `wish`: what the sender wants of `e`. What a definition holds is its author's. */
static void look(const struct door *at, const struct mp_t_expr *e, enum wish wish)
{
    if (e == NULL) return;
    switch (e->kind) {
    case MP_TX_NOT: look(at, e->kid[0], opposite(wish)); return;
    case MP_TX_HELD: look(at, e->kid[0], wish); return;
    case MP_TX_AND:
    case MP_TX_OR:
        look(at, e->kid[0], wish);
        look(at, e->kid[1], wish);
        return;
    case MP_TX_IN: look_at_text(at, e, wish); return;
    case MP_TX_MATCH:
        if (is_bound(e)) look_at_text(at, e, wish);
        return;
    case MP_TX_CMP:
        if (e->op.cmp == MP_T_EQ || e->op.cmp == MP_T_NE) {
            look_at_text(at, e, wish);
        } else {
            look_at_counts(at, e, wish);
        }
        return;
    default: return;
    }
}

/* ---- which rules ---- */

static enum wish wish_of(const struct mp_t_action *action)
{
    static const enum mp_class refusing[] = {MP_CLASS_ACCESS, MP_CLASS_TRAFFIC, MP_CLASS_RATE,
                                             MP_CLASS_SESSION, MP_CLASS_CONCURRENCY};
    if (mp_str_eq(action->name, MP_STR("allow")) || mp_str_eq(action->name, MP_STR("exempt")))
        return WISH_TRUE;
    for (size_t i = 0; i < sizeof refusing / sizeof *refusing; i++) {
        if (action->class == refusing[i]) return WISH_FALSE;
    }
    return WISH_NONE;
}

static const struct mp_t_act *door_of(const struct mp_t_rule *r)
{
    for (uint32_t s = 0; s < r->step_count; s++) {
        for (uint32_t i = 0; i < r->steps[s].act_count; i++) {
            if (wish_of(r->steps[s].acts[i].action) != WISH_NONE) return &r->steps[s].acts[i];
        }
    }
    return NULL;
}

void lint_sent_twice(struct lint *l)
{
    const struct mp_t_rule *r = l->rule;
    struct door at = {.l = l, .act = door_of(r)};
    if (at.act == NULL || !lint_wants(l, MP_DIAG_L143)) return;
    at.wish = wish_of(at.act->action);
    look(&at, r->when.cond, at.wish);
    if (r->has_unless) look(&at, r->unless.cond, opposite(at.wish));
}
