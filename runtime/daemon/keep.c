/* SPDX-License-Identifier: Apache-2.0
 * Engine → store. What the engine says in one turn becomes one batch: its entries, and the rows
 * of its state that changed with them. Where the store has no room it waits here, and the engine
 * decides nothing new until it has.
 */
#include "daemon/daemon_priv.h"

#include <string.h>
#include <unistd.h>

/* One item in `pending`: this, then its bytes. */
struct item {
    bool is_entry;
    uint32_t kind;
    uint64_t id;
    int64_t time_ns;
    uint8_t hash[MP_STORE_HASH];
    size_t len;
};

static void add_item(struct dm *d, struct item item, mp_str bytes)
{
    size_t before = d->pending.len;
    item.len = bytes.len;
    if (dm_bytes_add(&d->pending, &item, sizeof item) &&
        dm_bytes_add(&d->pending, bytes.ptr, bytes.len)) {
        d->pending_items++;
        return;
    }
    d->pending.len = before; /* what is written is whole */
    dm_log(d, "error", "out of memory for the ledger");
    dm_end(d, 3);
}

void dm_keep_entry(struct dm *d, const struct mp_entry *entry, mp_str json)
{
    struct item item = {.is_entry = true, .id = entry->seq, .time_ns = entry->time_ns};
    mp_engine_chain(d->engine, item.hash);
    add_item(d, item, json);
}

void dm_keep_row(struct dm *d, uint32_t kind, uint64_t id, mp_str bytes)
{
    add_item(d, (struct item){.kind = kind, .id = id}, bytes);
}

static void add_row(void *ctx, const struct mp_state_row *row)
{
    dm_keep_row(ctx, (uint32_t)row->kind, row->id, row->bytes);
}

/* With what they led to, so that a restart goes on behind it and tells nothing twice. */
static void add_positions(struct dm *d)
{
    struct dm_position position;
    d->pending_before = d->pending.len;
    d->pending_items_before = d->pending_items;
    for (uint32_t i = 0; i < d->input_count; i++) {
        if (!dm_input_position(d, i, &position)) continue;
        dm_keep_row(d, DM_ROW_POSITION, i + 1, (mp_str){(const char *)&position, sizeof position});
    }
}

static size_t batch_bytes(const struct dm *d)
{
    size_t total = mp_store_item_bytes(sizeof(struct dm_root));
    for (size_t at = 0; at < d->pending.len;) {
        struct item item;
        memcpy(&item, d->pending.ptr + at, sizeof item);
        total += mp_store_item_bytes(item.len);
        at += sizeof item + item.len;
    }
    return total;
}

/* Positions are those of the moment a batch is made; they are the last items of `pending`. */
static void drop_positions(struct dm *d)
{
    d->pending.len = d->pending_before;
    d->pending_items = d->pending_items_before;
}

/* With the entries themselves, so that no crash leaves a root of what was never kept. */
static void write_root(struct dm *d, const struct item *newest)
{
    struct dm_root root = {.seq = newest->id, .time_ns = newest->time_ns};
    memcpy(root.hash, newest->hash, sizeof root.hash);
    if (dm_root_sign(&d->roots, &root) != MP_OK) {
        dm_log(d, "error", "the root of the ledger at entry %llu cannot be signed",
               (unsigned long long)root.seq);
        return;
    }
    mp_store_row(d->store, DM_ROW_ROOT, dm_root_id(root.seq),
                 (mp_str){(const char *)&root, sizeof root});
}

static void write_batch(struct dm *d)
{
    struct item newest = {.id = 0};
    for (size_t at = 0; at < d->pending.len;) {
        struct item item;
        memcpy(&item, d->pending.ptr + at, sizeof item);
        mp_str bytes = {d->pending.ptr + at + sizeof item, item.len};
        if (item.is_entry) {
            mp_store_entry(d->store, item.id, item.time_ns, bytes, item.hash);
            newest = item;
        } else {
            mp_store_row(d->store, item.kind, item.id, bytes);
        }
        at += sizeof item + item.len;
    }
    if (newest.id != 0) write_root(d, &newest);
    mp_store_end(d->store);
    d->pending.len = 0;
    d->pending_items = 0;
}

