/* SPDX-License-Identifier: Apache-2.0
 * `mpol envoy`: what an Envoy must be told to obey `mpol run --xds`. `bootstrap` prints a whole
 * configuration, `snippet` what to add to one that is there.
 */
#include "cli/verbs.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quote.h"
#include "cli/envoy_text.h"

#define HEADER_BYTES_MAX 256 /* LIMIT: of a name */
#define ROUTES_MAX 64 /* LIMIT: --route and --log-header, each */

const struct cli_option cli_envoy_options[] = {
    {"layer", "LAYER", "where the proxy stands: ingress, service or edge"},
    {"service", "NAME", "whose proxy it is, as the inventory calls it"},
    {"instance", "NAME", "which one, as the inventory calls it"},
    {"listen", "ADDR:PORT", "where it takes requests"},
    {"upstream", "HOST:PORT", "where it sends them"},
    {"route", "PREFIX=SERVICE", "instead: by path, to the instances of a service; may be repeated;"
                                " SERVICE@VERSION for a further version of it", true},
    {"http2", NULL, "what is behind --upstream or --route is spoken to in HTTP/2 (gRPC)"},
    {"xds", "HOST:PORT", "where `mpol run --xds` listens; or unix:PATH"},
    {"admin", "ADDR:PORT", "Envoy's own admin page; loopback, please"},
    {"tls-cert", "FILE", "mutual TLS with callers, with --tls-key and --tls-ca (PEM)"},
    {"tls-key", "FILE", NULL},
    {"tls-ca", "FILE", NULL},
    {"sds", NULL, "certificates and trust from mpol (`mpol run --sds`) instead"},
    {"xds-cert", "FILE", "mutual TLS with mpol, with --xds-key and --xds-ca (PEM)"},
    {"xds-key", "FILE", NULL},
    {"xds-ca", "FILE", NULL},
    {"xff-hops", "N", "how many proxies of ours before this one say who the client is (0)"},
    {"log-header", "NAME", "a request header that policies read; may be repeated", true},
    {"module", NULL, "with libmpol_envoy.so inside of Envoy"},
    {"module-socket", "PATH", "that too, and where `mpol run --module-socket` listens"},
    {"module-state", "FILE", "where the module keeps what is in force, for its next start"},
    {"for", "plain|istio", "snippet: an Envoy of your own, or those of an Istio mesh"},
    {NULL, NULL, NULL},
};

struct envoy {
    const struct cli_args *args;
    struct mp_arena arena;
    struct envoy_config config;
    struct envoy_list lists[3];
    struct envoy_words routes[ROUTES_MAX], clusters[ROUTES_MAX], headers[ROUTES_MAX];
    size_t route_count, cluster_count, header_count;
};

/* ---- what was written ---- */

struct address {
    mp_str host, port;
    bool numeric;
};

static bool is_port(mp_str port)
{
    unsigned value = 0;
    if (port.len == 0 || port.len > 5) return false;
    for (size_t i = 0; i < port.len; i++) {
        if (!isdigit((unsigned char)port.ptr[i])) return false;
        value = value * 10 + (unsigned)(port.ptr[i] - '0');
    }
    return value > 0 && value < 65536;
}

/* HOST:PORT, [V6]:PORT, or :PORT for loopback. */
static bool address_read(struct envoy *e, const char *text, struct address *out)
{
    unsigned char bytes[16];
    const char *colon = strrchr(text, ':');
    if (colon == NULL) return false;
    mp_str host = {text, (size_t)(colon - text)};
    bool brackets = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (brackets) host = mp_str_sub(host, 1, host.len - 2);
    if (!brackets && mp_str_contains(host, MP_STR(":"))) return false;
    host = host.len > 0 ? mp_arena_str(&e->arena, host) : MP_STR("127.0.0.1");
    *out = (struct address){host, mp_str_of(colon + 1), false};
    out->numeric = host.ptr != NULL && (inet_pton(AF_INET, host.ptr, bytes) == 1 ||
                                        inet_pton(AF_INET6, host.ptr, bytes) == 1);
    return host.ptr != NULL && is_port(out->port);
}

static void put(struct envoy *e, const char *name, const char *value)
{
    envoy_word_put(&e->config.words, name, mp_str_of(value));
}

