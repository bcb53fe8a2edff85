/* SPDX-License-Identifier: Apache-2.0
 * The passes, and what all of them need: memory, texts, diagnostics.
 */
#include "check/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "check/check_priv.h"

/* ---- memory ---- */

void *ck_not_null(struct ck *ck, void *ptr)
{
    if (ptr == NULL) longjmp(ck->no_memory, 1);
    return ptr;
}

void *ck_alloc(struct ck *ck, size_t count, size_t size, size_t align)
{
    return ck_not_null(ck, mp_arena_alloc_array(ck->perm, count > 0 ? count : 1, size, align));
}

/* ---- texts ---- */

mp_str ck_printf(struct ck *ck, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    MP_ASSERT(len >= 0);
    char *bytes = CK_NEW(ck, char, (size_t)len + 1);
    vsnprintf(bytes, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return (mp_str){bytes, (size_t)len};
}

mp_str ck_buf_text(struct ck *ck, const struct mp_buf *b)
{
    if (b->failed) longjmp(ck->no_memory, 1);
    return b->len == 0 ? MP_STR("") : mp_buf_view(b);
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

mp_str ck_source(struct ck *ck, struct mp_span span)
{
    if (span.file == 0 || span.file > ck->sources.len) return MP_STR("");
    const struct mp_source *source = ck->sources.ptr[span.file - 1];
    if (source == NULL) return MP_STR("");
    mp_str raw = mp_str_sub(source->text, span.from, span.to - span.from);
    bool plain = true;
    for (size_t i = 0; i < raw.len && plain; i++) {
        plain = !is_blank(raw.ptr[i]) || (raw.ptr[i] == ' ' && i > 0 && !is_blank(raw.ptr[i - 1]));
    }
    if (plain) return raw;
    char *out = CK_NEW(ck, char, raw.len);
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        if (!is_blank(raw.ptr[i])) {
            out[n++] = raw.ptr[i];
        } else if (n > 0 && out[n - 1] != ' ') {
            out[n++] = ' ';
        }
    }
    return (mp_str){out, n};
}

/* ---- diagnostics ---- */

struct mp_diag *ck_error(struct ck *ck, const char *code, struct mp_span span, const char *format,
                         ...)
{
    enum mp_diag_code row;
    if (!mp_diag_find(mp_str_of(code), &row)) MP_UNREACHABLE("no such code");
    va_list args;
    va_start(args, format);
    char text[1024]; /* longer messages are cut */
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return mp_diag_add(ck->sink, row, span, "%s", text);
}

void ck_refuse(struct ck *ck, const char *construct, struct mp_span span)
{
    mp_str name = mp_str_of(construct);
    for (uint32_t i = 0; i < ck->refusals.len; i++) {
        if (mp_str_eq(ck->refusals.ptr[i].construct, name)) return;
    }
    *CK_PUSH(ck, &ck->refusals) = (struct ck_refusal){name, span};
}

static void report_refusals(struct ck *ck)
{
    for (uint32_t i = 0; i < ck->refusals.len; i++) {
        const struct ck_refusal *r = &ck->refusals.ptr[i];
        ck_error(ck, "E0900", r->span, "`%.*s` is not in this version", MP_STR_ARG(r->construct));
    }
}

/* ---- the passes ---- */

static void know_sources(struct ck *ck, const struct mp_check_input *inputs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_source *source = inputs[i].file->source;
        while (ck->sources.len < source->id) *CK_PUSH(ck, &ck->sources) = NULL;
        ck->sources.ptr[source->id - 1] = source;
    }
}

static void check_items(struct ck *ck, enum mp_ast_item_kind kind)
{
    for (uint32_t f = 0; f < ck->files.len; f++) {
        struct ck_file *file = ck->files.ptr[f];
        /* `use` never activates; but a test runs the rules of the packages that it uses (R46). */
        bool alive = file->given || (ck->options->with_tests && kind != MP_AST_ITEM_TEST);
        if (!alive) continue;
        for (uint32_t i = 0; i < file->ast->items.len; i++) {
            const struct mp_ast_item *item = file->ast->items.ptr[i];
            if (item->kind != kind) continue;
            switch (kind) {
            case MP_AST_ITEM_RULE: ck_check_rule(ck, file, item); break;
            case MP_AST_ITEM_GUARD: ck_check_guard(ck, file, item); break;
            case MP_AST_ITEM_TEST: ck_check_test(ck, file, item); break;
            default: break;
            }
        }
    }
}

static int compare_rules(const void *left, const void *right)
{
    const struct mp_t_rule *a = *(struct mp_t_rule *const *)left;
    const struct mp_t_rule *b = *(struct mp_t_rule *const *)right;
    int by_package = mp_str_cmp(a->package, b->package);
    return by_package != 0 ? by_package : mp_str_cmp(a->name, b->name);
}

static void run_passes(struct ck *ck, const struct mp_check_input *inputs, uint32_t count)
{
    know_sources(ck, inputs, count);
    ck_read_packages(ck, inputs, count);
    ck_declare_names(ck);
    ck_check_declarations(ck);
    check_items(ck, MP_AST_ITEM_RULE);
    check_items(ck, MP_AST_ITEM_GUARD);
    if (ck->out->rules.len > 1) {
        qsort(ck->out->rules.ptr, ck->out->rules.len, sizeof *ck->out->rules.ptr, compare_rules);
    }
    if (ck->options->with_tests) check_items(ck, MP_AST_ITEM_TEST);
    ck_check_pairs(ck);
    ck_bound_throttles(ck);
    ck_list_unused(ck);
    report_refusals(ck);
}

enum mp_err mp_check(const struct mp_check_input *inputs, uint32_t count,
                     const struct mp_check_options *options, struct mp_arena *perm,
                     struct mp_diags *sink, struct mp_typed **out)
{
    static const struct mp_check_options none;
    struct ck *ck = MP_NEW(perm, struct ck, 1);
    if (ck == NULL) return MP_ENOMEM;
    ck->perm = perm;
    ck->sink = sink;
    ck->options = options != NULL ? options : &none;
    if (setjmp(ck->no_memory) != 0) return MP_ENOMEM;
    ck->out = CK_NEW(ck, struct mp_typed, 1);
    mp_map_init(&ck->package_names, perm);
    mp_map_init(&ck->attr_defs, perm);
    run_passes(ck, inputs, count);
    MP_TRY(mp_diags_err(sink));
    *out = ck->out;
    return MP_OK;
}
