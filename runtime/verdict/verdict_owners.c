/* SPDX-License-Identifier: Apache-2.0
 * Which number a throttling rule has in the keys of its buckets. A rule keeps it from program to
 * program, and for as long as no other rule needs it.
 */
#include "base/assert.h"
#include "verdict/verdict_priv.h"

static uint32_t *chain(const struct owners *o, uint64_t mark)
{
    return &o->heads[(mark ^ mark >> 32) & (OWNERS_MAX - 1)];
}

_Static_assert((OWNERS_MAX & (OWNERS_MAX - 1)) == 0, "chains are found by a mask");

enum mp_err mp_owners_create(struct mp_arena *arena, struct owners *out)
{
    *out = (struct owners){.at = MP_NEW(arena, struct owner, OWNERS_MAX),
                           .heads = MP_NEW(arena, uint32_t, OWNERS_MAX)};
    return out->at != NULL && out->heads != NULL ? MP_OK : MP_ENOMEM;
}

static bool find(const struct owners *o, uint64_t mark, uint32_t *out)
{
    for (uint32_t next = *chain(o, mark); next != 0; next = o->at[next - 1].next) {
        if (o->at[next - 1].mark != mark) continue;
        *out = next - 1;
        return true;
    }
    return false;
}

static bool fresh(struct owners *o, uint32_t *out)
{
    if (o->free != 0) {
        *out = o->free - 1;
        o->free = o->at[*out].next;
        return true;
    }
    if (o->count == OWNERS_MAX) return false;
    *out = o->count++;
    return true;
}

static void enchain(struct owners *o, uint32_t owner)
{
    uint32_t *head = chain(o, o->at[owner].mark);
    o->at[owner].next = *head;
    *head = owner + 1;
}

bool mp_owner_take(struct owners *o, uint64_t mark, uint32_t *out)
{
    if (!find(o, mark, out)) {
        if (!fresh(o, out)) return false;
        o->at[*out].mark = mark;
        enchain(o, *out);
    }
    o->at[*out].uses++;
    return true;
}

void mp_owner_give(struct owners *o, uint32_t owner)
{
    MP_ASSERT(owner < o->count && o->at[owner].uses > 0);
    o->at[owner].uses--;
}

void mp_owners_reclaim(struct owners *o)
{
    memset(o->heads, 0, OWNERS_MAX * sizeof *o->heads);
    o->free = 0;
    for (uint32_t i = o->count; i-- > 0;) {
        if (o->at[i].uses > 0) {
            enchain(o, i);
        } else {
            o->at[i].next = o->free;
            o->free = i + 1;
        }
    }
}
