/* SPDX-License-Identifier: Apache-2.0
 * Numbers of fields are those of the .proto files named in discovery.h.
 */
#include "envoy_wire/discovery.h"

#include "base/assert.h"

/* A list of strings: each is checked now, so that walking it later cannot fail. */
static void add_name(struct pb_many *many, struct pb_in *in, const struct pb_field *f)
{
    (void)pb_text_of(in, f);
    if (in->why == NULL) pb_many_add(many, in, f);
}

/* ---- Node ---- */

/* BuildVersion.version: SemanticVersion{major_number = 1, minor_number = 2, patch = 3}. */
static void read_version(struct pb_in *outer, mp_str message, struct mp_discovery_node *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: out->major = (uint32_t)pb_uint_of(&in, &f); break;
        case 2: out->minor = (uint32_t)pb_uint_of(&in, &f); break;
        case 3: out->patch = (uint32_t)pb_uint_of(&in, &f); break;
        }
    }
    if (in.why != NULL) pb_fail(outer, in.why);
}

static void read_build(struct pb_in *outer, mp_str message, struct mp_discovery_node *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        if (f.number == 1) read_version(&in, pb_bytes_of(&in, &f), out);
    }
    if (in.why != NULL) pb_fail(outer, in.why);
}

static void read_locality(struct pb_in *outer, mp_str message, struct mp_discovery_node *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: out->region = pb_text_of(&in, &f); break;
        case 2: out->zone = pb_text_of(&in, &f); break;
        case 3: out->sub_zone = pb_text_of(&in, &f); break;
        }
    }
    if (in.why != NULL) pb_fail(outer, in.why);
}

enum mp_err mp_discovery_read_node(mp_str message, struct mp_discovery_node *out, const char **why)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    struct mp_discovery_node n = {.id = MP_STR("")};
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: n.id = pb_text_of(&in, &f); break;
        case 2: n.cluster = pb_text_of(&in, &f); break;
        case 3: n.metadata = pb_bytes_of(&in, &f); break;
        case 4: read_locality(&in, pb_bytes_of(&in, &f), &n); break;
        case 6: n.user_agent = pb_text_of(&in, &f); break;
        case 8: read_build(&in, pb_bytes_of(&in, &f), &n); break;
        }
    }
    *why = in.why;
    if (in.why != NULL) return MP_EINVAL;
    *out = n;
    return MP_OK;
}

void mp_discovery_write_node(struct pb_out *out, uint32_t field,
                             const struct mp_discovery_node *node)
{
    size_t mark = pb_begin(out, field);
    pb_text(out, 1, node->id);
    pb_text(out, 2, node->cluster);
    if (node->metadata.len > 0) pb_bytes(out, 3, node->metadata);
    if (node->region.len + node->zone.len + node->sub_zone.len > 0) {
        size_t locality = pb_begin(out, 4);
        pb_text(out, 1, node->region);
        pb_text(out, 2, node->zone);
        pb_text(out, 3, node->sub_zone);
        pb_end(out, locality);
    }
    if (node->user_agent.len > 0) pb_text(out, 6, node->user_agent);
    struct pb_pair build = pb_within(out, 8, 1);
    pb_uint(out, 1, node->major);
    pb_uint(out, 2, node->minor);
    pb_uint(out, 3, node->patch);
    pb_pair_end(out, build);
    pb_end(out, mark);
}

/* ---- a request ---- */

/* What the fields of both variants are called. */
enum asked { NOTHING, NODE, TYPE, NAMES, NO_MORE, HAD, VERSION, NONCE, ERROR };
#define FIELDS 8u
static const enum asked asked[][FIELDS] = {
    [MP_DISCOVERY_DELTA] = {NOTHING, NODE, TYPE, NAMES, NO_MORE, HAD, NONCE, ERROR},
    [MP_DISCOVERY_SOTW] = {NOTHING, VERSION, NODE, NAMES, TYPE, NONCE, ERROR, NOTHING},
};

static uint32_t number_of(enum mp_discovery_variant variant, enum asked what)
{
    uint32_t number = 1;
    while (number < FIELDS && asked[variant][number] != what) number++;
    MP_ASSERT(number < FIELDS);
    return number;
}

