/* SPDX-License-Identifier: Apache-2.0
 * The files of --inventory: the truth about what they name. Read at the start, by a reload, and when
 * they have changed; all of them together, and not at all where one is broken.
 */
#include "daemon/input_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "file/file.h"
#include "ingest/ingest.h"
#include "inventory/inventory.h"
#include "program/program.h"

#define FILES_BYTES_MAX (256u << 20) /* LIMIT: of all of them */
#define COMPLAINTS_MAX 10
#define NAMES_MAX 3 /* told of each sort of news */

/* ---- bytes ---- */

struct file {
    const char *path;
    struct dm_bytes text;
};

struct files {
    struct dm *d;
    struct file *all;
    size_t count;
};

static void free_files(struct files *f)
{
    for (size_t i = 0; i < f->count; i++) dm_bytes_free(&f->all[i].text);
    free(f->all);
}

static const char *read_file(struct file *file, size_t *room)
{
    const char *why;
    FILE *f = mp_file_open(file->path, &why);
    if (f == NULL) return why;
    size_t got;
    while (why == NULL && (got = fread(dm_read_room, 1, sizeof dm_read_room, f)) > 0) {
        if (got > *room) {
            why = "longer than 256 MiB";
        } else if (!dm_bytes_add(&file->text, dm_read_room, got)) {
            why = "no memory for it";
        }
        *room -= why == NULL ? got : 0;
    }
    if (why == NULL && ferror(f)) why = strerror(errno);
    fclose(f);
    return why;
}

static bool read_files(struct files *f, char *problem, size_t size)
{
    const struct mp_daemon_options *o = f->d->options;
    size_t room = FILES_BYTES_MAX;
    f->all = calloc(o->inventory_count + 1, sizeof *f->all);
    if (f->all == NULL) {
        snprintf(problem, size, "no memory for the inventory");
        return false;
    }
    for (; f->count < o->inventory_count; f->count++) {
        struct file *file = &f->all[f->count];
        file->path = o->inventory[f->count];
        const char *why = read_file(file, &room);
        if (why == NULL) continue;
        snprintf(problem, size, "%s: %s", file->path, why);
        f->count++;
        return false;
    }
    return true;
}

/* ---- lines ---- */

struct lines {
    struct mp_ingest *ingest;
    const char *path;
    mp_str rest;
    uint64_t number;       /* of the line at hand */
    struct mp_ingested in; /* what it says */
    const char *why;       /* it is no good; NULL: it is */
};

static mp_str next_line(struct lines *l)
{
    const char *end = memchr(l->rest.ptr, '\n', l->rest.len);
    size_t len = end != NULL ? (size_t)(end - l->rest.ptr) : l->rest.len;
    mp_str line = {l->rest.ptr, len};
    l->rest = mp_str_sub(l->rest, len + (end != NULL), SIZE_MAX);
    l->number++;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') line.len--;
    return line;
}

static const char *fault_of(struct lines *l, mp_str line, bool *entity)
{
    *entity = false;
    if (line.len > MP_LINE_MAX) return "longer than 1 MiB";
    switch (mp_ingest_line(l->ingest, line, 0, 1, &l->in)) {
    case MP_INGEST_ENTITY: *entity = true; return NULL;
    case MP_INGEST_OTHER: return NULL; /* blank, or nothing to this program */
    case MP_INGEST_BAD: return l->in.why;
    case MP_INGEST_RECORD:
    case MP_INGEST_ALIVE: break;
    }
    return "not a line about an entity";
}

/* The next one about an entity, or that is no good. */
static bool next_entity(struct lines *l)
{
    bool entity = false;
    l->why = NULL;
    while (l->rest.len > 0 && !entity && l->why == NULL) {
        mp_str line = next_line(l);
        l->why = fault_of(l, line, &entity);
    }
    return entity || l->why != NULL;
}

static struct lines lines_of(const struct file *file, struct mp_ingest *ingest)
{
    mp_str text = {file->text.ptr != NULL ? file->text.ptr : "", file->text.len};
    return (struct lines){.ingest = ingest, .path = file->path, .rest = text};
}

