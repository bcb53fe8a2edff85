/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/vec.h"

#define FOLDER_DEPTH_MAX 16 /* LIMIT: folders inside folders; also ends a loop of links */

static bool add_file(struct mp_arena *arena, struct cli_files *out, mp_str name, mp_str text)
{
    if (out->len == out->cap) {
        size_t cap = out->cap == 0 ? 16 : out->cap * 2;
        struct cli_file *grown = mp_arena_grow(arena, out->ptr, out->cap * sizeof *grown,
                                               cap * sizeof *grown, _Alignof(struct cli_file));
        if (grown == NULL) return false;
        out->ptr = grown;
        out->cap = cap;
    }
    out->ptr[out->len++] = (struct cli_file){name, text};
    return true;
}

static int read_stream(const struct cli_args *args, FILE *stream, const char *name,
                       struct mp_arena *arena, struct cli_files *out)
{
    struct mp_buf text;
    char chunk[16384];
    mp_buf_init(&text, arena);
    size_t got;
    while ((got = fread(chunk, 1, sizeof chunk, stream)) > 0) {
        mp_buf_put(&text, (mp_str){chunk, got});
        if (text.len > CLI_POLICY_BYTES)
            return cli_complain(args, "%s: more than 10 MiB of policy", name);
    }
    if (ferror(stream)) return cli_complain(args, "%s: %s", name, strerror(errno));
    mp_buf_putc(&text, '\0');
    if (text.failed) return cli_no_memory(args);
    mp_str kept = mp_arena_str(arena, mp_str_of(name));
    mp_str view = {text.ptr, text.len - 1};
    if (kept.ptr == NULL || !add_file(arena, out, kept, view)) return cli_no_memory(args);
    return CLI_OK;
}

static int read_file(const struct cli_args *args, const char *path, struct mp_arena *arena,
                     struct cli_files *out)
{
    FILE *stream = fopen(path, "rb");
    if (stream == NULL) return cli_complain(args, "%s: %s", path, strerror(errno));
    int code = read_stream(args, stream, path, arena, out);
    fclose(stream);
    return code;
}

static int wanted(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int read_folder(const struct cli_args *args, const char *path, unsigned depth,
                       struct mp_arena *arena, struct cli_files *out);

static int read_entry(const struct cli_args *args, const char *folder, const char *name,
                      unsigned depth, struct mp_arena *arena, struct cli_files *out)
{
    size_t end = strlen(folder);
    while (end > 1 && folder[end - 1] == '/') end--;
    mp_str path = mp_arena_printf(arena, "%.*s/%s", (int)end, folder, name);
    if (path.ptr == NULL) return cli_no_memory(args);
    struct stat st;
    if (stat(path.ptr, &st) != 0) return cli_complain(args, "%s: %s", path.ptr, strerror(errno));
    if (S_ISDIR(st.st_mode)) return read_folder(args, path.ptr, depth + 1, arena, out);
    if (!S_ISREG(st.st_mode) || !mp_str_ends(path, MP_STR(".mpol"))) return CLI_OK;
    return read_file(args, path.ptr, arena, out);
}

static int read_folder(const struct cli_args *args, const char *path, unsigned depth,
                       struct mp_arena *arena, struct cli_files *out)
{
    struct dirent **entries = NULL;
    if (depth > FOLDER_DEPTH_MAX) return cli_complain(args, "%s: folders nest too deep", path);
    int count = scandir(path, &entries, wanted, alphasort);
    if (count < 0) return cli_complain(args, "%s: %s", path, strerror(errno));
    int code = CLI_OK;
    for (int i = 0; i < count; i++) {
        if (code == CLI_OK) code = read_entry(args, path, entries[i]->d_name, depth, arena, out);
        free(entries[i]);
    }
    free(entries);
    return code;
}

int cli_read_policies(const struct cli_args *args, const char *path, const char *stdin_name,
                      struct mp_arena *arena, struct cli_files *out)
{
    struct stat st;
    if (strcmp(path, "-") == 0) return read_stream(args, stdin, stdin_name, arena, out);
    if (stat(path, &st) != 0) return cli_complain(args, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return read_file(args, path, arena, out);
    size_t before = out->len;
    int code = read_folder(args, path, 0, arena, out);
    if (code == CLI_OK && out->len == before)
        return cli_complain(args, "%s: no *.mpol in it", path);
    return code;
}
