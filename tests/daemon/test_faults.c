/* SPDX-License-Identifier: Apache-2.0
 * State folders that are taken, damaged, too new or too old, and disks that are full or fail.
 */
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_FORCE(client) "deny " client "  effective, in force"
#define STATE "--state=state"

static const char *failing_sync; /* NULL: a sanitizer wants to be loaded first */

static void start(struct run *r)
{
    put_file("p.mpol", flood_policy);
    if (access("t", F_OK) != 0) put_file("t", "");
    run_start(r, "p.mpol", STATE, "--telemetry=t", "--channel=chat=file:chat",
              "--listen=127.0.0.1:0", NULL);
}

static void stop(struct run *r)
{
    assert_int_equal(run_stop(r), 0);
    run_free(r);
}

static void refused(const char *because)
{
    struct run r;
    const char *const args[] = {"p.mpol", STATE, NULL};
    put_file("p.mpol", flood_policy);
    run_spawn(&r, -1, args);
    int code = run_end(&r);
    if (code != 2 || strstr(r.log, because) == NULL) fail_msg("exit %d: %s", code, r.log);
    run_free(&r);
}

static void sql(const char *text)
{
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(sqlite3_open("state/mpol.db", &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK) fail_msg("%s: %s", text, error);
    sqlite3_close(db);
}

static void the_chain_verifies(void)
{
    const char *out;
    int code = ask(&out, "ledger", "verify", STATE, NULL);
    if (code != 0) fail_msg("ledger verify: %s", out);
}

/* ---- state folders ---- */

static void a_second_daemon_on_the_same_state_is_refused(void **state)
{
    struct run r;
    start(&r);
    refused("another mpol runs on this state");
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1")); /* the first has not noticed */
    stop(&r);
}

static void a_newer_state_is_refused_and_left_as_it_is(void **state)
{
    struct run r;
    start(&r);
    stop(&r);
    sql("PRAGMA user_version=99; CREATE TABLE of_the_future(x);");
    refused("a newer mpol wrote this state");
    sql("SELECT x FROM of_the_future");
    sql("PRAGMA user_version=1");
    start(&r); /* as far as this one knows nothing was lost */
    stop(&r);
}

static void an_older_state_is_brought_up_to_date(void **state)
{
    struct run r;
    assert_int_equal(mkdir("state", 0700), 0);
    sql("PRAGMA user_version=0; "
        "CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;");
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
    the_chain_verifies();
}

static void a_damaged_state_is_refused(void **state)
{
    struct run r;
    assert_int_equal(mkdir("state", 0700), 0);
    char noise[8192];
    memset(noise, 'n', sizeof noise);
    put_bytes("state/mpol.db", noise, sizeof noise);
    refused("file is not a database");
    assert_int_equal(unlink("state/mpol.db"), 0);
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
    sql("UPDATE state SET bytes=x'00112233' WHERE kind=1");
    refused("damaged data");
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    put_file("state", "a file");
    refused("mpol run: state");
}

/* ---- disks ---- */

static void the_store_has_failed(struct run *r)
{
    run_wait(r, "the store cannot write");
    wait_status("THE STORE CANNOT WRITE");
    wait_get(r->port, "/readyz", 503, "store: cannot write");
    wait_get(r->port, "/metrics", 200, "mpol_store_failed 1");
    wait_status(IN_FORCE("10.0.0.1")); /* what is in force stays */
    const char *out;
    assert_int_equal(ask(&out, "brake", "status", STATE, NULL), 0);
}

/* Of two clients that come while nothing can be kept, none is decided on, and both when it can. */
static void nothing_is_decided_until_it_writes_again(struct run *r, void (*repair)(struct run *r))
{
    add_failures("t", "10.0.0.2", 3);
    the_store_has_failed(r);
    add_failures("t", "10.0.0.3", 3);
    wait_status("records 9,");
    assert_false(status_says("deny 10.0.0.3"));
    repair(r);
    run_wait(r, "the store writes again");
    wait_status(IN_FORCE("10.0.0.3"));
    wait_status(IN_FORCE("10.0.0.2"));
    wait_get(r->port, "/readyz", 200, "store: writes");
    wait_file("chat", "flood 10.0.0.3");
    assert_int_equal(run_stop(r), 0);
    run_free(r);
    the_chain_verifies();
}

static void limit_files(struct run *r, rlim_t bytes)
{
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    struct rlimit now;
    assert_int_equal(prlimit(r->pid, RLIMIT_FSIZE, NULL, &now), 0);
    limit.rlim_max = now.rlim_max;
    assert_int_equal(prlimit(r->pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

static void make_room(struct run *r) { limit_files(r, RLIM_INFINITY); }

static void on_a_full_disk_nothing_new_is_decided(void **state)
{
    struct run r;
    struct stat st;
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    wait_file("chat", "flood 10.0.0.1");
    assert_int_equal(stat("state/mpol.db-wal", &st), 0);
    limit_files(&r, 4096); /* less than the log has already */
    nothing_is_decided_until_it_writes_again(&r, make_room);
}

static void ending_on_a_full_disk_says_what_is_lost(void **state)
{
    struct run r;
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    limit_files(&r, 4096);
    add_failures("t", "10.0.0.2", 3);
    run_wait(&r, "the store cannot write");
    kill(r.pid, SIGTERM);
    assert_int_equal(run_end(&r), 3);
    assert_non_null(strstr(r.log, "not everything could be written"));
    run_free(&r);
    start(&r);
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
    the_chain_verifies();
}

static void let_sync(struct run *r) { assert_int_equal(unlink("no-sync"), 0); }

static void after_a_failed_sync_nothing_new_is_decided(void **state)
{
    struct run r;
    if (failing_sync == NULL) skip();
    setenv("LD_PRELOAD", failing_sync, 1);
    setenv("MPOL_FAIL_SYNC", "no-sync", 1);
    start(&r);
    unsetenv("LD_PRELOAD");
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    wait_file("chat", "flood 10.0.0.1");
    put_file("no-sync", "");
    nothing_is_decided_until_it_writes_again(&r, let_sync);
}

static void a_kill_after_a_failed_sync_leaves_a_whole_ledger(void **state)
{
    struct run r;
    if (failing_sync == NULL) skip();
    setenv("LD_PRELOAD", failing_sync, 1);
    setenv("MPOL_FAIL_SYNC", "no-sync", 1);
    start(&r);
    unsetenv("LD_PRELOAD");
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    put_file("no-sync", "");
    add_failures("t", "10.0.0.2", 3);
    run_wait(&r, "the store cannot write");
    run_kill(&r);
    run_free(&r);
    the_chain_verifies();
    start(&r);
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
    the_chain_verifies();
}

static void run_once(void)
{
    struct run r;
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    wait_status(IN_FORCE("10.0.0.1"));
    stop(&r);
}

static void what_was_signed_cannot_be_cut_short(void **state)
{
    const char *out;
    run_once();
    assert_int_equal(ask(&out, "ledger", "verify", STATE, NULL), 0);
    assert_non_null(strstr(out, "signed up to entry"));
    sql("DELETE FROM entry WHERE seq = (SELECT MAX(seq) FROM entry)");
    assert_int_equal(ask(&out, "ledger", "verify", STATE, NULL), 1);
    assert_non_null(strstr(out, "entries are missing at the end"));
}

static void what_was_signed_cannot_be_signed_by_another(void **state)
{
    const char *out;
    run_once();
    put_file("kept.pub", get_file("state/ledger.pub"));
    assert_int_equal(ask(&out, "ledger", "verify", "--key=kept.pub", STATE, NULL), 0);
    put_file("none.pub", "this is no key");
    assert_int_equal(ask(&out, "ledger", "verify", "--key=none.pub", STATE, NULL), 2);
    assert_int_equal(rename("state", "old"), 0);
    run_once();
    assert_int_equal(ask(&out, "ledger", "verify", STATE, NULL), 0);
    assert_int_equal(ask(&out, "ledger", "verify", "--key=kept.pub", STATE, NULL), 1);
    assert_non_null(strstr(out, "not signed with this key"));
    assert_int_equal(ask(&out, "ledger", "export", STATE, NULL), 0);
    assert_non_null(strstr(out, "\"signature\":\""));
}

static void a_key_that_is_none_is_refused(void **state)
{
    run_once();
    put_file("state/ledger.key", "nothing");
    refused("ledger.key: this is no Ed25519 key");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_drop)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_daemon_on_the_same_state_is_refused),
        TEST(a_newer_state_is_refused_and_left_as_it_is),
        TEST(an_older_state_is_brought_up_to_date),
        TEST(a_damaged_state_is_refused),
        TEST(a_folder_that_cannot_be_made_is_named),
        TEST(on_a_full_disk_nothing_new_is_decided),
        TEST(ending_on_a_full_disk_says_what_is_lost),
        TEST(after_a_failed_sync_nothing_new_is_decided),
        TEST(a_kill_after_a_failed_sync_leaves_a_whole_ledger),
        TEST(what_was_signed_cannot_be_cut_short),
        TEST(what_was_signed_cannot_be_signed_by_another),
        TEST(a_key_that_is_none_is_refused),
    };
    harness_command(argv[1]);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (argc > 2) failing_sync = argv[2];
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
