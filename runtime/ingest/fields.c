/* SPDX-License-Identifier: Apache-2.0
 * From leaves to a record or to a line of inventory, and records made field by field.
 */
#include "ingest/ingest_priv.h"

bool mp_is_leaf(const struct mp_ingest *in, uint32_t name)
{
    return name != MP_NONE && in->leaves[name].line == in->line;
}

/* The later of the two ways to name it, as the last of two equal names wins. */
static const struct leaf *leaf_of(const struct mp_ingest *in, const struct source_name *n)
{
    const struct leaf *a = mp_is_leaf(in, n->name) ? &in->leaves[n->name] : NULL;
    const struct leaf *b = mp_is_leaf(in, n->alias) ? &in->leaves[n->alias] : NULL;
    if (a == NULL || b == NULL) return a != NULL ? a : b;
    return (uintptr_t)a->raw.ptr > (uintptr_t)b->raw.ptr ? a : b;
}

/* `{"name":"pay","namespace":"prod"}` is `prod/pay` (language.md 4.1). */
static bool with_namespace(struct mp_ingest *in, uint32_t namespace, struct mp_value *key)
{
    mp_str space, name = mp_value_as_text(key);
    const struct leaf *leaf = &in->leaves[namespace];
    if (leaf->kind != MP_JSON_STRING || !mp_leaf_text(in, leaf, &space)) return true;
    if (space.len == 0 || mp_str_eq(space, MP_STR("default"))) return true;
    if (memchr(name.ptr, '/', name.len) != NULL) return true;
    char *at = mp_scratch(in, space.len + 1 + name.len);
    if (at == NULL) return false;
    memcpy(at, space.ptr, space.len);
    at[space.len] = '/';
    memcpy(at + space.len + 1, name.ptr, name.len);
    *key = mp_value_text((mp_str){at, space.len + 1 + name.len});
    return true;
}

static void set_known(uint64_t *known, uint32_t slot)
{
    known[slot / 64] |= UINT64_C(1) << (slot % 64);
}

static bool field_value(struct mp_ingest *in, uint32_t field, struct mp_value *out)
{
    const struct source_name *n = &in->fields[field];
    const struct leaf *leaf = leaf_of(in, n);
    if (leaf == NULL) return false;
    if (!mp_convert_leaf(in, leaf, &in->wanted[field], out)) return false;
    if (mp_is_leaf(in, n->namespace)) return with_namespace(in, n->namespace, out);
    return true;
}

static bool preset(const struct mp_program *p, uint32_t field, struct mp_value *out)
{
    if (p->field[field].preset == MP_NONE) return false;
    *out = p->consts[p->field[field].preset];
    return true;
}

static uint32_t layer_of(const struct mp_ingest *in, const struct mp_signal_row *s)
{
    if (s->layer == MP_NONE) return MP_LAYER_SERVICE;
    uint32_t slot = s->layer - s->fields_at;
    if ((in->known[slot / 64] >> (slot % 64) & 1) == 0) return MP_LAYER_SERVICE;
    mp_str text = mp_value_as_text(&in->field[slot]);
    if (mp_str_eq(text, MP_STR("ingress"))) return MP_LAYER_INGRESS;
    if (mp_str_eq(text, MP_STR("edge"))) return MP_LAYER_EDGE;
    return MP_LAYER_SERVICE;
}

uint32_t mp_refused_signal(const struct mp_ingest *in, uint32_t signal)
{
    return signal == in->requests ? in->refusals : signal;
}

/* The rule that refused a request stands in its record. */
static void set_policy(struct mp_ingest *in, const struct mp_record *r)
{
    if (in->policy == MP_NONE || r->refused_by.len == 0) return;
    uint32_t slot = in->policy - in->p->signal[in->refusals].fields_at;
    in->field[slot] = mp_value_text(r->refused_by);
    set_known(in->known, slot);
}

