/* SPDX-License-Identifier: Apache-2.0
 * Expressions: Kleene's logic, units, unknowns, walks. Aggregates are in slow_agg.c.
 */
#include "slow.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "base/assert.h"

#define OBSERVED_NS (INT64_C(600) * 1000000000) /* §4.1: observations end after 10 min */
#define LOWER_MAX 8192
#define POW_MAX 1024

static const struct slow_value unknown = {false, {{0, 0}}};

static struct slow_value of_bool(bool b) { return (struct slow_value){true, mp_value_bool(b)}; }
static struct slow_value of_int(int64_t i) { return (struct slow_value){true, mp_value_int(i)}; }

static struct slow_value of_num(double f)
{
    return isfinite(f) ? (struct slow_value){true, mp_value_num(f)} : unknown;
}

static struct slow_value of_text(mp_str s) { return (struct slow_value){true, mp_value_text(s)}; }

static enum mp_truth truth_of(struct slow_value v)
{
    return !v.known ? MP_UNKNOWN : v.v.w[0] != 0 ? MP_TRUE : MP_FALSE;
}

static struct slow_value of_truth(enum mp_truth t)
{
    return t == MP_UNKNOWN ? unknown : of_bool(t == MP_TRUE);
}

enum mp_rep slow_rep(struct mp_t_type t)
{
    if (t.is_set) return MP_REP_S;
    if (t.base == MP_TYPE_ENTITY) return mp_type_rep(t.entity->attrs[0].type.base);
    return mp_type_rep(t.base);
}

static mp_str text_of(const struct mp_value *v) { return mp_value_as_text(v); }

bool slow_same(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    switch (rep) {
    case MP_REP_F: return mp_value_as_num(a) == mp_value_as_num(b);
    case MP_REP_T: return mp_str_eq(text_of(&a), text_of(&b));
    case MP_REP_A: return a.w[0] == b.w[0] && a.w[1] == b.w[1];
    default: return a.w[0] == b.w[0];
    }
}

/* ---- walks ---- */

static struct slow_value constant_key(struct mp_t_type type, mp_str text)
{
    if (slow_rep(type) == MP_REP_A) {
        struct slow_value out = unknown;
        uint32_t bits;
        out.known = mp_value_address(text, &out.v, &bits);
        return out;
    }
    if (slow_rep(type) == MP_REP_I) return of_int(strtoll(text.ptr, NULL, 10));
    return of_text(text);
}

static struct slow_value field_value(const struct slow_record *r, const struct mp_t_field *field,
                                     mp_str entry)
{
    const struct slow_field *f = &r->fields[field->index];
    if (field->type.is_map && entry.ptr != NULL) {
        for (uint32_t i = 0; i < f->entry_count; i++) {
            if (mp_str_eq(f->entries[i].name, entry)) return f->entries[i].value;
        }
        return unknown;
    }
    if (!f->value.known && field->preset != NULL) {
        const struct mp_t_expr *p = field->preset;
        return slow_rep(p->type) == MP_REP_T ? of_text(p->text)
                                             : (struct slow_value){true, p->value};
    }
    return f->value;
}

/* The newest record that names both says where a thing belongs. */
static struct slow_value observed_belongs(struct slow_world *w, const struct mp_t_observe *o,
                                          struct mp_value key)
{
    const struct mp_t_entity *owner = o->attr->owner, *target = o->attr->type.entity;
    for (uint32_t n = w->record_count; n-- > 0;) {
        const struct slow_record *r = &w->records[n];
        const struct slow_value *mine = NULL, *other = NULL;
        if (w->as_of != 0 && r->number > w->as_of) continue;
        for (uint32_t k = 0; k < r->signal->key_count; k++) {
            if (r->signal->keys[k] == owner) mine = &r->keys[k];
            if (r->signal->keys[k] == target) other = &r->keys[k];
        }
        if (mine == NULL || other == NULL || !mine->known || !other->known) continue;
        if (w->now_ns - r->heard_ns >= OBSERVED_NS) continue;
        if (slow_same(slow_rep(owner->attrs[0].type), mine->v, key)) return *other;
    }
    return unknown;
}

