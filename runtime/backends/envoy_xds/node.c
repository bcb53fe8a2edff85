/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "envoy_wire/discovery.h"
#include "envoy_xds/envoy_xds.h"
#include "envoy_xds/names.h"

/* The next part of s up to `end`, which is passed over. */
static mp_str take(mp_str *s, char end)
{
    const char *at = s->len > 0 ? memchr(s->ptr, end, s->len) : NULL;
    size_t len = at != NULL ? (size_t)(at - s->ptr) : s->len;
    mp_str part = mp_str_sub(*s, 0, len);
    *s = mp_str_sub(*s, at != NULL ? len + 1 : len, SIZE_MAX);
    return part;
}

static size_t last_dot(mp_str s)
{
    size_t at = s.len;
    while (at > 0 && s.ptr[at - 1] != '.') at--;
    return at > 0 ? at - 1 : s.len;
}

/* Istio's agent names a proxy `sidecar~IP~POD.NAMESPACE~DOMAIN` or `router~...`, and its service,
 * with the namespace or without, in `cluster` (istio/istio, pkg/model/proxy.go, ServiceNode). Two
 * namespaces may have the same names: only those of `default` are left as they are. */
static bool istio_name(const struct mp_discovery_node *node, char *room, size_t size, size_t *len)
{
    mp_str rest = node->id, cluster = node->cluster;
    mp_str type = take(&rest, '~'), address = take(&rest, '~'), place = take(&rest, '~');
    bool sidecar = mp_str_eq(type, MP_STR("sidecar")), router = mp_str_eq(type, MP_STR("router"));
    const char *layer = sidecar ? "service" : "ingress";
    size_t dot = last_dot(place);
    mp_str service = take(&cluster, '.'), pod = mp_str_sub(place, 0, dot);
    mp_str space = dot < place.len ? mp_str_sub(place, dot + 1, SIZE_MAX) : MP_STR("default");
    if ((!sidecar && !router) || address.len == 0 || service.len == 0 || pod.len == 0)
        return false;
    int n = mp_str_eq(space, MP_STR("default"))
                ? snprintf(room, size, "%s/%.*s/%.*s", layer, MP_STR_ARG(service), MP_STR_ARG(pod))
                : snprintf(room, size, "%s/%.*s/%.*s/%.*s", layer, MP_STR_ARG(space),
                           MP_STR_ARG(service), MP_STR_ARG(place));
    *len = (size_t)n;
    return n > 0 && *len < size;
}

mp_str mp_envoy_node_name(const struct mp_discovery_node *node, char room[MP_ENVOY_NODE_MAX])
{
    struct pb_value mpol, name;
    size_t len;
    if (pb_struct_get(node->metadata, MP_STR(MP_ENVOY_METADATA), &mpol) &&
        mpol.kind == PB_JSON_STRUCT && pb_struct_get(mpol.text, MP_STR("node"), &name) &&
        name.kind == PB_JSON_TEXT && name.text.len <= MP_ENVOY_NODE_MAX) {
        return name.text;
    }
    return istio_name(node, room, MP_ENVOY_NODE_MAX, &len) ? (mp_str){room, len} : node->id;
}
