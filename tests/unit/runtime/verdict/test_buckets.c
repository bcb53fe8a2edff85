/* SPDX-License-Identifier: Apache-2.0
 * Buckets of inline throttles over many programs: whose they are, and when they are somebody
 * else's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "driver/driver.h"
#include "ingest/ingest.h"
#include "verdict/verdict.h"

#define S INT64_C(1000000000)
#define NOW (INT64_C(1700000000) * S)
#define HEAD "mpol 1\npackage t\nuse std.mesh\n"

/* A name that a test replaces in the image: the same length, so no offset moves. */
#define NAME "n0000000"
#define NAME_LEN (sizeof NAME - 1)

static struct {
    struct mp_arena arena;
    struct mp_os os;
    struct mp_hash_key key;
    struct mp_inproc *inproc;
    struct mp_inproc_reader *reader;
    struct mp_verdict_buckets *buckets; /* that are asked */
    char *image;
    size_t image_size;
    const char *why;
} f;

/* A program in force, or one that readers still have. */
struct life {
    struct mp_arena arena;
    struct mp_program *program;
    struct mp_verdict_plan *plan;
    struct mp_verdict_scratch *scratch;
    struct mp_ingest *ingest;
};

static void begin(mp_str policy, uint32_t places)
{
    memset(&f, 0, sizeof f);
    mp_arena_init(&f.arena, NULL, 0);
    f.key = (struct mp_hash_key){7, 8};
    struct mp_compilation *compilation;
    struct mp_compile_text text = {MP_STR("t.mpol"), policy, MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &f.os};
    assert_int_equal(mp_compile(&text, 1, &options, &compilation), MP_OK);
    mp_str image = mp_compilation_image(compilation);
    f.image = mp_arena_alloc(&f.arena, image.len, 64);
    assert_non_null(f.image);
    memcpy(f.image, image.ptr, f.image_size = image.len);
    mp_compilation_free(compilation);
    struct mp_inproc_limits limits = {.leases = 1, .readers = 1};
    assert_int_equal(mp_inproc_create(&f.arena, limits, f.key, &f.inproc), MP_OK);
    assert_int_equal(mp_inproc_reader_open(f.inproc, &f.reader), MP_OK);
    assert_int_equal(mp_verdict_buckets_create(&f.arena, places, f.key, &f.buckets), MP_OK);
}

static void end(void) { mp_arena_free(&f.arena); }

/* Names, `n` and seven digits, begin with `number` from now on; their last `keep` digits stay. */
static void rename_rules(unsigned number, size_t keep)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%0*u", (int)(NAME_LEN - 1 - keep), number);
    for (size_t i = 0; i + NAME_LEN <= f.image_size; i++) {
        char *at = f.image + i;
        if (at[0] != 'n' || strspn(at + 1, "0123456789") < NAME_LEN - 1) continue;
        memcpy(at + 1, digits, NAME_LEN - 1 - keep);
        i += NAME_LEN - 1;
    }
}

static enum mp_err try_live(struct life *l)
{
    const char *why = "";
    mp_arena_init(&l->arena, NULL, 0);
    if (mp_program_load(f.image, f.image_size, &f.os, &l->program, &why) != MP_OK)
        fail_msg("%s", why);
    return mp_verdict_plan_create(&l->arena, l->program, f.inproc, f.buckets, &l->plan, &f.why);
}

static void live(struct life *l)
{
    assert_int_equal(try_live(l), MP_OK);
    assert_int_equal(mp_verdict_scratch_create(&l->arena, l->plan, &l->scratch), MP_OK);
    assert_int_equal(mp_ingest_create(&l->arena, l->program, f.key, &l->ingest), MP_OK);
}

static void die(struct life *l)
{
    mp_verdict_plan_release(l->plan);
    mp_program_free(l->program);
    mp_arena_free(&l->arena);
    *l = (struct life){.plan = NULL};
}

static bool ask(struct life *l, int64_t at_ns, const char *path, unsigned client)
{
    char line[256];
    struct mp_ingested in;
    struct mp_verdict_answer answer;
    snprintf(line, sizeof line,
             "{\"signal\":\"requests\",\"service\":\"web\",\"path\":\"%s\","
             "\"client\":{\"ip\":\"10.0.%u.%u\"}}", path, client / 250, client % 250 + 1);
    assert_int_equal(mp_ingest_line(l->ingest, mp_str_of(line), 0, NOW + at_ns, &in),
                     MP_INGEST_RECORD);
    const struct mp_inproc_view *view = mp_inproc_enter(f.reader);
    mp_verdict_ask(l->plan, f.buckets, view, NULL, &in.record, l->scratch, &answer);
    mp_inproc_leave(f.reader);
    return answer.allow;
}

#define SLOW(name, path, max)                                                                      \
    "rule " name " when request.path == \"" path "\" per client.ip max " max                       \
    " then throttle request to 1/min with burst = 1\n"

static void ten_thousand_reloads_with_new_names_pass(void **state)
{
    (void)state;
    begin(MP_STR(HEAD SLOW("n0000000", "/a", "1k") SLOW("n0000001", "/b", "1k")
                 SLOW("n0000002", "/c", "1k") SLOW("stays", "/x", "1k")), 1024);
    struct life old = {.plan = NULL}, fresh;
    live(&old);
    assert_true(ask(&old, 0, "/x", 1));
    for (unsigned i = 1; i <= 10000; i++) {
        rename_rules(i, 1);
        live(&fresh); /* while readers still have the old one */
        die(&old);
        old = fresh;
        assert_true(ask(&old, 0, "/a", 1));
    }
    /* A rule that stays has the bucket that it had. */
    assert_false(ask(&old, 0, "/x", 1));
    die(&old);
    end();
}

