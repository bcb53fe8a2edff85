/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>


#define OPTIONS_MAX 24 /* LIMIT: options of one verb, the common ones included */

struct given {
    const char *value;
    int option;
};

struct cli_args {
    const struct cli_verb *verb;
    struct cli_option options[OPTIONS_MAX];
    int option_count;
    struct given *given;
    int given_count;
    const char **scratch; /* for cli_values */
    const char *const *operands;
    size_t operand_count;
};

static const struct cli_option common_options[] = {
    {"color", "WHEN", "auto, always or never; auto obeys NO_COLOR"},
    {"help", NULL, "this text"},
};

/* ---- asking ---- */

static int option_of(const struct cli_args *args, const char *name)
{
    for (int i = 0; i < args->option_count; i++) {
        if (strcmp(args->options[i].name, name) == 0) return i;
    }
    return -1;
}

const char *const *cli_values(const struct cli_args *args, const char *name, size_t *count)
{
    int option = option_of(args, name);
    size_t found = 0;
    for (int i = 0; i < args->given_count; i++) {
        if (args->given[i].option == option) args->scratch[found++] = args->given[i].value;
    }
    *count = found;
    return args->scratch;
}

const char *cli_value(const struct cli_args *args, const char *name, const char *fallback)
{
    int option = option_of(args, name);
    const char *value = fallback;
    for (int i = 0; i < args->given_count; i++) {
        if (args->given[i].option == option) value = args->given[i].value;
    }
    return value;
}

bool cli_flag(const struct cli_args *args, const char *name)
{
    int option = option_of(args, name);
    for (int i = 0; i < args->given_count; i++) {
        if (args->given[i].option == option) return true;
    }
    return false;
}

const char *const *cli_operands(const struct cli_args *args, size_t *count)
{
    *count = args->operand_count;
    return args->operands;
}

int cli_choice(const struct cli_args *args, const char *name, const char *const *words)
{
    const char *value = cli_value(args, name, words[0]);
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], value) == 0) return i;
    }
    fprintf(stderr, "mpol %s: --%s=%s is none of:", args->verb->name, name, value);
    for (int i = 0; words[i] != NULL; i++) fprintf(stderr, " %s", words[i]);
    fputc('\n', stderr);
    return -1;
}

bool cli_given_twice(const struct cli_args *args, const char *then)
{
    for (int i = 0; i < args->given_count; i++) {
        const struct cli_option *o = &args->options[args->given[i].option];
        for (int k = 0; k < i && o->value != NULL && !o->many; k++) {
            if (args->given[k].option != args->given[i].option) continue;
            cli_complain(args, "--%s is given twice: %s and %s%s", o->name, args->given[k].value,
                         args->given[i].value, then);
            return true;
        }
    }
    return false;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

bool cli_colour(const struct cli_args *args, FILE *stream)
{
    const char *when = cli_value(args, "color", "auto");
    if (strcmp(when, "always") == 0) return true;
    if (strcmp(when, "never") == 0 || is_set("NO_COLOR")) return false;
    if (is_set("CLICOLOR_FORCE")) return true;
    const char *term = getenv("TERM");
    return isatty(fileno(stream)) && term != NULL && strcmp(term, "dumb") != 0;
}

int cli_complain(const struct cli_args *args, const char *format, ...)
{
    va_list list;
    fprintf(stderr, "mpol %s: ", args->verb->name);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return CLI_USAGE;
}

const char *cli_verb_name(const struct cli_args *args) { return args->verb->name; }

int cli_no_memory(const struct cli_args *args)
{
    cli_complain(args, "out of memory");
    return CLI_USAGE;
}

/* ---- help ---- */

static void print_verb_help(const struct cli_args *args)
{
    const struct cli_verb *verb = args->verb;
    printf("mpol %s %s\n  %s\n\n", verb->name, verb->operands, verb->summary);
    for (int i = 0; i < args->option_count; i++) {
        const struct cli_option *o = &args->options[i];
        if (o->help == NULL) continue; /* told with another */
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value != NULL ? "=" : "",
                 o->value != NULL ? o->value : "");
        printf("  %-24s %s\n", left, o->help);
    }
    if (verb->examples != NULL) printf("\n%s", verb->examples);
}

static void print_help(void)
{
    puts("mpol - policies that close the security loop of a mesh: "
         "see, decide, act, check, return\n");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        printf("  %-9s %s\n", v->name, v->summary);
    }
    puts("\n`mpol VERB --help` tells its options; `mpol explain CODE` a message.");
}

