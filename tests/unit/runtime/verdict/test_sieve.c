/* SPDX-License-Identifier: Apache-2.0
 * The sieve passes over no rule that is true: random rules and requests, with it and without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/hash.h"
#include "driver/driver.h"
#include "ingest/ingest.h"
#include "verdict/verdict_priv.h"

#define RULES 12 /* fewer than one answer can name */
#define POLICIES 60
#define TRIES 2000
#define REQUESTS 300

static const char *const texts[] = {
    "/",     "/a",   "/ab",   "/abc",    "/abcd", "/abcde", "/abcdefghijklmno",
    "/b/cd", "/bcd", "/zzzz", "/abcdeg", "/ba",   "/a/b/c", "/abcdefghijklmnop"};
static const char *const addresses[] = {"10.0.0.1",  "10.0.0.200",  "10.9.0.1",
                                        "192.0.2.7", "2001:db8::1", "2001:db9::1"};
static const char *const nets[] = {"10.0.0.0/8", "10.0.0.0/25",   "0.0.0.0/0",      "192.0.2.7/32",
                                   "::/0",       "2001:db8::/32", "2001:db8::1/128"};
static const char *const methods[] = {"GET", "POST", "DELETE"};

#define PICK(seed, list) (list)[mp_rng_next(seed) % (sizeof(list) / sizeof *(list))]

/* ---- random policies ---- */

struct writing {
    char text[65536];
    size_t len;
    uint64_t *seed;
};

static void put(struct writing *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct writing *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    w->len += (size_t)vsnprintf(w->text + w->len, sizeof w->text - w->len, format, args);
    va_end(args);
    assert_true(w->len < sizeof w->text);
}

static const char *part(struct writing *w)
{
    return PICK(w->seed, texts) + mp_rng_next(w->seed) % 2;
}

static void put_atom(struct writing *w)
{
    static const char *const fields[] = {"request.path", "request.raw_path", "request.user_agent",
                                         "request.headers[\"x-a\"]"};
    const char *field = PICK(w->seed, fields), *text = part(w);
    switch (mp_rng_next(w->seed) % 8) {
    case 0: put(w, "request.path == \"%s\"", PICK(w->seed, texts)); break;
    case 1: put(w, "%s starts with \"%s\"", field, text[0] != '\0' ? text : "/"); break;
    case 2: put(w, "%s contains \"%s\"", field, text[0] != '\0' ? text : "b"); break;
    case 3: put(w, "%s like \"%s*%s\"", field, text, part(w)); break;
    case 4: put(w, "client.ip in %s", PICK(w->seed, nets)); break;
    case 5: put(w, "request.method == \"%s\"", PICK(w->seed, methods)); break;
    case 6: put(w, "request.headers[\"x-a\"] == \"%s\"", text); break;
    default: put(w, "not (request.method == \"%s\")", PICK(w->seed, methods));
    }
}

static void put_condition(struct writing *w, int depth)
{
    uint64_t kind = mp_rng_next(w->seed) % 3;
    if (depth == 0 || kind == 0) {
        put_atom(w);
        return;
    }
    put(w, "(");
    put_condition(w, depth - 1);
    put(w, kind == 1 ? ") and (" : ") or (");
    put_condition(w, depth - 1);
    put(w, ")");
}

/* ---- one policy ---- */

struct policy {
    struct mp_arena arena;
    struct mp_os os;
    struct mp_compilation *compilation;
    struct mp_program *program;
    struct mp_inproc *inproc;
    struct mp_inproc_reader *reader;
    struct mp_verdict_buckets *buckets;
    struct mp_verdict_plan *plan;
    struct mp_verdict_scratch *scratch;
    struct mp_ingest *ingest;
    struct mp_verdict_answer answer;
    uint32_t passed_over, let_through;
};

/* False: the compiler found a rule that can never be true; the next one will be better. */
static bool begin(struct policy *f, const char *text)
{
    struct mp_hash_key key = {7, 8};
    struct mp_inproc_limits limits = {.leases = 4, .readers = 1};
    const char *why = "";
    memset(f, 0, sizeof *f);
    mp_arena_init(&f->arena, NULL, 0);
    struct mp_compile_text source = {MP_STR("t.mpol"), mp_str_of(text), MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &f->os};
    assert_int_equal(mp_compile(&source, 1, &options, &f->compilation), MP_OK);
    if (mp_compilation_errors(f->compilation) > 0) {
        mp_compilation_free(f->compilation);
        mp_arena_free(&f->arena);
        return false;
    }
    mp_str image = mp_compilation_image(f->compilation);
    assert_int_equal(mp_program_load(image.ptr, image.len, &f->os, &f->program, &why), MP_OK);
    assert_int_equal(mp_inproc_create(&f->arena, limits, key, &f->inproc), MP_OK);
    assert_int_equal(mp_inproc_reader_open(f->inproc, &f->reader), MP_OK);
    assert_int_equal(mp_verdict_buckets_create(&f->arena, 64, key, &f->buckets), MP_OK);
    assert_int_equal(mp_verdict_plan_create(&f->arena, f->program, f->inproc, f->buckets, &f->plan,
                                            NULL),
                     MP_OK);
    assert_int_equal(mp_verdict_scratch_create(&f->arena, f->plan, &f->scratch), MP_OK);
    assert_int_equal(mp_ingest_create(&f->arena, f->program, key, &f->ingest), MP_OK);
    return true;
}

