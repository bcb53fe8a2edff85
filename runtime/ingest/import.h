/* SPDX-License-Identifier: Apache-2.0
 * import.h - access logs that people have → telemetry lines (`mpol import`).
 *
 * Owns:    nothing; every call is one line in, one line out. Callers: the command.
 * Memory:  the caller's struct mp_buf; the line is appended to it, without a line end.
 * Threads: pure functions.
 *
 *   combined    Apache's and nginx's "combined" and "common", with or without "vhost:port " in
 *               front; a number behind the agent is the time it took, in seconds ($request_time)
 *   nginx-json  a log_format of escape=json under the names that nginx calls its variables
 *               (remote_addr, time_iso8601 or time_local or msec, request or request_method and
 *               request_uri, status, body_bytes_sent, request_length, request_time, host, ...)
 *   envoy-json  Envoy's and Istio's JSON access log under its usual names (start_time, method,
 *               path, response_code, duration in ms, upstream_cluster, downstream_remote_address,
 *               ...); response_code_details that name a rule of ours are `refused_by`; `layer`,
 *               `service`, `instance` and `version` as the line has them; probes of our own
 *               (`/.mpol/...`) are passed over
 */
#ifndef MP_INGEST_IMPORT_H
#define MP_INGEST_IMPORT_H

#include "base/str.h"

#include <stdint.h>

enum mp_import_format { MP_IMPORT_COMBINED, MP_IMPORT_NGINX_JSON, MP_IMPORT_ENVOY_JSON };

/* `combined`, `nginx-json`, `envoy-json`. */
bool mp_import_format_of(mp_str name, enum mp_import_format *out);

/* What the log does not say. `service` empty: the upstream cluster, else the host or virtual host,
 * else `web`. `instance` empty: the upstream's address where there is one. */
struct mp_import_options {
    mp_str service, instance;
};

/* Appends the telemetry line. False: nothing was appended; *why is a static text, or NULL where the
 * line is blank or a comment. Memory failure is in out->failed. */
bool mp_import_line(enum mp_import_format format, const struct mp_import_options *options,
                    mp_str line, struct mp_buf *out, const char **why);

/* The rule of ours in the response-code details of an Envoy: `mpol:RULE`, `mpol:RULE/LEASE`, or
 * one of these within `rbac_access_denied_matched_policy[...]`. False: none of ours refused it.
 * `lease` is 0 where it is not told. */
bool mp_import_refusal(mp_str details, mp_str *rule, uint64_t *lease);

#endif