/* ---- reading ---- */

static const struct cli_verb *verb_named(const char *name)
{
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (strcmp(v->name, name) == 0) return v;
    }
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *nearest = NULL;
    unsigned best = 3;
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        unsigned distance = mp_str_distance(mp_str_of(name), mp_str_of(v->name), best);
        if (distance < best) {
            best = distance;
            nearest = v->name;
        }
    }
    if (nearest != NULL) {
        fprintf(stderr, "mpol: there is no verb `%s`; did you mean `mpol %s`?\n", name, nearest);
    } else {
        fprintf(stderr, "mpol: there is no verb `%s`; `mpol --help` lists them\n", name);
    }
    return CLI_USAGE;
}

static void join_options(struct cli_args *args)
{
    for (const struct cli_option *o = args->verb->options; o != NULL && o->name != NULL; o++) {
        if (args->option_count < OPTIONS_MAX - 2) args->options[args->option_count++] = *o;
    }
    for (size_t i = 0; i < sizeof common_options / sizeof common_options[0]; i++) {
        args->options[args->option_count++] = common_options[i];
    }
}

static int bad_option(const struct cli_args *args, const char *word, bool is_missing)
{
    if (is_missing) return cli_complain(args, "%s needs a value; see --help", word);
    return cli_complain(args, "there is no option %s here; see --help", word);
}

/* Options may follow operands, `--` ends them (getopt_long permutes). */
static int read_options(struct cli_args *args, int argc, char **argv)
{
    struct option table[OPTIONS_MAX + 1] = {{0}};
    for (int i = 0; i < args->option_count; i++) {
        table[i] = (struct option){.name = args->options[i].name,
                                   .has_arg = args->options[i].value != NULL,
                                   .val = 256 + i};
    }
    opterr = 0;
    optind = 1;
    for (;;) {
        int at = optind;
        int found = getopt_long(argc, argv, ":I:h", table, NULL);
        if (found < 0) break;
        /* The short options that hands type without thinking. */
        if (found == 'h') found = 256 + option_of(args, "help");
        if (found == 'I' && option_of(args, "include") >= 0)
            found = 256 + option_of(args, "include");
        if (found < 256) {
            const char *word = optind > at ? argv[optind - 1] : argv[at];
            return bad_option(args, word, found == ':');
        }
        args->given[args->given_count++] = (struct given){optarg, found - 256};
    }
    args->operands = (const char *const *)(argv + optind);
    args->operand_count = (size_t)(argc - optind);
    return CLI_OK;
}

static int run_verb(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli_args args = {.verb = verb};
    join_options(&args);
    args.given = calloc((size_t)argc + 1, sizeof *args.given);
    args.scratch = calloc((size_t)argc + 1, sizeof *args.scratch);
    int code = CLI_USAGE;
    if (args.given == NULL || args.scratch == NULL) {
        code = cli_no_memory(&args);
    } else if ((code = read_options(&args, argc, argv)) == CLI_OK) {
        static const char *const when[] = {"auto", "always", "never", NULL};
        if (cli_flag(&args, "help")) {
            print_verb_help(&args);
        } else if (cli_choice(&args, "color", when) < 0) {
            code = CLI_USAGE;
        } else {
            code = verb->run(&args);
        }
    }
    free(args.given);
    free(args.scratch);
    return code;
}

/* False: a file did not take all of the output. A pipe whose reader has gone is no trouble. */
static bool written(void)
{
    struct stat at;
    errno = 0;
    bool ok = fflush(stdout) == 0 && !ferror(stdout);
    if (ok || (fstat(STDOUT_FILENO, &at) == 0 && (S_ISFIFO(at.st_mode) || S_ISSOCK(at.st_mode)))) {
        return true;
    }
    fprintf(stderr, "mpol: standard output: %s\n",
            errno != 0 ? strerror(errno) : "not all was written");
    return false;
}

int cli_main(int argc, char **argv)
{
    /* A reader that goes away early must not change the exit code. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        fprintf(stderr, "mpol: say what to do; `mpol --help` lists the verbs\n");
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help();
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) argv[1] = (char *)"version";
    const struct cli_verb *verb = verb_named(argv[1]);
    if (verb == NULL) return unknown_verb(argv[1]);
    int code = run_verb(verb, argc - 1, argv + 1);
    return written() || code != CLI_OK ? code : CLI_INTERNAL;
}