static struct slow_value attr_value(struct slow_world *w, const struct mp_t_attr *attr,
                                    struct mp_value key, mp_str entry);

struct members {
    struct mp_value *all;
    uint32_t count;
};

static void add_member(struct slow_world *w, struct members *m, enum mp_rep rep, struct mp_value v)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (slow_same(rep, m->all[i], v)) return;
    }
    struct mp_value *more = MP_NEW(w->arena, struct mp_value, m->count + 1);
    MP_ASSERT(more != NULL);
    if (m->count > 0) memcpy(more, m->all, m->count * sizeof *more);
    more[m->count++] = v;
    m->all = more;
}

/* Everything that was named anywhere and belongs to `key`. */
static struct slow_value observed_members(struct slow_world *w, const struct mp_t_observe *o,
                                          struct mp_value key)
{
    const struct mp_t_entity *member = o->via->owner;
    enum mp_rep rep = slow_rep(member->attrs[0].type),
                key_rep = slow_rep(o->attr->owner->attrs[0].type);
    struct members named = {NULL, 0}, out = {NULL, 0};
    for (uint32_t i = 0; i < w->attr_count; i++) {
        if (w->attrs[i].attr->owner == member) add_member(w, &named, rep, w->attrs[i].key);
    }
    for (uint32_t n = 0; n < w->record_count; n++) {
        const struct slow_record *r = &w->records[n];
        for (uint32_t k = 0; k < r->signal->key_count; k++) {
            if (r->signal->keys[k] == member && r->keys[k].known)
                add_member(w, &named, rep, r->keys[k].v);
        }
    }
    for (uint32_t i = 0; i < named.count; i++) {
        struct slow_value at = attr_value(w, o->via, named.all[i], (mp_str){NULL, 0});
        if (at.known && slow_same(key_rep, at.v, key)) add_member(w, &out, rep, named.all[i]);
    }
    if (out.count == 0) return unknown;
    return (struct slow_value){true, {{(uint64_t)(uintptr_t)out.all, out.count}}};
}

static struct slow_value attr_value(struct slow_world *w, const struct mp_t_attr *attr,
                                    struct mp_value key, mp_str entry)
{
    enum mp_rep rep = slow_rep(attr->owner->attrs[0].type);
    if (attr->index == 0) return (struct slow_value){true, key};
    for (uint32_t i = w->attr_count; i-- > 0;) {
        const struct slow_attr *a = &w->attrs[i];
        if (a->attr != attr || !slow_same(rep, a->key, key)) continue;
        if (entry.ptr != NULL && !mp_str_eq(entry, a->entry)) continue;
        if (a->value.known) return a->value;
        break;
    }
    for (uint32_t i = 0; i < w->typed->observes.len; i++) {
        const struct mp_t_observe *o = &w->typed->observes.ptr[i];
        if (o->attr != attr) continue;
        struct slow_value v = o->kind == MP_OBSERVE_BELONGS   ? observed_belongs(w, o, key)
                              : o->kind == MP_OBSERVE_MEMBERS ? observed_members(w, o, key)
                                                              : unknown;
        if (v.known) return v;
    }
    const struct mp_t_expr *p = attr->preset;
    if (p == NULL) return unknown;
    return slow_rep(p->type) == MP_REP_T ? of_text(p->text) : (struct slow_value){true, p->value};
}

static struct slow_value follow(struct slow_world *w, struct slow_value v,
                                const struct mp_t_attr **hops, uint32_t count, mp_str entry)
{
    for (uint32_t i = 0; i < count && v.known; i++) {
        bool last_map = i + 1 == count && hops[i]->type.is_map;
        v = attr_value(w, hops[i], v.v, last_map ? entry : (mp_str){NULL, 0});
    }
    return v;
}

