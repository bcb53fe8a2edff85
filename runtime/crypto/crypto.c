/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/crypto.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

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
    if (HMAC(EVP_sha256(), key.ptr, (int)key.len, bytes, message.len, out, &size) == NULL)
        return MP_EIO;
    return MP_OK;
}

enum mp_err mp_crypto_ed25519_verify(mp_str key, mp_str message, mp_str signature)
{
    if (key.len != 32 || signature.len != 64) return MP_EINVAL;
    EVP_PKEY *public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                                       (const unsigned char *)key.ptr, key.len);
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

static EVP_PKEY *private_key(const uint8_t key[MP_ED25519_KEY_BYTES])
{
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key, MP_ED25519_KEY_BYTES);
}

struct mp_signer {
    EVP_PKEY *key;
};

enum mp_err mp_crypto_signer_open(const uint8_t key[MP_ED25519_KEY_BYTES], struct mp_signer **out)
{
    struct mp_signer *signer = malloc(sizeof *signer);
    if (signer == NULL) return MP_ENOMEM;
    signer->key = private_key(key);
    if (signer->key == NULL) {
        free(signer);
        return MP_EIO;
    }
    *out = signer;
    return MP_OK;
}

enum mp_err mp_crypto_sign(const struct mp_signer *signer, mp_str message,
                           uint8_t out[MP_ED25519_SIGNATURE_BYTES])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t size = MP_ED25519_SIGNATURE_BYTES;
    bool done =
        ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, signer->key) == 1 &&
        EVP_DigestSign(ctx, out, &size, (const unsigned char *)message.ptr, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    return done && size == MP_ED25519_SIGNATURE_BYTES ? MP_OK : MP_EIO;
}

void mp_crypto_signer_close(struct mp_signer *signer)
{
    if (signer == NULL) return;
    EVP_PKEY_free(signer->key);
    free(signer);
}

enum mp_err mp_crypto_ed25519_pem(const uint8_t key[MP_ED25519_KEY_BYTES], bool is_private,
                                  char out[MP_ED25519_PEM_MAX], size_t *len)
{
    EVP_PKEY *own = private_key(key);
    BIO *bio = BIO_new(BIO_s_mem());
    bool done = own != NULL && bio != NULL &&
                (is_private ? PEM_write_bio_PKCS8PrivateKey(bio, own, NULL, NULL, 0, NULL, NULL)
                            : PEM_write_bio_PUBKEY(bio, own)) == 1;
    char *text = NULL;
    long size = done ? BIO_get_mem_data(bio, &text) : 0;
    done = size > 0 && size <= MP_ED25519_PEM_MAX;
    if (done) memcpy(out, text, (size_t)size);
    *len = done ? (size_t)size : 0;
    BIO_free(bio);
    EVP_PKEY_free(own);
    return done ? MP_OK : MP_EIO;
}

enum mp_err mp_crypto_ed25519_of_pem(mp_str pem, bool is_private, uint8_t out[MP_ED25519_KEY_BYTES])
{
    BIO *bio = pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    EVP_PKEY *read = NULL;
    size_t size = MP_ED25519_KEY_BYTES;
    if (bio != NULL) {
        read = is_private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL)
                          : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    }
    bool done = read != NULL && EVP_PKEY_id(read) == EVP_PKEY_ED25519 &&
                (is_private ? EVP_PKEY_get_raw_private_key(read, out, &size)
                            : EVP_PKEY_get_raw_public_key(read, out, &size)) == 1;
    EVP_PKEY_free(read);
    BIO_free(bio);
    ERR_clear_error(); /* a text that is no key is an answer, not an error of somebody else */
    return done && size == MP_ED25519_KEY_BYTES ? MP_OK : MP_EINVAL;
}

void mp_crypto_thread_end(void) { OPENSSL_thread_stop(); }