/* Address option `name` → words NAME, NAME_host, NAME_port and NAME_type. */
static int put_address(struct envoy *e, const char *const names[4], bool must_be_numeric)
{
    struct address a;
    const char *text = cli_value(e->args, names[0], NULL);
    if (text == NULL) return CLI_OK;
    if (!address_read(e, text, &a) || (must_be_numeric && !a.numeric)) {
        return cli_complain(e->args, "--%s=%s: write %s:PORT", names[0], text,
                            must_be_numeric ? "a numeric ADDR" : "HOST");
    }
    put(e, names[0], text);
    envoy_word_put(&e->config.words, names[1], a.host);
    envoy_word_put(&e->config.words, names[2], a.port);
    put(e, names[3], a.numeric ? "STATIC" : "STRICT_DNS");
    return CLI_OK;
}

static int put_addresses(struct envoy *e)
{
    static const char *const listen[] = {"listen", "listen_host", "listen_port", "listen_type"};
    static const char *const upstream[] = {"upstream", "upstream_host", "upstream_port",
                                           "upstream_type"};
    static const char *const admin[] = {"admin", "admin_host", "admin_port", "admin_type"};
    static const char *const xds[] = {"xds", "xds_host", "xds_port", "xds_type"};
    const char *where = cli_value(e->args, "xds", "");
    int code = put_address(e, listen, true);
    if (code == CLI_OK) code = put_address(e, upstream, false);
    if (code == CLI_OK) code = put_address(e, admin, true);
    if (code != CLI_OK) return code;
    if (strncmp(where, "unix:", 5) != 0) return put_address(e, xds, false);
    if (where[5] == '\0') return cli_complain(e->args, "--xds=unix: names no path");
    put(e, "xds_unix", where + 5);
    put(e, "xds_type", "STATIC");
    return CLI_OK;
}

/* It may be there on the proxy's machine; that it is not here is worth a word. */
static void look_for(const char *option, const char *file)
{
    if (access(file, R_OK) == 0) return;
    fprintf(stderr, "mpol envoy: warning: --%s=%s: %s; Envoy looks for it where it starts\n", option,
            file, strerror(errno));
}

/* Three files that are given together or not at all. */
static int put_tls(struct envoy *e, const char *flag, const char *const options[3],
                   const char *const words[3])
{
    int given = 0;
    for (int i = 0; i < 3; i++) {
        const char *file = cli_value(e->args, options[i], NULL);
        if (file == NULL) continue;
        if (file[0] == '\0') return cli_complain(e->args, "--%s= names no file", options[i]);
        look_for(options[i], file);
        put(e, words[i], file);
        given++;
    }
    if (given != 0 && given != 3) {
        return cli_complain(e->args, "--%s, --%s and --%s belong together", options[0], options[1],
                            options[2]);
    }
    put(e, flag, given != 0 ? "yes" : "");
    return CLI_OK;
}

static int put_files(struct envoy *e)
{
    static const char *const own[] = {"tls-cert", "tls-key", "tls-ca"};
    static const char *const own_words[] = {"tls_cert", "tls_key", "tls_ca"};
    static const char *const xds[] = {"xds-cert", "xds-key", "xds-ca"};
    static const char *const xds_words[] = {"xds_cert", "xds_key", "xds_ca"};
    int code = put_tls(e, "tls", own, own_words);
    bool sds = cli_flag(e->args, "sds"), files = cli_value(e->args, "tls-cert", NULL) != NULL;
    if (sds && files)
        return cli_complain(e->args, "--sds stands for --tls-cert, --tls-key and --tls-ca");
    put(e, "sds", sds ? "yes" : "");
    return code == CLI_OK ? put_tls(e, "xds_tls", xds, xds_words) : code;
}

/* What the module is told, as text of JSON. */
static bool put_module(struct envoy *e)
{
    static const char *const members[] = {"layer", "service", "instance", "socket", "state"};
    const char *const values[] = {
        cli_value(e->args, "layer", ""), cli_value(e->args, "service", ""),
        cli_value(e->args, "instance", ""), cli_value(e->args, "module-socket", ""),
        cli_value(e->args, "module-state", "")};
    struct mp_buf json;
    bool socket = values[3][0] != '\0', module = socket || cli_flag(e->args, "module");
    mp_buf_init(&json, &e->arena);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (values[i][0] == '\0') continue;
        mp_buf_puts(&json, json.len == 0 ? "{" : ",");
        mp_quote(&json, mp_str_of(members[i]));
        mp_buf_putc(&json, ':');
        mp_quote(&json, mp_str_of(values[i]));
    }
    mp_buf_puts(&json, json.len == 0 ? "{}" : "}");
    put(e, "module", module ? "yes" : "");
    put(e, "is_module", module ? "true" : "false");
    put(e, "logs_itself", socket ? "" : "yes");
    put(e, "logs_by_module", socket ? "yes" : "");
    envoy_word_put(&e->config.words, "module_config", mp_buf_view(&json));
    return !json.failed;
}

