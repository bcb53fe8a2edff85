/* SPDX-License-Identifier: Apache-2.0
 * diag.h - the author's mistakes: collected, ordered, and shown as text or JSON.
 *
 *   struct mp_diag *d = mp_diag_add(diags, MP_DIAG_E0301, e->span, "a percent is ... %s", x);
 *   mp_diag_label(d, e->span, "number");           the label of the primary span
 *   mp_diag_label(d, other->span, "percent");      a further one
 *   mp_diag_note(d, "without requests it stays unknown");
 *   mp_diag_fix(d, e->span, "5%", "write `5%%`");  a help that `check --fix` can apply
 *
 * Messages: lower case, no full stop, the user's words in backticks. mp_diag_add never answers
 * NULL: where memory is gone the sink remembers that (mp_diags_err) and hands out a place that
 * nobody reads.
 *
 * Owns:    everything in the arena given to init; texts are formatted into it, nothing is borrowed.
 * Callers: every pass of the compiler; the renderers: driver, cli, tests. One thread.
 */
#ifndef MP_DIAG_DIAG_H
#define MP_DIAG_DIAG_H

#include "source/source.h"

enum mp_severity { MP_SEV_ERROR, MP_SEV_WARNING, MP_SEV_INFO };

/* One constant a row of diags.def: MP_DIAG_E0100, ... */
enum mp_diag_code {
#define DIAG(code, severity, title, doc) MP_DIAG_##code,
#include "diag/diags.def"
#undef DIAG
    MP_DIAG_COUNT
};

struct mp_diag_row {
    mp_str code; /* `E0101` */
    enum mp_severity severity;
    mp_str title;
    mp_str doc; /* a paragraph for `mpol explain` */
};

struct mp_diag_label {
    struct mp_span span;
    mp_str text;
};

struct mp_diag_help {
    mp_str text;
    bool has_fix; /* replace the bytes of `span` by `replacement` */
    struct mp_span span;
    mp_str replacement;
};

struct mp_diag {
    enum mp_diag_code code;
    enum mp_severity severity; /* of the row; lint settings may change it afterwards */
    struct mp_span span;
    mp_str message;
    /* one whose span is the primary span is the primary label */
    MP_VEC(struct mp_diag_label) labels;
    MP_VEC(mp_str) notes;
    MP_VEC(struct mp_diag_help) helps;
    struct mp_diags *sink;
    uint32_t order; /* in which they were added */
};

struct mp_diags {
    struct mp_arena *arena;
    MP_VEC(struct mp_diag *) all;
    uint32_t error_count, warning_count;
    bool failed; /* memory was gone once */
    struct mp_diag spare;
};

/* The row of a code. */
const struct mp_diag_row *mp_diag_row(enum mp_diag_code code);
/* By its text, `E0101`; false where there is no such code. */
bool mp_diag_find(mp_str text, enum mp_diag_code *out);

void mp_diags_init(struct mp_diags *diags, struct mp_arena *arena);
/* Adds one; its severity is that of its row. Never NULL. */
struct mp_diag *mp_diag_add(struct mp_diags *diags, enum mp_diag_code code, struct mp_span span,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));
void mp_diag_label(struct mp_diag *d, struct mp_span span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void mp_diag_note(struct mp_diag *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mp_diag_help(struct mp_diag *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A help with a repair: the bytes of `span` become `replacement` (an empty span inserts). */
void mp_diag_fix(struct mp_diag *d, struct mp_span span, mp_str replacement, const char *format,
                 ...)
    __attribute__((format(printf, 4, 5)));

/* Sorts by file, offset, code and order of adding, E0900 behind all others, and drops what says
 * the same code at the same span again (the first stays). Renderers call it themselves; harmless
 * twice. */
void mp_diags_sort(struct mp_diags *diags);
/* MP_ENOMEM if anything could not be kept, else MP_OK. */
enum mp_err mp_diags_err(const struct mp_diags *diags);
static inline bool mp_diags_has_errors(const struct mp_diags *diags)
{
    return diags->error_count > 0;
}

struct mp_diag_style {
    bool color;
    uint32_t limit; /* how many are shown, 0: all; how many were not is said at the end */
};

/* Writes all in the form of language.md §10. */
void mp_diags_print_text(struct mp_diags *diags, const struct mp_sources *sources,
                         struct mp_diag_style style, struct mp_buf *out);
/* Writes one JSON document, ended by a newline:
 *
 *   {"version":1,"errors":N,"warnings":N,"diagnostics":[
 *     {"code":"E0101","severity":"error"|"warning"|"info","message":"...",
 *      "file":"a.mpol","line":3,"column":8,"end_line":3,"end_column":17,
 *      "labels":[{"file","line","column","end_line","end_column","message"}],
 *      "notes":["..."],
 *      "helps":[{"message":"...","fix":{"file","line","column","end_line","end_column","from","to",
 *                                       "replacement"} | null}]}]}
 *
 * Lines and columns count from 1, columns in code points, the end is behind the last one; `from`
 * and `to` are byte offsets from 0. A diagnostic without a place has file "" and zeros. */
void mp_diags_print_json(struct mp_diags *diags, const struct mp_sources *sources,
                         struct mp_buf *out);

#endif
