/* SPDX-License-Identifier: Apache-2.0 */
#include "plane.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bed.h"
#include "driver/driver.h"

#define CONNECTIONS 16
#define LINES_KEPT 4096
#define LINE_MAX_BYTES 1024

struct connection {
    int fd;
    struct mp_fleet_peer *peer;
    struct mp_frame_out out;
    size_t sent;
};

struct plane {
    pthread_mutex_t lock;
    pthread_cond_t news;
    pthread_t thread;
    bool stop;
    int listener, wake;
    struct mp_fleet *fleet;
    struct connection connections[CONNECTIONS];
    uint64_t revision, programs, records;
    int64_t record_ns;
    struct mp_fleet_info info; /* of the only proxy */
    bool connected;
    char trouble[512];
    char (*lines)[LINE_MAX_BYTES];
};

/* ---- the fleet's host ---- */

static void flush(struct connection *c)
{
    while (c->sent < c->out.len) {
        ssize_t n =
            send(c->fd, c->out.ptr + c->sent, c->out.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) return;
        c->sent += (size_t)n;
    }
    c->out.len = c->sent = 0;
}

static void on_send(void *ctx, void *connection, mp_str bytes)
{
    struct plane *p = ctx;
    struct connection *c = connection;
    mp_frame_put_bytes(&c->out, bytes);
    flush(c);
    uint64_t one = 1;
    if (c->out.len > 0) (void)!write(p->wake, &one, sizeof one);
}

static void on_record(void *ctx, const struct mp_fleet_info *from, const struct mp_fleet_record *r)
{
    struct plane *p = ctx;
    (void)from;
    p->record_ns = bed_now_ns();
    snprintf(p->lines[p->records++ % LINES_KEPT], LINE_MAX_BYTES, "%.*s", MP_STR_ARG(r->line));
}

static void on_event(void *ctx, const struct mp_fleet_info *who, const char *what)
{
    struct plane *p = ctx;
    (void)who;
    snprintf(p->trouble, sizeof p->trouble, "%s", what);
}

static int64_t on_now(void *ctx)
{
    (void)ctx;
    return bed_now_ns();
}

/* ---- the thread ---- */

static void hang_up(struct connection *c)
{
    mp_fleet_close(c->peer);
    close(c->fd);
    mp_frame_out_free(&c->out);
    *c = (struct connection){.fd = -1};
}

static void accept_one(struct plane *p)
{
    int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; i < CONNECTIONS && fd >= 0; i++) {
        struct connection *c = &p->connections[i];
        if (c->fd >= 0) continue;
        *c = (struct connection){.fd = fd};
        c->peer = mp_fleet_open(p->fleet, c);
        return;
    }
    if (fd >= 0) close(fd);
}

static void read_one(struct connection *c)
{
    static char bytes[1 << 16];
    ssize_t got = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || !mp_fleet_take(c->peer, (mp_str){bytes, (size_t)got})) hang_up(c);
}

static void note_info(void *ctx, const struct mp_fleet_info *info)
{
    struct plane *p = ctx;
    p->info = *info;
    p->connected = true;
}

static void turn(struct plane *p, struct pollfd *fds)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &p->connections[i];
        if (c->fd < 0 || fds[i].fd != c->fd) continue;
        if ((fds[i].revents & POLLOUT) != 0) flush(c);
        if ((fds[i].revents & (POLLIN | POLLHUP)) != 0) read_one(c);
    }
    if (fds[CONNECTIONS].revents != 0) accept_one(p);
    p->connected = false;
    mp_fleet_each(p->fleet, p, note_info);
    pthread_cond_broadcast(&p->news);
}

