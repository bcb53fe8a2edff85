/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "envoy_mod/link_priv.h"
#include "envoy_mod/record.h"

#define MS INT64_C(1000000)
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 1000
#define COUNTS_EVERY_MS 1000
#define LINGER_NS (40 * 1000) /* after records: more may come */
#define READ_BYTES (256u * 1024u)
/* LIMIT: bytes that wait to be sent; beyond it rings are left alone. */
#define OUT_MAX (1u << 20)
/* LIMIT: of one frame of records, so that others come in between. */
#define RECORDS_MAX (256u * 1024u)
/* How long workers that were held up are waited for before the control plane is told to try
 * again. */
#define TRIES 5000 /* half a second */
#define TRY_NS (100 * 1000)

/* ---- time and words ---- */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t mono_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static void say(struct mp_link *l, bool warning, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct mp_link *l, bool warning, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (l->host.log != NULL) l->host.log(l->host.ctx, warning, text);
}

/* ---- what comes down ---- */

/* Workers are inside the gate for microseconds; one that the kernel holds up is waited for a
 * little. */
static void wait_a_little(void)
{
    struct timespec pause = {0, TRY_NS};
    nanosleep(&pause, NULL);
}

static enum mp_err try_program(struct mp_link *l, mp_str body, uint64_t *revision, const char **why)
{
    struct mp_frame_program program;
    *why = "the frame is damaged";
    if (!mp_frame_get_program(body, &program)) return MP_ECORRUPT;
    *revision = program.revision;
    return mp_gate_program(l->gate, &program, why);
}

static enum mp_err try_leases(struct mp_link *l, mp_str body, uint64_t *revision, const char **why)
{
    struct mpol_desired set;
    void *memory;
    *why = "the frame is damaged";
    MP_TRY(mp_frame_get_leases(body, &set, &memory));
    *revision = set.revision;
    enum mp_err err = mp_gate_leases(l->gate, &set, why);
    free(memory);
    return err;
}

static enum mp_err try_inventory(struct mp_link *l, mp_str body, uint64_t *revision,
                                 const char **why)
{
    struct mp_frame_inventory inventory;
    *why = "the frame is damaged";
    if (!mp_frame_get_inventory(body, &inventory)) return MP_ECORRUPT;
    *revision = inventory.revision;
    return mp_gate_inventory(l->gate, inventory.lines, why);
}

static enum mp_err try_once(struct mp_link *l, uint8_t what, mp_str body, uint64_t *revision,
                            const char **why)
{
    switch (what) {
    case MP_FRAME_PROGRAM: return try_program(l, body, revision, why);
    case MP_FRAME_INVENTORY: return try_inventory(l, body, revision, why);
    default: return try_leases(l, body, revision, why);
    }
}

static const char *word_of(uint8_t what)
{
    return what == MP_FRAME_PROGRAM     ? "program"
           : what == MP_FRAME_INVENTORY ? "inventory"
                                        : "leases";
}

static enum mp_err put_in_force(struct mp_link *l, uint8_t what, mp_str body, uint64_t *revision,
                                const char **why)
{
    enum mp_err err = MP_EAGAIN;
    for (int i = 0; i < TRIES && err == MP_EAGAIN; i++) {
        if (i > 0) wait_a_little();
        err = try_once(l, what, body, revision, why);
    }
    mp_gate_step(l->gate);
    return err;
}

static void keep(struct mp_link *l, uint8_t what, mp_str frame)
{
    struct mp_frame_out *kept = link_state_kept(l, what);
    kept->len = 0;
    kept->failed = false;
    mp_frame_put_bytes(kept, frame);
    l->state_due = l->config.state[0] != '\0';
}

/* A program, an inventory or a set: taken or refused, and the control plane is told which. */
static void take(struct mp_link *l, uint8_t what, mp_str frame, mp_str body)
{
    struct mp_frame_taken taken = {.what = what};
    const char *why = "";
    enum mp_err err = put_in_force(l, what, body, &taken.revision, &why);
    taken.err = (uint8_t)err;
    taken.why = err == MP_OK ? MP_STR("") : mp_str_of(why);
    mp_frame_put_taken(&l->out, &taken);
    if (err != MP_OK) {
        say(l, true, "%s %llu refused, what was before stays in force: %s",
            word_of(what), (unsigned long long)taken.revision, why);
        return;
    }
    if (what == MP_FRAME_PROGRAM) l->program = (struct outstanding){taken.revision, true};
    if (what == MP_FRAME_LEASES) l->leases = (struct outstanding){taken.revision, true};
    if (mp_gate_may_cut(l->gate) && l->host.cut != NULL) l->host.cut(l->host.ctx);
    keep(l, what, frame);
}