#define THROTTLES "then throttle request to 1/min with burst = 1"

/* A policy with this many rules; freed by the caller. */
static mp_str many(unsigned count, const char *does)
{
    size_t size = 64 + count * 128, len = 0;
    char *text = malloc(size);
    assert_non_null(text);
    len += (size_t)snprintf(text, size, HEAD);
    for (unsigned i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, size - len,
                                "rule n%07u when request.path == \"/%u\" %s\n", i, i, does);
    }
    return (mp_str){text, len};
}

/* The number that a rule had is another rule's: what it had taken is not counted for that one. */
static void a_rule_has_all_its_buckets_whoever_had_its_number(void **state)
{
    (void)state;
    enum { RULES = 64, RELOADS = 1000 };
    _Static_assert(RULES * RELOADS > 3 * 4 * MP_INLINE_THROTTLES_MAX, "numbers come round");
    mp_str policy = many(RULES, "per client.ip max 2 " THROTTLES);
    begin(policy, 65536);
    struct life l;
    for (unsigned i = 1; i <= RELOADS; i++) {
        rename_rules(i, 2);
        live(&l);
        for (unsigned client = 0; client < 2; client++) {
            assert_true(ask(&l, 0, "/7", client));
            assert_false(ask(&l, 0, "/7", client));
        }
        die(&l);
    }
    end();
    free((void *)(uintptr_t)policy.ptr);
}

/* An engine and its embedder's readers judge by one plan, and neither takes from the other. */
static void tables_beside_each_other_have_one_plan_and_two_fills(void **state)
{
    (void)state;
    enum { RULES = 64, RELOADS = 600 };
    mp_str policy = many(RULES, "per client.ip max 1 " THROTTLES);
    begin(policy, 65536);
    struct mp_verdict_buckets *table[2] = {f.buckets, NULL};
    struct life l;
    assert_int_equal(mp_verdict_buckets_beside(&f.arena, 65536, f.key, table[0], &table[1]), MP_OK);
    for (unsigned i = 1; i <= RELOADS; i++) {
        rename_rules(i, 2);
        live(&l); /* takes numbers of either table, and makes room in both */
        for (int k = 0; k < 2; k++) {
            f.buckets = table[k];
            assert_true(ask(&l, 0, "/7", 1));
            assert_false(ask(&l, 0, "/7", 1));
        }
        f.buckets = table[i % 2];
        die(&l);
    }
    end();
    free((void *)(uintptr_t)policy.ptr);
}

/* Of programs as large as they may be, some live at a time while readers pass from one to the
 * next. What does not fit is refused, and fits when readers have passed. */
static void the_largest_programs_follow_each_other(void **state)
{
    (void)state;
    mp_str policy = many(MP_INLINE_THROTTLES_MAX, THROTTLES);
    begin(policy, 1024);
    struct life l[5];
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0) rename_rules(i, 4);
        live(&l[i]);
    }
    rename_rules(4, 4);
    assert_int_equal(try_live(&l[4]), MP_ELIMIT);
    assert_non_null(strstr(f.why, "more than 16384 inline rules with a throttle; reload again"));
    mp_program_free(l[4].program);
    mp_arena_free(&l[4].arena);
    die(&l[1]);
    live(&l[4]);
    assert_true(ask(&l[4], 0, "/7", 1));
    assert_false(ask(&l[4], 0, "/7", 1));
    assert_true(ask(&l[0], 0, "/7", 1));
    die(&l[0]);
    for (unsigned i = 2; i < 5; i++) die(&l[i]);
    end();
    free((void *)(uintptr_t)policy.ptr);
}

/* Compiled elsewhere, without our check: the loader counts them itself. */
static void an_image_with_more_throttles_than_numbers_is_refused(void **state)
{
    (void)state;
    struct mp_program *p;
    struct mp_fault fault = {.why = ""};
    const char *why;
    mp_str policy = many(MP_INLINE_THROTTLES_MAX + 1, "then deny request");
    begin(policy, 64);
    assert_int_equal(mp_program_load(f.image, f.image_size, &f.os, &p, &why), MP_OK);
    for (uint32_t i = 0; i < p->act_count; i++) {
        const struct mp_action_row *action = &p->action[p->act[i].action];
        ((struct mp_action_row *)(uintptr_t)action)->class = MP_CLASS_RATE;
    }
    assert_int_equal(mp_program_verify(p, &fault), MP_ELIMIT);
    assert_string_equal(fault.why, "more than 4096 inline rules with a throttle");
    mp_program_free(p);
    end();
    free((void *)(uintptr_t)policy.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_reloads_with_new_names_pass),
        cmocka_unit_test(a_rule_has_all_its_buckets_whoever_had_its_number),
        cmocka_unit_test(tables_beside_each_other_have_one_plan_and_two_fills),
        cmocka_unit_test(an_image_with_more_throttles_than_numbers_is_refused),
        cmocka_unit_test(the_largest_programs_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