/* google.rpc.Status{code = 1, message = 2}. That it is there at all is the refusal. */
static void read_error(struct pb_in *outer, mp_str message, struct mp_discovery_request *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    out->has_error = true;
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: out->error_code = (int32_t)pb_int_of(&in, &f); break;
        case 2: out->error_text = pb_text_of(&in, &f); break;
        }
    }
    if (in.why != NULL) pb_fail(outer, in.why);
}

static void read_node(struct pb_in *in, mp_str message, struct mp_discovery_request *out)
{
    const char *why;
    out->has_node = true;
    if (mp_discovery_read_node(message, &out->node, &why) != MP_OK) pb_fail(in, why);
}

enum mp_err mp_discovery_read_request(enum mp_discovery_variant variant, mp_str message,
                                      struct mp_discovery_request *out, const char **why)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    struct mp_discovery_request r = {.has_node = false};
    while (pb_next(&in, &f)) {
        switch (f.number < FIELDS ? asked[variant][f.number] : NOTHING) {
        case NOTHING: break;
        case NODE: read_node(&in, pb_bytes_of(&in, &f), &r); break;
        case TYPE: r.type_url = pb_text_of(&in, &f); break;
        case NAMES: add_name(&r.subscribe, &in, &f); break;
        case NO_MORE: add_name(&r.unsubscribe, &in, &f); break;
        case HAD: pb_many_add_entry(&r.versions, &in, &f); break;
        case VERSION: r.version = pb_text_of(&in, &f); break;
        case NONCE: r.nonce = pb_text_of(&in, &f); break;
        case ERROR: read_error(&in, pb_bytes_of(&in, &f), &r); break;
        }
    }
    *why = in.why;
    if (in.why != NULL) return MP_EINVAL;
    *out = r;
    return MP_OK;
}

static void write_names(struct pb_out *out, const struct mp_discovery_ask *ask)
{
    uint32_t names = number_of(ask->variant, NAMES);
    for (size_t i = 0; i < ask->subscribe_count; i++) pb_text(out, names, ask->subscribe[i]);
    if (ask->variant == MP_DISCOVERY_SOTW) {
        if (ask->version.len > 0) pb_text(out, number_of(ask->variant, VERSION), ask->version);
        return;
    }
    for (size_t i = 0; i < ask->unsubscribe_count; i++) {
        pb_text(out, number_of(ask->variant, NO_MORE), ask->unsubscribe[i]);
    }
    for (size_t i = 0; i < ask->version_count; i++) {
        pb_map_text(out, number_of(ask->variant, HAD), ask->versions[i].name,
                    ask->versions[i].version);
    }
}

void mp_discovery_write_request(struct pb_out *out, const struct mp_discovery_ask *ask)
{
    if (ask->node != NULL) {
        mp_discovery_write_node(out, number_of(ask->variant, NODE), ask->node);
    }
    pb_text(out, number_of(ask->variant, TYPE), ask->type_url);
    write_names(out, ask);
    if (ask->nonce.len > 0) pb_text(out, number_of(ask->variant, NONCE), ask->nonce);
    if (!ask->has_error) return;
    size_t status = pb_begin(out, number_of(ask->variant, ERROR));
    pb_int(out, 1, ask->error_code);
    pb_text(out, 2, ask->error_text);
    pb_end(out, status);
}

/* ---- a response ---- */

/* ControlPlane; the other fields have the same numbers in both variants. */
static const uint32_t plane_field[] = {[MP_DISCOVERY_DELTA] = 7, [MP_DISCOVERY_SOTW] = 6};

static void write_any(struct pb_out *out, const struct mp_discovery_resource *r)
{
    size_t any = pb_begin(out, 2);
    pb_text(out, 1, r->type_url);
    pb_bytes(out, 2, r->value);
    pb_end(out, any);
}

static void write_resource(struct pb_out *out, const struct mp_discovery_resource *r)
{
    size_t resource = pb_begin(out, 2);
    pb_text(out, 1, r->version);
    write_any(out, r);
    pb_text(out, 3, r->name);
    pb_end(out, resource);
}

