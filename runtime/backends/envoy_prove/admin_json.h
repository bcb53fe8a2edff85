/* SPDX-License-Identifier: Apache-2.0
 * admin_json.h - what the answers of an admin port have in common. For the readers of this folder.
 */
#ifndef MP_ENVOY_PROVE_ADMIN_JSON_H
#define MP_ENVOY_PROVE_ADMIN_JSON_H

#include <jansson.h>
#include <stdio.h>

#include "base/str.h"

#define ADMIN_ADDRESS_BYTES 80

/* Borrowed from `value`; empty: it is no text. */
static inline mp_str admin_text(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL ? (mp_str){text, json_string_length(value)} : MP_STR("");
}

/* The socket address of a host or a listener, "127.0.0.1:80" or "[::1]:80", in `to`; empty: it has
 * none that fits. */
static inline mp_str admin_address(const json_t *holder, char *to, size_t size)
{
    const json_t *socket = json_object_get(json_object_get(holder, "address"), "socket_address");
    mp_str ip = admin_text(json_object_get(socket, "address"));
    bool v6 = mp_str_contains(ip, MP_STR(":"));
    int len = snprintf(to, size, v6 ? "[%.*s]:%lld" : "%.*s:%lld", MP_STR_ARG(ip),
                       (long long)json_integer_value(json_object_get(socket, "port_value")));
    return len > 0 && (size_t)len < size ? (mp_str){to, (size_t)len} : MP_STR("");
}

#endif