struct slow_value slow_way(struct slow_world *w, const struct slow_at *at,
                           const struct mp_t_walk *walk)
{
    const struct slow_record *r = at->ask->record;
    struct slow_value v = unknown;
    mp_str of_hop = walk->hop_count > 0 ? walk->entry : (mp_str){NULL, 0};
    switch (walk->base) {
    case MP_T_BASE_RECORD_KEY:
        if (r != NULL && (walk->signal == NULL || walk->signal == r->signal))
            v = r->keys[walk->index];
        break;
    case MP_T_BASE_RECORD_FIELD:
        if (r != NULL && walk->field->signal == r->signal) {
            bool map = walk->field->type.is_map;
            v = field_value(r, walk->field, map ? walk->entry : (mp_str){NULL, 0});
        }
        break;
    case MP_T_BASE_ROW_KEY: v = at->ask->row[walk->index]; break;
    case MP_T_BASE_CONST: {
        struct mp_t_type type = walk->names != NULL ? walk->names->attrs[0].type : walk->type;
        if (walk->hop_count > 0 && walk->hops[0]->owner != walk->names)
            type = walk->hops[0]->owner->attrs[0].type;
        v = constant_key(type, walk->constant);
        break;
    }
    case MP_T_BASE_MEMBER:
        if (at->member != NULL) v = *at->member;
        break;
    case MP_T_BASE_EXPR: v = slow_expr(w, at, walk->expr); break;
    }
    return follow(w, v, walk->hops, walk->hop_count, of_hop);
}

static struct slow_value record_key(struct slow_world *w, const struct slow_record *r,
                                    const struct mp_t_key *key)
{
    if (key->field != NULL) {
        if (key->field->signal == r->signal) return field_value(r, key->field, key->entry);
        return unknown;
    }
    for (uint32_t k = 0; k < r->signal->key_count; k++) {
        if (r->signal->keys[k] != key->root) continue;
        return follow(w, r->keys[k], key->hops, key->hop_count, key->entry);
    }
    /* A signal may name the entity by the way of another: a request's service by its instance. */
    for (uint32_t k = 0; k < r->signal->key_count; k++) {
        const struct mp_t_entity *from = r->signal->keys[k];
        for (uint32_t a = 0; a < from->attr_count; a++) {
            if (from->attrs[a].type.base != MP_TYPE_ENTITY ||
                from->attrs[a].type.entity != key->root)
                continue;
            if (from->attrs[a].type.is_set || from->attrs[a].type.is_map) continue;
            const struct mp_t_attr *hop = &from->attrs[a];
            struct slow_value v = follow(w, r->keys[k], &hop, 1, (mp_str){NULL, 0});
            return follow(w, v, key->hops, key->hop_count, key->entry);
        }
    }
    w->unsure = true;
    return unknown;
}

struct slow_value slow_record_key(struct slow_world *w, const struct slow_record *r,
                                  const struct mp_t_key *key)
{
    w->as_of = r->number;
    struct slow_value v = record_key(w, r, key);
    w->as_of = 0;
    return v;
}

/* ---- logic ---- */

static struct slow_value logic_and(enum mp_truth a, enum mp_truth b)
{
    if (a == MP_FALSE || b == MP_FALSE) return of_bool(false);
    if (a == MP_UNKNOWN || b == MP_UNKNOWN) return unknown;
    return of_bool(true);
}

static struct slow_value logic_or(enum mp_truth a, enum mp_truth b)
{
    if (a == MP_TRUE || b == MP_TRUE) return of_bool(true);
    if (a == MP_UNKNOWN || b == MP_UNKNOWN) return unknown;
    return of_bool(false);
}

/* ---- patterns ---- */

static size_t character(mp_str s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return n <= s.len ? n : 1;
}

static bool like(mp_str s, mp_str pattern)
{
    if (pattern.len == 0) return s.len == 0;
    mp_str rest = mp_str_sub(pattern, 1, pattern.len);
    if (pattern.ptr[0] == '*') {
        for (size_t i = 0; i <= s.len; i++) {
            if (like(mp_str_sub(s, i, s.len), rest)) return true;
        }
        return false;
    }
    if (s.len == 0) return false;
    if (pattern.ptr[0] == '?') return like(mp_str_sub(s, character(s), s.len), rest);
    return s.ptr[0] == pattern.ptr[0] && like(mp_str_sub(s, 1, s.len), rest);
}

static bool contains(mp_str s, mp_str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++) {
        if (memcmp(s.ptr + i, part.ptr, part.len) == 0) return true;
    }
    return false;
}