/* The line is taken without it. */
static void tell_odd(struct dm *d, const struct lines *l)
{
    if (l->in.odd.len == 0) return;
    dm_log(d, "warn", "%s:%llu: `%.*s` is not %.*s: left out (more of these are only counted)",
           l->path, (unsigned long long)l->number, MP_STR_ARG(l->in.odd),
           MP_STR_ARG(mp_type_noun(l->in.odd_type)));
}

/* ---- first all lines are looked at ---- */

struct look {
    bool broken, empty; /* a file that is being written may be empty, too */
    char problem[256];  /* the first that is no good */
};

static void name_all(const struct files *f, struct mp_ingest *ingest, struct look *look)
{
    struct mp_inventory *inv = mp_engine_inventory(f->d->engine);
    *look = (struct look){.empty = true};
    mp_inventory_files_begin(inv);
    for (size_t i = 0; i < f->count; i++) {
        struct lines l = lines_of(&f->all[i], ingest);
        while (next_entity(&l)) {
            look->empty = false;
            if (l.why == NULL) {
                mp_inventory_files_name(inv, l.in.entity);
            } else if (!look->broken) {
                look->broken = true;
                snprintf(look->problem, sizeof look->problem, "%s:%llu: %s", l.path,
                         (unsigned long long)l.number, l.why);
            }
        }
    }
    if (look->empty)
        snprintf(look->problem, sizeof look->problem, "%s: it names nothing", f->all[0].path);
}

/* With an ingest of its own, or all that it counts would be counted twice. */
static bool look_at(const struct files *f, struct look *look)
{
    struct mp_arena arena;
    struct mp_ingest *ingest;
    mp_arena_init(&arena, NULL, 0);
    enum mp_err err =
        mp_ingest_create(&arena, f->d->now.program, f->d->identity.hash_key, &ingest);
    if (err == MP_OK) {
        name_all(f, ingest, look);
    } else {
        *look = (struct look){.broken = true};
        snprintf(look->problem, sizeof look->problem, "%s", mp_err_text(err));
    }
    mp_arena_free(&arena);
    return !look->broken && !look->empty;
}

/* ---- then they are taken ---- */

struct news {
    struct dm *d;
    struct sort {
        const char *word;
        uint32_t count;
        char names[200];
    } sorts[3];
};

static void take_news(void *ctx, const char *what, uint32_t entity, struct mp_value key)
{
    struct news *n = ctx;
    const struct mp_program *p = n->d->now.program;
    size_t i = 0;
    while (strcmp(n->sorts[i].word, what) != 0) i++;
    struct sort *s = &n->sorts[i];
    if (s->count++ >= NAMES_MAX) return;
    char room[256];
    struct mp_arena arena;
    struct mp_buf b;
    mp_arena_init_fixed(&arena, room, sizeof room);
    mp_buf_init(&b, &arena);
    mp_value_print(&b, (enum mp_type)p->entity[entity].key_type, key);
    mp_str name = b.failed ? MP_STR("...") : mp_buf_view(&b), kind =
        mp_program_text(p, p->entity[entity].name);
    size_t at = strlen(s->names);
    snprintf(s->names + at, sizeof s->names - at, "%s%.*s %.*s", at > 0 ? ", " : "",
             MP_STR_ARG(kind), MP_STR_ARG(name));
}

/* `2 gone (instance pay-2, instance pay-3), 1 came (…)`; empty: nothing. */
static void write_news(const struct news *n, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof n->sorts / sizeof *n->sorts && at < size; i++) {
        const struct sort *s = &n->sorts[i];
        if (s->count == 0) continue;
        at += (size_t)snprintf(out + at, size - at, "%s%u %s (%s%s)", at > 0 ? ", " : "", s->count,
                               s->word, s->names, s->count > NAMES_MAX ? ", ..." : "");
    }
}

