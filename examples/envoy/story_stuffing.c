/* SPDX-License-Identifier: Apache-2.0
 * Forty addresses try passwords at the gateway. All are slowed down; the eight that do not slow
 * down by themselves are turned away; who knows his password notices nothing.
 */
#include "shop.h"

#define OFFENDER_RATE 120
#define GUESSER_RATE 64

static atomic_ulong guesses_after, denied_guessers, throttled, good_logins;

static void on_answer(enum kind kind, const char *from, const struct wire_answer *answer)
{
    int64_t now = tell_now_ns(), begun = now - answer->took_ns;
    int64_t decided = tell_mark_ns(STUFFING, DECIDED),
            escalated = tell_mark_ns(STUFFING, ESCALATED);
    bool refused = answer->status == 403 || answer->status == 429;
    if (kind == LOGGER_IN) {
        if (refused) tell_harmed(STUFFING);
        if (answer->status == 200) atomic_fetch_add(&good_logins, 1);
        return;
    }
    if ((kind != GUESSER && kind != OFFENDER) || !tell_begun(STUFFING, begun)) return;
    if (answer->status == 401) tell_bad(STUFFING, now, "the first: /login by %s, status 401", from);
    if (answer->status == 401 && decided != 0 && begun > decided) tell_leaked(STUFFING);
    if (refused) tell_refused(STUFFING);
    if (answer->status == 429) atomic_fetch_add(&throttled, 1);
    if (kind == GUESSER && answer->status == 403) atomic_fetch_add(&denied_guessers, 1);
    /* The first offender is the one whose incident the tale follows. */
    bool first = kind == OFFENDER && from[9] == '1' && from[10] == '\0';
    if (first && escalated != 0 && begun > escalated && answer->status == 401 &&
        tell_mark_ns(STUFFING, RELEASED) == 0) {
        atomic_fetch_add(&guesses_after, 1);
    }
}

void story_stuffing(void)
{
    load_watch(on_answer);
    tell_begin(STUFFING, "40 addresses try passwords at /login, 8 of them fast");
    load_set(GUESSER, GUESSER_RATE);
    load_set(OFFENDER, OFFENDER_RATE);
    bool acted = tell_wait(STUFFING, DECIDED, shop_until(8)) &&
                 tell_wait(STUFFING, ESCALATED, shop_until(12));
    if (acted) tell_wait(STUFFING, CONFIRMED, shop_until(10));
    load_set(GUESSER, 0);
    load_set(OFFENDER, 0);
    tell_cause_gone(STUFFING, "they give up");
    if (acted) tell_wait(STUFFING, RELEASED, shop_until(14));
    tell_check(STUFFING, atomic_load(&throttled) > 0,
               "slowed down first: %lu tries were answered with 429", atomic_load(&throttled));
    tell_check(STUFFING, atomic_load(&guesses_after) == 0,
               "an offender: no password tried after the denial was "
               "in force, %lu",
               atomic_load(&guesses_after));
    tell_check(STUFFING, atomic_load(&denied_guessers) == 0,
               "who tried slowly was slowed down, not turned away: "
               "%lu denied",
               atomic_load(&denied_guessers));
    tell_check(STUFFING,
               atomic_load(&good_logins) > 0 && atomic_load(&load_counts[LOGGER_IN].refused) == 0,
               "good logins: %lu, none refused", atomic_load(&good_logins));
    load_watch(NULL);
}
