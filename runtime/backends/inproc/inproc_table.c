/* SPDX-License-Identifier: Apache-2.0 */
#include "inproc/inproc.h"

#include "base/assert.h"
#include "inproc/inproc_priv.h"

/* A key as words: text that does not fit into its value by the hash of its bytes. */
static void key_words(struct mp_hash_key key, enum mp_rep rep, struct mp_value v, uint64_t out[2])
{
    out[0] = v.w[0];
    out[1] = v.w[1];
    if (rep == MP_REP_T && mp_value_text_len(v) > MP_TEXT_INLINE) {
        mp_str text = mp_value_as_text(&v);
        out[1] = mp_siphash(key, text.ptr, text.len);
    }
}

static uint64_t target_hash(struct mp_hash_key key, uint32_t kind, enum mp_rep rep,
                            struct mp_value v)
{
    uint64_t words[3] = {((uint64_t)rep << 32) | kind, 0, 0};
    key_words(key, rep, v, &words[1]);
    uint64_t hash = mp_siphash_words(key, words, 3);
    return hash != 0 ? hash : 1;
}

static bool same_target(const struct mp_inproc_lease *l, uint32_t kind, enum mp_rep rep,
                        struct mp_value v)
{
    return l->kind == kind && l->rep == rep && mp_value_eq(rep, l->key, v);
}

/* INVARIANT: more slots than leases, so that every search ends at an empty one. */
static struct slot *find_slot(const struct table *t, uint64_t hash, uint32_t kind, enum mp_rep rep,
                              struct mp_value v)
{
    for (uint64_t at = hash & t->slot_mask;; at = (at + 1) & t->slot_mask) {
        struct slot *s = &t->slots[at];
        if (s->hash == 0) return s;
        if (s->hash == hash && same_target(&t->leases[s->first - 1], kind, rep, v)) return s;
    }
}

/* As many slots as these leases need: clearing them is most of the work of publishing a few. */
static void size_slots(struct table *t)
{
    uint32_t slots = 16;
    while (slots < 2 * t->view.lease_count) slots *= 2;
    t->slot_mask = slots - 1;
}

void mp_inproc_index(struct table *t)
{
    size_slots(t);
    memset(t->slots, 0, ((size_t)t->slot_mask + 1) * sizeof *t->slots);
    t->view.kinds = 0;
    t->view.ranges = 0;
    for (uint32_t i = t->view.lease_count; i-- > 0;) {
        struct mp_inproc_lease *l = &t->leases[i];
        t->view.kinds |= UINT64_C(1) << l->kind;
        if (l->bits != 0) {
            l->next = t->view.ranges;
            t->view.ranges = i + 1;
            continue;
        }
        uint64_t hash = target_hash(t->key, l->kind, l->rep, l->key);
        struct slot *s = find_slot(t, hash, l->kind, l->rep, l->key);
        l->next = s->first; /* the lease with the lowest id comes first: the order of answers */
        *s = (struct slot){.hash = hash, .first = i + 1};
    }
}

const struct mp_inproc_lease *mp_inproc_find(const struct mp_inproc_view *view, uint32_t kind,
                                             enum mp_rep rep, struct mp_value key)
{
    const struct table *t = (const struct table *)view;
    MP_ASSERT(kind < KINDS_MAX);
    if ((view->kinds >> kind & 1) == 0) return NULL;
    const struct slot *s = find_slot(t, target_hash(t->key, kind, rep, key), kind, rep, key);
    return s->first != 0 ? &t->leases[s->first - 1] : NULL;
}

bool mp_inproc_given_back(const struct mp_inproc_view *view, const struct mp_inproc_lease *lease,
                          enum mp_rep rep, struct mp_value who)
{
    if (lease->pass == 0) return false;
    const struct table *t = (const struct table *)view;
    uint64_t words[3] = {lease->incident, 0, 0};
    key_words(t->key, rep, who, &words[1]);
    return (mp_siphash_words(t->key, words, 3) & UINT32_MAX) < lease->pass;
}
