/* SPDX-License-Identifier: Apache-2.0
 * roots.h - signed roots of the ledger.
 *
 * Owns:    DIR/ledger.key (Ed25519, PEM, mode 0600) and DIR/ledger.pub, which it makes when they
 *          are not there. Callers: keep.c signs, ledger_verbs.c verifies.
 */
#ifndef MP_DAEMON_ROOTS_H
#define MP_DAEMON_ROOTS_H

#include "base/os.h"
#include "crypto/crypto.h"
#include "store/store.h"

/* Up to entry `seq`, which is of that time, the chain has this hash. Kept as it is. */
struct dm_root {
    uint64_t seq;
    int64_t time_ns;
    uint8_t hash[MP_STORE_HASH];
    uint8_t signature[MP_ED25519_SIGNATURE_BYTES];
};

struct dm_roots {
    struct mp_signer *signer; /* of the private key; NULL: not open */
};

#define DM_ROOT_TEXT_MAX 160
/* What is signed: `mpol ledger root 1`, seq, nanoseconds since the epoch, the hash in
 * hexadecimal, a line each, without a line end at the end. */
mp_str dm_root_text(const struct dm_root *root, char out[DM_ROOT_TEXT_MAX]);

/* MP_EINVAL: ledger.key is no key; MP_EIO: it cannot be read or made; MP_ENOMEM. */
enum mp_err dm_roots_open(struct dm_roots *r, const struct mp_os *os, const char *state_dir);
void dm_roots_close(struct dm_roots *r);
/* Fills in root->signature. MP_EIO. */
enum mp_err dm_root_sign(const struct dm_roots *r, struct dm_root *root);
/* The row in which the root of this entry is kept: one for each 1,024 entries, the last of them. */
uint64_t dm_root_id(uint64_t seq);

/* A public key. MP_ENOTFOUND, MP_EINVAL, MP_EIO. */
enum mp_err dm_root_key_read(const char *path, uint8_t out[MP_ED25519_KEY_BYTES]);

#endif
