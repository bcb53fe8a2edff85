/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/memory.h"

#define STD_LIBRARY "libmpol-std.so"

static struct mp_os std_os; /* what the library filled in, once it is open */
static bool std_tried;

/* The folder of this program, then what follows it in a build tree and in an installed one. */
static void *open_beside_us(const char *library)
{
    static const char *const places[] = {"lib/mpol", "../lib/mpol", "../lib/x86_64-linux-gnu/mpol",
                                         "../lib/aarch64-linux-gnu/mpol", "../lib64/mpol"};
    char self[2048], path[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0) return NULL;
    self[len] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL) return NULL;
    *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%s/%s/%s", self, places[i], library);
        if (access(path, R_OK) == 0) return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return NULL;
}

void *cli_open_part(const char *library, const char *entry, bool quiet)
{
    void *handle = open_beside_us(library);
    void *symbol = handle != NULL ? dlsym(handle, entry) : NULL;
    if (symbol == NULL && !quiet) {
        const char *why = dlerror();
        fprintf(stderr, "mpol: %s is not to be had%s%s\n", library, why != NULL ? ": " : "",
                why != NULL ? why : "");
    }
    return symbol;
}

static const struct mp_os *std(void)
{
    if (!std_tried) {
        std_tried = true;
        void (*fill)(struct mp_os *);
        void *symbol = cli_open_part(STD_LIBRARY, "mpol_std_os", false);
        memcpy(&fill, &symbol, sizeof fill);
        if (fill != NULL) fill(&std_os);
    }
    return &std_os;
}

static enum mp_err digest(void *ctx, const void *bytes, size_t len, uint8_t out[32])
{
    return std()->digest != NULL ? std()->digest(std()->ctx, bytes, len, out) : MP_EUNSUPPORTED;
}

static enum mp_err random_bytes(void *ctx, void *bytes, size_t len)
{
    return std()->random != NULL ? std()->random(std()->ctx, bytes, len) : MP_EUNSUPPORTED;
}

static enum mp_err regex_compile(void *ctx, mp_str pattern, void **handle, const char **error)
{
    if (std()->regex_compile != NULL)
        return std()->regex_compile(std()->ctx, pattern, handle, error);
    *error = "no regular expressions here";
    return MP_EUNSUPPORTED;
}

static enum mp_match regex_match(void *ctx, const void *handle, mp_str subject)
{
    return std_os.regex_match(std_os.ctx, handle, subject);
}

static void regex_free(void *ctx, void *handle) { std_os.regex_free(std_os.ctx, handle); }

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t wall_ns(void *ctx) { return clock_ns(CLOCK_REALTIME); }
static int64_t mono_ns(void *ctx) { return clock_ns(CLOCK_MONOTONIC); }

static struct mp_os world = {
    .wall_ns = wall_ns,
    .mono_ns = mono_ns,
    .random = random_bytes,
    .alloc = mp_memory_alloc,
    .free = mp_memory_free,
    .alloc_zeroed = mp_memory_zeroed,
    .digest = digest,
    .regex_compile = regex_compile,
    .regex_match = regex_match,
    .regex_free = regex_free,
};

const struct mp_os *cli_world(void) { return &world; }

const struct mp_os *cli_world_open(void)
{
    if (std()->digest == NULL) world.digest = NULL;
    if (std()->regex_compile == NULL) world.regex_compile = NULL;
    if (std()->random == NULL) world.random = NULL;
    return &world;
}
