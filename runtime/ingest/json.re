/* SPDX-License-Identifier: Apache-2.0
 * The tokens of JSON. Reading past the end gives NUL, which begins no token: so no byte behind the
 * line is looked at, and a NUL in the line is an error like any other.
 */
#include "ingest/json.h"

#include "ingest/ingest.h"

void mp_json_init(struct mp_json *j, mp_str text)
{
    *j = (struct mp_json){.at = text.ptr, .begin = text.ptr, .end = text.ptr + text.len,
                          .token = text.ptr};
}

static enum mp_json_token bad(struct mp_json *j, const char *why)
{
    j->why = why;
    return MP_JSON_BAD;
}

static enum mp_json_token string_token(struct mp_json *j, bool escaped)
{
    j->raw = (mp_str){j->token + 1, (size_t)(j->at - j->token) - 2};
    j->escaped = escaped;
    return MP_JSON_STRING;
}

/* Eight bytes at once: is one of them below 0x20, above 0x7e, a quote or a backslash? The top bit
 * of every such byte is set in the answer ("Bit Twiddling Hacks", haszero; the lowest one set is
 * exact). */
static uint64_t special_bytes(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
    uint64_t hits = (w - ones * 0x20) | (quote - ones) | (slash - ones);
    return ((hits & ~w) | w) & tops;
}

/* Most texts are plain ASCII: they are found eight bytes at a time. */
const char *mp_json_plain_end(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t w;
        memcpy(&w, at, sizeof w);
        uint64_t hits = special_bytes(w);
        if (hits == 0) {
            at += 8;
            continue;
        }
        at += __builtin_ctzll(hits) / 8;
        break;
    }
    while (at < end && *at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\') at++;
    return at < end && *at == '"' ? at : NULL;
}

/* False: the lexer must look. */
static bool plain_string(struct mp_json *j)
{
    const char *end = mp_json_plain_end(j->at + 1, j->end);
    if (end == NULL) return false;
    j->raw = (mp_str){j->at + 1, (size_t)(end - j->at) - 1};
    j->escaped = false;
    j->token = j->at;
    j->at = end + 1;
    return true;
}

static enum mp_json_token word(struct mp_json *j, enum mp_json_token kind)
{
    j->raw = (mp_str){j->token, (size_t)(j->at - j->token)};
    return kind;
}

enum mp_json_token mp_json_next(struct mp_json *j)
{
    const char *marker = NULL;
    if (j->at < j->end && *j->at == '"' && plain_string(j)) return MP_JSON_STRING;
    /*!re2c
        re2c:api = custom;
        re2c:api:style = free-form;
        re2c:define:YYCTYPE = "unsigned char";
        re2c:define:YYPEEK = "(unsigned char)(j->at < j->end ? *j->at : 0)";
        re2c:define:YYSKIP = "j->at++;";
        re2c:define:YYBACKUP = "marker = j->at;";
        re2c:define:YYRESTORE = "j->at = marker;";
        re2c:yyfill:enable = 0;

        plain  = [\x20-\x21\x23-\x5b\x5d-\x7f]
               | [\xc2-\xdf] [\x80-\xbf]
               | "\xe0" [\xa0-\xbf] [\x80-\xbf]
               | [\xe1-\xec\xee-\xef] [\x80-\xbf] [\x80-\xbf]
               | "\xed" [\x80-\x9f] [\x80-\xbf]
               | "\xf0" [\x90-\xbf] [\x80-\xbf] [\x80-\xbf]
               | [\xf1-\xf3] [\x80-\xbf] [\x80-\xbf] [\x80-\xbf]
               | "\xf4" [\x80-\x8f] [\x80-\xbf] [\x80-\xbf];
        hex    = [0-9a-fA-F];
        escape = "\\" (["\\/bfnrt] | "u" hex{4});
        digits = [0-9]+;
        number = "-"? ("0" | [1-9] [0-9]*) ("." digits)? ([eE] [+-]? digits)?;
    */
    for (;;) {
        j->token = j->at;
        /*!re2c
            [ \t\r\n]+                   { continue; }
            "{"                          { return MP_JSON_OPEN_OBJECT; }
            "}"                          { return MP_JSON_CLOSE_OBJECT; }
            "["                          { return MP_JSON_OPEN_ARRAY; }
            "]"                          { return MP_JSON_CLOSE_ARRAY; }
            ":"                          { return MP_JSON_COLON; }
            ","                          { return MP_JSON_COMMA; }
            "true"                       { return word(j, MP_JSON_TRUE); }
            "false"                      { return word(j, MP_JSON_FALSE); }
            "null"                       { return word(j, MP_JSON_NULL); }
            ["] plain* ["]               { return string_token(j, false); }
            ["] (plain | escape)* ["]    { return string_token(j, true); }
            ["] (plain | escape)*        {
                if (j->at >= j->end) return bad(j, "a text that does not end");
                return bad(j, (unsigned char)*j->at < 0x20 ? "a control character in a text"
                              : *j->at == '\\'              ? "an unknown escape"
                                                            : "text that is not UTF-8");
            }
            number                       { return word(j, MP_JSON_NUMBER); }
            *                            {
                j->at = j->token; /* the default rule has taken a byte, or the NUL behind the end */
                if (j->token >= j->end) return MP_JSON_END;
                return bad(j, *j->token == 0 ? "a NUL byte" : "not JSON");
            }
        */
    }
}

