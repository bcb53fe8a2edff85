/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#define RING_BYTES (8u * 1024 * 1024)
/* LIMIT: of the ring, for one batch larger than it was */
#define RING_BYTES_MAX (256u * 1024 * 1024)
#define BUSY_MS 5000 /* LIMIT: how long pruning or a reader may hold the writer up */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS entry(seq INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL,"
    " json TEXT NOT NULL, hash BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS state(kind INTEGER, id INTEGER, bytes BLOB NOT NULL,"
    " PRIMARY KEY(kind, id)) WITHOUT ROWID;";

/* Steps from version i to i + 1; the database begins at version 1. */
static const char *const migrations[MP_STORE_VERSION] = {schema};

static char why_text[5120]; /* a path and a reason */

static enum mp_err fail(enum mp_err err, const char **why, const char *what, const char *detail)
{
    if (why == NULL) return err;
    snprintf(why_text, sizeof why_text, "%s: %s", what, detail);
    *why = why_text;
    return err;
}

int mp_store_exec(sqlite3 *db, const char *sql) { return sqlite3_exec(db, sql, NULL, NULL, NULL); }

/* ---- opening ---- */

static enum mp_err take_folder(const char *dir, int *lock_fd, const char **why)
{
    char path[4096];
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) return fail(MP_EIO, why, dir, strerror(errno));
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fail(MP_EIO, why, path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return fail(MP_EEXIST, why, dir,
                    "another mpol runs on this state; stop it, or give another --state");
    }
    char pid[32];
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || write(fd, pid, (size_t)len) != len) {
        close(fd);
        return fail(MP_EIO, why, path, strerror(errno));
    }
    *lock_fd = fd;
    return MP_OK;
}

int mp_store_user_version(sqlite3 *db)
{
    sqlite3_stmt *ask = NULL;
    int version = -1;
    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &ask, NULL) == SQLITE_OK &&
        sqlite3_step(ask) == SQLITE_ROW) {
        version = sqlite3_column_int(ask, 0);
    }
    sqlite3_finalize(ask);
    return version;
}

/* Each step and its new number are one transaction: a crash in between changes nothing. */
static enum mp_err migrate(sqlite3 *db, int version, const char **why)
{
    for (; version < MP_STORE_VERSION; version++) {
        char number[64];
        snprintf(number, sizeof number, "PRAGMA user_version=%d", version + 1);
        if (mp_store_exec(db, "BEGIN IMMEDIATE") != SQLITE_OK ||
            mp_store_exec(db, migrations[version]) != SQLITE_OK ||
            mp_store_exec(db, number) != SQLITE_OK || mp_store_exec(db, "COMMIT") != SQLITE_OK) {
            return fail(MP_EIO, why, "mpol.db", sqlite3_errmsg(db));
        }
    }
    return MP_OK;
}

static int prepare(struct mp_store *s, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v2(s->db, sql, -1, out, NULL);
}

/* The same entry twice is one: a batch whose COMMIT failed may be durable all the same. */
static const char put_entry[] =
    "INSERT INTO entry(seq, time_ns, json, hash) VALUES(?,?,?,?)"
    " ON CONFLICT(seq) DO UPDATE SET time_ns=excluded.time_ns WHERE hash=excluded.hash";

static enum mp_err open_failed(struct mp_store *s, const char **why)
{
    int code = s->db != NULL ? sqlite3_errcode(s->db) : SQLITE_NOMEM;
    const char *text = s->db != NULL ? sqlite3_errmsg(s->db) : "out of memory";
    return fail(code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? MP_ECORRUPT : MP_EIO, why,
                s->path, text);
}

static enum mp_err set_up(struct mp_store *s, const char **why)
{
    int version = mp_store_user_version(s->db);
    if (version > MP_STORE_VERSION) {
        return fail(MP_EUNSUPPORTED, why, s->path,
                    "a newer mpol wrote this state; it is left as it is");
    }
    if (version < 0 || mp_store_exec(s->db, "PRAGMA journal_mode=WAL") != SQLITE_OK ||
        mp_store_exec(s->db, "PRAGMA synchronous=FULL") != SQLITE_OK) {
        return open_failed(s, why);
    }
    MP_TRY(migrate(s->db, version, why));
    int code = prepare(s, put_entry, &s->put_entry);
    if (code == SQLITE_OK) {
        code =
            prepare(s, "INSERT OR REPLACE INTO state(kind, id, bytes) VALUES(?,?,?)", &s->put_row);
    }
    if (code == SQLITE_OK)
        code = prepare(s, "DELETE FROM state WHERE kind=? AND id=?", &s->drop_row);
    return code == SQLITE_OK ? MP_OK : open_failed(s, why);
}

