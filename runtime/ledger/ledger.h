/* SPDX-License-Identifier: Apache-2.0
 * ledger.h - what happened, in order, in a form that cannot be changed unseen.
 *
 * Owns:    the sequence number, the canonical text of an entry, the hash chain, and the newest
 *          entries in memory for readers.
 * Callers: engine appends; store, command and tests read. Threads: one at a time.
 * Memory:  everything from the arena given to create; full forgets the oldest entry.
 *
 * Canonical text: one JSON object (RFC 8259) with the members `seq time machine rule key incident
 * rung lease verb target args from to cause`, in this order, without white space. Chain: hash(n)
 * = SHA-256(hash(n-1) ‖ text(n)), hash(0) = zeros.
 */
#ifndef MP_LEDGER_LEDGER_H
#define MP_LEDGER_LEDGER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/os.h"
#include "schema/flow.h"

#define MP_LEDGER_HASH 32
#define MP_LEDGER_LINE_MAX (128u * 1024u)
#define MP_LEDGER_TEXT_MAX 1024u /* bytes of one text in an entry; longer ones are cut */

struct mp_ledger;

/* ring_bytes: for the texts of the newest entries. MP_ENOMEM. */
enum mp_err mp_ledger_create(struct mp_arena *a, const struct mp_os *os, size_t ring_bytes,
                             struct mp_ledger **out);

/* Gives the entry its seq, continues the chain, keeps the text. *json is good until the next
 * append. */
void mp_ledger_append(struct mp_ledger *l, struct mp_entry *entry, mp_str *json);

/* The chain goes on after `seq`, whose hash is given: after a restart, before the first append. */
void mp_ledger_continue(struct mp_ledger *l, uint64_t seq, const uint8_t hash[MP_LEDGER_HASH]);

uint64_t mp_ledger_seq(const struct mp_ledger *l);
/* Zeros where os has no digest. */
void mp_ledger_hash(const struct mp_ledger *l, uint8_t out[MP_LEDGER_HASH]);

/* The entries after `after` that are kept, oldest first, until `each` answers false. MP_ELIMIT:
 * some after it are kept no more. */
enum mp_err mp_ledger_read(const struct mp_ledger *l, uint64_t after, void *ctx,
                           bool (*each)(void *ctx, uint64_t seq, mp_str json));

/* One link of the chain, for whoever verifies a kept ledger: *hash becomes that of `json` after it.
 * MP_EUNSUPPORTED without a digest; MP_ELIMIT for text longer than MP_LEDGER_LINE_MAX. */
enum mp_err mp_ledger_link(const struct mp_os *os, mp_str json, uint8_t hash[MP_LEDGER_HASH]);

/* The canonical text of an entry into `out`, which has room for MP_LEDGER_LINE_MAX; its length. */
size_t mp_ledger_line(const struct mp_entry *entry, char *out);

#endif
