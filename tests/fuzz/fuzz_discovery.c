/* SPDX-License-Identifier: Apache-2.0
 * Discovery: the first byte chooses a request or a response, and the variant. What was read and is
 * written again is read as the same.
 */
#include <stdlib.h>

#include "envoy_wire/discovery.h"

#define NAMES_MAX 64u
#define OUT_BYTES (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char room[OUT_BYTES];

static size_t names_of(struct pb_many many, mp_str *names)
{
    size_t count = 0;
    uint32_t walked = 0, said = many.count;
    mp_str name;
    for (; pb_many_next(&many, &name); walked++) {
        if (count < NAMES_MAX) names[count++] = name;
    }
    if (walked != said) abort();
    return count;
}

/* Values that a proxy tells about itself; lists and objects within each other. */
static void ask_metadata(mp_str metadata)
{
    struct pb_value v, w;
    if (!pb_struct_get(metadata, MP_STR("mpol"), &v)) return;
    if (v.kind != PB_JSON_STRUCT) return;
    (void)pb_struct_get(v.text, MP_STR("listen"), &w);
    if (!pb_struct_get(v.text, MP_STR("routes"), &w) || w.kind != PB_JSON_LIST) return;
    for (uint32_t i = 0; i < NAMES_MAX && pb_list_get(w.text, i, &v); i++) {
        if (v.kind == PB_JSON_STRUCT) (void)pb_struct_get(v.text, MP_STR("prefix"), &v);
    }
}

static void request(enum mp_discovery_variant variant, mp_str bytes)
{
    struct mp_discovery_request r, again;
    mp_str subscribe[NAMES_MAX], unsubscribe[NAMES_MAX];
    const char *why;
    if (mp_discovery_read_request(variant, bytes, &r, &why) != MP_OK) {
        if (why == NULL) abort();
        return;
    }
    if (r.has_node) ask_metadata(r.node.metadata);
    if (variant == MP_DISCOVERY_SOTW && r.unsubscribe.count + r.versions.count > 0) abort();
    if (variant == MP_DISCOVERY_DELTA && r.version.len > 0) abort();
    struct mp_discovery_ask ask = {.variant = variant,
                                   .version = r.version,
                                   .node = r.has_node ? &r.node : NULL,
                                   .type_url = r.type_url,
                                   .nonce = r.nonce,
                                   .has_error = r.has_error,
                                   .error_code = r.error_code,
                                   .error_text = r.error_text,
                                   .subscribe = subscribe,
                                   .subscribe_count = names_of(r.subscribe, subscribe),
                                   .unsubscribe = unsubscribe,
                                   .unsubscribe_count = names_of(r.unsubscribe, unsubscribe)};
    struct pb_out out = pb_out_fixed(room, sizeof room);
    mp_discovery_write_request(&out, &ask);
    if (out.failed) return;
    if (mp_discovery_read_request(variant, pb_view(&out), &again, &why) != MP_OK) abort();
    if (!mp_str_eq(r.version, again.version)) abort();
    if (!mp_str_eq(r.type_url, again.type_url) || !mp_str_eq(r.nonce, again.nonce)) abort();
    if (r.has_node != again.has_node || !mp_str_eq(r.node.id, again.node.id)) abort();
    if (again.subscribe.count != ask.subscribe_count || r.error_code != again.error_code) abort();
}

static void response(enum mp_discovery_variant variant, mp_str bytes)
{
    struct mp_discovery_answer a;
    struct mp_discovery_resource r;
    mp_str names[NAMES_MAX];
    const char *why;
    if (mp_discovery_read_response(variant, bytes, &a, &why) != MP_OK) return;
    (void)names_of(a.removed, names);
    uint32_t walked = 0, said = a.resources.count;
    while (mp_discovery_next_resource(&a, &r)) walked++;
    if (walked != said) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    mp_str bytes = {(const char *)data + 1, size - 1};
    enum mp_discovery_variant variant =
        (data[0] & 2) == 0 ? MP_DISCOVERY_DELTA : MP_DISCOVERY_SOTW;
    if ((data[0] & 1) == 0) {
        request(variant, bytes);
    } else {
        response(variant, bytes);
    }
    return 0;
}
