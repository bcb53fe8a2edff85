/* SPDX-License-Identifier: Apache-2.0
 * Signed roots of the ledger: the hash of the chain at an entry, signed with a key of the state
 * folder. The newest is written with every batch, in the same transaction; beside it one for each
 * 1,024 entries stays. Whoever keeps the public key elsewhere can tell a ledger that was written
 * anew, or cut short, from the one that was signed.
 */
#include "daemon/roots.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_A_ROOT 1024
#define PATH_MAX_BYTES 4200

uint64_t dm_root_id(uint64_t seq) { return 1 + seq / ENTRIES_A_ROOT; }

mp_str dm_root_text(const struct dm_root *root, char out[DM_ROOT_TEXT_MAX])
{
    int len = snprintf(out, DM_ROOT_TEXT_MAX, "mpol ledger root 1\n%" PRIu64 "\n%" PRId64 "\n",
                       root->seq, root->time_ns);
    for (int i = 0; i < MP_STORE_HASH; i++) {
        len += snprintf(out + len, DM_ROOT_TEXT_MAX - (size_t)len, "%02x", root->hash[i]);
    }
    return (mp_str){out, (size_t)len};
}

/* ---- the key ---- */

static enum mp_err read_pem(const char *path, bool is_private, uint8_t out[MP_ED25519_KEY_BYTES])
{
    char text[4096];
    FILE *f = fopen(path, "re");
    if (f == NULL) return errno == ENOENT ? MP_ENOTFOUND : MP_EIO;
    size_t len = fread(text, 1, sizeof text, f);
    fclose(f);
    return mp_crypto_ed25519_of_pem((mp_str){text, len}, is_private, out);
}

enum mp_err dm_root_key_read(const char *path, uint8_t out[MP_ED25519_KEY_BYTES])
{
    return read_pem(path, false, out);
}

/* Whole or not at all: a key that is half written would lock the folder out. */
static enum mp_err write_pem(const char *path, const uint8_t key[MP_ED25519_KEY_BYTES],
                             bool is_private)
{
    char text[MP_ED25519_PEM_MAX], fresh[PATH_MAX_BYTES + 8];
    size_t len;
    MP_TRY(mp_crypto_ed25519_pem(key, is_private, text, &len));
    snprintf(fresh, sizeof fresh, "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, is_private ? 0600 : 0644);
    if (fd < 0) return MP_EIO;
    bool done = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    close(fd);
    return done && rename(fresh, path) == 0 ? MP_OK : MP_EIO;
}

enum mp_err dm_roots_open(struct dm_roots *r, const struct mp_os *os, const char *state_dir)
{
    char path[PATH_MAX_BYTES];
    uint8_t key[MP_ED25519_KEY_BYTES];
    snprintf(path, sizeof path, "%s/ledger.key", state_dir);
    enum mp_err err = read_pem(path, true, key);
    if (err == MP_ENOTFOUND) {
        MP_TRY(os->random(os->ctx, key, sizeof key));
        err = write_pem(path, key, true);
    }
    if (err != MP_OK) return err;
    snprintf(path, sizeof path, "%s/ledger.pub", state_dir);
    if (access(path, F_OK) != 0) MP_TRY(write_pem(path, key, false));
    return mp_crypto_signer_open(key, &r->signer);
}

void dm_roots_close(struct dm_roots *r)
{
    mp_crypto_signer_close(r->signer);
    r->signer = NULL;
}

enum mp_err dm_root_sign(const struct dm_roots *r, struct dm_root *root)
{
    char text[DM_ROOT_TEXT_MAX];
    return mp_crypto_sign(r->signer, dm_root_text(root, text), root->signature);
}
