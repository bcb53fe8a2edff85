/* SPDX-License-Identifier: Apache-2.0
 * Of the whole program: what nothing uses (L106), lists that say nothing (L107, L108), and
 * conditions that stand twice (L104).
 */
#include <stdlib.h>

#include "check/bounds.h"
#include "lint/lint_priv.h"

void lint_unused(struct lint *l)
{
    for (uint32_t i = 0; i < l->program->unused.len; i++) {
        const struct mp_t_unused *u = &l->program->unused.ptr[i];
        lint_say(l, MP_DIAG_L106, u->span, "nothing uses the %.*s `%.*s`", MP_STR_ARG(u->what),
                 MP_STR_ARG(u->name));
    }
}

static bool covers(const struct mp_t_expr *wide, const struct mp_t_expr *narrow)
{
    return wide->type.base == MP_TYPE_CIDR && narrow->type.base == MP_TYPE_CIDR &&
           wide->bits <= narrow->bits && mp_value_in_net(narrow->value, wide->value, wide->bits);
}

/* LIMIT: longer lists are data; nobody reads them line by line. */
#define COVER_MAX 500u

static void covered(struct lint *l, const struct mp_t_list *list)
{
    if (list->item_count > COVER_MAX || !lint_wants(l, MP_DIAG_L108)) return;
    for (uint32_t i = 0; i < list->item_count; i++) {
        for (uint32_t j = 0; j < list->item_count; j++) {
            const struct mp_t_expr *wide = list->items[j], *narrow = list->items[i];
            bool twice = i > j && covers(narrow, wide);
            if (i == j || !covers(wide, narrow) || (covers(narrow, wide) && !twice)) continue;
            mp_str text = lint_text(l, wide->span);
            struct mp_diag *d = lint_say(l, MP_DIAG_L108, narrow->span, "`%.*s` covers this",
                                         MP_STR_ARG(text));
            if (d != NULL) mp_diag_label(d, wide->span, "the wider entry");
            break;
        }
    }
}

void lint_lists(struct lint *l)
{
    for (uint32_t i = 0; i < l->program->lists.len; i++) {
        const struct mp_t_list *list = l->program->lists.ptr[i];
        if (list->name.len == 0 || mp_str_starts(list->package, MP_STR("std."))) continue;
        if (list->item_count == 0) {
            lint_say(l, MP_DIAG_L107, list->span, "the list `%.*s` is empty",
                     MP_STR_ARG(list->name));
        }
        covered(l, list);
    }
}

/* ---- L104 ---- */

static int by_condition(const void *left, const void *right)
{
    const struct mp_t_rule *a = *(const struct mp_t_rule *const *)left;
    const struct mp_t_rule *b = *(const struct mp_t_rule *const *)right;
    int order = mp_str_cmp(a->canonical_when, b->canonical_when);
    if (order != 0) return order;
    if (a->span.file != b->span.file) return a->span.file < b->span.file ? -1 : 1;
    return a->span.from < b->span.from ? -1 : a->span.from > b->span.from;
}

/* Equal words may mean different definitions in two packages. */
static bool same_condition(const struct mp_t_rule *a, const struct mp_t_rule *b)
{
    return mp_str_eq(a->canonical_when, b->canonical_when) && a->layers == b->layers &&
           a->has_unless == b->has_unless && mp_same_value(a->when.cond, b->when.cond) &&
           (!a->has_unless || mp_same_value(a->unless.cond, b->unless.cond));
}

void lint_twice(struct lint *l)
{
    uint32_t count = l->program->rules.len;
    if (count < 2 || !lint_wants(l, MP_DIAG_L104)) return;
    const struct mp_t_rule **rules = MP_NEW(l->diags->arena, const struct mp_t_rule *, count);
    if (rules == NULL) return; /* advice that does not fit is not given */
    for (uint32_t i = 0; i < count; i++) rules[i] = l->program->rules.ptr[i];
    qsort(rules, count, sizeof *rules, by_condition);
    for (uint32_t i = 1; i < count; i++) {
        if (!same_condition(rules[i - 1], rules[i])) continue;
        mp_str first = rules[i - 1]->name;
        struct mp_diag *d = lint_say(l, MP_DIAG_L104, rules[i]->when.span,
                                     "`%.*s` has the same condition", MP_STR_ARG(first));
        if (d == NULL) continue;
        mp_diag_label(d, rules[i - 1]->when.span, "here first");
        mp_diag_help(d, "one rule with both actions says it once");
    }
}
