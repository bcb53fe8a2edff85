/* SPDX-License-Identifier: Apache-2.0
 * From what a line says to the value of a field's type.
 */
#include "ingest/ingest_priv.h"
#include "schema/decimal.h"

#define PORT_MAX 65535
#define STATUS_MAX 999

char *mp_scratch(struct mp_ingest *in, size_t bytes)
{
    if (bytes > in->scratch_size - in->scratch_used) return NULL;
    char *at = in->scratch + in->scratch_used;
    in->scratch_used += bytes;
    return at;
}

bool mp_leaf_text(struct mp_ingest *in, const struct leaf *leaf, mp_str *out)
{
    *out = leaf->raw;
    if (!leaf->escaped) return true;
    char *at = mp_scratch(in, leaf->raw.len);
    size_t len;
    if (at == NULL || !mp_json_unescape(leaf->raw, at, &len)) return false;
    *out = (mp_str){at, len};
    return true;
}

struct wanted mp_wanted_field(const struct mp_program *p, uint32_t field)
{
    const struct mp_field_row *f = &p->field[field];
    struct wanted w = {.type = f->type, .entity = MP_NONE, .set = (f->flags & MP_FIELD_SET) != 0};
    if (f->attr != MP_NONE && p->attr[f->attr].target != MP_NONE) {
        w.entity = p->attr[f->attr].target;
    } else if (f->attr == MP_NONE) {
        w.entity = f->entity;
    }
    if (f->type == MP_TYPE_ENTITY && w.entity != MP_NONE) w.type = p->entity[w.entity].key_type;
    return w;
}

struct wanted mp_wanted_attr(const struct mp_program *p, uint32_t attr)
{
    const struct mp_attr_row *a = &p->attr[attr];
    struct wanted w = {.type = a->type, .entity = a->target, .set = a->is_set != 0};
    if (a->target != MP_NONE) w.type = p->entity[a->target].key_type;
    return w;
}

/* ---- numbers ---- */

/* Digits only, as most are. */
static bool plain_int(mp_str s, int64_t *out)
{
    size_t at = s.len > 0 && s.ptr[0] == '-';
    if (s.len == at || s.len - at > 18) return false;
    int64_t v = 0;
    for (size_t i = at; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
        v = v * 10 + (s.ptr[i] - '0');
    }
    *out = at != 0 ? -v : v;
    return true;
}

static bool read_int(mp_str s, int64_t *out)
{
    return plain_int(s, out) || mp_decimal_int(s, 0, 1, out);
}

static bool in_range(enum mp_type type, int64_t v)
{
    switch (type) {
    case MP_TYPE_PORT: return v >= 0 && v <= PORT_MAX;
    case MP_TYPE_STATUS: return v >= 0 && v <= STATUS_MAX;
    case MP_TYPE_ASN: return v >= 0 && v <= UINT32_MAX;
    case MP_TYPE_SIZE:
    case MP_TYPE_COUNTER: return v >= 0;
    default: return true;
    }
}

bool mp_convert_int(enum mp_type type, int64_t v, struct mp_value *out)
{
    *out = mp_value_int(v);
    return in_range(type, v);
}

bool mp_convert_num(enum mp_type type, double v, struct mp_value *out)
{
    *out = mp_value_num(v == 0 ? 0 : v); /* one zero */
    return v - v == 0 && (type != MP_TYPE_SCORE || (v >= 0 && v <= 1));
}

static bool from_number(enum mp_type type, mp_str raw, struct mp_value *out)
{
    int64_t i;
    double f;
    if (type == MP_TYPE_DURATION) return mp_read_duration(raw, &i) && mp_convert_int(type, i, out);
    switch (mp_type_rep(type)) {
    case MP_REP_I: return read_int(raw, &i) && mp_convert_int(type, i, out);
    case MP_REP_F:
        if (plain_int(raw, &i) && i > -(INT64_C(1) << 53) && i < INT64_C(1) << 53) {
            return mp_convert_num(type, (double)i, out);
        }
        return mp_decimal(raw, 0, 1, &f) && mp_convert_num(type, f, out);
    case MP_REP_B:
        if (!plain_int(raw, &i) || (i != 0 && i != 1)) return false;
        *out = mp_value_bool(i != 0);
        return true;
    case MP_REP_T: *out = mp_value_text(raw); return true; /* an id that happens to be digits */
    default: return false;
    }
}

/* ---- texts ---- */

static bool canonical(struct mp_ingest *in, mp_str s, size_t (*make)(mp_str, char *),
                      struct mp_value *out)
{
    char *at = mp_scratch(in, s.len + 1);
    if (at == NULL) return false;
    *out = mp_value_text((mp_str){at, make(s, at)});
    return true;
}

static bool from_address(mp_str s, struct mp_value *out)
{
    uint32_t bits;
    return memchr(s.ptr, '/', s.len) == NULL && mp_value_address(s, out, &bits);
}

static bool from_truth(mp_str s, struct mp_value *out)
{
    bool yes = mp_str_eq(s, MP_STR("true"));
    *out = mp_value_bool(yes);
    return yes || mp_str_eq(s, MP_STR("false"));
}

