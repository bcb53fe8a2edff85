/* SPDX-License-Identifier: Apache-2.0
 * What `mpol status`, /metrics and /readyz tell of the proxies.
 */
#include "daemon/mesh_priv.h"

#include <inttypes.h>

/* ---- status ---- */

struct telling {
    struct dm *d;
    struct dm_bytes *out;
    int64_t now_ns;
    uint32_t connected, away, unproven, disobeying, refusing, unknown, lacking, bare;
};

static void age(struct dm_bytes *out, const struct telling *t, int64_t since_ns)
{
    dm_duration(out, t->now_ns - since_ns);
}

static void tell_types(struct telling *t, const struct mp_envoy_proxy *p)
{
    dm_bytes_printf(t->out, "     ");
    for (uint32_t i = 0; i < MP_ENVOY_TYPES; i++) {
        if (p->types[i].subscribed == 0) continue;
        dm_bytes_printf(t->out, " %.*s %u of %u",
                        MP_STR_ARG(mp_envoy_type_word((enum mp_envoy_type)i)), p->types[i].acked,
                        p->types[i].subscribed);
    }
    dm_bytes_printf(t->out, " acknowledged");
    if (p->ack_ns != 0) {
        dm_bytes_printf(t->out, ", last ");
        age(t->out, t, p->ack_ns);
        dm_bytes_printf(t->out, " ago");
    }
    if (p->unproven) {
        dm_bytes_printf(t->out, ", unproven: %.*s\n", MP_STR_ARG(p->seen));
    } else {
        dm_bytes_printf(t->out, "%s\n", p->proven ? ", proven" : "");
    }
}

static void tell_refusal(struct telling *t, const struct mp_envoy_proxy *p)
{
    dm_bytes_printf(t->out, "      REFUSED ");
    age(t->out, t, p->nack_ns);
    dm_bytes_printf(t->out, " ago, the state before stays: %.*s %.*s: %.*s\n",
                    MP_STR_ARG(p->nack_type), MP_STR_ARG(p->nack_resource),
                    MP_STR_ARG(p->nack_text));
}

static void count_proxy(struct telling *t, const struct mp_envoy_proxy *p)
{
    t->connected += p->connected;
    t->away += !p->connected;
    t->unproven += p->connected && p->unproven;
    t->disobeying += p->connected && p->disobeys.len > 0;
    t->refusing += p->nack_text.len > 0;
    t->unknown += p->connected && !p->known;
    t->lacking += p->lacks.len > 0;
    t->bare += p->bare.len > 0;
}

static void tell_since(struct telling *t, const struct mp_envoy_proxy *p)
{
    const char *away = p->recalled ? "AWAY since the start " : "AWAY for ";
    dm_bytes_printf(t->out, "%s", p->connected ? "connected for " : away);
    age(t->out, t, p->since_ns);
    if (p->recalled) dm_bytes_printf(t->out, " ago");
}

static bool tell_proxy(void *ctx, const struct mp_envoy_proxy *p)
{
    struct telling *t = ctx;
    count_proxy(t, p);
    dm_bytes_printf(t->out, "  %.*s  ", MP_STR_ARG(p->node));
    if (p->agent.len > 0) {
        dm_bytes_printf(t->out, "Envoy %.*s%s, ", MP_STR_ARG(p->agent),
                        p->module ? " with the module" : "");
    }
    tell_since(t, p);
    dm_bytes_printf(t->out, ", %u lease%s%s%s%s\n", p->leases, p->leases == 1 ? "" : "s",
                    p->sotw ? ", state of the world" : "",
                    p->known ? "" : ", UNKNOWN: gets the baseline",
                    p->silent ? ", does not answer" : "");
    if (p->connected) tell_types(t, p);
    if (p->lacks.len > 0) {
        dm_bytes_printf(t->out,
                        "      LACKS %.*s: leases that need it are not in force here\n",
                        MP_STR_ARG(p->lacks));
    }
    if (p->bare.len > 0) {
        dm_bytes_printf(t->out, "      NOT GOVERNED: %.*s\n", MP_STR_ARG(p->bare));
    }
    if (p->disobeys.len > 0) {
        dm_bytes_printf(t->out, "      DOES NOT OBEY %.*s, which it has taken: %.*s\n",
                        MP_STR_ARG(p->disobeys), MP_STR_ARG(p->seen));
    }
    if (p->unseen.len > 0) {
        dm_bytes_printf(t->out, "      NOT SEEN to obey %.*s, which it has taken: nobody could ask\n",
                        MP_STR_ARG(p->unseen));
    }
    if (p->twins) {
        dm_bytes_printf(t->out, "      SEVERAL PROXIES call themselves so, and one of them is asked\n");
    }
    if (p->nack_text.len > 0) tell_refusal(t, p);
    return true;
}