static struct slow_value match_one(struct slow_world *w, enum mp_t_match how, mp_str s, mp_str with)
{
    bool fits = s.len >= with.len;
    switch (how) {
    case MP_T_LIKE: return of_bool(like(s, with));
    case MP_T_STARTS: return of_bool(fits && memcmp(s.ptr, with.ptr, with.len) == 0);
    case MP_T_ENDS:
        return of_bool(fits && memcmp(s.ptr + s.len - with.len, with.ptr, with.len) == 0);
    case MP_T_CONTAINS: return of_bool(contains(s, with));
    case MP_T_MATCHES: break;
    }
    if (w->regex == NULL) {
        w->unsure = true;
        return unknown;
    }
    enum mp_match m = w->regex(w->regex_ctx, with, s);
    return m == MP_MATCH_LIMIT ? unknown : of_bool(m == MP_MATCH_YES);
}

static struct slow_value match(struct slow_world *w, const struct slow_at *at,
                               const struct mp_t_expr *e)
{
    struct slow_value x = slow_expr(w, at, e->kid[0]);
    if (!x.known) return unknown;
    if (e->list != NULL) {
        struct slow_value any = of_bool(false);
        for (uint32_t i = 0; i < e->list->item_count; i++) {
            struct slow_value one =
                match_one(w, e->op.match, text_of(&x.v), e->list->items[i]->text);
            any = logic_or(truth_of(any), truth_of(one));
        }
        return any;
    }
    struct slow_value y = slow_expr(w, at, e->kid[1]);
    if (!y.known) return unknown;
    if (e->kid[0]->type.is_set) {
        struct mp_t_type member = e->kid[0]->type;
        member.is_set = false;
        const struct mp_value *all = (const struct mp_value *)(uintptr_t)x.v.w[0];
        for (uint64_t i = 0; i < x.v.w[1]; i++) {
            if (slow_same(slow_rep(member), all[i], y.v)) return of_bool(true);
        }
        return of_bool(false);
    }
    return match_one(w, e->op.match, text_of(&x.v), text_of(&y.v));
}

/* ---- in ---- */

static void address_bytes(struct mp_value v, unsigned char out[16]) { memcpy(out, v.w, 16); }

static bool in_net(struct mp_value v, struct mp_value net, uint32_t bits)
{
    unsigned char a[16], b[16];
    address_bytes(v, a);
    address_bytes(net, b);
    for (uint32_t i = 0; i < bits; i++) {
        int mask = 0x80 >> (i % 8);
        if ((a[i / 8] & mask) != (b[i / 8] & mask)) return false;
    }
    return true;
}

static bool in_list(struct slow_value x, enum mp_rep rep, const struct mp_t_list *list)
{
    for (uint32_t i = 0; i < list->item_count; i++) {
        const struct mp_t_expr *item = list->items[i];
        bool hit;
        if (item->type.base == MP_TYPE_CIDR) {
            hit = in_net(x.v, item->value, item->bits);
        } else if (item->type.base == MP_TYPE_PATTERN) {
            hit = like(text_of(&x.v), item->text);
        } else if (rep == MP_REP_T) {
            hit = mp_str_eq(text_of(&x.v), item->text);
        } else {
            hit = slow_same(rep, x.v, item->value);
        }
        if (hit) return true;
    }
    return false;
}

static struct slow_value in(struct slow_world *w, const struct slow_at *at,
                            const struct mp_t_expr *e)
{
    struct slow_value x = slow_expr(w, at, e->kid[0]);
    enum mp_rep rep = slow_rep(e->kid[0]->type);
    if (e->list != NULL) return x.known ? of_bool(in_list(x, rep, e->list)) : unknown;
    const struct mp_t_expr *where = e->kid[1];
    if (where->kind == MP_TX_CONST && where->type.base == MP_TYPE_CIDR) {
        return x.known ? of_bool(in_net(x.v, where->value, where->bits)) : unknown;
    }
    struct slow_value set = slow_expr(w, at, where);
    if (!x.known || !set.known) return unknown;
    if (!where->type.is_set) return of_bool(slow_same(rep, x.v, set.v));
    const struct mp_value *all = (const struct mp_value *)(uintptr_t)set.v.w[0];
    for (uint64_t i = 0; i < set.v.w[1]; i++) {
        if (slow_same(rep, all[i], x.v)) return of_bool(true);
    }
    return of_bool(false);
}

