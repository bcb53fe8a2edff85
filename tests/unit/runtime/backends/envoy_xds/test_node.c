/* SPDX-License-Identifier: Apache-2.0
 * What a node is called: by its metadata, as Istio's agent calls it, else by its id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "envoy_wire/discovery.h"
#include "envoy_xds/envoy_xds.h"

/* Both short-lived: the name is compared at once. */
static void is_called(const struct mp_discovery_node *node, const char *name)
{
    char room[MP_ENVOY_NODE_MAX];
    mp_str got = mp_envoy_node_name(node, room);
    assert_int_equal(got.len, strlen(name));
    assert_memory_equal(got.ptr, name, got.len);
}

static void an_id_is_the_name_where_nothing_else_says(void **state)
{
    struct mp_discovery_node node = {.id = MP_STR("service/checkout/checkout-1"),
                                     .cluster = MP_STR("checkout")};
    is_called(&node, "service/checkout/checkout-1");
    node.id = MP_STR("");
    is_called(&node, "");
}

static void metadata_says_otherwise(void **state)
{
    char bytes[256], long_name[300];
    struct pb_out out = pb_out_fixed(bytes, sizeof bytes);
    struct pb_struct_mark mark = pb_struct_begin(&out, MP_STR("mpol"));
    pb_struct_text(&out, MP_STR("node"), MP_STR("edge/egress/egress-1"));
    pb_struct_end(&out, mark);
    assert_false(out.failed);
    struct mp_discovery_node node = {
        .id = MP_STR("sidecar~1.2.3.4~a.b~b"), .cluster = MP_STR("a.b"), .metadata = pb_view(&out)};
    is_called(&node, "edge/egress/egress-1");
    memset(long_name, 'x', sizeof long_name);
    char more[512];
    out = pb_out_fixed(more, sizeof more);
    mark = pb_struct_begin(&out, MP_STR("mpol"));
    pb_struct_text(&out, MP_STR("node"), (mp_str){long_name, sizeof long_name});
    pb_struct_end(&out, mark);
    node = (struct mp_discovery_node){.id = MP_STR("service/a/b"), .metadata = pb_view(&out)};
    is_called(&node, "service/a/b"); /* too long to be one */
}

static void istio_is_read(void **state)
{
    static const struct {
        const char *id, *cluster, *name;
    } rows[] = {
        {"sidecar~10.0.0.1~checkout-5d9c-x.default~default.svc.cluster.local", "checkout.default",
         "service/checkout/checkout-5d9c-x"},
        {"sidecar~10.0.0.1~web-0.prod~prod.svc.cluster.local", "web.prod",
         "service/prod/web/web-0.prod"},
        {"sidecar~10.0.0.2~web-0.dev~dev.svc", "web.dev", "service/dev/web/web-0.dev"},
        {"router~10.0.0.2~gw-1.istio-system~istio-system.svc.cluster.local", "istio-ingressgateway",
         "ingress/istio-system/istio-ingressgateway/gw-1.istio-system"},
        {"sidecar~10.0.0.1~web.v2.shop~shop.svc", "web.shop", "service/shop/web/web.v2.shop"},
        {"sidecar~10.0.0.1~web~", "web", "service/web/web"},
        /* None of these is one. */
        {"ztunnel~10.0.0.1~z.a~a", "z.a", "ztunnel~10.0.0.1~z.a~a"},
        {"sidecar~10.0.0.1~~shop", "checkout.shop", "sidecar~10.0.0.1~~shop"},
        {"sidecar~10.0.0.1~a.shop~shop", "", "sidecar~10.0.0.1~a.shop~shop"},
        {"sidecar~~a.shop~shop", "a", "sidecar~~a.shop~shop"},
        {"sidecar", "a", "sidecar"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mp_discovery_node node = {.id = mp_str_of(rows[i].id),
                                         .cluster = mp_str_of(rows[i].cluster)};
        is_called(&node, rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_the_name_where_nothing_else_says),
        cmocka_unit_test(metadata_says_otherwise),
        cmocka_unit_test(istio_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
