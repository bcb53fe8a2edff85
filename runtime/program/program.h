/* SPDX-License-Identifier: Apache-2.0
 * program.h - the program image: what the compiler writes and the runtime reads.
 *
 * Owns:    the layout (tables.def), the checks on bytes from outside, and the immutable handle.
 * Callers: compiler/emit writes; every runtime stage reads through struct mp_program.
 * Threads: immutable once loaded; any number of readers.
 * Memory:  one arena; freed with the program. Offsets only inside the image: it can be mapped
 *          anywhere.
 */
#ifndef MP_PROGRAM_PROGRAM_H
#define MP_PROGRAM_PROGRAM_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/os.h"
#include "schema/value.h"

#define MP_NONE UINT32_MAX
#define MP_UNIT_RULES_MAX 64

/* LIMIT: what one function may hold. A loader refuses more; compiler/lower splits before that. */
#define MP_FN_OPS_MAX 65536u  /* ops */
/* values alive at once, constants, parameters, fields and cells apart */
#define MP_FN_REGS_MAX 2048u
#define MP_FN_OUTS_MAX 4096u  /* outputs */
#define MP_FN_LOWER_MAX 32u   /* `lower` ops: each may need 8 KiB of scratch */
#define MP_TEXT_LOWER_MAX 8192u
/* LIMIT: fields of a signal's record, columns of a grouping or a signal. */
#define MP_SLOTS_MAX 65536u

/* LIMIT: inline rules with a throttle: each has a number, in the keys of its buckets. */
#define MP_INLINE_THROTTLES_MAX 4096u

/* LIMIT: ten years, for every time that is waited for or looked back over: sums with now then
 * fit. */
#define MP_WAIT_MAX_NS (INT64_C(3653) * 86400 * 1000000000)

/* Hooks as bits of `layers` and `hooks`. */
#define MP_LAYER_INGRESS 1u
#define MP_LAYER_SERVICE 2u
#define MP_LAYER_EDGE 4u
#define MP_LAYER_ALL 7u

/* field.flags */
#define MP_FIELD_ALWAYS 1u  /* every proxy knows it: a record without it is counted */
#define MP_FIELD_AT_END 2u  /* known only when the request has ended */
#define MP_FIELD_ENTRY 4u   /* an entry of a map */
#define MP_FIELD_SET 8u     /* a set of values */
#define MP_FIELD_KEY 16u    /* the key of an entity */

/* column.flags */
#define MP_COL_LOWER_BOUND 1u /* a window that is not yet full is good enough (R5) */
#define MP_COL_OBSERVED 2u    /* for AGG, POOLED: `seen` and its like, true only at the instant */
#define MP_COL_SET 4u         /* a set of values of `type`: representation S */
/* OVERRIDE: what is set (0 none, 1 a value, 2 absent, 3 unknown), not the value */
#define MP_COL_STATE 8u
#define MP_COL_RECORDS 16u    /* REACHED, POOLED, PUBLISHED: how many records, not the value */

/* rule.flags */
#define MP_RULE_DENIES_FIRST 1u  /* an unknown `unless` does not stop it (language.md 5) */
#define MP_RULE_INSTANT 2u       /* the trigger is true only at the instant of a record */
#define MP_RULE_ON_SILENCE 4u    /* a shrinking window or silence can make it true (R4) */
#define MP_RULE_ANONYMOUS 8u
#define MP_RULE_FAIL_CLOSED 16u  /* @fail closed: no verdict means refuse */

/* action.flags */
#define MP_ACTION_REVERSIBLE 1u
#define MP_ACTION_MESSAGE 2u
#define MP_ACTION_PARTIAL 4u     /* can be ramped (R27) */

/* action_param.flags */
#define MP_PARAM_TARGET 1u  /* what the lease is on */

/* step.flags */
#define MP_STEP_ROLLBACK 1u
#define MP_STEP_MESSAGES_ONLY 2u

#include "program/enums.def"

#define MP_ENUM_DECLARE(e, P)                                                                      \
    enum mp_##e { MP_ENUM_##e(MP_ENUM_ITEM_##P) MP_##P##_COUNT };
#define MP_ENUM_ITEM_OBSERVE(v, w) MP_OBSERVE_##v,
#define MP_ENUM_ITEM_SIGNAL(v, w) MP_SIGNAL_##v,
#define MP_ENUM_ITEM_WALK(v, w) MP_WALK_##v,
#define MP_ENUM_ITEM_COL(v, w) MP_COL_##v,
#define MP_ENUM_ITEM_UNIT(v, w) MP_UNIT_##v,
#define MP_ENUM_ITEM_RULE(v, w) MP_RULE_##v,
#define MP_ENUM_ITEM_MODE(v, w) MP_MODE_##v,
#define MP_ENUM_ITEM_NODATA(v, w) MP_NODATA_##v,
#define MP_ENUM_ITEM_CLAUSE(v, w) MP_CLAUSE_##v,
#define MP_ENUM_ITEM_TARGET(v, w) MP_TARGET_##v,
#define MP_ENUM_ITEM_CLASS(v, w) MP_CLASS_##v,
#define MP_ENUM_ITEM_GUARD(v, w) MP_GUARD_##v,
#define MP_ENUM_ITEM_DEF(v, w) MP_DEF_##v,
#define MP_ENUM_ITEM_TLINE(v, w) MP_TLINE_##v,
#define MP_ENUM_ITEM_TWHEN(v, w) MP_TWHEN_##v,
MP_ENUMS(MP_ENUM_DECLARE)