/* ---- comparisons ---- */

static struct slow_value signed_kid(struct slow_world *w, const struct slow_at *at,
                                    const struct mp_t_expr *e, int sign)
{
    struct slow_at inner = *at;
    inner.sign = sign;
    return slow_expr(w, &inner, e);
}

static int order(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    if (rep == MP_REP_F) {
        double x = mp_value_as_num(a), y = mp_value_as_num(b);
        return (x > y) - (x < y);
    }
    int64_t x = mp_value_as_int(a), y = mp_value_as_int(b);
    return (x > y) - (x < y);
}

static struct slow_value compare(struct slow_world *w, const struct slow_at *at,
                                 const struct mp_t_expr *e)
{
    enum mp_t_cmp cmp = e->op.cmp;
    int sign = cmp == MP_T_GT || cmp == MP_T_GE ? 1 : cmp == MP_T_LT || cmp == MP_T_LE ? -1 : 0;
    struct slow_value a = signed_kid(w, at, e->kid[0], sign),
                      b = signed_kid(w, at, e->kid[1], -sign);
    enum mp_rep rep = slow_rep(e->kid[0]->type);
    if (!a.known || !b.known) return unknown;
    if (e->kid[1]->type.base == MP_TYPE_PATTERN) {
        bool fits = like(text_of(&a.v), text_of(&b.v));
        return of_bool(cmp == MP_T_NE ? !fits : fits);
    }
    switch (cmp) {
    case MP_T_EQ: return of_bool(slow_same(rep, a.v, b.v));
    case MP_T_NE: return of_bool(!slow_same(rep, a.v, b.v));
    case MP_T_LT: return of_bool(order(rep, a.v, b.v) < 0);
    case MP_T_LE: return of_bool(order(rep, a.v, b.v) <= 0);
    case MP_T_GT: return of_bool(order(rep, a.v, b.v) > 0);
    case MP_T_GE: return of_bool(order(rep, a.v, b.v) >= 0);
    }
    return unknown;
}

static struct slow_value range(struct slow_world *w, const struct slow_at *at,
                               const struct mp_t_expr *e)
{
    struct slow_value x = signed_kid(w, at, e->kid[0], 0);
    struct slow_value low = signed_kid(w, at, e->kid[1], 0), high = signed_kid(w, at, e->kid[2], 0);
    enum mp_rep rep = slow_rep(e->kid[0]->type);
    enum mp_truth above =
        x.known && low.known ? (enum mp_truth)(order(rep, low.v, x.v) <= 0) : MP_UNKNOWN;
    enum mp_truth below =
        x.known && high.known ? (enum mp_truth)(order(rep, x.v, high.v) <= 0) : MP_UNKNOWN;
    return logic_and(above, below);
}

/* ---- numbers ---- */

static int constant_sign(const struct mp_t_expr *e)
{
    while (e->kind == MP_TX_CONVERT) e = e->kid[0];
    if (e->kind != MP_TX_CONST) return 0;
    if (slow_rep(e->type) == MP_REP_F) {
        double f = mp_value_as_num(e->value);
        return (f > 0) - (f < 0);
    }
    int64_t i = mp_value_as_int(e->value);
    return (i > 0) - (i < 0);
}

/* Does a larger kid make a larger result? 1, -1, or 0: not to be said. */
static int kid_sign(const struct mp_t_expr *e, int kid)
{
    switch (e->op.arith) {
    case MP_T_ADD: return 1;
    case MP_T_SUB: return kid == 0 ? 1 : -1;
    case MP_T_MUL: return constant_sign(e->kid[1 - kid]);
    case MP_T_DIV: return kid == 0 ? constant_sign(e->kid[1]) : 0;
    }
    return 0;
}

static struct slow_value arith_int(enum mp_t_arith op, int64_t a, int64_t b)
{
    __int128 r = op == MP_T_ADD   ? (__int128)a + b
                 : op == MP_T_SUB ? (__int128)a - b
                                  : (__int128)a * b;
    return r < INT64_MIN || r > INT64_MAX ? unknown : of_int((int64_t)r);
}

