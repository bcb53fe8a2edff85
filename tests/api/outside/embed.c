/* SPDX-License-Identifier: Apache-2.0
 * The smallest embedder: a policy, ten failed logins, and the verdict on the next one.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mpol/mpol.h>

#define NS_PER_S INT64_C(1000000000)

static const char policy[] =
    "mpol 1\n"
    "package embed\n"
    "use std.mesh\n"
    "rule guesses when count(requests where status == 401) over 10s >= 10 per client.ip max 1k\n"
    "  then deny client.ip for 1m\n";

static void must(enum mpol_err err, const char *what)
{
    if (err == MPOL_OK) return;
    fprintf(stderr, "%s: %s\n", what, mpol_error_text(err));
    exit(1);
}

int main(void)
{
    struct mpol_source source = {mpol_text("policy.mpol"), mpol_text(policy)};
    struct mpol_program *program = NULL;
    must(mpol_compile(&source, 1, NULL, &program), "compile");

    struct mpol_engine_options options;
    struct mpol_engine *engine = NULL;
    int64_t now = INT64_C(1700000000) * NS_PER_S;
    MPOL_INIT(&options);
    options.start_wall_ns = now;
    must(mpol_engine_create(&options, program, &engine), "create");

    uint32_t service, client, status;
    must(mpol_field(engine, "service", &service), "field");
    must(mpol_field(engine, "client.ip", &client), "field");
    must(mpol_field(engine, "status", &status), "field");
    struct mpol_reader *reader = NULL;
    struct mpol_record *record = NULL;
    must(mpol_reader_open(engine, &reader), "reader");
    must(mpol_record_create(engine, &record), "record");

    int reached = 0;
    for (int i = 0; i < 20; i++) {
        struct mpol_verdict verdict;
        MPOL_INIT(&verdict);
        now += NS_PER_S / 100;
        must(mpol_record_begin(record, "requests", now, MPOL_SERVICE), "begin");
        must(mpol_record_text(record, service, mpol_text("account")), "text");
        must(mpol_record_text(record, client, mpol_text("10.0.0.7")), "text");
        must(mpol_verdict(reader, record, &verdict), "verdict");
        if (!verdict.allow) continue;
        reached++;
        must(mpol_record_int(record, status, 401), "int");
        must(mpol_engine_feed(engine, record), "feed");
        must(mpol_engine_step(engine, now), "step");
    }
    mpol_record_destroy(record);
    mpol_reader_close(reader);
    mpol_engine_destroy(engine);
    printf("c: mpol %s, 20 guesses, %d reached the service\n", mpol_version(), reached);
    return reached == 10 ? 0 : 1;
}
