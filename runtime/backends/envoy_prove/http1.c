/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_prove/http1.h"

#include <stdlib.h>

#include "base/assert.h"

void mp_http1_begin(struct mp_http1 *h, size_t body_max)
{
    h->state = MP_HTTP1_STATUS_LINE;
    h->status = 0;
    h->keeps = true;
    h->body_max = body_max;
    h->body_len = 0;
    h->has_length = h->chunked = false;
    h->left = h->head_bytes = h->line_len = 0;
}

void mp_http1_free(struct mp_http1 *h)
{
    free(h->body);
    h->body = NULL;
    h->body_len = h->body_cap = 0;
}

/* ---- lines ---- */

static mp_str trim(mp_str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s = mp_str_sub(s, 1, s.len);
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) s.len--;
    return s;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

/* `word` is in small letters. */
static bool is_word(mp_str s, const char *word)
{
    if (s.len != strlen(word)) return false;
    for (size_t i = 0; i < s.len; i++) {
        if (lower(s.ptr[i]) != word[i]) return false;
    }
    return true;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A number that is at most `most`; false: none, or larger. */
static bool number(mp_str s, int base, size_t most, size_t *out)
{
    size_t value = 0;
    if (s.len == 0 || s.len > 16) return false;
    for (size_t i = 0; i < s.len; i++) {
        int d = digit(s.ptr[i]);
        if (d < 0 || d >= base) return false;
        value = value * (size_t)base + (size_t)d;
        if (value > most) return false;
    }
    *out = value;
    return true;
}

/* HTTP/1.x SSS */
static bool status_line(struct mp_http1 *h, mp_str line)
{
    size_t status;
    if (line.len < 12 || !mp_str_starts(line, MP_STR("HTTP/1.")) || line.ptr[8] != ' ')
        return false;
    if (line.len > 12 && line.ptr[12] != ' ') return false;
    if (!number(mp_str_sub(line, 9, 3), 10, 999, &status) || status < 100) return false;
    h->keeps = line.ptr[7] == '1';
    h->status = (unsigned)status;
    h->state = MP_HTTP1_HEADER;
    return true;
}

static bool header(struct mp_http1 *h, mp_str line)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    if (colon == NULL || colon == line.ptr) return false;
    mp_str name = {line.ptr, (size_t)(colon - line.ptr)};
    mp_str value = trim(mp_str_sub(line, name.len + 1, line.len));
    if (is_word(name, "content-length")) {
        if (h->has_length || h->chunked || !number(value, 10, h->body_max, &h->left)) return false;
        h->has_length = true;
    } else if (is_word(name, "transfer-encoding")) {
        if (h->has_length || h->chunked || !is_word(value, "chunked")) return false;
        h->chunked = true;
    } else if (is_word(name, "connection")) {
        if (is_word(value, "close")) h->keeps = false;
    }
    return true;
}

/* The empty line after the headers: what comes next? */
static void head_over(struct mp_http1 *h)
{
    if (h->status < 200) { /* an interim answer; the real one follows */
        h->state = MP_HTTP1_STATUS_LINE;
        h->has_length = h->chunked = false;
        h->left = 0;
    } else if (h->status == 204 || h->status == 304) {
        h->state = MP_HTTP1_OVER;
    } else if (h->chunked) {
        h->state = MP_HTTP1_CHUNK_SIZE;
    } else if (h->has_length) {
        h->state = h->left > 0 ? MP_HTTP1_BODY : MP_HTTP1_OVER;
    } else {
        h->state = MP_HTTP1_BODY_TO_END;
        h->keeps = false;
    }
}

static bool chunk_size(struct mp_http1 *h, mp_str line)
{
    const char *more = memchr(line.ptr, ';', line.len); /* an extension: of no meaning to us */
    if (more != NULL) line.len = (size_t)(more - line.ptr);
    if (!number(trim(line), 16, h->body_max, &h->left)) return false;
    h->state = h->left > 0 ? MP_HTTP1_CHUNK : MP_HTTP1_TRAILER;
    return true;
}

