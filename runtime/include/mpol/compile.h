/* SPDX-License-Identifier: Apache-2.0
 * mpol/compile.h - policy text to a program.
 *
 * mpol_compile() is in libmpol only; a process that carries images needs no more than libmpol-rt
 * and mpol_program_load(). Compiling touches no file, no network and no global state; it may run
 * on any thread, several at a time. It takes milliseconds and megabytes: not the thread that
 * answers requests.
 */
#ifndef MPOL_COMPILE_H
#define MPOL_COMPILE_H

#include "mpol/error.h"
#include "mpol/world.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One .mpol file. `name` is what messages call it. */
struct mpol_source {
    struct mpol_text name;
    struct mpol_text text;
};

enum mpol_severity { MPOL_ERROR = 0, MPOL_WARNING = 1, MPOL_NOTE = 2 };

/* One message about policy text. `rendered` is the whole of it as `mpol check` prints it: with the
 * line, a caret and the help. Lines and columns count from 1, columns in bytes; 0: no place. */
struct mpol_diagnostic {
    size_t size;
    enum mpol_severity severity;
    const char *code; /* "E0101" */
    struct mpol_text message;
    struct mpol_text file;
    uint32_t line, column;
    struct mpol_text rendered;
};

struct mpol_compile_options {
    size_t size;
    /* Memory and regular expressions; NULL: malloc, and `matches` is refused. The regular
     * expressions of a program are freed through it: it must outlive the program. */
    const struct mpol_world *world;
    /* Told every message, errors first by place in the file; may be NULL. */
    void (*diagnostic)(void *ctx, const struct mpol_diagnostic *d);
    void *ctx;
    /* Packages that the sources may `use`, beside the standard library; their rules are not in
     * force. */
    const struct mpol_source *packages;
    size_t package_count;
    /* Non-zero: `test` blocks are part of the program (for mpol_test-like hosts only). */
    int with_tests;
};

/* Compiles all sources as one program. MPOL_EINVAL: there were errors, all of them have been told.
 * MPOL_ENOMEM. The caller owns *out until an engine takes it. `options` may be NULL. */
MPOL_API enum mpol_err mpol_compile(const struct mpol_source *sources, size_t count,
                                    const struct mpol_compile_options *options,
                                    struct mpol_program **out);

/* Loads an image that mpol_program_image() has given. The bytes are copied, and checked as
 * if an enemy had written them: MPOL_ECORRUPT, with a static text in *why (may be NULL).
 * MPOL_EUNSUPPORTED: the program uses `matches` and `world` has no regular expressions. */
MPOL_API enum mpol_err mpol_program_load(const void *image, size_t image_size,
                                         const struct mpol_world *world,
                                         struct mpol_program **out, const char **why);

/* The program as bytes that can be kept and loaded elsewhere; they belong to the program. */
MPOL_API enum mpol_err mpol_program_image(const struct mpol_program *program, const void **image,
                                          size_t *image_size);

/* Sets a `param` by `name` or `package.name`; the text is a literal of its type: "5%", "30s".
 * MPOL_ENOTFOUND, or MPOL_EINVAL for a wrong type or a value outside the declared range.
 * Only before an engine takes the program; afterwards mpol_engine_param(). */
MPOL_API enum mpol_err mpol_program_param(struct mpol_program *program, struct mpol_text name,
                                          struct mpol_text value);

/* How many rules it has, and the name of one; `kind` is "inline", "event" or "loop". */
MPOL_API size_t mpol_program_rule_count(const struct mpol_program *program);
MPOL_API enum mpol_err mpol_program_rule(const struct mpol_program *program, size_t index,
                                         struct mpol_text *name, struct mpol_text *kind);

/* Frees a program that no engine has taken. NULL is nothing. */
MPOL_API void mpol_program_free(struct mpol_program *program);

#ifdef __cplusplus
}
#endif

#endif
