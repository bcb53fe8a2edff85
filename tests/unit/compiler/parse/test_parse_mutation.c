/* SPDX-License-Identifier: Apache-2.0
 * Damaged texts, and memory that runs out: whatever comes in, parsing ends, with a tree or with
 * errors whose places lie in the file. The texts are those of tests/golden/parse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "parse/parse.h"
#include "base/hash.h"
#include "parse_priv.h"

static const char *const corpus[] = {"declarations", "rules", "guards", "tests", "expressions",
                                     "literals",
                                     "names", "crlf"};
#define CORPUS_COUNT (sizeof corpus / sizeof *corpus)

static struct mp_arena keep;
static mp_str texts[CORPUS_COUNT];

static int read_corpus(void **state)
{
    const char *root = getenv("MPOL_SOURCE_DIR");
    if (root == NULL) {
        printf("MPOL_SOURCE_DIR is not set; ctest sets it\n");
        return -1;
    }
    mp_arena_init(&keep, NULL, 0);
    for (size_t i = 0; i < CORPUS_COUNT; i++) {
        mp_str path = mp_arena_printf(&keep, "%s/tests/golden/parse/%s.mpol", root, corpus[i]);
        FILE *f = fopen(path.ptr, "rb");
        if (f == NULL) return -1;
        char *bytes = mp_arena_alloc(&keep, 65536, 1);
        texts[i] = (mp_str){bytes, fread(bytes, 1, 65535, f)};
        fclose(f);
    }
    return 0;
}

static int forget_corpus(void **state)
{
    mp_arena_free(&keep);
    return 0;
}

/* Parses and checks what holds for every text. The count of errors is the answer. */
static uint32_t parse(mp_str text)
{
    struct mp_arena arena;
    struct mp_sources sources;
    struct mp_diags diags;
    const struct mp_source *s;
    struct mp_ast_file *file = NULL;
    mp_arena_init(&arena, NULL, 0);
    mp_sources_init(&sources, &arena);
    mp_diags_init(&diags, &arena);
    assert_int_equal(mp_sources_add(&sources, MP_STR("a"), text, &s), MP_OK);
    assert_int_equal(mp_parse(s, &arena, &diags, &file), MP_OK);
    assert_non_null(file);
    for (uint32_t i = 0; i < diags.all.len; i++) {
        const struct mp_diag *d = diags.all.ptr[i];
        assert_true(d->message.len > 0);
        assert_true(d->span.file == 1 && d->span.from <= d->span.to && d->span.to <= text.len);
    }
    struct mp_buf out;
    mp_buf_init(&out, &arena);
    mp_diags_print_text(&diags, &sources, (struct mp_diag_style){0}, &out);
    mp_diags_print_json(&diags, &sources, &out);
    mp_ast_dump(&out, file);
    assert_false(out.failed);
    uint32_t errors = diags.error_count;
    mp_arena_free(&arena);
    return errors;
}

static mp_str without(mp_str text, uint32_t from, uint32_t to, struct mp_buf *out)
{
    out->len = 0;
    mp_buf_put(out, mp_str_sub(text, 0, from));
    mp_buf_putc(out, ' ');
    mp_buf_put(out, mp_str_sub(text, to, text.len));
    return mp_buf_view(out);
}

static mp_str twice(mp_str text, uint32_t from, uint32_t to, struct mp_buf *out)
{
    out->len = 0;
    mp_buf_put(out, mp_str_sub(text, 0, to));
    mp_buf_putc(out, ' ');
    mp_buf_put(out, mp_str_sub(text, from, text.len));
    return mp_buf_view(out);
}

static void whole_texts_have_no_errors(void **state)
{
    for (size_t i = 0; i < CORPUS_COUNT; i++) assert_int_equal(parse(texts[i]), 0);
}

static void each_token_may_be_missing_or_doubled(void **state)
{
    struct mp_buf out;
    mp_buf_init(&out, &keep);
    unsigned mutants = 0, silent = 0;
    for (size_t i = 0; i < CORPUS_COUNT; i++) {
        struct mp_lexer lx = {.text = mp_arena_str(&keep, texts[i])};
        while (mp_lex(&lx) != 0) {
            silent += parse(without(texts[i], lx.from, lx.at, &out)) == 0;
            parse(twice(texts[i], lx.from, lx.at, &out));
            mutants++;
        }
    }
    printf("%u texts with a token removed, %u of them still sentences\n", mutants, silent);
    assert_true(mutants > 1500);
    assert_true(silent < mutants / 3);
}

static void a_text_may_end_anywhere(void **state)
{
    for (size_t i = 0; i < CORPUS_COUNT; i++) {
        for (size_t len = 0; len < texts[i].len; len += 3) parse(mp_str_sub(texts[i], 0, len));
    }
}

static void bytes_may_be_anything(void **state)
{
    uint64_t seed = 20261125;
    printf("seed %llu\n", (unsigned long long)seed);
    char bytes[16384];
    for (int round = 0; round < 2000; round++) {
        mp_str text = texts[mp_rng_next(&seed) % CORPUS_COUNT];
        size_t from = mp_rng_next(&seed) % text.len, len = mp_rng_next(&seed) % 400;
        mp_str part = mp_str_sub(text, from, len);
        memcpy(bytes, part.ptr, part.len);
        for (int i = 0; i < 4 && part.len > 0; i++) {
            bytes[mp_rng_next(&seed) % part.len] = (char)mp_rng_next(&seed);
        }
        parse((mp_str){bytes, part.len});
    }
}

/* ---- memory ---- */

static unsigned until_failure;

static void *failing_alloc(void *ctx, size_t size)
{
    if (until_failure == 0) return NULL;
    until_failure--;
    return malloc(size);
}

static void failing_free(void *ctx, void *ptr, size_t size) { free(ptr); }

static bool parse_with(unsigned allocations, mp_str text)
{
    static const struct mp_alloc failing = {failing_alloc, failing_free, NULL};
    struct mp_arena arena, fine;
    struct mp_sources sources;
    struct mp_diags diags;
    const struct mp_source *s;
    struct mp_ast_file *file = NULL;
    mp_arena_init(&fine, NULL, 0);
    mp_arena_init(&arena, &failing, 0);
    mp_sources_init(&sources, &fine);
    mp_diags_init(&diags, &arena);
    assert_int_equal(mp_sources_add(&sources, MP_STR("a"), text, &s), MP_OK);
    until_failure = allocations;
    enum mp_err err = mp_parse(s, &arena, &diags, &file);
    assert_true(err == MP_OK || (err == MP_ENOMEM && file == NULL));
    mp_arena_free(&arena);
    mp_arena_free(&fine);
    return err == MP_OK;
}

static void the_nth_allocation_may_fail(void **state)
{
    struct mp_buf all;
    mp_buf_init(&all, &keep);
    for (int i = 0; i < 40; i++) {
        mp_buf_put(&all, texts[0]);
        mp_buf_put(&all, texts[1]);
        mp_buf_puts(&all, "\nrule x when a for 5s and b then \"{\" ;\nrule y when a a 30sec\n");
    }
    unsigned n = 0;
    while (!parse_with(n, mp_buf_view(&all))) n++;
    printf("%u allocations\n", n);
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_texts_have_no_errors),
        cmocka_unit_test(each_token_may_be_missing_or_doubled),
        cmocka_unit_test(a_text_may_end_anywhere),
        cmocka_unit_test(bytes_may_be_anything),
        cmocka_unit_test(the_nth_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, read_corpus, forget_corpus);
}
