/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/frame.h"

#include <stdlib.h>

#include "base/assert.h"

/* Bytes of a lease without any text and arguments: what a count is checked against before memory is
 * taken for it. */
#define LEASE_BYTES_MIN (8 + 8 + 5 * 4 + 4 + 8 + 8 + 8 + 1)

/* ---- writing ---- */

void mp_frame_out_free(struct mp_frame_out *out)
{
    free(out->ptr);
    *out = (struct mp_frame_out){0};
}

bool mp_frame_out_reserve(struct mp_frame_out *out, size_t more)
{
    if (out->failed) return false;
    if (more <= out->cap - out->len) return true;
    size_t cap = out->cap != 0 ? out->cap : 1024;
    while (cap - out->len < more) cap *= 2;
    char *grown = realloc(out->ptr, cap);
    if (grown == NULL) {
        out->failed = true;
        return false;
    }
    out->ptr = grown;
    out->cap = cap;
    return true;
}

static char *reserve(struct mp_frame_out *out, size_t more)
{
    if (!mp_frame_out_reserve(out, more)) return NULL;
    char *at = out->ptr + out->len;
    out->len += more;
    return at;
}

/* Little-endian hosts only; runtime/program/ refuses the others. */
static inline void store_le(char *at, uint64_t v, size_t bytes) { memcpy(at, &v, bytes); }

static inline uint64_t load_le(const char *at, size_t bytes)
{
    uint64_t v = 0;
    memcpy(&v, at, bytes);
    return v;
}

static void put_le(struct mp_frame_out *out, uint64_t v, size_t bytes)
{
    char *at = reserve(out, bytes);
    if (at != NULL) store_le(at, v, bytes);
}

size_t mp_frame_begin(struct mp_frame_out *out, enum mp_frame_type type)
{
    size_t began = out->len;
    put_le(out, 0, 4);
    put_le(out, (uint64_t)type, 1);
    return began;
}

void mp_frame_end(struct mp_frame_out *out, size_t began)
{
    if (out->failed) return;
    MP_ASSERT(out->len - began >= MP_FRAME_HEAD);
    store_le(out->ptr + began, out->len - began - 4, 4);
}

void mp_frame_set_u32(struct mp_frame_out *out, size_t at, uint32_t v)
{
    if (!out->failed) store_le(out->ptr + at, v, 4);
}

void mp_frame_put_u8(struct mp_frame_out *out, uint8_t v) { put_le(out, v, 1); }
void mp_frame_put_u32(struct mp_frame_out *out, uint32_t v) { put_le(out, v, 4); }
void mp_frame_put_u64(struct mp_frame_out *out, uint64_t v) { put_le(out, v, 8); }

void mp_frame_put_bytes(struct mp_frame_out *out, mp_str s)
{
    char *at = s.len > 0 ? reserve(out, s.len) : NULL;
    if (at != NULL) memcpy(at, s.ptr, s.len);
}

void mp_frame_put_text(struct mp_frame_out *out, mp_str s)
{
    mp_frame_put_u32(out, (uint32_t)s.len);
    mp_frame_put_bytes(out, s);
}

/* ---- reading ---- */

enum mp_err mp_frame_next(mp_str bytes, size_t max, uint8_t *type, mp_str *body, size_t *size)
{
    *size = 0;
    if (bytes.len < 4) return MP_EAGAIN;
    size_t len = (size_t)load_le(bytes.ptr, 4);
    if (len < 1 || len > max - 4) return MP_ECORRUPT;
    *size = len + 4;
    if (bytes.len < *size) return MP_EAGAIN;
    *type = (uint8_t)bytes.ptr[4];
    *body = (mp_str){bytes.ptr + MP_FRAME_HEAD, len - 1};
    return MP_OK;
}

struct mp_frame_in mp_frame_open(mp_str body)
{
    static const char none[1];
    const char *at = body.ptr != NULL ? body.ptr : none;
    return (struct mp_frame_in){at, at + body.len, false};
}

bool mp_frame_closed(const struct mp_frame_in *in) { return !in->bad && in->at == in->end; }

static inline uint64_t get_le(struct mp_frame_in *in, size_t bytes)
{
    if (in->bad || (size_t)(in->end - in->at) < bytes) {
        in->bad = true;
        return 0;
    }
    uint64_t v = load_le(in->at, bytes);
    in->at += bytes;
    return v;
}