/* False: not what a control plane says. */
static bool take_frames(struct mp_link *l)
{
    size_t at = 0, wanted = 0;
    for (;;) {
        mp_str left = {l->in.ptr + at, l->in.len - at}, body;
        uint8_t type;
        enum mp_err err = mp_frame_next(left, MP_FRAME_DOWN_MAX, &type, &body, &wanted);
        if (err == MP_EAGAIN) break;
        if (err != MP_OK) return false;
        if (type < MP_FRAME_PROGRAM || type > MP_FRAME_INVENTORY) return false;
        take(l, type, (mp_str){left.ptr, wanted}, body);
        at += wanted;
    }
    if (at > 0) memmove(l->in.ptr, l->in.ptr + at, l->in.len - at);
    l->in.len -= at;
    return true;
}

/* ---- what goes up ---- */

static void say_hello(struct mp_link *l)
{
    struct mp_frame_hello hello = {
        .protocol = MP_FRAME_PROTOCOL, .workers = l->workers,
        .layer = mp_str_of(l->config.layer), .service = mp_str_of(l->config.service),
        .instance = mp_str_of(l->config.instance), .version = MP_STR("1"),
        .program = l->program.revision, .leases = l->leases.revision};
    mp_frame_put_hello(&l->out, &hello);
    /* What is in force here can be read back; a longer list is not worth the way. */
    if (l->kept_leases.len > 0 && l->kept_leases.len <= MP_FRAME_UP_MAX) {
        mp_frame_put_bytes(&l->out, (mp_str){l->kept_leases.ptr, l->kept_leases.len});
    }
}

static void tell_passed(struct mp_link *l, uint8_t what, struct outstanding *o, uint64_t passed)
{
    if (!o->waits || passed != o->revision) return;
    size_t began = mp_frame_begin(&l->out, MP_FRAME_PASSED);
    mp_frame_put_u8(&l->out, what);
    mp_frame_put_u64(&l->out, o->revision);
    mp_frame_end(&l->out, began);
    o->waits = false;
}

/* Effective is a fact: every worker has finished what it began under an older table, and has
 * looked at its open streams. */
static void look_what_passed(struct mp_link *l)
{
    if (!l->program.waits && !l->leases.waits) return;
    if (l->host.cut_done != NULL && !l->host.cut_done(l->host.ctx)) return;
    uint64_t program, leases;
    mp_gate_passed(l->gate, &program, &leases);
    tell_passed(l, MP_FRAME_PROGRAM, &l->program, program);
    tell_passed(l, MP_FRAME_LEASES, &l->leases, leases);
    mp_gate_step(l->gate);
}

static bool rings_are_empty(const struct mp_link *l)
{
    for (uint32_t i = 0; i < l->ring_count; i++) {
        if (!mp_ring_is_empty(&l->rings[i])) return false;
    }
    return true;
}

static void drain_ring(struct mp_link *l, struct mp_ring *ring, size_t until)
{
    mp_str record;
    while (l->out.len < until && mp_ring_front(ring, &record)) {
        mp_record_frame(&l->out, record);
        mp_ring_pop(ring);
    }
}

/* True: there were records. */
static bool drain_rings(struct mp_link *l)
{
    if (l->out.len >= OUT_MAX || rings_are_empty(l)) return false;
    size_t began = mp_frame_begin(&l->out, MP_FRAME_RECORDS);
    for (uint32_t i = 0; i < l->ring_count; i++) drain_ring(l, &l->rings[i], began + RECORDS_MAX);
    mp_frame_end(&l->out, began);
    return true;
}

static void tell_counts(struct mp_link *l, int64_t now)
{
    if (now < l->counts_at) return;
    struct mp_frame_counts c = {0};
    mp_gate_counts(l->gate, &c.verdicts, &c.refusals);
    for (uint32_t i = 0; i < l->ring_count; i++) {
        c.records += atomic_load_explicit(&l->rings[i].pushed, memory_order_relaxed);
        c.dropped += atomic_load_explicit(&l->rings[i].dropped, memory_order_relaxed);
    }
    if (l->host.cut_count != NULL) c.cut = l->host.cut_count(l->host.ctx);
    mp_frame_put_counts(&l->out, &c);
    l->counts_at = now + COUNTS_EVERY_MS * MS;
}

