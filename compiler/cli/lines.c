/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool cli_lines_open(struct cli_lines *lines, FILE *stream, size_t max)
{
    /* Room for the longest line, its end, and as much again to read ahead. */
    *lines = (struct cli_lines){.stream = stream, .size = 2 * max + 2};
    lines->buffer = malloc(lines->size);
    return lines->buffer != NULL;
}

void cli_lines_close(struct cli_lines *lines)
{
    free(lines->buffer);
    lines->buffer = NULL;
}

static void fill(struct cli_lines *lines)
{
    memmove(lines->buffer, lines->buffer + lines->from, lines->to - lines->from);
    lines->to -= lines->from;
    lines->from = 0;
    size_t got = fread(lines->buffer + lines->to, 1, lines->size - lines->to, lines->stream);
    lines->to += got;
    if (got == 0) {
        lines->at_end = true;
        lines->error = ferror(lines->stream) ? errno : 0;
    }
}

/* Answers the line that ends at `end`, or says that it was too long. */
static bool give(struct cli_lines *lines, size_t end, size_t next, mp_str *out, bool *too_long)
{
    *too_long = lines->skipping || end - lines->from > (lines->size - 2) / 2;
    *out = *too_long ? MP_STR("") : (mp_str){lines->buffer + lines->from, end - lines->from};
    if (!*too_long && out->len > 0 && out->ptr[out->len - 1] == '\r') out->len--;
    lines->from = next;
    lines->skipping = false;
    lines->number++;
    return true;
}

bool cli_lines_next(struct cli_lines *lines, mp_str *out, bool *too_long)
{
    size_t looked = lines->from;
    for (;;) {
        char *end = memchr(lines->buffer + looked, '\n', lines->to - looked);
        if (end != NULL) {
            size_t at = (size_t)(end - lines->buffer);
            return give(lines, at, at + 1, out, too_long);
        }
        if (lines->at_end) {
            if (lines->from == lines->to && !lines->skipping) return false;
            return give(lines, lines->to, lines->to, out, too_long);
        }
        if (lines->to - lines->from > (lines->size - 2) / 2) {
            lines->skipping = true;
            lines->from = lines->to;
        }
        looked = lines->to - lines->from;
        fill(lines);
    }
}
