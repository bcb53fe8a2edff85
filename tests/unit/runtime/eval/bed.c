/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

#include "emit/emit.h"
#include "os/std.h"

/* ---- a program of one signal, with fields of every representation ---- */

static const enum mp_type field_types[] = {MP_TYPE_BOOL, MP_TYPE_INT, MP_TYPE_NUMBER,
                                           MP_TYPE_STRING, MP_TYPE_IP};

uint32_t slot_of(enum mp_rep rep, uint32_t i)
{
    return rep == MP_REP_S ? SET_SLOT : (uint32_t)(rep - MP_REP_B) * PER_REP + i;
}

struct fixture fx;

static uint32_t text_list(const char *name, enum mp_type type, const char *const *items)
{
    struct mp_ir *ir = &fx.ir;
    uint32_t from = ir->item.len;
    for (; *items != NULL; items++) {
        bool pattern = memchr(*items, '*', strlen(*items)) != NULL && type == MP_TYPE_STRING;
        uint32_t c = mp_ir_const_text(ir, pattern ? MP_TYPE_PATTERN : type, mp_str_of(*items));
        mp_ir_add_item(ir)->value = c;
    }
    struct mp_list_row *l = mp_ir_add_list(ir);
    l->name = mp_ir_text(ir, mp_str_of(name));
    l->type = type;
    MP_IR_SPAN(ir, list, ir->list.len - 1, items, item, from);
    return ir->list.len - 1;
}

static uint32_t value_list(const char *name, enum mp_type type, const struct mp_value *v,
                           uint32_t count)
{
    struct mp_ir *ir = &fx.ir;
    uint32_t from = ir->item.len;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t c = mp_ir_const(ir, type, v[i], 0);
        mp_ir_add_item(ir)->value = c;
    }
    struct mp_list_row *l = mp_ir_add_list(ir);
    l->name = mp_ir_text(ir, mp_str_of(name));
    l->type = type;
    MP_IR_SPAN(ir, list, ir->list.len - 1, items, item, from);
    return ir->list.len - 1;
}

static uint32_t net_list(const char *const *items)
{
    struct mp_ir *ir = &fx.ir;
    uint32_t from = ir->item.len;
    for (; *items != NULL; items++) {
        struct mp_value v;
        uint32_t bits;
        assert_true(mp_value_address(mp_str_of(*items), &v, &bits));
        bool net = memchr(*items, '/', strlen(*items)) != NULL;
        uint32_t c = mp_ir_const(ir, net ? MP_TYPE_CIDR : MP_TYPE_IP, v, net ? bits : 0);
        mp_ir_add_item(ir)->value = c;
    }
    struct mp_list_row *l = mp_ir_add_list(ir);
    l->name = mp_ir_text(ir, MP_STR("nets"));
    l->type = MP_TYPE_IP;
    MP_IR_SPAN(ir, list, ir->list.len - 1, items, item, from);
    return ir->list.len - 1;
}

int begin(void **state)
{
    memset(&fx, 0, sizeof fx);
    mp_std_os(&fx.os);
    mp_arena_init(&fx.arena, NULL, 0);
    assert_int_equal(mp_ir_init(&fx.ir, &fx.arena), MP_OK);
    struct mp_ir *ir = &fx.ir;
    for (uint32_t i = 0; i < FIELDS; i++) {
        struct mp_field_row *f = mp_ir_add_field(ir);
        f->signal = 0;
        f->type = i == SET_SLOT ? MP_TYPE_STRING : field_types[i / PER_REP];
        f->flags = i == SET_SLOT ? MP_FIELD_SET : 0;
    }
    struct mp_signal_row *s = mp_ir_add_signal(ir);
    s->name = mp_ir_text(ir, MP_STR("requests"));
    MP_IR_SPAN(ir, signal, 0, fields, field, 0);

    struct mp_value net;
    uint32_t bits;
    assert_true(mp_value_address(MP_STR("10.0.0.0/8"), &net, &bits));
    fx.net = mp_ir_const(ir, MP_TYPE_CIDR, net, bits);
    fx.regex = mp_ir_const_text(ir, MP_TYPE_STRING, MP_STR("wp-(login|admin)"));
    fx.slow_regex = mp_ir_const_text(ir, MP_TYPE_STRING, MP_STR("^(a+)+$"));
    struct mp_value bools[] = {mp_value_bool(true)};
    struct mp_value ints[] = {mp_value_int(7), mp_value_int(-3), mp_value_int(INT64_MIN),
                              mp_value_int(7)};
    struct mp_value nums[] = {mp_value_num(-0.0), mp_value_num(1.5), mp_value_num(-2)};
    fx.list[0] = value_list("bools", MP_TYPE_BOOL, bools, 1);
    fx.list[1] = value_list("ints", MP_TYPE_INT, ints, 4);
    fx.list[2] = value_list("nums", MP_TYPE_NUMBER, nums, 3);
    fx.list[3] = text_list("texts", MP_TYPE_STRING,
                           (const char *const[]){"checkout", "a text of more than twelve",
                                                 "spiffe://prod/*", "", NULL});
    fx.list[4] = net_list(
        (const char *const[]){"10.1.0.0/16", "10.0.0.0/8", "192.0.2.7", "2001:db8::/32", NULL});
    fx.patterns =
        text_list("patterns", MP_TYPE_PATTERN, (const char *const[]){"/admin*", "check", NULL});
    fx.regexes =
        text_list("regexes", MP_TYPE_PATTERN, (const char *const[]){"^(a+)+$", "login$", NULL});
    return 0;
}

