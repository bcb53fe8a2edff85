/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/mesh_secrets.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

/* Somebody who renews certificates writes several files, one after the other. */
#define SETTLE_MS 50

struct file {
    mp_str name, bytes;
};

struct reading {
    struct mp_arena arena;
    struct file *files; /* in order of name */
    size_t count, cap;
    char why[4400]; /* empty: it went well; else a path and a reason */
};

struct dm_secrets {
    struct dm_secrets_options options;
    struct reading now;
    uv_fs_event_t watch;
    uv_timer_t settle;
    int open_handles;
};

/* ---- the folder ---- */

static bool refuse(struct reading *r, const char *name, const char *why)
{
    snprintf(r->why, sizeof r->why, "%s: %s", name, why);
    return false;
}

static bool read_file(struct reading *r, const char *path, mp_str *out)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) return refuse(r, path, "cannot be opened");
    struct mp_buf b;
    char chunk[8192];
    mp_buf_init(&b, &r->arena);
    for (size_t n; b.len <= DM_SECRET_BYTES_MAX && (n = fread(chunk, 1, sizeof chunk, f)) > 0;) {
        mp_buf_put(&b, (mp_str){chunk, n});
    }
    bool bad = ferror(f) != 0;
    fclose(f);
    if (bad || b.failed) return refuse(r, path, "cannot be read");
    if (b.len > DM_SECRET_BYTES_MAX) return refuse(r, path, "is longer than 1 MiB");
    *out = mp_buf_view(&b);
    return true;
}

static bool is_ours(mp_str name)
{
    return mp_str_eq(name, MP_STR("trust.pem")) || mp_str_eq(name, MP_STR("revoked.pem")) ||
           mp_str_ends(name, MP_STR(".crt")) || mp_str_ends(name, MP_STR(".key"));
}

static bool take_file(struct reading *r, const char *folder, const char *name)
{
    char path[4096];
    if (!is_ours(mp_str_of(name))) return true;
    if (r->count == r->cap) {
        size_t cap = r->cap == 0 ? 32 : 2 * r->cap;
        struct file *grown = mp_arena_grow(&r->arena, r->files, r->cap * sizeof *grown,
                                           cap * sizeof *grown, _Alignof(struct file));
        if (grown == NULL) return refuse(r, folder, "no memory");
        r->files = grown;
        r->cap = cap;
    }
    if (r->count == DM_SECRET_FILES_MAX) return refuse(r, folder, "has too many files");
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        return refuse(r, folder, "is too long a name");
    }
    struct file *f = &r->files[r->count];
    f->name = mp_arena_str(&r->arena, mp_str_of(name));
    if (f->name.ptr == NULL) return refuse(r, folder, "no memory");
    if (!read_file(r, path, &f->bytes)) return false;
    r->count++;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return mp_str_cmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static mp_str bytes_of(const struct reading *r, mp_str name)
{
    struct file wanted = {.name = name};
    const struct file *f =
        r->count > 0 ? bsearch(&wanted, r->files, r->count, sizeof wanted, by_name) : NULL;
    return f != NULL ? f->bytes : MP_STR("");
}

static bool judge(const struct dm_secrets *s, struct reading *r)
{
    if (bytes_of(r, MP_STR("trust.pem")).len == 0) {
        return refuse(r, s->options.folder, "has no trust.pem");
    }
    for (size_t i = 0; i < r->count && !s->options.keys; i++) {
        if (!mp_str_ends(r->files[i].name, MP_STR(".key"))) continue;
        return refuse(
            r, s->options.folder,
            "has private keys, which are told over mutual TLS (--xds-ca) or a unix socket alone");
    }
    return true;
}

