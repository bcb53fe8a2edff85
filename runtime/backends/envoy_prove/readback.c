/* SPDX-License-Identifier: Apache-2.0
 * envoy.admin.v3.Clusters and the /runtime answer, as the admin port writes them in JSON.
 */
#include "envoy_prove/admin_json.h"
#include "envoy_prove/readback.h"

#include <stdio.h>

#include "base/assert.h"

/* ---- clusters ---- */

/* What Envoy got over EDS; other marks (outlier ejection, active checks) are its own affair. */
static bool is_in(const json_t *host)
{
    mp_str health =
        admin_text(json_object_get(json_object_get(host, "health_status"), "eds_health_status"));
    return health.len == 0 || mp_str_eq(health, MP_STR("HEALTHY")) ||
           mp_str_eq(health, MP_STR("UNKNOWN")) || mp_str_eq(health, MP_STR("DEGRADED"));
}

static bool has_mark(const json_t *host, const char *mark)
{
    return json_is_true(json_object_get(json_object_get(host, "health_status"), mark));
}

/* Does Envoy itself count it among those that can take requests? */
static bool is_usable(const json_t *host)
{
    return is_in(host) && !has_mark(host, "failed_outlier_check") &&
           !has_mark(host, "failed_active_health_check");
}

static const struct mp_prove_endpoint *wanted(const struct mp_prove_task *task, mp_str address)
{
    for (size_t i = 0; i < task->endpoint_count; i++) {
        if (mp_str_eq(task->endpoints[i].address, address)) return &task->endpoints[i];
    }
    return NULL;
}

/* A host that is listed; false: not as wanted. */
static bool judge_host(const struct mp_prove_task *task, const json_t *host, char *seen,
                       size_t size)
{
    char room[ADMIN_ADDRESS_BYTES];
    mp_str address = admin_address(host, room, sizeof room);
    const struct mp_prove_endpoint *want = wanted(task, address);
    bool in = is_in(host);
    long long weight = (long long)json_integer_value(json_object_get(host, "weight"));
    if (in != (want != NULL && want->state == MP_PROVE_IN)) {
        snprintf(seen, size, "%.*s of %.*s is %s", MP_STR_ARG(address), MP_STR_ARG(task->cluster),
                 in ? "still in" : "still out");
        return false;
    }
    if (!in || want->weight == 0 || weight == (long long)want->weight) return true;
    snprintf(seen, size, "%.*s of %.*s weighs %lld", MP_STR_ARG(address), MP_STR_ARG(task->cluster),
             weight);
    return false;
}

static bool lists(json_t *hosts, mp_str address)
{
    size_t i;
    json_t *host;
    json_array_foreach(hosts, i, host) {
        char room[ADMIN_ADDRESS_BYTES];
        if (mp_str_eq(admin_address(host, room, sizeof room), address)) return true;
    }
    return false;
}

/* Below the threshold Envoy leads requests to every host that it lists. */
static enum mp_readback judge_panic(const struct mp_prove_task *task, json_t *hosts, char *seen,
                                    size_t size)
{
    size_t i, total = json_array_size(hosts), usable = 0, out = 0;
    json_t *host;
    json_array_foreach(hosts, i, host) {
        usable += is_usable(host);
        out += !is_in(host);
    }
    if (out == 0 || 100 * usable >= task->panic_percent * total) return MP_READBACK_AS_WANTED;
    snprintf(seen, size, "%.*s is in panic: %zu of %zu can take requests, so all are led to",
             MP_STR_ARG(task->cluster), usable, total);
    return MP_READBACK_PANIC;
}

static enum mp_readback judge_hosts(const struct mp_prove_task *task, json_t *hosts, char *seen,
                                    size_t size)
{
    size_t i;
    json_t *host;
    json_array_foreach(hosts, i, host) {
        if (!judge_host(task, host, seen, size)) return MP_READBACK_OTHERWISE;
    }
    for (i = 0; i < task->endpoint_count; i++) {
        const struct mp_prove_endpoint *e = &task->endpoints[i];
        if (e->state != MP_PROVE_IN || lists(hosts, e->address)) continue;
        snprintf(seen, size, "%.*s of %.*s is not there", MP_STR_ARG(e->address),
                 MP_STR_ARG(task->cluster));
        return MP_READBACK_OTHERWISE;
    }
    return judge_panic(task, hosts, seen, size);
}

/* What a cluster asks for is its own name, where it names no other service. */
static bool asks_for(const json_t *cluster, mp_str resource)
{
    mp_str other = admin_text(json_object_get(cluster, "eds_service_name"));
    return mp_str_eq(other.len > 0 ? other : admin_text(json_object_get(cluster, "name")), resource);
}

static enum mp_readback judge_clusters(const struct mp_prove_task *task, json_t *root, char *seen,
                                       size_t size)
{
    json_t *clusters = json_object_get(root, "cluster_statuses"), *cluster;
    bool some = false;
    size_t i;
    if (!json_is_array(clusters)) return MP_READBACK_BAD;
    json_array_foreach(clusters, i, cluster) {
        if (!asks_for(cluster, task->cluster)) continue;
        json_t *hosts = json_object_get(cluster, "host_statuses");
        enum mp_readback got = judge_hosts(task, hosts, seen, size);
        if (got != MP_READBACK_AS_WANTED) return got;
        some = true;
    }
    return some ? MP_READBACK_AS_WANTED : judge_hosts(task, NULL, seen, size);
}

/* ---- runtime ---- */

static enum mp_readback judge_runtime(const struct mp_prove_task *task, json_t *root, char *seen,
                                      size_t size)
{
    json_t *entries = json_object_get(root, "entries");
    if (!json_is_object(entries)) return MP_READBACK_BAD;
    for (size_t i = 0; i < task->value_count; i++) {
        const struct mp_prove_value *v = &task->values[i];
        json_t *entry = json_object_getn(entries, v->key.ptr, v->key.len);
        mp_str final = admin_text(json_object_get(entry, "final_value"));
        if (mp_str_eq(final, v->value)) continue;
        snprintf(seen, size, "%.*s is \"%.*s\"", MP_STR_ARG(v->key), MP_STR_ARG(final));
        return MP_READBACK_OTHERWISE;
    }
    return MP_READBACK_AS_WANTED;
}

enum mp_readback mp_readback(const struct mp_prove_task *task, mp_str body, char *seen,
                             size_t seen_size)
{
    json_error_t error;
    json_t *root = json_loadb(body.ptr != NULL ? body.ptr : "", body.len, 0, &error);
    enum mp_readback got = MP_READBACK_BAD;
    if (json_is_object(root)) {
        MP_ASSERT(task->kind != MP_PROVE_LISTENER);
        got = task->kind == MP_PROVE_CLUSTERS ? judge_clusters(task, root, seen, seen_size)
                                              : judge_runtime(task, root, seen, seen_size);
    }
    if (got == MP_READBACK_BAD) snprintf(seen, seen_size, "no JSON as an admin port writes it");
    json_decref(root);
    return got;
}
