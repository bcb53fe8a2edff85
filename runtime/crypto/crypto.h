/* SPDX-License-Identifier: Apache-2.0
 * crypto.h - digests, signatures and message codes, all of them OpenSSL's.
 *
 * Owns:    nothing but signers; every other call stands alone.
 * Callers: runtime/os fills struct mp_os with these; the daemon signs webhooks.
 * Threads: any.
 */
#ifndef MP_CRYPTO_CRYPTO_H
#define MP_CRYPTO_CRYPTO_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

#define MP_SHA256_BYTES 32
#define MP_ED25519_KEY_BYTES 32
#define MP_ED25519_SIGNATURE_BYTES 64
#define MP_ED25519_PEM_MAX 256

/* SHA-256 (FIPS 180-4). MP_EIO where the library cannot. */
enum mp_err mp_crypto_sha256(const void *bytes, size_t len, uint8_t out[MP_SHA256_BYTES]);
/* HMAC-SHA-256 (RFC 2104). */
enum mp_err mp_crypto_hmac_sha256(mp_str key, mp_str message, uint8_t out[MP_SHA256_BYTES]);
/* Ed25519 (RFC 8032) with a raw key of 32 bytes and a signature of 64. MP_EINVAL: wrong sizes;
 * MP_EDENIED: the signature is not of that key and message. */
enum mp_err mp_crypto_ed25519_verify(mp_str key, mp_str message, mp_str signature);
/* The private key of 32 bytes (RFC 8032 §5.1.5: the seed), ready to sign: that costs more than to
 * sign. One thread at a time. MP_ENOMEM; MP_EIO where the library cannot. */
struct mp_signer;
enum mp_err mp_crypto_signer_open(const uint8_t key[MP_ED25519_KEY_BYTES], struct mp_signer **out);
/* MP_EIO where the library cannot. */
enum mp_err mp_crypto_sign(const struct mp_signer *signer, mp_str message,
                           uint8_t out[MP_ED25519_SIGNATURE_BYTES]);
/* NULL is nothing. */
void mp_crypto_signer_close(struct mp_signer *signer);
/* Keys as the files of others have them (RFC 8410, PEM): the private key of `key`, or its public
 * half;
 * *len is the length. MP_EIO. */
enum mp_err mp_crypto_ed25519_pem(const uint8_t key[MP_ED25519_KEY_BYTES], bool is_private,
                                  char out[MP_ED25519_PEM_MAX], size_t *len);
/* And back: 32 raw bytes. MP_EINVAL: no PEM of such a key. */
enum mp_err mp_crypto_ed25519_of_pem(mp_str pem, bool is_private,
                                     uint8_t out[MP_ED25519_KEY_BYTES]);

/* Before a thread ends that used any of these, or a library that uses OpenSSL: gives back what
 * OpenSSL keeps for the thread. */
void mp_crypto_thread_end(void);

#endif
