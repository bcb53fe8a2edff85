/* SPDX-License-Identifier: Apache-2.0
 * source.h - the files of a compilation, places in them, and what a reader calls those places.
 *
 * Knows nothing of the language. A place is a byte offset in a file; lines and columns are computed
 * when a person asks. Lines and columns count from 1, columns in code points (bytes that are not
 * UTF-8 count as one each).
 *
 * Owns:    copies of all texts, in the arena given to init, each with a NUL behind it.
 * Callers: every part of the compiler. One thread.
 */
#ifndef MP_SOURCE_SOURCE_H
#define MP_SOURCE_SOURCE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"

/* LIMIT: bytes of one file; a larger one is E0100 from parse/. */
#define MP_SOURCE_BYTES_MAX (10u * 1024u * 1024u)

/* Bytes [from, to) of a file. File 0 is nowhere, so {0} is a span without a place. */
struct mp_span {
    uint32_t file, from, to;
};

struct mp_source {
    uint32_t id; /* what spans call it; the first file is 1 */
    mp_str name; /* as the user gave it: a path, or `std.mesh` */
    mp_str text; /* text.ptr[text.len] is NUL */
    uint32_t *lines; /* offset at which each line begins */
    uint32_t line_count;
};

struct mp_sources {
    struct mp_arena *arena;
    MP_VEC(struct mp_source *) files;
};

struct mp_position {
    uint32_t line, column; /* from 1; {0,0}: nowhere */
};

void mp_sources_init(struct mp_sources *all, struct mp_arena *arena);
/* Copies name and text. MP_ENOMEM; MP_ELIMIT where the text is 2 GiB or more. */
enum mp_err mp_sources_add(struct mp_sources *all, mp_str name, mp_str text,
                           const struct mp_source **out);
/* The file of a span; NULL for nowhere. */
const struct mp_source *mp_source_of(const struct mp_sources *all, struct mp_span span);
/* The bytes of a span, borrowed; empty for nowhere. */
mp_str mp_source_text(const struct mp_sources *all, struct mp_span span);
/* Line `line` (from 1) without its end; empty where there is none. */
mp_str mp_source_line(const struct mp_source *source, uint32_t line);
/* Offset of the first byte of line `line` (from 1). */
uint32_t mp_source_line_start(const struct mp_source *source, uint32_t line);
struct mp_position mp_source_position(const struct mp_source *source, uint32_t offset);
/* Where a span begins, for messages; {0,0} for nowhere. */
struct mp_position mp_source_begin(const struct mp_sources *all, struct mp_span span);

/* Code points in bytes, each bad byte counting as one. */
uint32_t mp_source_code_points(mp_str bytes);

static inline struct mp_span mp_span_of(const struct mp_source *source, uint32_t from, uint32_t to)
{
    return (struct mp_span){source->id, from, to};
}

/* From the beginning of the earlier to the end of the later; nowhere joins to the other. */
static inline struct mp_span mp_span_join(struct mp_span a, struct mp_span b)
{
    if (a.file == 0) return b;
    if (b.file != a.file) return a;
    return (struct mp_span){a.file, a.from < b.from ? a.from : b.from, a.to > b.to ? a.to : b.to};
}

static inline bool mp_span_eq(struct mp_span a, struct mp_span b)
{
    return a.file == b.file && a.from == b.from && a.to == b.to;
}

/* The empty place behind a span: where something is missing. */
static inline struct mp_span mp_span_after(struct mp_span a)
{
    return (struct mp_span){a.file, a.to, a.to};
}

#endif