static void put_all(const struct files *f, const struct mp_inventory_news *tell)
{
    struct mp_inventory *inv = mp_engine_inventory(f->d->engine);
    for (size_t i = 0; i < f->count; i++) {
        struct lines l = lines_of(&f->all[i], f->d->now.ingest);
        uint64_t full = 0;
        while (next_entity(&l)) {
            if (l.why != NULL) {
                if (++f->d->counts.bad_lines > COMPLAINTS_MAX) continue;
                dm_log(f->d, "warn", "%s:%llu: %s; skipped", l.path, (unsigned long long)l.number,
                       l.why);
                continue;
            }
            tell_odd(f->d, &l);
            if (mp_inventory_files_put(inv, l.in.entity, tell) != MP_OK && full++ == 0) {
                dm_log(f->d, "error", "%s:%llu: the inventory is full; skipped", l.path,
                       (unsigned long long)l.number);
            }
        }
    }
    f->d->inventory_news = f->d->inventory_unkept = true;
}

/* ---- when ---- */

static uint64_t mark_now(const struct dm *d)
{
    uint64_t mark = 1;
    for (size_t i = 0; i < d->options->inventory_count; i++) {
        struct stat st;
        uint64_t seen[4] = {0};
        if (stat(d->options->inventory[i], &st) == 0) {
            seen[0] = (uint64_t)st.st_mtim.tv_sec;
            seen[1] = (uint64_t)st.st_mtim.tv_nsec;
            seen[2] = (uint64_t)st.st_size;
            seen[3] = (uint64_t)st.st_ino;
        }
        mark = mp_siphash((struct mp_hash_key){mark, i}, seen, sizeof seen);
    }
    return mark;
}

/* What was looked at is taken: all of it, or (not whole) without anything that goes. */
static void take(const struct files *f, bool whole)
{
    struct dm *d = f->d;
    struct news news = {d, {{.word = "came"}, {.word = "changed"}, {.word = "gone"}}};
    struct mp_inventory_news tell = {&news, take_news};
    if (whole) mp_inventory_files_sweep(mp_engine_inventory(d->engine), &tell);
    put_all(f, &tell);
    write_news(&news, d->inventory_told, sizeof d->inventory_told);
    if (d->inventory_told[0] != '\0') dm_log(d, "info", "inventory: %s", d->inventory_told);
}

/* Before telemetry: rules then know the callers they ask about. A line that is no good is told and
 * skipped, and then nothing of what was kept goes. */
bool dm_inventory_read(struct dm *d)
{
    struct files f = {.d = d};
    struct look look;
    char problem[256];
    if (d->options->inventory_count == 0) return true;
    d->inventory_mark = d->inventory_seen = mark_now(d);
    bool read = read_files(&f, problem, sizeof problem);
    if (read) {
        bool whole = look_at(&f, &look);
        if (look.empty) dm_log(d, "warn", "%s: what it named before stays", look.problem);
        take(&f, whole);
    } else {
        fprintf(stderr, "mpol run: %s\n", problem);
    }
    free_files(&f);
    return read;
}

static void refuse(struct dm *d, const char *problem)
{
    d->counts.reload_failures++;
    snprintf(d->inventory_problem, sizeof d->inventory_problem, "%s", problem);
    dm_log(d, "error", "the inventory stays as it was: %s", problem);
}

void dm_inventory_reload(struct dm *d)
{
    struct files f = {.d = d};
    struct look look;
    char problem[256];
    if (d->options->inventory_count == 0) return;
    d->inventory_told[0] = d->inventory_problem[0] = '\0';
    d->inventory_mark = d->inventory_seen = mark_now(d);
    if (!read_files(&f, problem, sizeof problem)) {
        refuse(d, problem);
    } else if (!look_at(&f, &look)) {
        refuse(d, look.problem);
    } else {
        take(&f, true);
        dm_inventory_told(d);
    }
    free_files(&f);
}

bool dm_inventory_settled(struct dm *d)
{
    uint64_t now = mark_now(d);
    bool same = now == d->inventory_seen;
    d->inventory_seen = now;
    return same;
}

bool dm_inventory_changed(const struct dm *d) { return d->inventory_seen != d->inventory_mark; }
