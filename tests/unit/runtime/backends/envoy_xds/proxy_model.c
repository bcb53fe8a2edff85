/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy_model.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "envoy_wire/pb.h"
#include "envoy_xds/names.h"
#include "schema/value.h"

/* ---- fields ---- */

static bool find(mp_str message, uint32_t field, uint32_t index, struct pb_field *out)
{
    struct pb_in in = pb_read(message);
    struct pb_field f;
    bool found = false;
    while (pb_next(&in, &f)) {
        if (f.number != field || index-- > 0 || found) continue;
        *out = f;
        found = true;
    }
    assert_null(in.why);
    return found;
}

mp_str proxy_bytes(mp_str message, uint32_t field)
{
    struct pb_field f;
    return find(message, field, 0, &f) ? f.bytes : (mp_str){"", 0};
}

uint64_t proxy_number(mp_str message, uint32_t field)
{
    struct pb_field f;
    return find(message, field, 0, &f) ? f.word : 0;
}

bool proxy_nth(mp_str message, uint32_t field, uint32_t index, mp_str *out)
{
    struct pb_field f;
    if (!find(message, field, index, &f)) return false;
    *out = f.bytes;
    return true;
}

bool proxy_has(mp_str message, uint32_t field)
{
    struct pb_field f;
    return find(message, field, 0, &f);
}

mp_str proxy_any(mp_str any, mp_str *value)
{
    mp_str url = proxy_bytes(any, 1), prefix = MP_STR(MP_ENVOY_TYPE_PREFIX);
    assert_true(mp_str_starts(url, prefix));
    *value = proxy_bytes(any, 2);
    return mp_str_sub(url, prefix.len, url.len);
}

/* TypedExtensionConfig */
static mp_str extension(mp_str config, mp_str *value)
{
    assert_true(proxy_bytes(config, 1).len > 0);
    return proxy_any(proxy_bytes(config, 2), value);
}

/* ---- predicates ---- */

static bool probe_shape(mp_str path)
{
    mp_str probe = MP_STR("/.mpol/probe/"), routes = MP_STR("/.mpol/routes/");
    size_t head = mp_str_starts(path, probe)    ? probe.len
                  : mp_str_starts(path, routes) ? routes.len
                                                : 0;
    if (head == 0 || path.len != head + 16) return false;
    return strspn(path.ptr + head, "0123456789abcdef") >= 16;
}

static void assert_probe_regex(mp_str regex)
{
    assert_true(mp_str_eq(regex, MP_STR("/\\.mpol/(probe|routes)/[0-9a-f]{16}")));
}

/* False: there is none, and the tree ends where `stuck`. */
static bool input(mp_str config, const struct proxy_request *r, mp_str *out, bool *stuck)
{
    mp_str value, type = extension(config, &value);
    *stuck = false;
    if (mp_str_ends(type, MP_STR(".SourceIPInput"))) {
        *out = r->client;
    } else if (mp_str_ends(type, MP_STR(".UriSanInput"))) {
        *stuck = !r->tls;
        *out = r->identity;
        return r->tls && r->identity.len > 0;
    } else {
        assert_true(mp_str_ends(type, MP_STR(".HttpRequestHeaderMatchInput")));
        assert_true(mp_str_eq(proxy_bytes(value, 1), MP_STR(":path")));
        *out = r->path;
    }
    return true;
}

static bool in_ranges(mp_str ip, mp_str text)
{
    mp_str range;
    struct mp_value who, net;
    uint32_t bits;
    assert_true(mp_value_address(text, &who, &bits));
    for (uint32_t i = 0; proxy_nth(ip, 1, i, &range); i++) {
        mp_str prefix = proxy_bytes(range, 1);
        uint32_t len = (uint32_t)proxy_number(proxy_bytes(range, 2), 1);
        assert_true(mp_value_address(prefix, &net, &bits));
        bool v4 = memchr(prefix.ptr, ':', prefix.len) == NULL;
        assert_true(len <= (v4 ? 32 : 128));
        /* To an Envoy an IPv4 address that comes mapped into IPv6 is none. */
        bool same = v4 == (memchr(text.ptr, ':', text.len) == NULL);
        if (same && mp_value_in_net(who, net, v4 ? len + 96 : len)) return true;
    }
    return false;
}

