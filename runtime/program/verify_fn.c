/* SPDX-License-Identifier: Apache-2.0
 * verify_fn.c - is every function one that the executors can run without looking again?
 */
#include "program/program_priv.h"

#define BAD_OP(row, why) return mp_fault_set(fault, MP_ECORRUPT, MP_TABLE_op, row, why)
#define BAD_FN(row, why) return mp_fault_set(fault, MP_ECORRUPT, MP_TABLE_fn, row, why)

enum mp_rep mp_field_rep(const struct mp_field_row *f)
{
    return (f->flags & MP_FIELD_SET) != 0 ? MP_REP_S : mp_type_rep((enum mp_type)f->type);
}

enum mp_rep mp_column_rep(const struct mp_column_row *c)
{
    return (c->flags & MP_COL_SET) != 0 ? MP_REP_S : mp_type_rep((enum mp_type)c->type);
}

static bool letter_fits(char letter, uint32_t rep)
{
    switch (letter) {
    case 'b': return rep == MP_REP_B;
    case 'i': return rep == MP_REP_I;
    case 'f': return rep == MP_REP_F;
    case 't': return rep == MP_REP_T;
    case 'a': return rep == MP_REP_A;
    case 's': return rep == MP_REP_S;
    default: return rep != MP_REP_N;
    }
}

/* The columns that a function's COL reads: of its grouping, else of its signal. */
static bool columns_of(const struct mp_program *p, const struct mp_fn_row *fn, uint32_t *at,
                       uint32_t *count)
{
    if (fn->grouping != MP_NONE) {
        *at = p->grouping[fn->grouping].columns_at;
        *count = p->grouping[fn->grouping].columns_count;
        return true;
    }
    if (fn->signal == MP_NONE) return false;
    *at = p->signal[fn->signal].columns_at;
    *count = p->signal[fn->signal].columns_count;
    return true;
}

static bool list_fits(const struct mp_program *p, uint32_t list, uint32_t rep)
{
    if (list >= p->list_count) return false;
    return (uint32_t)mp_type_rep((enum mp_type)p->list[list].type) == rep;
}

/* A row or a slot among the operands; `op->rep` is the result, `first` the representation of a. */
static const char *table_operand(const struct mp_program *p, const struct mp_fn_row *fn,
                                 const struct mp_op_row *op, char kind, uint32_t n, uint32_t first)
{
    uint32_t at, count;
    switch (kind) {
    case 'K':
        if (n >= p->cnst_count) return "a constant that is not there";
        if (op->code == MP_OP_CONST) {
            bool fits = (uint32_t)mp_type_rep((enum mp_type)p->cnst[n].type) == op->rep;
            return fits ? NULL : "a constant of another representation";
        }
        if (op->code == MP_OP_IN_NET) {
            bool net = mp_type_rep((enum mp_type)p->cnst[n].type) == MP_REP_A;
            return net ? NULL : "an address range that is none";
        }
        return mp_type_rep((enum mp_type)p->cnst[n].type) == MP_REP_T ? NULL
                                                                      : "a pattern that is no text";
    case 'P':
        if (n >= p->param_count) return "a parameter that is not there";
        return (uint32_t)mp_type_rep((enum mp_type)p->param[n].type) == op->rep
                   ? NULL : "a parameter of another representation";
    case 'F':
        if (fn->signal == MP_NONE) return "a field without a record";
        if (n >= p->signal[fn->signal].fields_count) return "a field that is not there";
        return (uint32_t)mp_field_rep(&p->field[p->signal[fn->signal].fields_at + n]) == op->rep
                   ? NULL : "a field of another representation";
    case 'C':
        if (!columns_of(p, fn, &at, &count)) return "a cell without a row";
        if (n >= count) return "a cell that is not there";
        return (uint32_t)mp_column_rep(&p->column[at + n]) == op->rep
                   ? NULL : "a cell of another representation";
    case 'L': return list_fits(p, n, first) ? NULL : "a list that is not there or does not fit";
    case 'M': return n <= 2 ? NULL : "a number that is too large";
    default: return n == 0 ? NULL : "an operand where there is none";
    }
}

static enum mp_err verify_op(const struct mp_program *p, const struct mp_fn_row *fn, uint32_t i,
                             struct mp_fault *fault)
{
    uint32_t row = fn->ops_at + i;
    const struct mp_op_row *op = &p->op[row];
    const struct mp_op_layout *layout = mp_op_layout(op->code);
    const uint32_t operand[3] = {op->a, op->b, op->c};
    uint32_t any = MP_REP_N, first = MP_REP_N;
    for (int k = 0; k < 3; k++) {
        char kind = layout->kind[k];
        if (!mp_op_kind_is_value(kind)) {
            const char *why = table_operand(p, fn, op, kind, operand[k], first);
            if (why != NULL) BAD_OP(row, why);
            continue;
        }
        if (operand[k] >= i) BAD_OP(row, "a value that is not computed yet");
        uint32_t rep = p->op[fn->ops_at + operand[k]].rep;
        if (k == 0) first = rep;
        if (!letter_fits(kind, rep)) BAD_OP(row, "an operand of another representation");
        if (kind == '*' && any != MP_REP_N && any != rep) BAD_OP(row, "operands that differ");
        if (kind == '*') any = rep;
    }
    bool member = op->code == MP_OP_IN_LIST || op->code == MP_OP_IN_SET;
    if (member && any == MP_REP_S) BAD_OP(row, "a set is no member of anything");
    bool fits = layout->result == '*' ? op->rep == any : letter_fits(layout->result, op->rep);
    if (!fits) BAD_OP(row, "a result of another representation");
    return MP_OK;
}

