/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/pem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "file/file.h"

#define FILE_BYTES_MAX (1u << 20) /* LIMIT */
#define ENTRIES_MAX 4096          /* LIMIT: certificates or lists of one text */

static enum mp_err refuse(char *why, size_t why_size, const char *text)
{
    snprintf(why, why_size, "%s", text);
    ERR_clear_error();
    return MP_EINVAL;
}

static BIO *memory_of(mp_str text)
{
    if (text.len > FILE_BYTES_MAX) return NULL;
    return BIO_new_mem_buf(text.len > 0 ? text.ptr : "", (int)text.len);
}

/* ---- dates ---- */

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm at = {0};
    return ASN1_TIME_to_tm(time, &at) == 1 ? (int64_t)timegm(&at) : INT64_MIN;
}

/* Certificates of workloads often have no subject; the file is named beside it. */
static void name_of(const X509_NAME *name, char out[MP_PEM_NAME])
{
    X509_NAME_oneline(name, out, MP_PEM_NAME);
    if (out[0] == '\0') snprintf(out, MP_PEM_NAME, "(no subject)");
    for (char *c = out; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c == 0x7f) *c = '?';
    }
}

/* One more that must be valid too. A list need not have an end. */
static void narrow(struct mp_pem_dates *d, const X509_NAME *name, const ASN1_TIME *from,
                   const ASN1_TIME *until)
{
    int64_t from_s = seconds_of(from), until_s = until != NULL ? seconds_of(until) : INT64_MAX;
    if (from_s > d->from_s) {
        d->from_s = from_s;
        name_of(name, d->begins);
    }
    if (until_s < d->until_s) {
        d->until_s = until_s;
        name_of(name, d->ends);
    }
}

bool mp_pem_out_of_date(const struct mp_pem_dates *d, int64_t now_s, const char *what, char *why,
                        size_t why_size)
{
    bool early = now_s < d->from_s;
    char time[32] = "";
    struct tm at;
    if (!early && now_s <= d->until_s) return false;
    time_t when = (time_t)(early ? d->from_s : d->until_s);
    if (gmtime_r(&when, &at) != NULL) strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", &at);
    snprintf(why, why_size, "%s %s %s %s", what, early ? d->begins : d->ends,
             early ? "is not valid before" : "ended at", time);
    return true;
}

/* ---- texts ---- */

/* Reads the next of its kind. False: there is none, or it cannot be read (ERR says which). */
static bool next_certificate(BIO *in, struct mp_pem_dates *dates)
{
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
    if (cert == NULL) return false;
    narrow(dates, X509_get_subject_name(cert), X509_get0_notBefore(cert),
           X509_get0_notAfter(cert));
    X509_free(cert);
    return true;
}

static bool next_list(BIO *in, struct mp_pem_dates *dates)
{
    X509_CRL *list = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL);
    if (list == NULL) return false;
    narrow(dates, X509_CRL_get_issuer(list), X509_CRL_get0_lastUpdate(list),
           X509_CRL_get0_nextUpdate(list));
    X509_CRL_free(list);
    return true;
}

static bool was_the_end(void)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static enum mp_err read_all(BIO *in, bool (*next)(BIO *, struct mp_pem_dates *), const char *word,
                            struct mp_pem_dates *dates, char *why, size_t why_size)
{
    char text[80];
    int count = 0;
    struct mp_pem_dates all = {.from_s = INT64_MIN, .until_s = INT64_MAX};
    while (count < ENTRIES_MAX && next(in, &all)) count++;
    bool end = was_the_end();
    ERR_clear_error();
    if (end && count > 0) {
        if (dates != NULL) *dates = all;
        return MP_OK;
    }
    if (count == ENTRIES_MAX) return refuse(why, why_size, "has too much in it");
    snprintf(text, sizeof text, end ? "has no %s in PEM" : "%s %d in it cannot be read", word,
             count + 1);
    return refuse(why, why_size, text);
}

/* No program asks at a terminal, and no proxy has the words. */
static int no_pass_phrase(char *out, int size, int writing, void *asked)
{
    (void)out;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *key_of(BIO *in, bool *asked)
{
    *asked = false;
    return PEM_read_bio_PrivateKey(in, NULL, no_pass_phrase, asked);
}

/* OpenSSL's decoders of keys do not say that there was none. */
static enum mp_err read_key(BIO *in, mp_str text, char *why, size_t why_size)
{
    bool asked, none = !mp_str_contains(text, MP_STR("PRIVATE KEY-----"));
    EVP_PKEY *key = key_of(in, &asked);
    bool good = key != NULL;
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (good) return MP_OK;
    if (asked) return refuse(why, why_size, "wants a pass phrase");
    return refuse(why, why_size,
                  none ? "has no private key in PEM" : "the private key in it cannot be read");
}

enum mp_err mp_pem_read(mp_str text, enum mp_pem_kind kind, struct mp_pem_dates *dates, char *why,
                        size_t why_size)
{
    enum mp_err err = MP_EINVAL;
    if (text.len > FILE_BYTES_MAX) return refuse(why, why_size, "is longer than 1 MiB");
    BIO *in = memory_of(text);
    if (in == NULL) return MP_ENOMEM;
    ERR_clear_error();
    switch (kind) {
    case MP_PEM_CERTIFICATES:
        err = read_all(in, next_certificate, "certificate", dates, why, why_size);
        break;
    case MP_PEM_LISTS: err = read_all(in, next_list, "list (CRL)", dates, why, why_size); break;
    case MP_PEM_KEY: err = read_key(in, text, why, why_size); break;
    }
    BIO_free(in);
    return err;
}

/* The whole file, or what the system says. `out` is the caller's to free. */
static enum mp_err read_file(const char *path, char **out, size_t *len, char *why, size_t why_size)
{
    const char *trouble;
    FILE *f = mp_file_open(path, &trouble);
    if (f == NULL) return refuse(why, why_size, trouble);
    char *bytes = malloc(FILE_BYTES_MAX + 1);
    enum mp_err err = bytes != NULL ? MP_OK : MP_ENOMEM;
    if (err == MP_OK) *len = fread(bytes, 1, FILE_BYTES_MAX + 1, f);
    if (err == MP_OK && ferror(f) != 0) err = refuse(why, why_size, strerror(errno));
    fclose(f);
    if (err == MP_OK) {
        *out = bytes;
    } else {
        free(bytes);
    }
    return err;
}

enum mp_err mp_pem_file(const char *path, enum mp_pem_kind kind, struct mp_pem_dates *dates,
                        char *why, size_t why_size)
{
    char *bytes;
    size_t len;
    MP_TRY(read_file(path, &bytes, &len, why, why_size));
    enum mp_err err = mp_pem_read((mp_str){bytes, len}, kind, dates, why, why_size);
    OPENSSL_cleanse(bytes, len);
    free(bytes);
    return err;
}

bool mp_pem_fits(mp_str certificates, mp_str key)
{
    bool asked, fits = false;
    BIO *of_cert = memory_of(certificates), *of_key = memory_of(key);
    if (of_cert != NULL && of_key != NULL) {
        X509 *first = PEM_read_bio_X509(of_cert, NULL, NULL, NULL);
        EVP_PKEY *private_key = key_of(of_key, &asked);
        fits = first != NULL && private_key != NULL &&
               X509_check_private_key(first, private_key) == 1;
        X509_free(first);
        EVP_PKEY_free(private_key);
    }
    BIO_free(of_cert);
    BIO_free(of_key);
    ERR_clear_error();
    return fits;
}
