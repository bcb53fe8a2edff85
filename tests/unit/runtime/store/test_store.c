/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "../../../loopback/folder.h"
#include "store/store.h"

static char dir[256];
static struct mp_store_found found;
static const char *why;

static int make_dir(void **state)
{
    return tmp_folder_make(dir, sizeof dir, "store") ? 0 : -1;
}

static int drop_dir(void **state)
{
    static const char *const files[] = {"mpol.db", "mpol.db-wal", "mpol.db-shm", "lock"};
    char path[300];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static struct mp_store *open_store(const struct mp_store_options *options)
{
    struct mp_store *s = NULL;
    assert_int_equal(mp_store_open(dir, options, &s, &found, &why), MP_OK);
    return s;
}

static void put_entry(struct mp_store *s, uint64_t seq, int64_t time_ns)
{
    char json[64];
    uint8_t hash[MP_STORE_HASH] = {0};
    int len = snprintf(json, sizeof json, "{\"seq\":%llu}", (unsigned long long)seq);
    hash[0] = (uint8_t)seq;
    assert_true(mp_store_begin(s, mp_store_item_bytes((size_t)len)));
    mp_store_entry(s, seq, time_ns, (mp_str){json, (size_t)len}, hash);
    mp_store_end(s);
}

static void a_new_folder_is_empty(void **state)
{
    struct mp_store *s = open_store(NULL);
    assert_int_equal(found.seq, 0);
    assert_int_equal(mp_store_durable(s), 0);
    mp_store_close(s);
}

static void what_was_flushed_is_there_after_a_new_start(void **state)
{
    struct mp_store *s = open_store(NULL);
    for (uint64_t seq = 1; seq <= 5; seq++) put_entry(s, seq, (int64_t)seq * 100);
    assert_int_equal(mp_store_flush(s), MP_OK);
    assert_int_equal(mp_store_durable(s), 5);
    mp_store_close(s);
    s = open_store(NULL);
    assert_int_equal(found.seq, 5);
    assert_int_equal(found.time_ns, 500);
    assert_int_equal(found.hash[0], 5);
    mp_store_close(s);
}

static void closing_writes_what_waits(void **state)
{
    struct mp_store *s = open_store(NULL);
    put_entry(s, 1, 1);
    mp_store_close(s);
    mp_store_close(open_store(NULL));
    assert_int_equal(found.seq, 1);
}

static int rows_seen;

static enum mp_err see_row(void *ctx, uint32_t kind, uint64_t id, mp_str bytes)
{
    rows_seen++;
    assert_int_equal(kind, 2);
    assert_int_equal(id, 7);
    assert_true(mp_str_eq(bytes, MP_STR("new")));
    return MP_OK;
}

static void a_row_is_replaced_and_dropped(void **state)
{
    struct mp_store *s = open_store(NULL);
    assert_true(mp_store_begin(s, 4 * mp_store_item_bytes(8)));
    mp_store_row(s, 2, 7, MP_STR("old"));
    mp_store_row(s, 2, 7, MP_STR("new"));
    mp_store_row(s, 3, 1, MP_STR("gone"));
    mp_store_row(s, 3, 1, MP_STR(""));
    mp_store_end(s);
    mp_store_close(s);
    s = open_store(NULL);
    rows_seen = 0;
    assert_int_equal(mp_store_load(s, NULL, see_row), MP_OK);
    assert_int_equal(rows_seen, 1);
    mp_store_close(s);
}

static void the_ring_goes_round(void **state)
{
    struct mp_store_options small = {.ring_bytes = 1024};
    struct mp_store *s = open_store(&small);
    for (uint64_t seq = 1; seq <= 300; seq++) {
        if (!mp_store_begin(s, mp_store_item_bytes(16))) {
            assert_int_equal(mp_store_flush(s), MP_OK);
            assert_true(mp_store_begin(s, mp_store_item_bytes(16)));
        }
        uint8_t hash[MP_STORE_HASH] = {0};
        mp_store_entry(s, seq, 1, MP_STR("{}"), hash);
        mp_store_end(s);
    }
    assert_int_equal(mp_store_flush(s), MP_OK);
    assert_int_equal(mp_store_durable(s), 300);
    mp_store_close(s);
}

static void a_batch_larger_than_the_ring_makes_the_empty_ring_grow(void **state)
{
    struct mp_store_options small = {.ring_bytes = 1024};
    struct mp_store *s = open_store(&small);
    static char large[100000];
    uint8_t hash[MP_STORE_HASH] = {0};
    memset(large, 'x', sizeof large);
    put_entry(s, 1, 1);
    assert_int_equal(mp_store_flush(s), MP_OK);
    assert_true(mp_store_begin(s, mp_store_item_bytes(sizeof large)));
    mp_store_entry(s, 2, 2, (mp_str){large, sizeof large}, hash);
    mp_store_end(s);
    assert_int_equal(mp_store_flush(s), MP_OK);
    assert_int_equal(mp_store_durable(s), 2);
    mp_store_close(s);
}

static void the_same_entry_twice_is_one_and_another_is_trouble(void **state)
{
    struct mp_store *s = open_store(NULL);
    put_entry(s, 1, 1);
    put_entry(s, 1, 1);
    assert_int_equal(mp_store_flush(s), MP_OK);
    uint8_t other[MP_STORE_HASH] = {99};
    assert_true(mp_store_begin(s, mp_store_item_bytes(2)));
    mp_store_entry(s, 1, 1, MP_STR("{}"), other);
    mp_store_end(s);
    assert_int_equal(mp_store_flush(s), MP_EIO);
    assert_non_null(mp_store_trouble(s));
    mp_store_close(s);
}

static void a_second_user_is_refused(void **state)
{
    struct mp_store *s = open_store(NULL), *other = NULL;
    assert_int_equal(mp_store_open(dir, NULL, &other, &found, &why), MP_EEXIST);
    assert_non_null(strstr(why, "another mpol"));
    mp_store_close(s);
}

static void a_newer_database_is_refused_and_left_alone(void **state)
{
    char path[300];
    sqlite3 *db;
    struct mp_store *s = NULL;
    mp_store_close(open_store(NULL));
    snprintf(path, sizeof path, "%s/mpol.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(mp_store_open(dir, NULL, &s, &found, &why), MP_EUNSUPPORTED);
    assert_non_null(strstr(why, "newer"));
    struct mp_store_reader *r = NULL;
    uint64_t removed;
    assert_int_equal(mp_store_reader_open(dir, &r, &why), MP_EUNSUPPORTED);
    assert_int_equal(mp_store_prune(dir, INT64_MAX, &removed, &why), MP_EUNSUPPORTED);
}

static void no_database_is_damaged(void **state)
{
    char path[300];
    struct mp_store *s = NULL;
    snprintf(path, sizeof path, "%s/mpol.db", dir);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 500; i++) fputs("this is no database. ", f);
    fclose(f);
    assert_int_equal(mp_store_open(dir, NULL, &s, &found, &why), MP_ECORRUPT);
}

static uint64_t first_seen, count_seen;

static bool see_entry(void *ctx, uint64_t seq, int64_t time_ns, mp_str json, const uint8_t *hash)
{
    if (count_seen == 0) first_seen = seq;
    count_seen++;
    return true;
}

static void read_all(uint64_t *base, uint8_t hash[MP_STORE_HASH])
{
    struct mp_store_reader *r;
    first_seen = count_seen = 0;
    assert_int_equal(mp_store_reader_open(dir, &r, &why), MP_OK);
    assert_int_equal(mp_store_reader_base(r, base, hash), MP_OK);
    assert_int_equal(mp_store_reader_entries(r, 0, NULL, see_entry), MP_OK);
    mp_store_reader_close(r);
}

static void pruning_leaves_a_base_and_the_newest(void **state)
{
    uint64_t base, removed;
    uint8_t hash[MP_STORE_HASH];
    struct mp_store *s = open_store(NULL);
    for (uint64_t seq = 1; seq <= 10; seq++) put_entry(s, seq, (int64_t)seq);
    assert_int_equal(mp_store_flush(s), MP_OK);
    assert_int_equal(mp_store_prune(dir, 6, &removed, &why), MP_OK);
    assert_int_equal(removed, 5);
    read_all(&base, hash);
    assert_int_equal(base, 5);
    assert_int_equal(hash[0], 5);
    assert_int_equal(first_seen, 6);
    assert_int_equal(mp_store_prune(dir, 1000, &removed, &why), MP_OK);
    read_all(&base, hash);
    assert_int_equal(count_seen, 1);
    assert_int_equal(first_seen, 10);
    mp_store_close(s);
}

static void reading_a_folder_without_a_database_says_so(void **state)
{
    struct mp_store_reader *r = NULL;
    assert_int_equal(mp_store_reader_open(dir, &r, &why), MP_ENOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, drop_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_folder_is_empty),
        TEST(what_was_flushed_is_there_after_a_new_start),
        TEST(closing_writes_what_waits),
        TEST(a_row_is_replaced_and_dropped),
        TEST(the_ring_goes_round),
        TEST(a_batch_larger_than_the_ring_makes_the_empty_ring_grow),
        TEST(the_same_entry_twice_is_one_and_another_is_trouble),
        TEST(a_second_user_is_refused),
        TEST(a_newer_database_is_refused_and_left_alone),
        TEST(no_database_is_damaged),
        TEST(pruning_leaves_a_base_and_the_newest),
        TEST(reading_a_folder_without_a_database_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