/* ---- the connection ---- */

static void disconnect(struct mp_link *l, const char *why)
{
    if (l->fd >= 0) {
        say(l, true, "the control plane is away (%s): what is in force stays", why);
        close(l->fd);
    }
    l->fd = -1;
    l->in.len = l->out.len = l->sent = 0;
    l->retry_at = mono_ns() + l->backoff_ms * MS;
    l->backoff_ms = l->backoff_ms * 2 < BACKOFF_MAX_MS ? l->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void connect_now(struct mp_link *l)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    _Static_assert(sizeof to.sun_path >= sizeof l->config.socket, "a path that was taken fits");
    memcpy(to.sun_path, l->config.socket, strlen(l->config.socket));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        if (fd >= 0) close(fd);
        disconnect(l, strerror(errno));
        return;
    }
    l->fd = fd;
    l->counts_at = 0;
    l->out.len = l->sent = 0;
    l->out.failed = false;
    say_hello(l);
    say(l, false, "connected to the control plane at %s", l->config.socket);
}

static void receive(struct mp_link *l)
{
    for (int i = 0; i < 64; i++) { /* LIMIT: so that records go out in between */
        if (!mp_frame_out_reserve(&l->in, READ_BYTES)) {
            disconnect(l, "no memory");
            return;
        }
        ssize_t got = recv(l->fd, l->in.ptr + l->in.len, READ_BYTES, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            disconnect(l, got == 0 ? "it has closed" : strerror(errno));
            return;
        }
        l->in.len += (size_t)got;
        l->backoff_ms = BACKOFF_MIN_MS;
        if (!take_frames(l)) {
            disconnect(l, "it says what no control plane says");
            return;
        }
    }
}

