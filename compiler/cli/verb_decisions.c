/* SPDX-License-Identifier: Apache-2.0
 * `mpol decisions list|add|delete`: leases by hand. Before anything is done to a live mesh, the
 * daemon is asked whom it would touch; then a person says yes, at the terminal or by --yes.
 */
#include "cli/verbs.h"

#include "cli/control.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 8   /* as the daemon takes them */
#define WORDS_MAX 16
#define LOOKS 200 /* how often it is asked whether a mesh obeys, and how long between two */
#define LOOK_NS 10000000L

const struct cli_option cli_decisions_options[] = {
    {"state", "DIR", "the folder of `mpol run`"},
    {"on", "HOOK", "add: ingress, service (if nothing is said) or edge"},
    {"for", "TIME", "add: 5m; if nothing is said, what the vocabulary says"},
    {"reason", "TEXT", "add, delete: kept in the ledger, with who it was"},
    {"yes", NULL, "do not ask"},
    {"dry-run", NULL, "say whom it would touch, and do nothing"},
    {"force", NULL, "add: a range of more than a /24 (IPv6: /48) is meant"},
    {"format", "FORMAT", "text or json"},
    {NULL, NULL, NULL}};

enum mode { LOOK, SHOW };

struct decision {
    const struct cli_args *args;
    const char *words[WORDS_MAX];
    size_t count;
    bool json;
};

static void add_word(struct decision *d, const char *word) { d->words[d->count++] = word; }

static int ask(struct decision *d, enum mode mode)
{
    static const char *const words[] = {"look", "show"};
    d->words[2] = words[mode];
    return cli_control_ask(d->args, d->words, d->count);
}

/* ---- until the mesh obeys ---- */

/* The answer to these words, to be freed; NULL: there is none. */
static char *fetch(struct decision *d, const char *const *words, size_t count, int *code)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (to == NULL) return NULL;
    *code = cli_control_ask_to(d->args, words, count, to);
    if (fclose(to) == 0) return text;
    free(text);
    return NULL;
}

#define MEMBER ",\"state\":\"" /* before the state in JSON */
#define AFTER ",\"facts\":["   /* behind it and what goes with it */

/* A state as it is written in text, or with its member. */
static const char *word_of(const char *state)
{
    bool member = strncmp(state, MEMBER, strlen(MEMBER)) == 0;
    return member ? state + strlen(MEMBER) : state;
}

static bool is_on_its_way(const char *state)
{
    static const char *const words[] = {"admitted", "applying", "accepted"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strncmp(word_of(state), words[i], strlen(words[i])) == 0) return true;
    }
    return false;
}

#define SOMEWHERE "in force at " /* in the reason of a stuck one */
#define GIVEN " given it"        /* it may be so in a moment */

static bool will_change(const char *state)
{
    return is_on_its_way(state) || strstr(state, GIVEN) != NULL;
}

/* Asks for the lease of this number until it is on its way no more, for two seconds;
 * to be freed. */