/* ---- lists ---- */

static bool has(const struct envoy_words *items, size_t count, mp_str value)
{
    for (size_t i = 0; i < count; i++) {
        if (mp_str_eq(items[i].at[0].value, value)) return true;
    }
    return false;
}

/* The first route of a prefix is a route; each names a cluster of endpoints that mpol serves. */
static int put_route(struct envoy *e, const char *text)
{
    const char *sign = strchr(text, '=');
    mp_str prefix = {text, sign != NULL ? (size_t)(sign - text) : 0};
    if (prefix.len == 0 || prefix.ptr[0] != '/' || sign[1] == '\0' || sign[1] == '@') {
        return cli_complain(e->args, "--route=%s: write /PREFIX=SERVICE or /PREFIX=SERVICE@VERSION",
                            text);
    }
    mp_str cluster = mp_str_of(sign + 1);
    if (mp_str_eq(cluster, MP_STR("mpol-xds")) || mp_str_starts(prefix, MP_STR("/.mpol"))) {
        return cli_complain(e->args, "--route=%s: this name is mpol's own", text);
    }
    if (!has(e->routes, e->route_count, prefix)) {
        struct envoy_words *route = &e->routes[e->route_count++];
        envoy_word_put(route, "prefix", prefix);
        envoy_word_put(route, "cluster", cluster);
    }
    if (!has(e->clusters, e->cluster_count, cluster)) {
        envoy_word_put(&e->clusters[e->cluster_count++], "cluster", cluster);
    }
    return CLI_OK;
}

/* RFC 9110 §5.1; a name with a colon would be a pseudo-header, which records have anyway. */
static bool is_header(const char *name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    if (name[0] == '\0' || strlen(name) > HEADER_BYTES_MAX) return false;
    for (; *name != '\0'; name++) {
        if (!isalnum((unsigned char)*name) && strchr(others, *name) == NULL) return false;
    }
    return true;
}

static void list_put(struct envoy *e, struct envoy_list *out, const char *name,
                     struct envoy_words *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        items[i].outer = &e->config.words;
        envoy_word_put(&items[i], "comma", mp_str_of(i + 1 < count ? "," : ""));
    }
    *out = (struct envoy_list){name, items, count};
}

static int put_lists(struct envoy *e)
{
    size_t count;
    int code = CLI_OK;
    const char *const *values = cli_values(e->args, "log-header", &count);
    if (count > ROUTES_MAX) return cli_complain(e->args, "more than %d headers", ROUTES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!is_header(values[i])) {
            return cli_complain(e->args, "--log-header=%s: no name of a header, as `x-api-key` is",
                                values[i]);
        }
        envoy_word_put(&e->headers[e->header_count++], "header", mp_str_of(values[i]));
    }
    values = cli_values(e->args, "route", &count);
    if (count > ROUTES_MAX) return cli_complain(e->args, "more than %d routes", ROUTES_MAX);
    for (size_t i = 0; i < count && code == CLI_OK; i++) code = put_route(e, values[i]);
    list_put(e, &e->lists[0], "routes", e->routes, e->route_count);
    list_put(e, &e->lists[1], "clusters", e->clusters, e->cluster_count);
    list_put(e, &e->lists[2], "headers", e->headers, e->header_count);
    e->config.lists = e->lists;
    e->config.list_count = 3;
    put(e, "routed", e->route_count > 0 ? "yes" : "");
    put(e, "headers", e->header_count > 0 ? "yes" : "");
    return code;
}

/* ---- what is printed ---- */

