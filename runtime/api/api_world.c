/* SPDX-License-Identifier: Apache-2.0
 * struct mpol_world as struct mp_os: the same questions in the types of the inside.
 */
#include <stdlib.h>

#include "api/api_priv.h"

static const struct mpol_world *theirs(void *ctx) { return &((struct api_world *)ctx)->theirs; }

static void *memory_get(void *ctx, size_t size)
{
    const struct mpol_world *w = theirs(ctx);
    return w->alloc != NULL ? w->alloc(w->ctx, size) : malloc(size);
}

static void memory_free(void *ctx, void *ptr, size_t size)
{
    const struct mpol_world *w = theirs(ctx);
    if (w->free != NULL) {
        w->free(w->ctx, ptr, size);
    } else {
        free(ptr);
    }
}

static int64_t mono_ns(void *ctx) { return theirs(ctx)->mono_ns(theirs(ctx)->ctx); }

static enum mp_err random_bytes(void *ctx, void *bytes, size_t len)
{
    return (enum mp_err)theirs(ctx)->random(theirs(ctx)->ctx, bytes, len);
}

static enum mp_err digest(void *ctx, const void *bytes, size_t len, uint8_t out[32])
{
    return (enum mp_err)theirs(ctx)->digest(theirs(ctx)->ctx, bytes, len, out);
}

static enum mp_err regex_compile(void *ctx, mp_str pattern, void **handle, const char **error)
{
    const struct mpol_world *w = theirs(ctx);
    return (enum mp_err)w->regex_compile(w->ctx, api_text(pattern), handle, error);
}

static enum mp_match regex_match(void *ctx, const void *handle, mp_str subject)
{
    return (enum mp_match)theirs(ctx)->regex_match(theirs(ctx)->ctx, handle, api_text(subject));
}

static void regex_free(void *ctx, void *handle)
{
    theirs(ctx)->regex_free(theirs(ctx)->ctx, handle);
}

void api_world_init(struct api_world *w, const struct mpol_world *from)
{
    memset(w, 0, sizeof *w);
    if (from != NULL) {
        size_t size = from->size < sizeof w->theirs ? from->size : sizeof w->theirs;
        memcpy(&w->theirs, from, size);
    }
    if (w->theirs.alloc == NULL || w->theirs.free == NULL)
        w->theirs.alloc = NULL, w->theirs.free = NULL;
    w->alloc = (struct mp_alloc){.alloc = memory_get, .free = memory_free, .ctx = w};
    w->os = (struct mp_os){.ctx = w, .alloc = memory_get, .free = memory_free};
    if (w->theirs.mono_ns != NULL) w->os.mono_ns = mono_ns;
    if (w->theirs.random != NULL) w->os.random = random_bytes;
    if (w->theirs.digest != NULL) w->os.digest = digest;
    if (w->theirs.regex_compile != NULL && w->theirs.regex_match != NULL &&
        w->theirs.regex_free != NULL) {
        w->os.regex_compile = regex_compile;
        w->os.regex_match = regex_match;
        w->os.regex_free = regex_free;
    }
}