/* Presets, what is missing, and the layer. */
static void finish(struct mp_ingest *in, uint32_t signal, struct mp_record *out)
{
    const struct mp_signal_row *s = &in->p->signal[signal];
    bool missing = false;
    if (signal == in->refusals) set_policy(in, out);
    for (uint32_t i = 0; i < s->fields_count; i++) {
        if ((in->known[i / 64] >> (i % 64) & 1) != 0) continue;
        if (preset(in->p, s->fields_at + i, &in->field[i])) {
            set_known(in->known, i);
        } else {
            in->field[i] = (struct mp_value){{0, 0}};
            missing |= (in->p->field[s->fields_at + i].flags & MP_FIELD_ALWAYS) != 0;
        }
    }
    in->counts.missing_always += missing;
    in->counts.records++;
    out->signal = signal;
    out->layer = layer_of(in, s);
    out->known = in->known;
    out->field = in->field;
}

static void begin(struct mp_ingest *in, uint32_t signal)
{
    uint32_t words = (in->p->signal[signal].fields_count + 63) / 64;
    memset(in->known, 0, words * sizeof *in->known);
}

void mp_record_make(struct mp_ingest *in, uint32_t signal, struct mp_record *out)
{
    const struct mp_signal_row *s = &in->p->signal[signal];
    begin(in, signal);
    for (uint32_t i = 0; i < s->fields_count; i++) {
        if (field_value(in, s->fields_at + i, &in->field[i])) set_known(in->known, i);
    }
    finish(in, signal, out);
}

/* ---- inventory ---- */

bool mp_entity_make(struct mp_ingest *in, uint32_t entity, const char **why)
{
    const struct mp_entity_row *e = &in->p->entity[entity];
    struct mp_entity_line *line = &in->entity;
    const struct leaf *key = leaf_of(in, &in->keys[entity]);
    struct wanted want = {.type = e->key_type, .entity = MP_NONE};
    line->entity = entity;
    line->attr_count = 0;
    in->odd = MP_NONE;
    *why = "an entity without its key";
    if (key == NULL || !mp_convert_leaf(in, key, &want, &line->key)) return false;
    if (mp_is_leaf(in, in->keys[entity].namespace) &&
        !with_namespace(in, in->keys[entity].namespace, &line->key)) {
        return false;
    }
    for (uint32_t i = 0; i < e->attrs_count && line->attr_count < MP_ENTITY_ATTRS_MAX; i++) {
        uint32_t attr = e->attrs_at + i;
        uint32_t name = in->attrs[attr].name;
        if (!mp_is_leaf(in, name) || name == in->keys[entity].name) continue;
        const struct leaf *leaf = &in->leaves[name];
        struct mp_entity_attr *a = &line->attrs[line->attr_count];
        *a = (struct mp_entity_attr){.attr = attr};
        want = mp_wanted_attr(in->p, attr);
        a->known = mp_convert_leaf(in, leaf, &want, &a->value);
        if (a->known || leaf->kind == MP_JSON_NULL) {
            line->attr_count++;
        } else if (in->odd == MP_NONE && !in->odd_told[attr]) {
            in->odd = attr;
        }
    }
    return true;
}

/* ---- field by field ---- */

uint32_t mp_ingest_name(const struct mp_ingest *in, mp_str name)
{
    return mp_names_find(in, name.ptr, name.len);
}

uint32_t mp_ingest_signal(const struct mp_ingest *in, mp_str name)
{
    for (uint32_t i = 0; i < in->p->signal_count; i++) {
        if (mp_str_eq(mp_program_text(in->p, in->p->signal[i].name), name)) return i;
    }
    return MP_NONE;
}

uint32_t mp_ingest_field(const struct mp_ingest *in, uint32_t signal, mp_str path)
{
    if (signal == MP_NONE) return MP_NONE;
    const struct mp_signal_row *s = &in->p->signal[signal];
    for (uint32_t i = s->fields_at; i < s->fields_at + s->fields_count; i++) {
        if (mp_str_eq(mp_program_text(in->p, in->p->field[i].path), path)) return i;
    }
    return MP_NONE;
}

