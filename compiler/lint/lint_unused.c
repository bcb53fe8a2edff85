/* SPDX-License-Identifier: Apache-2.0
 * What is declared and not used (L106), and lists that say nothing (L107, L108).
 */
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
