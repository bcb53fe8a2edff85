/* SPDX-License-Identifier: Apache-2.0 */
#include "checked.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "os/std.h"
#include "parse/parse.h"
#include "stdlib/stdlib.h"

#define FILES_MAX 16

static const struct mp_ast_file *parse(struct checked *c, mp_str name, mp_str text)
{
    const struct mp_source *source;
    struct mp_ast_file *file;
    assert_int_equal(mp_sources_add(&c->sources, name, text, &source), MP_OK);
    assert_int_equal(mp_parse(source, &c->arena, &c->diags, &file), MP_OK);
    return file;
}

void checked_open(struct checked *c, const char *text)
{
    struct mp_check_input inputs[FILES_MAX];
    uint32_t count = 0;
    struct mp_os os;
    mp_std_os(&os);
    memset(c, 0, sizeof *c);
    mp_arena_init(&c->arena, NULL, 0);
    mp_sources_init(&c->sources, &c->arena);
    mp_diags_init(&c->diags, &c->arena);
    c->file = parse(c, MP_STR("a.mpol"), mp_str_of(text));
    inputs[count++] = (struct mp_check_input){c->file, MP_CHECK_GIVEN};
    for (size_t i = 0; i < mp_stdlib_files_count && count < FILES_MAX; i++) {
        const struct mp_stdlib_file *f = &mp_stdlib_files[i];
        const struct mp_ast_file *file = parse(c, mp_str_of(f->name), (mp_str){f->text, f->len});
        inputs[count++] = (struct mp_check_input){file, MP_CHECK_STDLIB};
    }
    struct mp_check_options options = {.with_tests = true, .os = &os};
    assert_int_equal(mp_check(inputs, count, &options, &c->arena, &c->diags, &c->typed), MP_OK);
    mp_diags_sort(&c->diags);
}

void checked_close(struct checked *c) { mp_arena_free(&c->arena); }

static const char *finished(struct mp_buf *b)
{
    mp_buf_putc(b, '\0');
    assert_false(b->failed);
    return b->ptr;
}

const char *checked_codes(struct checked *c)
{
    struct mp_buf b;
    mp_buf_init(&b, &c->arena);
    for (uint32_t i = 0; i < c->diags.all.len; i++) {
        if (i > 0) mp_buf_putc(&b, ' ');
        mp_buf_put(&b, mp_diag_row(c->diags.all.ptr[i]->code)->code);
    }
    return finished(&b);
}

const char *checked_text(struct checked *c)
{
    struct mp_buf b;
    mp_buf_init(&b, &c->arena);
    mp_diags_print_text(&c->diags, &c->sources, (struct mp_diag_style){0}, &b);
    return finished(&b);
}

const struct mp_t_rule *checked_rule(struct checked *c, const char *name)
{
    for (uint32_t i = 0; i < c->typed->rules.len; i++) {
        if (mp_str_eq(c->typed->rules.ptr[i]->name, mp_str_of(name))) return c->typed->rules.ptr[i];
    }
    print_error("no rule %s; messages:\n%s", name, checked_text(c));
    fail();
    return NULL;
}

void assert_codes_(const char *text, const char *codes, const char *file, int line)
{
    struct checked c;
    checked_open(&c, text);
    const char *got = checked_codes(&c);
    if (strcmp(got, codes) != 0) {
        print_error("%s:%d: wanted \"%s\", got \"%s\"\n%s", file, line, codes, got,
                    checked_text(&c));
        fail();
    }
    checked_close(&c);
}
