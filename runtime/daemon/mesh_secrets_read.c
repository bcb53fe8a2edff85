/* SPDX-License-Identifier: Apache-2.0
 * The folder of `--sds` → what may be served. A proxy that is given a key of another certificate,
 * or a text that it cannot read, keeps what it has, or has nothing; so does who reads it here.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/mesh_secrets_priv.h"
#include "file/file.h"

struct file {
    mp_str name, bytes;
    const char *why; /* NULL: it could be read */
};

struct files {
    struct secret_reading *r;
    struct file *at; /* in order of name */
    size_t count, cap;
};

static bool refuse(struct secret_reading *r, const char *name, const char *why)
{
    snprintf(r->why, sizeof r->why, "%s: %s", name, why);
    return false;
}

/* ---- files ---- */

/* False: there is no memory. */
static bool read_file(struct files *all, const char *path, struct file *out)
{
    struct mp_buf b;
    char chunk[8192];
    FILE *f = mp_file_open(path, &out->why);
    if (f == NULL) return true;
    mp_buf_init(&b, &all->r->arena);
    for (size_t n; b.len <= DM_SECRET_BYTES_MAX && (n = fread(chunk, 1, sizeof chunk, f)) > 0;) {
        mp_buf_put(&b, (mp_str){chunk, n});
    }
    if (ferror(f) != 0) out->why = strerror(errno);
    fclose(f);
    if (out->why == NULL && b.len > DM_SECRET_BYTES_MAX) out->why = "is longer than 1 MiB";
    out->bytes = mp_buf_view(&b);
    return !b.failed;
}

static bool is_ours(mp_str name)
{
    return mp_str_eq(name, MP_STR("trust.pem")) || mp_str_eq(name, MP_STR("revoked.pem")) ||
           mp_str_ends(name, MP_STR(".crt")) || mp_str_ends(name, MP_STR(".key"));
}

static bool room_for_file(struct files *all)
{
    if (all->count < all->cap) return true;
    size_t cap = all->cap == 0 ? 32 : 2 * all->cap;
    struct file *grown = mp_arena_grow(&all->r->arena, all->at, all->cap * sizeof *grown,
                                       cap * sizeof *grown, _Alignof(struct file));
    if (grown == NULL) return false;
    all->at = grown;
    all->cap = cap;
    return true;
}

static bool take_file(struct files *all, const char *folder, const char *name)
{
    char path[4096];
    if (!is_ours(mp_str_of(name))) return true;
    if (all->count == DM_SECRET_FILES_MAX) return refuse(all->r, folder, "has too many files");
    if (!room_for_file(all)) return refuse(all->r, folder, "no memory");
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        return refuse(all->r, folder, "is too long a name");
    }
    struct file *f = &all->at[all->count];
    *f = (struct file){.name = mp_arena_str(&all->r->arena, mp_str_of(name))};
    if (f->name.ptr == NULL || !read_file(all, path, f)) return refuse(all->r, folder, "no memory");
    all->count++;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return mp_str_cmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static const struct file *file_of(const struct files *all, mp_str name)
{
    struct file wanted = {.name = name};
    if (all->count == 0) return NULL;
    return bsearch(&wanted, all->at, all->count, sizeof wanted, by_name);
}

static bool read_files(struct files *all, const char *folder)
{
    DIR *d = opendir(folder);
    if (d == NULL) return refuse(all->r, folder, strerror(errno));
    bool good = true;
    for (const struct dirent *e; good && (e = readdir(d)) != NULL;) {
        good = take_file(all, folder, e->d_name);
    }
    closedir(d);
    if (all->count > 0) qsort(all->at, all->count, sizeof *all->at, by_name);
    return good;
}

/* ---- what is no good ---- */

struct fault {
    char text[700]; /* empty: none */
};

static void find_fault(struct fault *out, mp_str name, const char *why)
{
    snprintf(out->text, sizeof out->text, "%.*s %s", MP_STR_ARG(name), why);
}

/* Is there such a file, and can it be read as that? */
static void judge_file(const struct file *f, mp_str name, enum mp_pem_kind kind,
                       struct mp_pem_dates *dates, struct fault *out)
{
    char why[160] = "";
    if (out->text[0] != '\0') return;
    if (f == NULL) {
        find_fault(out, name, "is not there");
    } else if (f->why != NULL) {
        snprintf(why, sizeof why, "cannot be read: %s", f->why);
        find_fault(out, name, why);
    } else if (mp_pem_read(f->bytes, kind, dates, why, sizeof why) != MP_OK) {
        find_fault(out, name, why[0] != '\0' ? why : "cannot be read: no memory");
    }
}