static bool from_int_text(enum mp_type type, mp_str s, struct mp_value *out)
{
    int64_t i;
    if (type == MP_TYPE_DURATION) return mp_read_duration(s, &i) && mp_convert_int(type, i, out);
    if (type == MP_TYPE_ASN && s.len > 2 && (s.ptr[0] | 32) == 'a' && (s.ptr[1] | 32) == 's') {
        s = mp_str_sub(s, 2, s.len);
    }
    if (read_int(s, &i)) return mp_convert_int(type, i, out);
    return mp_value_read(type, s, out) && in_range(type, mp_value_as_int(*out));
}

static bool from_num_text(enum mp_type type, mp_str s, struct mp_value *out)
{
    double f;
    if (mp_decimal(s, 0, 1, &f)) return mp_convert_num(type, f, out);
    return mp_value_read(type, s, out);
}

bool mp_convert_text(struct mp_ingest *in, const struct wanted *want, mp_str s,
                     struct mp_value *out)
{
    switch (mp_type_rep(want->type)) {
    case MP_REP_T:
        if (want->type == MP_TYPE_PATH) return canonical(in, s, mp_canonical_path, out);
        if (want->type == MP_TYPE_HOST) return canonical(in, s, mp_canonical_host, out);
        *out = mp_value_text(s);
        return true;
    case MP_REP_I: return from_int_text(want->type, s, out);
    case MP_REP_F: return from_num_text(want->type, s, out);
    case MP_REP_A: return from_address(s, out);
    case MP_REP_B: return from_truth(s, out);
    default: return false;
    }
}

/* ---- leaves ---- */

static bool convert_scalar(struct mp_ingest *in, const struct leaf *leaf, const struct wanted *want,
                           struct mp_value *out)
{
    mp_str text;
    switch (leaf->kind) {
    case MP_JSON_NUMBER: return from_number(want->type, leaf->raw, out);
    case MP_JSON_STRING:
        return mp_leaf_text(in, leaf, &text) && mp_convert_text(in, want, text, out);
    case MP_JSON_TRUE:
    case MP_JSON_FALSE:
        *out = mp_value_bool(leaf->kind == MP_JSON_TRUE);
        if (mp_type_rep(want->type) == MP_REP_T) {
            *out = mp_value_text(leaf->kind == MP_JSON_TRUE ? MP_STR("true") : MP_STR("false"));
            return true;
        }
        return mp_type_rep(want->type) == MP_REP_B;
    default: return false;
    }
}

/* Members of an array, each as `want`. False: one is none of the type, or there are too many. */
static bool convert_array(struct mp_ingest *in, mp_str raw, const struct wanted *want,
                          struct mp_value *out)
{
    struct mp_json j;
    mp_json_init(&j, mp_str_sub(raw, 1, raw.len - 2));
    struct mp_value *first = &in->set_values[in->set_used];
    uint32_t count = 0;
    for (enum mp_json_token t = mp_json_next(&j); t != MP_JSON_END; t = mp_json_next(&j)) {
        if (t == MP_JSON_COMMA) continue;
        struct leaf member = {.kind = t, .raw = j.raw, .escaped = j.escaped};
        if (in->set_used + count == SET_VALUES_MAX) return false;
        if (!convert_scalar(in, &member, want, &first[count])) return false;
        count++;
    }
    in->set_used += count;
    *out = (struct mp_value){{(uint64_t)(uintptr_t)first, count}};
    return true;
}

/* A header that occurs twice is its values joined by ", " (language.md 4.2); and so is an argument,
 * and a cookie. */
static bool join_array(struct mp_ingest *in, mp_str raw, struct mp_value *out)
{
    struct wanted text = {.type = MP_TYPE_STRING, .entity = MP_NONE};
    struct mp_value set;
    uint32_t used = in->set_used;
    if (!convert_array(in, raw, &text, &set)) return false;
    in->set_used = used;
    const struct mp_value *members = (const struct mp_value *)(uintptr_t)set.w[0];
    if (set.w[1] == 0) return false;
    size_t len = 0;
    for (uint64_t i = 0; i < set.w[1]; i++) len += mp_value_text_len(members[i]) + 2;
    char *at = mp_scratch(in, len), *put = at;
    if (at == NULL) return false;
    for (uint64_t i = 0; i < set.w[1]; i++) {
        mp_str s = mp_value_as_text(&members[i]);
        if (i != 0) {
            memcpy(put, ", ", 2);
            put += 2;
        }
        memcpy(put, s.ptr, s.len);
        put += s.len;
    }
    *out = mp_value_text((mp_str){at, (size_t)(put - at)});
    return true;
}

bool mp_convert_leaf(struct mp_ingest *in, const struct leaf *leaf, const struct wanted *want,
                     struct mp_value *out)
{
    if (leaf->kind == MP_JSON_NULL) return false;
    bool ok;
    if (leaf->kind == MP_JSON_OPEN_ARRAY) {
        ok = want->set ? convert_array(in, leaf->raw, want, out)
                       : want->joins && join_array(in, leaf->raw, out);
    } else if (want->set) { /* one member */
        struct mp_value *one = in->set_used < SET_VALUES_MAX ? &in->set_values[in->set_used] : NULL;
        ok = one != NULL && convert_scalar(in, leaf, want, one);
        if (ok) *out = (struct mp_value){{(uint64_t)(uintptr_t)one, 1}};
        in->set_used += ok;
    } else {
        ok = convert_scalar(in, leaf, want, out);
    }
    if (!ok) in->counts.bad_values++;
    return ok;
}
