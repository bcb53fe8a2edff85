/* SPDX-License-Identifier: Apache-2.0
 * The file `state`: what was put in force last, so that a proxy that starts while no control
 * plane is there refuses what it refused before.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "envoy_mod/link_priv.h"

#define STATE_MAX (3 * (size_t)MP_FRAME_DOWN_MAX)

struct mp_frame_out *link_state_kept(struct mp_link *l, uint8_t what)
{
    if (what == MP_FRAME_PROGRAM) return &l->kept_program;
    return what == MP_FRAME_INVENTORY ? &l->kept_inventory : &l->kept_leases;
}

static char *read_file(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    char *bytes = NULL;
    if (fstat(fd, &st) == 0 && st.st_size > 0 && (size_t)st.st_size <= STATE_MAX) {
        bytes = malloc((size_t)st.st_size);
    }
    *len = 0;
    ssize_t got = 1;
    while (bytes != NULL && got > 0 && *len < (size_t)st.st_size) {
        got = read(fd, bytes + *len, (size_t)st.st_size - *len);
        if (got > 0) *len += (size_t)got;
    }
    close(fd);
    return bytes;
}

static bool goes_on(void *ctx, const struct mpol_lease *lease)
{
    const int64_t *now = ctx;
    return lease->ends_wall_ns == 0 || lease->ends_wall_ns > *now;
}

/* Nobody was there to take them back at their end. */
static bool drop_ended(struct link_state *s, int64_t now_wall_ns)
{
    struct mpol_desired set;
    void *memory;
    if (mp_frame_get_leases(s->leases, &set, &memory) != MP_OK) return false;
    mp_frame_put_leases(&s->leases_now, &set, goes_on, &now_wall_ns);
    free(memory);
    s->leases = (mp_str){s->leases_now.ptr + MP_FRAME_HEAD, s->leases_now.len - MP_FRAME_HEAD};
    return !s->leases_now.failed;
}

bool link_state_read(struct mp_link *l, int64_t now_wall_ns, struct link_state *out)
{
    size_t len = 0, size;
    *out = (struct link_state){.bytes = NULL};
    if (l->config.state[0] == '\0') return false;
    out->bytes = read_file(l->config.state, &len);
    mp_str left = {out->bytes, len}, body;
    uint8_t type;
    while (out->bytes != NULL && left.len > 0 &&
           mp_frame_next(left, MP_FRAME_DOWN_MAX, &type, &body, &size) == MP_OK) {
        if (type == MP_FRAME_PROGRAM) out->program = body;
        if (type == MP_FRAME_INVENTORY) out->inventory = body;
        if (type == MP_FRAME_LEASES) out->leases = body;
        left = mp_str_sub(left, size, left.len);
    }
    if (out->leases.len > 0 && !drop_ended(out, now_wall_ns)) out->leases = MP_STR("");
    if (out->program.len > 0 || out->leases.len > 0) return true;
    link_state_free(out);
    return false;
}

void link_state_free(struct link_state *s)
{
    free(s->bytes);
    mp_frame_out_free(&s->leases_now);
    s->bytes = NULL;
}

static bool write_all(int fd, const struct mp_frame_out *frame)
{
    size_t at = 0;
    while (at < frame->len) {
        ssize_t n = write(fd, frame->ptr + at, frame->len - at);
        if (n <= 0) return false;
        at += (size_t)n;
    }
    return true;
}

bool link_state_write(struct mp_link *l)
{
    char fresh[MP_MOD_PATH_MAX + 8];
    snprintf(fresh, sizeof fresh, "%s.new", l->config.state);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool ok = write_all(fd, &l->kept_program) && write_all(fd, &l->kept_inventory) &&
              write_all(fd, &l->kept_leases);
    ok = close(fd) == 0 && ok;
    if (ok) ok = rename(fresh, l->config.state) == 0;
    if (!ok) unlink(fresh);
    return ok;
}