enum mp_err mp_store_database_open(struct mp_store *s, const char **why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
    enum mp_err err = MP_OK;
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK) {
        err = open_failed(s, why);
    } else {
        sqlite3_busy_timeout(s->db, BUSY_MS);
        err = set_up(s, why);
    }
    if (err != MP_OK) mp_store_database_close(s);
    return err;
}

void mp_store_database_close(struct mp_store *s)
{
    sqlite3_finalize(s->put_entry);
    sqlite3_finalize(s->put_row);
    sqlite3_finalize(s->drop_row);
    s->put_entry = s->put_row = s->drop_row = NULL;
    sqlite3_close(s->db);
    s->db = NULL;
}

static void read_base(sqlite3 *db, struct mp_store_found *found)
{
    sqlite3_stmt *ask = NULL;
    if (sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE name='base'", -1, &ask, NULL) ==
            SQLITE_OK &&
        sqlite3_step(ask) == SQLITE_ROW && sqlite3_column_bytes(ask, 0) == 8 + MP_STORE_HASH) {
        const char *bytes = sqlite3_column_blob(ask, 0);
        memcpy(&found->seq, bytes, 8);
        memcpy(found->hash, bytes + 8, MP_STORE_HASH);
    }
    sqlite3_finalize(ask);
}

static enum mp_err find_newest(struct mp_store *s, struct mp_store_found *found, const char **why)
{
    sqlite3_stmt *ask = NULL;
    *found = (struct mp_store_found){0};
    read_base(s->db, found);
    const char *sql = "SELECT seq, time_ns, hash FROM entry ORDER BY seq DESC LIMIT 1";
    int code = sqlite3_prepare_v2(s->db, sql, -1, &ask, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(ask);
    if (code == SQLITE_ROW && sqlite3_column_bytes(ask, 2) == MP_STORE_HASH) {
        found->seq = (uint64_t)sqlite3_column_int64(ask, 0);
        found->time_ns = sqlite3_column_int64(ask, 1);
        memcpy(found->hash, sqlite3_column_blob(ask, 2), MP_STORE_HASH);
        code = SQLITE_DONE;
    }
    sqlite3_finalize(ask);
    return code == SQLITE_DONE ? MP_OK : fail(MP_ECORRUPT, why, "mpol.db", sqlite3_errmsg(s->db));
}

static enum mp_err start_thread(struct mp_store *s, const char **why)
{
    s->ring_bytes = s->options.ring_bytes > 0 ? s->options.ring_bytes : RING_BYTES;
    s->ring_bytes &= ~(size_t)7; /* items are whole words */
    s->ring = malloc(s->ring_bytes);
    if (s->ring == NULL) return fail(MP_ENOMEM, why, "store", "out of memory");
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->done, NULL);
    if (pthread_create(&s->thread, NULL, mp_store_thread, s) != 0) {
        return fail(MP_ENOMEM, why, "store", "no thread can be made");
    }
    return MP_OK;
}

static void give_back(struct mp_store *s)
{
    mp_store_database_close(s);
    free(s->path);
    if (s->lock_fd >= 0) close(s->lock_fd);
    free(s->ring);
    free(s);
}

enum mp_err mp_store_open(const char *dir, const struct mp_store_options *options,
                          struct mp_store **out, struct mp_store_found *found, const char **why)
{
    struct mp_store *s = calloc(1, sizeof *s);
    if (s == NULL) return fail(MP_ENOMEM, why, "store", "out of memory");
    s->lock_fd = -1;
    if (options != NULL) s->options = *options;
    struct mp_store_found newest;
    enum mp_err err = take_folder(dir, &s->lock_fd, why);
    if (err == MP_OK && asprintf(&s->path, "%s/mpol.db", dir) < 0) {
        s->path = NULL;
        err = fail(MP_ENOMEM, why, "store", "out of memory");
    }
    if (err == MP_OK) err = mp_store_database_open(s, why);
    if (err == MP_OK) err = find_newest(s, &newest, why);
    if (err == MP_OK) {
        atomic_store(&s->durable, newest.seq);
        err = start_thread(s, why);
    }
    if (err != MP_OK) {
        give_back(s);
        return err;
    }
    *found = newest;
    *out = s;
    return MP_OK;
}

void mp_store_close(struct mp_store *s)
{
    if (s == NULL) return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->done);
    give_back(s);
}

