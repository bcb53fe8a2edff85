/* SPDX-License-Identifier: Apache-2.0
 * By descriptors: whatever the .proto has is filled, and nothing has to be named here but time,
 * whose values have bounds.
 */
#include "random.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

uint64_t chance_below(struct chance *c, uint64_t n) { return mp_rng_next(&c->state) % n; }

static char *text_copy(struct chance *c, mp_str s) { return (char *)mp_arena_str(c->arena, s).ptr; }

mp_str chance_text(struct chance *c)
{
    static const char *const pieces[] = {"a",
                                         "spiffe://shop/",
                                         "127.0.0.1",
                                         "/pay?x=1",
                                         "é",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         " ",
                                         "mpol:",
                                         "checkout@v2",
                                         "0",
                                         "\n",
                                         "]"};
    char text[256];
    size_t len = 0;
    for (uint64_t i = chance_below(c, 9); i > 0; i--) {
        const char *piece = pieces[chance_below(c, sizeof pieces / sizeof *pieces)];
        memcpy(text + len, piece, strlen(piece));
        len += strlen(piece);
    }
    return mp_arena_str(c->arena, (mp_str){text, len});
}

/* As often small as large, and at the edges. */
static uint64_t number(struct chance *c)
{
    uint64_t v = mp_rng_next(&c->state);
    switch (chance_below(c, 4)) {
    case 0: return v & 0x7f;
    case 1: return v & 0xffff;
    case 2: return v >> chance_below(c, 64);
    default: return chance_below(c, 2) != 0 ? UINT64_MAX : 0;
    }
}

static void scalar(struct chance *c, const ProtobufCFieldDescriptor *f, void *to, unsigned depth)
{
    uint64_t v = number(c);
    double real = (double)(int64_t)v / 7;
    float small = (float)real;
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)to = (protobuf_c_boolean)(v & 1); break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32: memcpy(to, &v, 4); break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: memcpy(to, &v, 8); break;
    case PROTOBUF_C_TYPE_DOUBLE: memcpy(to, &real, 8); break;
    case PROTOBUF_C_TYPE_FLOAT: memcpy(to, &small, 4); break;
    case PROTOBUF_C_TYPE_STRING: *(char **)to = text_copy(c, chance_text(c)); break;
    case PROTOBUF_C_TYPE_BYTES: {
        mp_str s = chance_text(c);
        *(ProtobufCBinaryData *)to = (ProtobufCBinaryData){s.len, (uint8_t *)s.ptr};
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)to = chance_message(c, f->descriptor, depth - 1);
        break;
    default: MP_UNREACHABLE("a type that the oracle has not");
    }
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_STRING: return sizeof(char *);
    default: MP_UNREACHABLE("a repeated type that the oracle has not");
    }
}

static void repeated(struct chance *c, const ProtobufCFieldDescriptor *f, char *message,
                     unsigned depth)
{
    size_t count = chance_below(c, 4), each = size_of(f->type);
    char *items = mp_arena_alloc(c->arena, count * each + 1, 16);
    for (size_t i = 0; i < count; i++) scalar(c, f, items + i * each, depth);
    *(size_t *)(message + f->quantifier_offset) = count;
    *(void **)(message + f->offset) = items;
}

static void bounded_time(struct chance *c, ProtobufCMessage *m)
{
    char *bytes = (char *)m;
    int64_t seconds = (int64_t)chance_below(c, 4000000000);
    int32_t nanos = (int32_t)chance_below(c, 1000000000);
    memcpy(bytes + m->descriptor->fields[0].offset, &seconds, sizeof seconds);
    memcpy(bytes + m->descriptor->fields[1].offset, &nanos, sizeof nanos);
}

ProtobufCMessage *chance_message(struct chance *c, const ProtobufCMessageDescriptor *type,
                                 unsigned depth)
{
    ProtobufCMessage *m = mp_arena_alloc(c->arena, type->sizeof_message, 16);
    MP_ASSERT(m != NULL);
    protobuf_c_message_init(type, m);
    if (strcmp(type->short_name, "Time") == 0) {
        bounded_time(c, m);
        return m;
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        bool is_message = f->type == PROTOBUF_C_TYPE_MESSAGE;
        if ((is_message && depth == 0) || chance_below(c, 4) == 0) continue;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            repeated(c, f, (char *)m, depth);
            continue;
        }
        bool one_of = (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
        if (one_of) {
            uint32_t *which = (uint32_t *)((char *)m + f->quantifier_offset);
            if (*which != 0) continue;
            *which = f->id;
        }
        scalar(c, f, (char *)m + f->offset, depth);
    }
    return m;
}

mp_str chance_pack(struct chance *c, const ProtobufCMessage *m)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = mp_arena_alloc(c->arena, len + 1, 1);
    MP_ASSERT(bytes != NULL);
    MP_ASSERT(protobuf_c_message_pack(m, bytes) == len);
    return (mp_str){(const char *)bytes, len};
}
