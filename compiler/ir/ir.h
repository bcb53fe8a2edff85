/* SPDX-License-Identifier: Apache-2.0
 * ir.h - the tables of a program while they grow: what compiler/lower fills, compiler/opt changes
 * and compiler/emit flattens.
 *
 * Owns:    one growing array for every table of tables.def, a pool of texts, a table of constants.
 * Callers: the compiler only; one thread.
 * Memory:  everything in the arena given to mp_ir_init. A failure to get memory is remembered in
 *          `failed`: until then every call answers something harmless, and mp_ir_verify tells it
 *          at the end, so lowering does not check each call.
 *
 * How rows are added:
 *
 *   struct mp_entity_row *e = mp_ir_add_entity(ir);   the new last row: zeros, references MP_NONE
 *   e->name = mp_ir_text(ir, MP_STR("service"));      good until the next mp_ir_add_entity
 *
 * The rows of a span must be consecutive, so nothing else may be added to that table between:
 *
 *   uint32_t from = ir->attr.len;
 *   ... mp_ir_add_attr(ir) for every attribute ...
 *   MP_IR_SPAN(ir, entity, row, attrs, attr, from);   ir->entity.ptr[row].attrs_at and attrs_count
 *
 * How functions are made:
 *
 *   struct mp_ir_fn f;
 *   mp_ir_fn_begin(&f, ir, MP_STR("checkout.when"), MP_NONE, grouping);
 *   uint32_t x = mp_ir_op_col(&f, slot, MP_REP_F);
 *   uint32_t y = mp_ir_op_const(&f, mp_ir_const(ir, MP_TYPE_PERCENT, mp_value_num(0.05), 0));
 *   mp_ir_out(&f, mp_ir_op(&f, MP_OP_LT_F, y, x, 0), MP_TYPE_BOOL);
 *   uint32_t fn = mp_ir_fn_end(&f);
 *
 * Several functions may be open at once: an open one keeps its ops apart. Equal ops of one
 * function are one op.
 */
#ifndef MP_IR_IR_H
#define MP_IR_IR_H

#include "base/map.h"
#include "base/vec.h"
#include "program/layout.h"
#include "program/program.h"

struct mp_ir {
    struct mp_arena *arena;
    bool failed; /* memory ran out */
#define TABLE(name, doc) MP_VEC(struct mp_##name##_row) name;
#define STR(name)
#define U32(name)
#define OUT(name)
#define I64(name)
#define F64(name)
#define ENUM(name, e)
#define REF(name, table)
#define NEED(name, table)
#define SPAN(name, table)
#define END(name)
#include "program/tables.def"
#undef TABLE
    /* as in the image: a 32-bit length before every text; the first is empty */
    struct mp_buf texts;
    struct mp_map text_ids;
    struct mp_map const_ids;
    union {
#define TABLE(name, doc) struct mp_##name##_row name;
#include "program/tables.def"
#undef TABLE
    } spare; /* where rows go when there is no memory */
};

enum mp_err mp_ir_init(struct mp_ir *ir, struct mp_arena *arena);

/* One function a table: struct mp_rule_row *mp_ir_add_rule(struct mp_ir *ir), ... Its row number is
 * ir->rule.len - 1. */
#define TABLE(name, doc) struct mp_##name##_row *mp_ir_add_##name(struct mp_ir *ir);
#include "program/tables.def"
#undef TABLE
#undef STR
#undef U32
#undef OUT
#undef I64
#undef F64
#undef ENUM
#undef REF
#undef NEED
#undef SPAN
#undef END

/* The span `span` of row `row` of `table` is all rows of `of` from row `from` to its end. */
#define MP_IR_SPAN(ir, table, row, span, of, from)                                                 \
    do {                                                                                           \
        (ir)->table.ptr[row].span##_at = (from);                                                   \
        (ir)->table.ptr[row].span##_count = (ir)->of.len - (from);                                 \
    } while (0)