static void judge_pair(const struct files *all, struct secret_item *item, struct fault *out)
{
    char key_name[300];
    mp_str stem = mp_str_sub(item->name, 0, item->name.len - strlen(".crt"));
    snprintf(key_name, sizeof key_name, "%.*s.key", MP_STR_ARG(stem));
    const struct file *cert = file_of(all, item->name);
    const struct file *key = file_of(all, mp_str_of(key_name));
    judge_file(cert, item->name, MP_PEM_CERTIFICATES, &item->dates, out);
    judge_file(key, mp_str_of(key_name), MP_PEM_KEY, NULL, out);
    if (out->text[0] != '\0') return;
    item->text = cert->bytes;
    item->key = key->bytes;
    if (!mp_pem_fits(cert->bytes, key->bytes)) {
        find_fault(out, mp_str_of(key_name), "is the key of another certificate");
    }
}

static void judge_one(const struct files *all, struct secret_item *item, struct fault *out)
{
    enum mp_pem_kind kind = item->kind == SECRET_TRUST ? MP_PEM_CERTIFICATES : MP_PEM_LISTS;
    const struct file *f = file_of(all, item->name);
    judge_file(f, item->name, kind, &item->dates, out);
    if (f != NULL) item->text = f->bytes;
}

/* What is there is no good: what was there before is served on. */
static bool fall_back(struct secret_reading *r, struct secret_item *item, const struct fault *fault,
                      const struct secret_reading *before)
{
    const struct secret_item *old = before != NULL ? secrets_find(before, item->name) : NULL;
    item->text = item->key = MP_STR("");
    if (old != NULL && old->text.len > 0) {
        item->dates = old->dates;
        item->told = old->told;
        item->text = mp_arena_str(&r->arena, old->text);
        item->key = mp_arena_str(&r->arena, old->key);
    }
    item->why = mp_arena_str(&r->arena, mp_str_of(fault->text));
    if (item->why.ptr != NULL && item->text.ptr != NULL && item->key.ptr != NULL) return true;
    return refuse(r, fault->text, "no memory");
}

static bool judge(const struct files *all, struct secret_item *item,
                  const struct secret_reading *before)
{
    struct fault fault = {""};
    if (item->kind == SECRET_PAIR) {
        judge_pair(all, item, &fault);
    } else {
        judge_one(all, item, &fault);
    }
    return fault.text[0] == '\0' || fall_back(all->r, item, &fault, before);
}

/* ---- what belongs together ---- */

/* The certificate's name, of a key too; empty: the key is with its certificate, which is there. */
static mp_str pair_of(const struct files *all, mp_str name)
{
    if (mp_str_ends(name, MP_STR(".crt"))) return name;
    struct mp_buf b;
    mp_buf_init(&b, &all->r->arena);
    mp_buf_put(&b, mp_str_sub(name, 0, name.len - strlen(".key")));
    mp_buf_put(&b, MP_STR(".crt"));
    mp_str cert = mp_buf_view(&b);
    return b.failed || file_of(all, cert) != NULL ? MP_STR("") : cert;
}

static struct secret_item *add(struct secret_reading *r, enum secret_kind kind, mp_str name)
{
    struct secret_item *item = &r->items[r->count++];
    *item = (struct secret_item){.kind = kind, .name = name};
    item->dates = (struct mp_pem_dates){.from_s = INT64_MIN, .until_s = INT64_MAX};
    return item;
}

static int by_item_name(const void *a, const void *b)
{
    return mp_str_cmp(((const struct secret_item *)a)->name,
                      ((const struct secret_item *)b)->name);
}

struct secret_item *secrets_find(const struct secret_reading *r, mp_str name)
{
    struct secret_item wanted = {.name = name};
    if (r->count == 0) return NULL;
    return bsearch(&wanted, r->items, r->count, sizeof wanted, by_item_name);
}

static bool group(const struct files *all, const struct secret_reading *before)
{
    struct secret_reading *r = all->r;
    bool good = judge(all, add(r, SECRET_TRUST, MP_STR("trust.pem")), before);
    for (size_t i = 0; i < all->count && good; i++) {
        mp_str name = all->at[i].name;
        if (mp_str_eq(name, MP_STR("trust.pem"))) continue;
        bool revoked = mp_str_eq(name, MP_STR("revoked.pem"));
        if (!revoked) name = pair_of(all, name);
        if (name.len == 0) continue;
        good = judge(all, add(r, revoked ? SECRET_REVOKED : SECRET_PAIR, name), before);
    }
    qsort(r->items, r->count, sizeof *r->items, by_item_name);
    return good;
}

static bool has_keys(const struct files *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (mp_str_ends(all->at[i].name, MP_STR(".key"))) return true;
    }
    return false;
}

bool secrets_read(const char *folder, bool keys, const struct secret_reading *before,
                  struct secret_reading *out)
{
    struct files all = {.r = out};
    *out = (struct secret_reading){.count = 0};
    mp_arena_init(&out->arena, NULL, 0);
    if (!read_files(&all, folder)) return false;
    if (!keys && has_keys(&all)) {
        return refuse(
            out, folder,
            "has private keys, which are told over mutual TLS (--xds-ca) or a unix socket alone");
    }
    out->items = MP_NEW(&out->arena, struct secret_item, all.count + 1);
    if (out->items == NULL) return refuse(out, folder, "no memory");
    return group(&all, before);
}