static char *wait_for(struct decision *d, const char *lease)
{
    const char *const words[] = {"decisions", "state", lease, d->json ? "json" : "text"};
    char *state = NULL;
    for (int i = 0; i < LOOKS; i++) {
        int code = CLI_USAGE;
        free(state);
        state = fetch(d, words, 4, &code);
        if (state == NULL || code != CLI_OK || !will_change(state)) return state;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    return state;
}

/* The state in an answer, in text to its end, in JSON the members up to the facts:
 * `: #12 applying`, or `"id":12 … ,"state":"applying","facts":[`. A quote within a text of JSON is
 * escaped, so that none of these is part of one. */
struct found {
    const char *state, *after;
    char lease[24];
};

static bool find_state(const struct decision *d, const char *answer, struct found *out)
{
    const char *name = d->json ? ",\"id\":" : ": #";
    const char *number = strstr(answer, name);
    if (number == NULL) return false;
    number += strlen(name);
    size_t digits = strspn(number, "0123456789");
    if (digits == 0 || digits >= sizeof out->lease) return false;
    memcpy(out->lease, number, digits);
    out->lease[digits] = '\0';
    out->state = d->json ? strstr(number, MEMBER) : number + digits + 1;
    if (out->state == NULL || (!d->json && number[digits] != ' ')) return false;
    out->after = d->json ? strstr(out->state, AFTER) : strchr(answer, '\0');
    return out->after != NULL;
}

#define TRIED "it is not in force; it is tried again until its end\n"
#define TRIED_ELSEWHERE "where it is not in force it is tried again until its end\n"

/* A person or a script wants to know whether it is obeyed, and a stuck lease is not. */
static int put_decided(struct decision *d, char *answer)
{
    struct found at;
    if (!find_state(d, answer, &at)) {
        fputs(answer, stdout);
        return CLI_OK;
    }
    char *state = will_change(at.state) ? wait_for(d, at.lease) : NULL;
    bool known = state != NULL && state[0] != '\0';
    const char *now = known ? state : at.state;
    bool stuck = strncmp(word_of(now), "stuck", strlen("stuck")) == 0;
    fwrite(answer, 1, (size_t)(at.state - answer), stdout);
    fputs(now, stdout);
    if (known) fputs(at.after, stdout);
    if (d->json) {
        free(state);
        return stuck ? CLI_FINDINGS : CLI_OK;
    }
    if (is_on_its_way(now))
        fputs("the mesh was not seen to obey yet; `mpol decisions list` tells\n", stdout);
    bool somewhere = strstr(now, SOMEWHERE) != NULL || strstr(now, GIVEN) != NULL;
    if (stuck) fputs(somewhere ? TRIED_ELSEWHERE : TRIED, stdout);
    free(state);
    return stuck ? CLI_FINDINGS : CLI_OK;
}

static int decide(struct decision *d)
{
    int code = CLI_USAGE;
    d->words[2] = "do";
    if (strcmp(d->words[1], "add") != 0)
        return cli_control_ask(d->args, d->words, d->count);
    char *answer = fetch(d, d->words, d->count, &code);
    if (answer == NULL) return cli_no_memory(d->args);
    if (code == CLI_OK) {
        code = put_decided(d, answer);
    } else {
        fputs(answer, stdout);
    }
    free(answer);
    return code;
}

/* ---- who says yes ---- */

/* A person at a terminal; nobody else can say yes to this. */
static bool confirmed(void)
{
    char line[16];
    fputs("do it? [y/N] ", stderr);
    fflush(stderr);
    if (fgets(line, sizeof line, stdin) == NULL) return false;
    return strcmp(line, "y\n") == 0 || strcmp(line, "yes\n") == 0;
}

/* Whom it touches comes first, also for who said yes beforehand. */
static int look_and_do(struct decision *d, bool show)
{
    bool yes = cli_flag(d->args, "yes"), dry = cli_flag(d->args, "dry-run");
    if (yes && !dry && (d->json || !show)) return decide(d); /* the answer tells that, too */
    int code = ask(d, yes && !dry ? SHOW : LOOK); /* what is withheld then is for the ledger, too */
    if (code != CLI_OK || dry) return code;
    fflush(stdout);
    if (!yes && !(isatty(STDIN_FILENO) && isatty(STDERR_FILENO))) {
        return cli_complain(d->args, "nothing was done: say --yes if that is meant");
    }
    if (!yes && !confirmed()) {
        fputs("nothing was done\n", stderr);
        return CLI_FINDINGS;
    }
    return decide(d);
}

static int too_many(const struct cli_args *args)
{
    return cli_complain(args, "that is too much at once");
}

static int add(struct decision *d, const char *const *operands, size_t count)
{
    static char on[64], time[64];
    const char *hook = cli_value(d->args, "on", NULL), *span = cli_value(d->args, "for", NULL);
    if (count < 2) {
        return cli_complain(
            d->args, "say what to do, and to whom: decisions add deny client.ip=10.0.0.7 --for=5m");
    }
    if (count - 2 + (hook != NULL) + (span != NULL) > ARGS_MAX) return too_many(d->args);
    add_word(d, d->json ? "json" : "text");
    add_word(d, cli_flag(d->args, "force") ? "wide" : "-");
    add_word(d, cli_value(d->args, "reason", ""));
    for (size_t i = 0; i < count; i++) add_word(d, operands[i]);
    if (hook != NULL) {
        if ((size_t)snprintf(on, sizeof on, "on=%s", hook) >= sizeof on) return too_many(d->args);
        add_word(d, on);
    }
    if (span != NULL) {
        if ((size_t)snprintf(time, sizeof time, "for=%s", span) >= sizeof time)
            return too_many(d->args);
        add_word(d, time);
    }
    return look_and_do(d, true);
}

static int take_back(struct decision *d, const char *const *operands, size_t count)
{
    if (count != 1) {
        return cli_complain(
            d->args, "say what: decisions delete client.ip=10.0.0.7, or decisions delete '#12'");
    }
    add_word(d, d->json ? "json" : "text");
    add_word(d, cli_value(d->args, "reason", ""));
    add_word(d, operands[0]);
    return look_and_do(d, false);
}

static int unknown(const struct cli_args *args, const char *word)
{
    static const char *const known[] = {"list", "add", "delete"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (mp_str_distance(mp_str_of(word), mp_str_of(known[i]), 3) <= 2) {
            return cli_complain(args, "there is no `decisions %s`; did you mean `decisions %s`?",
                                word, known[i]);
        }
    }
    return cli_complain(args, "decisions list, decisions add, or decisions delete");
}

int cli_decisions(const struct cli_args *args)
{
    static const char *const formats[] = {"text", "json", NULL};
    size_t count;
    const char *const *operands = cli_operands(args, &count);
    int format = cli_choice(args, "format", formats);
    if (format < 0 || cli_given_twice(args, "")) return CLI_USAGE;
    if (count == 0) return unknown(args, "");
    struct decision d = {.args = args, .words = {"decisions", operands[0], "look"}, .count = 3,
                         .json = format == 1};
    if (strcmp(operands[0], "add") == 0) return add(&d, operands + 1, count - 1);
    if (strcmp(operands[0], "delete") == 0) return take_back(&d, operands + 1, count - 1);
    if (strcmp(operands[0], "list") != 0) return unknown(args, operands[0]);
    if (count > 1) return cli_complain(args, "decisions list takes no operand");
    d.words[2] = d.json ? "json" : "text";
    return cli_control_ask(args, d.words, d.count);
}
