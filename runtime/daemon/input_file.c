/* SPDX-License-Identifier: Apache-2.0
 * Files that grow, FIFOs, standard input.
 */
#include "daemon/input_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READS_A_TURN 16 /* LIMIT: of one file before others have their turn: 4 MiB */

/* ---- files ---- */

static void remember_file(struct dm_input *in)
{
    struct stat st;
    if (fstat(in->fd, &st) != 0) return;
    in->device = (uint64_t)st.st_dev;
    in->inode = (uint64_t)st.st_ino;
}

/* One read; false: there is nothing (more) now. */
static bool read_once(struct dm_input *in)
{
    ssize_t got;
    do {
        got = read(in->fd, dm_read_room, sizeof dm_read_room);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) return false;
    in->read_to += (uint64_t)got;
    dm_stream_take(&in->stream, (mp_str){dm_read_room, (size_t)got});
    return true;
}

static void begin_anew(struct dm_input *in, int fd)
{
    if (in->fd >= 0) {
        dm_stream_rest(&in->stream);
        close(in->fd);
    }
    dm_log(in->d, "info", "%s: %s", in->name, in->inode != 0 ? "begins anew" : "has come");
    in->fd = fd;
    in->read_to = 0;
    in->stream.line = 0;
    in->stream.skipping = false;
    remember_file(in);
}

/* A FIFO that comes where a file was waited for. */
static void become_fifo(struct dm_input *in)
{
    if (in->fd >= 0) close(in->fd);
    in->kind = INPUT_FIFO;
    if (dm_fifo_open(in)) dm_log(in->d, "info", "%s: has come", in->name);
}

/* A new file behind the old name, or one that was cut. What somebody still wrote to the old one
 * between our last read and now is read first. */
static void look_for_rotation(struct dm_input *in)
{
    struct stat st;
    if (stat(in->name, &st) != 0) return;
    if (S_ISFIFO(st.st_mode)) become_fifo(in);
    if (!S_ISREG(st.st_mode)) return;
    bool same = (uint64_t)st.st_ino == in->inode && (uint64_t)st.st_dev == in->device;
    if (in->fd >= 0 && same && (uint64_t)st.st_size >= in->read_to) return;
    int fd = open(in->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    if (in->fd >= 0 && !same && read_once(in)) {
        close(fd); /* and looked at again */
        return;
    }
    begin_anew(in, fd);
}

void dm_file_read(struct dm_input *in)
{
    dm_clock(in->d);
    for (int i = 0; i < READS_A_TURN && in->fd >= 0; i++) {
        if (!read_once(in)) break;
    }
    if (strcmp(in->name, "-") != 0) {
        look_for_rotation(in);
    } else if (!in->ended) {
        in->ended = true; /* standard input from a file */
        dm_stream_end(&in->stream);
        dm_log(in->d, "info", "standard input has ended");
    }
}

/* Where the life before had come to, if it is the same file. */
static void go_on(struct dm_input *in)
{
    struct dm_position here;
    struct stat st;
    if (fstat(in->fd, &st) != 0 || !dm_input_position(in->d, (uint32_t)(in - in->d->inputs), &here))
        return;
    for (uint32_t i = 0; i < in->d->kept_position_count; i++) {
        const struct dm_position *kept = &in->d->kept_positions[i];
        bool same =
            kept->name == here.name && kept->inode == here.inode && kept->device == here.device;
        if (!same || kept->offset > (uint64_t)st.st_size) continue;
        if (lseek(in->fd, (off_t)kept->offset, SEEK_SET) < 0) continue;
        in->read_to = kept->offset;
        dm_log(in->d, "info", "%s: goes on at byte %llu", in->name,
               (unsigned long long)kept->offset);
        return;
    }
}

bool dm_file_open(struct dm_input *in)
{
    in->fd = open(in->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (in->fd < 0 && errno != ENOENT) {
        fprintf(stderr, "mpol run: %s: %s\n", in->name, strerror(errno));
        return false;
    }
    if (in->fd < 0) {
        dm_log(in->d, "info", "%s is not there yet; waiting for it", in->name);
        return true;
    }
    struct stat st;
    if (fstat(in->fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        fprintf(stderr, "mpol run: %s: neither a file nor a FIFO\n", in->name);
        return false;
    }
    remember_file(in);
    go_on(in);
    return true;
}

/* ---- FIFOs and standard input ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct dm_input *in = poll->data;
    dm_clock(in->d);
    ssize_t got = read(in->fd, dm_read_room, sizeof dm_read_room);
    if (got > 0) dm_stream_take(&in->stream, (mp_str){dm_read_room, (size_t)got});
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        uv_poll_stop(&in->poll);
        in->ended = true;
        dm_stream_end(&in->stream);
        dm_log(in->d, "info", "%s has ended",
               in->kind == INPUT_STDIN ? "standard input" : in->name);
    }
    dm_turn(in->d);
}

bool dm_fifo_open(struct dm_input *in)
{
    /* Opened for writing as well, so that a writer that goes away is not the end. */
    in->fd = in->kind == INPUT_FIFO ? open(in->name, O_RDWR | O_CLOEXEC | O_NONBLOCK) : 0;
    if (in->fd < 0) {
        dm_log(in->d, "error", "%s: %s", in->name, strerror(errno));
        return false;
    }
    if (uv_poll_init(&in->d->loop, &in->poll, in->fd) != 0) {
        in->kind = INPUT_FILE; /* standard input is a plain file: read like one */
        return true;
    }
    in->poll.data = in;
    in->has_poll = true;
    return uv_poll_start(&in->poll, UV_READABLE, on_readable) == 0;
}
