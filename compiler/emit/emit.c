/* SPDX-License-Identifier: Apache-2.0 */
#include "emit/emit.h"

#include "base/assert.h"

/* The texts in the order in which the rows name them: the pool of `ir` may hold texts that nobody
 * names any more, in an order that depends on how lowering went about its work. */
struct pool {
    const struct mp_ir *ir;
    struct mp_buf bytes;
    struct mp_map places;
    bool failed;
};

static uint32_t place(struct pool *pool, uint32_t ref)
{
    mp_str text = mp_ir_str(pool->ir, (mp_text_ref){ref});
    struct mp_map_entry *found = NULL;
    bool fresh = false;
    if (mp_map_put(&pool->places, text, (uint32_t)pool->bytes.len, &found, &fresh) != MP_OK) {
        pool->failed = true;
        return 0;
    }
    if (!fresh) return found->value;
    uint32_t len = (uint32_t)text.len;
    mp_buf_put(&pool->bytes, (mp_str){(const char *)&len, sizeof len});
    mp_buf_put(&pool->bytes, text);
    pool->failed |= pool->bytes.failed;
    return found->value;
}

/* A row member by member into zeroed bytes: what lies between members must not depend on memory. */
static void put_row(struct pool *pool, uint32_t table, const char *row, char *to)
{
    uint32_t count;
    const struct mp_member *m = mp_table_members(table, &count);
    for (uint32_t i = 0; i < count; i++) {
        bool wide = m[i].kind == MP_MEMBER_I64 || m[i].kind == MP_MEMBER_F64 ||
                    m[i].kind == MP_MEMBER_SPAN;
        memcpy(to + m[i].offset_bytes, row + m[i].offset_bytes, wide ? 8 : 4);
        if (m[i].kind != MP_MEMBER_STR) continue;
        uint32_t ref;
        memcpy(&ref, row + m[i].offset_bytes, sizeof ref);
        ref = place(pool, ref);
        memcpy(to + m[i].offset_bytes, &ref, sizeof ref);
    }
}

static size_t align8(size_t n) { return (n + 7) & ~(size_t)7; }

static size_t lay_out(const struct mp_program *view, struct mp_image_table dir[MP_TABLE_COUNT])
{
    size_t at = sizeof(struct mp_image_header) + sizeof dir[0] * MP_TABLE_COUNT;
    for (uint32_t table = 0; table < MP_TABLE_COUNT; table++) {
        uint32_t count, row_bytes = mp_table_layout(table)->row_bytes;
        (void)mp_program_rows(view, table, &count);
        at = align8(at);
        dir[table] = (struct mp_image_table){at, count, row_bytes};
        at += (size_t)count * row_bytes;
    }
    return align8(at);
}

enum mp_err mp_emit(struct mp_ir *ir, struct mp_arena *arena, mp_str *image,
                    struct mp_fault *fault)
{
    const uint16_t one = 1;
    MP_ASSERT(*(const unsigned char *)&one == 1); /* images are little-endian */
    MP_TRY(mp_ir_verify(ir, fault));
    struct mp_program view;
    mp_ir_view(ir, &view);
    struct mp_image_table dir[MP_TABLE_COUNT];
    size_t texts_at = lay_out(&view, dir);

    struct pool pool = {.ir = ir};
    mp_buf_init(&pool.bytes, arena);
    mp_map_init(&pool.places, arena);
    place(&pool, 0);
    char *head = mp_arena_alloc(arena, texts_at, 8);
    *fault = (struct mp_fault){"out of memory", MP_NONE, MP_NONE};
    if (head == NULL) return MP_ENOMEM;
    for (uint32_t table = 0; table < MP_TABLE_COUNT; table++) {
        uint32_t count;
        const char *rows = mp_program_rows(&view, table, &count);
        for (uint32_t i = 0; i < count; i++) {
            size_t offset = (size_t)i * dir[table].row_bytes;
            put_row(&pool, table, rows + offset, head + dir[table].at + offset);
        }
    }
    struct mp_image_header header = {
        .magic = MP_IMAGE_MAGIC,
        .layout = mp_layout_mark(),
        .size_bytes = texts_at + pool.bytes.len,
        .texts_at = texts_at,
        .texts_bytes = pool.bytes.len,
        .table_count = MP_TABLE_COUNT,
    };
    memcpy(head, &header, sizeof header);
    memcpy(head + sizeof header, dir, sizeof dir);
    char *all = mp_arena_alloc(arena, header.size_bytes, 8);
    if (all == NULL || pool.failed) return MP_ENOMEM;
    memcpy(all, head, texts_at);
    memcpy(all + texts_at, pool.bytes.ptr, pool.bytes.len);
    *image = (mp_str){all, header.size_bytes};
    return MP_OK;
}
