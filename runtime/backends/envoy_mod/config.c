/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/config.h"

#include <stdio.h>

#include "ingest/json.h"
#include "mpol/types.h"

static const struct member {
    const char *name;
    size_t at, size;
} members[] = {
#define MEMBER(m) {#m, offsetof(struct mp_mod_config, m), sizeof(((struct mp_mod_config *)0)->m)}
    MEMBER(socket), MEMBER(layer), MEMBER(service), MEMBER(instance), MEMBER(state),
#undef MEMBER
};

static const struct {
    const char *word;
    uint32_t bit;
} layers[] = {{"ingress", MPOL_INGRESS}, {"service", MPOL_SERVICE}, {"edge", MPOL_EDGE}};

/* What is being read. */
struct reading {
    struct mp_mod_config *out;
    char *why;
    size_t why_size;
    bool bad;
};

static void refuse(struct reading *r, const char *what, mp_str name)
{
    if (r->bad) return;
    r->bad = true;
    snprintf(r->why, r->why_size, "`%.*s` %s", MP_STR_ARG(name), what);
}

static void on_leaf(void *ctx, const struct mp_json_leaf *leaf)
{
    struct reading *r = ctx;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const struct member *m = &members[i];
        if (!mp_str_eq(leaf->path, mp_str_of(m->name))) continue;
        char *to = (char *)r->out + m->at;
        size_t len = 0;
        if (leaf->kind != MP_JSON_STRING) {
            refuse(r, "is not a text", leaf->path);
        } else if (leaf->raw.len >= m->size) {
            refuse(r, "is too long", leaf->path);
        } else if (!mp_json_unescape(leaf->raw, to, &len)) {
            refuse(r, "is not a text that can be read", leaf->path);
        } else {
            to[len] = '\0';
        }
        return;
    }
    refuse(r, "is not a name that the module knows", leaf->path);
}

static bool is_whole(struct reading *r)
{
    struct mp_mod_config *c = r->out;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        if (strcmp(c->layer, layers[i].word) == 0) c->layer_bit = layers[i].bit;
    }
    if (c->layer_bit == 0) refuse(r, "is none of ingress, service, edge", MP_STR("layer"));
    if (c->service[0] == '\0') refuse(r, "is missing", MP_STR("service"));
    if (c->instance[0] == '\0') refuse(r, "is missing", MP_STR("instance"));
    return !r->bad;
}

bool mp_mod_config_read(mp_str json, struct mp_mod_config *out, char *why, size_t why_size)
{
    struct mp_mod_config read = {.layer_bit = 0};
    struct reading r = {&read, why, why_size, false};
    struct mp_json j;
    char path[32];
    mp_json_init(&j, json);
    if (!mp_json_object(&j, path, sizeof path, &r, on_leaf)) {
        snprintf(why, why_size, "the configuration is not an object of JSON: %s", j.why);
        return false;
    }
    if (r.bad || !is_whole(&r)) return false;
    *out = read;
    return true;
}

bool mp_mod_config_same(const struct mp_mod_config *a, const struct mp_mod_config *b)
{
    return strcmp(a->socket, b->socket) == 0 && strcmp(a->layer, b->layer) == 0 &&
           strcmp(a->service, b->service) == 0 && strcmp(a->instance, b->instance) == 0 &&
           strcmp(a->state, b->state) == 0;
}
