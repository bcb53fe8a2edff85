/* SPDX-License-Identifier: Apache-2.0
 * `--module-socket`: the modules inside proxies (backends/envoy_mod). They connect, are told the
 * program and the leases, and tell what they took and saw. A record, the decision it leads to and
 * the push of that decision are one chain of calls on this loop.
 *
 * Beside `--xds` the modules stand before that backend: every lease goes to both, and counts as
 * in force when both say so. Alone they are the mesh.
 */
#include "daemon/input_priv.h"
#include "daemon/mesh_priv.h"
#include "envoy_mod/fleet.h"
#include "envoy_xds/names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* LIMIT: bytes that a proxy has not taken yet; then it has to come anew */
#define WAITING_MAX (64u << 20)
#define COMPLAINTS_MAX 10
#define PARAMS_MAX 1024

struct connection {
    uv_pipe_t pipe;
    struct dm_modules *m;
    struct mp_fleet_peer *peer;
    struct connection *next, **at;
    bool closing, failed;
};

struct dm_modules {
    struct dm *d;
    struct mp_fleet *fleet;
    uv_pipe_t listener;
    bool has_listener;
    struct connection *connections;
    uint32_t connection_count, source, complaints;
    bool has_source, alive;
    bool inventory_due;      /* it has changed since modules were told */
    uint64_t inventory_hash; /* of what they were told */
    struct dm_bytes line;
    uint64_t records, refusals, unread, bad;
};

/* ---- bytes out ---- */

struct sending {
    uv_write_t request;
    char bytes[];
};

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    c->m->connection_count--;
    free(c);
}

static void close_connection(struct connection *c)
{
    if (c->closing) return;
    c->closing = true;
    *c->at = c->next;
    if (c->next != NULL) c->next->at = c->at;
    mp_fleet_close(c->peer);
    uv_close((uv_handle_t *)&c->pipe, on_closed);
}

static void on_sent(uv_write_t *request, int status)
{
    (void)status; /* a connection that broke is read from too */
    free(request->data);
}

/* It may be called from within what the fleet does: a connection is never closed here, but at the
 * next tick. */
static void send_bytes(void *ctx, void *connection, mp_str bytes)
{
    (void)ctx;
    struct connection *c = connection;
    struct sending *s = NULL;
    if (uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) + bytes.len <= WAITING_MAX) {
        s = malloc(sizeof *s + bytes.len);
    }
    if (s == NULL) {
        c->failed = true;
        dm_log(c->m->d, "error",
               "a proxy does not take what it is told, or there is no memory for it");
        return;
    }
    memcpy(s->bytes, bytes.ptr, bytes.len);
    s->request.data = s;
    uv_buf_t buf = uv_buf_init(s->bytes, (unsigned)bytes.len);
    if (uv_write(&s->request, (uv_stream_t *)&c->pipe, &buf, 1, on_sent) != 0) free(s);
}

/* ---- records ---- */

static void bad_line(struct dm_modules *m, const struct mp_fleet_info *from, const char *why)
{
    m->bad++;
    m->d->counts.bad_lines++;
    if (m->complaints == COMPLAINTS_MAX) return;
    m->complaints++;
    dm_log(m->d, "warn", "a record of the module of %.*s: %s; skipped%s",
           MP_STR_ARG(from->instance), why,
           m->complaints == COMPLAINTS_MAX ? " (more are only counted)" : "");
}

static void put_member(struct dm_bytes *line, const char *name, mp_str value)
{
    if (value.len == 0) return;
    dm_bytes_printf(line, ",\"%s\":", name);
    dm_json_text(line, value);
}

static uint32_t layer_of(mp_str word)
{
    if (mp_str_eq(word, MP_STR("ingress"))) return MPOL_INGRESS;
    return mp_str_eq(word, MP_STR("edge")) ? MPOL_EDGE : MPOL_SERVICE;
}

/* The proxy's own throttles name no rule: the backend that filled them in knows whose they are.
 * One that none of ours is, is the mesh's own and no concern of ours. */
static mp_str throttled_by(const struct dm *d, const struct mp_fleet_info *from,
                           const struct mp_fleet_record *r)
{
    uint64_t lease;
    mp_str rule = MP_STR("");
    if (r->details.len == 0 || d->mesh == NULL) return rule;
    struct mp_envoy_refused what = {.layer = layer_of(from->layer),
                                    .service = from->service,
                                    .instance = from->instance,
                                    .client = r->client,
                                    .identity = r->peer,
                                    .share = mp_str_eq(r->details, MP_STR(MP_ENVOY_DETAILS_SHARE))};
    mp_envoy_refused_by(d->mesh->envoy, &what, &rule, &lease);
    return rule;
}

