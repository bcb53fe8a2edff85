/* SPDX-License-Identifier: Apache-2.0
 * The nth request for memory fails, for n = 1, 2, 3, ... until everything passes: once, and from
 * then on for ever. Nothing crashes, nothing is left behind, and the answer is MP_ENOMEM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "driver/driver.h"
#include "engine/engine.h"
#include "os/std.h"
#include "trap.h"

static struct mp_os os;

static const char *const files[] = {
    "examples/01-quarantine/policy.mpol",     "examples/02-contain-and-verify/policy.mpol",
    "examples/03-access-rules/policy.mpol",   "examples/04-login-flood/policy.mpol",
    "examples/05-guards/policy.mpol",         "tests/golden/loop/sets.mpol",
    "tests/golden/loop/clauses.mpol",         "tests/golden/errors/several_1.mpol",
};

static char *read_file(const char *name, size_t *size)
{
    static char text[1 << 18];
    char path[1024];
    const char *root = getenv("MPOL_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/%s", root != NULL ? root : "../..", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("%s cannot be read", path);
    *size = fread(text, 1, sizeof text, f);
    fclose(f);
    return text;
}

/* What memory is asked for; the answer of the whole, which gives everything back. */
typedef enum mp_err (*attempt)(mp_str text, size_t limit_bytes);

static enum mp_err compile(mp_str text, size_t limit_bytes)
{
    struct mp_compile_text file = {MP_STR("t.mpol"), text, MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &os, .with_tests = true,
                                         .memory_max_bytes = limit_bytes};
    struct mp_compilation *c = NULL;
    enum mp_err err = mp_compile(&file, 1, &options, &c);
    if (err != MP_OK) {
        assert_null(c);
        return err;
    }
    err = mp_compilation_lint(c, MP_LINT_ALL);
    mp_compilation_free(c);
    return err;
}

/* n = 1, 2, 3, ... until it passes: how many there were. */
static uint64_t until_it_passes(attempt what, mp_str text, bool persistent, const char *name)
{
    for (uint64_t n = 1;; n++) {
        trap = (struct trap){.fail_at = n, .persistent = persistent};
        enum mp_err err = what(text, 0);
        bool failed = trap.calls >= n;
        trap.fail_at = 0;
        if (trap.live != 0)
            fail_msg("%s: %lld pieces are left when request %llu fails", name, (long long)trap.live,
                     (unsigned long long)n);
        if (failed && err != MP_ENOMEM)
            fail_msg("%s: %s when request %llu fails", name, mp_err_text(err),
                     (unsigned long long)n);
        if (!failed) {
            assert_int_equal(err, MP_OK);
            return n - 1;
        }
    }
}

static void a_compilation_survives_every_failed_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t size;
        mp_str text = {read_file(files[i], &size), 0};
        text.len = size;
        uint64_t once = until_it_passes(compile, text, false, files[i]);
        uint64_t ever = until_it_passes(compile, text, true, files[i]);
        print_message("%s: %llu requests failed one by one, %llu for good\n", files[i],
                      (unsigned long long)once, (unsigned long long)ever);
        assert_true(once > 1);
    }
}

/* Arenas ask rarely, in large blocks; a limit that ends anywhere fails the small requests too. */
static void a_compilation_survives_every_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t size, limit = 1000, tried = 0;
        mp_str text = {read_file(files[i], &size), 0};
        text.len = size;
        enum mp_err err = MP_ENOMEM;
        for (; err == MP_ENOMEM; limit += limit / 200 + 1, tried++) {
            trap = (struct trap){.fail_at = 0};
            err = compile(text, limit);
            if (trap.live != 0)
                fail_msg("%s: %lld pieces are left at %zu bytes", files[i], (long long)trap.live,
                         limit);
        }
        if (err != MP_OK) fail_msg("%s: %s at %zu bytes", files[i], mp_err_text(err), limit);
        print_message("%s: enough are %zu bytes, after %zu limits\n", files[i], limit, tried);
        assert_true(tried > 100);
    }
}

/* ---- loading, and an engine ---- */

static enum mp_err load(mp_str image, size_t limit_bytes)
{
    (void)limit_bytes;
    struct mp_program *p = NULL;
    const char *why = NULL;
    enum mp_err err = mp_program_load(image.ptr, image.len, &os, &p, &why);
    if (err == MP_OK) mp_program_free(p);
    return err;
}

static struct mp_program *ready;

static enum mp_err create(mp_str unused, size_t limit_bytes)
{
    (void)unused;
    (void)limit_bytes;
    struct mp_engine_options options = {
        .clock = MP_ENGINE_LIVE, .hash_key = {1, 2}, .now_ns = 1, .mono_ns = 1};
    options.limits = (struct mp_engine_limits){.keys = 64,
                                               .incidents = 64,
                                               .leases = 64,
                                               .holds = 64,
                                               .messages = 64,
                                               .admissions = 64,
                                               .truths = 64,
                                               .ledger_bytes = 1 << 16};
    struct mp_engine_sinks sinks = {0};
    struct mp_engine *e = NULL;
    enum mp_err err = mp_engine_create(ready, &os, &options, &sinks, &e);
    if (err == MP_OK) mp_engine_destroy(e);
    return err;
}

static void a_program_and_an_engine_survive_every_failed_request(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < sizeof files / sizeof *files; i++) {
        size_t size;
        struct mp_compile_text file = {
            MP_STR("t.mpol"), {read_file(files[i], &size), 0}, MP_CHECK_GIVEN};
        file.text.len = size;
        struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &os};
        struct mp_compilation *c = NULL;
        const char *why = NULL;
        trap = (struct trap){.fail_at = 0};
        assert_int_equal(mp_compile(&file, 1, &options, &c), MP_OK);
        assert_int_equal(mp_compilation_errors(c), 0);
        mp_str image = mp_compilation_image(c);
        uint64_t loads = until_it_passes(load, image, false, files[i]);
        until_it_passes(load, image, true, files[i]);
        assert_int_equal(mp_program_load(image.ptr, image.len, &os, &ready, &why), MP_OK);
        uint64_t creates = until_it_passes(create, image, false, files[i]);
        until_it_passes(create, image, true, files[i]);
        print_message("%s: %llu requests to load, %llu to create an engine\n", files[i],
                      (unsigned long long)loads, (unsigned long long)creates);
        mp_program_free(ready);
        mp_compilation_free(c);
    }
}

/* A thread keeps one scratch for its patterns until it ends: it is no leak. */
static void warm_up(void)
{
    void *handle = NULL;
    const char *why = NULL;
    if (os.regex_compile(os.ctx, MP_STR("a"), &handle, &why) == MP_OK)
        os.regex_free(os.ctx, handle);
}

int main(void)
{
    mp_std_os(&os);
    warm_up();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_compilation_survives_every_failed_request),
        cmocka_unit_test(a_compilation_survives_every_limit),
        cmocka_unit_test(a_program_and_an_engine_survive_every_failed_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
