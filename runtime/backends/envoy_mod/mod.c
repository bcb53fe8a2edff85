/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/mod.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "os/regex_priv.h"

/* What the proxy is asked for once, when there is only one of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mod *only;
static struct mod checked_only; /* what validation gets */

int64_t mod_wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void log_text(bool warning, const char *text)
{
    char line[600];
    int len = snprintf(line, sizeof line, "mpol: %s", text);
    if (len < 0) return;
    size_t size = (size_t)len < sizeof line ? (size_t)len : sizeof line - 1;
    ABI_CALLBACK(log)(warning ? ABI_LOG_WARN : ABI_LOG_INFO, (struct abi_text){line, size});
}

/* ---- what the link needs of us ---- */

static void on_log(void *ctx, bool warning, const char *text)
{
    (void)ctx;
    log_text(warning, text);
}

static void on_cut(void *ctx) { mod_streams_cut(ctx); }
static bool on_cut_done(void *ctx) { return mod_streams_cut_done(ctx); }
static uint64_t on_cut_count(void *ctx) { return mod_streams_cut_count(ctx); }

/* ---- life ---- */

static void give_back(struct mod *m)
{
    mp_link_destroy(m->link);
    mp_gate_destroy(m->gate);
    for (uint32_t i = 0; m->rings != NULL && i < m->worker_count; i++) mp_ring_close(&m->rings[i]);
    for (uint32_t i = 0; m->workers != NULL && i < m->worker_count; i++) {
        pthread_mutex_destroy(&m->workers[i].lock);
        free(m->workers[i].room);
    }
    free(m->rings);
    free(m->workers);
    free(m);
}

static bool open_workers(struct mod *m)
{
    m->rings = aligned_alloc(64, m->worker_count * sizeof *m->rings);
    m->workers = aligned_alloc(64, m->worker_count * sizeof *m->workers);
    if (m->rings == NULL || m->workers == NULL) return false;
    memset(m->rings, 0, m->worker_count * sizeof *m->rings);
    memset(m->workers, 0, m->worker_count * sizeof *m->workers);
    bool ok = true;
    for (uint32_t i = 0; i < m->worker_count; i++) {
        m->workers[i].number = i;
        pthread_mutex_init(&m->workers[i].lock, NULL);
        m->workers[i].room = malloc(sizeof *m->workers[i].room);
        ok = mp_ring_open(&m->rings[i]) == MP_OK && m->workers[i].room != NULL && ok;
    }
    return ok;
}

static enum mp_err open_gate(struct mod *m)
{
    struct mp_gate_options options = {
        .workers = m->worker_count, .leases = MOD_LEASES_MAX,
        .cuts = m->cuts, .os = &m->os};
    /* Clients choose what is looked up: the key must be nobody's to guess. */
    if (getrandom(&options.key, sizeof options.key, 0) != sizeof options.key) return MP_EIO;
    return mp_gate_create(&options, &m->gate);
}

static enum mp_err open_link(struct mod *m)
{
    struct mp_link_options options = {
        .config = &m->config, .gate = m->gate, .workers = m->worker_count, .rings = m->rings,
        .ring_count = m->worker_count,
        .host = {.ctx = m, .log = on_log, .cut = on_cut, .cut_done = on_cut_done,
                 .cut_count = on_cut_count}};
    return mp_link_start(&options, &m->link);
}

static struct mod *start(const struct mp_mod_config *config)
{
    struct mod *m = calloc(1, sizeof *m);
    if (m == NULL) return NULL;
    m->config = *config;
    m->worker_count = ABI_CALLBACK(get_concurrency)();
    if (m->worker_count == 0) m->worker_count = 1;
    m->cuts = mod_streams_can_cut();
    m->os = (struct mp_os){.regex_compile = mp_std_regex_compile, .regex_match = mp_std_regex_match,
                           .regex_free = mp_std_regex_free};
    if (open_workers(m) && open_gate(m) == MP_OK && open_link(m) == MP_OK) return m;
    log_text(true, "no memory, no randomness or no thread to begin with");
    give_back(m);
    return NULL;
}

static bool in_validation(void)
{
    return ABI_CALLBACK(is_validation_mode) != NULL && ABI_CALLBACK(is_validation_mode)();
}

static struct mod *use(const struct mp_mod_config *config)
{
    if (only == NULL) only = start(config);
    if (only == NULL) return NULL;
    if (!mp_mod_config_same(&only->config, config)) {
        log_text(true, "all extensions of a proxy must have the same configuration");
        return NULL;
    }
    only->uses++;
    return only;
}

struct mod *mod_open(struct abi_text text)
{
    struct mp_mod_config config;
    char why[300];
    if (!mp_mod_config_read(mod_str(text), &config, why, sizeof why)) {
        log_text(true, why);
        return NULL;
    }
    if (in_validation()) return &checked_only;
    pthread_mutex_lock(&lock);
    struct mod *m = use(&config);
    pthread_mutex_unlock(&lock);
    return m;
}

void mod_close(struct mod *m)
{
    if (m == &checked_only) return;
    pthread_mutex_lock(&lock);
    bool last = --m->uses == 0;
    if (last) only = NULL;
    pthread_mutex_unlock(&lock);
    if (last) give_back(m);
}

void mod_stop(struct mod *m)
{
    if (m->link != NULL) mp_link_stop(m->link);
}
