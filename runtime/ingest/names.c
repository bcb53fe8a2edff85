/* SPDX-License-Identifier: Apache-2.0
 * The names that a program reads, in a hash table at most a quarter full, made once: a name of a
 * line is found, or is known to be none of ours, with one look.
 */
#include "ingest/ingest_priv.h"

static const struct {
    const char *text;
} frame_names[FRAME_COUNT] = {
    [FRAME_SIGNAL] = {"signal"}, [FRAME_TIME] = {"time"},     [FRAME_ALIVE] = {"alive"},
    [FRAME_WEIGHT] = {"weight"}, [FRAME_ID] = {"id"},         [FRAME_REFUSED_BY] = {"refused_by"},
    [FRAME_ENTITY] = {"entity"},
};

/* Up to seven bytes as a word, by loads of fixed sizes that may overlap. */
static uint64_t tail_word(const char *s, size_t len)
{
    uint32_t low, high;
    if (len >= 4) {
        memcpy(&low, s, 4);
        memcpy(&high, s + len - 4, 4);
        return (uint64_t)high << 32 | low;
    }
    if (len == 0) return 0;
    return (uint64_t)(unsigned char)s[0] | (uint64_t)(unsigned char)s[len / 2] << 8 |
           (uint64_t)(unsigned char)s[len - 1] << 16;
}

/* Names are the policy's, not the enemy's: the table holds only those, and what is looked up and
 * not among them leaves nothing behind. So a quick hash will do. */
static uint64_t quick_hash(const char *s, size_t len)
{
    uint64_t h = len * UINT64_C(0x9E3779B97F4A7C15), word = 0;
    while (len >= 8) {
        memcpy(&word, s, 8);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
        s += 8;
        len -= 8;
    }
    h = (h ^ tail_word(s, len)) * UINT64_C(0xff51afd7ed558ccd);
    return h ^ h >> 32;
}

uint32_t mp_names_find(const struct mp_ingest *in, const char *path, size_t len)
{
    uint64_t hash = quick_hash(path, len);
    uint32_t i = (uint32_t)hash & in->slot_mask;
    for (; in->slots[i] != 0; i = (i + 1) & in->slot_mask) {
        const struct name *n = &in->names[in->slots[i] - 1];
        if (n->hash == hash && n->path.len == len && memcmp(n->path.ptr, path, len) == 0) {
            return in->slots[i] - 1;
        }
    }
    return MP_NONE;
}

/* Adds a name, or finds it. */
static uint32_t put(struct mp_ingest *in, mp_str path)
{
    uint32_t at = mp_names_find(in, path.ptr, path.len);
    if (at != MP_NONE) return at;
    MP_ASSERT(in->name_count < in->name_room);
    at = in->name_count++;
    in->names[at] = (struct name){path, quick_hash(path.ptr, path.len), false};
    uint32_t i = (uint32_t)in->names[at].hash & in->slot_mask;
    while (in->slots[i] != 0) i = (i + 1) & in->slot_mask;
    in->slots[i] = at + 1;
    return at;
}

static uint32_t put_pair(struct mp_ingest *in, struct mp_arena *arena, mp_str a, const char *dot,
                         mp_str b)
{
    mp_str path = mp_arena_printf(arena, "%.*s%s%.*s", MP_STR_ARG(a), dot, MP_STR_ARG(b));
    return path.ptr != NULL ? put(in, path) : MP_NONE;
}

/* `service` and `service.name` are one; so are `client.ip` and `client`. */
static struct source_name key_names(struct mp_ingest *in, struct mp_arena *arena, mp_str path,
                                    uint32_t entity)
{
    mp_str key = mp_program_text(in->p, in->p->entity[entity].key_name);
    mp_str base = path;
    bool suffixed = path.len > key.len + 1 && mp_str_ends(path, key) &&
                    path.ptr[path.len - key.len - 1] == '.';
    struct source_name n = {.name = put(in, path)};
    if (suffixed) {
        base = mp_str_sub(path, 0, path.len - key.len - 1);
        n.alias = put(in, base);
    } else {
        n.alias = put_pair(in, arena, path, ".", key);
    }
    bool text = mp_type_rep(in->p->entity[entity].key_type) == MP_REP_T;
    n.namespace = text ? put_pair(in, arena, base, ".", MP_STR("namespace")) : MP_NONE;
    return n;
}

