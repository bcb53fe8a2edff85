/* SPDX-License-Identifier: Apache-2.0
 * capability.h - what each kind of mesh can do, as tables: one for the compiler, which refuses a
 * policy that asks for more (E0701), and for the backend that carries it out.
 *
 * Owns:    the tables (inproc.def, envoy.def, envoy_module.def). No code of any backend.
 * Callers: the backends; compiler/check by `--backend NAME`.
 * Threads: constant.
 */
#ifndef MP_CAPABILITY_CAPABILITY_H
#define MP_CAPABILITY_CAPABILITY_H

#include "base/str.h"
#include "mpol/backend.h"

/* Something that somebody could expect and that is not so. */
struct mp_capability_gap {
    const char *verb;
    const char *target;   /* entity or type; "*": any. "event": an action on the record at hand */
    const char *argument; /* NULL: whatever the arguments are */
    /* the argument's value, or its type ("percent"); "!V": any other than V; "A-Z": one with a
     * letter in upper case */
    const char *value;
    const char *why;      /* one line */
    const char *repair;
};

struct mp_backend_table {
    const char *name;  /* "inproc", "envoy", "envoy-module", "module" */
    const char *title; /* "an Envoy without our module" */
    uint32_t flags;    /* MPOL_BACKEND_* as far as a policy can tell */
    bool carves_paths; /* lets requests pass whose path a guard protects, and no others */
    bool inline_rules; /* judges rules on the request at hand */
    const struct mpol_capability *capabilities;
    size_t capability_count;
    const struct mp_capability_gap *gaps;
    size_t gap_count;
};

/* The table of that name, or NULL. */
const struct mp_backend_table *mp_backend_table_named(mp_str name);
/* All of them, in order of name; NULL ends it. */
const struct mp_backend_table *const *mp_backend_tables(void);
/* The row of a verb and a target, or NULL: among these, or in a table. */
const struct mpol_capability *mp_capability_of(const struct mpol_capability *rows, size_t count,
                                               mp_str verb, mp_str target);
const struct mpol_capability *mp_backend_can(const struct mp_backend_table *t, mp_str verb,
                                             mp_str target);
/* Why a verb cannot be done to a target at all, or NULL: nothing is known about it. */
const struct mp_capability_gap *mp_backend_gap(const struct mp_backend_table *t, mp_str verb,
                                               mp_str target);
/* Why it cannot be done with this argument, of this type and, where it is constant, of this
 * value. NULL: it can. */
const struct mp_capability_gap *mp_backend_gap_argument(const struct mp_backend_table *t,
                                                        mp_str verb, mp_str target, mp_str argument,
                                                        mp_str type, mp_str value);

#define MP_CAPABILITY(verb, target, hooks, flags) +1
/* How many rows they have: constant, for tables of functions. */
enum {
    MP_INPROC_CAPABILITY_COUNT = 0
#include "capability/inproc.def"
    ,
    MP_ENVOY_CAPABILITY_COUNT = 0
#include "capability/envoy.def"
    ,
    MP_MODULE_CAPABILITY_COUNT = 0
#include "capability/envoy_module.def"
};
#undef MP_CAPABILITY

extern const struct mpol_capability mp_inproc_capabilities[MP_INPROC_CAPABILITY_COUNT];
extern const struct mpol_capability mp_envoy_capabilities[MP_ENVOY_CAPABILITY_COUNT];
/* What the module can do and nothing else here. */
extern const struct mpol_capability mp_module_capabilities[MP_MODULE_CAPABILITY_COUNT];

#endif
