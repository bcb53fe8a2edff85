/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/mod_table.h"

void mod_table_read(struct mod_table *t, void *envoy)
{
    t->envoy = envoy;
    t->count = 0;
    t->whole = false;
    if (ABI_CALLBACK(http_get_headers_size) == NULL || ABI_CALLBACK(http_get_headers) == NULL)
        return;
    size_t count = ABI_CALLBACK(http_get_headers_size)(envoy, ABI_REQUEST_HEADERS);
    if (count == 0 || count > MOD_TABLE_ROWS) return;
    t->whole = ABI_CALLBACK(http_get_headers)(envoy, ABI_REQUEST_HEADERS, t->at);
    if (t->whole) t->count = count;
}

static bool next_by_name(const struct mod_table *t, mp_str name, size_t i, mp_str *out)
{
    struct abi_text key = {name.ptr, name.len}, value = {NULL, 0};
    size_t count = 0;
    if (!ABI_CALLBACK(http_get_header)(t->envoy, ABI_REQUEST_HEADERS, key, &value, i, &count))
        return false;
    *out = (mp_str){value.ptr, value.len};
    return value.ptr != NULL && i < count;
}

/* `lower` is in lower case, as all names of the proxy are. */
static bool is_named(mp_str lower, mp_str name)
{
    if (lower.len != name.len) return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (lower.ptr[i] != c) return false;
    }
    return true;
}

bool mod_table_next(const struct mod_table *t, mp_str name, size_t i, mp_str *out)
{
    if (!t->whole) return next_by_name(t, name, i, out);
    if (is_named(MP_STR("host"), name)) name = MP_STR(":authority");
    for (size_t row = 0; row < t->count; row++) {
        const struct abi_header *h = &t->at[row];
        if (!is_named((mp_str){h->key, h->key_len}, name) || i-- > 0) continue;
        *out = (mp_str){h->value, h->value_len};
        return out->ptr != NULL;
    }
    return false;
}