static void end(struct policy *f)
{
    mp_program_free(f->program);
    mp_compilation_free(f->compilation);
    mp_arena_free(&f->arena);
}

static bool has_fired(const struct mp_verdict_answer *a, uint32_t rule)
{
    for (uint32_t i = 0; i < a->fired_count; i++) {
        if (a->fired[i].rule == rule) return true;
    }
    return false;
}

/* All rules, judged; the answer must name those that are true and no others. */
static void compare(struct policy *f, uint32_t signal, const char *text, uint64_t seed)
{
    const struct signal_plan *sp = &f->plan->signals[signal];
    uint32_t count = 0;
    for (uint32_t i = 0; i < sp->unit_count; i++) {
        const struct unit_plan *u = &sp->units[i];
        struct mp_hits hits;
        f->passed_over += u->sieve != NULL && !mp_sieve_passes(u->sieve, f->scratch->words);
        mp_eval_unit(f->program, u->unit, &f->scratch->inputs, &hits);
        for (uint64_t left = hits.truth & hits.known & u->mask[MP_LAYER_SERVICE]; left != 0;
             left &= left - 1) {
            uint32_t rule = u->rules[__builtin_ctzll(left)].row;
            if (!has_fired(&f->answer, rule)) fail_msg("seed %llu: rule %u is lost\n%s",
                                                       (unsigned long long)seed, rule, text);
            count++;
        }
    }
    assert_int_equal(count, f->answer.fired_count);
}

static void add(struct policy *f, struct mp_field_in *fields, uint32_t *count, const char *name,
                const char *text)
{
    uint32_t number = mp_ingest_name(f->ingest, mp_str_of(name));
    if (number == MP_NONE) return;
    fields[(*count)++] =
        (struct mp_field_in){.name = number, .kind = MP_FIELD_TEXT, .text = mp_str_of(text)};
}

/* With the fields that it needs, and no others. */
static bool first_look(struct policy *f, const struct mp_inproc_view *view,
                       const struct mp_record *request)
{
    uint64_t known[8] = {0};
    struct mp_record part = *request;
    uint32_t fields = f->program->signal[request->signal].fields_count;
    assert_true(fields <= 64 * 8);
    for (uint32_t i = 0; i < fields; i++) {
        if (!mp_verdict_looks(f->plan, request->signal, i)) continue;
        known[i / 64] |= request->known[i / 64] & UINT64_C(1) << (i % 64);
    }
    part.known = known;
    return mp_verdict_first_look(f->plan, view, &part, f->scratch);
}

static void ask(struct policy *f, uint64_t *seed, const char *text)
{
    struct mp_field_in fields[8];
    struct mp_record record;
    uint32_t count = 0, signal = mp_ingest_signal(f->ingest, MP_STR("requests"));
    const char *path = PICK(seed, texts);
    uint64_t began = *seed;
    add(f, fields, &count, "path", path);
    add(f, fields, &count, "raw_path", path);
    add(f, fields, &count, "method", PICK(seed, methods));
    if (mp_rng_next(seed) % 4 != 0) add(f, fields, &count, "client.ip", PICK(seed, addresses));
    if (mp_rng_next(seed) % 4 != 0) add(f, fields, &count, "user_agent", PICK(seed, texts));
    if (mp_rng_next(seed) % 2 != 0) add(f, fields, &count, "headers.x-a", PICK(seed, texts) + 1);
    mp_ingest_fields(f->ingest, signal, 1, 0, fields, count, &record);
    record.layer = MP_LAYER_SERVICE;
    const struct mp_inproc_view *view = mp_inproc_enter(f->reader);
    bool concerned = first_look(f, view, &record);
    mp_verdict_ask(f->plan, f->buckets, view, NULL, &record, f->scratch, &f->answer);
    mp_inproc_leave(f->reader);
    compare(f, signal, text, began);
    f->let_through += !concerned;
    if (!concerned && f->answer.fired_count > 0)
        fail_msg("seed %llu: the first look lets a rule go\n%s", (unsigned long long)began, text);
}

static void no_rule_is_lost(void **state)
{
    (void)state;
    static struct writing w;
    static struct policy f;
    uint64_t seed = 20261125;
    uint32_t passed_over = 0, let_through = 0, policies = 0;
    printf("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < TRIES && policies < POLICIES; i++) {
        w = (struct writing){.seed = &seed};
        /* In every second policy few alternatives, so that whole units are passed over. */
        int rules = i % 2 == 0 ? RULES : 2;
        put(&w, "mpol 1\nuse std.mesh\n");
        for (int r = 0; r < rules; r++) {
            put(&w, "rule r%d when ", r);
            put_condition(&w, i % 3);
            put(&w, " then audit request\n");
        }
        if (!begin(&f, w.text)) continue;
        policies++;
        for (int k = 0; k < REQUESTS; k++) ask(&f, &seed, w.text);
        passed_over += f.passed_over;
        let_through += f.let_through;
        end(&f);
    }
    printf("%u units passed over, %u requests let through at once\n", passed_over, let_through);
    assert_int_equal(policies, POLICIES);
    assert_true(passed_over > 100);
    assert_true(let_through > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_rule_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
