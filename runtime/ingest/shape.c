/* SPDX-License-Identifier: Apache-2.0
 * Lines of one source are alike: the same names in the same order, with the same marks between
 * them. What a line that was read looked like is kept, and the next one is held against it: where
 * all the bytes around its values are the same, it has the same names, and only the values are
 * left to be read. Where a byte differs, or a value is not the plainest of its kind, the reader
 * of JSON decides. So this reads nothing that it would not read, and nothing otherwise.
 */
#include "ingest/ingest_priv.h"

#include <string.h>

/* ---- one that was read ---- */

static bool keep_bytes(struct shape *s, const char *from, const char *to, uint32_t *at,
                       uint32_t *len)
{
    size_t count = (size_t)(to - from);
    if (count > SHAPE_BYTES - s->used) return false;
    memcpy(s->bytes + s->used, from, count);
    *at = s->used;
    *len = (uint32_t)count;
    s->used += (uint32_t)count;
    return true;
}

void mp_shape_begin(struct mp_ingest *in, mp_str line)
{
    uint32_t oldest = in->shape_newest + 1;
    in->shape_newest = oldest < SHAPES ? oldest : 0;
    struct shape *s = &in->shapes[in->shape_newest];
    s->count = s->used = 0;
    s->whole = false;
    in->shape_from = line.ptr;
}

void mp_shape_leaf(struct mp_ingest *in, const struct mp_json_leaf *leaf, uint32_t name)
{
    struct shape *s = &in->shapes[in->shape_newest];
    if (in->shape_from == NULL) return;
    bool text = leaf->kind == MP_JSON_STRING;
    bool fits = leaf->kind != MP_JSON_OPEN_ARRAY && s->count < SHAPE_LEAVES;
    struct shape_part *p = &s->part[fits ? s->count++ : 0];
    if (!fits || !keep_bytes(s, in->shape_from, leaf->raw.ptr, &p->at, &p->len)) {
        in->shape_from = NULL;
        return;
    }
    p->name = name;
    p->text = text;
    /* a text's closing quote belongs to what follows */
    in->shape_from = leaf->raw.ptr + leaf->raw.len;
}

void mp_shape_end(struct mp_ingest *in, mp_str line)
{
    struct shape *s = &in->shapes[in->shape_newest];
    const char *from = in->shape_from;
    s->whole = from != NULL && s->count > 0 &&
               keep_bytes(s, from, line.ptr + line.len, &s->tail_at, &s->tail_len);
}

/* ---- one that is like it ---- */

static bool takes(const char **at, const char *end, const char *bytes, uint32_t len)
{
    if ((size_t)(end - *at) < len || memcmp(*at, bytes, len) != 0) return false;
    *at += len;
    return true;
}

static bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

/* A number without an exponent. What stands behind it is for the next comparison. */
static bool plain_number(const char **at, const char *end)
{
    const char *p = *at + (*at < end && **at == '-');
    if (!is_digit(p, end)) return false;
    bool zero = *p == '0';
    for (p++; !zero && is_digit(p, end); p++) continue;
    if (p < end && *p == '.') {
        if (!is_digit(p + 1, end)) return false;
        for (p++; is_digit(p, end); p++) continue;
    }
    *at = p;
    return true;
}

static bool plain_value(const char **at, const char *end, struct leaf *out)
{
    const char *from = *at;
    out->kind = MP_JSON_NUMBER;
    bool ok = plain_number(at, end);
    if (!ok && takes(at, end, "true", 4)) {
        out->kind = MP_JSON_TRUE;
        ok = true;
    } else if (!ok && takes(at, end, "false", 5)) {
        out->kind = MP_JSON_FALSE;
        ok = true;
    } else if (!ok && takes(at, end, "null", 4)) {
        out->kind = MP_JSON_NULL;
        ok = true;
    }
    out->raw = (mp_str){from, (size_t)(*at - from)};
    return ok;
}

/* Up to the closing quote; false where the text is not plain ASCII without escapes. */
static bool plain_text(const char **at, const char *end, struct leaf *out)
{
    const char *from = *at, *to = mp_json_plain_end(from, end);
    if (to == NULL) return false;
    out->kind = MP_JSON_STRING;
    out->raw = (mp_str){from, (size_t)(to - from)};
    *at = to;
    return true;
}

static bool is_like(struct mp_ingest *in, const struct shape *s, mp_str line, uint32_t *unknown)
{
    const char *at = line.ptr, *end = line.ptr + line.len;
    *unknown = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct shape_part *p = &s->part[i];
        struct leaf leaf = {.line = in->line};
        if (!takes(&at, end, s->bytes + p->at, p->len)) return false;
        if (!(p->text ? plain_text(&at, end, &leaf) : plain_value(&at, end, &leaf))) return false;
        if (p->name == MP_NONE) {
            *unknown += 1;
        } else {
            in->leaves[p->name] = leaf;
        }
    }
    return (size_t)(end - at) == s->tail_len && takes(&at, end, s->bytes + s->tail_at, s->tail_len);
}

bool mp_shape_take(struct mp_ingest *in, mp_str line)
{
    for (uint32_t i = 0; i < SHAPES; i++) {
        uint32_t at = (in->shape_newest + i) % SHAPES, unknown;
        if (!in->shapes[at].whole) continue;
        if (is_like(in, &in->shapes[at], line, &unknown)) {
            in->counts.unknown_fields += unknown;
            in->shape_newest = at;
            return true;
        }
        in->line++; /* what was taken of it is nothing */
    }
    return false;
}
