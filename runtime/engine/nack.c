/* SPDX-License-Identifier: Apache-2.0
 * What a part of the mesh refuses of what it is sent (NACK), whether a lease needs it or not. It is
 * an incident of the rule `nack` that has no lease and does nothing: it opens with the first
 * refusal, stays open however often that is repeated, over a restart too, and ends when the part
 * takes what it is sent then, or is gone. Of the first refusal are the words that it keeps.
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

mp_str en_nack_part(mp_str key)
{
    size_t at = key.len;
    while (at > 0 && key.ptr[at - 1] != ':') at--;
    return mp_str_sub(key, 0, at > 0 ? at - 1 : key.len);
}

static struct en_case *find(struct mp_engine *e, mp_str key)
{
    uint32_t left = e->rule_cases[en_rule_slot(e, EN_NACK)];
    for (uint32_t i = 0; left > 0 && i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        if (!c->used || c->rule != EN_NACK) continue;
        if (mp_str_eq(en_case_key(e, c), key)) return c;
        left--;
    }
    return NULL;
}

static void open_case(struct mp_engine *e, const struct mp_nack *nack, mp_str key)
{
    struct en_case *c = en_case_make_ruleless(e, EN_NACK, EN_NACKS_MAX);
    if (c == NULL) return; /* counted as refused */
    c->manual = en_manual_put(e, nack->resource, nack->text);
    MP_ASSERT(c->manual != EN_NONE); /* a place each */
    c->id = ++e->next_incident;
    c->opened_ns = e->now_ns;
    c->rung = 1;
    c->key_len = (uint32_t)key.len;
    memcpy(c->key_text, key.ptr, key.len);
    en_case_event(e, c, MP_INCIDENT_ON_TRUE, MP_STR(""));
    en_cause(e, MP_STR("part"), nack->part);
    en_cause(e, MP_STR("type"), nack->type);
    if (nack->resource.len > 0) en_cause(e, MP_STR("resource"), nack->resource);
    en_cause(e, MP_STR("text"), nack->text);
    en_case_event(e, c, MP_INCIDENT_ON_FIRES, MP_STR("nack"));
}

void mp_engine_nack(struct mp_engine *e, const struct mp_nack *nack)
{
    char room[EN_KEY_TEXT_MAX];
    size_t len = nack->part.len + 1 + nack->type.len;
    if (nack->part.len == 0 || nack->type.len == 0 || len > sizeof room) {
        e->refused_incidents++;
        return;
    }
    memcpy(room, nack->part.ptr, nack->part.len);
    room[nack->part.len] = ':';
    memcpy(room + nack->part.len + 1, nack->type.ptr, nack->type.len);
    mp_str key = {room, len};
    if (find(e, key) == NULL) open_case(e, nack, key);
}

void mp_engine_nacks(struct mp_engine *e, void *ctx,
                     enum mp_nack_end (*how)(void *ctx, mp_str part, mp_str type))
{
    uint32_t left = e->rule_cases[en_rule_slot(e, EN_NACK)];
    if (left == 0) return;
    for (uint32_t i = 0; left > 0 && i < e->case_end; i++) {
        struct en_case *c = &e->cases[i];
        if (!c->used || c->rule != EN_NACK) continue;
        left--;
        mp_str key = en_case_key(e, c), part = en_nack_part(key);
        enum mp_nack_end end = how(ctx, part, mp_str_sub(key, part.len + 1, SIZE_MAX));
        if (end == MP_NACK_STAYS) continue;
        en_case_release(e, c, end == MP_NACK_ACCEPTED ? EN_CAUSE_ACCEPTED : EN_CAUSE_REMOVED);
    }
}

uint32_t mp_engine_nack_count(const struct mp_engine *e)
{
    return e->rule_cases[en_rule_slot(e, EN_NACK)];
}
