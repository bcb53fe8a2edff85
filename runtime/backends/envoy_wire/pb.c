/* SPDX-License-Identifier: Apache-2.0
 * The reader. Bytes come from whoever may open a connection: every length is checked against what
 * is there before it is used, and nothing is copied.
 */
#include "envoy_wire/pb.h"

#define VARINT_MAX 10
#define NUMBER_MAX ((1u << 29) - 1)
#define NS_PER_S INT64_C(1000000000)

void pb_fail(struct pb_in *in, const char *why)
{
    if (in->why == NULL) in->why = why;
    in->at = in->end;
}

/* ---- fields ---- */

static bool read_varint_slow(struct pb_in *in, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_MAX && in->at < in->end; i++) {
        uint8_t byte = (uint8_t)*in->at++;
        if (i == VARINT_MAX - 1 && byte > 1) break; /* more than 64 bits */
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *out = v;
            return true;
        }
    }
    pb_fail(in, in->at == in->end ? "a number is cut off" : "a number is longer than 64 bits");
    return false;
}

static inline bool read_varint(struct pb_in *in, uint64_t *out)
{
    if (in->at < in->end && (uint8_t)*in->at < 0x80) { /* tags and short lengths: most of them */
        *out = (uint8_t)*in->at++;
        return true;
    }
    return read_varint_slow(in, out);
}

/* Little-endian, whatever the machine is. */
static bool read_word(struct pb_in *in, unsigned bytes, uint64_t *out)
{
    if ((size_t)(in->end - in->at) < bytes) {
        pb_fail(in, "a fixed number is cut off");
        return false;
    }
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)(uint8_t)in->at[i] << (8 * i);
    in->at += bytes;
    *out = v;
    return true;
}

static bool read_bytes(struct pb_in *in, mp_str *out)
{
    uint64_t len;
    if (!read_varint(in, &len)) return false;
    if (len > (uint64_t)(in->end - in->at)) {
        pb_fail(in, "a field is longer than its message");
        return false;
    }
    *out = (mp_str){in->at, (size_t)len};
    in->at += len;
    return true;
}

bool pb_next(struct pb_in *in, struct pb_field *f)
{
    uint64_t tag;
    if (in->at == in->end || !read_varint(in, &tag)) return false;
    uint64_t number = tag >> 3;
    if (number == 0 || number > NUMBER_MAX) {
        pb_fail(in, "a field number that no field has");
        return false;
    }
    f->number = (uint32_t)number;
    f->wire = (enum pb_wire)(tag & 7);
    switch (tag & 7) {
    case PB_VARINT: return read_varint(in, &f->word);
    case PB_FIXED64: return read_word(in, 8, &f->word);
    case PB_BYTES: return read_bytes(in, &f->bytes);
    case PB_FIXED32: return read_word(in, 4, &f->word);
    default: pb_fail(in, "a group, or a wire type that there is not"); return false;
    }
}

/* ---- values ---- */

static uint64_t word_of(struct pb_in *in, const struct pb_field *f, enum pb_wire wire)
{
    if (f->wire == wire) return f->word;
    pb_fail(in, "a field is of another wire type than its message says");
    return 0;
}

uint64_t pb_uint_of(struct pb_in *in, const struct pb_field *f)
{
    return word_of(in, f, PB_VARINT);
}

int64_t pb_int_of(struct pb_in *in, const struct pb_field *f)
{
    return (int64_t)word_of(in, f, PB_VARINT);
}

bool pb_bool_of(struct pb_in *in, const struct pb_field *f)
{
    return word_of(in, f, PB_VARINT) != 0;
}

double pb_double_of(struct pb_in *in, const struct pb_field *f)
{
    uint64_t bits = word_of(in, f, PB_FIXED64);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

float pb_float_of(struct pb_in *in, const struct pb_field *f)
{
    uint32_t bits = (uint32_t)word_of(in, f, PB_FIXED32);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

uint32_t pb_fixed32_of(struct pb_in *in, const struct pb_field *f)
{
    return (uint32_t)word_of(in, f, PB_FIXED32);
}

uint64_t pb_fixed64_of(struct pb_in *in, const struct pb_field *f)
{
    return word_of(in, f, PB_FIXED64);
}

mp_str pb_bytes_of(struct pb_in *in, const struct pb_field *f)
{
    if (f->wire == PB_BYTES) return f->bytes;
    pb_fail(in, "a field is of another wire type than its message says");
    return MP_STR("");
}

/* Eight bytes of ASCII at a time; anything else by its characters. */
static bool is_utf8(mp_str s)
{
    size_t at = 0;
    while (at < s.len) {
        uint64_t word;
        if (s.len - at >= sizeof word) {
            memcpy(&word, s.ptr + at, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof word;
                continue;
            }
        }
        bool plain = (signed char)s.ptr[at] >= 0;
        size_t len = plain ? 1 : mp_str_utf8(s, at);
        if (len == 0) return false;
        at += len;
    }
    return true;
}

mp_str pb_text_of(struct pb_in *in, const struct pb_field *f)
{
    mp_str s = pb_bytes_of(in, f);
    if (is_utf8(s)) return s;
    pb_fail(in, "a text is not UTF-8");
    return MP_STR("");
}

/* ---- well-known messages ---- */

bool pb_time_of(mp_str message, int64_t *out_ns)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    int64_t seconds = 0, nanos = 0, ns;
    while (pb_next(&in, &f)) {
        if (f.number == 1) seconds = pb_int_of(&in, &f);
        if (f.number == 2) nanos = pb_int_of(&in, &f);
    }
    if (in.why != NULL || nanos <= -NS_PER_S || nanos >= NS_PER_S) return false;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &ns)) return false;
    if (__builtin_add_overflow(ns, nanos, &ns)) return false;
    *out_ns = ns;
    return true;
}