int end(void **state)
{
    mp_program_free(fx.program);
    mp_arena_free(&fx.arena);
    return 0;
}

void load(void)
{
    mp_str image;
    struct mp_fault fault;
    const char *why = "";
    enum mp_err err = mp_emit(&fx.ir, &fx.arena, &image, &fault);
    if (err != MP_OK)
        fail_msg("%s: %s, table %u row %u", mp_err_text(err), fault.why, fault.table, fault.row);
    mp_program_free(fx.program);
    fx.program = NULL;
    if (mp_program_load(image.ptr, image.len, &fx.os, &fx.program, &why) != MP_OK)
        fail_msg("%s", why);
}

struct mp_inputs inputs(void)
{
    struct mp_inputs in;
    mp_inputs_init(&in, fx.program, &fx.scratch);
    in.record = fx.record;
    in.record_known = fx.known;
    return in;
}

void set(uint32_t slot, struct mp_value v, bool known)
{
    fx.record[slot] = known ? v : mp_value_int(0);
    fx.known[0] = (fx.known[0] & ~((uint64_t)1 << slot)) | (uint64_t)known << slot;
}

/* ---- samples ---- */

struct mp_value address(const char *text)
{
    struct mp_value v;
    uint32_t bits;
    assert_true(mp_value_address(mp_str_of(text), &v, &bits));
    return v;
}

uint32_t samples(enum mp_rep rep, struct mp_value out[16])
{
    static const int64_t ints[] = {
        0, 1, -1, 2, 7, 63, 64, -2, 1024, 1025, INT64_MAX, INT64_MIN, INT64_MIN + 1, 4294967296};
    static const double nums[] = {0.0,
                                  -0.0,
                                  1,
                                  -1,
                                  0.5,
                                  1.5,
                                  2.5,
                                  -2.5,
                                  1e308,
                                  -1e308,
                                  5e-324,
                                  9223372036854775807.0,
                                  -9223372036854775808.0,
                                  4503599627370497.5};
    static const char *const texts[] = {"",
                                        "checkout",
                                        "CHECKOUT",
                                        "/admin/x",
                                        "a text of more than twelve",
                                        "12",
                                        "-1.5e3",
                                        "1e999",
                                        "spiffe://prod/ns/pay/sa/api",
                                        "spiffe://prod/ns/",
                                        "wp-login",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaX",
                                        "A Text Of More Than Twelve"};
    static struct mp_value members[2];
    members[0] = mp_value_text(MP_STR("checkout"));
    members[1] = mp_value_text(MP_STR("a text of more than twelve"));
    switch (rep) {
    case MP_REP_B: out[0] = mp_value_bool(false); out[1] = mp_value_bool(true); return 2;
    case MP_REP_I: for (int i = 0; i < 14; i++) out[i] = mp_value_int(ints[i]); return 14;
    case MP_REP_F: for (int i = 0; i < 14; i++) out[i] = mp_value_num(nums[i]); return 14;
    case MP_REP_T:
        for (int i = 0; i < 13; i++) out[i] = mp_value_text(mp_str_of(texts[i]));
        return 13;
    case MP_REP_A:
        out[0] = address("10.1.2.3"); out[1] = address("11.0.0.0"); out[2] = address("192.0.2.7");
        out[3] = address("2001:db8:1::"); out[4] = address("::"); return 5;
    default:
        out[0] = (struct mp_value){{0, 0}};
        out[1] = (struct mp_value){{(uint64_t)(uintptr_t)members, 2}};
        return 2;
    }
}

enum mp_rep letter_rep(char letter)
{
    const char *letters = "-bifta";
    const char *at = memchr(letters, letter, 6);
    return letter == 's' ? MP_REP_S : at == NULL ? MP_REP_N : (enum mp_rep)(at - letters);
}

enum mp_type type_of_rep(enum mp_rep rep) { return field_types[rep - MP_REP_B]; }

uint32_t row_for(enum mp_op op, char kind, enum mp_rep rep)
{
    if (kind == 'M') return 1;
    if (kind == 'L') {
        if (op == MP_OP_IN_LIST) return fx.list[rep - MP_REP_B];
        return op == MP_OP_LIST_MATCHES ? fx.regexes : fx.patterns;
    }
    return op == MP_OP_IN_NET ? fx.net : op == MP_OP_MATCHES_LIMIT ? fx.slow_regex : fx.regex;
}

bool same_value(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    if (rep == MP_REP_T) return mp_value_text_eq(a, b);
    return a.w[0] == b.w[0] && a.w[1] == b.w[1];
}
