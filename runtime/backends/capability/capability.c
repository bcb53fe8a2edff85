/* SPDX-License-Identifier: Apache-2.0 */
#include "capability/capability.h"

#define MP_CAPABILITY(verb, target, hooks, flags) {verb, target, hooks, flags},
const struct mpol_capability mp_inproc_capabilities[MP_INPROC_CAPABILITY_COUNT] = {
#include "capability/inproc.def"
};
const struct mpol_capability mp_envoy_capabilities[MP_ENVOY_CAPABILITY_COUNT] = {
#include "capability/envoy.def"
};
const struct mpol_capability mp_module_capabilities[MP_MODULE_CAPABILITY_COUNT] = {
#include "capability/envoy_module.def"
};
static const struct mpol_capability envoy_and_module[] = {
#include "capability/envoy.def"
#include "capability/envoy_module.def"
};
#undef MP_CAPABILITY

#define MP_GAP(verb, target, argument, value, why, repair) \
    {verb, target, argument, value, why, repair},
static const struct mp_capability_gap inproc_gaps[] = {
#include "capability/inproc_gaps.def"
};
static const struct mp_capability_gap envoy_gaps[] = {
#include "capability/envoy_gaps.def"
#include "capability/envoy_alone_gaps.def"
};
static const struct mp_capability_gap envoy_module_gaps[] = {
#include "capability/envoy_gaps.def"
};
#undef MP_GAP

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct mp_backend_table inproc_table = {
    .name = "inproc",
    .title = "the process itself",
    .flags = MPOL_BACKEND_CARVES_OUT,
    .inline_rules = true,
    .capabilities = mp_inproc_capabilities,
    .capability_count = MP_INPROC_CAPABILITY_COUNT,
    .gaps = inproc_gaps,
    .gap_count = COUNT(inproc_gaps),
};

static const struct mp_backend_table envoy_table = {
    .name = "envoy",
    .title = "an Envoy without the module",
    .carves_paths = true,
    .capabilities = mp_envoy_capabilities,
    .capability_count = MP_ENVOY_CAPABILITY_COUNT,
    .gaps = envoy_gaps,
    .gap_count = COUNT(envoy_gaps),
};

static const struct mp_backend_table envoy_module_table = {
    .name = "envoy-module",
    .title = "an Envoy with the module",
    .carves_paths = true, /* the filters beside the module refuse too */
    .inline_rules = true,
    .capabilities = envoy_and_module,
    .capability_count = COUNT(envoy_and_module),
    .gaps = envoy_module_gaps,
    .gap_count = COUNT(envoy_module_gaps),
};

static const struct mp_backend_table module_table = {
    .name = "module",
    .title = "the module alone",
    .flags = MPOL_BACKEND_CARVES_OUT,
    .inline_rules = true,
    .capabilities = envoy_and_module,
    .capability_count = COUNT(envoy_and_module),
    .gaps = envoy_module_gaps,
    .gap_count = COUNT(envoy_module_gaps),
};

static const struct mp_backend_table *const tables[] = {&envoy_table, &envoy_module_table,
                                                        &inproc_table, &module_table, NULL};

const struct mp_backend_table *const *mp_backend_tables(void) { return tables; }

const struct mp_backend_table *mp_backend_table_named(mp_str name)
{
    for (size_t i = 0; tables[i] != NULL; i++) {
        if (mp_str_eq(mp_str_of(tables[i]->name), name)) return tables[i];
    }
    return NULL;
}

const struct mpol_capability *mp_capability_of(const struct mpol_capability *rows, size_t count,
                                               mp_str verb, mp_str target)
{
    for (size_t i = 0; i < count; i++) {
        if (mp_str_eq(mp_str_of(rows[i].verb), verb) &&
            mp_str_eq(mp_str_of(rows[i].target), target))
            return &rows[i];
    }
    return NULL;
}

const struct mpol_capability *mp_backend_can(const struct mp_backend_table *t, mp_str verb,
                                             mp_str target)
{
    return mp_capability_of(t->capabilities, t->capability_count, verb, target);
}

static bool concerns(const struct mp_capability_gap *g, mp_str verb, mp_str target)
{
    mp_str of = mp_str_of(g->target);
    return mp_str_eq(mp_str_of(g->verb), verb) &&
           (mp_str_eq(of, MP_STR("*")) || mp_str_eq(of, target));
}

const struct mp_capability_gap *mp_backend_gap(const struct mp_backend_table *t, mp_str verb,
                                               mp_str target)
{
    for (size_t i = 0; i < t->gap_count; i++) {
        const struct mp_capability_gap *g = &t->gaps[i];
        if (concerns(g, verb, target) && g->argument == NULL) return g;
    }
    return NULL;
}

static bool has_upper(mp_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] >= 'A' && value.ptr[i] <= 'Z') return true;
    }
    return false;
}

static bool has_value(const char *row, mp_str type, mp_str value)
{
    mp_str wanted = mp_str_of(row);
    if (row[0] == '!') return value.len > 0 && !mp_str_eq(mp_str_sub(wanted, 1, wanted.len), value);
    if (mp_str_eq(wanted, MP_STR("A-Z"))) return has_upper(value);
    return mp_str_eq(wanted, type) || mp_str_eq(wanted, value);
}

const struct mp_capability_gap *mp_backend_gap_argument(const struct mp_backend_table *t,
                                                        mp_str verb, mp_str target, mp_str argument,
                                                        mp_str type, mp_str value)
{
    for (size_t i = 0; i < t->gap_count; i++) {
        const struct mp_capability_gap *g = &t->gaps[i];
        if (g->argument == NULL || !concerns(g, verb, target)) continue;
        if (mp_str_eq(mp_str_of(g->argument), argument) && has_value(g->value, type, value))
            return g;
    }
    return NULL;
}
