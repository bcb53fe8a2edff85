/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"
#include "program/program_priv.h"

static bool names(const struct mp_program *p, const struct mp_param_row *r, mp_str name)
{
    mp_str bare = mp_program_text(p, r->name), package = mp_program_text(p, r->package);
    if (mp_str_eq(bare, name)) return true;
    return name.len == package.len + 1 + bare.len && mp_str_starts(name, package) &&
           name.ptr[package.len] == '.' && mp_str_ends(name, bare);
}

/* A bare name that two packages have means neither. */
static enum mp_err find_param(const struct mp_program *p, mp_str name, uint32_t *out)
{
    uint32_t found = MP_NONE;
    for (uint32_t i = 0; i < p->param_count; i++) {
        if (!names(p, &p->param[i], name)) continue;
        if (found != MP_NONE) return MP_EEXIST;
        found = i;
    }
    if (found == MP_NONE) return MP_ENOTFOUND;
    *out = found;
    return MP_OK;
}

/* What a value borrows may go away: the program keeps a copy. */
static enum mp_err set(struct mp_program *p, uint32_t param, struct mp_value v)
{
    bool text = mp_type_rep((enum mp_type)p->param[param].type) == MP_REP_T;
    if (text && mp_value_text_len(v) > MP_TEXT_INLINE) {
        mp_str copy = mp_arena_str(&p->arena, mp_value_as_text(&v));
        if (copy.ptr == NULL) return MP_ENOMEM;
        v = mp_value_text(copy);
    }
    p->params[param] = v;
    return MP_OK;
}

enum mp_err mp_program_set_param(struct mp_program *p, mp_str name, mp_str value)
{
    uint32_t i;
    struct mp_value v;
    MP_TRY(find_param(p, name, &i));
    const struct mp_param_row *r = &p->param[i];
    enum mp_rep rep = mp_type_rep((enum mp_type)r->type);
    if (!mp_value_read((enum mp_type)r->type, value, &v)) return MP_EINVAL;
    if (r->low != MP_NONE && mp_value_cmp(rep, v, p->consts[r->low]) < 0) return MP_EINVAL;
    if (r->high != MP_NONE && mp_value_cmp(rep, v, p->consts[r->high]) > 0) return MP_EINVAL;
    return set(p, i, v);
}

enum mp_err mp_program_copy_params(struct mp_program *p, const struct mp_program *from)
{
    MP_ASSERT(p->digest == from->digest);
    for (uint32_t i = 0; i < p->param_count; i++) MP_TRY(set(p, i, from->params[i]));
    return MP_OK;
}
