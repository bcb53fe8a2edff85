/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

static void group_keys(struct lw *lw, const struct mp_t_keys *keys, uint32_t number)
{
    uint32_t from = lw->ir->group_key.len;
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct mp_t_key *key = &keys->keys[i];
        struct mp_group_key_row *row = LW_ADD(lw, group_key);
        row->type = lw_type(key->type);
        row->entity = key->type.base == MP_TYPE_ENTITY ? key->type.entity->index : MP_NONE;
        row->name = lw_text(lw, key->name);
    }
    MP_IR_SPAN(lw->ir, grouping, number, keys, group_key, from);
}

static mp_str grouping_name(struct lw *lw, const struct mp_t_keys *keys)
{
    if (keys->count == 0) return MP_STR("mesh");
    struct mp_buf name;
    mp_buf_init(&name, lw->scratch);
    for (uint32_t i = 0; i < keys->count; i++) {
        if (i > 0) mp_buf_puts(&name, ", ");
        mp_buf_put(&name, keys->keys[i].name);
    }
    return lw_view(lw, &name);
}

static struct lw_grouping *add_grouping(struct lw *lw, const struct mp_t_keys *keys)
{
    struct lw_grouping *g = LW_NEW(lw, struct lw_grouping, 1);
    g->keys = keys;
    g->reads = LW_NEW(lw, bool, lw->t->signals.len);
    struct mp_grouping_row *row = LW_ADD(lw, grouping);
    g->row = lw->ir->grouping.len - 1;
    row->name = lw_text(lw, grouping_name(lw, keys));
    group_keys(lw, keys, g->row);
    LW_PUSH(lw, &lw->groupings, g);
    return g;
}

static const struct mp_t_keys no_keys = {.cap = 1};

struct lw_grouping *lw_grouping(struct lw *lw, const struct mp_t_keys *keys)
{
    if (keys == NULL) keys = &no_keys;
    struct mp_buf text;
    mp_buf_init(&text, lw->scratch);
    mp_buf_putc(&text, 'G');
    lw_canonical_keys(&text, keys);
    bool fresh;
    uint32_t row = lw_intern(lw, lw_view(lw, &text), lw->ir->grouping.len, &fresh);
    struct lw_grouping *g = fresh ? add_grouping(lw, keys) : lw->groupings.ptr[row];
    /* Rules that share a table of keys share its size: the largest that anybody asked for. */
    uint32_t cap = keys->count == 0 ? 1 : keys->cap;
    if (lw->ir->grouping.ptr[g->row].cap < cap) lw->ir->grouping.ptr[g->row].cap = cap;
    return g;
}

struct lw_grouping *lw_grouping_of(struct lw *lw, struct mp_t_type type)
{
    struct mp_t_key *key = LW_NEW(lw, struct mp_t_key, 1);
    struct mp_t_keys *keys = LW_NEW(lw, struct mp_t_keys, 1);
    const struct mp_t_entity *entity = type.base == MP_TYPE_ENTITY ? type.entity : NULL;
    key->type = type;
    key->type.is_set = false;
    key->root = entity;
    key->name = mp_type_word(type.base);
    if (entity != NULL) key->name = entity->alias.len > 0 ? entity->alias : entity->name;
    *keys = (struct mp_t_keys){key, 1, entity == NULL || entity->cap == 0 ? 10000 : entity->cap};
    return lw_grouping(lw, keys);
}