static void tell_line(void *ctx, const char *line) { dm_bytes_printf(ctx, "  %s\n", line); }

/* Only where there is something to say: those that are served, and what is wrong with them or with
 * those of our own port. */
static void tell_certificates(const struct dm_mesh *m, struct dm_bytes *out)
{
    struct dm_secrets_counts c = {.pairs = 0};
    int64_t now_s = mesh_now_s(m);
    if (m->secrets == NULL && m->out_of_date[0] == '\0' && m->not_used[0] == '\0') return;
    dm_bytes_printf(out, "certificates:");
    if (m->secrets != NULL) {
        dm_secrets_count(m->secrets, now_s, &c);
        dm_bytes_printf(out, " %u pair%s served", c.pairs, c.pairs == 1 ? "" : "s");
    }
    dm_bytes_printf(out, "\n");
    if (m->out_of_date[0] != '\0')
        dm_bytes_printf(out, "  --xds: %s: proxies are not let in with it\n", m->out_of_date);
    if (m->not_used[0] != '\0')
        dm_bytes_printf(out, "  --xds: %s; what was there before is used on\n", m->not_used);
    if (m->secrets != NULL) dm_secrets_tell(m->secrets, now_s, tell_line, out);
}

/* Nobody asks for progress while nothing is under way; what is told must not be of then. */
static void bring_up_to_date(const struct dm_mesh *m)
{
    struct mpol_progress now = {.size = sizeof now};
    mp_envoy_ops.progress(m->envoy, &now);
}

void dm_mesh_status(struct dm *d, struct dm_bytes *out)
{
    struct telling t = {.d = d, .out = out, .now_ns = d->os.mono_ns(d->os.ctx)};
    if (d->mesh == NULL) return;
    bring_up_to_date(d->mesh);
    dm_bytes_printf(out, "proxies:\n");
    mp_envoy_proxies(d->mesh->envoy, tell_proxy, &t);
    if (t.connected + t.away == 0) dm_bytes_printf(out, "  none has asked yet\n");
    mesh_refused_tell(d->mesh, t.now_ns, out);
    tell_certificates(d->mesh, out);
}

/* ---- leases ---- */

/* Proxies of which the same is to be said: one by name, the others by number. */
struct some {
    struct mp_envoy_part first;
    uint32_t count;
};

struct remarks {
    struct dm *d;
    bool modules_cut; /* the verb is one that modules carry too */
    struct some away, recalled, silent, twins, passed_over, unproven, bare;
};

static void add_to(struct some *some, const struct mp_envoy_part *part)
{
    if (some->count++ == 0) some->first = *part;
}

/* Who went last is named: the one that was just cut off is not to be buried under those that went
 * for good. */
static void add_away(struct some *some, const struct mp_envoy_part *part)
{
    if (some->count++ == 0 || part->since_ns > some->first.since_ns) some->first = *part;
}

static void look_at_part(void *ctx, const struct mp_envoy_part *part)
{
    struct remarks *r = ctx;
    bool cuts = r->modules_cut && part->module && dm_modules_has(r->d, part->node);
    if (part->away) add_away(part->recalled ? &r->recalled : &r->away, part);
    if (part->silent) add_to(&r->silent, part);
    if (part->twins) add_to(&r->twins, part);
    if (part->passed_over) add_to(&r->passed_over, part);
    if (part->unproven) add_to(&r->unproven, part);
    if (part->refuses && !cuts) add_to(&r->bare, part);
}

/* Ends as "NODE" or "NODE and 2 more". */
static void put_some(struct dm_bytes *out, const char *what, const struct some *some)
{
    dm_bytes_printf(out, "%s%s%.*s", out->len > 0 ? "; " : "", what,
                    MP_STR_ARG(some->first.node));
    if (some->count > 1) dm_bytes_printf(out, " and %u more", some->count - 1);
}

