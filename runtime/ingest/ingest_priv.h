/* SPDX-License-Identifier: Apache-2.0
 * ingest_priv.h - names, leaves of a line, and where decoded values lie.
 */
#ifndef MP_INGEST_INGEST_PRIV_H
#define MP_INGEST_INGEST_PRIV_H

#include "base/assert.h"
#include "ingest/ingest.h"
#include "ingest/json.h"

#define PATH_MAX_BYTES 512u
#define SET_VALUES_MAX 4096u /* members of all sets of one line */

/* Names of the frame, before the names of fields. */
enum frame {
    FRAME_SIGNAL, FRAME_TIME, FRAME_ALIVE, FRAME_WEIGHT, FRAME_ID, FRAME_REFUSED_BY, FRAME_ENTITY,
    FRAME_COUNT
};

/* A scalar or an array of the line, under its name. */
struct leaf {
    uint64_t line;          /* number of the line that it is of; any other: absent */
    /* STRING, NUMBER, TRUE, FALSE, NULL, or OPEN_ARRAY: raw is the array */
    enum mp_json_token kind;
    mp_str raw;
    bool escaped;
};

struct name {
    mp_str path;
    uint64_t hash;
    bool header; /* an entry of a map of headers: found in any case of letters */
};

/* A field of a signal, or an attribute of an entity: where a line may name it. */
struct source_name {
    uint32_t name, alias;  /* `client.ip` and `client`; MP_NONE: no second way */
    uint32_t namespace;    /* `service.namespace`, or MP_NONE */
};

/* What a value must become. */
struct wanted {
    enum mp_type type;
    uint32_t entity; /* whose key it is, or MP_NONE */
    bool set, header;
    bool joins; /* an array of texts is one text: what occurs more than once in a request */
};

/* Lines of one source have the same names in the same order: what the n-th name of the line before
 * was is the best guess. Right or wrong, only the bytes decide. */
#define GUESSES 64u
#define GUESS_BYTES 32u
struct guess {
    uint32_t name, len; /* len 0: none yet */
    char path[GUESS_BYTES]; /* zero-padded */
};

/* What a line looked like: the bytes in front of each value, and behind the last. */
#define SHAPES 4u
#define SHAPE_LEAVES 64u
#define SHAPE_BYTES 2048u
struct shape_part {
    uint32_t at, len; /* in bytes */
    uint32_t name;    /* of the value behind them, or MP_NONE */
    bool text;        /* the last of them opens a text */
};
struct shape {
    uint32_t count, used, tail_at, tail_len;
    bool whole;
    struct shape_part part[SHAPE_LEAVES];
    char bytes[SHAPE_BYTES];
};

struct mp_ingest {
    const struct mp_program *p;
    struct mp_hash_key hash_key;

    struct name *names;
    uint32_t name_count, name_room;
    uint32_t *slots; /* name + 1 */
    uint32_t slot_mask;
    bool has_headers;
    struct leaf *leaves; /* one a name */
    struct source_name *fields; /* one a row of field */
    struct wanted *wanted;      /* one a row of field */
    struct source_name *attrs;  /* one a row of attr */
    struct source_name *keys;   /* one a row of entity: its key in a line of inventory */
    uint32_t requests;          /* row of the signal that a line without `signal` is of */
    uint32_t refusals, policy;  /* what a refused request is (language.md 4.2); field of the rule */

    uint64_t *known;        /* of the record at hand */
    struct mp_value *field;
    char *scratch;
    size_t scratch_used, scratch_size;
    struct mp_value *set_values;
    uint32_t set_used;
    struct mp_entity_line entity;
    uint32_t odd;   /* row of attr of this line that is none of its type; MP_NONE: none to tell */
    bool *odd_told; /* one a row of attr */

    struct guess guesses[GUESSES];
    uint32_t leaf_number;   /* in this line */
    struct shape shapes[SHAPES];
    uint32_t shape_newest;
    const char *shape_from; /* end of the value before, while one is kept; NULL: this line is not */
    char path[PATH_MAX_BYTES + GUESS_BYTES];
    struct mp_json json;
    uint64_t line;
    struct mp_ingest_counts counts;
};

/* ---- shape.c ---- */
/* Takes the leaves of a line that looks like one before; false: it must be read, and nothing is
 * taken. */
bool mp_shape_take(struct mp_ingest *in, mp_str line);
/* Keeps what a line looks like that is read: its begin, its leaves in order, its good end. */
void mp_shape_begin(struct mp_ingest *in, mp_str line);
void mp_shape_leaf(struct mp_ingest *in, const struct mp_json_leaf *leaf, uint32_t name);
void mp_shape_end(struct mp_ingest *in, mp_str line);

/* ---- names.c ---- */
enum mp_err mp_names_build(struct mp_ingest *in, struct mp_arena *arena);
uint32_t mp_names_find(const struct mp_ingest *in, const char *path, size_t len);
size_t mp_names_bytes(const struct mp_program *p);

/* ---- convert.c ---- */
/* False: absent (null), or none of the type, which is counted. */
bool mp_convert_leaf(struct mp_ingest *in, const struct leaf *leaf, const struct wanted *want,
                     struct mp_value *out);
bool mp_convert_text(struct mp_ingest *in, const struct wanted *want, mp_str text,
                     struct mp_value *out);
/* Numbers as a type has them. False: out of its range. */
bool mp_convert_int(enum mp_type type, int64_t v, struct mp_value *out);
bool mp_convert_num(enum mp_type type, double v, struct mp_value *out);
/* The text of a string leaf, unescaped. */
bool mp_leaf_text(struct mp_ingest *in, const struct leaf *leaf, mp_str *out);
char *mp_scratch(struct mp_ingest *in, size_t bytes);
struct wanted mp_wanted_field(const struct mp_program *p, uint32_t field);
struct wanted mp_wanted_attr(const struct mp_program *p, uint32_t attr);

/* ---- fields.c ---- */
/* Makes the record from the leaves of this line. */
void mp_record_make(struct mp_ingest *in, uint32_t signal, struct mp_record *out);
bool mp_entity_make(struct mp_ingest *in, uint32_t entity, const char **why);
/* The signal of a record that `refused_by` is set for: MP_NONE where the program has none. */
uint32_t mp_refused_signal(const struct mp_ingest *in, uint32_t signal);
bool mp_is_leaf(const struct mp_ingest *in, uint32_t name);

#endif