static int put_who(struct envoy *e)
{
    static const char *const layers[] = {"service", "ingress", "edge", NULL};
    int layer = cli_choice(e->args, "layer", layers);
    const char *hops = cli_value(e->args, "xff-hops", "0");
    if (layer < 0) return CLI_USAGE;
    if (strlen(hops) != 1 || !isdigit((unsigned char)hops[0])) {
        return cli_complain(e->args, "--xff-hops=%s: a number from 0 to 9", hops);
    }
    for (size_t i = 0; i < 2; i++) {
        const char *name = cli_value(e->args, i == 0 ? "service" : "instance", "");
        if (strchr(name, '/') == NULL) continue;
        return cli_complain(
            e->args, "%s: a node's name is LAYER/SERVICE/INSTANCE, without further slashes", name);
    }
    put(e, "layer", layers[layer]);
    put(e, "edge", strcmp(layers[layer], "edge") == 0 ? "yes" : "");
    put(e, "service", cli_value(e->args, "service", ""));
    put(e, "instance", cli_value(e->args, "instance", ""));
    put(e, "xff_hops", hops);
    put(e, "http2", cli_flag(e->args, "http2") ? "yes" : "");
    bool tls = cli_flag(e->args, "sds") || cli_value(e->args, "tls-cert", NULL) != NULL;
    put(e, "is_tls", tls ? "true" : "false");
    return put_module(e) ? CLI_OK : cli_no_memory(e->args);
}

static int print(struct envoy *e, const char *name)
{
    struct mp_buf out;
    mp_buf_init(&out, &e->arena);
    envoy_text(&out, &e->config, name);
    if (out.failed) return cli_no_memory(e->args);
    fwrite(out.ptr, 1, out.len, stdout);
    return CLI_OK;
}

static int bootstrap(struct envoy *e)
{
    static const char *const needed[] = {"layer", "service", "instance", "listen", "xds"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        const char *value = cli_value(e->args, needed[i], "");
        if (value[0] == '\0')
            return cli_complain(e->args, "bootstrap needs --%s; see --help", needed[i]);
    }
    bool upstream = cli_value(e->args, "upstream", NULL) != NULL;
    if (upstream == (e->route_count > 0)) {
        return cli_complain(e->args, "say where requests go: --upstream, or --route once or more");
    }
    put(e, "merge_ms", "0"); /* update_merge_window of our clusters */
    put(e, "panic_percent", "0"); /* and healthy_panic_threshold */
    put(e, "by_version", "true"); /* and lb_subset_config */
    put(e, "ads", "yes");
    return print(e, "bootstrap.json");
}

/* What would be silently of no use: that part of the configuration is not ours. */
static int of_bootstrap_alone(struct envoy *e, bool istio)
{
    const char *option = cli_value(e->args, "upstream", NULL) != NULL ? "upstream"
                         : cli_flag(e->args, "http2")                 ? "http2"
                                                                      : NULL;
    if (option != NULL) {
        return cli_complain(e->args, "--%s is of `bootstrap`: here your own clusters say it",
                            option);
    }
    if (istio && cli_value(e->args, "xff-hops", NULL) != NULL) {
        return cli_complain(e->args, "--xff-hops is Istio's to say: "
                                     "proxyConfig.gatewayTopology.numTrustedProxies");
    }
    return CLI_OK;
}

static int snippet(struct envoy *e)
{
    static const char *const kinds[] = {"plain", "istio", NULL};
    int kind = cli_choice(e->args, "for", kinds);
    if (kind < 0) return CLI_USAGE;
    if (cli_value(e->args, "xds", NULL) == NULL)
        return cli_complain(e->args, "snippet needs --xds; see --help");
    int code = of_bootstrap_alone(e, kind == 1);
    if (code != CLI_OK) return code;
    put(e, kind == 1 ? "single" : "ads", "yes");
    put(e, "merge_ms", "1000"); /* Envoy's own, which another configuration may have */
    put(e, "panic_percent", "50");
    put(e, "by_version", "false");
    return print(e, kind == 1 ? "snippet_istio.txt" : "snippet_plain.txt");
}

int cli_envoy(const struct cli_args *args)
{
    size_t count;
    const char *const *words = cli_operands(args, &count);
    bool is_bootstrap = count == 1 && strcmp(words[0], "bootstrap") == 0;
    if (!is_bootstrap && (count != 1 || strcmp(words[0], "snippet") != 0)) {
        return cli_complain(args, "bootstrap, or snippet");
    }
    (void)cli_given_twice(args, "; the last one counts"); /* scripts have defaults of their own */
    struct envoy *e = calloc(1, sizeof *e);
    if (e == NULL) return cli_no_memory(args);
    e->args = args;
    mp_arena_init(&e->arena, NULL, 0);
    int code = put_who(e);
    if (code == CLI_OK) code = put_addresses(e);
    if (code == CLI_OK) code = put_files(e);
    if (code == CLI_OK) code = put_lists(e);
    if (code == CLI_OK) code = is_bootstrap ? bootstrap(e) : snippet(e);
    mp_arena_free(&e->arena);
    free(e);
    return code;
}
