/* SPDX-License-Identifier: Apache-2.0
 * What the words of a rule name before anything is checked: keys by default (language.md 4.4).
 */
#include "check/check_rule_priv.h"

/* ---- what its words name: entities, and fields of records ---- */

static bool same_key(const struct mp_ast_key *a, const struct mp_ast_key *b)
{
    if (a->path.count != b->path.count || !mp_str_eq(a->entry.text, b->entry.text)) return false;
    for (uint32_t i = 0; i < a->path.count; i++) {
        if (!mp_str_eq(a->path.parts[i].text, b->path.parts[i].text)) return false;
    }
    return true;
}

static void add_named(struct ck *ck, struct ck_named *all, const struct mp_ast_key *key)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (same_key(&all->keys[i], key)) return;
    }
    if (all->count == all->room) {
        uint32_t room = all->room * 2 + 4;
        struct mp_ast_key *more = CK_NEW(ck, struct mp_ast_key, room);
        if (all->count > 0) memcpy(more, all->keys, all->count * sizeof *more);
        all->keys = more;
        all->room = room;
    }
    all->keys[all->count++] = *key;
}

/* The root of a chain of dots and indices, and how many names hang on it. */
static const struct mp_ast_expr *root_of(const struct mp_ast_expr *e, uint32_t *names)
{
    *names = 1;
    while (e->kind == MP_AST_DOT || e->kind == MP_AST_INDEX) {
        if (e->kind == MP_AST_DOT) (*names)++;
        e = e->kid[0];
    }
    return e->kind == MP_AST_NAME ? e : NULL;
}

static void key_of_chain(struct ck *ck, struct ck_file *file, const struct mp_ast_expr *e,
                         struct ck_named *all)
{
    uint32_t names;
    const struct mp_ast_expr *root = root_of(e, &names);
    if (root == NULL) return;
    struct ck_sym *sym = ck_find(ck, file, root->u.name.text, (struct mp_span){0});
    if (sym == NULL || (sym->kind != CK_ENTITY && sym->kind != CK_SIGNAL)) return;
    if (sym->kind == CK_SIGNAL && names < 2) return;
    if (sym->kind == CK_ENTITY) names = 1;
    struct mp_ast_key key = {.span = e->span};
    key.path.parts = CK_NEW(ck, struct mp_ast_name, names);
    key.path.count = names;
    key.path.span = e->span;
    for (const struct mp_ast_expr *at = e; at != root; at = at->kid[0]) {
        bool last_index = at == e && at->kind == MP_AST_INDEX && at->kid[1]->kind == MP_AST_STRING;
        if (last_index && sym->kind == CK_SIGNAL) key.entry.text = at->kid[1]->u.str.value;
        if (at->kind == MP_AST_DOT && names > 1) key.path.parts[--names] = at->u.name;
    }
    key.path.parts[0] = root->u.name;
    add_named(ck, all, &key);
}

void ck_rule_name_all(struct ck *ck, struct ck_file *file, const struct mp_ast_expr *e,
                     struct ck_named *all)
{
    if (e == NULL) return;
    switch (e->kind) {
    case MP_AST_NAME:
    case MP_AST_DOT:
    case MP_AST_INDEX: key_of_chain(ck, file, e, all); return;
    case MP_AST_CALL: /* inside aggregates names belong to the records there */ return;
    case MP_AST_OF: ck_rule_name_all(ck, file, e->kid[1], all); return;
    case MP_AST_STRING:
        for (uint32_t i = 0; i < e->u.str.piece_count; i++) {
            ck_rule_name_all(ck, file, e->u.str.pieces[i].hole, all);
        }
        return;
    case MP_AST_SET:
        for (uint32_t i = 0; i < e->u.set.count; i++) ck_rule_name_all(ck, file, e->u.set.items[i],
                                                                       all);
        return;
    default: break;
    }
    for (int i = 0; i < 3; i++) ck_rule_name_all(ck, file, e->kid[i], all);
}

static void name_act(struct ck_rule *r, const struct mp_ast_act *act, struct ck_named *all)
{
    ck_rule_name_all(r->ck, r->file, act->target, all);
    for (uint32_t i = 0; i < act->prep_count; i++) {
        const struct mp_ast_prep *p = &act->preps[i];
        ck_rule_name_all(r->ck, r->file, p->value, all);
        for (uint32_t j = 0; j < p->pair_count; j++) {
            ck_rule_name_all(r->ck, r->file, p->pairs[j].value, all);
        }
    }
}

struct ck_named ck_rule_named(struct ck_rule *r)
{
    struct ck_named all = {0};
    for (uint32_t s = 0; s < r->ast->step_count; s++) {
        for (uint32_t i = 0; i < r->ast->steps[s].act_count; i++) {
            name_act(r, &r->ast->steps[s].acts[i], &all);
        }
    }
    return all;
}

const struct mp_t_keys *ck_rule_keys_named(struct ck_rule *r, const struct ck_named *all)
{
    if (all->count == 0) return ck_keys_entity(r->ck, NULL);
    const struct mp_ast_per per = {.keys = all->keys, .count = all->count, .span = r->item->span};
    return ck_keys_of(r->ck, r->file, &per);
}

/* ---- records ---- */

static bool is_visible(const struct ck_file *file, const struct ck_package *package)
{
    if (file->package == package) return true;
    for (uint32_t i = 0; i < file->use_count; i++) {
        if (file->uses[i].package == package) return true;
    }
    return false;
}

static bool finds_all(struct ck *ck, const struct mp_t_signal *signal, const struct mp_t_keys *keys)
{
    for (uint32_t i = 0; keys != NULL && i < keys->count; i++) {
        if (ck_record_key(ck, signal, &keys->keys[i]) == NULL) return false;
    }
    return true;
}

/* A rule that names no record speaks of the first signal in the vocabulary whose records have all
 * that it names. */
const struct mp_t_signal *ck_rule_first_signal(struct ck_rule *r, const struct mp_t_keys *keys)
{
    for (uint32_t i = 0; i < r->ck->syms.len; i++) {
        struct ck_sym *sym = r->ck->syms.ptr[i];
        if (sym->kind != CK_SIGNAL || sym->is_alias || !is_visible(r->file,
                                                                   sym->file->package)) continue;
        const struct mp_t_signal *signal = ck_signal_of(r->ck, sym);
        if (signal == NULL || signal->kind != MP_SIGNAL_EVENT) continue;
        if (finds_all(r->ck, signal, keys)) return signal;
    }
    return NULL;
}

