/* SPDX-License-Identifier: Apache-2.0
 * crypto.h - digests, signatures and message codes, all of them OpenSSL's.
 *
 * Owns:    nothing; every call stands alone.
 * Callers: runtime/os fills struct mp_os with these; the daemon signs webhooks.
 * Threads: any.
 */
#ifndef MP_CRYPTO_CRYPTO_H
#define MP_CRYPTO_CRYPTO_H

#include "base/err.h"
#include "base/str.h"

#define MP_SHA256_BYTES 32

/* SHA-256 (FIPS 180-4). MP_EIO where the library cannot. */
enum mp_err mp_crypto_sha256(const void *bytes, size_t len, uint8_t out[MP_SHA256_BYTES]);
/* HMAC-SHA-256 (RFC 2104). */
enum mp_err mp_crypto_hmac_sha256(mp_str key, mp_str message, uint8_t out[MP_SHA256_BYTES]);
/* Ed25519 (RFC 8032) with a raw key of 32 bytes and a signature of 64. MP_EINVAL: wrong sizes;
 * MP_EDENIED: the signature is not of that key and message. */
enum mp_err mp_crypto_ed25519_verify(mp_str key, mp_str message, mp_str signature);

/* Before a thread ends that used any of these, or a library that uses OpenSSL: gives back what OpenSSL
 * keeps for the thread. */
void mp_crypto_thread_end(void);

#endif