/* ---- whole objects ---- */

struct walker {
    struct mp_json *j;
    char *path;
    size_t size;
    void *ctx;
    void (*leaf)(void *ctx, const struct mp_json_leaf *leaf);
    int depth;
};

#define NO_PATH SIZE_MAX

static bool fail(struct mp_json *j, const char *why)
{
    if (j->why == NULL) j->why = why;
    return false;
}

static bool check_escapes(struct mp_json *j)
{
    size_t at = 0, left = j->raw.len;
    char piece[12];
    while (left > 0) { /* piece by piece: an escape, with its other half, is at most 12 bytes */
        if (j->raw.ptr[at] != '\\') {
            at++;
            left--;
            continue;
        }
        size_t len = j->raw.ptr[at + 1] == 'u' ? 6 : 2, got;
        bool pair = len == 6 && left >= 12 && (j->raw.ptr[at + 2] | 32) == 'd' &&
                    j->raw.ptr[at + 6] == '\\' && j->raw.ptr[at + 7] == 'u';
        if (pair && j->raw.ptr[at + 3] >= '8') len = 12;
        if (!mp_json_unescape((mp_str){j->raw.ptr + at, len}, piece, &got)) {
            return fail(j, "a NUL or half a surrogate pair in a text");
        }
        at += len;
        left -= len;
    }
    return true;
}

/* The path with one name more; NO_PATH where it does not fit. */
static bool join(struct walker *w, size_t len, size_t *out)
{
    struct mp_json *j = w->j;
    size_t dot = len > 0, room = len == NO_PATH ? 0 : w->size;
    if (j->escaped && !check_escapes(j)) return false;
    *out = NO_PATH;
    if (len == NO_PATH || j->raw.len > room || len + dot > room - j->raw.len) return true;
    size_t got = j->raw.len;
    if (dot) w->path[len] = '.';
    if (j->escaped) {
        mp_json_unescape(j->raw, w->path + len + dot, &got);
    } else {
        memcpy(w->path + len + dot, j->raw.ptr, got);
    }
    *out = len + dot + got;
    return true;
}

static void tell(const struct walker *w, size_t path, enum mp_json_token kind, mp_str raw)
{
    if (w->leaf == NULL) return;
    struct mp_json_leaf leaf =
        {.path = {w->path, path == NO_PATH ? 0 : path}, .kind = kind, .raw = raw,
                                .escaped = w->j->escaped};
    w->leaf(w->ctx, &leaf);
}

static bool value(struct walker *w, enum mp_json_token t, size_t path);

/* The mark that is nearly always next, without asking the lexer. */
static inline bool takes(struct mp_json *j, char mark)
{
    if (j->at >= j->end || *j->at != mark) return false;
    j->token = j->at++;
    return true;
}

static bool members(struct walker *w, size_t path)
{
    enum mp_json_token t = mp_json_next(w->j);
    if (t == MP_JSON_CLOSE_OBJECT) return true;
    for (;;) {
        if (t != MP_JSON_STRING) return fail(w->j, "a name was expected");
        size_t longer;
        if (!join(w, path, &longer)) return false;
        if (!takes(w->j, ':') && mp_json_next(w->j) != MP_JSON_COLON) {
            return fail(w->j, "`:` was expected");
        }
        if (!value(w, mp_json_next(w->j), longer)) return false;
        if (!takes(w->j, ',')) {
            t = mp_json_next(w->j);
            if (t == MP_JSON_CLOSE_OBJECT) return true;
            if (t != MP_JSON_COMMA) return fail(w->j, "`,` or `}` was expected");
        }
        t = mp_json_next(w->j);
    }
}

