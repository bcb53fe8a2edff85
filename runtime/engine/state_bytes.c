/* SPDX-License-Identifier: Apache-2.0
 * The bytes of a row: numbers, texts, values, clocks, keys. Each is written and read here, side by
 * side. A reader never runs past its row: what is missing or out of range makes the row bad.
 */
#include "engine/state_priv.h"

#include "base/assert.h"

static void en_put_bytes(struct en_out *o, const void *bytes, size_t len)
{
    MP_ASSERT((size_t)(o->end - o->at) >= len);
    memcpy(o->at, bytes, len);
    o->at += len;
}

void en_put_u64(struct en_out *o, uint64_t n)
{
    unsigned char b[8];
    for (int i = 0; i < 8; i++) b[i] = (unsigned char)(n >> (8 * i));
    en_put_bytes(o, b, 8);
}

void en_put_i64(struct en_out *o, int64_t n) { en_put_u64(o, (uint64_t)n); }
void en_put_u8(struct en_out *o, uint8_t n) { en_put_bytes(o, &n, 1); }

void en_put_text(struct en_out *o, mp_str s)
{
    en_put_u64(o, s.len);
    en_put_bytes(o, s.ptr, s.len);
}

void en_put_value(struct en_out *o, uint32_t type, struct mp_value v)
{
    en_put_u8(o, (uint8_t)mp_type_rep((enum mp_type)type));
    if (mp_type_rep((enum mp_type)type) == MP_REP_T) {
        en_put_text(o, mp_value_as_text(&v));
    } else {
        en_put_bytes(o, v.w, sizeof v.w);
    }
}

static void en_get_bytes(struct en_in *i, void *bytes, size_t len)
{
    if (i->bad || (size_t)(i->end - i->at) < len) {
        i->bad = true;
        memset(bytes, 0, len);
        return;
    }
    memcpy(bytes, i->at, len);
    i->at += len;
}

uint64_t en_get_u64(struct en_in *i)
{
    unsigned char b[8];
    uint64_t n = 0;
    en_get_bytes(i, b, 8);
    for (int k = 0; k < 8; k++) n |= (uint64_t)b[k] << (8 * k);
    return n;
}

int64_t en_get_i64(struct en_in *i) { return (int64_t)en_get_u64(i); }

/* What is beyond two centuries would overflow where it is added to another time, and was never
 * written by us. */
#define TIME_MAX (INT64_C(1) << 62)

int64_t en_get_time(struct en_in *i)
{
    int64_t t = en_get_i64(i);
    if (t == MP_NEVER_NS || (t > -TIME_MAX && t < TIME_MAX)) return t;
    i->bad = true;
    return 0;
}

int64_t en_get_span(struct en_in *i)
{
    int64_t t = en_get_time(i);
    if (t < 0 || t == MP_NEVER_NS) i->bad = true;
    return i->bad ? 0 : t;
}

uint8_t en_get_u8(struct en_in *i)
{
    uint8_t n;
    en_get_bytes(i, &n, 1);
    return n;
}

mp_str en_get_text(struct en_in *i, size_t max)
{
    uint64_t len = en_get_u64(i);
    if (i->bad || len > max || len > (uint64_t)(i->end - i->at)) {
        i->bad = true;
        return (mp_str){"", 0};
    }
    mp_str s = {i->at, (size_t)len};
    i->at += len;
    return s;
}

struct mp_value en_get_value(struct en_in *i, enum mp_rep *rep)
{
    struct mp_value v = {{0, 0}};
    *rep = (enum mp_rep)en_get_u8(i);
    if (*rep == MP_REP_T) return mp_value_text(en_get_text(i, EN_ROW_MAX));
    en_get_bytes(i, v.w, sizeof v.w);
    return v;
}

/* ---- clocks ---- */

void en_put_hold(struct en_out *o, const struct mp_hold *h)
{
    en_put_i64(o, h->held_ns);
    en_put_i64(o, h->at_ns);
    en_put_i64(o, h->unknown_ns);
    en_put_u8(o, h->last);
}

struct mp_hold en_get_hold(struct en_in *i)
{
    struct mp_hold h;
    h.held_ns = en_get_span(i);
    h.at_ns = en_get_span(i);
    h.unknown_ns = en_get_span(i);
    h.last = en_get_u8(i);
    if (h.last > MP_UNKNOWN) i->bad = true;
    return h;
}

/* A row is written when a truth changes, so what was true stayed so until the last thing that was
 * kept. What happened after that, while nobody looked, is unknown: that pauses a clock. */
void en_hold_pause(struct mp_hold *h, int64_t stopped_ns)
{
    if (h->last != MP_TRUE) return;
    h->held_ns += stopped_ns > h->at_ns ? stopped_ns - h->at_ns : 0;
    h->at_ns = h->unknown_ns = stopped_ns;
    h->last = MP_UNKNOWN;
}

void en_put_run(struct en_out *o, const struct mp_run *r)
{
    en_put_i64(o, r->since_ns);
    en_put_u8(o, r->on);
}

struct mp_run en_get_run(struct en_in *i)
{
    struct mp_run r;
    r.since_ns = en_get_span(i);
    r.on = en_get_u8(i) != 0;
    return r;
}

void en_put_mono(struct mp_engine *e, struct en_out *o, int64_t at)
{
    en_put_u8(o, at != 0);
    en_put_i64(o, at == 0 ? 0 : at - e->mono_ns);
    en_put_i64(o, at == 0 ? 0 : e->now_ns + (at - e->mono_ns));
}

int64_t en_get_mono(struct mp_engine *e, struct en_in *i)
{
    bool runs = en_get_u8(i) != 0;
    int64_t rest = en_get_time(i), wall_rest = en_get_time(i) - e->now_ns;
    if (!runs || i->bad) return 0;
    if (wall_rest < rest) rest = wall_rest;
    if (rest < 0) rest = 0;
    return e->mono_ns + rest > 0 ? e->mono_ns + rest : 1;
}

void en_put_key(struct mp_engine *e, struct en_out *o, uint32_t grouping, uint32_t key)
{
    if (grouping == MP_NONE) { /* of an operator's decision: its text is its key */
        en_put_u8(o, 0);
        return;
    }
    const struct mp_grouping_row *g = &e->p->grouping[grouping];
    const struct mp_value *values = mp_window_key(e->window, grouping, key);
    en_put_u8(o, (uint8_t)g->keys_count);
    for (uint32_t i = 0; i < g->keys_count; i++) {
        en_put_value(o, e->p->group_key[g->keys_at + i].type, values[i]);
    }
}

#define KEYS_MAX 16

uint32_t en_get_key(struct mp_engine *e, struct en_in *i, uint32_t grouping)
{
    struct mp_value values[KEYS_MAX];
    uint32_t count = en_get_u8(i);
    bool fits = grouping != MP_NONE && count <= KEYS_MAX;
    fits = fits && count == e->p->grouping[grouping].keys_count;
    for (uint32_t k = 0; k < count && !i->bad; k++) {
        enum mp_rep rep;
        struct mp_value v = en_get_value(i, &rep);
        if (k < KEYS_MAX) values[k] = v;
        if (!fits) continue;
        uint32_t type = e->p->group_key[e->p->grouping[grouping].keys_at + k].type;
        fits = rep == mp_type_rep((enum mp_type)type);
    }
    bool fresh;
    if (i->bad || !fits) return MP_NONE;
    return mp_window_birth(e->window, grouping, values, &fresh);
}
