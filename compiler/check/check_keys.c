/* SPDX-License-Identifier: Apache-2.0
 * Keys: whom windows, rules and leases are about (language.md 4.4).
 */
#include "check/check_priv.h"

/* The one member of the entity `mesh` is no key at all. */
static bool is_mesh(const struct mp_t_entity *entity)
{
    return mp_str_eq(entity->name, MP_STR("mesh"));
}

static void append_hop(struct ck *ck, struct mp_t_key *key, const struct mp_t_attr *attr)
{
    const struct mp_t_attr **hops = CK_NEW(ck, const struct mp_t_attr *, key->hop_count + 1);
    for (uint32_t i = 0; i < key->hop_count; i++) hops[i] = key->hops[i];
    hops[key->hop_count++] = attr;
    key->hops = hops;
    key->name = ck_printf(ck, "%.*s.%.*s", MP_STR_ARG(key->name), MP_STR_ARG(attr->name));
    key->type = attr->type;
}

static bool bad_key(struct ck *ck, struct mp_span span, const char *why)
{
    ck_error(ck, "E0302", span, "%s", why);
    return false;
}

/* Follows the rest of a path over attributes. */
static bool follow_path(struct ck *ck, const struct mp_ast_key *ast, uint32_t from,
                        struct mp_t_key *key)
{
    for (uint32_t i = from; i < ast->path.count; i++) {
        const struct mp_ast_name *part = &ast->path.parts[i];
        if (key->type.base != MP_TYPE_ENTITY || !ck_is_scalar(key->type)) {
            mp_str noun = ck_type_noun(ck, key->type);
            ck_error(ck, "E0101", part->span, "%.*s has no `%.*s`", MP_STR_ARG(noun),
                     MP_STR_ARG(part->text));
            return false;
        }
        const struct mp_t_entity *entity = key->type.entity;
        const struct mp_t_attr *attr = ck_attr(entity, part->text);
        if (attr == NULL) {
            ck_unknown_attr(ck, entity, part->text, part->span);
            return false;
        }
        if (attr->index == 0) {
            if (i + 1 < ast->path.count) return bad_key(ck, part->span, "a key has no attributes");
            return true; /* `client.ip` is the client */
        }
        append_hop(ck, key, attr);
    }
    return true;
}

static bool field_key(struct ck *ck, const struct mp_ast_key *ast, const struct mp_t_signal *signal,
                      struct mp_t_key *key)
{
    if (ast->path.count < 2) {
        return bad_key(ck, ast->span, "a key is an entity, an attribute, or a field of a signal");
    }
    const struct mp_ast_name *part = &ast->path.parts[1];
    const struct mp_t_field *field = ck_field(signal, part->text);
    if (field == NULL) {
        for (uint32_t i = 0; i < signal->key_count; i++) {
            const struct mp_t_entity *e = signal->keys[i];
            if (!mp_str_eq(e->name, part->text) && !mp_str_eq(e->alias, part->text)) continue;
            key->root = e;
            key->name = ck_entity_word(e);
            key->type = ck_entity_type(e);
            return follow_path(ck, ast, 2, key);
        }
        ck_unknown_field(ck, signal, part->text, part->span);
        return false;
    }
    key->signal = signal;
    key->field = field;
    key->type = field->type;
    key->client_chosen = field->chosen;
    key->name = ck_printf(ck, "%.*s.%.*s", MP_STR_ARG(ck_signal_record_word(signal)),
                          MP_STR_ARG(field->name));
    if (field->type.is_map != (ast->entry.text.ptr != NULL)) {
        return bad_key(ck, ast->span, field->type.is_map ? "a map is no key, an entry of it is"
                                                         : "only a map has entries");
    }
    if (field->type.is_map) {
        key->entry = ast->entry.text;
        key->type.is_map = false;
        key->client_chosen = true;
        key->name = ck_printf(ck, "%.*s[\"%.*s\"]", MP_STR_ARG(key->name), MP_STR_ARG(key->entry));
        if (ast->path.count > 2) return bad_key(ck, ast->span,
                                                "an entry of a map has no attributes");
    }
    return follow_path(ck, ast, 2, key);
}

/* False where there is an error; *mesh where the key is the mesh. */
static bool one_key(struct ck *ck, const struct ck_file *file, const struct mp_ast_key *ast,
                    struct mp_t_key *key, bool *mesh)
{
    const struct mp_ast_name *first = &ast->path.parts[0];
    struct ck_sym *sym = ck_need(ck, file, first->text, first->span,
                                 1u << CK_ENTITY | 1u << CK_SIGNAL, "a key");
    if (sym == NULL) return false;
    bool ok;
    if (sym->kind == CK_SIGNAL) {
        ok = field_key(ck, ast, sym->u.signal, key);
    } else {
        key->root = sym->u.entity;
        key->name = ck_entity_word(sym->u.entity);
        key->type = ck_entity_type(sym->u.entity);
        *mesh = is_mesh(sym->u.entity) && ast->path.count == 1;
        ok = follow_path(ck, ast, 1, key);
        if (ok && ast->entry.text.ptr != NULL) {
            return bad_key(ck, ast->span, "an entry of an attribute is no key");
        }
    }
    if (ok && !ck_is_scalar(key->type)) return bad_key(ck, ast->span, "a set is no key");
    return ok && !ck_is_poison(key->type);
}