static void transmit(struct mp_link *l)
{
    if (l->out.failed) {
        disconnect(l, "no memory");
        return;
    }
    while (l->sent < l->out.len) {
        ssize_t n = send(l->fd, l->out.ptr + l->sent, l->out.len - l->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (n < 0) {
            disconnect(l, strerror(errno));
            return;
        }
        l->sent += (size_t)n;
    }
    if (l->sent == l->out.len) {
        l->out.len = l->sent = 0;
    } else if (l->sent > OUT_MAX / 2) {
        memmove(l->out.ptr, l->out.ptr + l->sent, l->out.len - l->sent);
        l->out.len -= l->sent;
        l->sent = 0;
    }
}

/* ---- the thread ---- */

static int wait_ms(const struct mp_link *l)
{
    if (l->program.waits || l->leases.waits) return 1;
    int64_t until = l->fd >= 0 ? l->counts_at : l->retry_at, left = (until - mono_ns()) / MS + 1;
    return left < 0 ? 0 : left > COUNTS_EVERY_MS ? COUNTS_EVERY_MS : (int)left;
}

/* Until there is something to read, to send or to be woken for, or `span` is over. */
static void wait_on(struct mp_link *l, int64_t span_ns)
{
    short events = (short)(POLLIN | (l->sent < l->out.len ? POLLOUT : 0));
    struct pollfd fds[2] = {{.fd = l->wake_fd, .events = POLLIN}, {.fd = l->fd, .events = events}};
    struct timespec span = {.tv_sec = span_ns / (1000 * MS), .tv_nsec = span_ns % (1000 * MS)};
    uint64_t woken;
    ppoll(fds, l->fd >= 0 ? 2 : 1, &span, NULL);
    if (fds[0].revents != 0) (void)!read(l->wake_fd, &woken, sizeof woken);
}

/* `asleep` is said before the rings are looked at once more, and a worker looks at it after it
 * has pushed: one of the two sees the other. */
static void sleep_until_something(struct mp_link *l)
{
    atomic_store(&l->asleep, true);
    bool busy = l->fd >= 0 && l->out.len < OUT_MAX && !rings_are_empty(l);
    wait_on(l, busy ? 0 : wait_ms(l) * MS);
    atomic_store(&l->asleep, false);
}

static void *run(void *arg)
{
    struct mp_link *l = arg;
    prctl(PR_SET_TIMERSLACK, 1); /* LINGER_NS, and not twice that */
    while (!atomic_load(&l->stop)) {
        if (l->fd < 0 && mono_ns() >= l->retry_at) connect_now(l);
        if (l->fd >= 0) receive(l);
        look_what_passed(l);
        bool records = false;
        if (l->fd >= 0) {
            records = drain_rings(l);
            tell_counts(l, mono_ns());
            transmit(l);
        }
        if (l->state_due) {
            l->state_due = false;
            if (!link_state_write(l)) say(l, true, "%s cannot be written", l->config.state);
        }
        /* While one record follows the other no worker is asked to wake us: that is a system call
         * at the end of a request, and several times what the module itself costs it. */
        if (records) {
            wait_on(l, LINGER_NS);
        } else {
            sleep_until_something(l);
        }
    }
    return NULL;
}

/* ---- start and stop ---- */

/* The file is written anew with whatever comes next. */
static void keep_restored(struct mp_frame_out *kept, mp_str body)
{
    if (body.len == 0) return;
    mp_frame_put_bytes(kept, (mp_str){body.ptr - MP_FRAME_HEAD, body.len + MP_FRAME_HEAD});
}

/* What was in force when this proxy last ran; leases whose end has come since are not. */
static void restore(struct mp_link *l)
{
    struct link_state state;
    if (!link_state_read(l, clock_ns(CLOCK_REALTIME), &state)) return;
    const char *why = "";
    uint64_t revision = 0;
    if (state.program.len > 0 &&
        put_in_force(l, MP_FRAME_PROGRAM, state.program, &revision, &why) != MP_OK) {
        say(l, true, "%s: the program is refused: %s", l->config.state, why);
    } else if (state.program.len > 0) {
        l->program.revision = revision;
    }
    if (state.inventory.len > 0 &&
        put_in_force(l, MP_FRAME_INVENTORY, state.inventory, &revision, &why) != MP_OK) {
        say(l, true, "%s: the inventory is refused: %s", l->config.state, why);
    }
    if (state.leases.len > 0 &&
        put_in_force(l, MP_FRAME_LEASES, state.leases, &revision, &why) != MP_OK) {
        say(l, true, "%s: the leases are refused: %s", l->config.state, why);
    } else if (state.leases.len > 0) {
        l->leases.revision = revision;
    }
    keep_restored(&l->kept_program, state.program);
    keep_restored(&l->kept_inventory, state.inventory);
    keep_restored(&l->kept_leases, state.leases);
    link_state_free(&state);
}

enum mp_err mp_link_start(const struct mp_link_options *options, struct mp_link **out)
{
    struct mp_link *l = calloc(1, sizeof *l);
    if (l == NULL) return MP_ENOMEM;
    l->config = *options->config;
    l->gate = options->gate;
    l->workers = options->workers;
    l->rings = options->rings;
    l->ring_count = options->ring_count;
    l->host = options->host;
    l->fd = -1;
    l->backoff_ms = BACKOFF_MIN_MS;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    restore(l);
    l->has_thread = l->config.socket[0] != '\0';
    if (l->wake_fd < 0 || (l->has_thread && pthread_create(&l->thread, NULL, run, l) != 0)) {
        l->has_thread = false;
        mp_link_destroy(l);
        return MP_EIO;
    }
    *out = l;
    return MP_OK;
}

void mp_link_stop(struct mp_link *l)
{
    uint64_t one = 1;
    atomic_store(&l->stop, true);
    if (!l->has_thread) return;
    (void)!write(l->wake_fd, &one, sizeof one);
    pthread_join(l->thread, NULL);
    l->has_thread = false;
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
}

void mp_link_destroy(struct mp_link *l)
{
    if (l == NULL) return;
    mp_link_stop(l);
    if (l->wake_fd >= 0) close(l->wake_fd);
    mp_frame_out_free(&l->in);
    mp_frame_out_free(&l->out);
    mp_frame_out_free(&l->kept_program);
    mp_frame_out_free(&l->kept_inventory);
    mp_frame_out_free(&l->kept_leases);
    free(l);
}

void mp_link_wake(struct mp_link *l)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&l->asleep, memory_order_relaxed)) return;
    if (!atomic_exchange(&l->asleep, false)) return;
    uint64_t one = 1;
    (void)!write(l->wake_fd, &one, sizeof one);
}
