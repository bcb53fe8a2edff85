/* SPDX-License-Identifier: Apache-2.0
 * One line: its leaves are collected by name, then made into what the line is.
 */
#include "ingest/ingest.h"

#include "ingest/ingest_priv.h"

#define SCRATCH_BYTES (2u * MP_LINE_MAX + 65536u)

static uint32_t fields_max(const struct mp_program *p)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < p->signal_count; i++) {
        if (p->signal[i].fields_count > most) most = p->signal[i].fields_count;
    }
    return most;
}

size_t mp_ingest_bytes(const struct mp_program *p)
{
    return sizeof(struct mp_ingest) + mp_names_bytes(p) + SCRATCH_BYTES +
           (SET_VALUES_MAX + fields_max(p)) * (sizeof(struct mp_value) + 1) + 4096;
}

enum mp_err mp_ingest_create(struct mp_arena *arena, const struct mp_program *p,
                             struct mp_hash_key hash_key, struct mp_ingest **out)
{
    struct mp_ingest *in = MP_NEW(arena, struct mp_ingest, 1);
    if (in == NULL) return MP_ENOMEM;
    in->p = p;
    in->hash_key = hash_key;
    in->known = MP_NEW(arena, uint64_t, fields_max(p) / 64 + 1);
    in->field = MP_NEW(arena, struct mp_value, fields_max(p));
    in->scratch = mp_arena_alloc_raw(arena, SCRATCH_BYTES, 16);
    in->scratch_size = SCRATCH_BYTES;
    in->set_values = mp_arena_alloc_raw(arena, SET_VALUES_MAX * sizeof *in->set_values, 16);
    if (in->known == NULL || in->field == NULL || in->scratch == NULL || in->set_values == NULL) {
        return MP_ENOMEM;
    }
    MP_TRY(mp_names_build(in, arena));
    in->requests = mp_ingest_signal(in, MP_STR("requests"));
    in->refusals = mp_ingest_signal(in, MP_STR("refusals"));
    in->policy = mp_ingest_field(in, in->refusals, MP_STR("policy"));
    *out = in;
    return MP_OK;
}

/* ---- leaves ---- */

/* Names of headers have no case: what is not found as it stands is looked for in lower case. */
static uint32_t find_header(const struct mp_ingest *in, mp_str path)
{
    char lower[PATH_MAX_BYTES];
    if (!in->has_headers || path.len > sizeof lower || memchr(path.ptr, '.', path.len) == NULL) {
        return MP_NONE;
    }
    bool upper = false;
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        bool is_upper = c >= 'A' && c <= 'Z';
        lower[i] = is_upper ? (char)(c | 32) : c;
        upper |= is_upper;
    }
    uint32_t name = upper ? mp_names_find(in, lower, path.len) : MP_NONE;
    return name != MP_NONE && in->names[name].header ? name : MP_NONE;
}

static uint32_t find_name(const struct mp_ingest *in, mp_str path)
{
    uint32_t name = mp_names_find(in, path.ptr, path.len);
    return name != MP_NONE ? name : find_header(in, path);
}

/* INVARIANT: GUESS_BYTES can be read from the path, which lies in in->path. */
static bool guessed(const struct guess *g, mp_str path)
{
    uint64_t a[GUESS_BYTES / 8], b[GUESS_BYTES / 8], differ = 0;
    if (g->len != path.len || path.len == 0) return false;
    memcpy(a, path.ptr, sizeof a);
    memcpy(b, g->path, sizeof b);
    size_t left = path.len;
    for (size_t i = 0; i < GUESS_BYTES / 8; i++) {
        uint64_t mask = left >= 8 ? UINT64_MAX : left == 0 ? 0 : (UINT64_C(1) << (left * 8)) - 1;
        differ |= (a[i] ^ b[i]) & mask;
        left -= left >= 8 ? 8 : left;
    }
    return differ == 0;
}

static uint32_t name_of(struct mp_ingest *in, mp_str path)
{
    if (in->leaf_number == GUESSES || path.len > GUESS_BYTES) return find_name(in, path);
    struct guess *g = &in->guesses[in->leaf_number++];
    if (guessed(g, path)) return g->name;
    g->name = find_name(in, path);
    g->len = (uint32_t)path.len;
    if (path.len != 0) memcpy(g->path, path.ptr, path.len);
    return g->name;
}

static void take_leaf(void *ctx, const struct mp_json_leaf *leaf)
{
    struct mp_ingest *in = ctx;
    uint32_t name = name_of(in, leaf->path);
    mp_shape_leaf(in, leaf, name);
    if (name == MP_NONE) {
        in->counts.unknown_fields++;
        return;
    }
    in->leaves[name] = (struct leaf){.line = in->line, .kind = leaf->kind, .raw = leaf->raw,
                                     .escaped = leaf->escaped};
}

/* ---- what the line is ---- */

static enum mp_ingest_kind bad(struct mp_ingest *in, struct mp_ingested *out, const char *why)
{
    in->counts.bad++;
    out->kind = MP_INGEST_BAD;
    out->why = why;
    return out->kind;
}

static enum mp_ingest_kind other(struct mp_ingest *in, struct mp_ingested *out)
{
    in->counts.other++;
    out->kind = MP_INGEST_OTHER;
    return out->kind;
}

static bool frame_text(struct mp_ingest *in, enum frame which, mp_str *out)
{
    const struct leaf *leaf = &in->leaves[which];
    return leaf->kind == MP_JSON_STRING && mp_leaf_text(in, leaf, out);
}

static uint32_t entity_of(const struct mp_program *p, mp_str name)
{
    for (uint32_t i = 0; i < p->entity_count; i++) {
        if (mp_str_eq(mp_program_text(p, p->entity[i].name), name) ||
            mp_str_eq(mp_program_text(p, p->entity[i].alias), name)) {
            return i;
        }
    }
    return MP_NONE;
}

