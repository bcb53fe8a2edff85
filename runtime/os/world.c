/* SPDX-License-Identifier: Apache-2.0
 * The same world as std.c, in the types of the public interface: for embedders who open
 * libmpol-std. Nothing in it needs a context.
 */
#include "os/std.h"

#include "mpol/world.h"

static struct mp_os os(void)
{
    struct mp_os out;
    mp_std_os(&out);
    return out;
}

static int64_t mono_ns(void *ctx)
{
    (void)ctx;
    return os().mono_ns(NULL);
}

static enum mpol_err random_bytes(void *ctx, void *bytes, size_t len)
{
    (void)ctx;
    return (enum mpol_err)os().random(NULL, bytes, len);
}

static enum mpol_err digest(void *ctx, const void *bytes, size_t len, unsigned char out[32])
{
    (void)ctx;
    return (enum mpol_err)os().digest(NULL, bytes, len, out);
}

static enum mpol_err regex_compile(void *ctx, struct mpol_text pattern, void **handle,
                                   const char **error)
{
    (void)ctx;
    return (enum mpol_err)os().regex_compile(NULL, (mp_str){pattern.ptr, pattern.len}, handle,
                                             error);
}

static int regex_match(void *ctx, const void *handle, struct mpol_text subject)
{
    (void)ctx;
    return (int)os().regex_match(NULL, handle, (mp_str){subject.ptr, subject.len});
}

static void regex_free(void *ctx, void *handle)
{
    (void)ctx;
    os().regex_free(NULL, handle);
}

void mpol_world_std(struct mpol_world *out)
{
    MPOL_INIT(out);
    out->mono_ns = mono_ns;
    out->random = random_bytes;
    out->digest = digest;
    out->regex_compile = regex_compile;
    out->regex_match = regex_match;
    out->regex_free = regex_free;
}
