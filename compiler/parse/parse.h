/* SPDX-License-Identifier: Apache-2.0
 * parse.h - text → syntax tree. Joins the lexer and the parser of grammar/ and owns recovery.
 *
 * Every independent mistake of a file is reported: after a syntax error reading goes on at the next
 * word in column 1 that begins an item. Codes: E0100, E0102, E0108, E0109, E0110 (complete: the
 * checker need not ask for `within` again). What else may be wrong with a tree is the checker's.
 *
 * Memory: the tree lies in `perm`; scratch memory comes from perm's allocator and is given back.
 */
#ifndef MP_PARSE_PARSE_H
#define MP_PARSE_PARSE_H

#include "ast/ast.h"
#include "diag/diag.h"

/* Parses a whole file. There is a tree also where there were errors: the items without one.
 * MP_ENOMEM (then *out is untouched). */
enum mp_err mp_parse(const struct mp_source *source, struct mp_arena *perm, struct mp_diags *diags,
                     struct mp_ast_file **out);

/* Parses the bytes of `span` as one condition, as in a hole of a string or in `--where`. *out is
 * NULL where there was an error, which is reported under `code`. */
enum mp_err mp_parse_expr(const struct mp_source *source, struct mp_span span,
                          enum mp_diag_code code,
                          struct mp_arena *perm, struct mp_diags *diags, struct mp_ast_expr **out);

#endif
