/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum mp_err mp_crypto_sha256(const void *bytes, size_t len, uint8_t out[MP_SHA256_BYTES])
{
    unsigned size = MP_SHA256_BYTES;
    return EVP_Digest(bytes, len, out, &size, EVP_sha256(), NULL) == 1 ? MP_OK : MP_EIO;
}

enum mp_err mp_crypto_hmac_sha256(mp_str key, mp_str message, uint8_t out[MP_SHA256_BYTES])
{
    unsigned size = MP_SHA256_BYTES;
    if (key.len > INT32_MAX) return MP_EINVAL;
    const unsigned char *bytes = (const unsigned char *)message.ptr;
    if (HMAC(EVP_sha256(), key.ptr, (int)key.len, bytes, message.len, out, &size) == NULL) return MP_EIO;
    return MP_OK;
}

enum mp_err mp_crypto_ed25519_verify(mp_str key, mp_str message, mp_str signature)
{
    if (key.len != 32 || signature.len != 64) return MP_EINVAL;
    EVP_PKEY *public_key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)key.ptr, key.len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    enum mp_err err = MP_EDENIED;
    if (public_key == NULL || ctx == NULL) {
        err = MP_EINVAL;
    } else if (EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public_key) == 1 &&
               EVP_DigestVerify(ctx, (const unsigned char *)signature.ptr, signature.len,
                                (const unsigned char *)message.ptr, message.len) == 1) {
        err = MP_OK;
    }
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(public_key);
    return err;
}

void mp_crypto_thread_end(void) { OPENSSL_thread_stop(); }
