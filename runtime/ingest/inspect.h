/* SPDX-License-Identifier: Apache-2.0
 * inspect.h - what is in a file of telemetry, without a policy (`mpol inspect`): signals, fields,
 * keys, how many values they have, gaps, order and lateness. What an author looks at before writing
 * a rule.
 *
 * Owns:    its counts. Callers: the command. One thread.
 * Memory:  from the arena given to create, fixed: at most 32 signals and 512 fields are told apart.
 */
#ifndef MP_INGEST_INSPECT_H
#define MP_INGEST_INSPECT_H

#include "base/arena.h"
#include "base/err.h"

struct mp_inspect;

enum mp_err mp_inspect_create(struct mp_arena *arena, struct mp_inspect **out);
/* Looks at a line, without its end. False: it is no line of telemetry; *why is a static text. */
bool mp_inspect_line(struct mp_inspect *in, mp_str line, const char **why);
/* Lines that could not even be read: longer than a line may be. */
void mp_inspect_bad(struct mp_inspect *in, const char *why);
/* Writes all of it for people. */
void mp_inspect_text(const struct mp_inspect *in, struct mp_buf *out);
/* One JSON object. */
void mp_inspect_json(const struct mp_inspect *in, struct mp_buf *out);

struct mp_inspect_counts {
    uint64_t lines, records, bad;
};
void mp_inspect_counts(const struct mp_inspect *in, struct mp_inspect_counts *out);

#endif