static void *serve(void *arg)
{
    struct plane *p = arg;
    struct pollfd fds[CONNECTIONS + 2];
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        for (int i = 0; i < CONNECTIONS; i++) {
            const struct connection *c = &p->connections[i];
            fds[i] = (struct pollfd){.fd = c->fd,
                                     .events = (short)(POLLIN | (c->out.len > 0 ? POLLOUT : 0))};
        }
        fds[CONNECTIONS] = (struct pollfd){.fd = p->listener, .events = POLLIN};
        fds[CONNECTIONS + 1] = (struct pollfd){.fd = p->wake, .events = POLLIN};
        pthread_mutex_unlock(&p->lock);
        poll(fds, CONNECTIONS + 2, 100);
        pthread_mutex_lock(&p->lock);
        uint64_t woken;
        if (fds[CONNECTIONS + 1].revents != 0) (void)!read(p->wake, &woken, sizeof woken);
        turn(p, fds);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- life ---- */

struct plane *plane_start(const char *path)
{
    struct plane *p = calloc(1, sizeof *p);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct mp_fleet_host host = {p, on_send, on_record, on_event, on_now};
    if (p == NULL || mp_fleet_create(&host, NULL, NULL, &p->fleet) != MP_OK) abort();
    p->lines = calloc(LINES_KEPT, LINE_MAX_BYTES);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->news, NULL);
    for (int i = 0; i < CONNECTIONS; i++) p->connections[i].fd = -1;
    unlink(path);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(p->listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(p->listener, 16) != 0)
        abort();
    p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->revision = (uint64_t)bed_now_ns(); /* grows over lives, as an engine's does */
    if (pthread_create(&p->thread, NULL, serve, p) != 0) abort();
    return p;
}

void plane_kill(struct plane *p)
{
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_mutex_unlock(&p->lock);
    uint64_t one = 1;
    (void)!write(p->wake, &one, sizeof one);
    pthread_join(p->thread, NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        if (p->connections[i].fd >= 0) hang_up(&p->connections[i]);
    }
    mp_fleet_destroy(p->fleet);
    close(p->listener);
    close(p->wake);
    free(p->lines);
    free(p);
}

/* ---- what is in force ---- */

mp_str plane_compile(const char *text)
{
    struct mp_compile_text source = {MP_STR("test.mpol"), mp_str_of(text), MP_CHECK_GIVEN};
    struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE};
    struct mp_compilation *c = NULL;
    if (mp_compile(&source, 1, &options, &c) != MP_OK || mp_compilation_errors(c) > 0) {
        fprintf(stderr, "a policy of the test does not compile:\n%s\n", text);
        abort();
    }
    mp_str image = mp_compilation_image(c);
    char *copy = malloc(image.len);
    if (copy == NULL) abort();
    memcpy(copy, image.ptr, image.len);
    mp_compilation_free(c);
    return (mp_str){copy, image.len};
}

void plane_image(struct plane *p, mp_str image)
{
    pthread_mutex_lock(&p->lock);
    if (mp_fleet_program(p->fleet, image, NULL, 0) != MP_OK) abort();
    p->programs++;
    pthread_mutex_unlock(&p->lock);
}

void plane_inventory(struct plane *p, const char *lines)
{
    pthread_mutex_lock(&p->lock);
    if (mp_fleet_inventory(p->fleet, mp_str_of(lines)) != MP_OK) abort();
    pthread_mutex_unlock(&p->lock);
}

uint64_t plane_policy(struct plane *p, const char *text)
{
    mp_str image = plane_compile(text);
    plane_image(p, image);
    free((void *)(uintptr_t)image.ptr);
    return p->programs;
}

struct mpol_lease plane_lease(uint64_t id, const char *verb, const char *kind, const char *type,
                              const char *target)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct mpol_lease){.size = sizeof(struct mpol_lease), .id = id, .incident = id,
                               .rule = mpol_text("a_rule"), .verb = mpol_text(verb),
                               .target_kind = mpol_text(kind), .target_type = mpol_text(type),
                               .target = mpol_text(target), .hooks = MPOL_ANY_LAYER,
                               .ends_wall_ns = ((int64_t)now.tv_sec + 3600) * 1000000000,
                               .begins_wall_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec};
}