uint8_t mp_frame_u8(struct mp_frame_in *in) { return (uint8_t)get_le(in, 1); }
uint32_t mp_frame_u32(struct mp_frame_in *in) { return (uint32_t)get_le(in, 4); }
uint64_t mp_frame_u64(struct mp_frame_in *in) { return get_le(in, 8); }

mp_str mp_frame_text(struct mp_frame_in *in)
{
    size_t len = mp_frame_u32(in);
    if (in->bad || (size_t)(in->end - in->at) < len) {
        in->bad = true;
        return MP_STR("");
    }
    mp_str s = {in->at, len};
    in->at += len;
    return s;
}

/* ---- who, how far, how much ---- */

void mp_frame_put_hello(struct mp_frame_out *out, const struct mp_frame_hello *hello)
{
    size_t began = mp_frame_begin(out, MP_FRAME_HELLO);
    mp_frame_put_u32(out, hello->protocol);
    mp_frame_put_u32(out, hello->workers);
    mp_frame_put_text(out, hello->layer);
    mp_frame_put_text(out, hello->service);
    mp_frame_put_text(out, hello->instance);
    mp_frame_put_text(out, hello->version);
    mp_frame_put_u64(out, hello->program);
    mp_frame_put_u64(out, hello->leases);
    mp_frame_end(out, began);
}

bool mp_frame_get_hello(mp_str body, struct mp_frame_hello *hello)
{
    struct mp_frame_in in = mp_frame_open(body);
    hello->protocol = mp_frame_u32(&in);
    hello->workers = mp_frame_u32(&in);
    hello->layer = mp_frame_text(&in);
    hello->service = mp_frame_text(&in);
    hello->instance = mp_frame_text(&in);
    hello->version = mp_frame_text(&in);
    hello->program = mp_frame_u64(&in);
    hello->leases = mp_frame_u64(&in);
    return mp_frame_closed(&in);
}

void mp_frame_put_taken(struct mp_frame_out *out, const struct mp_frame_taken *taken)
{
    size_t began = mp_frame_begin(out, MP_FRAME_TAKEN);
    mp_frame_put_u8(out, taken->what);
    mp_frame_put_u64(out, taken->revision);
    mp_frame_put_u8(out, taken->err);
    mp_frame_put_text(out, taken->why);
    mp_frame_end(out, began);
}

bool mp_frame_get_taken(mp_str body, struct mp_frame_taken *taken)
{
    struct mp_frame_in in = mp_frame_open(body);
    taken->what = mp_frame_u8(&in);
    taken->revision = mp_frame_u64(&in);
    taken->err = mp_frame_u8(&in);
    taken->why = mp_frame_text(&in);
    return mp_frame_closed(&in) && taken->err < MP_ERR_COUNT;
}

void mp_frame_put_counts(struct mp_frame_out *out, const struct mp_frame_counts *c)
{
    const uint64_t all[] = {c->verdicts, c->refusals, c->records, c->dropped, c->cut};
    size_t began = mp_frame_begin(out, MP_FRAME_COUNTS);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mp_frame_put_u64(out, all[i]);
    mp_frame_end(out, began);
}

bool mp_frame_get_counts(mp_str body, struct mp_frame_counts *c)
{
    struct mp_frame_in in = mp_frame_open(body);
    uint64_t *all[] = {&c->verdicts, &c->refusals, &c->records, &c->dropped, &c->cut};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) *all[i] = mp_frame_u64(&in);
    return mp_frame_closed(&in);
}

/* ---- programs ---- */

void mp_frame_put_program(struct mp_frame_out *out, uint64_t revision, mp_str image,
                          const struct mp_frame_param *params, uint32_t param_count)
{
    size_t began = mp_frame_begin(out, MP_FRAME_PROGRAM);
    mp_frame_put_u64(out, revision);
    mp_frame_put_text(out, image);
    mp_frame_put_u32(out, param_count);
    for (uint32_t i = 0; i < param_count; i++) {
        mp_frame_put_text(out, params[i].name);
        mp_frame_put_text(out, params[i].value);
    }
    mp_frame_end(out, began);
}

