/* SPDX-License-Identifier: Apache-2.0
 * Telemetry lines from outside: whatever the bytes, a line is a record, something else, or bad.
 */
#include <stdlib.h>

#include "ingest/ingest.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world world;
static struct mp_ingest *ingest;
static struct mp_arena arena;

static void make(void)
{
    struct world *w = &world;
    world_init(w);
    uint32_t service = world_entity(w, "service", "name", MP_TYPE_STRING);
    world_attr(w, "tier", MP_TYPE_ENUM, MP_NONE, false);
    world_attr(w, "callers", MP_TYPE_ENTITY, service, true);
    uint32_t client = world_entity(w, "client", "ip", MP_TYPE_IP);
    world_signal(w, "requests", MP_SIGNAL_EVENT, 0, 0);
    world_key_field(w, "service", service);
    world_key_field(w, "client.ip", client);
    static const struct {
        const char *path;
        enum mp_type type;
        uint32_t flags;
    } fields[] = {
        {"path", MP_TYPE_PATH, 0},        {"host", MP_TYPE_HOST, 0},
        {"status", MP_TYPE_STATUS, 0},    {"latency", MP_TYPE_DURATION, 0},
        {"bytes_in", MP_TYPE_SIZE, 0},    {"mtls", MP_TYPE_BOOL, 0},
        {"share", MP_TYPE_PERCENT, 0},    {"rate", MP_TYPE_RATE, 0},
        {"headers.x-api-key", MP_TYPE_STRING, MP_FIELD_ENTRY},
        {"claims.roles", MP_TYPE_STRING, MP_FIELD_ENTRY | MP_FIELD_SET},
        {"client.asn", MP_TYPE_ASN, 0},   {"layer", MP_TYPE_HOOK, 0},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        world_field(w, fields[i].path, fields[i].type, fields[i].flags);
    }
    w->signal[0].layer = w->p.field_count - 1;
    mp_arena_init(&arena, NULL, 0);
    if (mp_ingest_create(&arena, &w->p, (struct mp_hash_key){1, 2}, &ingest) != MP_OK) abort();
}

/* Every byte that is answered is looked at, so that a sanitizer sees what is not ours. */
static unsigned touch_text(struct mp_value v)
{
    unsigned sum = 0;
    mp_str s = mp_value_as_text(&v);
    for (size_t i = 0; i < s.len; i++) sum += (unsigned char)s.ptr[i];
    return sum;
}

static unsigned touch(const struct mp_record *r)
{
    const struct mp_signal_row *s = &world.p.signal[r->signal];
    unsigned sum = 0;
    for (uint32_t i = 0; i < s->fields_count; i++) {
        const struct mp_field_row *f = &world.p.field[s->fields_at + i];
        if ((r->known[i / 64] >> (i % 64) & 1) == 0 || mp_type_rep(f->type) != MP_REP_T) continue;
        if ((f->flags & MP_FIELD_SET) == 0) {
            sum += touch_text(r->field[i]);
            continue;
        }
        const struct mp_value *m = (const struct mp_value *)(uintptr_t)r->field[i].w[0];
        for (uint64_t k = 0; k < r->field[i].w[1]; k++) sum += touch_text(m[k]);
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (ingest == NULL) make();
    /* A copy of its own, so that a byte read behind the line is seen. */
    char *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL) return 0;
    memcpy(copy, data, size);
    static volatile unsigned sink;
    size_t at = 0;
    while (at < size) {
        const char *end = memchr(copy + at, '\n', size - at);
        size_t len = end != NULL ? (size_t)(end - copy) - at : size - at;
        struct mp_ingested out;
        enum mp_ingest_kind kind = mp_ingest_line(ingest, (mp_str){copy + at, len}, 0, 1, &out);
        if (kind == MP_INGEST_RECORD) sink += touch(&out.record);
        if (kind == MP_INGEST_BAD && out.why == NULL) abort();
        at += len + 1;
    }
    free(copy);
    return 0;
}
