/* SPDX-License-Identifier: Apache-2.0
 * What the daemon itself keeps in the store: who this ledger is, whether an operator holds the
 * brake, how far inputs were read, and what inventory lines said.
 */
#include "daemon/daemon_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "inventory/inventory.h"

#define COST_SHARE 50 /* of the loop's time, one part in so many goes into looking at inventory */
#define LINES_MAX (1u << 20) /* LIMIT: lines of inventory that are kept */
#define OF_FILE 'f'          /* stands before a kept line that a file said */

/* ---- who ---- */

static enum mp_err take_identity(struct dm *d, mp_str bytes)
{
    if (bytes.len != sizeof d->identity) return MP_ECORRUPT;
    memcpy(&d->identity, bytes.ptr, sizeof d->identity);
    return MP_OK;
}

bool dm_own_ready(struct dm *d)
{
    if (d->identity.ledger != 0) return true;
    struct dm_identity fresh;
    if (d->os.random(d->os.ctx, &fresh, sizeof fresh) != MP_OK) return false;
    fresh.ledger |= 1; /* 0 is nobody */
    d->identity = fresh;
    dm_keep_row(d, DM_ROW_IDENTITY, 1, (mp_str){(const char *)&fresh, sizeof fresh});
    return true;
}

/* ---- the brake: the file BRAKE is its own memory, the command's is here ---- */

void dm_own_brake(struct dm *d)
{
    dm_keep_row(d, DM_ROW_BRAKE, 1, d->brake_asked ? MP_STR("on") : MP_STR(""));
}

/* ---- where inputs stand ---- */

static enum mp_err take_position(struct dm *d, mp_str bytes)
{
    if (bytes.len != sizeof *d->kept_positions) return MP_ECORRUPT;
    struct dm_position *grown =
        realloc(d->kept_positions, (d->kept_position_count + 1) * sizeof *d->kept_positions);
    if (grown == NULL) return MP_ENOMEM;
    d->kept_positions = grown;
    memcpy(&d->kept_positions[d->kept_position_count++], bytes.ptr, bytes.len);
    return MP_OK;
}

/* ---- inventory ---- */

static struct dm_kept_line *line_at(struct dm *d, uint32_t i)
{
    while (i >= d->kept_line_count) {
        struct dm_kept_line *grown =
            realloc(d->kept_lines, (d->kept_line_count + 1) * sizeof *grown);
        if (grown == NULL) return NULL;
        d->kept_lines = grown;
        d->kept_lines[d->kept_line_count++] = (struct dm_kept_line){0};
    }
    return &d->kept_lines[i];
}

static uint64_t hash_of(mp_str line)
{
    return mp_siphash((struct mp_hash_key){5, 6}, line.ptr, line.len);
}

static enum mp_err take_inventory(struct dm *d, uint64_t id, mp_str bytes)
{
    if (id == 0 || id > LINES_MAX) return MP_ECORRUPT;
    struct dm_kept_line *line = line_at(d, (uint32_t)id - 1);
    if (line == NULL) return MP_ENOMEM;
    line->hash = hash_of(bytes);
    line->of_file = bytes.len > 0 && bytes.ptr[0] == OF_FILE;
    bytes = mp_str_sub(bytes, line->of_file, SIZE_MAX);
    line->text = strndup(bytes.ptr, bytes.len);
    line->len = bytes.len;
    return line->text != NULL ? MP_OK : MP_ENOMEM;
}

void dm_own_inventory_give(struct dm *d)
{
    for (uint32_t i = 0; i < d->kept_line_count; i++) {
        struct dm_kept_line *line = &d->kept_lines[i];
        mp_str text = {line->text, line->len};
        if (line->text != NULL) (void)dm_inventory_line(d, text, line->of_file);
        free(line->text);
        line->text = NULL;
    }
}

struct telling {
    struct dm *d;
    uint32_t at;
    struct dm_bytes row;
};

/* Only lines that are not kept as they are go to the store. */
static enum mp_err tell_line(void *ctx, uint32_t by, mp_str json)
{
    static const char of_file = OF_FILE;
    struct telling *t = ctx;
    if (t->at == LINES_MAX) return MP_ELIMIT;
    struct dm_kept_line *line = line_at(t->d, t->at++);
    t->row.len = 0;
    bool whole = (by != MP_INVENTORY_BY_FILE || dm_bytes_add(&t->row, &of_file, 1)) &&
                 dm_bytes_add(&t->row, json.ptr, json.len);
    if (line == NULL || !whole) return MP_ENOMEM;
    mp_str row = {t->row.ptr, t->row.len};
    uint64_t hash = hash_of(row);
    if (line->hash == hash) return MP_OK;
    line->hash = hash;
    dm_keep_row(t->d, DM_ROW_INVENTORY, t->at, row);
    return MP_OK;
}

static void tell_lines(struct dm *d)
{
    struct telling t = {.d = d};
    struct mp_arena scratch;
    mp_arena_init(&scratch, NULL, 0);
    enum mp_err err = mp_inventory_dump(mp_engine_inventory(d->engine), &scratch, &t, tell_line);
    mp_arena_free(&scratch);
    dm_bytes_free(&t.row);
    if (err != MP_OK) {
        dm_log(d, "warn", "inventory: not all lines are kept: %s", mp_err_text(err));
        return;
    }
    for (uint32_t i = t.at; i < d->kept_line_count; i++)
        dm_keep_row(d, DM_ROW_INVENTORY, i + 1, MP_STR(""));
    d->kept_line_count = t.at;
}

/* All lines are looked at for one that is new, so where there are many it is done seldom. */
void dm_own_inventory(struct dm *d, bool now)
{
    int64_t began_ns = d->os.mono_ns(d->os.ctx);
    if (!d->inventory_unkept || (!now && began_ns < d->inventory_mono_ns)) return;
    d->inventory_unkept = false;
    tell_lines(d);
    int64_t cost_ns = d->os.mono_ns(d->os.ctx) - began_ns;
    d->inventory_mono_ns = began_ns + COST_SHARE * cost_ns;
}

/* ---- all of it ---- */

enum mp_err dm_own_row(struct dm *d, uint32_t kind, uint64_t id, mp_str bytes)
{
    switch ((enum dm_row)kind) {
    case DM_ROW_IDENTITY: return take_identity(d, bytes);
    case DM_ROW_BRAKE: d->brake_asked = true; return MP_OK;
    case DM_ROW_POSITION: return take_position(d, bytes);
    case DM_ROW_INVENTORY: return take_inventory(d, id, bytes);
    case DM_ROW_ROOT: return MP_OK;  /* for those who verify the ledger */
    case DM_ROW_PROXY: return MP_OK; /* for the mesh, when there is one */
    }
    return MP_ECORRUPT;
}

void dm_own_free(struct dm *d)
{
    for (uint32_t i = 0; i < d->kept_line_count; i++) free(d->kept_lines[i].text);
    free(d->kept_lines);
    free(d->kept_positions);
}
