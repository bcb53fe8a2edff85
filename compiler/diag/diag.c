/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

static const struct mp_diag_row rows[MP_DIAG_COUNT] = {
#define DIAG(code, severity, title, doc)                                                           \
    [MP_DIAG_##code] = {MP_STR_INIT(#code), MP_SEV_##severity, MP_STR_INIT(title),                 \
                        MP_STR_INIT(doc)},
#include "diag/diags.def"
#undef DIAG
};

const struct mp_diag_row *mp_diag_row(enum mp_diag_code code)
{
    MP_ASSERT(code < MP_DIAG_COUNT);
    return &rows[code];
}

bool mp_diag_find(mp_str text, enum mp_diag_code *out)
{
    for (int i = 0; i < MP_DIAG_COUNT; i++) {
        if (!mp_str_eq(rows[i].code, text)) continue;
        *out = (enum mp_diag_code)i;
        return true;
    }
    return false;
}

void mp_diags_init(struct mp_diags *diags, struct mp_arena *arena)
{
    *diags = (struct mp_diags){.arena = arena};
}

enum mp_err mp_diags_err(const struct mp_diags *diags)
{
    return diags->failed ? MP_ENOMEM : MP_OK;
}

/* ---- adding ---- */

static mp_str format_text(struct mp_diags *diags, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static mp_str format_text(struct mp_diags *diags, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = len < 0 ? NULL : mp_arena_alloc(diags->arena, (size_t)len + 1, 1);
    if (text == NULL) {
        diags->failed = true;
        return MP_STR("");
    }
    vsnprintf(text, (size_t)len + 1, format, args);
    return (mp_str){text, (size_t)len};
}

static struct mp_diag *new_diag(struct mp_diags *diags)
{
    struct mp_diag *d = MP_NEW(diags->arena, struct mp_diag, 1);
    struct mp_diag **slot = d == NULL ? NULL : MP_VEC_PUSH(diags->arena, &diags->all);
    if (slot == NULL) {
        diags->failed = true;
        diags->spare = (struct mp_diag){.sink = diags};
        return &diags->spare;
    }
    *slot = d;
    return d;
}

struct mp_diag *mp_diag_add(struct mp_diags *diags, enum mp_diag_code code, struct mp_span span,
                            const char *format, ...)
{
    MP_ASSERT(code < MP_DIAG_COUNT);
    struct mp_diag *d = new_diag(diags);
    va_list args;
    va_start(args, format);
    d->message = format_text(diags, format, args);
    va_end(args);
    d->code = code;
    d->severity = rows[code].severity;
    d->span = span;
    d->sink = diags;
    d->order = diags->all.len;
    if (d->severity == MP_SEV_ERROR) diags->error_count++;
    if (d->severity == MP_SEV_WARNING) diags->warning_count++;
    return d;
}

void mp_diag_label(struct mp_diag *d, struct mp_span span, const char *format, ...)
{
    struct mp_diag_label *label = MP_VEC_PUSH(d->sink->arena, &d->labels);
    if (label == NULL) {
        d->sink->failed = true;
        return;
    }
    va_list args;
    va_start(args, format);
    *label = (struct mp_diag_label){span, format_text(d->sink, format, args)};
    va_end(args);
}

void mp_diag_note(struct mp_diag *d, const char *format, ...)
{
    mp_str *note = MP_VEC_PUSH(d->sink->arena, &d->notes);
    if (note == NULL) {
        d->sink->failed = true;
        return;
    }
    va_list args;
    va_start(args, format);
    *note = format_text(d->sink, format, args);
    va_end(args);
}

static struct mp_diag_help *new_help(struct mp_diag *d)
{
    struct mp_diag_help *help = MP_VEC_PUSH(d->sink->arena, &d->helps);
    if (help == NULL) d->sink->failed = true;
    return help;
}

void mp_diag_help(struct mp_diag *d, const char *format, ...)
{
    struct mp_diag_help *help = new_help(d);
    if (help == NULL) return;
    va_list args;
    va_start(args, format);
    help->text = format_text(d->sink, format, args);
    va_end(args);
}

void mp_diag_fix(struct mp_diag *d, struct mp_span span, mp_str replacement, const char *format,
                 ...)
{
    struct mp_diag_help *help = new_help(d);
    if (help == NULL) return;
    va_list args;
    va_start(args, format);
    help->text = format_text(d->sink, format, args);
    va_end(args);
    help->has_fix = true;
    help->span = span;
    help->replacement = mp_arena_str(d->sink->arena, replacement);
    if (help->replacement.ptr == NULL) d->sink->failed = true;
}

/* ---- order ---- */

#define ORDER(x, y)                                                                                \
    do {                                                                                           \
        if ((x) != (y)) return (x) < (y) ? -1 : 1;                                                 \
    } while (0)

static int compare(const void *left, const void *right)
{
    const struct mp_diag *a = *(struct mp_diag *const *)left, *b = *(struct mp_diag *const *)right;
    /* What is merely not in this version comes after what is wrong (language.md 4.9). */
    ORDER(a->code == MP_DIAG_E0900, b->code == MP_DIAG_E0900);
    ORDER(a->span.file, b->span.file);
    ORDER(a->span.from, b->span.from);
    ORDER(a->span.to, b->span.to);
    ORDER(a->code, b->code);
    ORDER(a->order, b->order);
    return 0;
}

static void uncount(struct mp_diags *diags, const struct mp_diag *d)
{
    if (d->severity == MP_SEV_ERROR) diags->error_count--;
    if (d->severity == MP_SEV_WARNING) diags->warning_count--;
}

/* Nowhere is one place, so there the text tells them apart. */
static bool repeats(const struct mp_diag *first, const struct mp_diag *next)
{
    if (first->code != next->code || !mp_span_eq(first->span, next->span)) return false;
    return first->span.file != 0 || mp_str_eq(first->message, next->message);
}

void mp_diags_sort(struct mp_diags *diags)
{
    if (diags->all.len == 0) return;
    qsort(diags->all.ptr, diags->all.len, sizeof *diags->all.ptr, compare);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < diags->all.len; i++) {
        if (repeats(diags->all.ptr[kept - 1], diags->all.ptr[i])) {
            uncount(diags, diags->all.ptr[i]);
        } else {
            diags->all.ptr[kept++] = diags->all.ptr[i];
        }
    }
    diags->all.len = kept;
}
