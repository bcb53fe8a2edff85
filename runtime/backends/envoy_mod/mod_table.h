/* SPDX-License-Identifier: Apache-2.0
 * mod_table.h - the headers of a request, read from the proxy at one go.
 *
 * Asked for by name, each of them costs the proxy a copy of the name and a search; a program reads
 * several of every request.
 *
 * Owns:    nothing; texts belong to the proxy and live until the hook returns. Threads: the
 *          stream's worker.
 */
#ifndef MP_ENVOY_MOD_MOD_TABLE_H
#define MP_ENVOY_MOD_MOD_TABLE_H

#include "base/str.h"
#include "envoy_mod/abi.h"

/* LIMIT: headers that are read at one go; those of a request with more are asked for by name. */
#define MOD_TABLE_ROWS 64

struct mod_table {
    void *envoy;
    bool whole; /* else: by name */
    size_t count;
    struct abi_header at[MOD_TABLE_ROWS];
};

/* Reads the headers of the stream of this filter of the proxy. */
void mod_table_read(struct mod_table *t, void *envoy);
/* Value number `i` of a header by its name in any case of letters; `host` is `:authority`, as the
 * proxy has it. False: there are no more. */
bool mod_table_next(const struct mod_table *t, mp_str name, size_t i, mp_str *out);

#endif
