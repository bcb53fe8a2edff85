/* SPDX-License-Identifier: Apache-2.0
 * Lines of files, read anew: what they say, and what they no longer say.
 */
#include "base/assert.h"
#include "inventory/inventory_priv.h"

static void each_cell(struct mp_inventory *inv, struct member *m,
                      void (*each)(struct mp_inventory *inv, struct member *m, uint32_t attr))
{
    const struct mp_entity_row *e = &inv->p->entity[m->entity];
    for (uint32_t i = 0; i < e->attrs_count; i++) each(inv, m, e->attrs_at + i);
}

static void tell(struct mp_inventory *inv, const struct mp_inventory_news *news, const char *what,
                 uint32_t at)
{
    struct member *m = &inv->members[at];
    if (news == NULL || news->tell == NULL || m->told) return;
    m->told = true;
    news->tell(news->ctx, what, m->entity, m->key);
}

/* ---- naming ---- */

static void forget_name(struct mp_inventory *inv, struct member *m, uint32_t attr)
{
    mp_inventory_cell(inv, (uint32_t)(m - inv->members), attr)->named = false;
}

void mp_inventory_files_begin(struct mp_inventory *inv)
{
    for (uint32_t e = 0; e < inv->p->entity_count; e++) {
        for (uint32_t i = 0; i < inv->entry_count[e]; i++) {
            struct member *m = &inv->members[inv->entries[e][i]];
            m->named = m->told = m->trimmed = false;
            each_cell(inv, m, forget_name);
        }
    }
}

void mp_inventory_files_name(struct mp_inventory *inv, const struct mp_entity_line *line)
{
    uint32_t at = mp_inventory_find(inv, line->entity, line->key);
    if (at == MP_NONE) return; /* it will come */
    inv->members[at].named = true;
    for (uint32_t i = 0; i < line->attr_count; i++) {
        if (line->attrs[i].known) mp_inventory_cell(inv, at, line->attrs[i].attr)->named = true;
    }
}

/* ---- what has gone ---- */

static void trim(struct mp_inventory *inv, struct member *m, uint32_t attr)
{
    uint32_t at = (uint32_t)(m - inv->members);
    struct cell *c = mp_inventory_cell(inv, at, attr);
    if (!c->said.is || (c->by & MP_INVENTORY_BY_FILE) == 0 || c->named) return;
    c->by &= (uint8_t)~MP_INVENTORY_BY_FILE;
    if (c->by != 0) return;
    m->trimmed = true;
    mp_inventory_say(inv, at, attr, (struct owned){0});
}

/* Is it still there? */
static bool stays(struct mp_inventory *inv, uint32_t at, const struct mp_inventory_news *news)
{
    struct member *m = &inv->members[at];
    each_cell(inv, m, trim);
    if (!m->named) m->by &= (uint8_t)~MP_INVENTORY_BY_FILE;
    if (m->by == 0) {
        tell(inv, news, "gone", at);
    } else if (m->trimmed && !m->named) {
        tell(inv, news, "changed", at); /* else when its line is put */
    }
    return m->by != 0;
}

void mp_inventory_files_sweep(struct mp_inventory *inv, const struct mp_inventory_news *news)
{
    for (uint32_t e = 0; e < inv->p->entity_count; e++) {
        uint32_t left = 0;
        for (uint32_t i = 0; i < inv->entry_count[e]; i++) {
            uint32_t at = inv->entries[e][i];
            if (stays(inv, at, news)) {
                inv->members[at].line_at = left;
                inv->entries[e][left++] = at;
            } else {
                inv->members[at].line_at = MP_NONE;
                mp_inventory_release(inv, at);
            }
        }
        inv->entry_count[e] = left;
    }
    inv->version++;
    inv->identities_dirty = true;
}

/* ---- what they say ---- */

enum mp_err mp_inventory_files_put(struct mp_inventory *inv, const struct mp_entity_line *line,
                                   const struct mp_inventory_news *news)
{
    uint32_t at;
    bool came, changed;
    MP_TRY(mp_inventory_put_by(inv, line, MP_INVENTORY_BY_FILE, &at, &came, &changed));
    struct member *m = &inv->members[at];
    if (came) {
        m->told = false; /* a slot may have been another's */
        tell(inv, news, "came", at);
    } else if (changed || m->trimmed) {
        tell(inv, news, "changed", at);
    }
    m->trimmed = false;
    return MP_OK;
}