enum mp_err mp_store_load(struct mp_store *s, void *ctx,
                          enum mp_err (*row)(void *ctx, uint32_t kind, uint64_t id, mp_str bytes))
{
    sqlite3_stmt *ask = NULL;
    enum mp_err err = MP_OK;
    if (sqlite3_prepare_v2(s->db, "SELECT kind, id, bytes FROM state ORDER BY kind, id", -1, &ask,
                           NULL) != SQLITE_OK) {
        return MP_ECORRUPT;
    }
    int code;
    while (err == MP_OK && (code = sqlite3_step(ask)) == SQLITE_ROW) {
        mp_str bytes = {sqlite3_column_blob(ask, 2), (size_t)sqlite3_column_bytes(ask, 2)};
        err = row(ctx, (uint32_t)sqlite3_column_int(ask, 0), (uint64_t)sqlite3_column_int64(ask, 1),
                  bytes);
    }
    if (err == MP_OK && code != SQLITE_DONE) err = MP_ECORRUPT;
    sqlite3_finalize(ask);
    return err;
}

/* ---- batches ----
 * A batch lies in the ring in one piece; where it would cross the end, a WRAP item fills what is
 * left. */

size_t mp_store_item_bytes(size_t len) { return (sizeof(struct item) + len + 7) & ~(size_t)7; }

/* A batch larger than the ring, as after a long time without a disk, makes the empty ring grow. */
static void grow_ring(struct mp_store *s, size_t bytes)
{
    if (bytes <= s->ring_bytes || bytes > RING_BYTES_MAX) return;
    char *grown = realloc(s->ring, bytes);
    if (grown == NULL) return;
    s->ring = grown;
    s->ring_bytes = bytes;
}

bool mp_store_begin(struct mp_store *s, size_t bytes)
{
    MP_ASSERT(s->open_max == 0);
    bytes += mp_store_item_bytes(0); /* its END */
    pthread_mutex_lock(&s->lock);
    if (s->used == 0) {
        s->head = s->tail = 0;
        grow_ring(s, bytes);
    }
    size_t to_end = s->ring_bytes - s->tail;
    size_t skip = bytes <= to_end ? 0 : to_end;
    bool fits = !s->failing && skip + bytes <= s->ring_bytes - s->used;
    if (fits && skip > 0) {
        if (skip >= sizeof(struct item)) {
            struct item wrap = {.kind = ITEM_WRAP, .size_bytes = (uint32_t)skip};
            memcpy(s->ring + s->tail, &wrap, sizeof wrap);
        }
        s->used += skip;
        s->tail = 0;
    }
    pthread_mutex_unlock(&s->lock);
    if (!fits) return false;
    s->open_at = s->tail;
    s->open_bytes = 0;
    s->open_max = bytes;
    return true;
}

static void put_item(struct mp_store *s, struct item head, mp_str bytes)
{
    head.size_bytes = (uint32_t)mp_store_item_bytes(bytes.len);
    head.len = (uint32_t)bytes.len;
    MP_ASSERT(s->open_bytes + head.size_bytes <= s->open_max);
    char *at = s->ring + s->open_at + s->open_bytes;
    memcpy(at, &head, sizeof head);
    if (bytes.len > 0) memcpy(at + sizeof head, bytes.ptr, bytes.len);
    s->open_bytes += head.size_bytes;
}

void mp_store_entry(struct mp_store *s, uint64_t seq, int64_t time_ns, mp_str json,
                    const uint8_t hash[MP_STORE_HASH])
{
    struct item head = {.kind = ITEM_ENTRY, .id = seq, .time_ns = time_ns};
    memcpy(head.hash, hash, MP_STORE_HASH);
    put_item(s, head, json);
    s->open_seq = seq;
}

void mp_store_row(struct mp_store *s, uint32_t kind, uint64_t id, mp_str bytes)
{
    put_item(s, (struct item){.kind = ITEM_ROW, .row_kind = kind, .id = id}, bytes);
}

void mp_store_end(struct mp_store *s)
{
    put_item(s, (struct item){.kind = ITEM_END, .id = s->open_seq}, MP_STR(""));
    pthread_mutex_lock(&s->lock);
    s->tail = (s->tail + s->open_bytes) % s->ring_bytes;
    s->used += s->open_bytes;
    s->open_max = 0;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

uint64_t mp_store_durable(const struct mp_store *s) { return atomic_load(&s->durable); }
const char *mp_store_trouble(const struct mp_store *s) { return atomic_load(&s->trouble); }

enum mp_err mp_store_flush(struct mp_store *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->used > 0 && !s->failing) pthread_cond_wait(&s->done, &s->lock);
    enum mp_err err = s->used > 0 ? MP_EIO : MP_OK;
    pthread_mutex_unlock(&s->lock);
    return err;
}
