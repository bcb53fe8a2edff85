/* SPDX-License-Identifier: Apache-2.0
 * story.h - what happens, told line by line, and the figures of the closing table.
 *
 * A tale is one thing that goes wrong and the rule that answers it. Times are wall times.
 */
#ifndef SHOP_STORY_H
#define SHOP_STORY_H

#include "mesh.h"
#include "mpol/mpol.h"

enum tale { TALE_CHECKOUT, TALE_LOGIN, TALE_ADMIN, TALE_SEARCH, TALES };

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

/* One request at one proxy, when it has ended. */
struct story_seen {
    bool gate;
    enum shop_service service;
    const char *path;
    enum shop_client client;
    const char *rule; /* that refused it here, or "" */
    int status;
    int64_t wall_ns;
};

void story_open(bool tty);
/* From every proxy thread. */
void story_see(const struct story_seen *seen);
/* From every client thread: one of its requests was refused by `rule`, somewhere on the way. */
void story_client_refused(enum shop_client client, const char *rule);
/* From the loop: a transition. */
void story_entry(void *ctx, const struct mpol_entry *entry);

/* The cause of a tale begins, and ends. */
void story_begin(enum tale tale, const char *what);
void story_cause_gone(enum tale tale, const char *what);
/* Waits for a mark; false at `until_ns`. */
bool story_wait(enum tale tale, enum mark mark, int64_t until_ns);

/* An edited policy has taken the place of the one before. */
void story_policy(unsigned reloads);

/* One line that stays at the bottom of a terminal; nothing in a pipe. */
void story_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
void story_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the table; true if every loop closed as the policy says. */
bool story_table(void);

#endif
