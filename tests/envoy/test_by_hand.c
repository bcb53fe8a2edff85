/* SPDX-License-Identifier: Apache-2.0
 * An Envoy that somebody configured by hand, with the pieces of `mpol envoy snippet` where they
 * say they belong, obeys as one with our bootstrap does.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"

#define BAD "127.0.0.2"
#define GOOD "127.0.0.3"

static const char policy[] =
    "use std.mesh\n"
    "rule prober\n"
    "  when count(requests where status == 404) over 5m >= 3 per client.ip max 1k\n"
    "  then deny client.ip on service for 30m\n";

static char text[65536]; /* the configuration as it grows */
static size_t text_len;

static void add(const char *bytes, size_t len)
{
    assert_true(text_len + len < sizeof text);
    memcpy(text + text_len, bytes, len);
    text_len += len;
    text[text_len] = '\0';
}

static bool begins_piece(const char *line)
{
    return line[0] == '#' && isdigit((unsigned char)line[2]);
}

/* The lines of piece `number`, comments left out, each behind `indent` blanks. */
static void add_piece(const char *snippet, int number, size_t indent)
{
    bool inside = false;
    while (*snippet != '\0') {
        size_t len = strcspn(snippet, "\n");
        if (begins_piece(snippet)) inside = snippet[2] == '0' + number;
        if (inside && len > 0 && snippet[0] != '#') {
            for (size_t i = 0; i < indent; i++) add(" ", 1);
            add(snippet, len);
            add("\n", 1);
        }
        snippet += len + (snippet[len] == '\n');
    }
}

struct word {
    const char *name;
    int value;
};

static void add_line(const char *line, size_t len, const struct word *words)
{
    const char *at = memchr(line, '@', len);
    if (line[0] == '#') return;
    if (at == NULL || at[1] == 't') { /* "@type" */
        add(line, len);
        add("\n", 1);
        return;
    }
    while (strncmp(at + 1, words->name, strlen(words->name)) != 0) words++;
    char number[16];
    size_t head = (size_t)(at - line), name = 1 + strlen(words->name);
    add(line, head);
    add(number, (size_t)snprintf(number, sizeof number, "%d", words->value));
    add(at + name, len - head - name);
    add("\n", 1);
}

static void write_config(const char *snippet, const struct word *words)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/envoy/by_hand.yaml", getenv("MPOL_SOURCE_DIR"));
    char *template = strdup(get_file(path));
    text_len = 0;
    for (const char *line = template; *line != '\0';) {
        size_t len = strcspn(line, "\n"), indent = strspn(line, " ");
        if (line[indent] == '@' && isdigit((unsigned char)line[indent + 1])) {
            add_piece(snippet, line[indent + 1] - '0', indent);
        } else {
            add_line(line, len, words);
        }
        line += len + (line[len] == '\n');
    }
    free(template);
    put_file("by_hand.yaml", text);
}

/* One listener with our filters, and one without; `own` is the one that mpol is told of. */
struct site {
    struct upstream app;
    struct run mpol;
    struct proxy p;
    int other, xds_port;
    char xds[64];
};

static void open_site(struct site *s, bool own_is_other)
{
    char listen[64], admin[64];
    const char *out;
    *s = (struct site){.p = {.port = port_hold(), .admin = port_hold()}};
    s->other = port_hold();
    s->xds_port = port_hold();
    snprintf(s->xds, sizeof s->xds, "--xds=127.0.0.1:%d", s->xds_port);
    snprintf(listen, sizeof listen, "--listen=127.0.0.1:%d", own_is_other ? s->other : s->p.port);
    snprintf(admin, sizeof admin, "--admin=127.0.0.1:%d", s->p.admin);
    put_file("policy.mpol", policy);
    put_file("inventory.jsonl",
             "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\"}\n");
    upstream_start(&s->app);
    assert_int_equal(ask(&out, "envoy", "snippet", "--layer=service", "--service=checkout",
                         "--instance=checkout-1", listen, admin, s->xds, NULL),
                     0);
    char *snippet = strdup(out);
    const struct word words[] = {
        {"LISTEN", s->p.port}, {"OTHER", s->other}, {"ADMIN", s->p.admin}, {"APP", s->app.port}};
    write_config(snippet, words);
    free(snippet);
    run_start(&s->mpol, "policy.mpol", "--inventory=inventory.jsonl", "--state=state", s->xds,
              NULL);
    proxy_start_file(&s->p, "by_hand.yaml");
    wait_status("service/checkout/checkout-1");
}

static void close_site(struct site *s)
{
    proxy_stop(&s->p);
    upstream_stop(&s->app);
    assert_int_equal(run_stop(&s->mpol), 0);
    run_free(&s->mpol);
}

static void wait_bare(const struct site *s)
{
    char bare[160];
    snprintf(bare, sizeof bare,
             "NOT GOVERNED: listener internal (127.0.0.1:%d) lacks mpol-deny, mpol-allow, "
             "mpol-throttle, mpol-share",
             s->other);
    wait_status(bare);
}

static void an_envoy_configured_by_hand_obeys(void **state)
{
    struct site s;
    (void)state;
    open_site(&s, false);
    for (int i = 0; i < 3; i++) assert_int_equal(get_once(BAD, s.p.port, "/404"), 404);
    wait_get_once(BAD, s.p.port, "/", 403);
    assert_int_equal(get_once(BAD, s.p.port, "/static"), 403);
    assert_int_equal(get_once(GOOD, s.p.port, "/static"), 200);
    assert_int_equal(get_once(GOOD, s.p.port, "/"), 200);
    assert_int_equal(get_once(BAD, s.other, "/"), 200); /* nobody told mpol of that one */
    wait_status("effective, in force");
    wait_bare(&s);
    assert_false(status_says("LACKS"));
    close_site(&s);
}

/* The listener that mpol is told of has none of the filters, another asks for them. */
static void filters_at_another_listener_are_none(void **state)
{
    struct site s;
    const char *out;
    (void)state;
    open_site(&s, true);
    wait_bare(&s);
    /* Held, or still waited for where the proxy has just come: it is not told effective. */
    (void)ask(&out, "decisions", "add", "throttle", "client.ip=" BAD, "to=0%", "--for=5m",
              "--reason=test", "--yes", "--state=state", NULL);
    if (strstr(out, "#1 effective") != NULL) fail_msg("%s", out);
    wait_status("LACKS mpol-share at its listener");
    assert_false(status_says("effective, in force"));
    assert_int_equal(get_once(BAD, s.other, "/"), 200);
    assert_int_equal(get_once(BAD, s.p.port, "/"), 429);
    close_site(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_envoy_configured_by_hand_obeys, folder_make, mesh_drop),
        cmocka_unit_test_setup_teardown(filters_at_another_listener_are_none, folder_make,
                                        mesh_drop),
    };
    if (argc < 2 || proxy_program() == NULL) return PROXY_SKIPPED;
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
