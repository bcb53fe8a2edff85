/* SPDX-License-Identifier: Apache-2.0 */
#include "check/check_priv.h"

/* LIMIT: how far an entity is looked for, and how many ways are kept while looking. */
#define REACH_HOPS_MAX 4
#define REACH_WAYS_MAX 64

mp_str ck_entity_word(const struct mp_t_entity *entity)
{
    return entity->alias.len > 0 ? entity->alias : entity->name;
}

const struct mp_t_attr *ck_attr(const struct mp_t_entity *entity, mp_str name)
{
    for (uint32_t i = 0; i < entity->attr_count; i++) {
        if (mp_str_eq(entity->attrs[i].name, name)) return &entity->attrs[i];
    }
    return NULL;
}

const struct mp_t_field *ck_field(const struct mp_t_signal *signal, mp_str name)
{
    for (uint32_t i = 0; i < signal->field_count; i++) {
        if (mp_str_eq(signal->fields[i].name, name)) return &signal->fields[i];
    }
    return NULL;
}

/* ---- walks ---- */

static const struct mp_t_entity *names_of(struct mp_t_type type)
{
    return type.base == MP_TYPE_ENTITY && ck_is_scalar(type) ? type.entity : NULL;
}

static struct mp_t_walk *new_walk(struct ck *ck, enum mp_t_base base, struct mp_t_type type)
{
    struct mp_t_walk *w = CK_NEW(ck, struct mp_t_walk, 1);
    w->base = base;
    w->type = type;
    w->names = names_of(type);
    return w;
}

const struct mp_t_walk *ck_walk_member(struct ck *ck, const struct mp_t_entity *member)
{
    return new_walk(ck, MP_T_BASE_MEMBER, ck_entity_type(member));
}

const struct mp_t_walk *ck_walk_record_key(struct ck *ck, const struct mp_t_signal *signal,
                                           uint32_t index)
{
    struct mp_t_walk *w = new_walk(ck, MP_T_BASE_RECORD_KEY, ck_entity_type(signal->keys[index]));
    w->signal = signal;
    w->index = index;
    w->text = ck_entity_word(signal->keys[index]);
    return w;
}

const struct mp_t_walk *ck_walk_field(struct ck *ck, const struct mp_t_field *field, mp_str entry)
{
    struct mp_t_walk *w = new_walk(ck, MP_T_BASE_RECORD_FIELD, field->type);
    if (entry.ptr != NULL) w->type.is_map = false;
    w->names = names_of(w->type);
    w->signal = field->signal;
    w->field = field;
    w->entry = entry;
    w->text = field->name;
    return w;
}

const struct mp_t_walk *ck_walk_row_key(struct ck *ck, const struct mp_t_keys *keys, uint32_t index)
{
    struct mp_t_walk *w = new_walk(ck, MP_T_BASE_ROW_KEY, keys->keys[index].type);
    w->index = index;
    w->text = keys->keys[index].name;
    return w;
}

const struct mp_t_walk *ck_walk_const(struct ck *ck, const struct mp_t_entity *entity, mp_str text)
{
    struct mp_t_walk *w = new_walk(ck, MP_T_BASE_CONST, ck_entity_type(entity));
    w->constant = text;
    w->text = text;
    return w;
}

const struct mp_t_walk *ck_walk_of_expr(struct ck *ck, const struct mp_t_entity *entity,
                                        const struct mp_t_expr *expr)
{
    struct mp_t_walk *w = new_walk(ck, MP_T_BASE_EXPR, ck_entity_type(entity));
    w->expr = expr;
    w->text = ck_source(ck, expr->span);
    return w;
}

const struct mp_t_walk *ck_hop(struct ck *ck, const struct mp_t_walk *walk,
                               const struct mp_t_attr *attr)
{
    struct mp_t_walk *w = CK_NEW(ck, struct mp_t_walk, 1);
    *w = *walk;
    w->type = attr->type;
    w->text = ck_printf(ck, "%.*s.%.*s", MP_STR_ARG(walk->text), MP_STR_ARG(attr->name));
    if (attr->index == 0) { /* an entity's value is its key */
        w->names = attr->owner;
        return w;
    }
    w->names = names_of(w->type);
    const struct mp_t_attr **hops = CK_NEW(ck, const struct mp_t_attr *, walk->hop_count + 1);
    for (uint32_t i = 0; i < walk->hop_count; i++) hops[i] = walk->hops[i];
    hops[walk->hop_count] = attr;
    w->hops = hops;
    w->hop_count = walk->hop_count + 1;
    return w;
}

