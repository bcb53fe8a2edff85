/* SPDX-License-Identifier: Apache-2.0
 * json.h - JSON of one line, token by token (RFC 8259): no tree, no copy, UTF-8 checked on the way.
 *
 * Owns:    nothing. Callers: ingest, inspect, import. Threads: a struct mp_json is one reader's.
 * Strings are given raw, between their quotes; mp_json_unescape makes text of them.
 */
#ifndef MP_INGEST_JSON_H
#define MP_INGEST_JSON_H

#include "base/str.h"

enum mp_json_token {
    MP_JSON_END, MP_JSON_BAD,
    MP_JSON_OPEN_OBJECT, MP_JSON_CLOSE_OBJECT, MP_JSON_OPEN_ARRAY, MP_JSON_CLOSE_ARRAY,
    MP_JSON_COLON, MP_JSON_COMMA,
    MP_JSON_STRING, MP_JSON_NUMBER, MP_JSON_TRUE, MP_JSON_FALSE, MP_JSON_NULL
};

struct mp_json {
    const char *at, *end, *begin;
    const char *token; /* first byte of the newest token */
    mp_str raw;        /* of STRING without quotes, of NUMBER, TRUE, FALSE and NULL as it stands */
    bool escaped;      /* the string has a backslash */
    const char *why;   /* after BAD: static text */
};

void mp_json_init(struct mp_json *j, mp_str text);
enum mp_json_token mp_json_next(struct mp_json *j);

/* The closing quote of a text that begins at `at`; NULL: it is not printable ASCII without
 * escapes, or has no end. */
const char *mp_json_plain_end(const char *at, const char *end);

/* Walks a whole object or array. Told of every scalar, and of every array as one leaf, in order;
 * path is dotted and NUL-free. `leaf` may be NULL. */
struct mp_json_leaf {
    mp_str path;              /* empty where it was longer than the caller's buffer */
    enum mp_json_token kind;  /* STRING .. NULL, OPEN_ARRAY */
    mp_str raw;               /* of an array: with its brackets */
    bool escaped;
};
/* Reads one JSON object that is all of the text. False: j->why and j->token say what and where. */
bool mp_json_object(struct mp_json *j, char *path, size_t path_size, void *ctx,
                    void (*leaf)(void *ctx, const struct mp_json_leaf *leaf));

/* Text of a raw string; out has room for raw.len bytes. False: a lone surrogate, or a NUL. */
bool mp_json_unescape(mp_str raw, char *out, size_t *len);

#endif
