/* SPDX-License-Identifier: Apache-2.0
 * What `mpol status` and /metrics tell of the modules inside proxies.
 */
#include "daemon/mesh_priv.h"
#include "envoy_mod/fleet.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- who is there ---- */

#define NODE_BYTES (3 * 256)

static mp_str node_of(const struct mp_fleet_info *i, char room[NODE_BYTES])
{
    int len = snprintf(room, NODE_BYTES, "%.*s/%.*s/%.*s", MP_STR_ARG(i->layer),
                       MP_STR_ARG(i->service), MP_STR_ARG(i->instance));
    return len > 0 && len < NODE_BYTES ? (mp_str){room, (size_t)len} : MP_STR("");
}

struct search {
    mp_str node;
    bool found;
};

static void compare_node(void *ctx, const struct mp_fleet_info *i)
{
    struct search *s = ctx;
    char room[NODE_BYTES];
    s->found |= mp_str_eq(s->node, node_of(i, room));
}

bool dm_modules_has(const struct dm *d, mp_str node)
{
    struct search s = {node, false};
    const struct mp_fleet *fleet = dm_modules_fleet(d);
    if (fleet != NULL) mp_fleet_each(fleet, &s, compare_node);
    return s.found;
}

/* ---- status ---- */

struct telling {
    struct dm_bytes *out;
    uint32_t count;
};

static void tell_proxy(void *ctx, const struct mp_fleet_info *i)
{
    struct telling *t = ctx;
    bool passed = i->leases == i->leases_passed && !i->silent;
    t->count++;
    dm_bytes_printf(t->out,
                    "  %.*s/%.*s/%.*s: program %" PRIu64 "%s, leases %s, verdicts %" PRIu64
                    ", refused %" PRIu64 ", cut %" PRIu64 ", records dropped %" PRIu64 "%s%s%.*s\n",
                    MP_STR_ARG(i->layer), MP_STR_ARG(i->service), MP_STR_ARG(i->instance),
                    i->program, i->program == i->program_passed ? "" : " (not passed)",
                    passed ? "passed" : "not passed", i->counts.verdicts,
                    i->counts.refusals, i->counts.cut, i->counts.dropped,
                    i->silent ? ", SILENT" : "", i->trouble.len > 0 ? ", " : "",
                    MP_STR_ARG(i->trouble));
}

void dm_modules_status(struct dm *d, struct dm_bytes *out)
{
    struct telling t = {out, 0};
    const struct mp_fleet *fleet = dm_modules_fleet(d);
    if (fleet == NULL) return;
    dm_bytes_printf(out, "modules:\n");
    mp_fleet_each(fleet, &t, tell_proxy);
    dm_bytes_printf(out, "%s", t.count == 0 ? "  none\n" : "");
}

/* ---- /metrics ---- */

enum { CONNECTED, SILENT, PROGRAM, PROGRAM_PASSED, LEASES, LEASES_PASSED, VERDICTS, REFUSALS,
       RECORDS, DROPPED, CUT, METRICS };

/* One family each, with a row for each proxy. */
static const struct {
    const char *name, *type, *help, *suffix;
} families[METRICS] = {
    [CONNECTED] = {"mpol_module_connected", "gauge", "1: the module of this proxy is connected",
                   ""},
    [SILENT] = {"mpol_module_silent", "gauge", "1: it does not answer what it was told", ""},
    [PROGRAM] = {"mpol_module_program_taken", "gauge", "revision of the program in force there",
                 ""},
    [PROGRAM_PASSED] = {"mpol_module_program_passed", "gauge", "and that all its workers use", ""},
    [LEASES] = {"mpol_module_leases_taken", "gauge", "revision of the leases in force there", ""},
    [LEASES_PASSED] = {"mpol_module_leases_passed", "gauge", "and that all its workers use", ""},
    [VERDICTS] = {"mpol_module_verdicts", "counter", "requests that it has judged", "_total"},
    [REFUSALS] = {"mpol_module_refusals", "counter", "requests that it has refused", "_total"},
    [RECORDS] = {"mpol_module_records", "counter", "records that it has told of", "_total"},
    [DROPPED] = {"mpol_module_dropped", "counter", "records that found no room", "_total"},
    [CUT] = {"mpol_module_cut", "counter", "open streams that it has cut", "_total"},
};

struct measuring {
    const struct dm *d;
    struct dm_bytes *out;
    struct mp_fleet_info *all; /* in order of their names */
    uint32_t count;
    int family;
};

static void collect(void *ctx, const struct mp_fleet_info *i)
{
    struct measuring *m = ctx;
    if (m->all != NULL) m->all[m->count] = *i;
    m->count++;
}

static int order(const void *a, const void *b)
{
    const struct mp_fleet_info *x = a, *y = b;
    int by = mp_str_cmp(x->layer, y->layer);
    if (by == 0) by = mp_str_cmp(x->service, y->service);
    return by != 0 ? by : mp_str_cmp(x->instance, y->instance);
}

static uint64_t value_of(const struct mp_fleet_info *i, int family)
{
    const uint64_t values[METRICS] = {
        [CONNECTED] = 1, [SILENT] = i->silent, [PROGRAM] = i->program,
        [PROGRAM_PASSED] = i->program_passed, [LEASES] = i->leases,
        [LEASES_PASSED] = i->leases_passed, [VERDICTS] = i->counts.verdicts,
        [REFUSALS] = i->counts.refusals, [RECORDS] = i->counts.records,
        [DROPPED] = i->counts.dropped, [CUT] = i->counts.cut};
    return values[family];
}

static void put_row(struct measuring *m, mp_str node, uint64_t value)
{
    dm_bytes_printf(m->out, "%s%s{proxy=\"", families[m->family].name, families[m->family].suffix);
    dm_label_text(m->out, node);
    dm_bytes_printf(m->out, "\"} %" PRIu64 "\n", value);
}

/* Its bootstrap has the module, and we do not hear of it. */
static bool put_missing(void *ctx, const struct mp_envoy_proxy *p)
{
    struct measuring *m = ctx;
    bool missing = p->module && p->connected && p->known && !dm_modules_has(m->d, p->node);
    if (missing) put_row(m, p->node, 0);
    return true;
}

/* Two may use one name, the one that ends and the one that begins: a row may not be there twice. */
static void put_family(struct measuring *m)
{
    char room[NODE_BYTES];
    dm_bytes_printf(m->out, "# TYPE %s %s\n# HELP %s %s\n", families[m->family].name,
                    families[m->family].type, families[m->family].name, families[m->family].help);
    for (uint32_t i = 0; i < m->count; i++) {
        if (i > 0 && order(&m->all[i - 1], &m->all[i]) == 0) continue;
        put_row(m, node_of(&m->all[i], room), value_of(&m->all[i], m->family));
    }
    if (m->family == CONNECTED && m->d->mesh != NULL)
        mp_envoy_proxies(m->d->mesh->envoy, put_missing, m);
}

void dm_modules_metrics(struct dm *d, struct dm_bytes *out)
{
    const struct mp_fleet *fleet = dm_modules_fleet(d);
    struct measuring m = {.d = d, .out = out};
    if (fleet == NULL) return;
    mp_fleet_each(fleet, &m, collect);
    dm_metric(out, "mpol_modules", "gauge", "modules that are connected", "", m.count);
    m.all = calloc(m.count + 1, sizeof *m.all);
    if (m.all == NULL) return;
    m.count = 0;
    mp_fleet_each(fleet, &m, collect);
    qsort(m.all, m.count, sizeof *m.all, order);
    for (m.family = 0; m.family < METRICS; m.family++) put_family(&m);
    free(m.all);
}
