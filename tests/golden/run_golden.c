/* SPDX-License-Identifier: Apache-2.0
 * The golden runner: NAME.mpol in a folder, beside it what the compiler must say about it.
 *
 *   run_golden [--bless] FOLDER...
 *
 *   NAME.diag   diagnostics as text        NAME.ast   the tree
 *   NAME.json   diagnostics as JSON
 *
 * Each file beside NAME.mpol is compared with what is said now; --bless writes what differs, and
 * writes NAME.diag where NAME.mpol has nothing beside it. What runs is golden_run: golden_parse.c
 * is the parser alone, golden_check.c the whole front end.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "golden.h"

#define PATH_BYTES 4096
#define NAMES_MAX 4096

struct tally {
    unsigned files, failed, blessed;
    bool bless;
};

/* ---- files ---- */

static bool read_file(const char *path, struct mp_arena *arena, mp_str *out)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) return false;
    struct mp_buf b;
    mp_buf_init(&b, arena);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) mp_buf_put(&b, (mp_str){chunk, n});
    fclose(f);
    *out = b.len == 0 ? MP_STR("") : mp_buf_view(&b);
    return !b.failed;
}

static bool write_file(const char *path, mp_str text)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL) return false;
    size_t written = fwrite(text.ptr, 1, text.len, f);
    return fclose(f) == 0 && written == text.len;
}

static void print_first_difference(mp_str wanted, mp_str got)
{
    size_t at = 0, line = 1, start = 0;
    while (at < wanted.len && at < got.len && wanted.ptr[at] == got.ptr[at]) {
        if (wanted.ptr[at++] == '\n') {
            line++;
            start = at;
        }
    }
    size_t wanted_end = at, got_end = at;
    while (wanted_end < wanted.len && wanted.ptr[wanted_end] != '\n') wanted_end++;
    while (got_end < got.len && got.ptr[got_end] != '\n') got_end++;
    printf("  line %zu\n  - %.*s\n  + %.*s\n", line, (int)(wanted_end - start), wanted.ptr + start,
           (int)(got_end - start), got.ptr + start);
}

/* ---- one policy ---- */

static void compare(struct tally *t, struct mp_arena *arena, const char *path, mp_str got,
                    bool make)
{
    mp_str wanted = MP_STR("");
    bool there = read_file(path, arena, &wanted);
    if (!there && !(make && t->bless)) return;
    if (there && mp_str_eq(wanted, got)) return;
    if (t->bless && write_file(path, got)) {
        t->blessed++;
        printf("blessed %s\n", path);
        return;
    }
    t->failed++;
    printf("FAILED %s\n", path);
    print_first_difference(wanted, got);
}

static bool is_there(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0;
}

static void judge(struct tally *t, const char *folder, const char *name)
{
    static const char *const kinds[GOLDEN_KINDS] = {".diag", ".ast", ".json"};
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s.mpol", folder, name);
    mp_str text, got[GOLDEN_KINDS];
    char shown[PATH_BYTES];
    snprintf(shown, sizeof shown, "%s.mpol", name);
    t->files++;
    if (!read_file(path, &arena, &text) || !golden_run(&arena, mp_str_of(shown), text, got)) {
        printf("FAILED %s: cannot be run\n", path);
        t->failed++;
        mp_arena_free(&arena);
        return;
    }
    unsigned beside = 0;
    for (int i = 0; i < GOLDEN_KINDS; i++) {
        snprintf(path, sizeof path, "%s/%s%s", folder, name, kinds[i]);
        beside += is_there(path);
    }
    if (beside == 0 && !t->bless) {
        printf("FAILED %s/%s.mpol: nothing is expected of it\n", folder, name);
        t->failed++;
    }
    for (int i = 0; i < GOLDEN_KINDS; i++) {
        snprintf(path, sizeof path, "%s/%s%s", folder, name, kinds[i]);
        compare(t, &arena, path, got[i], beside == 0 && i == 0);
    }
    mp_arena_free(&arena);
}

/* ---- folders ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool walk(struct tally *t, const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        fprintf(stderr, "%s: %s\n", folder, strerror(errno));
        return false;
    }
    char **names = calloc(NAMES_MAX, sizeof *names);
    size_t count = 0;
    for (struct dirent *e; names != NULL && count < NAMES_MAX && (e = readdir(dir)) != NULL;) {
        mp_str name = mp_str_of(e->d_name);
        if (!mp_str_ends(name, MP_STR(".mpol"))) continue;
        e->d_name[name.len - 5] = '\0';
        names[count] = strdup(e->d_name);
        if (names[count] != NULL) count++;
    }
    closedir(dir);
    if (names != NULL) qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        judge(t, folder, names[i]);
        free(names[i]);
    }
    free(names);
    return true;
}

int main(int argc, char **argv)
{
    struct tally t = {0};
    bool good = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bless") == 0) {
            t.bless = true;
        } else {
            good = walk(&t, argv[i]) && good;
        }
    }
    printf("%u files, %u failed, %u blessed\n", t.files, t.failed, t.blessed);
    return good && t.failed == 0 && t.files > 0 ? 0 : 1;
}
