/* SPDX-License-Identifier: Apache-2.0
 * On a virtual clock: the windows file, and a clock that was set back.
 */
#include "daemon/daemon_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../loopback/folder.h"
#include "driver/driver.h"
#include "os/std.h"

#define SEC 1000000000LL
#define T0 (1700000000LL * SEC)

static struct dm d;
static struct mp_daemon_options options;
static struct mp_arena arena;
static struct mp_ingest *ingest;
static int64_t wall_now;
static char dir[256], path[300], beside[300];

static int64_t wall(void *ctx) { return wall_now; }

static const char policy[] =
    "use std.mesh\n"
    "rule flood when count(requests where status == 401) over 2m >= 3 per client.ip max 1k\n"
    "then deny client.ip for 1m\n";

static struct mp_program *compile(void)
{
    struct mp_compile_text text = {MP_STR("p.mpol"), mp_str_of(policy), MP_CHECK_GIVEN};
    struct mp_compile_options how = {.goal = MP_COMPILE_IMAGE, .os = &d.os};
    struct mp_compilation *c;
    struct mp_program *p;
    const char *why = "";
    assert_int_equal(mp_compile(&text, 1, &how, &c), MP_OK);
    mp_str image = mp_compilation_image(c);
    assert_int_equal(mp_program_load(image.ptr, image.len, &d.os, &p, &why), MP_OK);
    mp_compilation_free(c);
    return p;
}

static void open_engine(void)
{
    mp_std_os(&d.os);
    d.os.wall_ns = wall;
    d.options = &options;
    d.identity.ledger = 7;
    d.windows_at_ns = 0;
    d.now.program = compile();
    struct mp_engine_options how = {.clock = MP_ENGINE_LIVE, .hash_key = {1, 2}, .now_ns = wall_now,
                                    .mono_ns = wall_now};
    how.limits.keys = 64;
    assert_int_equal(mp_engine_create(d.now.program, &d.os, &how, NULL, &d.engine), MP_OK);
    mp_arena_init(&arena, NULL, 0);
    assert_int_equal(mp_ingest_create(&arena, d.now.program, how.hash_key, &ingest), MP_OK);
}

static void close_engine(void)
{
    mp_engine_destroy(d.engine);
    mp_program_free(d.now.program);
    mp_arena_free(&arena);
}

static int begin(void **state)
{
    if (!tmp_folder_make(dir, sizeof dir, "windows")) return -1;
    snprintf(path, sizeof path, "%s/windows", dir);
    snprintf(beside, sizeof beside, "%s/windows.new", dir);
    d = (struct dm){.options = &options};
    options.state_dir = dir;
    wall_now = T0;
    uv_loop_init(&d.loop);
    open_engine();
    return 0;
}

static int end(void **state)
{
    close_engine();
    uv_run(&d.loop, UV_RUN_DEFAULT);
    uv_loop_close(&d.loop);
    unlink(path);
    unlink(beside);
    return rmdir(dir);
}

static void failures(int count)
{
    static const char line[] = "{\"service\":\"a\",\"client\":\"10.0.0.1\",\"status\":401}";
    for (int i = 0; i < count; i++) {
        struct mp_ingested in;
        assert_int_equal(mp_ingest_line(ingest, MP_STR(line), 0, wall_now, &in), MP_INGEST_RECORD);
        mp_engine_record(d.engine, &in.record);
    }
}

/* The daemon's turn at T0 + seconds. */
static void turn_at(int64_t seconds)
{
    wall_now = T0 + seconds * SEC;
    mp_engine_advance(d.engine, wall_now, wall_now);
    dm_windows_due(&d);
    uv_run(&d.loop, UV_RUN_DEFAULT);
}

static void restart_at(int64_t seconds)
{
    close_engine();
    wall_now = T0 + seconds * SEC;
    open_engine();
    dm_windows_load(&d);
    mp_engine_advance(d.engine, wall_now, wall_now);
}

static uint32_t open_incidents(void)
{
    struct mp_engine_status s;
    mp_engine_status(d.engine, &s);
    return s.incidents_open;
}

static void they_are_written_every_thirty_seconds(void **state)
{
    struct stat st;
    turn_at(0);
    failures(1);
    turn_at(29);
    assert_int_equal(stat(path, &st), -1);
    turn_at(30);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    ino_t first = st.st_ino;
    turn_at(45);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_ino == first);
    turn_at(60);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_ino != first); /* renamed into its place, never written there */
    assert_int_equal(access(beside, F_OK), -1);
    assert_false(d.windows_busy);
}

static void what_was_written_counts_after_a_crash(void **state)
{
    turn_at(0);
    turn_at(29);
    failures(2);
    turn_at(30);
    restart_at(40);
    failures(1);
    assert_int_equal(open_incidents(), 1);
}

static void without_the_file_it_would_not(void **state)
{
    turn_at(0);
    turn_at(29);
    failures(2);
    turn_at(30);
    unlink(path);
    restart_at(40);
    failures(1);
    assert_int_equal(open_incidents(), 0);
}

static void a_file_of_long_ago_or_of_the_future_is_passed_over(void **state)
{
    turn_at(0);
    failures(2);
    turn_at(30);
    restart_at(91);
    failures(1);
    assert_int_equal(open_incidents(), 0);
    restart_at(20);
    failures(1);
    assert_int_equal(open_incidents(), 0);
    restart_at(89);
    failures(1);
    assert_int_equal(open_incidents(), 1);
}

static void a_folder_that_cannot_be_written_is_told_and_tried_again(void **state)
{
    struct stat st;
    turn_at(0);
    assert_int_equal(mkdir(beside, 0700), 0);
    turn_at(30);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(rmdir(beside), 0);
    turn_at(60);
    assert_int_equal(stat(path, &st), 0);
}

static bool says_back(const char *text)
{
    struct dm_bytes line = {0};
    bool back = dm_clock_back(&d, &line);
    assert_true(back || line.len == 0);
    bool says = back && mp_str_contains((mp_str){line.ptr, line.len}, mp_str_of(text));
    dm_bytes_free(&line);
    return says;
}

static void a_clock_that_is_set_back_is_told_until_it_has_caught_up(void **state)
{
    turn_at(0);
    assert_false(says_back(""));
    turn_at(3600); /* a mistake of NTP */
    dm_clock_look(&d);
    assert_false(d.clock_back);
    turn_at(9);
    failures(5);
    assert_int_equal(open_incidents(), 0);
    assert_true(says_back("the clock is 59m51s back: until 2023-11-14T23:13:20Z what is seen"));
    dm_clock_look(&d);
    assert_true(d.clock_back);
    turn_at(3599);
    assert_false(says_back("")); /* machines differ by as much */
    dm_clock_look(&d);
    assert_false(d.clock_back);
    failures(5);
    assert_int_equal(open_incidents(), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(they_are_written_every_thirty_seconds),
        TEST(what_was_written_counts_after_a_crash),
        TEST(without_the_file_it_would_not),
        TEST(a_file_of_long_ago_or_of_the_future_is_passed_over),
        TEST(a_clock_that_is_set_back_is_told_until_it_has_caught_up),
        TEST(a_folder_that_cannot_be_written_is_told_and_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