uint64_t plane_leases(struct plane *p, const struct mpol_lease *leases, size_t count)
{
    pthread_mutex_lock(&p->lock);
    uint64_t revision = ++p->revision;
    struct mpol_desired set = {.size = sizeof set, .revision = revision, .owner = mpol_text("mpol"),
                               .leases = leases, .lease_count = count};
    const struct mpol_backend_ops *ops = mp_fleet_ops(p->fleet);
    if (ops->apply(p->fleet, &set) != MPOL_OK) abort();
    pthread_mutex_unlock(&p->lock);
    return revision;
}

/* ---- waiting ---- */

static bool wait_for(struct plane *p, bool (*is)(struct plane *p, void *what), void *what)
{
    int64_t until = bed_now_ns() + BED_WAIT_NS;
    pthread_mutex_lock(&p->lock);
    bool ok = is(p, what);
    while (!ok && bed_now_ns() < until) {
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_sec += 1;
        pthread_cond_timedwait(&p->news, &p->lock, &soon);
        ok = is(p, what);
    }
    pthread_mutex_unlock(&p->lock);
    return ok;
}

static bool is_connected(struct plane *p, void *what)
{
    (void)what;
    return p->connected;
}

static bool has_program(struct plane *p, void *what)
{
    return p->connected && p->info.program_passed == *(uint64_t *)what;
}

static bool is_effective(struct plane *p, void *what)
{
    return p->connected && p->info.leases_passed == *(uint64_t *)what;
}

static bool has_more(struct plane *p, void *what) { return p->records > *(uint64_t *)what; }

static bool is_troubled(struct plane *p, void *what) { return strstr(p->trouble, what) != NULL; }

struct texts {
    const char *all[8];
    int count;
};

static bool has_record(struct plane *p, void *what)
{
    const struct texts *t = what;
    uint64_t from = p->records > LINES_KEPT ? p->records - LINES_KEPT : 0;
    for (uint64_t i = from; i < p->records; i++) {
        int found = 0;
        while (found < t->count && strstr(p->lines[i % LINES_KEPT], t->all[found]) != NULL) found++;
        if (found == t->count) return true;
    }
    return false;
}

bool plane_wait_connected(struct plane *p) { return wait_for(p, is_connected, NULL); }
bool plane_wait_program(struct plane *p, uint64_t revision)
{
    return wait_for(p, has_program, &revision);
}

bool plane_wait_effective(struct plane *p, uint64_t revision)
{
    return wait_for(p, is_effective, &revision);
}

bool plane_wait_records(struct plane *p, uint64_t count) { return wait_for(p, has_more, &count); }

bool plane_wait_trouble(struct plane *p, const char *text)
{
    return wait_for(p, is_troubled, (void *)(uintptr_t)text);
}

bool plane_wait_record(struct plane *p, const char *text, ...)
{
    struct texts t = {.count = 0};
    va_list args;
    va_start(args, text);
    for (const char *at = text; at != NULL && t.count < 8; at = va_arg(args, const char *)) {
        t.all[t.count++] = at;
    }
    va_end(args);
    bool ok = wait_for(p, has_record, &t);
    for (uint64_t i = 0; !ok && i < p->records && i < 20; i++) fprintf(stderr, "%s\n", p->lines[i]);
    return ok;
}

struct mp_fleet_info plane_info(struct plane *p)
{
    pthread_mutex_lock(&p->lock);
    struct mp_fleet_info info = p->info;
    pthread_mutex_unlock(&p->lock);
    return info;
}

uint64_t plane_records(struct plane *p)
{
    pthread_mutex_lock(&p->lock);
    uint64_t n = p->records;
    pthread_mutex_unlock(&p->lock);
    return n;
}

int64_t plane_record_ns(struct plane *p)
{
    pthread_mutex_lock(&p->lock);
    int64_t at = p->record_ns;
    pthread_mutex_unlock(&p->lock);
    return at;
}