static bool take_line(struct mp_http1 *h, mp_str line)
{
    switch (h->state) {
    case MP_HTTP1_STATUS_LINE: return status_line(h, line);
    case MP_HTTP1_HEADER:
        if (line.len > 0) return header(h, line);
        head_over(h);
        return true;
    case MP_HTTP1_CHUNK_SIZE: return chunk_size(h, line);
    case MP_HTTP1_CHUNK_END: h->state = MP_HTTP1_CHUNK_SIZE; return line.len == 0;
    case MP_HTTP1_TRAILER:
        if (line.len == 0) h->state = MP_HTTP1_OVER;
        return true;
    case MP_HTTP1_BODY:
    case MP_HTTP1_BODY_TO_END:
    case MP_HTTP1_CHUNK:
    case MP_HTTP1_OVER: break;
    }
    MP_UNREACHABLE("no line is expected here");
}

/* One byte of a line. */
static bool line_byte(struct mp_http1 *h, char c)
{
    if (++h->head_bytes > MP_HTTP1_HEAD_BYTES_MAX || c == '\0') return false;
    if (c != '\n') {
        if (h->line_len == sizeof h->line) return false;
        h->line[h->line_len++] = c;
        return true;
    }
    if (h->line_len == 0 || h->line[h->line_len - 1] != '\r') return false;
    mp_str line = {h->line, h->line_len - 1};
    h->line_len = 0;
    return take_line(h, line);
}

/* ---- bodies ---- */

static bool add_body(struct mp_http1 *h, mp_str bytes)
{
    if (bytes.len > h->body_max - h->body_len) return false;
    if (h->body_len + bytes.len > h->body_cap) {
        size_t cap = 2 * (h->body_len + bytes.len) + 256;
        char *grown = realloc(h->body, cap);
        if (grown == NULL) return false;
        h->body = grown;
        h->body_cap = cap;
    }
    if (bytes.len > 0) memcpy(h->body + h->body_len, bytes.ptr, bytes.len);
    h->body_len += bytes.len;
    return true;
}

static bool take_part(struct mp_http1 *h, mp_str bytes, size_t *used)
{
    bool counted = h->state != MP_HTTP1_BODY_TO_END;
    size_t part = counted && h->left < bytes.len ? h->left : bytes.len;
    *used = part;
    if (!add_body(h, (mp_str){bytes.ptr, part})) return false;
    if (!counted) return true;
    h->left -= part;
    if (h->left == 0) h->state = h->chunked ? MP_HTTP1_CHUNK_END : MP_HTTP1_OVER;
    return true;
}

static bool in_body(const struct mp_http1 *h)
{
    return h->state == MP_HTTP1_BODY || h->state == MP_HTTP1_BODY_TO_END ||
           h->state == MP_HTTP1_CHUNK;
}

enum mp_http1_got mp_http1_take(struct mp_http1 *h, mp_str bytes, size_t *used)
{
    *used = 0;
    while (*used < bytes.len && h->state != MP_HTTP1_OVER) {
        size_t part = 1;
        bool good = in_body(h) ? take_part(h, mp_str_sub(bytes, *used, bytes.len), &part)
                               : line_byte(h, bytes.ptr[*used]);
        if (!good) return MP_HTTP1_BAD;
        *used += part;
    }
    return h->state == MP_HTTP1_OVER ? MP_HTTP1_DONE : MP_HTTP1_MORE;
}

enum mp_http1_got mp_http1_end(struct mp_http1 *h)
{
    if (h->state != MP_HTTP1_BODY_TO_END)
        return h->state == MP_HTTP1_OVER ? MP_HTTP1_DONE : MP_HTTP1_BAD;
    h->state = MP_HTTP1_OVER;
    return MP_HTTP1_DONE;
}
