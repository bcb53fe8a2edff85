/* SPDX-License-Identifier: Apache-2.0 */
#include "case.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "os/std.h"
#include "parse/parse.h"

static const char words[] =
    "mpol 1\n"
    "package m\n"
    "@max 1\n"
    "entity mesh { name: string }\n"
    "entity service as svc {\n"
    "  name: string\n"
    "  labels: map of string\n"
    "  tier: enum(critical, standard, batch) = standard\n"
    "  instances: set of instance\n"
    "  callers: set of service\n"
    "  identities: set of identity\n"
    "}\n"
    "entity instance { name: string service: service zone: string node: string }\n"
    "entity client { ip: ip asn: asn country: string }\n"
    "entity pair { name: string left: service right: service }\n"
    "@always \"method path mtls\"\n"
    "@chosen \"user\"\n"
    "signal requests as request: event per service, instance, client {\n"
    "  layer: hook = service\n"
    "  method: method\n"
    "  path: path\n"
    "  host: host\n"
    "  user: string\n"
    "  headers: map of string\n"
    "  claims: map of set of string\n"
    "  peer: identity\n"
    "  caller: service\n"
    "  mtls: bool\n"
    "  attack_score: int\n"
    "  bytes_in: size\n"
    "  status: status at end\n"
    "  latency: duration at end\n"
    "  risk: score at end\n"
    "}\n"
    "signal logins as login: event per service, client { ok: bool user: string }\n"
    "signal beats as beat: event per instance { ok: bool }\n"
    "signal cpu: percent per instance every 5s\n"
    "signal cert_expires_in: duration per service every 1m\n"
    "signal restarts: counter per instance\n"
    "@min_samples 20\n"
    "def error_rate per service: percent = ratio(requests where status in 5xx) over 10s\n"
    "def p99_latency per service: duration = p99(requests.latency) over 10s\n"
    "def zone_rate per service, instance.zone: rate = rate(requests) over 10s\n"
    "def mixed per service: score = 0.5 * error_rate + 10%\n"
    "action deny(target: event, status: int = 403) class access strength 40 irreversible\n"
    "action deny(target: client|identity, for: duration = 10m) class traffic strength 40\n"
    "  blinds requests reversible\n"
    "action quarantine(target: service|instance, for: duration = 10m) class traffic strength 30\n"
    "  blinds requests reversible\n"
    "@partial \"to\"\n"
    "action throttle(target: client|service, to: rate|percent, for: duration = 5m)\n"
    "  class traffic strength 20 reversible\n"
    "action notify(text: string, via: channel = log) class message strength 0 irreversible\n";

void case_check_files(struct test_case *c, const struct case_file *files, uint32_t count,
                      const struct mp_check_options *options)
{
    memset(c, 0, sizeof *c);
    mp_arena_init(&c->arena, NULL, 0);
    mp_sources_init(&c->sources, &c->arena);
    mp_diags_init(&c->diags, &c->arena);
    struct mp_check_input *inputs = MP_NEW(&c->arena, struct mp_check_input, count);
    assert_non_null(inputs);
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_source *source;
        struct mp_ast_file *ast = NULL;
        assert_int_equal(mp_sources_add(&c->sources, mp_str_of(files[i].name),
                                        mp_str_of(files[i].text), &source),
                         MP_OK);
        assert_int_equal(mp_parse(source, &c->arena, &c->diags, &ast), MP_OK);
        inputs[i] = (struct mp_check_input){ast, files[i].origin};
    }
    struct mp_os os = {.ctx = NULL};
    mp_std_os(&os);
    struct mp_check_options with_os = {.os = &os};
    if (options != NULL) with_os = *options;
    with_os.os = &os;
    assert_int_equal(mp_check(inputs, count, &with_os, &c->arena, &c->diags, &c->typed), MP_OK);
    struct mp_buf out;
    mp_buf_init(&out, &c->arena);
    mp_diags_print_text(&c->diags, &c->sources, (struct mp_diag_style){false, 0}, &out);
    assert_false(out.failed);
    mp_buf_putc(&out, '\0');
    c->report = mp_buf_view(&out);
}

void case_check(struct test_case *c, const char *text)
{
    char whole[8192];
    int len = snprintf(whole, sizeof whole, "use m\n%s", text);
    assert_true(len > 0 && (size_t)len < sizeof whole);
    struct case_file files[] = {{"case.mpol", whole, MP_CHECK_GIVEN},
                                {"m", words, MP_CHECK_STDLIB}};
    case_check_files(c, files, 2, NULL);
}

enum mp_err case_check_within(const char *text, size_t limit_bytes)
{
    struct test_case c;
    case_check(&c, text); /* for its sources */
    struct mp_check_input inputs[2] = {{NULL, MP_CHECK_GIVEN}, {NULL, MP_CHECK_STDLIB}};
    for (int i = 0; i < 2; i++) {
        struct mp_ast_file *ast = NULL;
        assert_int_equal(mp_parse(c.sources.files.ptr[i], &c.arena, &c.diags, &ast), MP_OK);
        inputs[i].file = ast;
    }
    struct mp_arena perm;
    void *buffer = malloc(limit_bytes);
    assert_non_null(buffer);
    mp_arena_init_fixed(&perm, buffer, limit_bytes);
    struct mp_typed *typed = NULL;
    enum mp_err err = mp_check(inputs, 2, NULL, &perm, &c.diags, &typed);
    assert_true((err == MP_OK) == (typed != NULL));
    free(buffer);
    case_free(&c);
    return err;
}

void case_free(struct test_case *c) { mp_arena_free(&c->arena); }

uint32_t case_count(const struct test_case *c, const char *code)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->diags.all.len; i++) {
        n += mp_str_eq(mp_diag_row(c->diags.all.ptr[i]->code)->code, mp_str_of(code));
    }
    return n;
}

const struct mp_t_rule *case_rule(const struct test_case *c, const char *name)
{
    for (uint32_t i = 0; i < c->typed->rules.len; i++) {
        if (mp_str_eq(c->typed->rules.ptr[i]->name, mp_str_of(name))) return c->typed->rules.ptr[i];
    }
    fail_msg("there is no rule %s:\n%s", name, c->report.ptr);
    return NULL;
}

void case_expect(const struct test_case *c, const char *codes)
{
    uint32_t expected = 0, errors = 0;
    for (const char *at = codes; *at != '\0';) {
        char code[8] = "";
        int len = 0;
        assert_int_equal(sscanf(at, " %7s%n", code, &len), 1);
        at += len;
        expected++;
        if (case_count(c, code) == 0) fail_msg("expected %s, got:\n%s", code, c->report.ptr);
    }
    for (uint32_t i = 0; i < c->diags.all.len; i++) {
        errors += c->diags.all.ptr[i]->severity == MP_SEV_ERROR;
    }
    if (errors != expected)
        fail_msg("expected only %s, got:\n%s", expected ? codes : "nothing", c->report.ptr);
}

void case_says(const struct test_case *c, const char *text)
{
    if (strstr(c->report.ptr, text) == NULL) fail_msg("expected %s, got:\n%s", text, c->report.ptr);
}

void expect_codes(const char *text, const char *codes)
{
    struct test_case c;
    case_check(&c, text);
    case_expect(&c, codes);
    case_free(&c);
}
