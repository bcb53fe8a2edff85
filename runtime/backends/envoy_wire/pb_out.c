/* SPDX-License-Identifier: Apache-2.0
 * The writer: append only. A message within gets one byte for its length; where that does not do,
 * its bytes move up when it ends, which costs less than walking everything twice.
 */
#include "base/assert.h"
#include "envoy_wire/pb.h"

#define FIRST_BYTES 256
#define VARINT_MAX 10
#define NS_PER_S INT64_C(1000000000)

/* Room for `more` bytes, or NULL. */
static char *reserve(struct pb_out *out, size_t more)
{
    if (out->failed) return NULL;
    if (more <= out->cap - out->len) return out->ptr + out->len;
    if (out->arena != NULL && more <= SIZE_MAX / 4 && out->cap <= SIZE_MAX / 4) {
        size_t cap = out->cap == 0 ? FIRST_BYTES : out->cap * 2;
        while (cap < out->len + more) cap *= 2;
        char *grown = mp_arena_grow(out->arena, out->ptr, out->cap, cap, 1);
        if (grown != NULL) {
            out->ptr = grown;
            out->cap = cap;
            return out->ptr + out->len;
        }
    }
    out->failed = true;
    return NULL;
}

static size_t varint(char *to, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        to[n++] = (char)(v | 0x80);
        v >>= 7;
    }
    to[n++] = (char)v;
    return n;
}

static void put_varint(struct pb_out *out, uint64_t v)
{
    char bytes[VARINT_MAX];
    pb_raw(out, (mp_str){bytes, varint(bytes, v)});
}

static void put_tag(struct pb_out *out, uint32_t field, enum pb_wire wire)
{
    MP_ASSERT(field > 0 && field < 1u << 29);
    put_varint(out, (uint64_t)field << 3 | wire);
}

static void put_word(struct pb_out *out, uint64_t v, unsigned bytes)
{
    char word[8];
    for (unsigned i = 0; i < bytes; i++) word[i] = (char)(v >> (8 * i));
    pb_raw(out, (mp_str){word, bytes});
}

/* ---- scalars ---- */

void pb_uint(struct pb_out *out, uint32_t field, uint64_t v)
{
    put_tag(out, field, PB_VARINT);
    put_varint(out, v);
}

void pb_int(struct pb_out *out, uint32_t field, int64_t v) { pb_uint(out, field, (uint64_t)v); }

void pb_bool(struct pb_out *out, uint32_t field, bool v) { pb_uint(out, field, v ? 1 : 0); }

void pb_fixed32(struct pb_out *out, uint32_t field, uint32_t v)
{
    put_tag(out, field, PB_FIXED32);
    put_word(out, v, 4);
}

void pb_fixed64(struct pb_out *out, uint32_t field, uint64_t v)
{
    put_tag(out, field, PB_FIXED64);
    put_word(out, v, 8);
}

void pb_double(struct pb_out *out, uint32_t field, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    pb_fixed64(out, field, bits);
}

void pb_float(struct pb_out *out, uint32_t field, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    pb_fixed32(out, field, bits);
}

void pb_text(struct pb_out *out, uint32_t field, mp_str s) { pb_bytes(out, field, s); }

void pb_bytes(struct pb_out *out, uint32_t field, mp_str bytes)
{
    put_tag(out, field, PB_BYTES);
    put_varint(out, bytes.len);
    pb_raw(out, bytes);
}

void pb_empty(struct pb_out *out, uint32_t field) { pb_bytes(out, field, MP_STR("")); }

void pb_raw(struct pb_out *out, mp_str bytes)
{
    char *to = reserve(out, bytes.len);
    if (to == NULL) return;
    if (bytes.len > 0) memcpy(to, bytes.ptr, bytes.len);
    out->len += bytes.len;
}

/* ---- messages within ---- */

size_t pb_begin(struct pb_out *out, uint32_t field)
{
    put_tag(out, field, PB_BYTES);
    put_word(out, 0, 1); /* of the length; pb_end makes it longer where it must be */
    return out->len;
}

