/* SPDX-License-Identifier: Apache-2.0
 * pem.h - what a text of certificates, keys or lists in PEM holds, before it is used or given on.
 *
 * Owns:    nothing. OpenSSL stays inside.
 * Callers: tls.c, which loads files; the daemon, which serves texts to proxies.
 * Memory:  freed before a function returns. `why` gets one line, untouched where all is well.
 */
#ifndef MP_TLS_PEM_H
#define MP_TLS_PEM_H

#include "base/err.h"
#include "base/str.h"

#define MP_PEM_NAME 128

/* The time in which all certificates (or lists) of a text are valid together, seconds since 1970,
 * both ends included; and which of them sets the ends. */
struct mp_pem_dates {
    int64_t from_s, until_s;
    char begins[MP_PEM_NAME], ends[MP_PEM_NAME]; /* subject, of a list its issuer: "/CN=checkout" */
};

enum mp_pem_kind {
    MP_PEM_CERTIFICATES, /* one or more */
    MP_PEM_KEY,          /* a private key without a pass phrase */
    MP_PEM_LISTS,        /* of what is revoked (CRL), one or more */
};

/* Can the text be read as that, all of it? `dates` is for certificates and lists; may be NULL.
 * MP_EINVAL with `why`, MP_ENOMEM. */
enum mp_err mp_pem_read(mp_str text, enum mp_pem_kind kind, struct mp_pem_dates *dates, char *why,
                        size_t why_size);
/* The same of a file. `why`, without the path, is then what the system says, too. */
enum mp_err mp_pem_file(const char *path, enum mp_pem_kind kind, struct mp_pem_dates *dates,
                        char *why, size_t why_size);
/* Is the key that of the first certificate? Both can be read. */
bool mp_pem_fits(mp_str certificates, mp_str key);
/* Is something not valid at this time? `why` gets "WHAT NAME ended at TIME". */
bool mp_pem_out_of_date(const struct mp_pem_dates *dates, int64_t now_s, const char *what,
                        char *why, size_t why_size);

#endif
