/* SPDX-License-Identifier: Apache-2.0
 * certs.h - throw-away certificates for tests, made with OpenSSL when a test begins.
 */
#ifndef MP_TESTS_GRPC_CERTS_H
#define MP_TESTS_GRPC_CERTS_H

#include <stdbool.h>

struct test_ca; /* a key and a self-signed certificate */

/* Writes `dir`/NAME.pem. Aborts where something fails: tests cannot go on without. */
struct test_ca *test_ca_create(const char *dir, const char *name);
void test_ca_free(struct test_ca *ca);
/* Writes `dir`/NAME.pem and `dir`/NAME.key: a certificate of `ca` with the subject alternative
 * names `san` as OpenSSL's configuration has them ("URI:spiffe://a/b,IP:127.0.0.1"), NULL: none.
 * Ended ones are of yesterday. */
void test_cert_create(struct test_ca *ca, const char *dir, const char *name, const char *san,
                      bool ended);
/* The same with a key that OpenSSL takes and Envoy refuses (RSA with 1,024 bits). */
void test_cert_create_short(struct test_ca *ca, const char *dir, const char *name, const char *san);
/* Writes `dir`/NAME.pem: a list of what `ca` has taken back, with the certificate
 * `dir`/REVOKED.pem. Ended ones were to be renewed half a minute ago. */
void test_crl_create(struct test_ca *ca, const char *dir, const char *name, const char *revoked,
                     bool ended);

#endif