bool mp_frame_get_program(mp_str body, struct mp_frame_program *program)
{
    struct mp_frame_in in = mp_frame_open(body);
    program->revision = mp_frame_u64(&in);
    program->image = mp_frame_text(&in);
    program->param_count = mp_frame_u32(&in);
    program->params = in;
    if (program->param_count > MP_FRAME_PARAMS_MAX) return false;
    for (uint32_t i = 0; i < program->param_count; i++) {
        mp_frame_text(&in);
        mp_frame_text(&in);
    }
    return mp_frame_closed(&in);
}

bool mp_frame_get_param(struct mp_frame_program *program, struct mp_frame_param *param)
{
    if (program->params.at == program->params.end) return false;
    param->name = mp_frame_text(&program->params);
    param->value = mp_frame_text(&program->params);
    return !program->params.bad;
}

void mp_frame_put_inventory(struct mp_frame_out *out, const struct mp_frame_inventory *inventory)
{
    size_t began = mp_frame_begin(out, MP_FRAME_INVENTORY);
    mp_frame_put_u64(out, inventory->revision);
    mp_frame_put_text(out, inventory->lines);
    mp_frame_end(out, began);
}

bool mp_frame_get_inventory(mp_str body, struct mp_frame_inventory *inventory)
{
    struct mp_frame_in in = mp_frame_open(body);
    inventory->revision = mp_frame_u64(&in);
    inventory->lines = mp_frame_text(&in);
    return mp_frame_closed(&in);
}

/* ---- leases ---- */

static mp_str str_of(struct mpol_text t) { return (mp_str){t.ptr, t.len}; }
static struct mpol_text text_of(mp_str s) { return (struct mpol_text){s.ptr, s.len}; }

