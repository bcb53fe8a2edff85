/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_priv.h"

#include "base/assert.h"

enum mpol_err mpol_field(struct mpol_engine *e, const char *name, uint32_t *field)
{
    size_t len = name != NULL ? strlen(name) : 0;
    if (len == 0 || len >= FIELD_NAME_BYTES) return MPOL_EINVAL;
    for (uint32_t i = 0; i < e->name_count; i++) {
        if (strcmp(e->names[i], name) == 0) {
            *field = i;
            return MPOL_OK;
        }
    }
    if (e->name_count == FIELD_NAMES_MAX) return MPOL_ELIMIT;
    memcpy(e->names[e->name_count], name, len + 1);
    *field = e->name_count++;
    for (struct generation *g = e->current; g != NULL; g = g->older) {
        api_generation_name(e, g, *field);
    }
    return MPOL_OK;
}

int mpol_field_wanted(const struct mpol_engine *e, uint32_t field)
{
    return field < e->name_count && e->current->own.name_of[field] != MP_NONE;
}

size_t api_record_size(const struct mpol_engine *e)
{
    size_t size = sizeof(struct mpol_record) + e->limits.record_bytes;
    return (size + 63) / 64 * 64;
}

enum mpol_err mpol_record_create(struct mpol_engine *e, struct mpol_record **out)
{
    struct mpol_record *r = e->world.alloc.alloc(&e->world, api_record_size(e));
    if (r == NULL) return MPOL_ENOMEM;
    memset(r, 0, sizeof *r);
    r->engine = e;
    r->byte_cap = e->limits.record_bytes;
    *out = r;
    return MPOL_OK;
}

void mpol_record_destroy(struct mpol_record *r)
{
    if (r == NULL) return;
    struct api_world *w = &r->engine->world;
    w->alloc.free(w, r, api_record_size(r->engine));
}

void api_record_copy(struct mpol_record *to, const struct mpol_record *from)
{
    size_t head = offsetof(struct mpol_record, values) + from->value_count * sizeof *from->values;
    memcpy(to, from, head);
    memcpy(to->bytes, from->bytes, from->byte_count);
}

enum mpol_err mpol_record_begin(struct mpol_record *r, const char *signal, int64_t wall_ns,
                                uint32_t layer)
{
    size_t len = signal != NULL ? strlen(signal) : SIGNAL_NAME_BYTES;
    bool one = layer == MPOL_INGRESS || layer == MPOL_SERVICE || layer == MPOL_EDGE;
    bool timely = wall_ns >= 0 && wall_ns <= MP_LINE_TIME_MAX_NS;
    if (len >= SIGNAL_NAME_BYTES || !one || !timely) return MPOL_EINVAL;
    memcpy(r->signal, signal, len);
    r->signal_len = (uint32_t)len;
    r->wall_ns = wall_ns;
    r->layer = layer;
    r->judged = false;
    r->byte_count = 0;
    r->refused_len = 0;
    for (uint32_t i = 0; i < r->value_count; i++) r->slot_of[r->values[i].field] = 0;
    r->value_count = 0;
    return MPOL_OK;
}

static enum mpol_err slot(struct mpol_record *r, uint32_t field, struct value **out)
{
    if (field >= FIELD_NAMES_MAX) return MPOL_EINVAL;
    if (r->slot_of[field] == 0) {
        if (r->value_count == RECORD_FIELDS_MAX) return MPOL_ELIMIT;
        r->values[r->value_count].field = field;
        r->slot_of[field] = (uint8_t)++r->value_count;
    }
    *out = &r->values[r->slot_of[field] - 1];
    return MPOL_OK;
}

static bool bytes_put(struct mpol_record *r, struct mpol_text text, uint32_t *at)
{
    if (text.len > r->byte_cap - r->byte_count) return false;
    *at = r->byte_count;
    if (text.len > 0) memcpy(r->bytes + r->byte_count, text.ptr, text.len);
    r->byte_count += (uint32_t)text.len;
    return true;
}

enum mpol_err mpol_record_text(struct mpol_record *r, uint32_t field, struct mpol_text text)
{
    uint32_t at;
    struct value *v;
    if (!bytes_put(r, text, &at)) return MPOL_ELIMIT;
    enum mpol_err err = slot(r, field, &v);
    if (err != MPOL_OK) return err;
    v->kind = VALUE_TEXT;
    v->as.text.at = at;
    v->as.text.len = (uint32_t)text.len;
    return MPOL_OK;
}

enum mpol_err mpol_record_int(struct mpol_record *r, uint32_t field, int64_t value)
{
    struct value *v;
    enum mpol_err err = slot(r, field, &v);
    if (err != MPOL_OK) return err;
    v->kind = VALUE_INT;
    v->as.integer = value;
    return MPOL_OK;
}

enum mpol_err mpol_record_number(struct mpol_record *r, uint32_t field, double value)
{
    struct value *v;
    enum mpol_err err = slot(r, field, &v);
    if (err != MPOL_OK) return err;
    v->kind = VALUE_NUMBER;
    v->as.number = value;
    return MPOL_OK;
}

enum mpol_err mpol_record_refused(struct mpol_record *r, struct mpol_text rule)
{
    uint32_t at;
    if (rule.len == 0) return MPOL_EINVAL;
    if (!bytes_put(r, rule, &at)) return MPOL_ELIMIT;
    r->refused_at = at;
    r->refused_len = (uint32_t)rule.len;
    return MPOL_OK;
}
