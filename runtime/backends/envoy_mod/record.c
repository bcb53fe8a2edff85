/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/record.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/quote.h"

/* A field: code, kind, length of the entry, length of the value (2 bytes), entry, value. */
#define FIELD_HEAD 5u
#define ENTRY_MAX 255u

enum kind { KIND_TEXT, KIND_INT };

/* How a field is written in a line. */
enum style { STYLE_TEXT, STYLE_INT, STYLE_TRUTH, STYLE_TIME, STYLE_NONE };

static const struct {
    const char *name; /* one that ends in a dot is a map */
    enum style style;
} codes[MP_RECORD_CODE_COUNT] = {
#define X(name, word, kind) [MP_GATE_##name] = {word, STYLE_##kind},
    MP_GATE_FIELDS(X)
#undef X
    [MP_RECORD_TIME] = {"time", STYLE_TIME},
    [MP_RECORD_REFUSED_BY] = {"refused_by", STYLE_TEXT},
    [MP_RECORD_UPSTREAM] = {"", STYLE_NONE},
    [MP_RECORD_WHO] = {"", STYLE_NONE},
    [MP_RECORD_KEY] = {"", STYLE_NONE},
    [MP_RECORD_FROM] = {"", STYLE_NONE},
    [MP_RECORD_DETAILS] = {"", STYLE_NONE},
};

/* ---- the worker ---- */

void mp_record_begin(struct mp_record_out *out, char *room, size_t size)
{
    *out = (struct mp_record_out){room, room + size, room};
}

static char *field(struct mp_record_out *out, uint32_t code, enum kind kind, mp_str entry,
                   size_t len)
{
    MP_ASSERT(code < MP_RECORD_CODE_COUNT);
    if (entry.len > ENTRY_MAX || len > UINT16_MAX) return NULL;
    if ((size_t)(out->end - out->at) < FIELD_HEAD + entry.len + len) return NULL;
    uint16_t len16 = (uint16_t)len;
    out->at[0] = (char)code;
    out->at[1] = (char)kind;
    out->at[2] = (char)(uint8_t)entry.len;
    memcpy(out->at + 3, &len16, sizeof len16);
    if (entry.len > 0) memcpy(out->at + FIELD_HEAD, entry.ptr, entry.len);
    char *value = out->at + FIELD_HEAD + entry.len;
    out->at = value + len;
    return value;
}

void mp_record_text(struct mp_record_out *out, uint32_t code, mp_str entry, mp_str value)
{
    char *at = field(out, code, KIND_TEXT, entry, value.len);
    if (at != NULL && value.len > 0) memcpy(at, value.ptr, value.len);
}

void mp_record_int(struct mp_record_out *out, uint32_t code, int64_t value)
{
    char *at = field(out, code, KIND_INT, MP_STR(""), sizeof value);
    if (at != NULL) memcpy(at, &value, sizeof value);
}

/* ---- the link ---- */

struct read_field {
    uint32_t code;
    enum kind kind;
    mp_str entry, value;
};

/* Records come from our own workers: a wrong one is our own mistake. */
static bool next_field(mp_str *left, struct read_field *out)
{
    if (left->len == 0) return false;
    uint16_t len;
    MP_ASSERT(left->len >= FIELD_HEAD);
    memcpy(&len, left->ptr + 3, sizeof len);
    size_t entry = (uint8_t)left->ptr[2], size = FIELD_HEAD + entry + len;
    MP_ASSERT(left->len >= size);
    *out = (struct read_field){(uint8_t)left->ptr[0], (enum kind)left->ptr[1],
                               {left->ptr + FIELD_HEAD, entry},
                               {left->ptr + FIELD_HEAD + entry, len}};
    *left = (mp_str){left->ptr + size, left->len - size};
    return true;
}

static void put_quoted(struct mp_frame_out *out, mp_str s)
{
    char room[MP_QUOTE_MAX];
    for (size_t at = 0; at < s.len;) mp_frame_put_bytes(out, mp_quote_next(s, &at, room));
}

static void put_key(struct mp_frame_out *out, const struct read_field *f, bool first)
{
    mp_frame_put_bytes(out, first ? MP_STR("\"") : MP_STR(",\""));
    mp_frame_put_bytes(out, mp_str_of(codes[f->code].name));
    put_quoted(out, f->entry);
    mp_frame_put_bytes(out, MP_STR("\":"));
}

static int64_t int_of(const struct read_field *f)
{
    int64_t v;
    MP_ASSERT(f->kind == KIND_INT && f->value.len == sizeof v);
    memcpy(&v, f->value.ptr, sizeof v);
    return v;
}

static void put_value(struct mp_frame_out *out, const struct read_field *f)
{
    char text[48];
    int len = 0;
    int64_t v;
    switch (codes[f->code].style) {
    case STYLE_NONE: return;
    case STYLE_TEXT:
        mp_frame_put_bytes(out, MP_STR("\""));
        put_quoted(out, f->value);
        mp_frame_put_bytes(out, MP_STR("\""));
        return;
    case STYLE_TRUTH:
        mp_frame_put_bytes(out, int_of(f) != 0 ? MP_STR("true") : MP_STR("false"));
        return;
    case STYLE_INT: len = snprintf(text, sizeof text, "%lld", (long long)int_of(f)); break;
    case STYLE_TIME:
        v = int_of(f) > 0 ? int_of(f) : 0;
        len = snprintf(text, sizeof text, "%lld.%09lld", (long long)(v / 1000000000),
                       (long long)(v % 1000000000));
        break;
    }
    mp_frame_put_bytes(out, (mp_str){text, (size_t)len});
}

static mp_str value_of(mp_str record, uint32_t code)
{
    struct read_field f;
    while (next_field(&record, &f)) {
        if (f.code == code) return f.value;
    }
    return MP_STR("");
}

void mp_record_frame(struct mp_frame_out *out, mp_str record)
{
    static const uint32_t beside[] = {MP_RECORD_UPSTREAM, MP_RECORD_WHO, MP_RECORD_FROM,
                                      MP_RECORD_KEY, MP_RECORD_DETAILS};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        mp_frame_put_text(out, value_of(record, beside[i]));
    }
    size_t length_at = out->len;
    mp_frame_put_u32(out, 0);
    mp_frame_put_bytes(out, MP_STR("{"));
    struct read_field f;
    bool first = true;
    while (next_field(&record, &f)) {
        if (codes[f.code].style == STYLE_NONE) continue;
        put_key(out, &f, first);
        put_value(out, &f);
        first = false;
    }
    mp_frame_put_bytes(out, MP_STR("}"));
    mp_frame_set_u32(out, length_at, (uint32_t)(out->len - length_at - 4));
}
