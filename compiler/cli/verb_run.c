/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/entries.h"
#include "daemon/daemon.h"
#include "file/file.h"

const struct cli_option cli_run_options[] = {
    {"telemetry", "SOURCE",
     "FILE that grows, FIFO, unix:PATH, or -; envoy:SOURCE is its access log; may be repeated",
     true},
    {"inventory", "FILE", "lines about entities; read first", true},
    {"state", "DIR", "where the ledger and what is in force are kept"},
    {"listen", "ADDR:PORT", "serve /metrics, /healthz and /readyz"},
    {"xds", "ADDR:PORT", "be the control plane of Envoys; or unix:PATH"},
    {"xds-cert", "FILE", "mutual TLS with them, with --xds-key and --xds-ca"},
    {"xds-key", "FILE", "of --xds-cert"},
    {"xds-ca", "FILE", "who has issued the certificates of proxies"},
    {"sds", "DIR", "serve them trust.pem, revoked.pem, and SERVICE.crt with SERVICE.key"},
    {"module-socket", "PATH",
     "be the control plane of modules inside Envoys too, or of them alone"},
    {"channel", "NAME=KIND", "log, file:PATH, exec:PROGRAM or https://URL; may be repeated", true},
    {"set", "NAME=VALUE", "the value of a param; may be repeated", true},
    {"executor", "interp|native", "what judges; without it native code where there is some"},
    {"format", "text|json", "of the log on standard error"},
    {"include", "DIR", "-I DIR: a folder in which `use` looks for packages", true},
    {NULL, NULL, NULL},
};

/* What the daemon asks of the compiler. */
struct run {
    const struct cli_args *args;
    struct cli_policies policies; /* of the last compile: its image is borrowed */
    uint64_t mark;                /* of the files as they were then */
    struct timespec began;        /* when it began to read them */
};

/* Names, times and sizes of everything that a compile reads. */
static uint64_t mix(uint64_t mark, const void *bytes, size_t len)
{
    struct mp_hash_key key = {mark, 0x6d61726b};
    return mp_siphash(key, bytes, len);
}

static uint64_t mark_of_path(const char *path, uint64_t mark)
{
    struct stat st;
    if (stat(path, &st) != 0) return mix(mark, "gone", 4);
    uint64_t seen[] = {(uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec,
                       (uint64_t)st.st_size, (uint64_t)st.st_ino};
    mark = mix(mark, path, strlen(path));
    return mix(mark, seen, sizeof seen);
}

static bool later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* Operands and folders are asked by themselves: a new file changes its folder. */
static uint64_t mark_now(const struct run *r)
{
    size_t count;
    uint64_t mark = 1;
    const char *const *paths = cli_operands(r->args, &count);
    for (size_t i = 0; i < count; i++) mark = mark_of_path(paths[i], mark);
    const char *const *includes = cli_values(r->args, "include", &count);
    for (size_t i = 0; i < count; i++) mark = mark_of_path(includes[i], mark);
    for (size_t i = 0; i < r->policies.files.len; i++) {
        mark = mark_of_path(r->policies.files.ptr[i].name.ptr, mark);
    }
    return mark;
}

static const struct mp_diag *first_error(const struct mp_diags *diags)
{
    for (uint32_t i = 0; i < diags->all.len; i++) {
        if (diags->all.ptr[i]->severity == MP_SEV_ERROR) return diags->all.ptr[i];
    }
    return NULL;
}

/* For `mpol reload` and `status`, in one line; all of it is in the log. */
static mp_str say_errors(struct mp_compilation *c)
{
    static char text[DM_PROBLEM_MAX];
    uint32_t errors = mp_compilation_errors(c);
    const struct mp_diag *d = first_error(mp_compilation_diags(c));
    int len = snprintf(text, sizeof text, "the policies have %u error%s", errors,
                       errors == 1 ? "" : "s");
    if (d == NULL) return mp_str_of(text);
    const struct mp_sources *sources = mp_compilation_sources(c);
    const struct mp_source *source = mp_source_of(sources, d->span);
    mp_str file = source != NULL ? source->name : MP_STR("");
    snprintf(text + len, sizeof text - (size_t)len, "%s %.*s %.*s:%u: %.*s%s%.*s",
             errors == 1 ? ":" : ", the first:", MP_STR_ARG(mp_diag_row(d->code)->code),
             MP_STR_ARG(file), mp_source_begin(sources, d->span).line, MP_STR_ARG(d->message),
             d->helps.len > 0 ? "; " : "",
             MP_STR_ARG(d->helps.len > 0 ? d->helps.ptr[0].text : MP_STR("")));
    return mp_str_of(text);
}

/* NULL, or why a loop cannot read it: it would wait for who writes a FIFO. What is not there, and
 * what is in folders, is judged by who reads it; standard input is read once, at the start. */
static const char *fault_of(const char *path)
{
    const char *why = NULL;
    struct stat st;
    bool other = strcmp(path, "-") == 0 || stat(path, &st) != 0 || S_ISDIR(st.st_mode);
    return other || mp_file_is(path, &why) ? NULL : why;
}

static bool are_files(const struct run *r, char *text, size_t size)
{
    size_t counts[2];
    for (size_t k = 0; k < 2; k++) {
        const char *const *paths = k == 0 ? cli_operands(r->args, &counts[0])
                                          : cli_values(r->args, "include", &counts[1]);
        for (size_t i = 0; i < counts[k]; i++) {
            const char *why = fault_of(paths[i]);
            if (why == NULL) continue;
            snprintf(text, size, "%s: %s", paths[i], why);
            return false;
        }
    }
    return true;
}

static bool compile(void *ctx, mp_str *image, mp_str *problem)
{
    static char text[DM_PROBLEM_MAX];
    struct run *r = ctx;
    clock_gettime(CLOCK_REALTIME, &r->began);
    if (!are_files(r, text, sizeof text)) {
        r->mark = mark_now(r); /* not again before it changes */
        *problem = mp_str_of(text);
        return false;
    }
    cli_policies_free(&r->policies);
    int code = cli_compile(r->args, 0, MP_COMPILE_IMAGE, false, &r->policies);
    r->mark = mark_now(r);
    if (code != CLI_OK) {
        *problem = MP_STR("the policies cannot be read");
        return false;
    }
    if (mp_compilation_errors(r->policies.compilation) > 0) {
        cli_print_messages(r->args, &r->policies);
        *problem = say_errors(r->policies.compilation);
        return false;
    }
    *image = mp_compilation_image(r->policies.compilation);
    return true;
}

/* Was one written while it was read? Then nobody knows what was read of it. LIMIT: not seen
 * within the few milliseconds that a time of a file may be behind. */
static bool written_since(const struct run *r)
{
    struct timespec now;
    struct stat st;
    clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i < r->policies.files.len; i++) {
        if (stat(r->policies.files.ptr[i].name.ptr, &st) != 0) continue;
        bool to_come = later(&st.st_mtim, &now); /* says nothing */
        if (later(&st.st_mtim, &r->began) && !to_come) return true;
    }
    return false;
}