static bool read_folder(const struct dm_secrets *s, struct reading *r)
{
    *r = (struct reading){0};
    mp_arena_init(&r->arena, NULL, 0);
    DIR *d = opendir(s->options.folder);
    if (d == NULL) return refuse(r, s->options.folder, "cannot be opened");
    bool good = true;
    for (const struct dirent *e; good && (e = readdir(d)) != NULL;) {
        good = take_file(r, s->options.folder, e->d_name);
    }
    closedir(d);
    if (r->count > 0) qsort(r->files, r->count, sizeof *r->files, by_name);
    return good && judge(s, r);
}

static bool same(const struct reading *a, const struct reading *b)
{
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!mp_str_eq(a->files[i].name, b->files[i].name)) return false;
        if (!mp_str_eq(a->files[i].bytes, b->files[i].bytes)) return false;
    }
    return true;
}

/* ---- changes ---- */

static void on_settled(uv_timer_t *timer)
{
    struct dm_secrets *s = timer->data;
    struct reading fresh;
    bool good = read_folder(s, &fresh);
    if (!good) s->options.log(s->options.ctx, fresh.why);
    if (!good || same(&s->now, &fresh)) {
        mp_arena_free(&fresh.arena);
        return;
    }
    struct reading old = s->now;
    s->now = fresh;
    s->options.changed(s->options.ctx);
    mp_arena_free(&old.arena);
}

static void on_change(uv_fs_event_t *watch, const char *name, int events, int status)
{
    struct dm_secrets *s = watch->data;
    (void)name;
    (void)events;
    (void)status;
    uv_timer_start(&s->settle, on_settled, SETTLE_MS, 0);
}

/* ---- life ---- */

static void free_all(struct dm_secrets *s)
{
    mp_arena_free(&s->now.arena);
    free(s);
}

static void on_closed(uv_handle_t *handle)
{
    struct dm_secrets *s = handle->data;
    if (--s->open_handles == 0) free_all(s);
}

void dm_secrets_close(struct dm_secrets *s)
{
    if (s == NULL) return;
    uv_close((uv_handle_t *)&s->watch, on_closed);
    uv_close((uv_handle_t *)&s->settle, on_closed);
}

bool dm_secrets_open(const struct dm_secrets_options *options, struct dm_secrets **out, char *why,
                     size_t why_size)
{
    struct dm_secrets *s = calloc(1, sizeof *s);
    if (s == NULL) {
        snprintf(why, why_size, "no memory");
        return false;
    }
    s->options = *options;
    if (!read_folder(s, &s->now)) {
        snprintf(why, why_size, "%s", s->now.why);
        free_all(s);
        return false;
    }
    uv_fs_event_init(options->loop, &s->watch);
    uv_timer_init(options->loop, &s->settle);
    s->watch.data = s->settle.data = s;
    s->open_handles = 2;
    if (uv_fs_event_start(&s->watch, on_change, options->folder, 0) != 0) {
        snprintf(why, why_size, "%s: cannot be watched", options->folder);
        dm_secrets_close(s);
        return false;
    }
    *out = s;
    return true;
}

/* ---- what is asked ---- */

static mp_str of_service(const struct dm_secrets *s, mp_str service, const char *ending)
{
    char name[300];
    if (service.len == 0 || service.len + strlen(ending) >= sizeof name) return MP_STR("");
    for (size_t i = 0; i < service.len; i++) name[i] = service.ptr[i] == '/' ? '.' : service.ptr[i];
    memcpy(name + service.len, ending, strlen(ending) + 1);
    return bytes_of(&s->now, mp_str_of(name));
}

mp_str dm_secrets_get(const struct dm_secrets *s, enum mp_envoy_secret which, mp_str service)
{
    switch (which) {
    case MP_ENVOY_SECRET_TRUST: return bytes_of(&s->now, MP_STR("trust.pem"));
    case MP_ENVOY_SECRET_REVOKED: return bytes_of(&s->now, MP_STR("revoked.pem"));
    case MP_ENVOY_SECRET_CHAIN: return of_service(s, service, ".crt");
    case MP_ENVOY_SECRET_KEY: return of_service(s, service, ".key");
    }
    return MP_STR("");
}
