/* SPDX-License-Identifier: Apache-2.0
 * The mesh of proxies behind `--xds`: one port on which they ask what is to be in force (ADS) and
 * tell what they saw (ALS). A record, the decision it leads to and the push of that decision are
 * one chain of calls on this loop.
 *
 * Order at the start: the backend is registered before the engine takes its state up again, and
 * the port opens after the first set has been applied. So the first answer that a proxy gets has
 * every lease that was in force when the process ended, however it ended. At the end the port
 * closes and nothing is taken back: proxies keep what they have.
 */
#include "daemon/mesh_priv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define ALS_PATH "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"

/* `api_type` of a proxy's configuration says by which path it comes: DELTA_GRPC, or GRPC for the
 * state of the world. Where ADS is another control plane's, an Envoy has a stream of one type for
 * each thing that it asks. */
struct mesh_door {
    const char *path;
    bool sotw, single;
    enum mp_envoy_type type; /* of a single one */
};
#define DOOR(service, method) "/envoy.service." service "DiscoveryService/" method
static const struct mesh_door doors[MESH_DOORS] = {
    {DOOR("discovery.v3.Aggregated", "DeltaAggregatedResources"), false, false, 0},
    {DOOR("discovery.v3.Aggregated", "StreamAggregatedResources"), true, false, 0},
    {DOOR("extension.v3.ExtensionConfig", "DeltaExtensionConfigs"), false, true, MP_ENVOY_ECDS},
    {DOOR("extension.v3.ExtensionConfig", "StreamExtensionConfigs"), true, true, MP_ENVOY_ECDS},
    {DOOR("runtime.v3.Runtime", "DeltaRuntime"), false, true, MP_ENVOY_RTDS},
    {DOOR("runtime.v3.Runtime", "StreamRuntime"), true, true, MP_ENVOY_RTDS},
    {DOOR("endpoint.v3.Endpoint", "DeltaEndpoints"), false, true, MP_ENVOY_EDS},
    {DOOR("endpoint.v3.Endpoint", "StreamEndpoints"), true, true, MP_ENVOY_EDS},
    {DOOR("route.v3.Route", "DeltaRoutes"), false, true, MP_ENVOY_RDS},
    {DOOR("route.v3.Route", "StreamRoutes"), true, true, MP_ENVOY_RDS},
    {DOOR("secret.v3.Secret", "DeltaSecrets"), false, true, MP_ENVOY_SDS},
    {DOOR("secret.v3.Secret", "StreamSecrets"), true, true, MP_ENVOY_SDS},
};

/* ---- what the backend asks of us ---- */

static enum mp_err send_bytes(void *ctx, void *wire, mp_str bytes)
{
    return mp_grpc_send(wire, bytes);
}

static void end_stream(void *ctx, void *wire, mp_str why)
{
    mp_grpc_finish(wire, MP_GRPC_ABORTED, why);
}

static void tell(void *ctx, enum mp_envoy_note note, mp_str line)
{
    struct dm_mesh *m = ctx;
    if (m->d->ending) return; /* that proxies are away then is no news */
    dm_log(m->d, note == MP_ENVOY_WARNING ? "warn" : "info", "%.*s", MP_STR_ARG(line));
}

static int64_t now_ns(void *ctx)
{
    struct dm_mesh *m = ctx;
    return m->d->os.mono_ns(m->d->os.ctx);
}

static bool module_carries(void *ctx, const struct mp_envoy_node *node)
{
    struct dm_mesh *m = ctx;
    return dm_modules_carry(m->d, node->layer_word, node->service, node->instance);
}

/* ---- streams of discovery ---- */

struct ads {
    struct dm_mesh *m;
    struct mp_grpc_stream *wire;
    struct mp_envoy_stream *stream;
};

static void *ads_open(void *ctx, struct mp_grpc_stream *wire)
{
    const struct mesh_entry *entry = ctx;
    struct dm_mesh *m = entry->m;
    const struct mp_grpc_peer *from = mp_grpc_stream_peer(wire);
    struct mp_envoy_peer peer = {.address = from->address,
                                 .identity = from->identity,
                                 .authenticated = from->tls,
                                 .single = entry->door->single,
                                 .type = entry->door->type,
                                 .sotw = entry->door->sotw};
    struct ads *s = malloc(sizeof *s);
    if (s == NULL) return NULL;
    *s = (struct ads){m, wire, mp_envoy_stream_open(m->envoy, wire, &peer)};
    dm_records_tick(m->records);
    if (s->stream != NULL) return s;
    free(s);
    return NULL;
}

static bool ads_message(void *state, mp_str bytes)
{
    struct ads *s = state;
    struct dm *d = s->m->d;
    if (d->ending) return true;
    dm_clock(d);
    bool good = mp_envoy_stream_message(s->stream, bytes);
    if (!good) mp_grpc_finish(s->wire, MP_GRPC_INVALID_ARGUMENT, mp_envoy_stream_why(s->stream));
    dm_turn(d); /* an answer may have made a lease accepted */
    return good;
}

