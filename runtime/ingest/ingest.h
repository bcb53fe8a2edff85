/* SPDX-License-Identifier: Apache-2.0
 * ingest.h - telemetry bytes → mp_record: one JSON object a line, or fields by name.
 *
 * Owns:    the names that a program reads, and the memory of the record at hand. Takes only
 *          declared fields, builds no tree, allocates nothing after create.
 * Callers: command, daemon, public interface. One ingest, one thread; several may exist for a
 *          program.
 * Memory:  from the arena given to create, fixed. What a call decodes borrows the line and the
 *          ingest, until the next call or until the line goes away.
 *
 * A line (language.md §4.1): names nested or dotted; an entity by its key or by an object of its
 * fields (with a `namespace` other than `default`: `namespace/name`); `signal` may be left out
 * where it is `requests`; `time` as RFC 3339 or seconds; `alive`, `weight`, `id`, `refused_by`,
 * `entity` as the language says. Durations: text with units or a number of seconds. Percents: `5%`
 * or a fraction. A request with `refused_by` is a record of `refusals`, whose `policy` is that rule
 * (§4.2). Paths and hosts become canonical (§4.5). Names of headers are taken in lower case; an
 * array of values of a header, an argument or a cookie is joined by ", ". The last of two equal
 * names wins.
 */
#ifndef MP_INGEST_INGEST_H
#define MP_INGEST_INGEST_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "inventory/inventory.h"
#include "program/program.h"
#include "schema/flow.h"

#define MP_LINE_MAX (1024u * 1024u) /* bytes of a line */
#define MP_LINE_DEPTH_MAX 64
#define MP_LINE_TIME_MAX_NS (INT64_MAX / 2) /* the year 2116 */
#define MP_LINE_WEIGHT_MAX (INT64_C(1) << 20)

struct mp_ingest;

enum mp_ingest_kind {
    MP_INGEST_RECORD, /* out->record */
    MP_INGEST_ALIVE,  /* out->signal is alive */
    MP_INGEST_ENTITY, /* out->entity */
    /* nothing for this program: a blank line, an unknown signal or entity; counted */
    MP_INGEST_OTHER,
    MP_INGEST_BAD     /* not a record; out->why says why (static text) */
};

struct mp_ingested {
    enum mp_ingest_kind kind;
    struct mp_record record; /* number 0; known and field point into the ingest */
    uint32_t signal;
    bool has_time; /* false: record.time_ns is the default that was handed in */
    const struct mp_entity_line *entity;
    /* ENTITY: the first of its attributes that is none of its type, which is left out and counted;
     * empty: there is none, or this ingest has told it before */
    mp_str odd;
    enum mp_type odd_type; /* what it should be */
    const char *why;
    uint32_t column; /* BAD: the byte that was not expected, from 1; 0: the line as a whole */
};

/* The hash key names record ids (R9). MP_ENOMEM. */
enum mp_err mp_ingest_create(struct mp_arena *arena, const struct mp_program *p,
                             struct mp_hash_key hash_key, struct mp_ingest **out);
size_t mp_ingest_bytes(const struct mp_program *p);

/* Decodes one line without its line end. `default_ns` > 0 is the time of a record that has none
 * (live: now); 0: such a line is bad. */
enum mp_ingest_kind mp_ingest_line(struct mp_ingest *in, mp_str line, uint32_t source,
                                   int64_t default_ns, struct mp_ingested *out);

/* ---- fields by name, for embedders ---- */

/* A name as telemetry has it: `client.ip`, `status`, `headers.x-api-key`, or a name of the frame
 * such as `weight`. MP_NONE: the program reads no such field of any signal. Good for this
 * ingest. */
uint32_t mp_ingest_name(const struct mp_ingest *in, mp_str name);

enum mp_field_kind { MP_FIELD_TEXT, MP_FIELD_INT, MP_FIELD_NUMBER };
/* A value as it comes: text is read as the field's type asks; ints are counts, nanoseconds, bytes,
 * truths; numbers are shares, rates per second. */
struct mp_field_in {
    uint32_t name; /* of mp_ingest_name */
    enum mp_field_kind kind;
    mp_str text;
    int64_t integer;
    double number;
};
/* Makes a record of row `signal` (for a refused request the caller names `refusals`); values that
 * do not fit their type are unknown and counted; so is a weight that is none, which is 1 then. */
void mp_ingest_fields(struct mp_ingest *in, uint32_t signal, int64_t time_ns, uint32_t source,
                      const struct mp_field_in *fields, uint32_t count, struct mp_record *out);
/* The same, from source 0, a field at a time for a caller who knows the rows: `name` of a field is
 * its place among the fields of the signal, each is given at most once. What has been given is
 * known at once, presets and the layer when it is finished. */
void mp_ingest_begin(struct mp_ingest *in, uint32_t signal, int64_t time_ns, struct mp_record *out);
void mp_ingest_give(struct mp_ingest *in, const struct mp_record *to, const struct mp_field_in *f);
void mp_ingest_finish(struct mp_ingest *in, struct mp_record *out);
/* Row of a signal by name, MP_NONE: the program has no such signal. */
uint32_t mp_ingest_signal(const struct mp_ingest *in, mp_str name);

/* Row of field of a signal by its path in the program, or MP_NONE. */
uint32_t mp_ingest_field(const struct mp_ingest *in, uint32_t signal, mp_str path);

struct mp_ingest_counts {
    uint64_t lines, records, bad, other;
    uint64_t unknown_fields; /* names that the program does not read */
    uint64_t bad_values;     /* a value that is none of its field's type: unknown there */
    uint64_t missing_always; /* a record without an @always field */
};
void mp_ingest_counts(const struct mp_ingest *in, struct mp_ingest_counts *out);

/* ---- texts into canonical form; out has room for text.len bytes; the length is the answer ---- */

/* §4.5: cut at `?` or `#`, decoded once, no dot segments, no repeated slashes. */
size_t mp_canonical_path(mp_str text, char *out);
/* Lower case, no port, no dot at the end. */
size_t mp_canonical_host(mp_str text, char *out);
/* What a name of a query (names and values decoded) or of cookies has: all its values, in order,
 * joined by ", " as those of a header are, so that a second one is not overlooked. */
enum mp_pairs { MP_PAIRS_QUERY, MP_PAIRS_COOKIES };
struct mp_joined {
    char *at; /* the caller's, of `size` bytes */
    size_t size, len;
    uint32_t count; /* values */
    bool full;      /* they do not fit */
};
/* Adds the values of `name` in `text`; cookies may come in several texts. */
void mp_pairs_join(enum mp_pairs kind, mp_str text, mp_str name, struct mp_joined *to);
/* RFC 3339, or seconds since the epoch with a fraction. Within int64 nanoseconds. */
bool mp_read_time(mp_str text, int64_t *out_ns);
/* `12.5ms`, `1h30m`; a bare number is seconds. */
bool mp_read_duration(mp_str text, int64_t *out_ns);

#endif