static enum proxy_outcome single(mp_str p, const struct proxy_request *r)
{
    mp_str text, match = proxy_bytes(p, 2), value;
    bool stuck;
    if (!input(proxy_bytes(p, 1), r, &text, &stuck)) return stuck ? PROXY_STUCK : PROXY_NO_MATCH;
    if (proxy_has(p, 2) && proxy_has(match, 1)) {
        return mp_str_eq(proxy_bytes(match, 1), text) ? PROXY_ALLOW : PROXY_NO_MATCH;
    }
    if (proxy_has(p, 2) && proxy_has(match, 2)) {
        return mp_str_starts(text, proxy_bytes(match, 2)) ? PROXY_ALLOW : PROXY_NO_MATCH;
    }
    if (proxy_has(p, 2)) {
        mp_str regex = proxy_bytes(match, 5);
        assert_true(proxy_has(regex, 1));
        assert_probe_regex(proxy_bytes(regex, 2));
        return probe_shape(text) ? PROXY_ALLOW : PROXY_NO_MATCH;
    }
    mp_str type = extension(proxy_bytes(p, 3), &value);
    assert_true(mp_str_ends(type, MP_STR("ip.v3.Ip")));
    return in_ranges(value, text) ? PROXY_ALLOW : PROXY_NO_MATCH;
}

/* PROXY_ALLOW: holds. */
static enum proxy_outcome predicate(mp_str p, const struct proxy_request *r)
{
    mp_str part;
    if (proxy_has(p, 1)) return single(proxy_bytes(p, 1), r);
    if (proxy_has(p, 4)) {
        enum proxy_outcome inner = predicate(proxy_bytes(p, 4), r);
        return inner == PROXY_STUCK ? inner : inner == PROXY_ALLOW ? PROXY_NO_MATCH : PROXY_ALLOW;
    }
    for (uint32_t i = 0; proxy_nth(proxy_bytes(p, 2), 1, i, &part); i++) {
        enum proxy_outcome inner = predicate(part, r);
        if (inner != PROXY_NO_MATCH) return inner;
    }
    if (proxy_has(p, 2)) return PROXY_NO_MATCH;
    assert_true(proxy_has(p, 3));
    for (uint32_t i = 0; proxy_nth(proxy_bytes(p, 3), 1, i, &part); i++) {
        enum proxy_outcome inner = predicate(part, r);
        if (inner != PROXY_ALLOW) return inner;
    }
    return PROXY_ALLOW;
}

/* ---- matchers ---- */

static enum proxy_outcome on_match(mp_str on, const struct proxy_request *r, mp_str *policy)
{
    mp_str value;
    if (proxy_has(on, 1)) return proxy_matches(proxy_bytes(on, 1), r, policy);
    mp_str type = extension(proxy_bytes(on, 2), &value);
    if (mp_str_ends(type, MP_STR(".SkipFilter"))) return PROXY_SKIP;
    if (mp_str_ends(type, MP_STR(".ExecuteFilterAction"))) {
        extension(proxy_bytes(value, 1), policy);
        return PROXY_EXECUTE;
    }
    assert_true(mp_str_eq(type, MP_STR("envoy.config.rbac.v3.Action")));
    *policy = proxy_bytes(value, 1);
    return proxy_number(value, 2) == 1 ? PROXY_DENY : PROXY_ALLOW;
}

static enum proxy_outcome in_list(mp_str list, const struct proxy_request *r, mp_str *policy)
{
    mp_str field;
    for (uint32_t i = 0; proxy_nth(list, 1, i, &field); i++) {
        enum proxy_outcome holds = predicate(proxy_bytes(field, 1), r);
        if (holds == PROXY_STUCK) return holds;
        if (holds != PROXY_ALLOW) continue;
        enum proxy_outcome inner = on_match(proxy_bytes(field, 2), r, policy);
        if (inner != PROXY_NO_MATCH) return inner;
    }
    return PROXY_NO_MATCH;
}