static void ads_drained(void *state) { mp_envoy_stream_drained(((struct ads *)state)->stream); }

static void ads_closed(void *state)
{
    struct ads *s = state;
    struct dm *d = s->m->d;
    struct dm_records *records = s->m->records;
    mp_envoy_stream_closed(s->stream);
    free(s);
    if (d->ending) return;
    dm_records_tick(records); /* the last one that was connected? */
    dm_turn(d);
}

/* ---- streams of access logs ---- */

struct als {
    struct dm_mesh *m;
    void *stream;
};

static void *als_open(void *ctx, struct mp_grpc_stream *wire)
{
    struct dm_mesh *m = ctx;
    struct als *s = malloc(sizeof *s);
    if (s == NULL) return NULL;
    *s = (struct als){m, dm_records_stream(m->records, mp_grpc_stream_peer(wire))};
    if (s->stream != NULL) return s;
    free(s);
    return NULL;
}

static bool als_message(void *state, mp_str bytes)
{
    struct als *s = state;
    struct dm *d = s->m->d;
    if (d->ending) return true;
    dm_clock(d);
    bool good = dm_records_message(s->stream, bytes);
    dm_turn(d); /* what the records lead to goes out now */
    return good;
}

static void als_closed(void *state)
{
    struct als *s = state;
    dm_records_stream_closed(s->stream);
    free(s);
}

/* ---- life ---- */

static bool no_memory(void)
{
    fprintf(stderr, "mpol run: no memory for the mesh\n");
    return false;
}

/* Before the engine takes its state up again: leases are given to the backend then. */
bool dm_mesh_ready(struct dm *d)
{
    if (d->options->xds == NULL) return true;
    struct dm_mesh *m = d->mesh = calloc(1, sizeof *m);
    if (m != NULL) m->world = dm_mesh_world_create();
    if (m == NULL || m->world == NULL) return no_memory();
    m->d = d;
    struct mp_envoy_world world = dm_mesh_world_view(m->world);
    struct mp_envoy_host host = {.ctx = m,
                                 .send = send_bytes,
                                 .end = end_stream,
                                 .prove = mesh_prove,
                                 .prove_cancel = mesh_prove_cancel,
                                 .log = tell,
                                 .now_ns = now_ns,
                                 .module_carries = module_carries,
                                 .look = mesh_look,
                                 .forget = mesh_forget,
                                 .refused = mesh_nack};
    if (mp_envoy_create(NULL, NULL, &world, &host, &m->envoy) != MP_OK ||
        dm_backend(d, &mp_envoy_ops, m->envoy) != MP_OK) {
        return no_memory();
    }
    return true;
}

/* The inventory has lines that were not there before, or the program reads it in another way. */
void dm_mesh_inventory(struct dm *d)
{
    struct dm_mesh *m = d->mesh;
    if (m == NULL) return;
    if (!dm_mesh_world_read(m->world, mp_engine_inventory(d->engine),
                            mp_engine_program(d->engine))) {
        dm_log(d, "error", "out of memory for the inventory of the mesh");
    }
    if (d->started) mp_envoy_world_changed(m->envoy);
}

/* LIMIT: of a connection; a gateway has one for each of its clusters then */
#define STREAMS_MAX 256u

static size_t put_methods(struct dm_mesh *m, struct mp_grpc_method out[MESH_DOORS + 1])
{
    for (size_t i = 0; i < MESH_DOORS; i++) {
        m->entries[i] = (struct mesh_entry){m, &doors[i]};
        out[i] = (struct mp_grpc_method){.path = doors[i].path, .ctx = &m->entries[i],
                                         .open = ads_open, .message = ads_message,
                                         .drained = ads_drained, .closed = ads_closed};
    }
    out[MESH_DOORS] = (struct mp_grpc_method){
        .path = ALS_PATH, .ctx = m, .open = als_open, .message = als_message, .closed = als_closed};
    return MESH_DOORS + 1;
}

