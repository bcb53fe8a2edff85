/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mp_store_reader {
    sqlite3 *db;
};

static char why_text[5120]; /* a path and a reason */

static enum mp_err fail(const char *path, sqlite3 *db, const char **why)
{
    int code = db != NULL ? sqlite3_errcode(db) : SQLITE_NOMEM;
    snprintf(why_text, sizeof why_text, "%s: %s", path,
             db != NULL ? sqlite3_errmsg(db) : "out of memory");
    if (why != NULL) *why = why_text;
    if (code == SQLITE_CANTOPEN) return MP_ENOTFOUND;
    return code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? MP_ECORRUPT : MP_EIO;
}

static enum mp_err open_existing(const char *dir, int flags, sqlite3 **out, const char **why)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/mpol.db", dir);
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK) {
        enum mp_err err = fail(path, db, why);
        sqlite3_close(db);
        return err;
    }
    sqlite3_busy_timeout(db, 5000);
    if (mp_store_user_version(db) > MP_STORE_VERSION) {
        snprintf(why_text, sizeof why_text,
                 "%s: a newer mpol wrote this state; it is left as it is", path);
        if (why != NULL) *why = why_text;
        sqlite3_close(db);
        return MP_EUNSUPPORTED;
    }
    *out = db;
    return MP_OK;
}

enum mp_err mp_store_reader_open(const char *dir, struct mp_store_reader **out, const char **why)
{
    struct mp_store_reader *r = calloc(1, sizeof *r);
    if (r == NULL) return MP_ENOMEM;
    enum mp_err err = open_existing(dir, SQLITE_OPEN_READWRITE, &r->db, why);
    if (err != MP_OK) {
        free(r);
        return err;
    }
    *out = r;
    return MP_OK;
}

void mp_store_reader_close(struct mp_store_reader *r)
{
    if (r == NULL) return;
    sqlite3_close(r->db);
    free(r);
}

enum mp_err mp_store_reader_base(struct mp_store_reader *r, uint64_t *seq,
                                 uint8_t hash[MP_STORE_HASH])
{
    sqlite3_stmt *ask = NULL;
    *seq = 0;
    memset(hash, 0, MP_STORE_HASH);
    if (sqlite3_prepare_v2(r->db, "SELECT value FROM meta WHERE name='base'", -1, &ask, NULL) !=
        SQLITE_OK) {
        return MP_ECORRUPT;
    }
    if (sqlite3_step(ask) == SQLITE_ROW && sqlite3_column_bytes(ask, 0) == 8 + MP_STORE_HASH) {
        const char *bytes = sqlite3_column_blob(ask, 0);
        memcpy(seq, bytes, 8);
        memcpy(hash, bytes + 8, MP_STORE_HASH);
    }
    sqlite3_finalize(ask);
    return MP_OK;
}

enum mp_err mp_store_reader_entries(struct mp_store_reader *r, uint64_t after, void *ctx,
                                    bool (*entry)(void *ctx, uint64_t seq, int64_t time_ns,
                                                  mp_str json, const uint8_t hash[MP_STORE_HASH]))
{
    sqlite3_stmt *ask = NULL;
    const char *sql = "SELECT seq, time_ns, json, hash FROM entry WHERE seq > ? ORDER BY seq";
    if (sqlite3_prepare_v2(r->db, sql, -1, &ask, NULL) != SQLITE_OK) return MP_ECORRUPT;
    sqlite3_bind_int64(ask, 1, (sqlite3_int64)after);
    int code;
    bool more = true;
    while (more && (code = sqlite3_step(ask)) == SQLITE_ROW) {
        uint8_t hash[MP_STORE_HASH] = {0};
        if (sqlite3_column_bytes(ask, 3) == MP_STORE_HASH) {
            memcpy(hash, sqlite3_column_blob(ask, 3), MP_STORE_HASH);
        }
        mp_str json = {(const char *)sqlite3_column_text(ask, 2),
                       (size_t)sqlite3_column_bytes(ask, 2)};
        more = entry(ctx, (uint64_t)sqlite3_column_int64(ask, 0), sqlite3_column_int64(ask, 1),
                     json, hash);
    }
    sqlite3_finalize(ask);
    return !more || code == SQLITE_DONE ? MP_OK : MP_ECORRUPT;
}

