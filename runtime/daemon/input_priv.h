/* SPDX-License-Identifier: Apache-2.0
 * input_priv.h - what the input_*.c files share: streams of lines and where they come from.
 */
#ifndef MP_DAEMON_INPUT_PRIV_H
#define MP_DAEMON_INPUT_PRIV_H

#include "daemon/daemon_priv.h"

#define READ_BYTES (256u * 1024)

enum input_kind { INPUT_FILE, INPUT_FIFO, INPUT_STDIN, INPUT_SOCKET };

/* One stream of lines: a file, a FIFO, or one connection. */
struct stream {
    struct dm *d;
    const char *name;
    uint32_t source;
    struct dm_bytes rest; /* the beginning of a line that has not ended */
    bool skipping;        /* the line at hand is too long */
    uint64_t line;
    bool envoy;           /* its lines are an Envoy's access log (ingest/import.h) */
    struct mp_arena arena; /* of `made`, where they are */
    struct mp_buf made;   /* the line at hand as telemetry */
};

struct dm_input {
    struct dm *d;
    const char *name;
    enum input_kind kind;
    bool envoy; /* `envoy:` stands before the name */
    struct stream stream;
    int fd;
    uint64_t device, inode;
    uint64_t read_to;
    bool ended; /* standard input ends, a file waits for more */
    uv_pipe_t listener;
    uv_poll_t poll;
    bool has_listener, has_poll;
};

/* Bytes on their way into lines; one thread, so one room for all. */
extern char dm_read_room[READ_BYTES];

/* input.c */
void dm_stream_open(struct stream *s, const struct dm_input *in);
void dm_stream_take(struct stream *s, mp_str bytes);
/* The last line may have no end. */
void dm_stream_rest(struct stream *s);
/* That too, and its source is silent. */
void dm_stream_end(struct stream *s);

/* input_file.c */
bool dm_file_open(struct dm_input *in);
void dm_file_read(struct dm_input *in);
bool dm_fifo_open(struct dm_input *in);

/* input_socket.c */
bool dm_socket_open(struct dm_input *in);
void dm_socket_close_all(struct dm *d);

#endif
