/* SPDX-License-Identifier: Apache-2.0
 * Stands in for libFuzzer in every build but the fuzzing one: runs the target once over each file,
 * and over each file of each folder, that is named. Names are sorted, so that a run repeats
 * itself.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* scandir */
#endif
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 4096
#define FILE_BYTES_MAX (16u << 20) /* LIMIT */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes are exactly as large as the file, so that a sanitizer sees a read beyond its end. */
static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        if (f != NULL) fclose(f);
        return -1;
    }
    long size = ftell(f);
    rewind(f);
    uint8_t *bytes = size >= 0 && size <= (long)FILE_BYTES_MAX ? malloc((size_t)size + 1) : NULL;
    uint8_t *exact = bytes == NULL ? NULL : realloc(bytes, size == 0 ? 1 : (size_t)size);
    if (exact == NULL || fread(exact, 1, (size_t)size, f) != (size_t)size) {
        free(exact);
        fclose(f);
        return -1;
    }
    fclose(f);
    LLVMFuzzerTestOneInput(exact, (size_t)size);
    free(exact);
    return 1;
}

static int only_files(const struct dirent *e) { return e->d_name[0] != '.'; }

/* How many files ran; -1: one could not be read. */
static int run_path(const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, only_files, alphasort);
    if (count < 0) return run_file(path);
    int ran = 0;
    for (int i = 0; i < count; i++) {
        char inner[PATH_BYTES];
        snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
        int n = ran < 0 ? 0 : run_path(inner);
        ran = n < 0 ? -1 : ran + n;
        free(names[i]);
    }
    free(names);
    return ran;
}

int main(int argc, char **argv)
{
    int ran = 0;
    for (int i = 1; i < argc; i++) {
        int n = run_path(argv[i]);
        if (n < 0) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 1;
        }
        ran += n;
    }
    printf("%d seeds\n", ran);
    return ran > 0 ? 0 : 1;
}