enum mp_op {
#define OP(name, word, a, b, c, result, doc) MP_OP_##name,
#include "program/ops.def"
#undef OP
    MP_OP_COUNT
};

enum mp_agg {
#define AGG(name, word, counting, needs_value, doc) MP_AGG_##name,
#include "program/aggs.def"
#undef AGG
    MP_AGG_KIND_COUNT
};

/* Text of the image: an offset into its bytes, where a 32-bit length stands before the text. */
typedef struct mp_text_ref {
    uint32_t at;
} mp_text_ref;

/* One struct a table: struct mp_entity_row, struct mp_rule_row, ... */
#define TABLE(name, doc) struct mp_##name##_row {
#define STR(name) mp_text_ref name;
#define U32(name) uint32_t name;
#define OUT(name) uint32_t name;
#define I64(name) int64_t name;
#define F64(name) double name;
#define ENUM(name, e) uint32_t name;
#define REF(name, table) uint32_t name;
#define NEED(name, table) uint32_t name;
#define SPAN(name, table) uint32_t name##_at, name##_count;
#define END(name)                                                                                  \
    }                                                                                              \
    ;
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

struct mp_code;       /* program/code.h: a function made ready for the interpreter */
struct mp_list_index; /* program/list.h: how members of a list are found */
struct mp_native;     /* eval/exec.h: native code */

/* The switch between the two executors; NULL: the interpreter. */
struct mp_exec {
    _Atomic(const struct mp_native *) native;
};

/* What every stage reads: pointers into the image, and what loading made of it. */
struct mp_program {
#define TABLE(name, doc)                                                                           \
    const struct mp_##name##_row *name;                                                            \
    uint32_t name##_count;
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
    const char *texts;
    size_t texts_size;
    struct mp_value *consts;   /* one a row of cnst; text borrows `texts` */
    struct mp_value *params;   /* one a row of param: the value in force */
    void **regexes;            /* one a row of cnst: compiled where an op matches it, else NULL */
    const struct mp_list_index *list_index; /* one a row of list */
    const struct mp_code *code; /* one a row of fn */
    /* the one part that changes while others read: by one atomic store */
    struct mp_exec *exec;
    /* of the image's bytes: SipHash, names a version in metrics and ledger */
    uint64_t digest;
    const struct mp_os *os; /* the caller's; outlives the program */
    struct mp_alloc memory; /* of os */
    struct mp_arena arena;
};

static inline mp_str mp_program_text(const struct mp_program *p, mp_text_ref ref)
{
    uint32_t len;
    memcpy(&len, p->texts + ref.at, sizeof len);
    return (mp_str){p->texts + ref.at + sizeof len, len};
}

/* What does not hold, and where: `table` is an enum mp_table (program/layout.h), or MP_NONE. */
struct mp_fault {
    const char *why; /* static, lower case, no full stop */
    uint32_t table, row;
};

/* Checks everything that the runtime relies on, on tables from anywhere: MP_ECORRUPT, or MP_ELIMIT.
 * The loader and compiler/ir share it; only tables and texts of `p` are read. */
enum mp_err mp_program_verify(const struct mp_program *p, struct mp_fault *fault);

/* Loads an image: checks every offset, enum, reference, span and type of it (bytes may be hostile),
 * binds constants, compiles regular expressions through `os`. `bytes` is copied.
 * MP_ECORRUPT with *why set to a static text for anything that does not hold; MP_ENOMEM;
 * MP_EUNSUPPORTED for `matches` where os has no regex; MP_ESTALE for an image that another
 * version of mpol wrote. The program's memory comes from `os` (its alloc, else malloc). */
enum mp_err mp_program_load(const void *bytes, size_t size, const struct mp_os *os,
                            struct mp_program **out, const char **why);
void mp_program_free(struct mp_program *p);

/* Sets a parameter by `name` or `package.name`: MP_ENOTFOUND, MP_EINVAL (type or range). Not while
 * another thread evaluates this program. `value` is written as in a policy (mp_value_read); a
 * text is copied. MP_EEXIST: a bare name that two packages have. */
enum mp_err mp_program_set_param(struct mp_program *p, mp_str name, mp_str value);
/* The values in force of another load of the same image, which may go away then. MP_ENOMEM. */
enum mp_err mp_program_copy_params(struct mp_program *p, const struct mp_program *from);
/* The representation of a field, a column, an output: its type's, or S for a set. */
enum mp_rep mp_field_rep(const struct mp_field_row *f);
enum mp_rep mp_column_rep(const struct mp_column_row *c);

/* The words of an enum's value, for text and JSON. */
mp_str mp_op_word(enum mp_op op);
mp_str mp_agg_word(enum mp_agg agg);
#define MP_ENUM_WORD_DECLARE(e, P) mp_str mp_##e##_word(uint32_t value);
MP_ENUMS(MP_ENUM_WORD_DECLARE)
#undef MP_ENUM_WORD_DECLARE

bool mp_agg_counting(enum mp_agg agg);
bool mp_agg_needs_value(enum mp_agg agg);

#endif
