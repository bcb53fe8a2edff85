/* SPDX-License-Identifier: Apache-2.0
 * Access logs that are JSON already, under the names that nginx, Envoy and Istio give their fields.
 */
#include "ingest/import_priv.h"
#include "ingest/ingest.h"
#include "ingest/json.h"

#define REQUEST LOG_FIELDS       /* a whole request line */
#define DETAILS (LOG_FIELDS + 1) /* Envoy's: `mpol:RULE` */

struct log_name {
    mp_str name;
    uint32_t field;
    uint32_t rank; /* of several names of one field the higher is taken */
};

/* `request_id` is no id of ours: all hops of a request share it, and all but one would be
 * dropped. */
static const struct log_name nginx_names[] = {
    {MP_STR_INIT("time"), LOG_TIME, 1},
    {MP_STR_INIT("time_local"), LOG_TIME, 2},
    {MP_STR_INIT("@timestamp"), LOG_TIME, 3},
    {MP_STR_INIT("timestamp"), LOG_TIME, 3},
    {MP_STR_INIT("time_iso8601"), LOG_TIME, 4},
    {MP_STR_INIT("msec"), LOG_TIME, 5},
    {MP_STR_INIT("service"), LOG_SERVICE, 1},
    {MP_STR_INIT("remote_addr"), LOG_CLIENT, 2},
    {MP_STR_INIT("client_ip"), LOG_CLIENT, 1},
    {MP_STR_INIT("request_method"), LOG_METHOD, 2},
    {MP_STR_INIT("method"), LOG_METHOD, 1},
    {MP_STR_INIT("uri"), LOG_PATH, 1},
    {MP_STR_INIT("request_uri"), LOG_PATH, 2},
    {MP_STR_INIT("request"), REQUEST, 1},
    {MP_STR_INIT("server_protocol"), LOG_VERSION, 1},
    {MP_STR_INIT("server_name"), LOG_VHOST, 1},
    {MP_STR_INIT("host"), LOG_HOST, 1},
    {MP_STR_INIT("http_host"), LOG_HOST, 2},
    {MP_STR_INIT("scheme"), LOG_SCHEME, 1},
    {MP_STR_INIT("status"), LOG_STATUS, 1},
    {MP_STR_INIT("request_time"), LOG_LATENCY, 2},
    {MP_STR_INIT("upstream_response_time"), LOG_LATENCY, 1},
    {MP_STR_INIT("request_length"), LOG_BYTES_IN, 2},
    {MP_STR_INIT("content_length"), LOG_BYTES_IN, 1},
    {MP_STR_INIT("bytes_sent"), LOG_BYTES_OUT, 1},
    {MP_STR_INIT("body_bytes_sent"), LOG_BYTES_OUT, 2},
    {MP_STR_INIT("remote_user"), LOG_USER, 1},
    {MP_STR_INIT("http_user_agent"), LOG_AGENT, 2},
    {MP_STR_INIT("user_agent"), LOG_AGENT, 1},
    {MP_STR_INIT("http_referer"), LOG_REFERER, 2},
    {MP_STR_INIT("http_referrer"), LOG_REFERER, 1},
    {MP_STR_INIT("http_x_forwarded_for"), LOG_FORWARDED, 1},
    {MP_STR_INIT("upstream_addr"), LOG_INSTANCE, 1},
    {MP_STR_INIT("ssl_protocol"), LOG_TLS, 1},
};

static const struct log_name envoy_names[] = {
    {MP_STR_INIT("emit_time"), LOG_TIME, 3}, /* when it was over, which is when it counts */
    {MP_STR_INIT("start_time"), LOG_TIME, 2},
    {MP_STR_INIT("time"), LOG_TIME, 1},
    {MP_STR_INIT("@timestamp"), LOG_TIME, 1},
    {MP_STR_INIT("downstream_remote_address"), LOG_CLIENT, 2},
    {MP_STR_INIT("downstream_direct_remote_address"), LOG_CLIENT, 1},
    {MP_STR_INIT("method"), LOG_METHOD, 1},
    {MP_STR_INIT("path"), LOG_PATH, 1},
    {MP_STR_INIT("x_envoy_original_path"), LOG_PATH, 2},
    {MP_STR_INIT("protocol"), LOG_VERSION, 1},
    {MP_STR_INIT("authority"), LOG_HOST, 1},
    {MP_STR_INIT("response_code"), LOG_STATUS, 1},
    {MP_STR_INIT("duration"), LOG_LATENCY, 1},
    {MP_STR_INIT("bytes_received"), LOG_BYTES_IN, 1},
    {MP_STR_INIT("bytes_sent"), LOG_BYTES_OUT, 1},
    {MP_STR_INIT("user_agent"), LOG_AGENT, 1},
    {MP_STR_INIT("x_forwarded_for"), LOG_FORWARDED, 1},
    {MP_STR_INIT("upstream_host"), LOG_INSTANCE, 1},
    {MP_STR_INIT("instance"), LOG_INSTANCE, 2},
    {MP_STR_INIT("upstream_cluster"), LOG_CLUSTER, 1},
    {MP_STR_INIT("layer"), LOG_LAYER, 1},
    {MP_STR_INIT("version"), LOG_ANSWERED_BY, 1},
    {MP_STR_INIT("scheme"), LOG_SCHEME, 1},
    {MP_STR_INIT("downstream_peer_uri_san"), LOG_PEER, 1},
    {MP_STR_INIT("downstream_tls_version"), LOG_TLS, 1},
    {MP_STR_INIT("response_code_details"), DETAILS, 1},
    {MP_STR_INIT("service"), LOG_SERVICE, 1},
};

