/* SPDX-License-Identifier: Apache-2.0
 * lines.h - a stream as lines, bounded: what is longer than a line may be is skipped and counted.
 */
#ifndef MP_CLI_LINES_H
#define MP_CLI_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/str.h"

struct cli_lines {
    FILE *stream;
    char *buffer;
    size_t size, from, to;
    uint64_t number; /* of the line at hand, from 1 */
    bool at_end, skipping;
    int error; /* errno of a failed read, else 0 */
};

/* `max` is the longest line. False: no memory. */
bool cli_lines_open(struct cli_lines *lines, FILE *stream, size_t max);
void cli_lines_close(struct cli_lines *lines);
/* The next line without its end; it lives until the next call. *too_long: the line was skipped,
 * *out is empty. False at the end of the stream or where reading failed. */
bool cli_lines_next(struct cli_lines *lines, mp_str *out, bool *too_long);

#endif