void pb_end(struct pb_out *out, size_t mark)
{
    if (out->failed) return;
    MP_ASSERT(mark > 0 && mark <= out->len);
    char bytes[VARINT_MAX];
    size_t len = out->len - mark, width = varint(bytes, len);
    if (reserve(out, width - 1) == NULL) return;
    char *body = out->ptr + mark;
    if (width > 1) memmove(body + width - 1, body, len);
    memcpy(body - 1, bytes, width);
    out->len += width - 1;
}

void pb_pair_end(struct pb_out *out, struct pb_pair pair)
{
    pb_end(out, pair.inner);
    pb_end(out, pair.outer);
}

struct pb_pair pb_within(struct pb_out *out, uint32_t outer, uint32_t inner)
{
    struct pb_pair pair;
    pair.outer = pb_begin(out, outer);
    pair.inner = pb_begin(out, inner);
    return pair;
}

static struct pb_pair keyed(struct pb_out *out, uint32_t field, mp_str key)
{
    struct pb_pair pair;
    pair.outer = pb_begin(out, field);
    pb_text(out, 1, key);
    pair.inner = pb_begin(out, 2);
    return pair;
}

struct pb_pair pb_any_begin(struct pb_out *out, uint32_t field, mp_str type_url)
{
    return keyed(out, field, type_url);
}

struct pb_pair pb_map_begin(struct pb_out *out, uint32_t field, mp_str key)
{
    return keyed(out, field, key);
}

/* ---- well-known messages ---- */

void pb_map_text(struct pb_out *out, uint32_t field, mp_str key, mp_str value)
{
    size_t entry = pb_begin(out, field);
    pb_text(out, 1, key);
    pb_text(out, 2, value);
    pb_end(out, entry);
}

void pb_wrapped_uint(struct pb_out *out, uint32_t field, uint64_t v)
{
    size_t wrapper = pb_begin(out, field);
    if (v != 0) pb_uint(out, 1, v);
    pb_end(out, wrapper);
}

void pb_wrapped_bool(struct pb_out *out, uint32_t field, bool v) { pb_wrapped_uint(out, field, v); }

void pb_wrapped_text(struct pb_out *out, uint32_t field, mp_str s)
{
    size_t wrapper = pb_begin(out, field);
    if (s.len > 0) pb_text(out, 1, s);
    pb_end(out, wrapper);
}

void pb_duration(struct pb_out *out, uint32_t field, int64_t ns)
{
    size_t duration = pb_begin(out, field);
    if (ns / NS_PER_S != 0) pb_int(out, 1, ns / NS_PER_S);
    if (ns % NS_PER_S != 0) pb_int(out, 2, ns % NS_PER_S);
    pb_end(out, duration);
}

/* ---- google.protobuf.Struct: fields = 1, a map<string, Value> ---- */

void pb_struct_number(struct pb_out *out, mp_str key, double v)
{
    struct pb_pair entry = keyed(out, 1, key);
    pb_double(out, 2, v);
    pb_pair_end(out, entry);
}

void pb_struct_text(struct pb_out *out, mp_str key, mp_str s)
{
    struct pb_pair entry = keyed(out, 1, key);
    pb_text(out, 3, s);
    pb_pair_end(out, entry);
}

void pb_struct_bool(struct pb_out *out, mp_str key, bool v)
{
    struct pb_pair entry = keyed(out, 1, key);
    pb_bool(out, 4, v);
    pb_pair_end(out, entry);
}

struct pb_struct_mark pb_struct_begin(struct pb_out *out, mp_str key)
{
    struct pb_struct_mark mark;
    mark.entry = keyed(out, 1, key);
    mark.fields = pb_begin(out, 5);
    return mark;
}

void pb_struct_end(struct pb_out *out, struct pb_struct_mark mark)
{
    pb_end(out, mark.fields);
    pb_pair_end(out, mark.entry);
}
