/* SPDX-License-Identifier: Apache-2.0
 * Which proxies a life knew, for the next one: a row of the store each. A row goes with the batch
 * that is written next, so that no lease is kept without those that were told of it, or by itself
 * within half a second.
 */
#include "daemon/mesh_priv.h"

#include <string.h>

/* A row is this, the node, and what it leads to; each text behind its length. */
struct head {
    int64_t away_since_ns; /* wall clock; 0: it is connected */
    uint32_t module, leads_to_count;
};
#define LEADS_TO_MAX 64 /* LIMIT: as envoy_xds reads from a node */

static uint64_t row_of(const struct dm *d, mp_str node)
{
    return mp_siphash(d->identity.hash_key, node.ptr, node.len);
}

/* ---- memory -> row ---- */

static bool add_text(struct dm_bytes *row, mp_str text)
{
    uint32_t len = (uint32_t)text.len;
    return dm_bytes_add(row, &len, sizeof len) && dm_bytes_add(row, text.ptr, text.len);
}

static void keep(void *ctx, const struct mp_envoy_memory *memory)
{
    struct dm *d = ctx;
    struct dm_bytes row = {.len = 0};
    struct head head = {.module = memory->module, .leads_to_count = memory->leads_to_count};
    if (!memory->connected) head.away_since_ns = d->os.wall_ns(d->os.ctx) - memory->away_ns;
    bool whole = dm_bytes_add(&row, &head, sizeof head) && add_text(&row, memory->node);
    for (uint32_t i = 0; whole && i < memory->leads_to_count; i++)
        whole = add_text(&row, memory->leads_to[i]);
    if (whole) {
        dm_keep_row(d, DM_ROW_PROXY, row_of(d, memory->node), (mp_str){row.ptr, row.len});
    } else {
        dm_log(d, "error", "out of memory: proxy %.*s is not remembered over a restart",
               MP_STR_ARG(memory->node));
    }
    dm_bytes_free(&row);
}

/* While the store cannot write nothing is handed to it: proxies that come and go all the while
 * would fill the memory. That all are gone when we end is no news. */
void dm_mesh_keep(struct dm *d)
{
    if (d->mesh == NULL || d->ending || mp_store_trouble(d->store) != NULL) return;
    mp_envoy_news(d->mesh->envoy, keep, d);
}

void mesh_forget(void *ctx, mp_str node)
{
    struct dm_mesh *m = ctx;
    dm_keep_row(m->d, DM_ROW_PROXY, row_of(m->d, node), MP_STR(""));
}

/* ---- row -> memory ---- */

static bool take(mp_str *bytes, void *out, size_t size)
{
    if (bytes->len < size) return false;
    memcpy(out, bytes->ptr, size);
    *bytes = mp_str_sub(*bytes, size, SIZE_MAX);
    return true;
}

static bool take_text(mp_str *bytes, mp_str *out)
{
    uint32_t len;
    if (!take(bytes, &len, sizeof len) || bytes->len < len) return false;
    *out = mp_str_sub(*bytes, 0, len);
    *bytes = mp_str_sub(*bytes, len, SIZE_MAX);
    return true;
}

enum mp_err dm_mesh_recall(struct dm *d, mp_str row)
{
    mp_str leads_to[LEADS_TO_MAX];
    struct mp_envoy_memory memory = {.leads_to = leads_to};
    struct head head;
    if (d->mesh == NULL) return MP_OK;
    if (!take(&row, &head, sizeof head) || !take_text(&row, &memory.node)) return MP_ECORRUPT;
    if (head.leads_to_count > LEADS_TO_MAX) return MP_ECORRUPT;
    for (uint32_t i = 0; i < head.leads_to_count; i++) {
        if (!take_text(&row, &leads_to[i])) return MP_ECORRUPT;
    }
    int64_t away_ns = d->os.wall_ns(d->os.ctx) - head.away_since_ns;
    memory.leads_to_count = head.leads_to_count;
    memory.module = head.module != 0;
    memory.connected = head.away_since_ns == 0;
    memory.away_ns = memory.connected || away_ns < 0 ? 0 : away_ns; /* clocks are set back */
    enum mp_err err = mp_envoy_recall(d->mesh->envoy, &memory);
    return err == MP_EINVAL ? MP_ECORRUPT : err;
}