/* How many ops an output needs, itself included; over MP_FN_REGS_MAX is not counted further. `seen`
 * holds a stamp an op. */
static uint32_t ops_of_out(const struct mp_program *p, const struct mp_fn_row *fn, uint32_t value,
                           uint32_t *seen, uint32_t stamp)
{
    uint32_t stack[MP_FN_REGS_MAX + 1], top = 0, count = 1;
    stack[top++] = value;
    seen[value] = stamp;
    while (top > 0) {
        const struct mp_op_row *op = &p->op[fn->ops_at + stack[--top]];
        const struct mp_op_layout *layout = mp_op_layout(op->code);
        const uint32_t operand[3] = {op->a, op->b, op->c};
        for (int k = 0; k < 3; k++) {
            if (!mp_op_kind_is_value(layout->kind[k]) || seen[operand[k]] == stamp) continue;
            seen[operand[k]] = stamp;
            if (++count > MP_FN_REGS_MAX) return count;
            stack[top++] = operand[k];
        }
    }
    return count;
}

static enum mp_err verify_outs(const struct mp_program *p, uint32_t row, uint32_t *seen,
                               uint32_t *stamp, struct mp_fault *fault)
{
    const struct mp_fn_row *fn = &p->fn[row];
    for (uint32_t i = 0; i < fn->outs_count; i++) {
        const struct mp_out_row *out = &p->out[fn->outs_at + i];
        if (out->value >= fn->ops_count) BAD_FN(row, "an output that is not computed");
        uint32_t rep = p->op[fn->ops_at + out->value].rep;
        if ((uint32_t)mp_type_rep((enum mp_type)out->type) != rep) {
            BAD_FN(row, "an output of another representation");
        }
        *stamp += 1;
        if (ops_of_out(p, fn, out->value, seen, *stamp) > MP_FN_REGS_MAX) {
            return mp_fault_set(fault, MP_ELIMIT, MP_TABLE_fn, row,
                                "one expression of more than 2048 operations");
        }
    }
    return MP_OK;
}

static enum mp_err verify_fn(const struct mp_program *p, uint32_t row, struct mp_fault *fault)
{
    const struct mp_fn_row *fn = &p->fn[row];
    uint32_t lower = 0;
    if (fn->ops_count > MP_FN_OPS_MAX || fn->outs_count > MP_FN_OUTS_MAX) {
        return mp_fault_set(fault, MP_ELIMIT, MP_TABLE_fn, row, "a function that is too long");
    }
    for (uint32_t i = 0; i < fn->ops_count; i++) {
        MP_TRY(verify_op(p, fn, i, fault));
        lower += p->op[fn->ops_at + i].code == MP_OP_LOWER;
    }
    if (lower > MP_FN_LOWER_MAX) {
        return mp_fault_set(fault, MP_ELIMIT, MP_TABLE_fn, row,
                            "more than 32 times `lower` at once");
    }
    return MP_OK;
}

static enum mp_err verify_all(const struct mp_program *p, uint32_t *seen, struct mp_fault *fault)
{
    /* Functions own their ops and outputs, one after the other: nothing is shared and nothing is
     * left, so the work below is bounded by the size of the image. */
    uint32_t ops = 0, outs = 0, stamp = 0;
    for (uint32_t i = 0; i < p->fn_count; i++) {
        const struct mp_fn_row *fn = &p->fn[i];
        if (fn->ops_at != ops || fn->outs_at != outs) BAD_FN(i, "ops or outputs out of place");
        ops += fn->ops_count;
        outs += fn->outs_count;
        MP_TRY(verify_fn(p, i, fault));
        memset(seen, 0, sizeof *seen * fn->ops_count);
        stamp = 0;
        MP_TRY(verify_outs(p, i, seen, &stamp, fault));
    }
    if (ops != p->op_count || outs != p->out_count) {
        return mp_fault_set(fault, MP_ECORRUPT, MP_TABLE_op, ops, "ops or outputs of no function");
    }
    return MP_OK;
}

enum mp_err mp_verify_fns(const struct mp_program *p, struct mp_fault *fault)
{
    struct mp_arena scratch;
    mp_arena_init(&scratch, NULL, 0);
    uint32_t *seen = MP_NEW(&scratch, uint32_t, MP_FN_OPS_MAX);
    enum mp_err err = seen != NULL
                          ? verify_all(p, seen, fault)
                          : mp_fault_set(fault, MP_ENOMEM, MP_NONE, MP_NONE, "out of memory");
    mp_arena_free(&scratch);
    return err;
}