/* The last of two equal names wins: what a proxy may not say of itself is said behind it. */
static mp_str whole_line(struct dm_modules *m, const struct mp_fleet_info *from,
                         const struct mp_fleet_record *r)
{
    struct dm_mesh_place place = {.caller = MP_STR("")};
    bool gateway = mp_str_eq(from->layer, MP_STR("ingress"));
    struct dm_mesh_asked asked = {.peer = r->peer,
                                  .instance = gateway ? MP_STR("") : from->instance,
                                  .upstream = gateway ? r->upstream : MP_STR("")};
    dm_mesh_place(m->d, &asked, &place);
    m->line.len = 0;
    dm_bytes_add(&m->line, r->line.ptr, r->line.len - 1);
    if (r->line.len == 2) dm_bytes_printf(&m->line, "\"signal\":\"requests\"");
    put_member(&m->line, "layer", from->layer);
    put_member(&m->line, "service", gateway ? MP_STR("") : from->service);
    put_member(&m->line, "instance", gateway ? place.instance : from->instance);
    put_member(&m->line, "refused_by", throttled_by(m->d, from, r));
    put_member(&m->line, "caller", place.caller);
    put_member(&m->line, "version", place.version);
    dm_bytes_printf(&m->line, "}");
    return (mp_str){m->line.ptr, m->line.len};
}

static uint32_t inline_rule(const struct mp_program *p, mp_str name)
{
    for (uint32_t i = 0; i < p->rule_count; i++) {
        if (p->rule[i].kind != MP_RULE_INLINE) continue;
        if (mp_str_eq(mp_program_text(p, p->rule[i].name), name)) return i;
    }
    return MP_NONE;
}

/* What an inline rule decided over there goes into the ledger here, as from an embedder (R49). */
static void tell_inline(struct dm_modules *m, const struct mp_ingested *in, mp_str key)
{
    const struct mp_program *p = m->d->now.program;
    uint32_t rule = inline_rule(p, in->record.refused_by);
    if (rule == MP_NONE) return;
    struct mp_inline_note note = {.rule = rule,
                                  .act = MP_NONE,
                                  .time_ns = in->record.time_ns,
                                  .count = 1,
                                  .refused = true,
                                  .key = key};
    mp_engine_inline(m->d->engine, &note);
}

static void on_record(void *ctx, const struct mp_fleet_info *from, const struct mp_fleet_record *r)
{
    struct dm_modules *m = ctx;
    struct dm *d = m->d;
    struct mp_ingested in;
    if (d->ending) return;
    int64_t now_ns = d->os.wall_ns(d->os.ctx);
    mp_str line = whole_line(m, from, r);
    switch (mp_ingest_line(d->now.ingest, line, m->source, now_ns, &in)) {
    case MP_INGEST_RECORD: break;
    case MP_INGEST_OTHER: m->unread++; return;
    case MP_INGEST_BAD: bad_line(m, from, in.why); return;
    default: bad_line(m, from, "it is no record of a request"); return;
    }
    if (in.record.time_ns > now_ns) in.record.time_ns = now_ns;
    *(in.record.refused_by.len > 0 ? &m->refusals : &m->records) += 1;
    char rule[256];
    size_t len = in.record.refused_by.len < sizeof rule ? in.record.refused_by.len : 0;
    if (len > 0) memcpy(rule, in.record.refused_by.ptr, len);
    dm_record(d, &in.record);
    in.record.refused_by = (mp_str){rule, len};
    if (len > 0) tell_inline(m, &in, r->key);
}

/* ---- what is left to them ---- */

static void on_carriers(void *ctx)
{
    struct dm *d = ((struct dm_modules *)ctx)->d;
    if (d->mesh != NULL && d->mesh->envoy != NULL && !d->ending)
        mp_envoy_modules_changed(d->mesh->envoy);
}

bool dm_modules_carry(const struct dm *d, mp_str layer, mp_str service, mp_str instance)
{
    return d->modules != NULL && mp_fleet_carries(d->modules->fleet, layer, service, instance);
}