/* Each proxy has a connection or two, and each question to one has another. */
static void allow_connections(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static void secrets_changed(void *ctx)
{
    struct dm_mesh *m = ctx;
    dm_log(m->d, "info", "certificates have changed");
    mp_envoy_world_changed(m->envoy);
    dm_turn(m->d);
}

static void secrets_warn(void *ctx, const char *line)
{
    struct dm_mesh *m = ctx;
    dm_log(m->d, "warn", "--sds: %s", line);
}

/* Private keys are told to who has shown a certificate, or to who may open a socket in the file
 * system. */
static bool open_secrets(struct dm_mesh *m)
{
    const struct mp_daemon_options *o = m->d->options;
    char why[4600];
    struct dm_secrets_options options = {
        .folder = o->sds, .keys = o->xds_ca != NULL || strncmp(o->xds, "unix:", 5) == 0, .ctx = m,
        .loop = &m->d->loop, .changed = secrets_changed, .log = secrets_warn};
    if (o->sds == NULL) return true;
    if (!dm_secrets_open(&options, &m->secrets, why, sizeof why)) {
        fprintf(stderr, "mpol run: --sds=%s\n", why);
        return false;
    }
    dm_mesh_world_secrets(m->world, m->secrets);
    mp_envoy_world_changed(m->envoy);
    return true;
}

bool dm_mesh_open(struct dm *d)
{
    struct dm_mesh *m = d->mesh;
    char why[256] = "";
    if (m == NULL) return true;
    const struct mp_daemon_options *o = d->options;
    struct mp_grpc_method methods[MESH_DOORS + 1];
    struct mp_grpc_options options = {.listen = o->xds, .cert = o->xds_cert, .key = o->xds_key,
                                      .client_ca = o->xds_ca, .refused = mesh_refused,
                                      .refused_ctx = m, .methods = methods,
                                      .method_count = put_methods(m, methods),
                                      .limits = {.streams = STREAMS_MAX}};
    if (!mesh_certificates_ready(m)) return false;
    allow_connections();
    dm_mesh_inventory(d); /* what guards protect is known without a line of inventory */
    mp_envoy_world_changed(m->envoy);
    if (!open_secrets(m)) return false;
    struct mp_envoy_world world = dm_mesh_world_view(m->world);
    m->records = dm_records_open(d, m->envoy, &world);
    if (m->records == NULL) return no_memory();
    /* Nobody is heard before the loop turns. The port comes first since it tells what a
     * certificate lacks. */
    if (mp_grpc_open(&d->loop, &options, &m->server, why, sizeof why) != MP_OK) {
        fprintf(stderr, "mpol run: --xds=%s: %s\n", o->xds, why);
        return false;
    }
    if (!mesh_prove_open(m)) return no_memory();
    dm_records_prover(m->records, m->prover);
    if (mp_grpc_port(m->server) != 0) {
        dm_log(d, "info", "proxies are served on port %u%s", (unsigned)mp_grpc_port(m->server),
               o->xds_ca != NULL ? ", with mutual TLS" : "");
    } else {
        dm_log(d, "info", "proxies are served on %s", o->xds);
    }
    mesh_certificates_look(m);
    return true;
}

void dm_mesh_watch(struct dm *d)
{
    if (d->mesh == NULL) return;
    dm_records_tick(d->mesh->records);
    mp_envoy_tick(d->mesh->envoy);
    dm_mesh_keep(d);
    if (d->mesh->server != NULL) mesh_certificates_look(d->mesh);
}

void dm_mesh_close(struct dm *d)
{
    struct dm_mesh *m = d->mesh;
    if (m == NULL) return;
    mp_grpc_close(m->server);
    m->server = NULL;
    dm_mesh_world_secrets(m->world, NULL);
    dm_secrets_close(m->secrets);
    m->secrets = NULL;
    mesh_prove_close(m);
    dm_records_close(m->records);
    m->records = NULL;
}

void dm_mesh_free(struct dm *d)
{
    struct dm_mesh *m = d->mesh;
    if (m == NULL) return;
    mp_envoy_destroy(m->envoy);
    dm_mesh_world_destroy(m->world);
    free(m);
    d->mesh = NULL;
}

/* ---- who is meant ---- */

/* "10.0.0.7:9000", "[2001:db8::1]:9000" */
static bool read_address(mp_str text, mp_str *ip, uint16_t *port)
{
    size_t at = text.len;
    uint32_t number = 0;
    while (at > 0 && text.ptr[at - 1] != ':') at--;
    if (at < 2 || text.len - at > 5) return false;
    for (size_t i = at; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
        number = number * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *ip = mp_str_sub(text, 0, at - 1);
    if (ip->ptr[0] == '[') *ip = mp_str_sub(*ip, 1, ip->len - 2);
    *port = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX;
}

void dm_mesh_place(struct dm *d, const struct dm_mesh_asked *asked, struct dm_mesh_place *out)
{
    struct mp_envoy_instance instance;
    mp_str ip;
    uint16_t port;
    if (d->mesh == NULL) return;
    struct mp_envoy_world world = dm_mesh_world_view(d->mesh->world);
    if (asked->peer.len > 0) out->caller = world.service_of(world.ctx, asked->peer);
    bool found = asked->instance.len > 0 && world.instance(world.ctx, asked->instance, &instance);
    if (!found && read_address(asked->upstream, &ip, &port)) {
        found = world.instance_at(world.ctx, ip, port, &instance);
        if (found) out->instance = instance.name;
    }
    if (found) out->version = instance.version;
}
