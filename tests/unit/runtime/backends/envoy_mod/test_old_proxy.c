/* SPDX-License-Identifier: Apache-2.0
 * A proxy that lacks what the module needs: it is told so, in words, and nothing is run.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char *library;

/* This test is such a proxy: it has no callback at all. */
static void an_old_proxy_is_told_what_it_lacks(void **state)
{
    (void)state;
    void *module = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
    assert_non_null(module);
    const char *(*init)(void);
    *(void **)&init = dlsym(module, "envoy_dynamic_module_on_program_init");
    assert_non_null(init);

    int told[2], keep = dup(STDERR_FILENO);
    assert_int_equal(pipe(told), 0);
    dup2(told[1], STDERR_FILENO);
    const char *version = init();
    dup2(keep, STDERR_FILENO);
    char words[300] = "";
    assert_true(read(told[0], words, sizeof words - 1) > 0);
    assert_null(version);
    assert_non_null(strstr(words, "it has no log. Use 1.38 or newer"));
    close(told[0]);
    close(told[1]);
    close(keep);
    dlclose(module);
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    library = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_old_proxy_is_told_what_it_lacks)};
    return cmocka_run_group_tests_name("an old proxy", tests, NULL, NULL);
}
