/* SPDX-License-Identifier: Apache-2.0
 * list.h - how members of a list are found: text by a hash, numbers and addresses by halving,
 * patterns one by one. Built when a program is loaded.
 *
 * Threads: immutable. Memory: the program's arena.
 */
#ifndef MP_PROGRAM_LIST_H
#define MP_PROGRAM_LIST_H

#include "program/program.h"

/* An interval of addresses, both ends in it, as 128-bit numbers. */
struct mp_net_range {
    uint64_t low[2], high[2]; /* most significant word first */
};

struct mp_list_index {
    enum mp_rep rep;
    /* T: rows of cnst, an open hash; `lengths` has a bit for every length mod 64 that occurs */
    uint32_t *slots; /* cnst + 1, 0 empty */
    uint32_t mask;
    uint64_t lengths;
    /* T: rows of cnst whose type is PATTERN */
    uint32_t *patterns;
    uint32_t pattern_count;
    /* B, I, F: the words, ascending and different */
    uint64_t *words;
    uint32_t word_count;
    /* A: addresses and ranges, merged, ascending, apart from each other */
    struct mp_net_range *ranges;
    uint32_t range_count;
};

/* Is the value a member of row `list`? Its representation is that of the list's type. */
bool mp_list_has(const struct mp_program *p, uint32_t list, const struct mp_value *v);

#endif
