/* SPDX-License-Identifier: Apache-2.0 */
#include "certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_S 86400

struct test_ca {
    EVP_PKEY *key;
    X509 *cert;
};

static void must(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "certs: %s failed\n", what);
    abort();
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e != NULL && X509_add_ext(cert, e, -1) == 1, value);
    X509_EXTENSION_free(e);
}

static X509 *make(EVP_PKEY *key, const char *name, bool ended)
{
    X509 *cert = X509_new();
    uint64_t serial;
    must(cert != NULL && RAND_bytes((unsigned char *)&serial, sizeof serial) == 1, "X509_new");
    X509_set_version(cert, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -2 * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(cert), ended ? -DAY_S : DAY_S);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_pubkey(cert, key);
    return cert;
}

static FILE *file(const char *dir, const char *name, const char *end)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.%s", dir, name, end);
    FILE *f = fopen(path, "w");
    must(f != NULL, path);
    return f;
}

static void write_cert(X509 *cert, const char *dir, const char *name)
{
    FILE *f = file(dir, name, "pem");
    must(PEM_write_X509(f, cert) == 1, name);
    fclose(f);
}

struct test_ca *test_ca_create(const char *dir, const char *name)
{
    struct test_ca *ca = calloc(1, sizeof *ca);
    must(ca != NULL, "calloc");
    ca->key = EVP_EC_gen("P-256");
    ca->cert = make(ca->key, name, false);
    X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert));
    extend(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE");
    extend(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign");
    extend(ca->cert, ca->cert, NID_subject_key_identifier, "hash");
    must(X509_sign(ca->cert, ca->key, EVP_sha256()) > 0, "X509_sign");
    write_cert(ca->cert, dir, name);
    return ca;
}

void test_ca_free(struct test_ca *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    free(ca);
}

static void issue(struct test_ca *ca, EVP_PKEY *key, const char *dir, const char *name,
                  const char *san, bool ended)
{
    X509 *cert = make(key, name, ended);
    X509_set_issuer_name(cert, X509_get_subject_name(ca->cert));
    extend(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
    extend(cert, ca->cert, NID_key_usage, "critical,digitalSignature");
    extend(cert, ca->cert, NID_ext_key_usage, "clientAuth,serverAuth");
    if (san != NULL) extend(cert, ca->cert, NID_subject_alt_name, san);
    must(X509_sign(cert, ca->key, EVP_sha256()) > 0, "X509_sign");
    write_cert(cert, dir, name);
    FILE *f = file(dir, name, "key");
    must(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1, name);
    fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
}

void test_cert_create(struct test_ca *ca, const char *dir, const char *name, const char *san,
                      bool ended)
{
    issue(ca, EVP_EC_gen("P-256"), dir, name, san, ended);
}

void test_cert_create_short(struct test_ca *ca, const char *dir, const char *name, const char *san)
{
    issue(ca, EVP_RSA_gen(1024), dir, name, san, false);
}

static X509 *read_cert(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.pem", dir, name);
    FILE *f = fopen(path, "r");
    must(f != NULL, path);
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    must(cert != NULL, path);
    return cert;
}

void test_crl_create(struct test_ca *ca, const char *dir, const char *name, const char *revoked,
                     bool ended)
{
    X509 *cert = read_cert(dir, revoked);
    X509_CRL *crl = X509_CRL_new();
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *before = X509_gmtime_adj(NULL, -60);
    ASN1_TIME *after = X509_gmtime_adj(NULL, ended ? -30 : DAY_S);
    must(crl != NULL && entry != NULL && before != NULL && after != NULL, "X509_CRL_new");
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert));
    X509_REVOKED_set_revocationDate(entry, before);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert));
    X509_CRL_set1_lastUpdate(crl, before);
    X509_CRL_set1_nextUpdate(crl, after);
    must(X509_CRL_add0_revoked(crl, entry) == 1, "X509_CRL_add0_revoked");
    must(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0, "X509_CRL_sign");
    FILE *f = file(dir, name, "pem");
    must(PEM_write_X509_CRL(f, crl) == 1, name);
    fclose(f);
    ASN1_TIME_free(before);
    ASN1_TIME_free(after);
    X509_CRL_free(crl);
    X509_free(cert);
}
