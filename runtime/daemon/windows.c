/* SPDX-License-Identifier: Apache-2.0
 * DIR/windows: what the windows held, written every 30 s and at the end, so that a restart does
 * not begin blind. It is a convenience, not a promise: one that is damaged, foreign or too old is
 * passed over.
 *
 * Layout: a header, then the bytes of mp_window_save, which know nothing of partitions. Written
 *         beside
 * its place, synced and renamed, on libuv's pool: only the copy of the windows is made in the loop.
 */
#include "daemon/daemon_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "window/window.h"

#define EVERY_NS (INT64_C(30) * 1000000000)
/* What nobody looked at may not count as empty for longer than this. */
#define STALE_NS (2 * EVERY_NS)
#define MAGIC UINT64_C(0x31776f646e69774d) /* "Mwindow1" */

struct header {
    uint64_t magic, ledger, size, checksum;
    int64_t time_ns;
};

/* One copy on its way to the disk. */
struct copy {
    struct dm *d;
    struct dm_bytes bytes; /* header and windows */
    int error;             /* an errno */
};

static void path_of(const struct dm *d, const char *suffix, char out[4096])
{
    snprintf(out, 4096, "%s/windows%s", d->options->state_dir, suffix);
}

static uint64_t checksum(const void *bytes, size_t len)
{
    return mp_siphash((struct mp_hash_key){7, 8}, bytes, len);
}

/* ---- reading ---- */

static bool read_all(int fd, struct dm_bytes *out)
{
    char room[65536];
    ssize_t got;
    while ((got = read(fd, room, sizeof room)) > 0) {
        if (!dm_bytes_add(out, room, (size_t)got)) return false;
    }
    return got == 0;
}

/* NULL: it can be used. */
static const char *look_at(const struct dm *d, const struct dm_bytes *b, struct header *head)
{
    if (b->len < sizeof *head) return "it is cut off";
    memcpy(head, b->ptr, sizeof *head);
    if (head->magic != MAGIC) return "it was written by another version";
    if (head->ledger != d->identity.ledger) return "it belongs to another state";
    if (head->size != b->len - sizeof *head) return "it is cut off";
    if (head->checksum != checksum(b->ptr + sizeof *head, head->size)) return "it is damaged";
    int64_t age_ns = d->os.wall_ns(d->os.ctx) - head->time_ns;
    return age_ns < 0 || age_ns > STALE_NS ? "it is too old" : NULL;
}

void dm_windows_load(struct dm *d)
{
    char path[4096];
    struct dm_bytes b = {0};
    struct header head;
    path_of(d, "", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return; /* a first start */
    const char *why = read_all(fd, &b) ? look_at(d, &b, &head) : "it cannot be read";
    close(fd);
    if (why == NULL &&
        mp_window_restore(mp_engine_window(d->engine), b.ptr + sizeof head, head.size) != MP_OK) {
        why = "it is damaged";
    }
    if (why != NULL) dm_log(d, "warn", "windows begin empty: %s: %s", path, why);
    dm_bytes_free(&b);
}

/* ---- writing ---- */

static bool add(void *ctx, const void *bytes, size_t size)
{
    return dm_bytes_add(ctx, bytes, size);
}

static struct copy *make_copy(struct dm *d)
{
    struct copy *c = calloc(1, sizeof *c);
    struct header head = {
        .magic = MAGIC, .ledger = d->identity.ledger, .time_ns = mp_engine_now(d->engine)};
    if (c == NULL) return NULL;
    c->d = d;
    bool ok = dm_bytes_add(&c->bytes, &head, sizeof head) &&
              mp_window_save(mp_engine_window(d->engine), &c->bytes, add) == MP_OK;
    if (!ok) {
        dm_bytes_free(&c->bytes);
        free(c);
        return NULL;
    }
    return c;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, bytes, len);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        bytes += put;
        len -= (size_t)put;
    }
    return true;
}

/* May run on any thread. */
static void put_in_place(struct copy *c)
{
    char path[4096], beside[4096];
    struct header head;
    memcpy(&head, c->bytes.ptr, sizeof head);
    head.size = c->bytes.len - sizeof head;
    head.checksum = checksum(c->bytes.ptr + sizeof head, head.size);
    memcpy(c->bytes.ptr, &head, sizeof head);
    path_of(c->d, "", path);
    path_of(c->d, ".new", beside);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write_all(fd, c->bytes.ptr, c->bytes.len) && fsync(fd) == 0;
    if (!ok) c->error = errno;
    if (fd >= 0) close(fd);
    if (ok && rename(beside, path) != 0) c->error = errno;
    if (c->error != 0) unlink(beside);
}

static void end_copy(struct copy *c)
{
    if (c->error != 0)
        dm_log(c->d, "warn", "the windows could not be written: %s", strerror(c->error));
    dm_bytes_free(&c->bytes);
    free(c);
}

static void on_work(uv_work_t *work) { put_in_place(work->data); }

static void on_done(uv_work_t *work, int status)
{
    struct copy *c = work->data;
    c->d->windows_busy = false;
    end_copy(c);
}

void dm_windows_due(struct dm *d)
{
    int64_t now_ns = mp_engine_now(d->engine);
    if (now_ns < d->windows_at_ns || d->windows_busy) return;
    bool first = d->windows_at_ns == 0;
    d->windows_at_ns = now_ns + EVERY_NS;
    if (first) return;
    struct copy *c = make_copy(d);
    d->positions_due = true; /* what is in the windows is not read again */
    if (c == NULL) return;
    d->windows_work.data = c;
    d->windows_busy = uv_queue_work(&d->loop, &d->windows_work, on_work, on_done) == 0;
    if (!d->windows_busy) end_copy(c);
}

void dm_windows_write(struct dm *d)
{
    struct copy *c = make_copy(d);
    if (c == NULL) return;
    put_in_place(c);
    end_copy(c);
}