bool dm_modules_tell(const struct dm *d, mp_str layer, mp_str service, mp_str instance)
{
    return d->modules != NULL && mp_fleet_tells(d->modules->fleet, layer, service, instance);
}

/* ---- bytes in ---- */

static void on_event(void *ctx, const struct mp_fleet_info *who, const char *what)
{
    struct dm_modules *m = ctx;
    dm_log(m->d, "info", "module of %.*s/%.*s/%.*s: %s", MP_STR_ARG(who->layer),
           MP_STR_ARG(who->service), MP_STR_ARG(who->instance), what);
}

static int64_t now_mono_ns(void *ctx)
{
    struct dm_modules *m = ctx;
    return m->d->os.mono_ns(m->d->os.ctx);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(dm_read_room, sizeof dm_read_room);
}

static void on_read(uv_stream_t *pipe, ssize_t got, const uv_buf_t *buf)
{
    struct connection *c = pipe->data;
    struct dm *d = c->m->d;
    dm_clock(d);
    if (got < 0) {
        close_connection(c);
    } else if (got > 0 && !mp_fleet_take(c->peer, (mp_str){buf->base, (size_t)got})) {
        dm_log(d, "warn", "a module says what no module says: its connection is closed");
        close_connection(c);
    }
    dm_modules_watch(d);
    dm_turn(d);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct dm_modules *m = listener->data;
    struct connection *c = status == 0 ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) return;
    c->m = m;
    uv_pipe_init(&m->d->loop, &c->pipe, 0);
    c->pipe.data = c;
    m->connection_count++;
    bool taken = uv_accept(listener, (uv_stream_t *)&c->pipe) == 0;
    c->peer = taken ? mp_fleet_open(m->fleet, c) : NULL;
    if (c->peer == NULL) {
        c->closing = true;
        uv_close((uv_handle_t *)&c->pipe, on_closed);
        return;
    }
    c->next = m->connections;
    c->at = &m->connections;
    if (c->next != NULL) c->next->at = &c->next;
    m->connections = c;
    if (uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0) close_connection(c);
}

/* ---- life ---- */

static bool no_memory(void)
{
    fprintf(stderr, "mpol run: no memory for modules\n");
    return false;
}

enum mp_err dm_backend(struct dm *d, const struct mpol_backend_ops *ops, void *ctx)
{
    if (d->options->module_socket == NULL) return mp_engine_backend(d->engine, ops, ctx);
    struct dm_modules *m = d->modules = calloc(1, sizeof *m);
    if (m == NULL) return MP_ENOMEM;
    m->d = d;
    struct mp_fleet_host host = {.ctx = m,
                                 .send = send_bytes,
                                 .record = on_record,
                                 .event = on_event,
                                 .now_ns = now_mono_ns,
                                 .carriers = on_carriers};
    enum mp_err err = mp_fleet_create(&host, ops, ctx, &m->fleet);
    if (err == MP_OK) err = mp_engine_backend(d->engine, mp_fleet_ops(m->fleet), m->fleet);
    return err;
}

bool dm_modules_ready(struct dm *d)
{
    if (d->options->module_socket == NULL) return true;
    if (d->modules == NULL && dm_backend(d, NULL, NULL) != MP_OK) return no_memory();
    dm_modules_program(d);
    return true;
}

void dm_modules_program(struct dm *d)
{
    struct dm_modules *m = d->modules;
    struct mp_frame_param params[PARAMS_MAX];
    uint32_t count = 0;
    if (m == NULL) return;
    for (size_t i = 0; i < d->options->param_count && count < PARAMS_MAX; i++) {
        mp_str given = mp_str_of(d->options->params[i]);
        const char *equals = memchr(given.ptr, '=', given.len);
        size_t at = equals != NULL ? (size_t)(equals - given.ptr) : given.len;
        params[count++] = (struct mp_frame_param){mp_str_sub(given, 0, at),
                                                  mp_str_sub(given, at + 1, given.len)};
    }
    if (mp_fleet_program(m->fleet, d->now.image, params, count) == MP_OK) return;
    dm_log(d, "error", "no room to send the program to modules: they keep the one before");
}

/* ---- inventory ---- */

static enum mp_err add_line(void *ctx, uint32_t by, mp_str json)
{
    (void)by;
    struct dm_bytes *lines = ctx;
    bool ok = dm_bytes_add(lines, json.ptr, json.len) && dm_bytes_add(lines, "\n", 1);
    return ok ? MP_OK : MP_ENOMEM;
}

