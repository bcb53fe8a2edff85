/* SPDX-License-Identifier: Apache-2.0
 * What a test has set (R46): (def, key) → a value, absent, or unknown.
 */
#include "window/window_priv.h"

static uint32_t override_hash(const struct mp_window *w, const struct group *g, uint32_t def,
                              const struct mp_value *keys)
{
    uint64_t words[KEYS_MAX + 1] = {def};
    for (uint32_t i = 0; i < g->key_count; i++) {
        words[i + 1] = mp_window_hash(w, g->rep[i], keys[i]);
    }
    return (uint32_t)mp_siphash_words(w->hash_key, words, g->key_count + 1) | 1;
}

static struct override *override_at(const struct mp_window *w, uint32_t def,
                                    const struct mp_value *keys)
{
    const struct group *g = &w->groups[w->p->def[def].grouping];
    uint32_t hash = override_hash(w, g, def, keys);
    for (uint32_t i = hash & w->override_mask;; i = (i + 1) & w->override_mask) {
        struct override *o = &w->overrides[i];
        if (o->hash == 0) return o;
        if (o->hash != hash || o->def != def) continue;
        uint32_t k = 0;
        while (k < g->key_count && mp_value_eq(g->rep[k], o->keys[k], keys[k])) k++;
        if (k == g->key_count) return o;
    }
}

/* The key is born wherever it is the key, and stays. */
static bool begin_key(struct mp_window *w, uint32_t def, const struct mp_value *keys, bool pin)
{
    const struct mp_program *p = w->p;
    const struct mp_grouping_row *of = &p->grouping[p->def[def].grouping];
    for (uint32_t i = 0; i < p->grouping_count; i++) {
        const struct mp_grouping_row *g = &p->grouping[i];
        bool same = g->keys_count == of->keys_count;
        for (uint32_t k = 0; same && k < g->keys_count; k++) {
            const struct mp_group_key_row *a = &p->group_key[g->keys_at + k];
            const struct mp_group_key_row *b = &p->group_key[of->keys_at + k];
            same = a->type == b->type && a->entity == b->entity &&
                   mp_str_eq(mp_program_text(p, a->name), mp_program_text(p, b->name));
        }
        if (!same) continue;
        bool fresh;
        uint32_t key = mp_window_birth(w, i, keys, &fresh);
        if (key == MP_NONE) return false;
        if (pin && g->keys_count != 0) mp_window_pin(w, i, key);
    }
    return true;
}

enum mp_err mp_window_set_override(struct mp_window *w, uint32_t def, const struct mp_value *values,
                                   enum mp_window_override state, struct mp_value value)
{
    if (def >= w->p->def_count || w->p->def[def].grouping == MP_NONE) return MP_EINVAL;
    const struct group *g = &w->groups[w->p->def[def].grouping];
    struct override *o = override_at(w, def, values);
    bool fresh = o->hash == 0;
    if (fresh && w->override_count == w->limits.overrides_max) return MP_ELIMIT;
    if (!begin_key(w, def, values, fresh)) return MP_EINVAL;
    if (fresh) {
        o->hash = override_hash(w, g, def, values);
        o->def = def;
        /* The key lives in the def's own grouping as long as it is pinned: for ever. */
        uint32_t key = mp_window_find(w, w->p->def[def].grouping, values);
        if (g->key_count != 0) {
            memcpy(o->keys, mp_window_key(w, w->p->def[def].grouping, key),
                   g->key_count * sizeof *o->keys);
        }
        w->override_count++;
    }
    o->state = state;
    o->value = value;
    w->epoch++;
    return MP_OK;
}

static bool answer(const struct mp_column_row *c, const struct override *o, struct mp_value *out)
{
    if ((c->flags & MP_COL_STATE) != 0) {
        *out = mp_value_int(o != NULL && o->hash != 0 ? (int64_t)o->state : 0);
        return true;
    }
    if (o == NULL || o->hash == 0 || o->state != MP_WINDOW_OVERRIDE_SET) return false;
    *out = o->value;
    return true;
}

/* Pooled over a set it is the mean of the values set. */
static bool mean(struct mp_window *w, const struct mp_column_row *c, struct mp_value set,
                 struct mp_value *out)
{
    const struct mp_value *members = (const struct mp_value *)(uintptr_t)set.w[0];
    enum mp_rep rep = mp_type_rep(w->p->def[c->index].type);
    uint32_t states[4] = {0};
    double sum = 0;
    int128 whole = 0;
    struct mp_value last = {{0, 0}};
    for (uint64_t i = 0; i < set.w[1]; i++) {
        const struct override *o = override_at(w, c->index, &members[i]);
        uint32_t state = o->hash != 0 ? (uint32_t)o->state : 0;
        states[state]++;
        if (state != MP_WINDOW_OVERRIDE_SET) continue;
        last = o->value;
        if (rep == MP_REP_F) sum += mp_value_as_num(o->value);
        else whole += mp_value_as_int(o->value);
    }
    uint32_t n = states[MP_WINDOW_OVERRIDE_SET];
    struct override o = {.hash = 1, .value = last};
    o.state = n != 0                                     ? MP_WINDOW_OVERRIDE_SET
              : states[MP_WINDOW_OVERRIDE_UNKNOWN] != 0 ? MP_WINDOW_OVERRIDE_UNKNOWN
              : states[MP_WINDOW_OVERRIDE_ABSENT] != 0  ? MP_WINDOW_OVERRIDE_ABSENT
                                                        : MP_WINDOW_OVERRIDE_NONE;
    if (n != 0 && rep == MP_REP_F) o.value = mp_value_num(sum / n);
    if (n != 0 && rep == MP_REP_I) o.value = mp_value_int((int64_t)(whole / n));
    return answer(c, &o, out);
}

bool mp_override_read(struct mp_window *w, const struct mp_record *r, const struct mp_value *keys,
                      uint32_t column, struct mp_value *out)
{
    const struct mp_column_row *c = &w->p->column[column];
    const struct mp_def_row *def = &w->p->def[c->index];
    if (def->grouping == MP_NONE) return answer(c, NULL, out);
    struct mp_value values[KEYS_MAX];
    if (!mp_read_walks(w, r, keys, c->walks_at, c->walks_count, values)) {
        return answer(c, NULL, out);
    }
    if (c->walks_count == 1 && mp_walk_is_set(w->p, c->walks_at)) return mean(w, c, values[0], out);
    return answer(c, override_at(w, c->index, values), out);
}