static void put_remarks(struct dm_bytes *out, const struct remarks *r)
{
    int64_t now_ns = r->d->os.mono_ns(r->d->os.ctx);
    if (r->away.count > 0) {
        put_some(out, "not told to ", &r->away);
        dm_bytes_printf(out, ", away for ");
        dm_duration(out, now_ns - r->away.first.since_ns);
    }
    if (r->recalled.count > 0) {
        put_some(out, "not told to ", &r->recalled);
        dm_bytes_printf(out, ", not back since the start ");
        dm_duration(out, now_ns - r->recalled.first.since_ns);
        dm_bytes_printf(out, " ago");
    }
    if (r->silent.count > 0) put_some(out, "no answer from ", &r->silent);
    if (r->twins.count > 0) put_some(out, "asked of one of those called ", &r->twins);
    if (r->passed_over.count > 0)
        put_some(out, "an exempt passes it over at ", &r->passed_over);
    if (r->unproven.count > 0) {
        put_some(out, "unproven at ", &r->unproven);
        dm_bytes_printf(out, ": %.*s", MP_STR_ARG(r->unproven.first.seen));
    }
    if (r->bare.count == 0) return;
    put_some(out, "new requests; streams that run go on: ", &r->bare);
    const char *lack = r->bare.count > 1 ? "have no module" : "has no module";
    const char *none = r->bare.count > 1 ? "cut none for this verb" : "cuts none for this verb";
    dm_bytes_printf(out, " %s", r->modules_cut ? lack : none);
}

void dm_mesh_remarks(struct dm *d, const struct mp_lease_view *v, struct dm_bytes *out)
{
    if (d->mesh == NULL || !v->in_force || v->lease->shadow) return;
    struct remarks r = {.d = d, .modules_cut = !mp_str_eq(v->verb, MP_STR("require"))};
    mp_envoy_parts(d->mesh->envoy, v->lease->id, look_at_part, &r);
    put_remarks(out, &r);
}

/* ---- /metrics and /readyz ---- */

static bool only_count(void *ctx, const struct mp_envoy_proxy *p)
{
    count_proxy(ctx, p);
    return true;
}

struct row {
    const char *name, *type, *help, *suffix;
    uint64_t value;
};

static void put_rows(struct dm_bytes *out, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        dm_metric(out, rows[i].name, rows[i].type, rows[i].help, rows[i].suffix,
                  (double)rows[i].value);
    }
}

static void proxy_metrics(struct dm_mesh *m, struct dm_bytes *out)
{
    struct telling t = {.d = m->d};
    struct mp_envoy_counts c;
    mp_envoy_proxies(m->envoy, only_count, &t);
    mp_envoy_counts_get(m->envoy, &c);
    const struct row rows[] = {
        {"mpol_xds_proxies_connected", "gauge", "proxies that are connected", "", t.connected},
        {"mpol_xds_proxies_away", "gauge", "proxies that were connected and are not", "", t.away},
        {"mpol_xds_proxies_unproven", "gauge", "connected proxies at which nobody can look", "",
         t.unproven},
        {"mpol_xds_proxies_disobeying", "gauge",
         "connected proxies that have taken something and do not obey it", "", t.disobeying},
        {"mpol_xds_proxies_refusing", "gauge", "proxies that refused what they were sent last", "",
         t.refusing},
        {"mpol_xds_proxies_unknown", "gauge", "connected proxies that are not who they say", "",
         t.unknown},
        {"mpol_xds_proxies_lacking", "gauge",
         "connected proxies that do not ask for what a lease needs", "", t.lacking},
        {"mpol_xds_proxies_bare", "gauge",
         "connected proxies with a listener that lacks our filters", "", t.bare},
        {"mpol_xds_requests", "counter", "discovery requests", "_total", c.messages},
        {"mpol_xds_acks", "counter", "responses that proxies took", "_total", c.acks},
        {"mpol_xds_nacks", "counter", "responses that proxies refused", "_total", c.nacks},
        {"mpol_xds_responses", "counter", "discovery responses", "_total", c.responses},
        {"mpol_xds_resources", "counter", "resources in them", "_total", c.resources},
        {"mpol_xds_removed", "counter", "resources taken away by them", "_total", c.removed},
        {"mpol_xds_sent_bytes", "counter", "bytes of responses", "_total", c.bytes},
        {"mpol_xds_garbage", "counter", "discovery requests that were none", "_total", c.garbage},
        {"mpol_xds_proven", "counter", "changes that a proxy was seen to obey", "_total", c.proven},
        {"mpol_xds_unprovable", "counter", "changes that nobody could look at", "_total",
         c.unprovable},
    };
    put_rows(out, rows, sizeof rows / sizeof rows[0]);
}

