/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

#include <stdarg.h>
#include <stdio.h>

/* Apart from mp_lower, so that *lw is not a local of the function to which longjmp returns. */
static enum mp_err lower_all(struct lw *lw)
{
    if (setjmp(lw->out) != 0) return lw->err;
    lw_vocabulary(lw);
    lw_units(lw);
    lw_rules(lw);
    lw_guards(lw);
    if (lw->options->with_tests) lw_tests(lw);
    lw_finish(lw);
    return lw->ir->failed ? MP_ENOMEM : MP_OK;
}

enum mp_err mp_lower(const struct mp_typed *t, const struct mp_lower_options *options,
                     struct mp_ir *out)
{
    struct mp_arena scratch;
    mp_arena_init(&scratch, out->arena->from, 0);
    struct lw lw = {.t = t, .options = options, .scratch = &scratch, .ir = out};
    mp_map_init(&lw.interned, &scratch);
    enum mp_err err = lower_all(&lw);
    mp_arena_free(&scratch);
    return err;
}

_Noreturn void lw_fail(struct lw *lw, enum mp_err err)
{
    lw->err = err;
    longjmp(lw->out, 1);
}

_Noreturn void lw_refuse(struct lw *lw, struct mp_span span, const char *what)
{
    if (lw->options->refusal != NULL) {
        *lw->options->refusal = (struct mp_lower_refusal){span, mp_str_of(what)};
    }
    lw_fail(lw, MP_EUNSUPPORTED);
}

void *lw_alloc(struct lw *lw, size_t count, size_t size, size_t align)
{
    if (count > SIZE_MAX / size) lw_fail(lw, MP_ENOMEM);
    void *p = mp_arena_alloc(lw->scratch, count * size + 1, align);
    if (p == NULL) lw_fail(lw, MP_ENOMEM);
    return p;
}

uint32_t lw_intern(struct lw *lw, mp_str key, uint32_t fresh_value, bool *fresh)
{
    struct mp_map_entry *entry = mp_map_get(&lw->interned, key);
    *fresh = entry == NULL;
    if (entry != NULL) return entry->value;
    mp_str kept = mp_arena_str(lw->scratch, key);
    if (kept.ptr == NULL) lw_fail(lw, MP_ENOMEM);
    bool added;
    enum mp_err err = mp_map_put(&lw->interned, kept, fresh_value, &entry, &added);
    if (err != MP_OK) lw_fail(lw, err);
    return fresh_value;
}

uint32_t lw_intern_words(struct lw *lw, char tag, const uint32_t *words, size_t count,
                         uint32_t fresh_value, bool *fresh)
{
    char key[1 + 16 * sizeof *words];
    MP_ASSERT(count <= 16);
    key[0] = tag;
    memcpy(key + 1, words, count * sizeof *words);
    return lw_intern(lw, (mp_str){key, 1 + count * sizeof *words}, fresh_value, fresh);
}

mp_text_ref lw_text(struct lw *lw, mp_str text)
{
    return mp_ir_text(lw->ir, text);
}

mp_str lw_view(struct lw *lw, const struct mp_buf *b)
{
    if (b->failed) lw_fail(lw, MP_ENOMEM);
    return mp_buf_view(b);
}

mp_str lw_printf(struct lw *lw, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    MP_ASSERT(len >= 0);
    char *text = LW_NEW(lw, char, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return (mp_str){text, (size_t)len};
}