static bool changed(void *ctx)
{
    struct run *r = ctx;
    return mark_now(r) != r->mark || written_since(r);
}

static void use_native(void *ctx, struct mp_program *p)
{
    struct run *r = ctx;
    (void)cli_use_executor(r->args, p, false);
}

static void drop_native(void *ctx, struct mp_program *p) { cli_drop_executor(p); }

static const char *const *copy_values(const struct cli_args *args, const char *name, size_t *count)
{
    const char *const *values = cli_values(args, name, count);
    const char **copy = calloc(*count + 1, sizeof *copy);
    for (size_t i = 0; copy != NULL && i < *count; i++) copy[i] = values[i];
    return copy;
}

/* What is said of a port that is not there would be silently of no use. */
static const char *without_port(const struct cli_args *args)
{
    static const char *const of_port[] = {"xds-cert", "xds-key", "xds-ca", "sds"};
    if (cli_value(args, "xds", NULL) != NULL) return NULL;
    for (size_t i = 0; i < sizeof of_port / sizeof *of_port; i++) {
        if (cli_value(args, of_port[i], NULL) != NULL) return of_port[i];
    }
    return NULL;
}

int cli_run(const struct cli_args *args)
{
    static const char *const formats[] = {"text", "json", NULL};
    int format = cli_choice(args, "format", formats);
    if (format < 0) return CLI_USAGE;
    if (cli_given_twice(args, "")) return CLI_USAGE;
    struct run r = {.args = args};
    struct mp_daemon_options options = {.state_dir = cli_value(args, "state", NULL),
                                        .listen = cli_value(args, "listen", NULL),
                                        .xds = cli_value(args, "xds", NULL),
                                        .xds_cert = cli_value(args, "xds-cert", NULL),
                                        .xds_key = cli_value(args, "xds-key", NULL),
                                        .xds_ca = cli_value(args, "xds-ca", NULL),
                                        .sds = cli_value(args, "sds", NULL),
                                        .module_socket = cli_value(args, "module-socket", NULL),
                                        .log_json = format == 1};
    if (options.state_dir == NULL)
        return cli_complain(args, "say where to keep the ledger: --state=DIR");
    const char *alone = without_port(args);
    if (alone != NULL) {
        return cli_complain(args, "--%s is of the port of --xds: say that too", alone);
    }
    options.telemetry = copy_values(args, "telemetry", &options.telemetry_count);
    options.inventory = copy_values(args, "inventory", &options.inventory_count);
    options.channels = copy_values(args, "channel", &options.channel_count);
    options.params = copy_values(args, "set", &options.param_count);
    struct mp_daemon_host host = {.ctx = &r, .compile = compile, .changed = changed,
                                  .native = use_native, .native_drop = drop_native};
    int (*run)(const struct mp_daemon_options *, const struct mp_daemon_host *);
    void *symbol = cli_open_part("libmpol-daemon.so", "mpol_daemon_run", false);
    memcpy(&run, &symbol, sizeof run);
    int code = run == NULL ? CLI_USAGE : run(&options, &host);
    cli_policies_free(&r.policies);
    free((void *)options.telemetry);
    free((void *)options.inventory);
    free((void *)options.channels);
    free((void *)options.params);
    return code;
}

/* ---- ledger ---- */

const struct cli_option cli_ledger_options[] = {
    {"state", "DIR", "the folder of `mpol run`"},
    {"before", "TIME", "prune: entries older than this go"},
    {"rule", "NAME", "show: of this rule only"},
    {"key", "FILE", "verify: the public key of the roots; without it DIR/ledger.pub"},
    {NULL, NULL, NULL},
};

int cli_ledger(const struct cli_args *args)
{
    size_t count;
    const char *const *words = cli_operands(args, &count);
    const char *state = cli_value(args, "state", NULL);
    if (count != 1) return cli_complain(args, "verify, show, export or prune");
    if (state == NULL) return cli_complain(args, "say which folder: --state=DIR");
    int (*ledger)(const struct mp_daemon_ledger *);
    void *symbol = cli_open_part("libmpol-daemon.so", "mpol_daemon_ledger", false);
    memcpy(&ledger, &symbol, sizeof ledger);
    if (ledger == NULL) return CLI_USAGE;
    return ledger(&(struct mp_daemon_ledger){words[0], state, cli_value(args, "before", NULL),
                                             cli_value(args, "rule", NULL),
                                             cli_value(args, "key", NULL)});
}