void mp_discovery_write_response(struct pb_out *out, const struct mp_discovery_response *r)
{
    bool delta = r->variant == MP_DISCOVERY_DELTA;
    pb_text(out, 1, r->system_version);
    for (size_t i = 0; i < r->resource_count; i++) {
        if (delta) {
            write_resource(out, &r->resources[i]);
        } else {
            write_any(out, &r->resources[i]);
        }
    }
    pb_text(out, 4, r->type_url);
    pb_text(out, 5, r->nonce);
    MP_ASSERT(delta || r->removed_count == 0);
    for (size_t i = 0; i < r->removed_count; i++) pb_text(out, 6, r->removed[i]);
    if (r->control_plane.len == 0) return;
    size_t plane = pb_begin(out, plane_field[r->variant]);
    pb_text(out, 1, r->control_plane);
    pb_end(out, plane);
}

static bool read_resource(mp_str message, struct mp_discovery_resource *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    *out = (struct mp_discovery_resource){.name = MP_STR("")};
    while (pb_next(&in, &f)) {
        switch (f.number) {
        case 1: out->version = pb_text_of(&in, &f); break;
        case 2:
            if (!pb_any_of(pb_bytes_of(&in, &f), &out->type_url, &out->value)) {
                pb_fail(&in, "a resource that is no Any");
            }
            break;
        case 3: out->name = pb_text_of(&in, &f); break;
        }
    }
    return in.why == NULL;
}

/* All types that are served have their name as their first field. */
static bool read_named(mp_str message, struct mp_discovery_resource *out)
{
    struct pb_field f;
    *out = (struct mp_discovery_resource){.name = MP_STR("")};
    if (!pb_any_of(message, &out->type_url, &out->value)) return false;
    struct pb_in in = pb_read(out->value);
    while (pb_next(&in, &f)) {
        if (f.number == 1) out->name = pb_text_of(&in, &f);
    }
    return in.why == NULL;
}

static bool read_either(enum mp_discovery_variant variant, mp_str message,
                        struct mp_discovery_resource *out)
{
    return variant == MP_DISCOVERY_DELTA ? read_resource(message, out) : read_named(message, out);
}

static void add_resource(struct mp_discovery_answer *a, struct pb_in *in, const struct pb_field *f)
{
    struct mp_discovery_resource r;
    if (!read_either(a->variant, pb_bytes_of(in, f), &r)) pb_fail(in, "a resource is malformed");
    if (in->why == NULL) pb_many_add(&a->resources, in, f);
}

static mp_str read_control_plane(struct pb_in *outer, mp_str message)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    mp_str identifier = MP_STR("");
    while (pb_next(&in, &f)) {
        if (f.number == 1) identifier = pb_text_of(&in, &f);
    }
    if (in.why != NULL) pb_fail(outer, in.why);
    return identifier;
}

enum mp_err mp_discovery_read_response(enum mp_discovery_variant variant, mp_str message,
                                       struct mp_discovery_answer *out, const char **why)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    struct mp_discovery_answer a = {.variant = variant};
    while (pb_next(&in, &f)) {
        if (f.number == plane_field[variant]) {
            a.control_plane = read_control_plane(&in, pb_bytes_of(&in, &f));
            continue;
        }
        switch (f.number) {
        case 1: a.system_version = pb_text_of(&in, &f); break;
        case 2: add_resource(&a, &in, &f); break;
        case 4: a.type_url = pb_text_of(&in, &f); break;
        case 5: a.nonce = pb_text_of(&in, &f); break;
        case 6: add_name(&a.removed, &in, &f); break;
        }
    }
    *why = in.why;
    if (in.why != NULL) return MP_EINVAL;
    *out = a;
    return MP_OK;
}

bool mp_discovery_next_resource(struct mp_discovery_answer *answer,
                                struct mp_discovery_resource *out)
{
    mp_str message;
    if (!pb_many_next(&answer->resources, &message)) return false;
    bool good = read_either(answer->variant, message, out);
    if (answer->variant == MP_DISCOVERY_SOTW) out->version = answer->system_version;
    return good;
}
