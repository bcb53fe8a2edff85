/* SPDX-License-Identifier: Apache-2.0
 * pb.h - protobuf's wire format, read and written by hand: no descriptors, no generated code.
 *
 * Owns:    nothing. A reader walks bytes that the caller keeps; a writer appends to an arena or
 *          to a caller's buffer.
 * Callers: discovery.h and als.h (read), envoy_xds (writes resources), tests.
 * Threads: pure; one reader, one writer, one thread.
 * Memory:  texts and bytes that were read borrow the message.
 * Source:  https://protobuf.dev/programming-guides/encoding/
 *
 * Reading. One loop over the fields of a message, a switch over their numbers, a new reader for a
 * message within: depth is that of the caller's code, so no message can make it deeper.
 *
 *     struct pb_in in = pb_read(bytes);
 *     struct pb_field f;
 *     while (pb_next(&in, &f)) {
 *         switch (f.number) {
 *         case 1: out->id = pb_text_of(&in, &f); break;
 *         case 2: out->port = (uint32_t)pb_uint_of(&in, &f); break;
 *         }                          // any other number is passed over
 *     }
 *     return in.why == NULL;
 *
 * Writing. What is written is there, zero and empty too (in a oneof presence is meaning): for a
 * default leave the call out. Failure is remembered in `failed` and asked once at the end.
 *
 *     size_t address = pb_begin(out, 1);
 *     pb_text(out, 2, MP_STR("127.0.0.1"));
 *     pb_uint(out, 3, 9001);
 *     pb_end(out, address);
 */
#ifndef MP_ENVOY_WIRE_PB_H
#define MP_ENVOY_WIRE_PB_H

#include "base/arena.h"

/* ---- reading ---- */

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_in {
    const char *at, *end;
    const char *why; /* static text of the first thing that is wrong; NULL: nothing so far */
};

struct pb_field {
    uint32_t number; /* 1 .. 2^29-1 */
    enum pb_wire wire;
    uint64_t word; /* VARINT, FIXED64, FIXED32 */
    mp_str bytes;  /* BYTES: borrowed */
};

static inline struct pb_in pb_read(mp_str message)
{
    const char *at = message.len != 0 ? message.ptr : ""; /* NULL + 0 is not C */
    return (struct pb_in){at, at + message.len, NULL};
}

/* The next field. False: the message is at its end, or it is bad (in->why): a varint longer than 10
 * bytes or than 64 bits, a length beyond the end, field number 0, a group or an unknown wire
 * type. */
bool pb_next(struct pb_in *in, struct pb_field *f);

/* The value of the field at hand. Another wire type than the value's is a bad message: answers 0 or
 * empty, and in->why says so, which ends the loop. */
uint64_t pb_uint_of(struct pb_in *in, const struct pb_field *f); /* uint32/64, bool, enum */
int64_t pb_int_of(struct pb_in *in, const struct pb_field *f);   /* int32/64 */
bool pb_bool_of(struct pb_in *in, const struct pb_field *f);
double pb_double_of(struct pb_in *in, const struct pb_field *f);
float pb_float_of(struct pb_in *in, const struct pb_field *f);
uint32_t pb_fixed32_of(struct pb_in *in, const struct pb_field *f);
uint64_t pb_fixed64_of(struct pb_in *in, const struct pb_field *f);
/* `string`: must be UTF-8, as generated readers want it. */
mp_str pb_text_of(struct pb_in *in, const struct pb_field *f);
/* `bytes`, or a message, for pb_read. */
mp_str pb_bytes_of(struct pb_in *in, const struct pb_field *f);
/* A message within was bad: so is the one around it. */
void pb_fail(struct pb_in *in, const char *why);

/* google.protobuf.Duration and Timestamp as nanoseconds. False: out of range of int64, or nanos
 * outside of a second; *out_ns is untouched. */
bool pb_time_of(mp_str message, int64_t *out_ns);
/* A wrapper such as UInt32Value or BoolValue: its value, 0 where it is left out. */
bool pb_wrapped_uint_of(mp_str message, uint64_t *out);
/* Entry of a map<string, V>: key and the field of the value (number 2; wire PB_BYTES and empty
 * where it is left out). False: bad. */
bool pb_entry_of(mp_str message, mp_str *key, struct pb_field *value);
/* A repeated field of strings or messages, or a map, met again after the message was checked:
 * nothing is copied, and there may be any number. Zeroed: none. */
struct pb_many {
    mp_str first;      /* of those that are left */
    struct pb_in from; /* behind it */
    uint32_t field, count;
};
/* Notes the field at hand as one more of `many`; `in` stands behind it. */
void pb_many_add(struct pb_many *many, const struct pb_in *in, const struct pb_field *f);
/* The next one; false: that was all. Walks `many` itself: take a copy to walk again. */
bool pb_many_next(struct pb_many *many, mp_str *bytes);
/* The same of a map<string, string> whose entries were checked by pb_many_add_entry. */
bool pb_many_next_entry(struct pb_many *many, mp_str *key, mp_str *value);
void pb_many_add_entry(struct pb_many *many, struct pb_in *in, const struct pb_field *f);
/* The value of a key; of several the last. False: none. */
bool pb_many_get(struct pb_many many, mp_str key, mp_str *value);

