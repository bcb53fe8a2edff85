/* SPDX-License-Identifier: Apache-2.0 */
#include "program/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/hash.h"
#include "emit/emit.h"
#include "run_all.h"
#include "sample.h"

static struct mp_arena arena;

static int setup(void **state)
{
    mp_arena_init(&arena, NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

static enum mp_err emit_text(mp_str text, mp_str *image, struct mp_fault *fault)
{
    struct mp_ir ir;
    struct mp_ir_parse_error e;
    assert_int_equal(mp_ir_init(&ir, &arena), MP_OK);
    if (mp_ir_parse(&ir, text, &e) != MP_OK) fail_msg("%u:%u: %s", e.line, e.column, e.why);
    return mp_emit(&ir, &arena, image, fault);
}

static mp_str sample_image(void)
{
    mp_str image;
    struct mp_fault f;
    if (emit_text(mp_str_of(ir_sample), &image, &f) != MP_OK) fail_msg("%s", f.why);
    return image;
}

static void an_image_is_loaded_as_it_was_written(void **state)
{
    mp_str image = sample_image();
    struct mp_program *p = NULL;
    const char *why = NULL;
    assert_int_equal(mp_program_load(image.ptr, image.len, NULL, &p, &why), MP_OK);
    assert_int_equal(p->rule_count, 2);
    assert_true(mp_str_eq(mp_program_text(p, p->rule[1].name), MP_STR("errors")));
    assert_int_equal(p->rule[1].priority, -1);
    assert_true(mp_value_as_num(p->params[0]) == 0.05);
    assert_true(mp_str_eq(mp_value_as_text(&p->consts[4]), MP_STR("standard")));
    assert_true(mp_str_eq(mp_class_word(p->action[0].class), MP_STR("traffic")));
    uint64_t digest = p->digest;
    run_all(p);
    mp_program_free(p);
    assert_int_equal(mp_program_load(image.ptr, image.len, NULL, &p, &why), MP_OK);
    assert_true(p->digest == digest);
    mp_program_free(p);
}

static void an_image_may_lie_at_any_address(void **state)
{
    mp_str image = sample_image();
    char *moved = malloc(image.len + 3);
    memcpy(moved + 3, image.ptr, image.len);
    struct mp_program *p = NULL;
    const char *why = NULL;
    assert_int_equal(mp_program_load(moved + 3, image.len, NULL, &p, &why), MP_OK);
    free(moved);
    run_all(p);
    mp_program_free(p);
}

static void every_shorter_image_is_refused(void **state)
{
    mp_str image = sample_image();
    for (size_t len = 0; len < image.len; len++) {
        struct mp_program *p = NULL;
        const char *why = NULL;
        char *cut = malloc(len + 1); /* exactly as long, so that a read behind the end is seen */
        memcpy(cut, image.ptr, len);
        cut = realloc(cut, len == 0 ? 1 : len);
        assert_int_equal(mp_program_load(cut, len, NULL, &p, &why), MP_ECORRUPT);
        assert_non_null(why);
        free(cut);
    }
}

static void an_image_of_another_version_is_told_apart(void **state)
{
    mp_str image = sample_image();
    char *other = malloc(image.len);
    memcpy(other, image.ptr, image.len);
    other[8] ^= 1;
    struct mp_program *p = NULL;
    const char *why = NULL;
    assert_int_equal(mp_program_load(other, image.len, NULL, &p, &why), MP_ESTALE);
    assert_string_equal(why, "another version of mpol wrote this image");
    free(other);
}

/* ---- hostile images ---- */

static void mutate(char *image, size_t len, size_t from, uint64_t *seed)
{
    static const uint32_t words[] = {0,     1,     2,          63,         64,         255,
                                     65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    uint64_t changes = 1 + mp_rng_next(seed) % 3;
    for (uint64_t i = 0; i < changes; i++) {
        uint64_t r = mp_rng_next(seed);
        size_t at = from + (size_t)(r >> 8) % (len - from);
        uint32_t word = words[r % (sizeof words / sizeof words[0])];
        if ((r >> 4 & 1) != 0) word = (uint32_t)(r >> 32) % 16;
        if ((r >> 5 & 7) == 0) {
            image[at] ^= (char)(1 << (r >> 60 & 7));
        } else {
            at &= ~(size_t)3;
            if (at + sizeof word <= len) memcpy(image + at, &word, sizeof word);
        }
    }
}

static void a_mutated_image_is_refused_or_harmless(void **state)
{
    mp_str image = sample_image();
    uint64_t seed = 20261125;
    uint32_t loaded = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 30000; i++) {
        char *other = malloc(image.len);
        memcpy(other, image.ptr, image.len);
        /* else the header and the directory too, which few changes survive */
        bool rows = i % 4 != 0;
        mutate(other, image.len, rows ? 16 : 0, &seed);
        struct mp_program *p = NULL;
        const char *why = NULL;
        enum mp_err err = mp_program_load(other, image.len, NULL, &p, &why);
        free(other);
        if (err == MP_OK) {
            if (loaded++ % 16 == 0) run_all(p);
            mp_program_free(p);
        } else {
            assert_non_null(why);
        }
    }
    print_message("%u of 30000 loaded\n", loaded);
    assert_true(loaded > 100);
}

/* ---- what the verifier asks for ---- */

static mp_str replaced(const char *from, const char *to)
{
    const char *at = strstr(ir_sample, from);
    if (at == NULL) fail_msg("the sample has no `%s`", from);
    return mp_arena_printf(&arena, "%.*s%s%s", (int)(at - ir_sample), ir_sample, to,
                           at + strlen(from));
}

static void what_the_runtime_relies_on_is_checked(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } rows[] = {
        {"attr[0] entity=0", "attr[0]", "a reference is missing"},
        {"attr[0] entity=0", "attr[0] entity=1", "a reference to no row"},
        {"attrs=0+1 cap", "attrs=0+2 cap", "a span outside of its table"},
        {"attrs=0+1 cap", "attrs=2+0 cap", "a span outside of its table"},
        {"preset=4", "preset=1", "a default of another kind"},
        {"fields=0+3", "fields=0+2", "not among its signal's"},
        {"word0=4587366580439587226", "word0=9218868437227405312", "a number that is none"},
        {"bits=104", "bits=129", "a prefix of more than 128 bits"},
        {"type=percent value=0 low=0", "type=percent value=1 low=0", "a value of another kind"},
        {"item[0] value=2", "item[0] value=1", "a member of another kind than its list"},
        {"walks=0+1\nagg", "walks=0+0\nagg", "one walk a key is needed"},
        {"walk[0] base=field", "walk[0] base=key", "a walk that begins nowhere"},
        {"where=0 ", "where=7 ", "where is no truth"},
        {"pane_ns=166666667", "pane_ns=0", "no window"},
        {"panes=60", "panes=0", "too many panes"},
        {"aggs=0+1 units", "aggs=0+0 units", "not among its grouping's"},
        {"columns=0+1 aggs", "columns=0+2 aggs", "a column of two owners"},
        {"columns=1+1 feeds", "columns=1+0 feeds", "a column of nobody"},
        {"grouping=0 agg=0 text", "grouping=0 text", "a column without what it is made of"},
        {"kind=stale type=bool", "kind=stale type=int", "a column of another kind than its type"},
        {"v0 = field i 1", "v0 = field i 9", "a field that is not there"},
        {"v0 = field i 1", "v0 = field f 1", "a field of another representation"},
        {"v0 = field i 1", "v0 = col b 1", "a cell that is not there"},
        {"v1 = const i 1", "v1 = const i 0", "a constant of another representation"},
        {"v2 = le.i b v1 v0", "v2 = le.i i v1 v0", "a result of another representation"},
        {"v2 = le.i b v1 v0", "v2 = le.f b v1 v0", "an operand of another representation"},
        {"v2 = le.i b v1 v0", "v2 = le.i b v2 v0", "a value that is not computed yet"},
        {"in_list b v0 0", "in_list b v0 1", "a list that is not there or does not fit"},
        {"out bool v1\n  out bool v2", "out string v0\n  out bool v2",
         "a unit that is not judged as bits"},
        {"out bool v1\n  out bool v2", "out int v1\n  out bool v2",
         "an output of another representation"},
        {"out bool v1\n  out bool v2", "out bool v1", "no truth of its unit"},
        {"fn=1 rules=0+1", "fn=0 rules=0+1 first_out=1", "rules without an output"},
        {"fn=2 rules=1+1", "fn=2 rules=0+1", "a rule of another unit"},
        {"unit=2 grouping=0 hold_ns", "unit=2 hold_ns", "no key or no trigger"},
        {"trigger=0 steps", "steps", "no key or no trigger"},
        {"trigger=0 steps", "trigger=1 steps", "a clause of another kind"},
        {"hold_ns=30000000000", "hold_ns=-1", "a time below 0"},
        {"ramp=0.1", "ramp=1.5", "no ramp"},
        {"clause[0] kind=when rule=1 fn=2", "clause[0] kind=when rule=1 fn=3", "no condition"},
        {"input[0] column=0", "input[0] column=1", "a column of another row"},
        {"type=string target=3", "type=int target=3", "a target of another kind"},
        {"arg[0] name=\"to\" type=string", "arg[0] name=\"to\" type=rate",
         "an argument of another kind"},
        {"piece[1] type=string", "piece[1] type=rate", "a value of another kind"},
        {"unit=1 out=1", "unit=1 out=2", "no truth of its unit"},
        {"unit=1 out=1", "unit=0 out=1", "no truth of its unit"},
        {"percent=0.2", "percent=2", "a share or time that is none"},
        {"limit=0 ", "limit=1 ", "a reference to no row"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mp_str image;
        struct mp_fault f = {"nothing", MP_NONE, MP_NONE};
        enum mp_err err = emit_text(replaced(rows[i].from, rows[i].to), &image, &f);
        if (err != MP_ECORRUPT || strcmp(f.why, rows[i].why) != 0) {
            fail_msg("`%s`: %s, expected %s", rows[i].to, err == MP_OK ? "accepted" : f.why,
                     rows[i].why);
        }
    }
}

static void columns_that_need_each_other_are_refused(void **state)
{
    static const char text[] =
        "walk[0] base=key type=string hops=0+0\n"
        "grouping[0] name=\"svc\" keys=0+1 columns=0+1\n"
        "group_key[0] name=\"svc\" type=string\n"
        "column[0] kind=members type=int grouping=0 walks=0+1 fn=0\n"
        "fn[0] grouping=0\n"
        "  v0 = col i 0\n"
        "  v1 = lt.i b v0 v0\n"
        "  out bool v1\n";
    mp_str image;
    struct mp_fault f;
    assert_int_equal(emit_text(mp_str_of(text), &image, &f), MP_ECORRUPT);
    assert_string_equal(f.why, "columns that need each other");
}

static void an_expression_that_is_too_long_is_refused(void **state)
{
    struct mp_ir ir;
    struct mp_ir_fn fn;
    struct mp_fault f;
    assert_int_equal(mp_ir_init(&ir, &arena), MP_OK);
    mp_ir_fn_begin(&fn, &ir, MP_STR("f"), MP_NONE, MP_NONE);
    uint32_t v = mp_ir_op_const(&fn, mp_ir_const(&ir, MP_TYPE_INT, mp_value_int(1), 0));
    for (uint32_t i = 0; i < MP_FN_REGS_MAX; i++) v = mp_ir_op(&fn, MP_OP_ADD_I, v, v, 0);
    mp_ir_out(&fn, v, MP_TYPE_INT);
    mp_ir_fn_end(&fn);
    assert_int_equal(mp_ir_verify(&ir, &f), MP_ELIMIT);
}

static int blocks_left;

static void *count_down(void *ctx, size_t size) { return blocks_left-- > 0 ? malloc(size) : NULL; }
static void give_back(void *ctx, void *ptr, size_t size) { free(ptr); }

static void memory_that_runs_out_while_loading_is_told(void **state)
{
    mp_str image = sample_image();
    struct mp_os os = {.alloc = count_down, .free = give_back};
    bool passed = false;
    for (int n = 0; n < 50 && !passed; n++) {
        struct mp_program *p = NULL;
        const char *why = NULL;
        blocks_left = n;
        enum mp_err err = mp_program_load(image.ptr, image.len, &os, &p, &why);
        assert_true(err == MP_OK || err == MP_ENOMEM);
        passed = err == MP_OK;
        if (passed) mp_program_free(p);
    }
    assert_true(passed);
}

static void patterns_without_regular_expressions_are_refused(void **state)
{
    mp_str image;
    struct mp_fault f;
    assert_int_equal(emit_text(replaced("v2 = starts b v0 v0", "v2 = matches b v0 2"), &image, &f),
                     MP_OK);
    struct mp_program *p = NULL;
    const char *why = NULL;
    assert_int_equal(mp_program_load(image.ptr, image.len, NULL, &p, &why), MP_EUNSUPPORTED);
    assert_non_null(strstr(why, "regular expressions"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_is_loaded_as_it_was_written),
        cmocka_unit_test(an_image_may_lie_at_any_address),
        cmocka_unit_test(every_shorter_image_is_refused),
        cmocka_unit_test(an_image_of_another_version_is_told_apart),
        cmocka_unit_test(a_mutated_image_is_refused_or_harmless),
        cmocka_unit_test(what_the_runtime_relies_on_is_checked),
        cmocka_unit_test(columns_that_need_each_other_are_refused),
        cmocka_unit_test(an_expression_that_is_too_long_is_refused),
        cmocka_unit_test(memory_that_runs_out_while_loading_is_told),
        cmocka_unit_test(patterns_without_regular_expressions_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