static struct slow_value arith_num(enum mp_t_arith op, double a, double b)
{
    switch (op) {
    case MP_T_ADD: return of_num(a + b);
    case MP_T_SUB: return of_num(a - b);
    case MP_T_MUL: return of_num(a * b);
    case MP_T_DIV: return b == 0 ? unknown : of_num(a / b);
    }
    return unknown;
}

static struct slow_value arith(struct slow_world *w, const struct slow_at *at,
                               const struct mp_t_expr *e)
{
    struct slow_value a = signed_kid(w, at, e->kid[0], at->sign * kid_sign(e, 0));
    struct slow_value b = signed_kid(w, at, e->kid[1], at->sign * kid_sign(e, 1));
    if (!a.known || !b.known) return unknown;
    if (slow_rep(e->kid[0]->type) == MP_REP_F) {
        return arith_num(e->op.arith, mp_value_as_num(a.v), mp_value_as_num(b.v));
    }
    return arith_int(e->op.arith, mp_value_as_int(a.v), mp_value_as_int(b.v));
}

static struct slow_value convert(struct slow_value v, enum mp_rep from, enum mp_rep to)
{
    if (!v.known || from == to) return v;
    if (to == MP_REP_F) return of_num((double)mp_value_as_int(v.v));
    double f = nearbyint(mp_value_as_num(v.v)); /* ties to even */
    return f >= -0x1p63 && f < 0x1p63 ? of_int((int64_t)f) : unknown;
}

static struct slow_value negative(struct slow_value v, enum mp_rep rep)
{
    if (!v.known) return v;
    if (rep == MP_REP_F) return of_num(-mp_value_as_num(v.v));
    return arith_int(MP_T_SUB, 0, mp_value_as_int(v.v));
}

/* ---- functions ---- */

static bool is_number_text(mp_str s)
{
    size_t i = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+'), digits = i;
    while (i < s.len && isdigit((unsigned char)s.ptr[i])) i++;
    if (i == digits) return false;
    if (i < s.len && s.ptr[i] == '.') {
        size_t point = ++i;
        while (i < s.len && isdigit((unsigned char)s.ptr[i])) i++;
        if (i == point) return false;
    }
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        i++;
        if (i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+')) i++;
        size_t exponent = i;
        while (i < s.len && isdigit((unsigned char)s.ptr[i])) i++;
        if (i == exponent) return false;
    }
    return i == s.len;
}

static struct slow_value to_number(mp_str s)
{
    char copy[400];
    if (!is_number_text(s) || s.len >= sizeof copy) return unknown;
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    double f = strtod(copy, NULL);
    return of_num(f == 0 ? 0 : f);
}

static struct slow_value lower(struct slow_world *w, mp_str s)
{
    if (s.len > LOWER_MAX) return unknown;
    char *out = mp_arena_alloc(w->arena, s.len + 1, 1);
    MP_ASSERT(out != NULL);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    return of_text((mp_str){out, s.len});
}

static struct slow_value power(struct slow_value b, enum mp_rep rep, int64_t n)
{
    if (n < 0 || n > POW_MAX) return unknown;
    struct slow_value out = rep == MP_REP_F ? of_num(1) : of_int(1);
    if (rep == MP_REP_I) {
        for (int64_t i = 0; i < n && out.known; i++) {
            out = arith_int(MP_T_MUL, mp_value_as_int(out.v), mp_value_as_int(b.v));
        }
        return out;
    }
    double f = 1, square = mp_value_as_num(b.v);
    for (int64_t e = n; e > 0; e /= 2) {
        if (e % 2 == 1) f = f * square;
        if (e > 1) square = square * square;
    }
    return of_num(f);
}

