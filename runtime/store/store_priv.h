/* SPDX-License-Identifier: Apache-2.0
 * store_priv.h - what the files of store share.
 */
#ifndef MP_STORE_STORE_PRIV_H
#define MP_STORE_STORE_PRIV_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "store/store.h"

/* One item in the ring: this, then its bytes, padded to 8. */
enum item_kind { ITEM_ENTRY, ITEM_ROW, ITEM_END, ITEM_WRAP };

struct item {
    uint32_t kind, size_bytes; /* of the whole item, padding included */
    uint32_t row_kind, len;
    uint64_t id; /* seq of an entry */
    int64_t time_ns;
    uint8_t hash[MP_STORE_HASH];
};

struct mp_store {
    int lock_fd;
    char *path; /* of the database */
    sqlite3 *db; /* NULL: it failed, and could not be opened again yet */
    sqlite3_stmt *put_entry, *put_row, *drop_row;
    struct mp_store_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* of everything below but the atomics and the open batch */
    pthread_cond_t work, done;
    char *ring;
    size_t ring_bytes;
    size_t head;  /* first byte that is not written yet */
    size_t tail;  /* end of what was handed over */
    size_t used;  /* bytes between them */
    size_t open_at, open_bytes, open_max; /* of the batch that is being said */
    bool closing, failing;
    uint64_t open_seq;
    _Atomic uint64_t durable;
    _Atomic(const char *) trouble;
};

/* store_thread.c */
void *mp_store_thread(void *store);

/* store.c: opens the database at s->path, brings it up to date, prepares what writes. */
enum mp_err mp_store_database_open(struct mp_store *s, const char **why);
void mp_store_database_close(struct mp_store *s);
int mp_store_user_version(sqlite3 *db); /* -1: it cannot be read */
/* One statement without parameters. */
int mp_store_exec(sqlite3 *db, const char *sql);

#endif
