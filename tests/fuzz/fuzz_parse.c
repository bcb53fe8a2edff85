/* SPDX-License-Identifier: Apache-2.0
 * Any bytes through lexer and parser. What must hold: it ends, spans lie in the text, and the
 * canonical text of every condition parses again to the same canonical text.
 */
#include "base/assert.h"
#include "parse/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct mp_arena arena;
    struct mp_sources sources;
    struct mp_diags diags;
};

static mp_str print(struct run *r, const struct mp_ast_expr *e)
{
    struct mp_buf out;
    mp_buf_init(&out, &r->arena);
    mp_ast_print_expr(&out, e);
    return mp_buf_view(&out);
}

static void check_canonical(struct run *r, const struct mp_ast_expr *e)
{
    const struct mp_source *s;
    struct mp_ast_expr *again = NULL;
    mp_str once = print(r, e);
    MP_ASSERT(mp_sources_add(&r->sources, MP_STR("canonical"), once, &s) == MP_OK);
    struct mp_span whole = mp_span_of(s, 0, (uint32_t)once.len);
    MP_ASSERT(mp_parse_expr(s, whole, MP_DIAG_E0100, &r->arena, &r->diags, &again) == MP_OK);
    MP_ASSERT(again != NULL && mp_str_eq(once, print(r, again)));
}

static void check_item(struct run *r, const struct mp_ast_item *item, size_t size)
{
    MP_ASSERT(item->span.from <= item->span.to && item->span.to <= size);
    if (item->kind == MP_AST_ITEM_DEF) check_canonical(r, item->u.def.body);
    if (item->kind == MP_AST_ITEM_RULE) check_canonical(r, item->u.rule.when.cond);
    if (item->kind == MP_AST_ITEM_GUARD && item->u.guard.where != NULL) {
        check_canonical(r, item->u.guard.where);
    }
}

static void check(struct run *r, const struct mp_ast_file *file, size_t size)
{
    for (uint32_t i = 0; i < r->diags.all.len; i++) {
        MP_ASSERT(r->diags.all.ptr[i]->span.to <= size && r->diags.all.ptr[i]->message.len > 0);
    }
    struct mp_buf out;
    mp_buf_init(&out, &r->arena);
    mp_diags_print_text(&r->diags, &r->sources, (struct mp_diag_style){0}, &out);
    mp_diags_print_json(&r->diags, &r->sources, &out);
    mp_ast_dump(&out, file);
    MP_ASSERT(!out.failed);
    bool clean = r->diags.error_count == 0;
    for (uint32_t i = 0; clean && i < file->items.len; i++) check_item(r, file->items.ptr[i], size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r;
    const struct mp_source *s;
    struct mp_ast_file *file;
    mp_arena_init(&r.arena, NULL, 0);
    mp_sources_init(&r.sources, &r.arena);
    mp_diags_init(&r.diags, &r.arena);
    mp_str text = {(const char *)data, size};
    MP_ASSERT(mp_sources_add(&r.sources, MP_STR("fuzz.mpol"), text, &s) == MP_OK);
    MP_ASSERT(mp_parse(s, &r.arena, &r.diags, &file) == MP_OK);
    check(&r, file, size);
    mp_arena_free(&r.arena);
    return 0;
}
