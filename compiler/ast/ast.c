/* SPDX-License-Identifier: Apache-2.0 */
#include "ast/ast.h"

#include "base/assert.h"

const char *mp_ast_kind_name(enum mp_ast_kind kind)
{
    static const char *const names[] = {
#define X(name) #name,
        MP_AST_EXPRS(X)
#undef X
    };
    MP_ASSERT(kind < MP_AST_KIND_COUNT);
    return names[kind];
}

const char *mp_ast_item_name(enum mp_ast_item_kind kind)
{
    static const char *const names[] = {
#define X(name) #name,
        MP_AST_ITEMS(X)
#undef X
    };
    MP_ASSERT(kind < MP_AST_ITEM_KIND_COUNT);
    return names[kind];
}

mp_str mp_ast_cmp_text(enum mp_ast_cmp cmp)
{
    static const mp_str texts[] = {MP_STR_INIT("<"),  MP_STR_INIT("<="), MP_STR_INIT(">"),
                                   MP_STR_INIT(">="), MP_STR_INIT("=="), MP_STR_INIT("!=")};
    MP_ASSERT(cmp < sizeof texts / sizeof *texts);
    return texts[cmp];
}

/* The same words as in grammar/mpol.re; tests/unit/compiler/parse compares the two. */
bool mp_ast_is_hard_word(mp_str word)
{
    static const mp_str words[] = {
#define W(word) MP_STR_INIT(#word)
        W(when), W(then), W(else), W(rule), W(never), W(prove), W(test), W(param), W(let), W(def),
        W(list), W(feed), W(use), W(package), W(signal), W(entity), W(action), W(calendar), W(and),
        W(or), W(not), W(in), W(is), W(for), W(per), W(over), W(of), W(where), W(verify), W(within),
        W(until), W(unless), W(if), W(to), W(on), W(from), W(with), W(via), W(at), W(by), W(before),
        W(ever), W(more), W(cooldown), W(limit), W(ramp), W(true), W(false),
#undef W
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (mp_str_eq(words[i], word)) return true;
    }
    return false;
}