/* R7-like parts: spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT. */
static struct slow_value id_part(mp_str s, uint32_t part)
{
    static const char *const words[] = {"", "ns", "sa"};
    if (!mp_str_starts(s, MP_STR("spiffe://"))) return unknown;
    mp_str rest = mp_str_sub(s, 9, s.len);
    bool first = true, take = false;
    while (rest.len > 0) {
        const char *slash = memchr(rest.ptr, '/', rest.len);
        size_t len = slash == NULL ? rest.len : (size_t)(slash - rest.ptr);
        mp_str piece = mp_str_sub(rest, 0, len);
        if ((first && part == 0) || take) return piece.len > 0 ? of_text(piece) : unknown;
        take = !first && part > 0 && mp_str_eq(piece, mp_str_of(words[part]));
        first = false;
        rest = mp_str_sub(rest, slash == NULL ? rest.len : len + 1, rest.len);
    }
    return unknown;
}

static struct slow_value clamp(struct slow_value x, struct slow_value low, struct slow_value high,
                               enum mp_rep rep)
{
    if (!x.known || !low.known || !high.known || order(rep, low.v, high.v) > 0) return unknown;
    if (order(rep, x.v, low.v) < 0) return low;
    return order(rep, x.v, high.v) > 0 ? high : x;
}

static struct slow_value call(struct slow_world *w, const struct slow_at *at,
                              const struct mp_t_expr *e)
{
    enum mp_rep rep = slow_rep(e->kid[0]->type);
    if (e->op.call == MP_T_POINTS) {
        struct slow_value c = signed_kid(w, at, e->kid[0], 0), n = signed_kid(w, at, e->kid[1], 0);
        if (truth_of(c) == MP_TRUE) return n;
        return slow_rep(e->type) == MP_REP_F ? of_num(0) : of_int(0);
    }
    bool rising = e->op.call == MP_T_CLAMP;
    struct slow_value a = signed_kid(w, at, e->kid[0], rising ? at->sign : 0);
    if (rising) {
        return clamp(a, signed_kid(w, at, e->kid[1], 0), signed_kid(w, at, e->kid[2], 0), rep);
    }
    if (!a.known) return unknown;
    switch (e->op.call) {
    case MP_T_ABS:
        if (rep == MP_REP_F) return of_num(fabs(mp_value_as_num(a.v)));
        return mp_value_as_int(a.v) < 0 ? negative(a, rep) : a;
    case MP_T_LOWER: return lower(w, text_of(&a.v));
    case MP_T_LENGTH: return of_int((int64_t)text_of(&a.v).len);
    case MP_T_TO_NUMBER: return to_number(text_of(&a.v));
    case MP_T_POW: {
        struct slow_value n = signed_kid(w, at, e->kid[1], 0);
        return n.known ? power(a, rep, mp_value_as_int(n.v)) : unknown;
    }
    case MP_T_ID_PART: return id_part(text_of(&a.v), e->part);
    default: return unknown;
    }
}

/* ---- known, unknown, absent, stale ---- */

static bool absent(struct slow_world *w, const struct slow_at *at, const struct mp_t_expr *e)
{
    switch (e->kind) {
    case MP_TX_AGG: return slow_agg_absent(w, at, e);
    case MP_TX_DEF: return absent(w, at, e->kid[0]);
    case MP_TX_WALK: return !slow_expr(w, at, e).known;
    default: break;
    }
    bool asked = false, all = true;
    for (int i = 0; i < 3 && e->kid[i] != NULL; i++) {
        if (e->kid[i]->kind == MP_TX_CONST || e->kid[i]->kind == MP_TX_PARAM) continue;
        asked = true;
        all = all && absent(w, at, e->kid[i]);
    }
    return asked ? all : !slow_expr(w, at, e).known;
}

static bool stale(const struct slow_world *w, const struct mp_t_expr *e)
{
    if (e == NULL) return false;
    if (e->kind == MP_TX_AGG && slow_silent(w, e->agg->signal)) return true;
    for (int i = 0; i < 3; i++) {
        if (stale(w, e->kid[i])) return true;
    }
    return false;
}

static struct slow_value is(struct slow_world *w, const struct slow_at *outer,
                            const struct mp_t_expr *e)
{
    struct slow_at at = *outer;
    at.sign = 0;
    if (e->op.is == MP_T_STALE) {
        return of_bool(e->signal != NULL ? slow_silent(w, e->signal) : stale(w, e->kid[0]));
    }
    if (e->op.is == MP_T_ABSENT) return of_bool(absent(w, &at, e->kid[0]));
    return of_bool(slow_expr(w, &at, e->kid[0]).known == (e->op.is == MP_T_KNOWN));
}