/* google.protobuf.Any. False: bad. */
bool pb_any_of(mp_str message, mp_str *type_url, mp_str *value);

/* ---- google.protobuf.Struct, read ---- */

enum pb_json {
    PB_JSON_NULL,
    PB_JSON_NUMBER,
    PB_JSON_TEXT,
    PB_JSON_BOOL,
    PB_JSON_STRUCT,
    PB_JSON_LIST
};

struct pb_value {
    enum pb_json kind;
    double number;
    bool truth;
    mp_str text; /* TEXT; or the message of a STRUCT or LIST, for the calls below */
};

/* Member `key` of a Struct message. False: there is none, or the message is bad. Of several the
 * last. */
bool pb_struct_get(mp_str message, mp_str key, struct pb_value *out);
/* Member `index` of a ListValue message, from 0. False: there are not so many, or it is bad. */
bool pb_list_get(mp_str message, uint32_t index, struct pb_value *out);
/* A google.protobuf.Value message. False: bad. */
bool pb_value_of(mp_str message, struct pb_value *out);

/* ---- writing ---- */

struct pb_out {
    struct mp_arena *arena; /* NULL: a caller's buffer, which does not grow */
    char *ptr;
    size_t len, cap;
    bool failed; /* no memory, or the buffer is full; what is in it then is no message */
};

/* Grows in the arena; other pieces may be taken from it meanwhile. */
static inline struct pb_out pb_out_arena(struct mp_arena *arena)
{
    return (struct pb_out){.arena = arena};
}
static inline struct pb_out pb_out_fixed(void *buffer, size_t size)
{
    return (struct pb_out){.ptr = buffer, .cap = size};
}
/* What was written; valid until the next write. */
static inline mp_str pb_view(const struct pb_out *out) { return (mp_str){out->ptr, out->len}; }

void pb_uint(struct pb_out *out, uint32_t field, uint64_t v); /* uint32/64, enum */
void pb_int(struct pb_out *out, uint32_t field, int64_t v);   /* int32/64 */
void pb_bool(struct pb_out *out, uint32_t field, bool v);
void pb_double(struct pb_out *out, uint32_t field, double v);
void pb_float(struct pb_out *out, uint32_t field, float v);
void pb_fixed32(struct pb_out *out, uint32_t field, uint32_t v);
void pb_fixed64(struct pb_out *out, uint32_t field, uint64_t v);
void pb_text(struct pb_out *out, uint32_t field, mp_str s);
/* `bytes`, or a message that is written already. */
void pb_bytes(struct pb_out *out, uint32_t field, mp_str bytes);
/* An empty message. */
void pb_empty(struct pb_out *out, uint32_t field);
/* Bytes as they are, without a tag: fields that were encoded before. */
void pb_raw(struct pb_out *out, mp_str bytes);

/* A message within: its fields are written between the two. Lengths are as short as they can be, so
 * equal content is equal bytes. */
size_t pb_begin(struct pb_out *out, uint32_t field);
void pb_end(struct pb_out *out, size_t mark);

/* Two messages within each other, begun and ended together. */
struct pb_pair {
    size_t outer, inner;
};
/* Any{type_url, value}: the fields of the value's message come between. The URL is whole. */
struct pb_pair pb_any_begin(struct pb_out *out, uint32_t field, mp_str type_url);
/* Entry of a map<string, Message>: the fields of the message come between. */
struct pb_pair pb_map_begin(struct pb_out *out, uint32_t field, mp_str key);
/* A message that holds one message in field `inner`: oneof wrappers, such as
 * Address.socket_address. */
struct pb_pair pb_within(struct pb_out *out, uint32_t outer, uint32_t inner);
void pb_pair_end(struct pb_out *out, struct pb_pair pair);

/* Entry of a map<string, string>. */
void pb_map_text(struct pb_out *out, uint32_t field, mp_str key, mp_str value);
/* UInt32Value, UInt64Value, BoolValue, StringValue: {value = 1}, left out where it is the
 * default. */
void pb_wrapped_uint(struct pb_out *out, uint32_t field, uint64_t v);
void pb_wrapped_bool(struct pb_out *out, uint32_t field, bool v);
void pb_wrapped_text(struct pb_out *out, uint32_t field, mp_str s);
/* Duration; Timestamp is the same. Seconds and nanos of one sign, zeros left out. */
void pb_duration(struct pb_out *out, uint32_t field, int64_t ns);

/* ---- google.protobuf.Struct, written: members of the Struct message that is open ---- */

void pb_struct_number(struct pb_out *out, mp_str key, double v);
void pb_struct_text(struct pb_out *out, mp_str key, mp_str s);
void pb_struct_bool(struct pb_out *out, mp_str key, bool v);
/* A Struct as member `key`; its own members come between. */
struct pb_struct_mark {
    struct pb_pair entry;
    size_t fields;
};
struct pb_struct_mark pb_struct_begin(struct pb_out *out, mp_str key);
void pb_struct_end(struct pb_out *out, struct pb_struct_mark mark);

#endif
