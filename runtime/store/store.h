/* SPDX-License-Identifier: Apache-2.0
 * store.h - what must survive a crash: the ledger and the engine's state, in one SQLite database.
 *
 * Owns:    a folder with a lock, the database, and one thread that writes. What the engine says
 *          between mp_store_begin and mp_store_end becomes durable as a whole or not at all;
 *          several such batches share one sync (group commit).
 * Callers: daemon (one thread submits), the command's ledger verbs (reading).
 * Memory:  a ring between the two threads; a batch that does not fit is refused, and the engine
 *          then decides nothing new (design: §8). Only a batch that would never fit makes it
 *          grow.
 * Durable: SQLite in WAL mode with synchronous=FULL. A batch is acknowledged after its COMMIT
 *          returned. After a failed write or sync the database is closed and opened again before
 *          the batch is tried anew: what a file descriptor says after a failed sync means
 *          nothing.
 */
#ifndef MP_STORE_STORE_H
#define MP_STORE_STORE_H

#include "base/err.h"
#include "base/os.h"
#include "base/str.h"

/* The layout of the database. An older one is brought up to date when it is opened; a newer one is
 * refused. */
#define MP_STORE_VERSION 1
#define MP_STORE_HASH 32

struct mp_store;

/* Where a crash can happen, for tests that make one happen there. */
enum mp_store_point {
    MP_STORE_BEFORE_BEGIN,
    MP_STORE_AFTER_ROWS,
    MP_STORE_BEFORE_COMMIT,
    MP_STORE_AFTER_COMMIT,
    MP_STORE_POINTS
};

struct mp_store_options {
    size_t ring_bytes; /* 0: 8 MiB */
    /* Called on the writing thread after a commit or a change of health; may be NULL. */
    void (*wake)(void *ctx);
    /* Called on the writing thread at every point; NULL but in tests. */
    void (*at_point)(void *ctx, enum mp_store_point point);
    void *ctx;
};

/* What was found at the start. */
struct mp_store_found {
    uint64_t seq;                 /* of the newest entry, 0: none */
    uint8_t hash[MP_STORE_HASH];  /* of the chain up to it */
    int64_t time_ns;              /* of the newest entry */
};

/* Opens or makes DIR/mpol.db, DIR with mode 0700. MP_EEXIST: another process has it.
 * MP_EUNSUPPORTED: a newer mpol wrote it. MP_ECORRUPT, MP_EIO. `why` receives a text that lives
 * until the next open. */
enum mp_err mp_store_open(const char *dir, const struct mp_store_options *options,
                          struct mp_store **out, struct mp_store_found *found, const char **why);
/* Writes what is waiting, ends the thread, gives the folder back. */
void mp_store_close(struct mp_store *s);

/* ---- at the start, before the first batch ---- */
/* Every kept row of state, by kind and id, until `row` answers other than MP_OK, which is the
 * answer. */
enum mp_err mp_store_load(struct mp_store *s, void *ctx,
                          enum mp_err (*row)(void *ctx, uint32_t kind, uint64_t id, mp_str bytes));

/* ---- one batch ---- */
/* False: the ring has no room for a batch of `bytes`, or the disk failed;
 * nothing has been begun. */
bool mp_store_begin(struct mp_store *s, size_t bytes);
void mp_store_entry(struct mp_store *s, uint64_t seq, int64_t time_ns, mp_str json,
                    const uint8_t hash[MP_STORE_HASH]);
/* Empty bytes delete the row. */
void mp_store_row(struct mp_store *s, uint32_t kind, uint64_t id, mp_str bytes);
/* Hands the batch to the writer. */
void mp_store_end(struct mp_store *s);
/* Room that one entry or row of `len` bytes takes in a batch. */
size_t mp_store_item_bytes(size_t len);

/* Every entry up to this one is durable. */
uint64_t mp_store_durable(const struct mp_store *s);
/* The last write failed and is tried again; the text says why. NULL: all is well. */
const char *mp_store_trouble(const struct mp_store *s);
/* Waits until everything handed over is durable. MP_EIO where it cannot be. */
enum mp_err mp_store_flush(struct mp_store *s);

/* ---- reading a folder that may be in use ---- */
struct mp_store_reader;
enum mp_err mp_store_reader_open(const char *dir, struct mp_store_reader **out, const char **why);
void mp_store_reader_close(struct mp_store_reader *r);
/* Where the chain begins: 0 and zeros, or what pruning left. */
enum mp_err mp_store_reader_base(struct mp_store_reader *r, uint64_t *seq,
                                 uint8_t hash[MP_STORE_HASH]);
/* Entries after `after`, in order, until `entry` answers false. */
enum mp_err mp_store_reader_entries(struct mp_store_reader *r, uint64_t after, void *ctx,
                                    bool (*entry)(void *ctx, uint64_t seq, int64_t time_ns,
                                                  mp_str json, const uint8_t hash[MP_STORE_HASH]));
/* Rows of state of one kind, by id, until `row` answers false. */
enum mp_err mp_store_reader_rows(struct mp_store_reader *r, uint32_t kind, void *ctx,
                                 bool (*row)(void *ctx, uint64_t id, mp_str bytes));
/* Removes entries older than `before_ns`, but never the newest; the chain is verifiable from
 * where it then begins. *removed says how many. Also while a daemon runs on the folder. */
enum mp_err mp_store_prune(const char *dir, int64_t before_ns, uint64_t *removed, const char **why);

#endif
