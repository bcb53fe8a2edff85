/* SPDX-License-Identifier: Apache-2.0 */
#include "kept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

void kept_open(struct kept *k)
{
    memset(k, 0, sizeof *k);
    mp_arena_init(&k->arena, NULL, 0);
}

void kept_close(struct kept *k) { mp_arena_free(&k->arena); }

static void keep(void *ctx, const struct mp_state_row *row)
{
    struct kept *k = ctx;
    uint32_t i = 0;
    while (i < k->count && (k->row[i].kind != row->kind || k->row[i].id != row->id)) i++;
    assert_true(i < KEPT_ROWS_MAX);
    k->row[i] = *row;
    k->row[i].bytes = mp_arena_str(&k->arena, row->bytes);
    if (i == k->count) k->count++;
}

void kept_take(struct kept *k, struct mp_engine *e)
{
    struct mp_engine_status s;
    mp_engine_changes(e, k, keep);
    mp_engine_status(e, &s);
    k->entries = s.entries;
    mp_engine_chain(e, k->chain);
}

void kept_restore(const struct kept *k, struct mp_engine *e)
{
    for (uint32_t i = 0; i < k->count; i++) {
        if (k->row[i].bytes.len == 0) continue;
        assert_int_equal(mp_engine_restore(e, &k->row[i]), MP_OK);
    }
    assert_int_equal(mp_engine_resume(e, k->entries, k->chain), MP_OK);
}
