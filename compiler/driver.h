/* SPDX-License-Identifier: Apache-2.0
 * driver.h - the pipeline: policy texts → checked policy → tables → image, as one list of passes.
 *
 * Owns:    a compilation: its arenas, its texts, its messages, and what every pass made of them.
 * Callers: the command, the public interface, the daemon's reload, tests.
 * Threads: one compilation, one thread; several at a time are independent.
 * I/O:     none. Whoever calls has read the files.
 */
#ifndef MP_DRIVER_DRIVER_H
#define MP_DRIVER_DRIVER_H

#include "base/os.h"
#include "capability/capability.h"
#include "check/check.h"
#include "diag/diag.h"
#include "ir/ir.h"
#include "lint/lint.h"
#include "source/source.h"

struct mp_compile_text {
    mp_str name; /* what messages call it */
    mp_str text;
    uint32_t origin; /* MP_CHECK_GIVEN, or MP_CHECK_INCLUDE + number of the folder */
};

/* How far to go. */
enum mp_compile_goal { MP_COMPILE_PARSE, MP_COMPILE_CHECK, MP_COMPILE_IR, MP_COMPILE_IMAGE };

struct mp_compile_options {
    enum mp_compile_goal goal;
    bool with_tests;
    const mp_str *channels; /* NULL: any word is a channel (E0106) */
    uint32_t channel_count;
    /* Meshes that are to carry it out (E0701); none: any. capability/capability.h */
    const struct mp_backend_table *const *backends;
    uint32_t backend_count;
    const struct mp_os *os; /* memory, digest, regular expressions; members may be NULL */
    size_t memory_max_bytes; /* 0: no limit */
};

struct mp_compilation;

/* Compiles all texts as one program; the standard library is added. MP_OK also when the author made
 * mistakes: ask mp_compilation_errors. MP_ENOMEM; *out is NULL then. A fault of our own (tables
 * that do not verify) is MP_ECORRUPT, with the compilation in *out and its text in
 * mp_compilation_fault. */
enum mp_err mp_compile(const struct mp_compile_text *texts, uint32_t count,
                       const struct mp_compile_options *options, struct mp_compilation **out);
void mp_compilation_free(struct mp_compilation *c);

/* Adds advice to the messages (L-codes); those that are errors are part of every compilation.
 * Nothing where there are errors already. */
enum mp_err mp_compilation_lint(struct mp_compilation *c, enum mp_lint_level level);

uint32_t mp_compilation_errors(const struct mp_compilation *c);
struct mp_diags *mp_compilation_diags(struct mp_compilation *c);
const struct mp_sources *mp_compilation_sources(const struct mp_compilation *c);
/* NULL where a pass was not reached, because of the goal or of errors before it. */
const struct mp_ast_file *mp_compilation_ast(const struct mp_compilation *c, uint32_t text);
const struct mp_typed *mp_compilation_typed(const struct mp_compilation *c);
struct mp_ir *mp_compilation_ir(struct mp_compilation *c);
/* The bytes of the image; empty where it was not reached. They live as long as the compilation. */
mp_str mp_compilation_image(const struct mp_compilation *c);
const char *mp_compilation_fault(const struct mp_compilation *c);

#endif