bool pb_wrapped_uint_of(mp_str message, uint64_t *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    uint64_t v = 0;
    while (pb_next(&in, &f)) {
        if (f.number == 1) v = pb_uint_of(&in, &f);
    }
    if (in.why == NULL) *out = v;
    return in.why == NULL;
}

bool pb_entry_of(mp_str message, mp_str *key, struct pb_field *value)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    mp_str k = MP_STR("");
    struct pb_field v = {.number = 2, .wire = PB_BYTES, .bytes = MP_STR("")};
    while (pb_next(&in, &f)) {
        if (f.number == 1) k = pb_text_of(&in, &f);
        if (f.number == 2) v = f;
    }
    if (in.why != NULL) return false;
    *key = k;
    *value = v;
    return true;
}

/* ---- repeated fields and maps ---- */

/* INVARIANT: what is noted was read by pb_next, so that it is read again without a fault. */
void pb_many_add(struct pb_many *many, const struct pb_in *in, const struct pb_field *f)
{
    if (many->count == 0) {
        many->field = f->number;
        many->first = f->bytes;
        many->from = *in;
    }
    many->count++;
}

void pb_many_add_entry(struct pb_many *many, struct pb_in *in, const struct pb_field *f)
{
    mp_str key;
    struct pb_field value;
    if (!pb_entry_of(pb_bytes_of(in, f), &key, &value)) {
        pb_fail(in, "an entry of a map is bad");
        return;
    }
    (void)pb_text_of(in, &value);
    if (in->why == NULL) pb_many_add(many, in, f);
}

bool pb_many_next(struct pb_many *many, mp_str *bytes)
{
    if (many->count == 0) return false;
    many->count--;
    *bytes = many->first;
    struct pb_field f = {.number = 0};
    while (many->count > 0 && pb_next(&many->from, &f) && f.number != many->field) {}
    many->first = f.bytes;
    return true;
}

bool pb_many_next_entry(struct pb_many *many, mp_str *key, mp_str *value)
{
    mp_str entry;
    struct pb_field v;
    if (!pb_many_next(many, &entry) || !pb_entry_of(entry, key, &v)) return false;
    *value = v.bytes;
    return true;
}

bool pb_many_get(struct pb_many many, mp_str key, mp_str *value)
{
    bool found = false;
    mp_str k, v;
    while (pb_many_next_entry(&many, &k, &v)) {
        if (!mp_str_eq(k, key)) continue;
        *value = v;
        found = true;
    }
    return found;
}

bool pb_any_of(mp_str message, mp_str *type_url, mp_str *value)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    mp_str url = MP_STR(""), bytes = MP_STR("");
    while (pb_next(&in, &f)) {
        if (f.number == 1) url = pb_text_of(&in, &f);
        if (f.number == 2) bytes = pb_bytes_of(&in, &f);
    }
    if (in.why != NULL) return false;
    *type_url = url;
    *value = bytes;
    return true;
}

/* ---- google.protobuf.Struct ---- */

bool pb_value_of(mp_str message, struct pb_value *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    struct pb_value v = {.kind = PB_JSON_NULL, .text = MP_STR("")};
    while (pb_next(&in, &f)) { /* a oneof: the last one counts */
        switch (f.number) {
        case 1: v.kind = PB_JSON_NULL; break;
        case 2: v.kind = PB_JSON_NUMBER; v.number = pb_double_of(&in, &f); break;
        case 3: v.kind = PB_JSON_TEXT; v.text = pb_text_of(&in, &f); break;
        case 4: v.kind = PB_JSON_BOOL; v.truth = pb_bool_of(&in, &f); break;
        case 5: v.kind = PB_JSON_STRUCT; v.text = pb_bytes_of(&in, &f); break;
        case 6: v.kind = PB_JSON_LIST; v.text = pb_bytes_of(&in, &f); break;
        }
    }
    if (in.why == NULL) *out = v;
    return in.why == NULL;
}

bool pb_struct_get(mp_str message, mp_str key, struct pb_value *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f, value, found = {.number = 0};
    mp_str name;
    while (pb_next(&in, &f)) {
        if (f.number != 1) continue;
        if (!pb_entry_of(pb_bytes_of(&in, &f), &name, &value)) return false;
        if (in.why == NULL && mp_str_eq(name, key)) found = value;
    }
    if (in.why != NULL || found.number == 0 || found.wire != PB_BYTES) return false;
    return pb_value_of(found.bytes, out);
}

bool pb_list_get(mp_str message, uint32_t index, struct pb_value *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        if (f.number != 1) continue;
        mp_str value = pb_bytes_of(&in, &f);
        if (index-- == 0) return in.why == NULL && pb_value_of(value, out);
    }
    return false;
}