static enum proxy_outcome in_tree(mp_str tree, const struct proxy_request *r, mp_str *policy)
{
    mp_str text, row;
    bool stuck;
    if (!input(proxy_bytes(tree, 1), r, &text, &stuck)) return stuck ? PROXY_STUCK : PROXY_NO_MATCH;
    for (uint32_t i = 0; proxy_nth(proxy_bytes(tree, 2), 1, i, &row); i++) {
        if (mp_str_eq(proxy_bytes(row, 1), text)) return on_match(proxy_bytes(row, 2), r, policy);
    }
    return PROXY_NO_MATCH;
}

enum proxy_outcome proxy_matches(mp_str matcher, const struct proxy_request *r, mp_str *policy)
{
    enum proxy_outcome out = PROXY_NO_MATCH;
    if (proxy_has(matcher, 1)) out = in_list(proxy_bytes(matcher, 1), r, policy);
    if (proxy_has(matcher, 2)) out = in_tree(proxy_bytes(matcher, 2), r, policy);
    if (out != PROXY_NO_MATCH || !proxy_has(matcher, 3)) return out;
    return on_match(proxy_bytes(matcher, 3), r, policy);
}

/* ---- RBAC by policies ---- */

static bool permitted(mp_str permission, const struct proxy_request *r)
{
    if (proxy_has(permission, 8)) return !permitted(proxy_bytes(permission, 8), r);
    mp_str path = proxy_bytes(proxy_bytes(permission, 10), 1);
    if (proxy_has(path, 1)) return mp_str_eq(proxy_bytes(path, 1), r->path);
    assert_probe_regex(proxy_bytes(proxy_bytes(path, 5), 2));
    return probe_shape(r->path);
}

static bool is_principal(mp_str principal, const struct proxy_request *r)
{
    if (proxy_has(principal, 3)) return true;
    if (proxy_has(principal, 8)) return !is_principal(proxy_bytes(principal, 8), r);
    mp_str name = proxy_bytes(proxy_bytes(principal, 4), 2);
    if (!r->tls) return false;
    if (proxy_has(name, 1)) return mp_str_eq(proxy_bytes(name, 1), r->identity);
    assert_true(mp_str_eq(proxy_bytes(proxy_bytes(name, 5), 2), MP_STR(".+")));
    return r->identity.len > 0;
}

static bool applies(mp_str policy, const struct proxy_request *r)
{
    mp_str part;
    bool yes = false;
    for (uint32_t i = 0; proxy_nth(policy, 1, i, &part); i++) yes |= permitted(part, r);
    for (uint32_t i = 0; yes && proxy_nth(policy, 2, i, &part); i++) {
        if (is_principal(part, r)) return true;
    }
    return false;
}

static enum proxy_outcome by_rules(mp_str rules, const struct proxy_request *r, mp_str *policy)
{
    mp_str entry;
    assert_int_equal(proxy_number(rules, 1), 1);
    for (uint32_t i = 0; proxy_nth(rules, 2, i, &entry); i++) {
        *policy = proxy_bytes(entry, 1);
        if (applies(proxy_bytes(entry, 2), r)) return PROXY_DENY;
    }
    return PROXY_ALLOW;
}

enum proxy_outcome proxy_decides(mp_str resource, const struct proxy_request *r, mp_str *policy)
{
    mp_str config, type = extension(resource, &config), inner;
    if (mp_str_ends(type, MP_STR(".ExtensionWithMatcher"))) {
        if (proxy_matches(proxy_bytes(config, 3), r, policy) == PROXY_SKIP) return PROXY_ALLOW;
        type = extension(proxy_bytes(config, 2), &inner);
        config = inner;
    }
    assert_true(mp_str_eq(type, MP_STR("envoy.extensions.filters.http.rbac.v3.RBAC")));
    if (!proxy_has(config, 4)) return by_rules(proxy_bytes(config, 1), r, policy);
    enum proxy_outcome out = proxy_matches(proxy_bytes(config, 4), r, policy);
    return out == PROXY_ALLOW ? PROXY_ALLOW : PROXY_DENY;
}