bool ck_walk_eq(const struct mp_t_walk *a, const struct mp_t_walk *b)
{
    if (a->base != b->base || a->index != b->index || a->signal != b->signal ||
        a->field != b->field || a->hop_count != b->hop_count || a->expr != b->expr ||
        !mp_str_eq(a->entry, b->entry) || !mp_str_eq(a->constant, b->constant)) {
        return false;
    }
    for (uint32_t i = 0; i < a->hop_count; i++) {
        if (a->hops[i] != b->hops[i]) return false;
    }
    return true;
}

/* May the value be missing? Keys of the record and of the row never are. */
static bool walk_may_be_unknown(const struct mp_t_walk *w)
{
    for (uint32_t i = 0; i < w->hop_count; i++) {
        if (w->hops[i]->preset == NULL) return true;
    }
    if (w->entry.ptr != NULL) return true;
    if (w->base == MP_T_BASE_EXPR) return w->expr->may_be_unknown;
    if (w->base != MP_T_BASE_RECORD_FIELD) return false;
    return !(w->field->always || w->field->preset != NULL);
}

struct mp_t_expr *ck_walk_expr(struct ck *ck, const struct mp_t_walk *walk, struct mp_span span)
{
    struct mp_t_expr *e = ck_expr(ck, MP_TX_WALK, walk->type, span);
    e->walk = walk;
    e->may_be_unknown = walk_may_be_unknown(walk);
    return e;
}

const struct mp_t_walk *ck_identity_walks(struct ck *ck, const struct mp_t_keys *keys)
{
    struct mp_t_walk *walks = CK_NEW(ck, struct mp_t_walk, keys->count + 1);
    for (uint32_t i = 0; i < keys->count; i++) walks[i] = *ck_walk_row_key(ck, keys, i);
    return walks;
}

/* ---- reach ---- */

struct ways {
    const struct mp_t_walk *walk[REACH_WAYS_MAX];
    uint32_t count;
};

static void add_way(struct ways *ways, const struct mp_t_walk *walk)
{
    if (ways->count < REACH_WAYS_MAX) ways->walk[ways->count++] = walk;
}

static void ways_of_record(struct ck *ck, const struct mp_t_signal *signal, struct ways *ways)
{
    for (uint32_t i = 0; i < signal->key_count; i++) {
        add_way(ways, ck_walk_record_key(ck, signal, i));
    }
}

static void ways_of_scope(struct ck *ck, const struct ck_scope *s, struct ways *ways)
{
    if (s->member != NULL) {
        add_way(ways, ck_walk_member(ck, s->member));
    } else if (s->record != NULL && (s->bare || s->keys == NULL)) {
        ways_of_record(ck, s->record, ways);
    } else if (s->keys != NULL) {
        for (uint32_t i = 0; i < s->keys->count; i++) add_way(ways, ck_walk_key_at(ck, s, i));
    }
}

const struct mp_t_walk *ck_walk_key_at(struct ck *ck, const struct ck_scope *s, uint32_t index)
{
    return s->at != NULL ? &s->at[index] : ck_walk_row_key(ck, s->keys, index);
}

static bool arrives(const struct mp_t_walk *w, const struct mp_t_entity *entity)
{
    if (!ck_is_scalar(w->type)) return false;
    if (entity == NULL) return w->type.base == MP_TYPE_IDENTITY;
    return w->type.base == MP_TYPE_ENTITY && w->type.entity == entity;
}

static struct ways next_level(struct ck *ck, const struct ways *from)
{
    struct ways to = {.count = 0};
    for (uint32_t i = 0; i < from->count; i++) {
        const struct mp_t_walk *w = from->walk[i];
        if (w->type.base != MP_TYPE_ENTITY || !ck_is_scalar(w->type)) continue;
        const struct mp_t_entity *at = w->type.entity;
        for (uint32_t a = 1; a < at->attr_count; a++) {
            struct mp_t_type t = at->attrs[a].type;
            bool leads_on = t.base == MP_TYPE_ENTITY || t.base == MP_TYPE_IDENTITY;
            if (leads_on && ck_is_scalar(t)) add_way(&to, ck_hop(ck, w, &at->attrs[a]));
        }
    }
    return to;
}