/* Once for each attribute: a file of a thousand lines has the same mistake a thousand times. */
static void tell_odd(struct mp_ingest *in, struct mp_ingested *out)
{
    out->odd = MP_STR("");
    if (in->odd == MP_NONE) return;
    in->odd_told[in->odd] = true;
    out->odd = mp_program_text(in->p, in->p->attr[in->odd].name);
    out->odd_type = (enum mp_type)mp_wanted_attr(in->p, in->odd).type;
}

static enum mp_ingest_kind entity_line(struct mp_ingest *in, struct mp_ingested *out)
{
    mp_str name;
    if (!frame_text(in, FRAME_ENTITY, &name)) return bad(in, out, "`entity` is no text");
    uint32_t entity = entity_of(in->p, name);
    if (entity == MP_NONE) return other(in, out);
    if (!mp_entity_make(in, entity, &out->why)) return bad(in, out, out->why);
    tell_odd(in, out);
    out->entity = &in->entity;
    out->kind = MP_INGEST_ENTITY;
    return out->kind;
}

static bool line_time(struct mp_ingest *in, int64_t default_ns, struct mp_ingested *out)
{
    struct mp_record *r = &out->record;
    r->time_ns = default_ns;
    if (!mp_is_leaf(in, FRAME_TIME)) return default_ns > 0;
    const struct leaf *leaf = &in->leaves[FRAME_TIME];
    mp_str text = leaf->raw;
    if (leaf->kind == MP_JSON_STRING && !mp_leaf_text(in, leaf, &text)) return false;
    if (leaf->kind != MP_JSON_STRING && leaf->kind != MP_JSON_NUMBER) return false;
    out->has_time = mp_read_time(text, &r->time_ns) && r->time_ns >= 0 &&
                    r->time_ns <= MP_LINE_TIME_MAX_NS;
    return out->has_time;
}

/* Weight, id and the rule that refused: what is wrong there spoils the line, for it would be
 * counted wrongly. */
static const char *line_frame(struct mp_ingest *in, struct mp_record *r)
{
    r->weight = 1;
    if (mp_is_leaf(in, FRAME_WEIGHT)) {
        struct wanted want = {.type = MP_TYPE_INT, .entity = MP_NONE};
        struct mp_value v;
        if (!mp_convert_leaf(in, &in->leaves[FRAME_WEIGHT], &want, &v)) {
            return "`weight` is no whole number";
        }
        r->weight = mp_value_as_int(v);
        if (r->weight < 1 || r->weight > MP_LINE_WEIGHT_MAX) return "`weight` is out of range";
    }
    if (mp_is_leaf(in, FRAME_ID) && in->leaves[FRAME_ID].kind != MP_JSON_NULL) {
        const struct leaf *leaf = &in->leaves[FRAME_ID];
        r->id = mp_siphash(in->hash_key, leaf->raw.ptr, leaf->raw.len) | 1;
    }
    if (mp_is_leaf(in, FRAME_REFUSED_BY)) frame_text(in, FRAME_REFUSED_BY, &r->refused_by);
    return NULL;
}

static enum mp_ingest_kind signal_line(struct mp_ingest *in, int64_t default_ns,
                                       struct mp_ingested *out)
{
    mp_str name;
    out->signal = in->requests;
    if (mp_is_leaf(in, FRAME_SIGNAL)) {
        if (!frame_text(in, FRAME_SIGNAL, &name)) return bad(in, out, "`signal` is no text");
        out->signal = mp_ingest_signal(in, name);
    }
    bool timely = line_time(in, default_ns, out);
    if (mp_is_leaf(in, FRAME_ALIVE) && in->leaves[FRAME_ALIVE].kind == MP_JSON_TRUE) {
        if (out->signal == MP_NONE) return other(in, out);
        out->kind = MP_INGEST_ALIVE;
        return out->kind;
    }
    if (!timely) {
        return bad(in, out, mp_is_leaf(in, FRAME_TIME) ? "`time` is no time" : "no `time`");
    }
    const char *why = line_frame(in, &out->record);
    if (why != NULL) return bad(in, out, why);
    if (out->record.refused_by.len != 0) out->signal = mp_refused_signal(in, out->signal);
    if (out->signal == MP_NONE) return other(in, out);
    mp_record_make(in, out->signal, &out->record);
    out->kind = MP_INGEST_RECORD;
    return out->kind;
}

static bool blank(mp_str line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t' && line.ptr[i] != '\r') return false;
    }
    return true;
}

enum mp_ingest_kind mp_ingest_line(struct mp_ingest *in, mp_str line, uint32_t source,
                                   int64_t default_ns, struct mp_ingested *out)
{
    *out = (struct mp_ingested){.record = {.source = source}};
    in->counts.lines++;
    in->line++;
    in->scratch_used = 0;
    in->set_used = 0;
    in->leaf_number = 0;
    if (line.len > MP_LINE_MAX) return bad(in, out, "longer than 1 MiB");
    if (blank(line)) return other(in, out);
    if (!mp_shape_take(in, line)) {
        mp_shape_begin(in, line);
        mp_json_init(&in->json, line);
        if (!mp_json_object(&in->json, in->path, PATH_MAX_BYTES, in, take_leaf)) {
            out->column = (uint32_t)(in->json.token - line.ptr) + 1;
            return bad(in, out, in->json.why);
        }
        mp_shape_end(in, line);
    }
    if (mp_is_leaf(in, FRAME_ENTITY)) return entity_line(in, out);
    return signal_line(in, default_ns, out);
}

void mp_ingest_counts(const struct mp_ingest *in, struct mp_ingest_counts *out)
{
    *out = in->counts;
}
