/* SPDX-License-Identifier: Apache-2.0
 * verify.c - what the runtime relies on without looking again. First what tables.def says by itself
 * (every text, enum, reference and span), then what only the words of its comments say.
 */
#include "program/verify_priv.h"

/* ---- from the layout alone ---- */

static bool text_fits(const struct mp_program *p, uint32_t at)
{
    uint32_t len;
    if (p->texts_size < sizeof len || at > p->texts_size - sizeof len) return false;
    memcpy(&len, p->texts + at, sizeof len);
    return len <= p->texts_size - sizeof len - at;
}

static const char *member_fault(const struct mp_program *p, const struct mp_member *m,
                                const char *row)
{
    uint32_t word[2], rows = 0;
    memcpy(&word[0], row + m->offset_bytes, sizeof word[0]);
    switch (m->kind) {
    case MP_MEMBER_STR: return text_fits(p, word[0]) ? NULL : "a text outside of the image";
    case MP_MEMBER_ENUM: return word[0] < mp_enum_count(m->of) ? NULL : "a word that is not there";
    case MP_MEMBER_REF:
    case MP_MEMBER_NEED:
        (void)mp_program_rows(p, m->of, &rows);
        if (word[0] == MP_NONE) return m->kind == MP_MEMBER_REF ? NULL : "a reference is missing";
        return word[0] < rows ? NULL : "a reference to no row";
    case MP_MEMBER_SPAN:
        (void)mp_program_rows(p, m->of, &rows);
        memcpy(&word[1], row + m->offset_bytes + 4, sizeof word[1]);
        return word[0] <= rows && word[1] <= rows - word[0] ? NULL : "a span outside of its table";
    case MP_MEMBER_F64: {
        double f;
        memcpy(&f, row + m->offset_bytes, sizeof f);
        return f - f == 0 ? NULL : "a number that is none";
    }
    case MP_MEMBER_I64: {
        int64_t n;
        memcpy(&n, row + m->offset_bytes, sizeof n);
        bool time = mp_str_ends(mp_str_of(m->name), MP_STR("_ns"));
        return !time || n <= MP_WAIT_MAX_NS ? NULL : "a time of more than ten years";
    }
    case MP_MEMBER_U32:
    case MP_MEMBER_OUT: return NULL;
    }
    return "a member of no kind";
}

static enum mp_err verify_table(struct check *c, uint32_t table)
{
    uint32_t rows, count;
    const char *row = mp_program_rows(c->p, table, &rows);
    const struct mp_member *m = mp_table_members(table, &count);
    for (uint32_t i = 0; i < rows; i++, row += mp_table_layout(table)->row_bytes) {
        for (uint32_t k = 0; k < count; k++) {
            const char *why = member_fault(c->p, &m[k], row);
            if (why != NULL) return mp_fault_set(c->fault, MP_ECORRUPT, table, i, why);
        }
    }
    return MP_OK;
}

/* ---- constants, parameters, lists ---- */

static enum mp_err verify_data(struct check *c)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->cnst_count; i++) {
        const struct mp_cnst_row *k = &p->cnst[i];
        enum mp_rep rep = rep_of(k->type);
        struct mp_value v = {{(uint64_t)k->word0, (uint64_t)k->word1}};
        MUST(rep != MP_REP_N && rep != MP_REP_S, cnst, i, "a constant of a type that has none");
        MUST(k->bits <= 128, cnst, i, "a prefix of more than 128 bits");
        MUST(rep == MP_REP_A || k->bits == 0, cnst, i, "a prefix of what is no address");
        MUST(rep != MP_REP_B || v.w[0] <= 1, cnst, i, "a truth that is none");
        MUST(rep != MP_REP_T || (v.w[0] | v.w[1]) == 0, cnst, i, "a text with words");
        MUST(rep == MP_REP_T || rep == MP_REP_A || v.w[1] == 0, cnst, i, "a second word of one");
        if (rep != MP_REP_F) continue;
        double f = mp_value_as_num(v);
        MUST(f - f == 0, cnst, i, "a number that is none");
    }
    for (uint32_t i = 0; i < p->param_count; i++) {
        const struct mp_param_row *r = &p->param[i];
        enum mp_rep rep = rep_of(r->type);
        MUST(r->value != MP_NONE && const_rep(p, r->value) == rep, param, i,
             "a value of another kind");
        MUST(r->low == MP_NONE || const_rep(p, r->low) == rep, param, i, "a bound of another kind");
        MUST(r->high == MP_NONE || const_rep(p, r->high) == rep, param, i,
             "a bound of another kind");
    }
    for (uint32_t i = 0; i < p->list_count; i++) {
        const struct mp_list_row *l = &p->list[i];
        enum mp_rep rep = rep_of(l->type);
        MUST(rep != MP_REP_N && rep != MP_REP_S, list, i, "a list of what has no values");
        for (uint32_t k = 0; k < l->items_count; k++) {
            uint32_t value = p->item[l->items_at + k].value;
            MUST(const_rep(p, value) == rep, list, i, "a member of another kind than its list");
        }
    }
    return MP_OK;
}

