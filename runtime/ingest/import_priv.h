/* SPDX-License-Identifier: Apache-2.0
 * import_priv.h - what a request in an access log was, before it is written as telemetry.
 */
#ifndef MP_INGEST_IMPORT_PRIV_H
#define MP_INGEST_IMPORT_PRIV_H

#include "ingest/import.h"

enum spelling {
    SPELT_PLAIN,
    SPELT_JSON, /* escaped as JSON has it */
    SPELT_LOG   /* `\"`, `\\`, `\x22`: as Apache and nginx write it */
};

/* A piece of a log. Absent where text.ptr is NULL. */
struct piece {
    mp_str text;
    enum spelling spelling;
};

enum log_field {
    LOG_TIME, LOG_SERVICE, LOG_INSTANCE, LOG_CLIENT, LOG_METHOD, LOG_PATH, LOG_HOST, LOG_SCHEME,
    LOG_VERSION, LOG_STATUS, LOG_LATENCY, LOG_BYTES_IN, LOG_BYTES_OUT, LOG_USER, LOG_AGENT,
    LOG_REFERER, LOG_FORWARDED, LOG_PEER, LOG_TLS, LOG_CLUSTER, LOG_VHOST, LOG_REFUSED_BY,
    LOG_LAYER, LOG_ANSWERED_BY,
    LOG_FIELDS
};

struct log_entry {
    struct piece field[LOG_FIELDS];
    bool latency_ms; /* a bare number of milliseconds, else of seconds */
};

bool mp_import_combined(mp_str line, struct log_entry *out, const char **why);
bool mp_import_json(enum mp_import_format format, mp_str line, struct log_entry *out,
                    const char **why);
/* `GET /path HTTP/1.1` into its three parts; a broken one leaves them absent. */
void mp_import_request(struct piece request, struct log_entry *out);

#endif
