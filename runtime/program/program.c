/* SPDX-License-Identifier: Apache-2.0 */
#include "program/program.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "program/program_priv.h"

static const struct mp_hash_key digest_key = {0x6d706f6c, 0x696d616765};

/* ---- the bytes ---- */

static const char *header_fault(const struct mp_image_header *h, size_t size)
{
    if (memcmp(h->magic, MP_IMAGE_MAGIC, sizeof h->magic) != 0) return "this is no program image";
    if (h->size_bytes != size) return "the image is cut short, or longer than it says";
    if (h->table_count != MP_TABLE_COUNT || h->zero != 0) return "the image has other tables";
    if (h->texts_at > size || h->texts_bytes > size - h->texts_at)
        return "texts outside of the image";
    if (h->texts_bytes > UINT32_MAX) return "more text than references can name";
    return NULL;
}

static const char *table_fault(const struct mp_image_table *t, uint32_t table, size_t size)
{
    if (t->row_bytes != mp_table_layout(table)->row_bytes) return "a table has other rows";
    if (t->at % 8 != 0 || t->at > size) return "a table outside of the image";
    if (t->count > (size - t->at) / t->row_bytes) return "a table outside of the image";
    return t->count < MP_NONE ? NULL : "a table with too many rows";
}

/* Points the program at the tables of `image`, which is its own copy. */
static enum mp_err bind_tables(struct mp_program *p, const char *image, size_t size,
                               const char **why)
{
    struct mp_image_header header;
    struct mp_image_table dir[MP_TABLE_COUNT];
    *why = "this is no program image";
    if (size < sizeof header + sizeof dir) return MP_ECORRUPT;
    memcpy(&header, image, sizeof header);
    memcpy(dir, image + sizeof header, sizeof dir);
    const char *fault = header_fault(&header, size);
    if (fault == NULL && header.layout != mp_layout_mark()) {
        *why = "another version of mpol wrote this image";
        return MP_ESTALE;
    }
    for (uint32_t i = 0; i < MP_TABLE_COUNT && fault == NULL; i++) {
        fault = table_fault(&dir[i], i, size);
        if (fault == NULL) mp_program_set_rows(p, i, image + dir[i].at, dir[i].count);
    }
    *why = fault;
    if (fault != NULL) return MP_ECORRUPT;
    p->texts = image + header.texts_at;
    p->texts_size = header.texts_bytes;
    return MP_OK;
}

/* ---- what loading makes ---- */

static enum mp_err bind_consts(struct mp_program *p)
{
    p->consts = MP_NEW(&p->arena, struct mp_value, p->cnst_count);
    p->params = MP_NEW(&p->arena, struct mp_value, p->param_count);
    p->regexes = MP_NEW(&p->arena, void *, p->cnst_count);
    if (p->consts == NULL || p->params == NULL || p->regexes == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < p->cnst_count; i++) {
        const struct mp_cnst_row *c = &p->cnst[i];
        bool text = mp_type_rep((enum mp_type)c->type) == MP_REP_T;
        p->consts[i] = text ? mp_value_text(mp_program_text(p, c->text))
                            : (struct mp_value){{(uint64_t)c->word0, (uint64_t)c->word1}};
    }
    for (uint32_t i = 0; i < p->param_count; i++) p->params[i] = p->consts[p->param[i].value];
    return MP_OK;
}

static enum mp_err compile_regex(struct mp_program *p, uint32_t cnst, const char **why)
{
    const char *error = "a regular expression that is none";
    if (p->regexes[cnst] != NULL) return MP_OK;
    if (p->os == NULL || p->os->regex_compile == NULL) {
        *why = "`matches` needs regular expressions, which this build does not have";
        return MP_EUNSUPPORTED;
    }
    mp_str pattern = mp_program_text(p, p->cnst[cnst].text);
    enum mp_err err = p->os->regex_compile(p->os->ctx, pattern, &p->regexes[cnst], &error);
    if (err == MP_OK) return MP_OK;
    p->regexes[cnst] = NULL;
    *why = error;
    return err == MP_ENOMEM ? err : MP_ECORRUPT; /* the compiler has tried them all */
}

static enum mp_err compile_regexes(struct mp_program *p, const char **why)
{
    for (uint32_t i = 0; i < p->op_count; i++) {
        const struct mp_op_row *op = &p->op[i];
        bool one = op->code == MP_OP_MATCHES || op->code == MP_OP_MATCHES_LIMIT;
        if (one) MP_TRY(compile_regex(p, op->b, why));
        if (op->code != MP_OP_LIST_MATCHES) continue;
        const struct mp_list_row *l = &p->list[op->b];
        for (uint32_t k = 0; k < l->items_count; k++) {
            MP_TRY(compile_regex(p, p->item[l->items_at + k].value, why));
        }
    }
    return MP_OK;
}

static enum mp_err load(struct mp_program *p, const void *bytes, size_t size, const char **why)
{
    char *image = mp_arena_alloc(&p->arena, size, 16);
    if (image == NULL) return MP_ENOMEM;
    memcpy(image, bytes, size);
    MP_TRY(bind_tables(p, image, size, why));
    struct mp_fault fault = {NULL, MP_NONE, MP_NONE};
    enum mp_err err = mp_program_verify(p, &fault);
    *why = fault.why;
    MP_TRY(err);
    *why = "out of memory";
    p->digest = mp_siphash(digest_key, image, size);
    MP_TRY(bind_consts(p));
    MP_TRY(mp_program_build_lists(p));
    MP_TRY(mp_program_build_code(p));
    p->exec = MP_NEW(&p->arena, struct mp_exec, 1);
    if (p->exec == NULL) return MP_ENOMEM;
    return compile_regexes(p, why);
}

static bool little_endian(void)
{
    const uint16_t one = 1;
    return *(const unsigned char *)&one == 1;
}

enum mp_err mp_program_load(const void *bytes, size_t size, const struct mp_os *os,
                            struct mp_program **out, const char **why)
{
    const char *fault = "out of memory";
    if (!little_endian()) { /* LIMIT: values and images are little-endian */
        *why = "program images need a little-endian machine";
        return MP_EUNSUPPORTED;
    }
    bool own = os != NULL && os->alloc != NULL && os->free != NULL;
    struct mp_program *p = own ? os->alloc(os->ctx, sizeof *p) : malloc(sizeof *p);
    *why = fault;
    if (p == NULL) return MP_ENOMEM;
    memset(p, 0, sizeof *p);
    p->os = os;
    if (own) p->memory = (struct mp_alloc){os->alloc, os->free, os->ctx, os->alloc_zeroed};
    mp_arena_init(&p->arena, own ? &p->memory : NULL, 0);
    enum mp_err err = load(p, bytes, size, &fault);
    if (err != MP_OK) {
        *why = fault != NULL ? fault : mp_err_text(err);
        mp_program_free(p);
        return err;
    }
    *out = p;
    return MP_OK;
}

void mp_program_free(struct mp_program *p)
{
    if (p == NULL) return;
    for (uint32_t i = 0; p->regexes != NULL && i < p->cnst_count; i++) {
        if (p->regexes[i] != NULL) p->os->regex_free(p->os->ctx, p->regexes[i]);
    }
    mp_arena_free(&p->arena);
    struct mp_alloc memory = p->memory;
    if (memory.free != NULL) {
        memory.free(memory.ctx, p, sizeof *p);
    } else {
        free(p);
    }
}
