/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "driver/driver.h"
#include "eval/exec.h"
#include "os/std.h"
#ifdef BENCH_JIT
#include "jit/jit.h"
#endif

#define LINE_MAX_BYTES 1024

/* ---- output ---- */

void bench_say(const char *name, double value, const char *unit, const char *vs, double ratio)
{
    printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"", name, value, unit);
    if (vs != NULL) printf(",\"vs\":\"%s\",\"ratio\":%.4g}\n", vs, ratio);
    else printf(",\"vs\":null,\"ratio\":null}\n");
    fflush(stdout);
}

void bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

/* ---- clocks ---- */

static double clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double bench_cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }
double bench_wall_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_sort(double *values, size_t count) { qsort(values, count, sizeof *values, by_value); }

double bench_median(double *values, int count)
{
    bench_sort(values, (size_t)count);
    return values[count / 2];
}

double bench_percentile(double *sorted, size_t count, double share)
{
    size_t at = (size_t)((double)count * share);
    return sorted[at < count ? at : count - 1];
}

bool bench_quick(void) { return getenv("BENCH_QUICK") != NULL; }

/* ---- programs ---- */

const struct mp_os *bench_os(void)
{
    static struct mp_os os;
    if (os.wall_ns == NULL) mp_std_os(&os);
    return &os;
}

static void complain(struct mp_compilation *c)
{
    struct mp_arena arena;
    struct mp_buf b;
    mp_arena_init(&arena, NULL, 0);
    mp_buf_init(&b, &arena);
    mp_diags_print_json(mp_compilation_diags(c), mp_compilation_sources(c), &b);
    bench_fail("the policy is wrong: %.*s", MP_STR_ARG(mp_buf_view(&b)));
}

struct mp_program *bench_compile(const char *policy)
{
    struct mp_compile_text text = {MP_STR("bench.mpol"), mp_str_of(policy), MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = bench_os()};
    struct mp_compilation *c;
    struct mp_program *p;
    const char *why = "";
    if (mp_compile(&text, 1, &options, &c) != MP_OK) bench_fail("cannot compile");
    if (mp_compilation_errors(c) > 0) complain(c);
    mp_str image = mp_compilation_image(c);
    if (mp_program_load(image.ptr, image.len, bench_os(), &p, &why) != MP_OK)
        bench_fail("load: %s", why);
    mp_compilation_free(c);
    return p;
}

#ifdef BENCH_JIT
static struct mp_jit_job *job;

bool bench_native(struct mp_program *p)
{
    const char *why = "no thread";
    job = mpol_jit()->start(p);
    if (job == NULL || mpol_jit()->wait(job, &why) != MP_OK) bench_fail("native code: %s", why);
    return true;
}

void bench_native_end(struct mp_program *p)
{
    (void)p;
    mpol_jit()->end(job);
    job = NULL;
}
#else
bool bench_native(struct mp_program *p)
{
    (void)p;
    return false;
}

void bench_native_end(struct mp_program *p) { (void)p; }
#endif

/* ---- records ---- */

static void own_text(struct mp_arena *arena, struct mp_value *v)
{
    mp_str text = mp_value_as_text(v);
    if (text.len <= MP_TEXT_INLINE) return;
    char *copy = mp_arena_alloc(arena, text.len, 1);
    if (copy == NULL) bench_fail("out of memory");
    memcpy(copy, text.ptr, text.len);
    *v = mp_value_text((mp_str){copy, text.len});
}

static void own_record(struct mp_arena *arena, const struct mp_program *p,
                       const struct mp_record *from, struct mp_record *to)
{
    const struct mp_signal_row *s = &p->signal[from->signal];
    *to = *from;
    to->known = mp_arena_alloc(arena, (s->fields_count / 64 + 1) * sizeof *to->known, 8);
    to->field = mp_arena_alloc(arena, (s->fields_count + 1) * sizeof *to->field, 16);
    if (to->known == NULL || to->field == NULL) bench_fail("out of memory");
    memcpy(to->known, from->known, (s->fields_count + 63) / 64 * sizeof *to->known);
    memcpy(to->field, from->field, s->fields_count * sizeof *to->field);
    for (uint32_t i = 0; i < s->fields_count; i++) {
        if (mp_field_rep(&p->field[s->fields_at + i]) == MP_REP_T) own_text(arena, &to->field[i]);
    }
}

void bench_decode(struct bench_records *out, const struct mp_program *p, uint32_t count,
                  size_t (*line)(uint32_t number, char *out, size_t size))
{
    struct mp_arena arena;
    struct mp_ingest *ingest;
    struct mp_ingested in;
    char text[LINE_MAX_BYTES];
    mp_arena_init(&arena, NULL, 0);
    mp_arena_init(&out->arena, NULL, 0);
    out->count = count;
    out->record = mp_arena_alloc(&out->arena, count * sizeof *out->record, 64);
    if (out->record == NULL) bench_fail("out of memory");
    if (mp_ingest_create(&arena, p, (struct mp_hash_key){1, 2}, &ingest) != MP_OK)
        bench_fail("ingest");
    for (uint32_t i = 0; i < count; i++) {
        size_t len = line(i, text, sizeof text);
        if (len >= sizeof text) bench_fail("a line is too long");
        if (mp_ingest_line(ingest, (mp_str){text, len}, 0, 0, &in) != MP_INGEST_RECORD) {
            bench_fail("a bad line: %s", text);
        }
        own_record(&out->arena, p, &in.record, &out->record[i]);
    }
    mp_arena_free(&arena);
}

void bench_records_free(struct bench_records *r) { mp_arena_free(&r->arena); }