static uint64_t bits_of(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

static double number_of(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static void put_arg(struct mp_frame_out *out, const struct mpol_arg *a)
{
    mp_frame_put_text(out, str_of(a->name));
    mp_frame_put_text(out, str_of(a->type));
    mp_frame_put_u8(out, (uint8_t)a->kind);
    switch (a->kind) {
    case MPOL_ARG_TEXT: mp_frame_put_text(out, str_of(a->text)); break;
    case MPOL_ARG_INT: mp_frame_put_u64(out, (uint64_t)a->integer); break;
    case MPOL_ARG_NUMBER: mp_frame_put_u64(out, bits_of(a->number)); break;
    }
}

static char *lay(char *at, uint64_t v, size_t bytes)
{
    store_le(at, v, bytes);
    return at + bytes;
}

static char *lay_text(char *at, struct mpol_text t)
{
    at = lay(at, t.len, 4);
    if (t.len > 0) memcpy(at, t.ptr, t.len);
    return at + t.len;
}

/* Of a long list every field that asked for room by itself would cost more than what is in it. */
static void put_lease(struct mp_frame_out *out, const struct mpol_lease *l)
{
    char *at = reserve(out, LEASE_BYTES_MIN + l->rule.len + l->verb.len + l->target_kind.len +
                                l->target_type.len + l->target.len);
    MP_ASSERT(l->arg_count <= MP_FRAME_ARGS_MAX);
    if (at == NULL) return;
    at = lay(at, l->id, 8);
    at = lay(at, l->incident, 8);
    at = lay_text(at, l->rule);
    at = lay_text(at, l->verb);
    at = lay_text(at, l->target_kind);
    at = lay_text(at, l->target_type);
    at = lay_text(at, l->target);
    at = lay(at, l->hooks, 4);
    at = lay(at, (uint64_t)l->ends_wall_ns, 8);
    at = lay(at, (uint64_t)l->begins_wall_ns, 8);
    at = lay(at, bits_of(l->given_back), 8);
    lay(at, l->arg_count, 1);
    for (uint32_t i = 0; i < l->arg_count; i++) put_arg(out, &l->args[i]);
}

void mp_frame_put_leases(struct mp_frame_out *out, const struct mpol_desired *set,
                         bool (*keep)(void *ctx, const struct mpol_lease *lease), void *ctx)
{
    size_t began = mp_frame_begin(out, MP_FRAME_LEASES);
    mp_frame_put_u64(out, set->revision);
    mp_frame_put_text(out, str_of(set->owner));
    mp_frame_put_u64(out, (uint64_t)set->now_wall_ns);
    size_t count_at = out->len;
    uint32_t count = 0;
    mp_frame_put_u32(out, 0);
    for (size_t i = 0; i < set->lease_count; i++) {
        if (keep != NULL && !keep(ctx, &set->leases[i])) continue;
        put_lease(out, &set->leases[i]);
        count++;
    }
    mp_frame_set_u32(out, count_at, count);
    mp_frame_end(out, began);
}

/* The rows of a set that is being decoded. NULL: it is only being measured. */
struct rows {
    struct mpol_lease *leases;
    struct mpol_arg *args;
    size_t arg_count;
};

static void get_arg(struct mp_frame_in *in, struct rows *rows)
{
    struct mpol_arg a = {.name = text_of(mp_frame_text(in)), .type = text_of(mp_frame_text(in))};
    uint8_t kind = mp_frame_u8(in);
    switch (kind) {
    case MPOL_ARG_TEXT: a.text = text_of(mp_frame_text(in)); break;
    case MPOL_ARG_INT: a.integer = (int64_t)mp_frame_u64(in); break;
    case MPOL_ARG_NUMBER: a.number = number_of(mp_frame_u64(in)); break;
    default: in->bad = true;
    }
    a.kind = (enum mpol_arg_kind)kind;
    if (rows->args != NULL) rows->args[rows->arg_count] = a;
    rows->arg_count++;
}

static void get_lease(struct mp_frame_in *in, struct rows *rows, uint32_t at)
{
    struct mpol_lease l = {.size = sizeof l, .id = mp_frame_u64(in)};
    l.incident = mp_frame_u64(in);
    l.rule = text_of(mp_frame_text(in));
    l.verb = text_of(mp_frame_text(in));
    l.target_kind = text_of(mp_frame_text(in));
    l.target_type = text_of(mp_frame_text(in));
    l.target = text_of(mp_frame_text(in));
    l.hooks = mp_frame_u32(in);
    l.ends_wall_ns = (int64_t)mp_frame_u64(in);
    l.begins_wall_ns = (int64_t)mp_frame_u64(in);
    l.given_back = number_of(mp_frame_u64(in));
    if (!(l.given_back >= 0 && l.given_back <= 1)) in->bad = true;
    l.arg_count = mp_frame_u8(in);
    if (l.arg_count > MP_FRAME_ARGS_MAX) in->bad = true;
    l.args = rows->args != NULL ? rows->args + rows->arg_count : NULL;
    for (uint32_t i = 0; i < l.arg_count && !in->bad; i++) get_arg(in, rows);
    if (rows->leases != NULL) rows->leases[at] = l;
}

static void get_leases(struct mp_frame_in *in, struct rows *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count && !in->bad; i++) get_lease(in, rows, i);
}

/* Twice over the same bytes: how many arguments there are, then the rows. */
enum mp_err mp_frame_get_leases(mp_str body, struct mpol_desired *set, void **memory)
{
    struct mp_frame_in in = mp_frame_open(body);
    *set = (struct mpol_desired){.size = sizeof *set, .revision = mp_frame_u64(&in)};
    set->owner = text_of(mp_frame_text(&in));
    set->now_wall_ns = (int64_t)mp_frame_u64(&in);
    uint32_t count = mp_frame_u32(&in);
    *memory = NULL;
    if (in.bad || count > (size_t)(in.end - in.at) / LEASE_BYTES_MIN) return MP_ECORRUPT;

    struct mp_frame_in again = in;
    struct rows rows = {NULL, NULL, 0};
    get_leases(&in, &rows, count);
    if (!mp_frame_closed(&in)) return MP_ECORRUPT;
    size_t lease_bytes = count * sizeof *rows.leases;
    char *block = malloc(lease_bytes + rows.arg_count * sizeof *rows.args + 1);
    if (block == NULL) return MP_ENOMEM;
    rows = (struct rows){(struct mpol_lease *)(void *)block,
                         (struct mpol_arg *)(void *)(block + lease_bytes), 0};
    get_leases(&again, &rows, count);
    set->leases = rows.leases;
    set->lease_count = count;
    *memory = block;
    return MP_OK;
}
