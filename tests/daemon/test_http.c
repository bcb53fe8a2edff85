/* SPDX-License-Identifier: Apache-2.0
 * What --listen serves: metrics that a strict reader of OpenMetrics 1.0 takes, health, readiness.
 */
#include "harness.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a small, strict reader ---- */

#define FAMILIES_MAX 128

struct family {
    char name[80], type[16];
};

struct reader {
    struct family families[FAMILIES_MAX];
    int count;
    char *samples[4096];
    int sample_count;
};

static void bad(const char *line, const char *why) { fail_msg("%s: %s", why, line); }

static size_t name_length(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == ':') n++;
    return isdigit((unsigned char)s[0]) ? 0 : n;
}

static void take_meta(struct reader *r, char *line)
{
    char what[16], name[80], rest[256] = "";
    if (sscanf(line, "# %15s %79s %255[^\n]", what, name, rest) < 2)
        bad(line, "neither TYPE, HELP nor EOF");
    if (name_length(name) != strlen(name)) bad(line, "not a name");
    struct family *now = r->count > 0 ? &r->families[r->count - 1] : NULL;
    if (strcmp(what, "TYPE") == 0) {
        for (int i = 0; i < r->count; i++) {
            if (strcmp(r->families[i].name, name) == 0) bad(line, "a family is declared twice");
        }
        if (strcmp(rest, "counter") != 0 && strcmp(rest, "gauge") != 0)
            bad(line, "an unknown type");
        assert_true(r->count < FAMILIES_MAX);
        snprintf(r->families[r->count].name, sizeof r->families[r->count].name, "%s", name);
        snprintf(r->families[r->count++].type, sizeof r->families[0].type, "%.15s", rest);
    } else if (strcmp(what, "HELP") == 0) {
        if (now == NULL || strcmp(now->name, name) != 0) bad(line, "help of another family");
        if (rest[0] == '\0') bad(line, "no help");
    } else {
        bad(line, "an unknown comment");
    }
}

/* After the brace: name="value" pairs; answers what follows the closing one. */
static char *take_labels(char *at, const char *line)
{
    for (;;) {
        size_t n = name_length(at);
        if (n == 0 || at[n] != '=' || at[n + 1] != '"') bad(line, "a label");
        at += n + 2;
        while (*at != '"') {
            if (*at == '\0' || *at == '\n') bad(line, "a label that does not end");
            if (*at == '\\' && strchr("\\\"n", at[1]) == NULL) bad(line, "an escape");
            at += *at == '\\' ? 2 : 1;
        }
        at++;
        if (*at == '}') return at + 1;
        if (*at != ',') bad(line, "labels");
        at++;
    }
}

static void take_sample(struct reader *r, char *line)
{
    char wanted[120], *end;
    size_t n = name_length(line);
    if (r->count == 0 || n == 0) bad(line, "a sample of nothing");
    const struct family *now = &r->families[r->count - 1];
    snprintf(wanted, sizeof wanted, "%s%s", now->name,
             strcmp(now->type, "counter") == 0 ? "_total" : "");
    if (n != strlen(wanted) || strncmp(line, wanted, n) != 0)
        bad(line, "not the name of its family");
    char *at = line + n;
    if (*at == '{') at = take_labels(at + 1, line);
    if (*at != ' ') bad(line, "no value");
    for (int i = 0; i < r->sample_count; i++) {
        if (strncmp(r->samples[i], line, (size_t)(at - line) + 1) == 0) bad(line, "a sample twice");
    }
    r->samples[r->sample_count++] = line;
    double value = strtod(at + 1, &end);
    if (*end != '\0' || (strcmp(now->type, "counter") == 0 && value < 0)) bad(line, "its value");
}

static void read_metrics(char *text)
{
    static struct reader r;
    r = (struct reader){.count = 0};
    bool over = false;
    while (*text != '\0') {
        char *end = strchr(text, '\n');
        if (end == NULL) bad(text, "the last line does not end");
        *end = '\0';
        if (over) bad(text, "something follows # EOF");
        if (strcmp(text, "# EOF") == 0) {
            over = true;
        } else if (text[0] == '#') {
            take_meta(&r, text);
        } else {
            take_sample(&r, text);
        }
        text = end + 1;
    }
    assert_true(over);
    assert_true(r.count > 10 && r.sample_count > r.count);
}

/* ---- tests ---- */

static void start(struct run *r)
{
    char policy[1024];
    /* Two packages with a rule of one name. */
    snprintf(policy, sizeof policy, "package one\n%s", flood_policy);
    put_file("p.mpol", policy);
    snprintf(policy, sizeof policy, "package two\n%s", flood_policy);
    put_file("q.mpol", policy);
    put_file("t", "");
    run_start(r, "p.mpol", "q.mpol", "--state=state", "--telemetry=t", "--listen=127.0.0.1:0",
              NULL);
}

static void metrics_are_openmetrics(void **state)
{
    struct run r;
    const char *body;
    start(&r);
    add_failures("t", "10.0.0.1", 3);
    add_to_file("t", "no line\n");
    wait_get(r.port, "/metrics", 200, "mpol_bad_lines_total 1\n");
    wait_get(r.port, "/metrics", 200, "mpol_records_total 3\n");
    wait_get(r.port, "/metrics", 200, "outcome=\"matched\"} 1\n");
    assert_int_equal(get(r.port, "/metrics", &body), 200);
    read_metrics((char *)body);
    assert_int_equal(run_stop(&r), 0);
    run_free(&r);
}

static void health_and_readiness_are_told_apart(void **state)
{
    struct run r;
    const char *body;
    start(&r);
    assert_int_equal(get(r.port, "/healthz", &body), 200);
    assert_string_equal(body, "ok\n");
    assert_int_equal(get(r.port, "/readyz", &body), 200);
    assert_non_null(strstr(body, "store: writes"));
    assert_int_equal(get(r.port, "/secret", &body), 404);
    assert_int_equal(run_stop(&r), 0);
    run_free(&r);
}

static void an_address_that_is_none_or_taken_is_named(void **state)
{
    struct run r, second;
    char listen[64];
    start(&r);
    snprintf(listen, sizeof listen, "--listen=127.0.0.1:%d", r.port);
    const char *const taken[] = {"p.mpol", "--state=other", listen, NULL};
    run_spawn(&second, -1, taken);
    assert_int_equal(run_end(&second), 2);
    assert_non_null(strstr(second.log, "the address is in use or not ours"));
    run_free(&second);
    const char *const none[] = {"p.mpol", "--state=other", "--listen=nowhere", NULL};
    run_spawn(&second, -1, none);
    assert_int_equal(run_end(&second), 2);
    assert_non_null(strstr(second.log, "write ADDR:PORT"));
    run_free(&second);
    assert_int_equal(run_stop(&r), 0);
    run_free(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_drop)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(metrics_are_openmetrics),
        TEST(health_and_readiness_are_told_apart),
        TEST(an_address_that_is_none_or_taken_is_named),
    };
    harness_command(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