static bool elements(struct walker *w)
{
    enum mp_json_token t = mp_json_next(w->j);
    if (t == MP_JSON_CLOSE_ARRAY) return true;
    for (;;) {
        if (!value(w, t, NO_PATH)) return false;
        t = mp_json_next(w->j);
        if (t == MP_JSON_CLOSE_ARRAY) return true;
        if (t != MP_JSON_COMMA) return fail(w->j, "`,` or `]` was expected");
        t = mp_json_next(w->j);
    }
}

static bool nested(struct walker *w, enum mp_json_token t, size_t path)
{
    if (w->depth == MP_LINE_DEPTH_MAX) return fail(w->j, "nested too deeply");
    w->depth++;
    const char *from = w->j->token;
    bool ok;
    if (t == MP_JSON_OPEN_OBJECT) {
        ok = members(w, path);
    } else {
        void (*leaf)(void *, const struct mp_json_leaf *) = w->leaf;
        w->leaf = NULL; /* an array is one leaf */
        ok = elements(w);
        w->leaf = leaf;
        if (ok) tell(w, path, MP_JSON_OPEN_ARRAY, (mp_str){from, (size_t)(w->j->at - from)});
    }
    w->depth--;
    return ok;
}

static bool value(struct walker *w, enum mp_json_token t, size_t path)
{
    switch (t) {
    case MP_JSON_STRING:
        if (w->j->escaped && !check_escapes(w->j)) return false;
        tell(w, path, t, w->j->raw);
        return true;
    case MP_JSON_NUMBER:
    case MP_JSON_TRUE:
    case MP_JSON_FALSE:
    case MP_JSON_NULL: tell(w, path, t, w->j->raw); return true;
    case MP_JSON_OPEN_OBJECT:
    case MP_JSON_OPEN_ARRAY: return nested(w, t, path);
    case MP_JSON_END: return fail(w->j, "the line ends too early");
    default: return fail(w->j, "a value was expected");
    }
}

bool mp_json_object(struct mp_json *j, char *path, size_t path_size, void *ctx,
                    void (*leaf)(void *ctx, const struct mp_json_leaf *leaf))
{
    struct walker w = {.j = j, .path = path, .size = path_size, .ctx = ctx, .leaf = leaf};
    if (mp_json_next(j) != MP_JSON_OPEN_OBJECT) return fail(j, "an object was expected");
    if (!nested(&w, MP_JSON_OPEN_OBJECT, 0)) return false;
    return mp_json_next(j) == MP_JSON_END || fail(j, "more after the object");
}

/* ---- escapes ---- */

static int hex4(const char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = (unsigned char)s[i];
        v = v * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return v;
}

static size_t put_utf8(int c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* The code point of `\uXXXX` or of a pair of them; -1 for half a pair and for NUL. */
static int code_point(mp_str raw, size_t *at)
{
    int c = hex4(raw.ptr + *at + 2);
    *at += 6;
    if (c == 0 || (c >= 0xdc00 && c <= 0xdfff)) return -1;
    if (c < 0xd800 || c > 0xdbff) return c;
    if (raw.len - *at < 6 || raw.ptr[*at] != '\\' || raw.ptr[*at + 1] != 'u') return -1;
    int low = hex4(raw.ptr + *at + 2);
    if (low < 0xdc00 || low > 0xdfff) return -1;
    *at += 6;
    return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

bool mp_json_unescape(mp_str raw, char *out, size_t *len)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t at = 0, put = 0;
    while (at < raw.len) {
        if (raw.ptr[at] != '\\') {
            out[put++] = raw.ptr[at++];
            continue;
        }
        if (raw.ptr[at + 1] == 'u') {
            int c = code_point(raw, &at);
            if (c < 0) return false;
            put += put_utf8(c, out + put);
            continue;
        }
        out[put++] = to[strchr(from, raw.ptr[at + 1]) - from];
        at += 2;
    }
    *len = put;
    return true;
}
