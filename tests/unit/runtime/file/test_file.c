/* SPDX-License-Identifier: Apache-2.0
 * Regular files are opened; all else is refused, and nothing waits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../loopback/folder.h"
#include "file/file.h"

static char dir[64];

static const char *path(const char *name)
{
    static char at[128];
    snprintf(at, sizeof at, "%s/%s", dir, name);
    return at;
}

static int begin(void **state)
{
    return tmp_folder_make(dir, sizeof dir, "file") ? 0 : -1;
}

static int finish(void **state)
{
    static const char *const names[] = {"text", "fifo", "to-fifo", "to-text"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path(names[i]));
    return rmdir(dir);
}

static void is_refused(const char *at, const char *wanted)
{
    const char *why;
    assert_null(mp_file_open(at, &why));
    assert_string_equal(why, wanted);
    assert_false(mp_file_is(at, &why));
}

static void a_file_is_read_whole(void **state)
{
    char room[16] = "";
    const char *why;
    FILE *f = fopen(path("text"), "w");
    assert_non_null(f);
    fputs("a line\n", f);
    fclose(f);
    assert_int_equal(symlink("text", path("to-text")), 0);
    f = mp_file_open(path("to-text"), &why);
    assert_non_null(f);
    assert_null(why);
    assert_int_equal(fread(room, 1, sizeof room, f), 7);
    assert_string_equal(room, "a line\n");
    assert_true((fcntl(fileno(f), F_GETFD) & FD_CLOEXEC) != 0);
    fclose(f);
    assert_true(mp_file_is(path("text"), &why));
}

static void what_is_none_is_refused_without_waiting(void **state)
{
    assert_int_equal(mkfifo(path("fifo"), 0600), 0);
    assert_int_equal(symlink("fifo", path("to-fifo")), 0);
    is_refused(path("fifo"), "not a regular file");
    is_refused(path("to-fifo"), "not a regular file");
    is_refused("/dev/null", "not a regular file");
    is_refused(dir, "Is a directory");
    is_refused(path("none"), "No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_read_whole, begin, finish),
        cmocka_unit_test_setup_teardown(what_is_none_is_refused_without_waiting, begin, finish),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