void dm_keep(struct dm *d)
{
    if (d->engine == NULL || d->store == NULL || !d->started) return;
    if (mp_store_trouble(d->store) == NULL) mp_engine_changes(d->engine, d, add_row);
    if (d->pending_items == 0 && !d->positions_due) return;
    if (d->pending_items > 0) dm_mesh_keep(d);
    add_positions(d);
    if (d->pending_items == 0) return; /* no input has a place to go back to */
    bool room = mp_store_begin(d->store, batch_bytes(d));
    if (room) {
        write_batch(d);
        d->positions_due = false;
    } else {
        drop_positions(d);
    }
    mp_engine_store_failed(d->engine, !room);
}

/* Once, not at every try. */
static void tell_trouble(struct dm *d, const char *trouble)
{
    if (trouble == d->store_trouble) return;
    if (trouble != NULL) {
        dm_log(d, "error",
               "the store cannot write: %s; nothing new is decided, what is in force stays",
               trouble);
    } else {
        dm_log(d, "info", "the store writes again");
    }
    d->store_trouble = trouble;
}

void dm_keep_committed(struct dm *d)
{
    const char *trouble = mp_store_trouble(d->store);
    tell_trouble(d, trouble);
    if (d->engine == NULL || !d->started) return;
    mp_engine_store_failed(d->engine, trouble != NULL);
    mp_engine_committed(d->engine, mp_store_durable(d->store));
}

bool dm_keep_flush(struct dm *d)
{
    dm_keep(d);
    bool all = mp_store_flush(d->store) == MP_OK && d->pending_items == 0;
    dm_keep_committed(d);
    return all;
}

/* ---- at the start ---- */

static void wake(void *ctx) { uv_async_send(&((struct dm *)ctx)->on_store); }

static struct mp_store_found found;

static enum mp_err give_own_row(void *ctx, uint32_t kind, uint64_t id, mp_str bytes)
{
    return kind < DM_ROW_IDENTITY ? MP_OK : dm_own_row(ctx, kind, id, bytes);
}

enum mp_err dm_keep_open(struct dm *d)
{
    const char *why = "";
    struct mp_store_options options = {.wake = wake, .ctx = d};
    enum mp_err err = mp_store_open(d->options->state_dir, &options, &d->store, &found, &why);
    if (err != MP_OK) {
        fprintf(stderr, "mpol run: %s\n", why);
        return err;
    }
    err = mp_store_load(d->store, d, give_own_row);
    if (err != MP_OK) {
        fprintf(stderr, "mpol run: %s: %s\n", d->options->state_dir, mp_err_text(err));
        return err;
    }
    err = dm_roots_open(&d->roots, &d->os, d->options->state_dir);
    if (err != MP_OK) {
        fprintf(stderr, "mpol run: %s/ledger.key: %s\n", d->options->state_dir,
                err == MP_EINVAL
                    ? "this is no Ed25519 key; put the right one back, or remove it for a new one"
                    : mp_err_text(err));
    }
    return err;
}

static enum mp_err give_row(void *ctx, uint32_t kind, uint64_t id, mp_str bytes)
{
    struct dm *d = ctx;
    struct mp_state_row row = {.kind = (enum mp_row_kind)kind, .id = id, .bytes = bytes};
    if (kind == DM_ROW_PROXY) return dm_mesh_recall(d, bytes);
    return kind < DM_ROW_IDENTITY ? mp_engine_restore(d->engine, &row) : MP_OK;
}

enum mp_err dm_keep_restore(struct dm *d)
{
    MP_TRY(mp_store_load(d->store, d, give_row));
    return mp_engine_resume(d->engine, found.seq, found.hash);
}