enum mp_err mp_store_reader_rows(struct mp_store_reader *r, uint32_t kind, void *ctx,
                                 bool (*row)(void *ctx, uint64_t id, mp_str bytes))
{
    sqlite3_stmt *ask = NULL;
    const char *sql = "SELECT id, bytes FROM state WHERE kind = ? ORDER BY id";
    if (sqlite3_prepare_v2(r->db, sql, -1, &ask, NULL) != SQLITE_OK) return MP_ECORRUPT;
    sqlite3_bind_int64(ask, 1, (sqlite3_int64)kind);
    int code;
    bool more = true;
    while (more && (code = sqlite3_step(ask)) == SQLITE_ROW) {
        mp_str bytes = {sqlite3_column_blob(ask, 1), (size_t)sqlite3_column_bytes(ask, 1)};
        more = row(ctx, (uint64_t)sqlite3_column_int64(ask, 0), bytes);
    }
    sqlite3_finalize(ask);
    return !more || code == SQLITE_DONE ? MP_OK : MP_ECORRUPT;
}

/* ---- pruning ---- */

/* The newest entry that may go: all up to it are older, and one stays behind it. */
static int last_to_go(sqlite3 *db, int64_t before_ns, uint64_t *seq, uint8_t hash[MP_STORE_HASH])
{
    sqlite3_stmt *ask = NULL;
    const char *sql =
        "SELECT seq, hash FROM entry WHERE seq < (SELECT COALESCE(MIN(seq), "
        "(SELECT MAX(seq) FROM entry)) FROM entry WHERE time_ns >= ?) ORDER BY seq DESC LIMIT 1";
    int code = sqlite3_prepare_v2(db, sql, -1, &ask, NULL);
    *seq = 0;
    if (code != SQLITE_OK) return code;
    sqlite3_bind_int64(ask, 1, before_ns);
    code = sqlite3_step(ask);
    if (code == SQLITE_ROW && sqlite3_column_bytes(ask, 1) == MP_STORE_HASH) {
        *seq = (uint64_t)sqlite3_column_int64(ask, 0);
        memcpy(hash, sqlite3_column_blob(ask, 1), MP_STORE_HASH);
        code = SQLITE_DONE;
    }
    sqlite3_finalize(ask);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int put_base(sqlite3 *db, uint64_t seq, const uint8_t hash[MP_STORE_HASH])
{
    char bytes[8 + MP_STORE_HASH];
    sqlite3_stmt *put = NULL;
    memcpy(bytes, &seq, 8);
    memcpy(bytes + 8, hash, MP_STORE_HASH);
    int code = sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO meta(name, value) VALUES('base', ?)",
                                  -1, &put, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_blob(put, 1, bytes, sizeof bytes, SQLITE_STATIC);
        code = sqlite3_step(put) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(db);
    }
    sqlite3_finalize(put);
    return code;
}

static int remove_up_to(sqlite3 *db, uint64_t seq, uint64_t *removed)
{
    sqlite3_stmt *drop = NULL;
    int code = sqlite3_prepare_v2(db, "DELETE FROM entry WHERE seq <= ?", -1, &drop, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(drop, 1, (sqlite3_int64)seq);
        code = sqlite3_step(drop) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(db);
        *removed = (uint64_t)sqlite3_changes(db);
    }
    sqlite3_finalize(drop);
    return code;
}

enum mp_err mp_store_prune(const char *dir, int64_t before_ns, uint64_t *removed, const char **why)
{
    sqlite3 *db;
    uint64_t seq, gone = 0;
    uint8_t hash[MP_STORE_HASH];
    MP_TRY(open_existing(dir, SQLITE_OPEN_READWRITE, &db, why));
    int code = mp_store_exec(db, "BEGIN IMMEDIATE");
    if (code == SQLITE_OK) code = last_to_go(db, before_ns, &seq, hash);
    if (code == SQLITE_OK && seq > 0) code = put_base(db, seq, hash);
    if (code == SQLITE_OK && seq > 0) code = remove_up_to(db, seq, &gone);
    if (code == SQLITE_OK) code = mp_store_exec(db, "COMMIT");
    enum mp_err err = code == SQLITE_OK ? MP_OK : fail(dir, db, why);
    sqlite3_close(db);
    if (err == MP_OK) *removed = gone;
    return err;
}
