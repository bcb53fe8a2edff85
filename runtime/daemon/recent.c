/* SPDX-License-Identifier: Apache-2.0
 * What was seen in the last seconds, of everything that a lease can be on: so that an operator is
 * told how much a decision would touch, whatever policies count. Keys are hashes, but for the
 * client's address, which may be in a range.
 */
#include "daemon/daemon_priv.h"

#include <inttypes.h>
#include <stdlib.h>

#define RECORDS 16384u /* LIMIT: that are remembered; a power of two */
#define KEYS 6         /* LIMIT: of one record */
#define SPAN_NS (INT64_C(10) * 1000000000)

struct seen {
    int64_t time_ns;
    uint32_t signal, key_count;
    bool has_address;
    struct mp_value address;
    uint64_t keys[KEYS];
};

struct dm_recent {
    uint64_t generation; /* rows of another program have other numbers */
    uint64_t count;      /* since then; number n lies at n % RECORDS */
    struct seen ring[RECORDS];
};

static uint64_t hash_of(const struct dm *d, uint32_t entity, uint32_t type, struct mp_value v)
{
    uint64_t words[3] = {entity != MP_NONE ? entity : (uint64_t)type << 32, v.w[0], v.w[1]};
    if (mp_type_rep((enum mp_type)type) == MP_REP_T) {
        mp_str text = mp_value_as_text(&v);
        words[1] = mp_siphash(d->identity.hash_key, text.ptr, text.len);
        words[2] = 0;
    }
    return mp_siphash_words(d->identity.hash_key, words, 3);
}

/* What the record itself names, on its own side: the ways on which leases meet it (R31). */
static void take_keys(const struct dm *d, const struct mp_record *r, struct seen *out)
{
    const struct mp_program *p = d->now.program;
    const struct mp_signal_row *s = &p->signal[r->signal];
    for (uint32_t i = s->reaches_at; i < s->reaches_at + s->reaches_count; i++) {
        const struct mp_reach_row *reach = &p->reach[i];
        const struct mp_walk_row *walk = &p->walk[reach->walk];
        uint32_t slot = walk->index;
        bool own = walk->base == MP_WALK_FIELD && walk->hops_count == 0 && reach->outbound == 0;
        if (!own || out->key_count == KEYS || (r->known[slot / 64] >> slot % 64 & 1) == 0) continue;
        uint32_t type = reach->entity != MP_NONE ? p->entity[reach->entity].key_type : reach->type;
        out->keys[out->key_count++] = hash_of(d, reach->entity, type, r->field[slot]);
        if (type != MP_TYPE_IP) continue;
        out->has_address = true;
        out->address = r->field[slot];
    }
}

static void note(struct dm *d, const struct mp_record *r)
{
    if (d->recent == NULL) d->recent = calloc(1, sizeof *d->recent);
    if (d->recent == NULL) return; /* it is only for the eye */
    if (d->recent->generation != d->now.number) {
        d->recent->generation = d->now.number;
        d->recent->count = 0;
    }
    struct seen *at = &d->recent->ring[d->recent->count++ % RECORDS];
    at->time_ns = mp_engine_now(d->engine);
    at->signal = r->signal;
    at->key_count = 0;
    at->has_address = false;
    take_keys(d, r, at);
}

void dm_record(struct dm *d, struct mp_record *r)
{
    d->counts.records++;
    note(d, r);
    mp_engine_record(d->engine, r);
}

void dm_recent_free(struct dm *d)
{
    free(d->recent);
    d->recent = NULL;
}

/* ---- asked ---- */

static bool meets(const struct seen *s, const struct mp_lease_target *t, uint64_t hash)
{
    if (t->bits != 0) return s->has_address && mp_value_in_net(s->address, t->value, t->bits);
    for (uint32_t i = 0; i < s->key_count; i++) {
        if (s->keys[i] == hash) return true;
    }
    return false;
}

bool dm_recent_ask(const struct dm *d, uint32_t signal, const struct mp_lease_target *t,
                   struct dm_recent_count *out)
{
    const struct dm_recent *r = d->recent;
    *out = (struct dm_recent_count){.span_ns = SPAN_NS};
    if (r == NULL || r->generation != d->now.number) return false;
    uint64_t hash = hash_of(d, t->entity, t->type, t->value);
    int64_t now_ns = mp_engine_now(d->engine);
    for (uint64_t n = r->count; n > 0 && r->count - n < RECORDS; n--) {
        const struct seen *s = &r->ring[(n - 1) % RECORDS];
        if (s->time_ns < now_ns - SPAN_NS) return out->all > 0;
        if (s->signal != signal) continue;
        out->all++;
        out->met += meets(s, t, hash);
    }
    /* All that is remembered is younger: that is as far as one can see. */
    if (r->count > RECORDS) out->span_ns = now_ns - r->ring[r->count % RECORDS].time_ns;
    return out->all > 0;
}
