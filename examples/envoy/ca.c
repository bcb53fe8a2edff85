/* SPDX-License-Identifier: Apache-2.0
 * A throw-away CA: it lives in the folder of one run. Its key never leaves this process; those of
 * the identities are files, because Envoy reads files.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "shop.h"

#define VALID_S 3600 /* an example takes minutes */

const char *const shop_identities[IDENTITIES] = {
    [ID_GATEWAY] = SHOP_ID("gateway"), [ID_CHECKOUT] = SHOP_ID("checkout"),
    [ID_CATALOG] = SHOP_ID("catalog"), [ID_ACCOUNT] = SHOP_ID("account"),
    [ID_EDGE] = SHOP_ID("edge"),       [ID_CART] = SHOP_ID("cart"),
    [ID_REPORT] = SHOP_ID("report"),   [ID_BATCH] = SHOP_ID("batch"),
    [ID_EXPORT] = SHOP_ID("export"),
};

struct issuer {
    X509 *cert;
    EVP_PKEY *key;
};

const char *ca_name(enum identity id) { return strrchr(shop_identities[id], '/') + 1; }

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool added = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

/* With a subject, a serial number and an hour to live; the key is that of the certificate. */
static X509 *begin(EVP_PKEY *key, const char *common_name, long serial)
{
    X509 *cert = X509_new();
    if (cert == NULL) return NULL;
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)common_name, -1, -1, 0);
    X509_set_pubkey(cert, key);
    return cert;
}

static bool write_pem(const char *name, const char *suffix, X509 *cert, EVP_PKEY *key)
{
    char path[SHOP_PATH];
    int fd = open(shop_path(path, "%s.%s", name, suffix), O_WRONLY | O_CREAT | O_EXCL, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file == NULL) return false;
    bool written = cert != NULL ? PEM_write_X509(file, cert) == 1
                                : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
    return fclose(file) == 0 && written;
}

static bool root(struct issuer *ca)
{
    ca->key = EVP_EC_gen("P-256");
    ca->cert = ca->key != NULL ? begin(ca->key, "shop: a CA for one run", 1) : NULL;
    if (ca->cert == NULL) return false;
    X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert));
    return extend(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           extend(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           extend(ca->cert, ca->cert, NID_subject_key_identifier, "hash") &&
           X509_sign(ca->cert, ca->key, EVP_sha256()) > 0 && write_pem("ca", "pem", ca->cert, NULL);
}

/* As SPIFFE wants it: exactly one URI among the alternative names. */
static bool leaf(const struct issuer *ca, enum identity id)
{
    char names[160];
    snprintf(names, sizeof names, "URI:%s,IP:127.0.0.1", shop_identities[id]);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key != NULL ? begin(key, ca_name(id), 100 + (long)id) : NULL;
    bool made = cert != NULL && X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1 &&
                extend(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
                extend(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
                extend(cert, ca->cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
                extend(cert, ca->cert, NID_subject_alt_name, names) &&
                X509_sign(cert, ca->key, EVP_sha256()) > 0 &&
                write_pem(ca_name(id), "pem", cert, NULL) &&
                write_pem(ca_name(id), "key", NULL, key);
    X509_free(cert);
    EVP_PKEY_free(key);
    return made;
}

bool ca_make(void)
{
    struct issuer ca = {0};
    bool made = root(&ca);
    for (int id = 0; made && id < IDENTITIES; id++) made = leaf(&ca, (enum identity)id);
    X509_free(ca.cert);
    EVP_PKEY_free(ca.key);
    if (!made) ERR_print_errors_fp(stderr);
    return made;
}

SSL_CTX *ca_client(enum identity id)
{
    static SSL_CTX *contexts[IDENTITIES + 1];
    if (contexts[id] != NULL) return contexts[id];
    char ca[SHOP_PATH], cert[SHOP_PATH], key[SHOP_PATH];
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    bool made =
        tls != NULL && SSL_CTX_load_verify_locations(tls, shop_path(ca, "ca.pem"), NULL) == 1;
    if (made && id != ID_NONE) {
        made =
            SSL_CTX_use_certificate_chain_file(tls, shop_path(cert, "%s.pem", ca_name(id))) == 1 &&
            SSL_CTX_use_PrivateKey_file(tls, shop_path(key, "%s.key", ca_name(id)),
                                        SSL_FILETYPE_PEM) == 1;
    }
    if (!made) {
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(tls);
        return NULL;
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    static const unsigned char http11[] = "\x08http/1.1";
    SSL_CTX_set_alpn_protos(tls, http11, sizeof http11 - 1);
    return contexts[id] = tls;
}