/* The nearest way; *second is another one of the same length. */
static const struct mp_t_walk *nearest(struct ck *ck, struct ways level,
                                       const struct mp_t_entity *entity,
                                       const struct mp_t_walk **second)
{
    *second = NULL;
    for (uint32_t hops = 0; hops <= REACH_HOPS_MAX && level.count > 0; hops++) {
        const struct mp_t_walk *found = NULL;
        for (uint32_t i = 0; i < level.count; i++) {
            if (!arrives(level.walk[i], entity)) continue;
            /* The entity itself, named as a key, comes before a field of its type. */
            bool itself = entity != NULL && mp_str_eq(level.walk[i]->text, ck_entity_word(entity));
            if (hops == 0 && itself) {
                *second = NULL;
                return level.walk[i];
            }
            if (found == NULL) {
                found = level.walk[i];
            } else if (*second == NULL) {
                *second = level.walk[i];
            }
        }
        if (found != NULL) return found;
        level = next_level(ck, &level);
    }
    return NULL;
}

static mp_str at_hand(struct ck *ck, const struct ck_scope *s)
{
    if (s->member != NULL) {
        mp_str noun = ck_type_noun(ck, ck_entity_type(s->member));
        return ck_printf(ck, "a member is %.*s", MP_STR_ARG(noun));
    }
    if (s->record != NULL && (s->bare || s->keys == NULL)) {
        return ck_printf(ck, "`%.*s` is per %.*s", MP_STR_ARG(s->record->name),
                         MP_STR_ARG(ck_signal_keys_text(ck, s->record)));
    }
    if (s->keys != NULL && s->keys->count > 0) {
        return ck_printf(ck, "here everything is per %.*s", MP_STR_ARG(ck_keys_text(ck, s->keys)));
    }
    return MP_STR("here there is one group, the mesh");
}

const struct mp_t_walk *ck_reach(struct ck *ck, const struct ck_scope *s,
                                 const struct mp_t_entity *entity, struct mp_span span, bool report)
{
    struct ways start = {.count = 0};
    ways_of_scope(ck, s, &start);
    const struct mp_t_walk *second;
    const struct mp_t_walk *found = nearest(ck, start, entity, &second);
    mp_str word = entity == NULL ? MP_STR("identity") : ck_entity_word(entity);
    if (found != NULL && second == NULL) {
        struct mp_t_walk *named = CK_NEW(ck, struct mp_t_walk, 1);
        *named = *found;
        named->text = word;
        return named;
    }
    if (!report) return NULL;
    if (s->lenient) return NULL;
    const char *code = s->place == CK_IN_ACTION && s->keys != NULL ? "E0213" : "E0205";
    if (found != NULL) {
        struct mp_diag *d = ck_error(ck, code, span, "`%.*s` is reached in two ways",
                                     MP_STR_ARG(word));
        ck_help(d, "write `%.*s` or `%.*s`", MP_STR_ARG(found->text), MP_STR_ARG(second->text));
        return NULL;
    }
    struct mp_diag *d = ck_error(ck, code, span, "`%.*s` cannot be reached from here",
                                 MP_STR_ARG(word));
    ck_label(d, span, "which %.*s?", MP_STR_ARG(word));
    ck_note(d, "%.*s", MP_STR_ARG(at_hand(ck, s)));
    if (s->keys != NULL && s->member == NULL) ck_help(d, "add `per %.*s`", MP_STR_ARG(word));
    return NULL;
}

/* ---- keys ---- */

static const struct mp_t_walk *follow(struct ck *ck, const struct mp_t_walk *w,
                                      const struct mp_t_key *key)
{
    for (uint32_t i = 0; i < key->hop_count; i++) w = ck_hop(ck, w, key->hops[i]);
    return w;
}

const struct mp_t_walk *ck_record_key(struct ck *ck, const struct mp_t_signal *signal,
                                      const struct mp_t_key *key)
{
    const struct mp_t_walk *start;
    if (key->field != NULL) {
        if (key->signal != signal) return NULL;
        start = ck_walk_field(ck, key->field, key->entry);
    } else {
        struct ways ways = {.count = 0};
        ways_of_record(ck, signal, &ways);
        const struct mp_t_walk *second;
        start = nearest(ck, ways, key->root, &second);
        if (start == NULL || second != NULL) return NULL;
    }
    return follow(ck, start, key);
}

const struct mp_t_walk *ck_reach_key(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_t_key *key)
{
    bool of_row = s->member == NULL && s->keys != NULL && !s->bare;
    for (uint32_t i = 0; of_row && i < s->keys->count; i++) {
        if (mp_str_eq(s->keys->keys[i].name, key->name)) return ck_walk_key_at(ck, s, i);
    }
    if (key->field != NULL) {
        if (s->record != key->signal || of_row) return NULL;
        return follow(ck, ck_walk_field(ck, key->field, key->entry), key);
    }
    const struct mp_t_walk *start = ck_reach(ck, s, key->root, (struct mp_span){0}, false);
    return start == NULL ? NULL : follow(ck, start, key);
}