static void port_metrics(struct dm_mesh *m, struct dm_bytes *out)
{
    struct mp_grpc_counts c;
    if (m->server == NULL) return;
    mp_grpc_counts_get(m->server, &c);
    const struct row rows[] = {
        {"mpol_xds_connections", "gauge", "connections to the port for proxies", "",
         c.connections_now},
        {"mpol_xds_streams", "gauge", "streams on them", "", c.streams_now},
        {"mpol_xds_queued_bytes", "gauge", "bytes that wait for proxies", "", c.queued_bytes_now},
        {"mpol_xds_connections_refused", "counter", "connections beyond the limit", "_total",
         c.connections_refused},
        {"mpol_xds_tls_refused", "counter", "peers without a good certificate", "_total",
         c.tls_refused},
        {"mpol_xds_protocol_errors", "counter", "connections that broke HTTP/2", "_total",
         c.protocol_errors},
        {"mpol_xds_dead_peers", "counter", "connections that answered no more", "_total",
         c.dead_peers},
        {"mpol_xds_streams_refused", "counter", "streams of no method of ours, or too many",
         "_total", c.streams_refused},
        {"mpol_xds_messages_refused", "counter", "messages too large, compressed, cut or not valid",
         "_total",
         c.messages_too_large + c.messages_compressed + c.messages_cut + c.messages_invalid},
    };
    put_rows(out, rows, sizeof rows / sizeof rows[0]);
}

static void record_metrics(struct dm_mesh *m, struct dm_bytes *out)
{
    struct dm_records_counts c;
    if (m->records == NULL) return;
    dm_records_counts_get(m->records, &c);
    const struct row rows[] = {
        {"mpol_als_streams", "gauge", "access logs that proxies send", "", c.streams_now},
        {"mpol_als_messages", "counter", "messages on them", "_total", c.messages},
        {"mpol_als_requests", "counter", "requests that proxies let through", "_total", c.requests},
        {"mpol_als_refusals", "counter", "requests that were refused for us", "_total", c.refusals},
        {"mpol_als_connections", "counter", "connections that proxies told of", "_total",
         c.connections},
        {"mpol_als_probes", "counter", "our own questions, which are no records", "_total",
         c.probes},
        {"mpol_als_doubled", "counter", "requests that the proxy's module tells of too", "_total",
         c.doubled},
        {"mpol_als_malformed", "counter", "messages that were none", "_total", c.malformed},
        {"mpol_als_unread", "counter", "entries of a signal that no policy reads", "_total",
         c.unread},
        {"mpol_als_unknown", "counter", "entries of proxies that are not who they say", "_total",
         c.unknown},
        {"mpol_als_foreign", "counter", "entries under the name of another proxy", "_total",
         c.foreign},
        {"mpol_als_many_names", "counter",
         "requests of callers whose certificate has several URIs", "_total", c.many_names},
        {"mpol_als_other_logs", "counter", "entries of logs that are not ours", "_total",
         c.other_logs},
    };
    put_rows(out, rows, sizeof rows / sizeof rows[0]);
}

static void certificate_metrics(const struct dm_mesh *m, struct dm_bytes *out)
{
    struct dm_secrets_counts c = {.end_s = INT64_MAX};
    if (m->secrets != NULL) dm_secrets_count(m->secrets, mesh_now_s(m), &c);
    const struct row rows[] = {
        {"mpol_certificates_out_of_date", "gauge",
         "files that proxies are served, and the port itself, that are out of date", "",
         c.out_of_date + (m->out_of_date[0] != '\0')},
        {"mpol_sds_refused", "gauge", "what lies in the folder of --sds and is not served", "",
         c.refused},
    };
    put_rows(out, rows, sizeof rows / sizeof rows[0]);
    if (c.end_s == INT64_MAX) return;
    dm_metric(out, "mpol_sds_first_end_timestamp_seconds", "gauge",
              "when the first certificate or list that is served ends", "", (double)c.end_s);
}

void dm_mesh_metrics(struct dm *d, struct dm_bytes *out)
{
    if (d->mesh == NULL) return;
    bring_up_to_date(d->mesh);
    certificate_metrics(d->mesh, out);
    record_metrics(d->mesh, out);
    proxy_metrics(d->mesh, out);
    port_metrics(d->mesh, out);
}

void dm_mesh_readiness(struct dm *d, struct dm_bytes *out)
{
    struct telling t = {.d = d};
    if (d->mesh == NULL) return;
    mp_envoy_proxies(d->mesh->envoy, only_count, &t);
    dm_bytes_printf(out, "proxies: %u connected, %u away, %u refusing\n", t.connected, t.away,
                    t.refusing);
}
