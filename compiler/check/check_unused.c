/* SPDX-License-Identifier: Apache-2.0
 * Declarations that nothing uses, for the lint L106.
 */
#include "check/check_items_priv.h"

static const char *word_of(enum ck_sym_kind kind)
{
    switch (kind) {
    case CK_PARAM: return "param";
    case CK_LET: return "let";
    case CK_DEF: return "def";
    case CK_LIST: return "list";
    case CK_FEED: return "feed";
    case CK_CALENDAR: return "calendar";
    default: return NULL; /* vocabulary is there to be used by others; rules are */
    }
}

void ck_list_unused(struct ck *ck)
{
    for (uint32_t i = 0; i < ck->syms.len; i++) {
        const struct ck_sym *s = ck->syms.ptr[i];
        const char *what = word_of(s->kind);
        if (what == NULL || s->used || s->is_alias || !s->file->given) continue;
        *CK_PUSH(ck, &ck->out->unused) = (struct mp_t_unused){mp_str_of(what), s->name, s->span};
    }
}