/* A text of the image; equal texts are one. The empty text is reference 0. */
mp_text_ref mp_ir_text(struct mp_ir *ir, mp_str text);
/* Its bytes, valid until the next mp_ir_text. */
mp_str mp_ir_str(const struct mp_ir *ir, mp_text_ref ref);

/* The row of a constant; equal ones are one. `bits` is the prefix length of a cidr, else 0. Text is
 * copied. Not for sets. Doubles are compared by their bits. */
uint32_t mp_ir_const(struct mp_ir *ir, enum mp_type type, struct mp_value value, uint32_t bits);
uint32_t mp_ir_const_text(struct mp_ir *ir, enum mp_type type, mp_str text);

/* ---- functions ---- */
struct mp_ir_fn {
    struct mp_ir *ir;
    mp_text_ref name;
    uint32_t signal, grouping;
    MP_VEC(struct mp_op_row) ops;
    MP_VEC(struct mp_out_row) outs;
    uint32_t *slots; /* hash of ops, for sharing: number + 1 */
    uint32_t slot_count;
};

/* `signal` and `grouping` as in table fn: whose record, whose row; MP_NONE for none. */
void mp_ir_fn_begin(struct mp_ir_fn *f, struct mp_ir *ir, mp_str name, uint32_t signal,
                    uint32_t grouping);
/* Adds an op, or finds the equal one, and answers its number. Operands as ops.def says, 0 where
 * it says `-`. The result's representation follows from the op and its operands. Not for CONST,
 * PARAM, FIELD, COL and UNKNOWN, whose representation is their own. A wrong operand is our
 * mistake: MP_ASSERT. */
uint32_t mp_ir_op(struct mp_ir_fn *f, enum mp_op code, uint32_t a, uint32_t b, uint32_t c);
uint32_t mp_ir_op_const(struct mp_ir_fn *f, uint32_t cnst);
uint32_t mp_ir_op_param(struct mp_ir_fn *f, uint32_t param);
uint32_t mp_ir_op_field(struct mp_ir_fn *f, uint32_t slot, enum mp_rep rep);
uint32_t mp_ir_op_col(struct mp_ir_fn *f, uint32_t slot, enum mp_rep rep);
uint32_t mp_ir_op_unknown(struct mp_ir_fn *f, enum mp_rep rep);
uint32_t mp_ir_op_bool(struct mp_ir_fn *f, bool truth);
/* The representation of a value of an open function. */
enum mp_rep mp_ir_rep(const struct mp_ir_fn *f, uint32_t value);
/* Adds an output and answers its number. A set has `is_set` in its column or field; an output of
 * a set is refused. */
uint32_t mp_ir_out(struct mp_ir_fn *f, uint32_t value, enum mp_type type);
/* Moves the function into the tables and answers its row of fn. */
uint32_t mp_ir_fn_end(struct mp_ir_fn *f);

/* ---- the whole ---- */
/* A program that reads the tables in place, for passes and checks: tables and texts only, no
 * constants bound. Valid until the next row or text is added. */
void mp_ir_view(const struct mp_ir *ir, struct mp_program *out);
/* MP_ENOMEM if memory ran out; else as mp_program_verify. */
enum mp_err mp_ir_verify(const struct mp_ir *ir, struct mp_fault *fault);

/* Writes the tables as text: one line a row, functions with their ops below them; `#` begins a
 * comment. Reading it back gives equal tables (and mp_emit equal bytes). */
void mp_ir_print(const struct mp_ir *ir, struct mp_buf *out);

struct mp_ir_parse_error {
    uint32_t line, column; /* from 1 */
    const char *why;       /* static, lower case, no full stop */
};

/* Reads text into `ir`, which mp_ir_init made and nobody filled. MP_EINVAL with *error set;
 * MP_ENOMEM. Only the form is checked; mp_ir_verify checks the rest. */
enum mp_err mp_ir_parse(struct mp_ir *ir, mp_str text, struct mp_ir_parse_error *error);

#endif
