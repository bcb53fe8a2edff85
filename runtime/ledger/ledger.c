/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/ledger.h"

#include "base/assert.h"

/* A kept entry: `size` bytes of text behind it, then padding to 8. An entry never wraps: where
 * the end is too near, a header with size PAD sends the reader to the start. */
struct kept {
    uint64_t seq;
    uint32_t size, step; /* of text; from this header to the next */
};
#define PAD UINT32_MAX

struct mp_ledger {
    const struct mp_os *os;
    uint64_t seq;
    uint8_t hash[MP_LEDGER_HASH];
    char *ring;
    size_t ring_bytes;
    size_t head, tail; /* where the next goes; where the oldest is */
    uint32_t kept;     /* entries in the ring */
    char work[MP_LEDGER_HASH + MP_LEDGER_LINE_MAX]; /* hash and text side by side: one digest */
};

enum mp_err mp_ledger_create(struct mp_arena *a, const struct mp_os *os, size_t ring_bytes,
                             struct mp_ledger **out)
{
    struct mp_ledger *l = MP_NEW(a, struct mp_ledger, 1);
    if (l == NULL) return MP_ENOMEM;
    l->os = os;
    l->ring_bytes = ring_bytes & ~(size_t)7;
    l->ring = MP_NEW(a, char, l->ring_bytes + 8);
    if (l->ring == NULL) return MP_ENOMEM;
    l->ring = (char *)(((uintptr_t)l->ring + 7) & ~(uintptr_t)7);
    *out = l;
    return MP_OK;
}

static struct kept header_at(const struct mp_ledger *l, size_t at)
{
    struct kept k;
    memcpy(&k, l->ring + at, sizeof k);
    return k;
}

/* The place of the header after the one at `at`. */
static size_t after(const struct mp_ledger *l, size_t at)
{
    size_t next = at + header_at(l, at).step;
    return next + sizeof(struct kept) > l->ring_bytes ? 0 : next;
}

static void forget_oldest(struct mp_ledger *l)
{
    if (header_at(l, l->tail).size != PAD) l->kept--;
    l->tail = after(l, l->tail);
    if (l->kept == 0) l->head = l->tail = 0;
}

/* Would `need` bytes from head on lie over the oldest entries? */
static bool overlaps(const struct mp_ledger *l, size_t at, size_t need)
{
    return l->kept > 0 && l->tail >= at && l->tail < at + need;
}

static void keep(struct mp_ledger *l, mp_str json)
{
    size_t need = (sizeof(struct kept) + json.len + 7) & ~(size_t)7;
    if (need > l->ring_bytes) {
        l->kept = 0;
        l->head = l->tail = 0;
        return;
    }
    if (l->head + need > l->ring_bytes) {
        size_t rest = l->ring_bytes - l->head;
        while (overlaps(l, l->head, rest) && l->head != 0) forget_oldest(l);
        if (l->head != 0 && l->kept > 0 && rest >= sizeof(struct kept)) {
            struct kept pad = {.size = PAD, .step = (uint32_t)rest};
            memcpy(l->ring + l->head, &pad, sizeof pad);
        }
        l->head = 0;
    }
    while (overlaps(l, l->head, need)) forget_oldest(l);
    struct kept k = {l->seq, (uint32_t)json.len, (uint32_t)need};
    memcpy(l->ring + l->head, &k, sizeof k);
    memcpy(l->ring + l->head + sizeof k, json.ptr, json.len);
    if (l->kept == 0) l->tail = l->head;
    l->kept++;
    l->head += need;
}

void mp_ledger_append(struct mp_ledger *l, struct mp_entry *entry, mp_str *json)
{
    entry->seq = ++l->seq;
    char *text = l->work + MP_LEDGER_HASH;
    *json = (mp_str){text, mp_ledger_line(entry, text)};
    if (l->os->digest != NULL) {
        memcpy(l->work, l->hash, MP_LEDGER_HASH);
        uint8_t next[MP_LEDGER_HASH];
        /* Where there is no digest after all, there is no chain: it stays at zeros. */
        if (l->os->digest(l->os->ctx, l->work, MP_LEDGER_HASH + json->len, next) == MP_OK) {
            memcpy(l->hash, next, sizeof next);
        }
    }
    keep(l, *json);
}

void mp_ledger_continue(struct mp_ledger *l, uint64_t seq, const uint8_t hash[MP_LEDGER_HASH])
{
    MP_ASSERT(l->seq == 0);
    l->seq = seq;
    memcpy(l->hash, hash, MP_LEDGER_HASH);
}

uint64_t mp_ledger_seq(const struct mp_ledger *l) { return l->seq; }

void mp_ledger_hash(const struct mp_ledger *l, uint8_t out[MP_LEDGER_HASH])
{
    memcpy(out, l->hash, MP_LEDGER_HASH);
}

enum mp_err mp_ledger_read(const struct mp_ledger *l, uint64_t after_seq, void *ctx,
                           bool (*each)(void *ctx, uint64_t seq, mp_str json))
{
    enum mp_err err = l->seq - l->kept > after_seq ? MP_ELIMIT : MP_OK;
    size_t at = l->tail;
    for (uint32_t left = l->kept; left > 0;) {
        struct kept k = header_at(l, at);
        if (k.size != PAD) {
            left--;
            mp_str json = {l->ring + at + sizeof k, k.size};
            if (k.seq > after_seq && !each(ctx, k.seq, json)) break;
        }
        at = after(l, at);
    }
    return err;
}

enum mp_err mp_ledger_link(const struct mp_os *os, mp_str json, uint8_t hash[MP_LEDGER_HASH])
{
    char work[MP_LEDGER_HASH + 4096], *bytes = work;
    if (os->digest == NULL) return MP_EUNSUPPORTED;
    if (json.len > MP_LEDGER_LINE_MAX) return MP_ELIMIT;
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    if (json.len > sizeof work - MP_LEDGER_HASH) {
        bytes = MP_NEW(&arena, char, MP_LEDGER_HASH + json.len);
        if (bytes == NULL) return MP_ENOMEM;
    }
    memcpy(bytes, hash, MP_LEDGER_HASH);
    memcpy(bytes + MP_LEDGER_HASH, json.ptr, json.len);
    enum mp_err err = os->digest(os->ctx, bytes, MP_LEDGER_HASH + json.len, hash);
    mp_arena_free(&arena);
    return err;
}