/* What lines have said; what was only observed is not told: it changes with every request. */
static void tell_inventory(struct dm_modules *m)
{
    struct dm *d = m->d;
    struct dm_bytes lines = {0};
    struct mp_arena scratch;
    mp_arena_init(&scratch, NULL, 0);
    m->inventory_due = false;
    enum mp_err err = mp_inventory_dump(mp_engine_inventory(d->engine), &scratch, &lines, add_line);
    uint64_t hash = mp_siphash(d->identity.hash_key, lines.ptr != NULL ? lines.ptr : "", lines.len);
    if (err == MP_OK && hash != m->inventory_hash) {
        err = mp_fleet_inventory(m->fleet, (mp_str){lines.ptr, lines.len});
        if (err == MP_OK) m->inventory_hash = hash;
    }
    if (err != MP_OK)
        dm_log(d, "error", "modules are not told the inventory: %s", mp_err_text(err));
    dm_bytes_free(&lines);
    mp_arena_free(&scratch);
}

void dm_modules_inventory(struct dm *d)
{
    if (d->modules != NULL) d->modules->inventory_due = true;
}

bool dm_modules_open(struct dm *d)
{
    struct dm_modules *m = d->modules;
    const char *path = d->options->module_socket;
    struct stat st;
    if (m == NULL) return true;
    if (!dm_socket_path_fits(path)) {
        fprintf(stderr, "mpol run: --module-socket=%s: the path is too long for a socket\n", path);
        return false;
    }
    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !dm_socket_is_served(path)) unlink(path);
    uv_pipe_init(&d->loop, &m->listener, 0);
    m->listener.data = m;
    m->has_listener = true;
    int code = uv_pipe_bind(&m->listener, path);
    if (code == 0) code = uv_listen((uv_stream_t *)&m->listener, 64, on_connection);
    if (code != 0) {
        fprintf(stderr, "mpol run: --module-socket=%s: %s\n", path, dm_socket_trouble(code));
    }
    m->source = dm_source_take();
    m->has_source = true;
    tell_inventory(m);
    return code == 0;
}

static void count_known(void *ctx, const struct mp_fleet_info *info)
{
    (void)info;
    (*(uint32_t *)ctx)++;
}

/* All modules are one source: heard of while one is connected, silent when none is (R6). */
void dm_modules_watch(struct dm *d)
{
    struct dm_modules *m = d->modules;
    uint32_t known = 0;
    if (m == NULL || !d->started || d->ending) return;
    mp_fleet_each(m->fleet, &known, count_known);
    if (m->alive && known == 0) mp_engine_source_closed(d->engine, m->source);
    m->alive = known > 0;
}

static void close_failed(struct dm_modules *m)
{
    for (struct connection *c = m->connections, *next; c != NULL; c = next) {
        next = c->next;
        if (c->failed) close_connection(c);
    }
}

void dm_modules_tick(struct dm *d)
{
    struct dm_modules *m = d->modules;
    if (m != NULL) close_failed(m);
    if (m != NULL && m->inventory_due && d->started && !d->ending) tell_inventory(m);
    dm_modules_watch(d);
    if (m == NULL || !m->alive || !d->started || d->ending) return;
    static const mp_str signals[] = {MP_STR_INIT("requests"), MP_STR_INIT("refusals")};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        uint32_t row = mp_ingest_signal(d->now.ingest, signals[i]);
        if (row != MP_NONE) mp_engine_alive(d->engine, m->source, row, mp_engine_now(d->engine));
    }
}

void dm_modules_close(struct dm *d)
{
    struct dm_modules *m = d->modules;
    if (m == NULL) return;
    while (m->connections != NULL) close_connection(m->connections);
    if (m->has_listener) uv_close((uv_handle_t *)&m->listener, NULL);
    m->has_listener = false;
}

void dm_modules_free(struct dm *d)
{
    struct dm_modules *m = d->modules;
    if (m == NULL) return;
    mp_fleet_destroy(m->fleet);
    dm_bytes_free(&m->line);
    if (m->has_source) dm_source_give(d, m->source);
    free(m);
    d->modules = NULL;
}

const struct mp_fleet *dm_modules_fleet(const struct dm *d)
{
    return d->modules != NULL ? d->modules->fleet : NULL;
}
