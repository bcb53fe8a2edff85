/* SPDX-License-Identifier: Apache-2.0
 * telling.h - what happens in a live example, told line by line, and the figures of the closing
 * table.
 *
 * Owns:    the terminal, the marks of each tale, and the clock that both count by.
 * Callers: the live examples (mesh, envoy), from any thread: one lock inside.
 * Memory:  static; the plots given to tell_open() are borrowed for the life of the process.
 *
 * A tale is one thing that goes wrong and the rule that answers it. Times are wall times: what lies
 * between two lines took real time.
 */
#ifndef EXAMPLES_TELLING_H
#define EXAMPLES_TELLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mpol/mpol.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define TALES_MAX 12

/* What a rule did, in the order in which it can happen. */
enum mark {
    DECIDED,    /* the trigger held */
    EFFECTIVE,  /* the first step is in force, and was seen to be */
    FAILED,     /* it did not help */
    ESCALATED,  /* a later step is in force */
    CONFIRMED,  /* it helped */
    HARMFUL,    /* it hurt */
    ROLLED_BACK,
    RELEASING,  /* a ramp has begun */
    RELEASED,
    MARKS
};

struct plot {
    const char *rule;
    const char *key;   /* whose incident the marks are of; NULL: the first of the rule */
    const char *title; /* in the table; NULL: the rule */
    unsigned marks;    /* that must be met, each after the one before */
    bool harmless;     /* no good client may be refused */
    bool watertight;   /* nothing bad may pass after the decision */
    unsigned lines;    /* at most so many lines with one word, for rules with many keys; 0: all */
};

enum colour { PLAIN, RED, GREEN, YELLOW, BLUE, DIM };

/* ---- the clock ---- */

/* Since the epoch. */
int64_t tell_now_ns(void);
/* Since tell_open(). */
double tell_seconds(int64_t wall_ns);
void tell_sleep_ns(int64_t ns);

/* xorshift64* (Vigna 2016): the same seed, the same traffic. The state must not be 0. */
static inline uint64_t tell_dice(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return (x * UINT64_C(0x2545F4914F6CDD1D)) >> 32;
}

/* ---- the terminal ---- */

/* `count` plots, a tale each; with `tty` in colour and with a status line. */
void tell_open(const struct plot *plots, int count, bool tty);
/* One line, now: a word, and what about it. */
void tell_line(enum colour colour, const char *word, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tell_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line that stays at the bottom of a terminal; nothing in a pipe. */
void tell_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- tales ---- */

/* The cause of a tale begins, and ends. Nothing counts for a tale that has not begun. */
void tell_begin(int tale, const char *what);
void tell_cause_gone(int tale, const char *what);
bool tell_begun(int tale, int64_t wall_ns);

/* The first bad request of a tale is told, the others are not. */
void tell_bad(int tale, int64_t wall_ns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One request that the rule refused; one that was bad and passed after the decision; one that was
 * good and was refused. */
void tell_refused(int tale);
void tell_leaked(int tale);
void tell_harmed(int tale);
/* A condition of the tale that somebody has looked at: told, and one that does not hold keeps the
 * loop from counting as closed. Answers `holds`. */
bool tell_check(int tale, bool holds, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The decision and the effect of an inline rule are one answer. Told once. */
void tell_inline(int tale, int64_t wall_ns, int status);
/* A transition; fits mpol_engine_watch(). */
void tell_entry(void *ctx, const struct mpol_entry *entry);

/* When a mark was met, as far as we had heard; 0: not yet. */
int64_t tell_mark_ns(int tale, enum mark mark);
/* When it was by the clock of who decided, before we heard of it; 0: not yet, or unknown. */
int64_t tell_said_ns(int tale, enum mark mark);
/* Waits for a mark; false at `until_ns`. */
bool tell_wait(int tale, enum mark mark, int64_t until_ns);

/* Prints the table of the tales that have begun; true if each of them closed as its plot says. */
bool tell_table(void);

#endif