/* `headers.x` and `response_headers.x`: entries of a map whose names have no case. */
static bool is_header(mp_str path)
{
    size_t dot = 0;
    while (dot < path.len && path.ptr[dot] != '.') dot++;
    return dot < path.len && mp_str_ends(mp_str_sub(path, 0, dot), MP_STR("headers"));
}

/* `args.x` and `cookies.x`. */
static bool is_of_pairs(const struct mp_field_row *f, const struct mp_program *p)
{
    mp_str path = mp_program_text(p, f->path);
    bool named = mp_str_starts(path, MP_STR("args.")) || mp_str_starts(path, MP_STR("cookies."));
    return (f->flags & MP_FIELD_ENTRY) != 0 && named;
}

static void put_fields(struct mp_ingest *in, struct mp_arena *arena)
{
    const struct mp_program *p = in->p;
    for (uint32_t i = 0; i < p->field_count; i++) {
        const struct mp_field_row *f = &p->field[i];
        mp_str path = mp_program_text(p, f->path);
        if (f->entity != MP_NONE && f->attr == MP_NONE) {
            in->fields[i] = key_names(in, arena, path, f->entity);
            continue;
        }
        in->fields[i] = (struct source_name){put(in, path), MP_NONE, MP_NONE};
        if ((f->flags & MP_FIELD_ENTRY) != 0 && is_header(path)) {
            in->names[in->fields[i].name].header = true;
            in->has_headers = true;
        }
    }
    for (uint32_t i = 0; i < p->field_count; i++) {
        in->wanted[i] = mp_wanted_field(p, i);
        in->wanted[i].header = in->names[in->fields[i].name].header;
        in->wanted[i].joins = in->wanted[i].header || is_of_pairs(&p->field[i], p);
    }
}

static void put_attrs(struct mp_ingest *in)
{
    const struct mp_program *p = in->p;
    for (uint32_t i = 0; i < p->attr_count; i++) {
        in->attrs[i] =
            (struct source_name){put(in, mp_program_text(p, p->attr[i].name)), MP_NONE, MP_NONE};
    }
    for (uint32_t i = 0; i < p->entity_count; i++) {
        bool text = mp_type_rep(p->entity[i].key_type) == MP_REP_T;
        in->keys[i] =
            (struct source_name){put(in, mp_program_text(p, p->entity[i].key_name)), MP_NONE,
                                           text ? put(in, MP_STR("namespace")) : MP_NONE};
    }
}

static uint32_t name_room(const struct mp_program *p)
{
    return FRAME_COUNT + p->field_count * 3 + p->attr_count + p->entity_count * 2 + 1;
}

static uint32_t slot_count(const struct mp_program *p)
{
    uint32_t slots = 64;
    while (slots < name_room(p) * 4) slots *= 2;
    return slots;
}

size_t mp_names_bytes(const struct mp_program *p)
{
    size_t texts = 0;
    for (uint32_t i = 0; i < p->field_count; i++) {
        texts += mp_program_text(p, p->field[i].path).len * 2 + 128;
    }
    size_t names = name_room(p) * (sizeof(struct name) + sizeof(struct leaf));
    size_t rows = (size_t)p->field_count + p->attr_count + p->entity_count;
    return names + slot_count(p) * sizeof(uint32_t) + rows * sizeof(struct source_name) + texts +
           p->field_count * sizeof(struct wanted) + p->attr_count + 1;
}

enum mp_err mp_names_build(struct mp_ingest *in, struct mp_arena *arena)
{
    const struct mp_program *p = in->p;
    in->name_room = name_room(p);
    in->names = MP_NEW(arena, struct name, in->name_room);
    in->leaves = MP_NEW(arena, struct leaf, in->name_room);
    in->slots = MP_NEW(arena, uint32_t, slot_count(p));
    in->slot_mask = slot_count(p) - 1;
    in->fields = MP_NEW(arena, struct source_name, p->field_count);
    in->wanted = MP_NEW(arena, struct wanted, p->field_count);
    in->attrs = MP_NEW(arena, struct source_name, p->attr_count);
    in->keys = MP_NEW(arena, struct source_name, p->entity_count);
    in->odd_told = MP_NEW(arena, bool, p->attr_count + 1);
    if (in->odd_told == NULL || in->names == NULL || in->leaves == NULL || in->slots == NULL ||
        in->fields == NULL || in->wanted == NULL || in->attrs == NULL || in->keys == NULL) {
        return MP_ENOMEM;
    }
    for (uint32_t i = 0; i < FRAME_COUNT; i++) put(in, mp_str_of(frame_names[i].text));
    put_fields(in, arena);
    put_attrs(in);
    return MP_OK;
}