/* ---- vocabulary ---- */

static enum mp_err verify_vocabulary(struct check *c)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->entity_count; i++) {
        for (uint32_t k = 0; k < p->entity[i].attrs_count; k++) {
            MUST(p->attr[p->entity[i].attrs_at + k].entity == i, entity, i,
                 "an attribute of another");
        }
    }
    for (uint32_t i = 0; i < p->attr_count; i++) {
        const struct mp_attr_row *a = &p->attr[i];
        MUST(a->preset == MP_NONE || (const_rep(p, a->preset) == rep_of(a->type) && !a->is_set),
             attr, i, "a default of another kind");
    }
    for (uint32_t i = 0; i < p->observe_count; i++) {
        const struct mp_observe_row *o = &p->observe[i];
        MUST(o->kind != MP_OBSERVE_MEMBERS || o->via != MP_NONE, observe, i, "members of what?");
        bool whole = o->signal != MP_NONE && o->field != MP_NONE && o->via != MP_NONE;
        MUST(o->kind != MP_OBSERVE_CALLERS || whole, observe, i, "callers by what?");
        MUST(o->field == MP_NONE || o->signal == MP_NONE || p->field[o->field].signal == o->signal,
             observe, i, "a field of another signal");
    }
    for (uint32_t i = 0; i < p->field_count; i++) {
        const struct mp_field_row *f = &p->field[i];
        uint32_t at = p->signal[f->signal].fields_at;
        MUST(i >= at && i - at < p->signal[f->signal].fields_count, field, i,
             "not among its signal's");
        MUST(rep_of(f->type) != MP_REP_N, field, i, "a field without values");
        MUST(f->preset == MP_NONE || const_rep(p, f->preset) == mp_field_rep(f), field, i,
             "a default of another kind");
    }
    return MP_OK;
}

/* ---- tests ---- */

static enum mp_err verify_tests(struct check *c)
{
    const struct mp_program *p = c->p;
    for (uint32_t i = 0; i < p->def_count; i++) {
        const struct mp_def_row *d = &p->def[i];
        MUST(d->kind != MP_DEF_ATTR || d->attr != MP_NONE, def, i, "which attribute?");
        MUST(d->kind != MP_DEF_GAUGE || d->signal != MP_NONE, def, i, "which gauge?");
    }
    for (uint32_t i = 0; i < p->test_line_count; i++) {
        const struct mp_test_line_row *l = &p->test_line[i];
        MUST(l->from_ns >= 0 && (l->to_ns == -1 || l->to_ns >= l->from_ns), test_line, i,
             "no time");
        bool of_def = l->kind == MP_TLINE_SET || l->kind == MP_TLINE_ABSENT;
        MUST(!of_def || l->def != MP_NONE, test_line, i, "what is set?");
        MUST(l->kind != MP_TLINE_EMIT || l->signal != MP_NONE, test_line, i, "what is emitted?");
        bool param = l->kind == MP_TLINE_PARAM;
        MUST(!param || (l->param != MP_NONE && l->value != MP_NONE), test_line, i,
             "which parameter?");
        MUST(!param || const_rep(p, l->value) == rep_of(p->param[l->param].type), test_line, i,
             "a value of another kind");
    }
    return MP_OK;
}

enum mp_err mp_program_verify(const struct mp_program *p, struct mp_fault *fault)
{
    struct check c = {p, fault};
    for (uint32_t table = 0; table < MP_TABLE_COUNT; table++) MP_TRY(verify_table(&c, table));
    MP_TRY(verify_data(&c));
    MP_TRY(verify_vocabulary(&c));
    MP_TRY(mp_verify_fns(p, fault));
    MP_TRY(mp_verify_state(&c));
    MP_TRY(mp_verify_rules(&c));
    return verify_tests(&c);
}