#define OWN_PATH MP_STR("/.mpol/")

struct taker {
    const struct log_name *names;
    size_t count;
    struct piece found[LOG_FIELDS + 2];
    uint32_t rank[LOG_FIELDS + 2];
};

static void take(void *ctx, const struct mp_json_leaf *leaf)
{
    struct taker *t = ctx;
    if (leaf->kind != MP_JSON_STRING && leaf->kind != MP_JSON_NUMBER) return;
    if (leaf->raw.len == 0 || (leaf->raw.len == 1 && leaf->raw.ptr[0] == '-')) return;
    for (size_t i = 0; i < t->count; i++) {
        const struct log_name *n = &t->names[i];
        if (!mp_str_eq(n->name, leaf->path) || n->rank < t->rank[n->field]) continue;
        t->rank[n->field] = n->rank;
        t->found[n->field] = (struct piece){leaf->raw, leaf->escaped ? SPELT_JSON : SPELT_PLAIN};
    }
}

/* Of several tries of nginx (`a, b`, `a : b`) the last one answered. */
static void last_try(struct piece *p)
{
    if (p->text.ptr == NULL) return;
    for (size_t i = p->text.len; i > 0; i--) {
        if (p->text.ptr[i - 1] != ' ') continue;
        p->text = mp_str_sub(p->text, i, p->text.len);
        return;
    }
}

/* `RULE/17`: what is behind the last slash, where it is a number. */
static void cut_lease(mp_str *rule, uint64_t *lease)
{
    size_t at = rule->len;
    uint64_t number = 0, scale = 1;
    *lease = 0;
    while (at > 0 && rule->ptr[at - 1] >= '0' && rule->ptr[at - 1] <= '9' &&
           scale <= UINT64_MAX / 100) {
        number += scale * (uint64_t)(rule->ptr[--at] - '0');
        scale *= 10;
    }
    if (at == rule->len || at < 2 || rule->ptr[at - 1] != '/') return;
    *rule = mp_str_sub(*rule, 0, at - 1);
    *lease = number;
}

bool mp_import_refusal(mp_str details, mp_str *rule, uint64_t *lease)
{
    static const mp_str rbac = MP_STR_INIT("rbac_access_denied_matched_policy["),
                        own = MP_STR_INIT("mpol:");
    if (mp_str_starts(details, rbac) && mp_str_ends(details, MP_STR("]"))) {
        details = mp_str_sub(details, rbac.len, details.len - rbac.len - 1);
    }
    if (!mp_str_starts(details, own) || details.len == own.len) return false;
    *rule = mp_str_sub(details, own.len, details.len);
    cut_lease(rule, lease);
    return true;
}

/* `checkout@v2` is a cluster of our own making: the instances of one version of `checkout`. */
static void cut_version(struct piece *cluster)
{
    mp_str s = cluster->text;
    const char *mark = s.ptr != NULL ? memchr(s.ptr, '@', s.len) : NULL;
    if (mark != NULL && mark > s.ptr) cluster->text.len = (size_t)(mark - s.ptr);
}

/* Our own name in the details of a refusal (language.md 4.2). */
static void own_refusal(struct piece details, struct log_entry *out)
{
    uint64_t lease;
    if (details.text.ptr == NULL || !mp_import_refusal(details.text, &details.text, &lease)) return;
    out->field[LOG_REFUSED_BY] = details;
}

bool mp_import_json(enum mp_import_format format, mp_str line, struct log_entry *out,
                    const char **why)
{
    bool envoy = format == MP_IMPORT_ENVOY_JSON;
    struct taker t;
    memset(&t, 0, sizeof t);
    t.names = envoy ? envoy_names : nginx_names;
    t.count = envoy ? sizeof envoy_names / sizeof envoy_names[0]
                    : sizeof nginx_names / sizeof nginx_names[0];
    struct mp_json j;
    char path[256];
    mp_json_init(&j, line);
    if (!mp_json_object(&j, path, sizeof path, &t, take)) {
        *why = j.why;
        return false;
    }
    *why = NULL;
    mp_str asked = t.found[LOG_PATH].text;
    if (envoy && asked.ptr != NULL && mp_str_starts(asked, OWN_PATH)) return false;
    memcpy(out->field, t.found, sizeof out->field);
    out->latency_ms = envoy;
    last_try(&out->field[LOG_INSTANCE]);
    if (out->field[LOG_METHOD].text.ptr == NULL) mp_import_request(t.found[REQUEST], out);
    if (envoy) own_refusal(t.found[DETAILS], out);
    cut_version(&out->field[LOG_CLUSTER]);
    mp_str cluster = out->field[LOG_CLUSTER].text;
    bool told = out->field[LOG_LAYER].text.ptr != NULL;
    if (!told && cluster.ptr != NULL && mp_str_starts(cluster, MP_STR("inbound|"))) {
        out->field[LOG_LAYER] = (struct piece){MP_STR("service"), SPELT_PLAIN};
    }
    return true;
}