/* ---- members ---- */

static struct slow_value members(struct slow_world *w, const struct slow_at *at,
                                 const struct mp_t_expr *e)
{
    struct slow_value set = slow_way(w, at, e->walk);
    int64_t count = 0;
    if (!set.known) return unknown;
    const struct mp_value *all = (const struct mp_value *)(uintptr_t)set.v.w[0];
    for (uint64_t i = 0; i < set.v.w[1]; i++) {
        struct slow_value member = {true, all[i]};
        struct slow_ask ask = *at->ask;
        ask.row = &member;
        ask.row_count = 1;
        ask.record = NULL;
        struct slow_at inner = {&ask, &member, 0};
        if (e->kid[0] == NULL || truth_of(slow_expr(w, &inner, e->kid[0])) == MP_TRUE) count++;
    }
    return of_int(count);
}

/* ---- everything ---- */

static struct slow_value with_default(struct slow_world *w, const struct slow_at *at,
                                      const struct mp_t_expr *e)
{
    struct slow_value v = slow_expr(w, at, e->kid[0]);
    return v.known ? v : slow_expr(w, at, e->kid[1]);
}

struct slow_value slow_expr(struct slow_world *w, const struct slow_at *at,
                            const struct mp_t_expr *e)
{
    switch (e->kind) {
    case MP_TX_CONST:
        return slow_rep(e->type) == MP_REP_T ? of_text(e->text)
                                             : (struct slow_value){true, e->value};
    case MP_TX_PARAM:
        if (w->params[e->param->index].known) return w->params[e->param->index];
        return slow_expr(w, at, e->param->value);
    case MP_TX_WALK: return slow_way(w, at, e->walk);
    case MP_TX_AGG: return slow_agg(w, at, e);
    case MP_TX_DEF: return slow_expr(w, at, e->kid[0]);
    case MP_TX_NOT: {
        enum mp_truth t = truth_of(slow_expr(w, at, e->kid[0]));
        return t == MP_UNKNOWN ? unknown : of_bool(t == MP_FALSE);
    }
    case MP_TX_AND:
        return logic_and(truth_of(slow_expr(w, at, e->kid[0])),
                         truth_of(slow_expr(w, at, e->kid[1])));
    case MP_TX_OR:
        return logic_or(truth_of(slow_expr(w, at, e->kid[0])),
                        truth_of(slow_expr(w, at, e->kid[1])));
    case MP_TX_CMP: return compare(w, at, e);
    case MP_TX_ARITH: return arith(w, at, e);
    case MP_TX_NEG: return negative(signed_kid(w, at, e->kid[0], -at->sign), slow_rep(e->type));
    case MP_TX_CONVERT:
        return convert(slow_expr(w, at, e->kid[0]), slow_rep(e->kid[0]->type), slow_rep(e->type));
    case MP_TX_IN: return in(w, at, e);
    case MP_TX_RANGE: return range(w, at, e);
    case MP_TX_MATCH: return match(w, at, e);
    case MP_TX_IS: return is(w, at, e);
    case MP_TX_DEFAULT: return with_default(w, at, e);
    case MP_TX_CALL: return call(w, at, e);
    case MP_TX_MEMBERS: return members(w, at, e);
    case MP_TX_AT_TRIGGER:
    case MP_TX_INCIDENTS:
    case MP_TX_HELD:
    case MP_TX_TEXT: w->unsure = true; return of_truth(MP_UNKNOWN);
    }
    return unknown;
}

struct slow_value slow_eval(struct slow_world *w, const struct slow_ask *ask,
                            const struct mp_t_expr *e)
{
    return slow_expr(w, &(struct slow_at){ask, NULL, 0}, e);
}

enum mp_truth slow_truth(struct slow_world *w, const struct slow_ask *ask,
                         const struct mp_t_expr *e)
{
    return truth_of(slow_eval(w, ask, e));
}

struct slow_value slow_walk(struct slow_world *w, const struct slow_ask *ask,
                            const struct mp_t_walk *walk)
{
    return slow_way(w, &(struct slow_at){ask, NULL, 0}, walk);
}
