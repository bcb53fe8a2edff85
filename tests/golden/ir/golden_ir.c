/* SPDX-License-Identifier: Apache-2.0
 * Each *.mpol of this folder compiles to the tables in the *.ir of its name, passes the loader, and
 * reads back as the same text. `golden_ir --bless` writes what is made now; review it as a diff.
 * A policy whose first line is `# with tests` is compiled with its tests.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/driver.h"
#include "os/std.h"

#define CASES_MAX 64 /* LIMIT: policies of the folder */

struct run {
    struct mp_arena arena;
    struct mp_os os;
    const char *folder;
    bool bless;
    int bad;
};

static mp_str read_file(struct run *r, const char *path)
{
    FILE *f = fopen(path, "rb");
    struct mp_buf text;
    mp_buf_init(&text, &r->arena);
    char bytes[4096];
    size_t n;
    if (f == NULL) return (mp_str){0};
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0) mp_buf_put(&text, (mp_str){bytes, n});
    fclose(f);
    return mp_buf_view(&text);
}

static void miss(struct run *r, const char *name, const char *what, mp_str detail)
{
    printf("not ok %s: %s\n%.*s\n", name, what, MP_STR_ARG(detail));
    r->bad++;
}

/* The first line in which two texts differ, with its number. */
static mp_str first_difference(struct run *r, mp_str expected, mp_str got)
{
    unsigned line = 1;
    while (expected.len > 0 || got.len > 0) {
        size_t a = 0, b = 0;
        while (a < expected.len && expected.ptr[a] != '\n') a++;
        while (b < got.len && got.ptr[b] != '\n') b++;
        if (!mp_str_eq(mp_str_sub(expected, 0, a), mp_str_sub(got, 0, b))) {
            return mp_arena_printf(&r->arena,
                                   "  line %u expected: %.*s\n  line %u got:      %.*s", line,
                                   (int)a, expected.ptr, line, (int)b, got.ptr);
        }
        expected = mp_str_sub(expected, a + 1, expected.len);
        got = mp_str_sub(got, b + 1, got.len);
        line++;
    }
    return MP_STR("");
}

static mp_str printed(struct run *r, const struct mp_ir *ir)
{
    struct mp_buf text;
    mp_buf_init(&text, &r->arena);
    mp_ir_print(ir, &text);
    return mp_buf_view(&text);
}

static void compare(struct run *r, const char *name, mp_str got)
{
    mp_str path = mp_arena_printf(&r->arena, "%s/%s.ir", r->folder, name);
    if (r->bless) {
        FILE *f = fopen(path.ptr, "wb");
        if (f == NULL || fwrite(got.ptr, 1, got.len, f) != got.len) miss(r, name, "cannot write",
            path);
        if (f != NULL) fclose(f);
        return;
    }
    mp_str expected = read_file(r, path.ptr);
    if (!mp_str_eq(expected, got)) miss(r, name, "other tables",
                                        first_difference(r, expected, got));
}

static void reads_back(struct run *r, const char *name, mp_str text)
{
    struct mp_ir again;
    struct mp_ir_parse_error error = {0};
    if (mp_ir_init(&again, &r->arena) != MP_OK) return;
    if (mp_ir_parse(&again, text, &error) != MP_OK) {
        miss(r, name, "its text does not read back",
             mp_arena_printf(&r->arena, "  line %u: %s", error.line, error.why));
        return;
    }
    mp_str second = printed(r, &again);
    if (!mp_str_eq(text, second)) miss(r, name, "its text reads back as another",
                                       first_difference(r, text, second));
}

static void loads(struct run *r, const char *name, mp_str image)
{
    struct mp_program *program;
    const char *why = "";
    if (mp_program_load(image.ptr, image.len, &r->os, &program, &why) != MP_OK) {
        miss(r, name, "the image does not load", mp_str_of(why));
        return;
    }
    mp_program_free(program);
}

static void one_case(struct run *r, const char *name)
{
    mp_str path = mp_arena_printf(&r->arena, "%s/%s.mpol", r->folder, name);
    struct mp_compile_text text = {mp_arena_printf(&r->arena, "%s.mpol", name),
                                   read_file(r, path.ptr),
                                   MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &r->os};
    options.with_tests = mp_str_starts(text.text, MP_STR("# with tests\n"));
    struct mp_compilation *c = NULL;
    enum mp_err err = mp_compile(&text, 1, &options, &c);
    if (c == NULL || err != MP_OK) {
        miss(r, name, mp_err_text(err), mp_str_of(c == NULL ? "" : mp_compilation_fault(c)));
    } else if (mp_compilation_errors(c) > 0) {
        struct mp_buf said;
        mp_buf_init(&said, &r->arena);
        struct mp_diag_style style = {false, 0};
        mp_diags_print_text(mp_compilation_diags(c), mp_compilation_sources(c), style, &said);
        miss(r, name, "does not compile", mp_buf_view(&said));
    } else {
        mp_str got = printed(r, mp_compilation_ir(c));
        compare(r, name, got);
        reads_back(r, name, got);
        loads(r, name, mp_compilation_image(c));
    }
    mp_compilation_free(c);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the folder's policies without `.mpol`, sorted. */
static int cases(struct run *r, char **names)
{
    int count = 0;
    DIR *folder = opendir(r->folder);
    for (struct dirent *e; folder != NULL && (e = readdir(folder)) != NULL;) {
        mp_str file = mp_str_of(e->d_name);
        if (!mp_str_ends(file, MP_STR(".mpol")) || count == CASES_MAX) continue;
        names[count++] = (char *)mp_arena_str(&r->arena, mp_str_sub(file, 0, file.len - 5)).ptr;
    }
    if (folder != NULL) closedir(folder);
    qsort(names, (size_t)count, sizeof *names, by_name);
    return count;
}

int main(int argc, char **argv)
{
    struct run r = {.folder = ".", .bless = argc > 1 && strcmp(argv[1], "--bless") == 0};
    const char *source = getenv("MPOL_SOURCE_DIR");
    mp_arena_init(&r.arena, NULL, 0);
    mp_std_os(&r.os);
    if (source != NULL) r.folder = mp_arena_printf(&r.arena, "%s/tests/golden/ir", source).ptr;
    char *names[CASES_MAX];
    int count = cases(&r, names);
    for (int i = 0; i < count; i++) one_case(&r, names[i]);
    printf("%d policies, %d bad\n", count, r.bad);
    mp_arena_free(&r.arena);
    return r.bad > 0 || count == 0;
}
