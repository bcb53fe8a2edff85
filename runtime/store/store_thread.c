/* SPDX-License-Identifier: Apache-2.0
 * The writing thread: takes all batches that are waiting, commits them with one sync, acknowledges.
 */
#include "store/store_priv.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define RETRY_MS 1000 /* a full disk is asked again this often */

static void at_point(struct mp_store *s, enum mp_store_point point)
{
    if (s->options.at_point != NULL) s->options.at_point(s->options.ctx, point);
}

static int run_statement(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* An entry that is there with another hash is not ours: somebody else wrote the database. */
static int put_entry(struct mp_store *s)
{
    int code = run_statement(s->put_entry);
    return code == SQLITE_OK && sqlite3_changes(s->db) != 1 ? SQLITE_CONSTRAINT : code;
}

static int write_item(struct mp_store *s, const struct item *head, const char *bytes)
{
    switch ((enum item_kind)head->kind) {
    case ITEM_ENTRY:
        sqlite3_bind_int64(s->put_entry, 1, (sqlite3_int64)head->id);
        sqlite3_bind_int64(s->put_entry, 2, head->time_ns);
        sqlite3_bind_text(s->put_entry, 3, bytes, (int)head->len, SQLITE_STATIC);
        sqlite3_bind_blob(s->put_entry, 4, head->hash, MP_STORE_HASH, SQLITE_STATIC);
        return put_entry(s);
    case ITEM_ROW:
        if (head->len == 0) {
            sqlite3_bind_int64(s->drop_row, 1, head->row_kind);
            sqlite3_bind_int64(s->drop_row, 2, (sqlite3_int64)head->id);
            return run_statement(s->drop_row);
        }
        sqlite3_bind_int64(s->put_row, 1, head->row_kind);
        sqlite3_bind_int64(s->put_row, 2, (sqlite3_int64)head->id);
        sqlite3_bind_blob(s->put_row, 3, bytes, (int)head->len, SQLITE_STATIC);
        return run_statement(s->put_row);
    case ITEM_END:
    case ITEM_WRAP: break;
    }
    return SQLITE_OK;
}

/* Writes `bytes` of the ring from `at` on; *seq is that of the last whole batch. */
static int write_items(struct mp_store *s, size_t at, size_t bytes, uint64_t *seq)
{
    int code = SQLITE_OK;
    while (bytes > 0 && code == SQLITE_OK) {
        size_t to_end = s->ring_bytes - at;
        struct item head = {.kind = ITEM_WRAP, .size_bytes = (uint32_t)to_end};
        if (to_end >= sizeof head) memcpy(&head, s->ring + at, sizeof head);
        code = write_item(s, &head, s->ring + at + sizeof head);
        if (head.kind == ITEM_END) *seq = head.id;
        bytes -= head.size_bytes;
        at += head.size_bytes;
        if (at == s->ring_bytes) at = 0;
    }
    return code;
}

static int commit(struct mp_store *s, size_t at, size_t bytes, uint64_t *seq)
{
    if (s->db == NULL && mp_store_database_open(s, NULL) != MP_OK) return SQLITE_CANTOPEN;
    at_point(s, MP_STORE_BEFORE_BEGIN);
    int code = mp_store_exec(s->db, "BEGIN IMMEDIATE");
    if (code != SQLITE_OK) return code;
    code = write_items(s, at, bytes, seq);
    at_point(s, MP_STORE_AFTER_ROWS);
    at_point(s, MP_STORE_BEFORE_COMMIT);
    if (code == SQLITE_OK) code = mp_store_exec(s->db, "COMMIT");
    if (code != SQLITE_OK) {
        (void)mp_store_exec(s->db, "ROLLBACK");
        return code;
    }
    at_point(s, MP_STORE_AFTER_COMMIT);
    return SQLITE_OK;
}

/* Somebody else's lock passes; after anything else the descriptor is not to be trusted. */
static void after_failure(struct mp_store *s, int code)
{
    if (code != SQLITE_BUSY) mp_store_database_close(s);
}

/* Waits for work; with trouble, no longer than until the next try. */
static void wait_for_work(struct mp_store *s)
{
    if (!s->failing) {
        while (s->used == 0 && !s->closing) pthread_cond_wait(&s->work, &s->lock);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RETRY_MS / 1000;
    while (!s->closing && pthread_cond_timedwait(&s->work, &s->lock, &until) != ETIMEDOUT) {
    }
}

static void acknowledge(struct mp_store *s, size_t bytes, uint64_t seq)
{
    s->head = (s->head + bytes) % s->ring_bytes;
    s->used -= bytes;
    s->failing = false;
    if (seq > 0) atomic_store(&s->durable, seq);
    atomic_store(&s->trouble, NULL);
    pthread_cond_broadcast(&s->done);
}

void *mp_store_thread(void *store)
{
    struct mp_store *s = store;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        wait_for_work(s);
        size_t at = s->head, bytes = s->used;
        bool last = s->closing;
        if (bytes == 0 && last) break;
        pthread_mutex_unlock(&s->lock);
        uint64_t seq = 0;
        int code = bytes > 0 ? commit(s, at, bytes, &seq) : SQLITE_OK;
        if (code != SQLITE_OK) after_failure(s, code);
        pthread_mutex_lock(&s->lock);
        if (code == SQLITE_OK) {
            acknowledge(s, bytes, seq);
        } else {
            s->failing = true;
            atomic_store(&s->trouble, sqlite3_errstr(code));
            pthread_cond_broadcast(&s->done);
        }
        if (s->options.wake != NULL) s->options.wake(s->options.ctx);
        if (last && code != SQLITE_OK) break; /* nobody is left to wait for a better disk */
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