static uint32_t vocabulary_cap(const struct mp_t_keys *keys)
{
    uint32_t cap = 0;
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct mp_t_key *k = &keys->keys[i];
        uint32_t own = k->type.base == MP_TYPE_ENTITY ? k->type.entity->cap
                       : k->root != NULL              ? k->root->cap
                                                      : CK_CAP_DEFAULT;
        if (own > cap) cap = own;
    }
    return cap > 0 ? cap : 1;
}

const struct mp_t_keys *ck_keys_of(struct ck *ck, const struct ck_file *file,
                                   const struct mp_ast_per *ast)
{
    if (ast == NULL || ast->count == 0) return NULL;
    struct mp_t_keys *keys = CK_NEW(ck, struct mp_t_keys, 1);
    struct mp_t_key *all = CK_NEW(ck, struct mp_t_key, ast->count);
    for (uint32_t i = 0; i < ast->count; i++) {
        struct mp_t_key key = {.name = MP_STR("")};
        bool mesh = false;
        if (!one_key(ck, file, &ast->keys[i], &key, &mesh)) {
            keys->broken = true;
            continue;
        }
        if (mesh) continue;
        bool twice = false;
        for (uint32_t j = 0; j < keys->count; j++) twice |= mp_str_eq(all[j].name, key.name);
        if (twice) {
            ck_error(ck, "E0103", ast->keys[i].span, "`%.*s` stands twice", MP_STR_ARG(key.name));
            continue;
        }
        if (key.client_chosen && !ast->has_max) {
            struct mp_diag *d = ck_error(ck, "E0211", ast->keys[i].span,
                                         "whoever asks can choose `%.*s`, so it needs a cap",
                                         MP_STR_ARG(key.name));
            mp_diag_fix(d, mp_span_after(ast->span), MP_STR(" max 10k"), "`per %.*s max 10k`",
                        MP_STR_ARG(key.name));
        }
        all[keys->count++] = key;
    }
    keys->keys = all;
    keys->cap = vocabulary_cap(keys);
    if (ast->has_max) {
        if (ast->max.value < 1 || ast->max.value > 1000000000) {
            ck_error(ck, "E0306", ast->max.span, "`max` is a number from 1 to 1000M");
        } else {
            keys->cap = (uint32_t)ast->max.value;
        }
    }
    return keys;
}

const struct mp_t_keys *ck_keys_entity(struct ck *ck, const struct mp_t_entity *entity)
{
    struct mp_t_keys *keys = CK_NEW(ck, struct mp_t_keys, 1);
    if (entity != NULL && !is_mesh(entity)) {
        keys->keys = CK_NEW(ck, struct mp_t_key, 1);
        keys->keys[0] = (struct mp_t_key){
            .name = ck_entity_word(entity), .type = ck_entity_type(entity), .root = entity};
        keys->count = 1;
    }
    keys->cap = vocabulary_cap(keys);
    return keys;
}

const struct mp_t_keys *ck_keys_signal(struct ck *ck, const struct mp_t_signal *signal)
{
    struct mp_t_keys *keys = CK_NEW(ck, struct mp_t_keys, 1);
    keys->keys = CK_NEW(ck, struct mp_t_key, signal->key_count);
    for (uint32_t i = 0; i < signal->key_count; i++) {
        const struct mp_t_entity *e = signal->keys[i];
        if (is_mesh(e)) continue;
        keys->keys[keys->count++] = (struct mp_t_key){
            .name = ck_entity_word(e), .type = ck_entity_type(e), .root = e};
    }
    keys->cap = vocabulary_cap(keys);
    return keys;
}

bool ck_keys_eq(const struct mp_t_keys *a, const struct mp_t_keys *b)
{
    if (a == b) return true;
    if (a == NULL || b == NULL || a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < b->count && !found; j++) {
            found = mp_str_eq(a->keys[i].name, b->keys[j].name);
        }
        if (!found) return false;
    }
    return true;
}

static void put_joined(struct mp_buf *b, mp_str word, uint32_t i, uint32_t count)
{
    if (i > 0) mp_buf_puts(b, i + 1 == count ? " and " : ", ");
    mp_buf_put(b, word);
}

mp_str ck_keys_text(struct ck *ck, const struct mp_t_keys *keys)
{
    if (keys->count == 0) return MP_STR("mesh");
    struct mp_buf b;
    mp_buf_init(&b, ck->perm);
    for (uint32_t i = 0; i < keys->count; i++) put_joined(&b, keys->keys[i].name, i, keys->count);
    return ck_buf_text(ck, &b);
}

mp_str ck_signal_keys_text(struct ck *ck, const struct mp_t_signal *signal)
{
    if (signal->key_count == 0) return MP_STR("mesh");
    struct mp_buf b;
    mp_buf_init(&b, ck->perm);
    for (uint32_t i = 0; i < signal->key_count; i++) {
        put_joined(&b, signal->keys[i]->name, i, signal->key_count);
    }
    return ck_buf_text(ck, &b);
}
