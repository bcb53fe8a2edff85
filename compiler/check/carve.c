/* SPDX-License-Identifier: Apache-2.0 */
#include "check/carve.h"

#include <string.h>

struct carves {
    struct mp_carve *out;
    uint32_t count;
};

static bool is_path(const struct mp_t_expr *e)
{
    if (e == NULL || e->kind != MP_TX_WALK || e->walk->base != MP_T_BASE_RECORD_FIELD) return false;
    return e->walk->hop_count == 0 && mp_str_eq(e->walk->field->name, MP_STR("path"));
}

/* A filter compares a path as the request brings it, `request.path` has it decoded: only these
 * bytes may be the same in both (RFC 3986, pchar without pct-encoded). */
static bool travels_as_written(mp_str path)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && (c == '\0' || strchr("/-._~!$&'()*+,;=:@", c) == NULL)) return false;
    }
    return true;
}

static bool add(struct carves *c, const struct mp_t_expr *text, bool prefix)
{
    if (text == NULL || text->kind != MP_TX_CONST || mp_type_rep(text->type.base) != MP_REP_T)
        return false;
    if (c->count == MP_CARVES_MAX || text->text.len == 0) return false;
    if (!travels_as_written(text->text)) return false;
    c->out[c->count++] = (struct mp_carve){text->text, prefix};
    return true;
}

static bool add_list(struct carves *c, const struct mp_t_list *list, bool prefix)
{
    for (uint32_t i = 0; i < list->item_count; i++) {
        if (!add(c, list->items[i], prefix)) return false;
    }
    return true;
}

static bool read(struct carves *c, const struct mp_t_expr *e)
{
    switch (e->kind) {
    case MP_TX_OR:
        return read(c, e->kid[0]) && read(c, e->kid[1]);
    case MP_TX_CMP:
        if (e->op.cmp != MP_T_EQ) return false;
        if (is_path(e->kid[0])) return add(c, e->kid[1], false);
        return is_path(e->kid[1]) && add(c, e->kid[0], false);
    case MP_TX_IN:
        return is_path(e->kid[0]) && e->list != NULL && add_list(c, e->list, false);
    case MP_TX_MATCH:
        if (e->op.match != MP_T_STARTS || !is_path(e->kid[0])) return false;
        return e->list != NULL ? add_list(c, e->list, true) : add(c, e->kid[1], true);
    default:
        return false;
    }
}

bool mp_carve_read(const struct mp_t_guard *guard, struct mp_carve out[MP_CARVES_MAX],
                   uint32_t *count)
{
    struct carves c = {out, 0};
    if (guard->kind != MP_GUARD_WHERE_RECORD || guard->where == NULL) return false;
    if (!mp_str_eq(guard->signal->name, MP_STR("requests")) || !read(&c, guard->where))
        return false;
    *count = c.count;
    return true;
}