static bool given_value(struct mp_ingest *in, const struct mp_field_in *f,
                        const struct wanted *want, struct mp_value *out)
{
    enum mp_rep rep = mp_type_rep(want->type);
    if (want->set) return false;
    if (f->kind == MP_FIELD_TEXT) return mp_convert_text(in, want, f->text, out);
    if (f->kind == MP_FIELD_NUMBER)
        return rep == MP_REP_F && mp_convert_num(want->type, f->number, out);
    if (rep == MP_REP_F) return mp_convert_num(want->type, (double)f->integer, out);
    if (rep == MP_REP_I) return mp_convert_int(want->type, f->integer, out);
    *out = mp_value_bool(f->integer != 0);
    return rep == MP_REP_B;
}

static const struct mp_field_in *given(const struct mp_field_in *fields, uint32_t count,
                                       const struct source_name *n)
{
    const struct mp_field_in *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (fields[i].name == n->name || (n->alias != MP_NONE && fields[i].name == n->alias)) {
            found = &fields[i];
        }
    }
    return found;
}

static void given_frame(struct mp_ingest *in, const struct mp_field_in *fields, uint32_t count,
                        struct mp_record *out)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_field_in *f = &fields[i];
        if (f->name == FRAME_WEIGHT) {
            bool fits =
                f->kind == MP_FIELD_INT && f->integer >= 1 && f->integer <= MP_LINE_WEIGHT_MAX;
            out->weight = fits ? f->integer : 1;
            in->counts.bad_values += !fits;
        }
        if (f->name == FRAME_REFUSED_BY && f->kind == MP_FIELD_TEXT) out->refused_by = f->text;
        if (f->name == FRAME_ID && f->kind == MP_FIELD_TEXT) {
            out->id = mp_siphash(in->hash_key, f->text.ptr, f->text.len) | 1;
        }
    }
}

/* A record that has nothing yet but its frame. */
static void open_record(struct mp_ingest *in, uint32_t signal, int64_t time_ns, uint32_t source,
                        struct mp_record *out)
{
    MP_ASSERT(signal < in->p->signal_count);
    *out = (struct mp_record){.time_ns = time_ns, .source = source, .weight = 1};
    in->scratch_used = 0;
    in->set_used = 0;
    begin(in, signal);
}

static void give(struct mp_ingest *in, const struct mp_signal_row *s, uint32_t slot,
                 const struct mp_field_in *f)
{
    bool known = given_value(in, f, &in->wanted[s->fields_at + slot], &in->field[slot]);
    if (known) set_known(in->known, slot);
    in->counts.bad_values += !known;
}

void mp_ingest_fields(struct mp_ingest *in, uint32_t signal, int64_t time_ns, uint32_t source,
                      const struct mp_field_in *fields, uint32_t count, struct mp_record *out)
{
    open_record(in, signal, time_ns, source, out);
    given_frame(in, fields, count, out);
    const struct mp_signal_row *s = &in->p->signal[signal];
    for (uint32_t i = 0; i < s->fields_count; i++) {
        const struct mp_field_in *f = given(fields, count, &in->fields[s->fields_at + i]);
        if (f != NULL) give(in, s, i, f);
    }
    finish(in, signal, out);
}

void mp_ingest_begin(struct mp_ingest *in, uint32_t signal, int64_t time_ns, struct mp_record *out)
{
    open_record(in, signal, time_ns, 0, out);
    out->signal = signal;
    out->known = in->known;
    out->field = in->field;
}

void mp_ingest_give(struct mp_ingest *in, const struct mp_record *to, const struct mp_field_in *f)
{
    const struct mp_signal_row *s = &in->p->signal[to->signal];
    MP_ASSERT(f->name < s->fields_count);
    give(in, s, f->name, f);
}

void mp_ingest_finish(struct mp_ingest *in, struct mp_record *out)
{
    finish(in, out->signal, out);
}
