/* SPDX-License-Identifier: Apache-2.0 */
#include "story.h"

#include <string.h>

static const struct plot plots[TALES] = {
    [TALE_CHECKOUT] = {.rule = "checkout_errors",
                       .marks = 1u << DECIDED | 1u << EFFECTIVE | 1u << FAILED | 1u << ESCALATED |
                                1u << CONFIRMED | 1u << RELEASING | 1u << RELEASED,
                       .harmless = true},
    [TALE_LOGIN] = {.rule = "login_flood",
                    .marks = 1u << DECIDED | 1u << EFFECTIVE | 1u << CONFIRMED | 1u << RELEASED,
                    .harmless = true,
                    .watertight = true},
    [TALE_ADMIN] = {.rule = "admin_door",
                    .marks = 1u << DECIDED | 1u << EFFECTIVE,
                    .harmless = true,
                    .watertight = true},
    [TALE_SEARCH] = {.rule = "search_surge",
                     .marks = 1u << DECIDED | 1u << EFFECTIVE | 1u << HARMFUL | 1u << ROLLED_BACK},
};

void story_open(bool tty) { tell_open(plots, TALES, tty); }

void story_policy(unsigned reloads)
{
    tell_line(BLUE, "policy", "edited, and in force: generation %u", reloads + 1);
}

static bool is_bad(enum tale tale, const struct story_seen *s)
{
    switch (tale) {
    case TALE_CHECKOUT:
        return !s->gate && s->service == CHECKOUT && s->status >= 500;
    case TALE_LOGIN:
        return s->gate && s->client == INTRUDER && s->status == 401;
    case TALE_ADMIN:
        return s->client == STRANGER;
    case TALE_SEARCH:
        return s->gate && s->client == SHOPPER;
    case TALES:
        break;
    }
    return false;
}

/* The wrong that a tale is about went through although it was decided that it should not. */
static bool is_leak(enum tale tale, const struct story_seen *s)
{
    return tale != TALE_SEARCH && s->rule[0] == '\0' && is_bad(tale, s);
}

void story_see(const struct story_seen *s)
{
    for (int i = 0; i < TALES; i++) {
        enum tale tale = (enum tale)i;
        if (!tell_begun(i, s->wall_ns)) continue;
        bool by_us = strcmp(s->rule, plots[i].rule) == 0;
        if (by_us) tell_refused(i);
        if (is_bad(tale, s)) {
            tell_bad(i, s->wall_ns, "the first: %s %s, status %d", shop_places[s->service].name,
                     s->path, s->status);
        }
        /* What was under way when it was decided is no leak of a tale that must have none. */
        int64_t shut = tell_mark_ns(i, plots[i].watertight ? EFFECTIVE : DECIDED);
        if (shut != 0 && s->asked_ns > shut && is_leak(tale, s)) tell_leaked(i);
        if (by_us && tale == TALE_ADMIN) tell_inline(i, s->wall_ns, s->status);
    }
}

void story_client_refused(enum shop_client client, const char *rule)
{
    if (client != CUSTOMER && client != SHOPPER && client != CONSOLE) return;
    for (int i = 0; i < TALES; i++) {
        if (strcmp(rule, plots[i].rule) == 0) tell_harmed(i);
    }
}
