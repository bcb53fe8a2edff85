/* SPDX-License-Identifier: Apache-2.0
 * Many proxies on one control plane: `mpol run --xds` as a process, and here, in one loop,
 * proxies that are as an Envoy is from its outside: a stream of discovery, and a listener that
 * obeys what it accepted.
 *
 *   bench_fleet MPOL FOLDER     FOLDER: where files of this run may lie
 *
 * fleet.told        a decision is asked for on the control socket → the last of 100 proxies has it
 *                   in force
 * fleet.effective   the same → the control plane has seen all of them obey, on old and new
 *                   connections
 * fleet.gathered    it listens → all proxies are connected and have the baseline
 */
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "../grpc/client.h"
#include "../loopback/port.h"
#include "bench.h"
#include "envoy_wire/discovery.h"
#include "envoy_xds/names.h"

enum {
    PROXIES = 100,
    FILTERS = 4,
    ROUNDS = 200,
    QUICK_ROUNDS = 5,
    GUARD_MS = 120000,
    LINE_BYTES = 4096
};

static const char method[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

static const char policy[] =
    "use std.mesh\n"
    "rule prober\n"
    "  when count(requests where status == 404) over 30s >= 1000 per client.ip max 1k\n"
    "  then deny client.ip on service for 1m\n";

/* Its filters, and what each answers to the path that its newest resource names. */
static const struct {
    const char *name, *answer;
} filters[FILTERS] = {
    {MP_ENVOY_DENY, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"},
    {MP_ENVOY_ALLOW, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"},
    {MP_ENVOY_THROTTLE, "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"},
    {MP_ENVOY_SHARE, "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"}};

struct proxy {
    unsigned number;
    struct grpc_client *client;
    struct grpc_call *call;
    uv_tcp_t listener;
    unsigned port;
    char probe[FILTERS][64]; /* path; empty: none */
    bool has[FILTERS];
    unsigned denials; /* resources of MP_ENVOY_DENY that came */
};

/* A connection to a proxy's listener. */
struct visit {
    struct proxy *proxy;
    uv_tcp_t tcp;
    char request[1024];
    size_t len;
};

static uv_loop_t loop;
static uv_timer_t guard;
static bool late;
static struct proxy proxies[PROXIES];
static pid_t mpol_pid;
static uv_pipe_t log_pipe;
static char log_line[LINE_BYTES], log_room[LINE_BYTES];
static size_t log_len;
static bool ready, effective, withdrawn;
static char awaited[64]; /* the decision, as the log names it */
static double told_ns, effective_ns;
static unsigned told;

/* ---- the loop ---- */

static void on_guard(uv_timer_t *timer) { late = true; }

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        late = false;                                                                              \
        uv_timer_start(&guard, on_guard, GUARD_MS, 0);                                             \
        while (!(condition) && !late) uv_run(&loop, UV_RUN_ONCE);                                  \
        if (late) bench_fail("does not come within %d ms: %s", GUARD_MS, #condition);              \
        uv_timer_stop(&guard);                                                                     \
    } while (0)

static void must(bool good, const char *what)
{
    if (!good) bench_fail("%s: %s", what, strerror(errno));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char room[65536]; /* one read at a time */
    *buf = uv_buf_init(room, sizeof room);
}

/* ---- a proxy's listener ---- */

static void on_visit_closed(uv_handle_t *handle) { free(handle->data); }

static const char *answer_to(const struct proxy *p, const char *path)
{
    for (int i = 0; i < FILTERS; i++) {
        if (p->probe[i][0] != '\0' && strcmp(p->probe[i], path) == 0) return filters[i].answer;
    }
    return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
}

static void reply(struct visit *v)
{
    char path[256];
    if (sscanf(v->request, "GET %255s ", path) != 1) bench_fail("no request: %s", v->request);
    const char *text = answer_to(v->proxy, path);
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, (unsigned)strlen(text));
    v->len = 0;
    uv_try_write((uv_stream_t *)&v->tcp, &buf, 1); /* short, into an empty socket */
}

static void on_visit_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct visit *v = stream->data;
    if (got < 0) uv_close((uv_handle_t *)stream, on_visit_closed);
    for (ssize_t i = 0; i < got; i++) {
        if (v->len + 1 == sizeof v->request) bench_fail("a request is too long");
        v->request[v->len++] = buf->base[i];
        v->request[v->len] = '\0';
        if (v->len > 4 && strcmp(v->request + v->len - 4, "\r\n\r\n") == 0) reply(v);
    }
}

static void on_visit(uv_stream_t *listener, int status)
{
    struct visit *v = calloc(1, sizeof *v);
    must(v != NULL && status == 0, "a visit");
    v->proxy = listener->data;
    uv_tcp_init(&loop, &v->tcp);
    v->tcp.data = v;
    must(uv_accept(listener, (uv_stream_t *)&v->tcp) == 0, "accept");
    uv_tcp_nodelay(&v->tcp, 1);
    uv_read_start((uv_stream_t *)&v->tcp, on_alloc, on_visit_read);
}

static void listen_at(struct proxy *p)
{
    struct sockaddr_in at;
    int size = sizeof at;
    uv_tcp_init(&loop, &p->listener);
    p->listener.data = p;
    uv_ip4_addr("127.0.0.1", 0, &at);
    must(uv_tcp_bind(&p->listener, (const struct sockaddr *)&at, 0) == 0, "bind");
    must(uv_listen((uv_stream_t *)&p->listener, 64, on_visit) == 0, "listen");
    must(uv_tcp_getsockname(&p->listener, (struct sockaddr *)&at, &size) == 0, "getsockname");
    p->port = ntohs(at.sin_port);
}

/* ---- a proxy's stream ---- */

static void request(struct proxy *p, struct mp_discovery_ask *ask, bool first)
{
    char room[4096], meta[512], id[64], cluster[] = "checkout", listen[32];
    struct pb_out m = pb_out_fixed(meta, sizeof meta), out = pb_out_fixed(room, sizeof room);
    snprintf(id, sizeof id, "service/checkout/checkout-%u", p->number);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", p->port);
    struct pb_struct_mark mark = pb_struct_begin(&m, MP_STR(MP_ENVOY_METADATA));
    pb_struct_number(&m, MP_STR("version"), MP_ENVOY_METADATA_VERSION);
    pb_struct_text(&m, MP_STR("listen"), mp_str_of(listen));
    pb_struct_end(&m, mark);
    const struct mp_discovery_node node = {.id = mp_str_of(id),
                                           .cluster = mp_str_of(cluster),
                                           .major = 1,
                                           .minor = 39,
                                           .patch = 3,
                                           .metadata = pb_view(&m)};
    if (first) ask->node = &node;
    ask->type_url = MP_STR(MP_ENVOY_TYPE_EXTENSION);
    mp_discovery_write_request(&out, ask);
    must(!m.failed && !out.failed, "a request");
    grpc_call_send(p->call, pb_view(&out));
}

/* The path that this resource answers by itself: MP_ENVOY_PROBE_PATH and 16 hexadecimal digits. */
static void find_probe(mp_str bytes, char *out, size_t size)
{
    static const char prefix[] = MP_ENVOY_PROBE_PATH, digits[] = "0123456789abcdef";
    size_t len = sizeof prefix - 1;
    out[0] = '\0';
    for (size_t at = 0; at + len + 16 <= bytes.len; at++) {
        if (memcmp(bytes.ptr + at, prefix, len) != 0) continue;
        if (strspn(bytes.ptr + at + len, digits) < 16) continue;
        snprintf(out, size, "%s%.16s", prefix, bytes.ptr + at + len);
        return;
    }
}

static void accept_resource(struct proxy *p, const struct mp_discovery_resource *r)
{
    for (int i = 0; i < FILTERS; i++) {
        if (!mp_str_eq(r->name, mp_str_of(filters[i].name))) continue;
        find_probe(r->value, p->probe[i], sizeof p->probe[i]);
        p->has[i] = true;
        if (i > 0) return;
        p->denials++;
        told++;
        told_ns = bench_wall_ns();
    }
}

static void on_message(void *ctx, mp_str message)
{
    struct proxy *p = ctx;
    struct mp_discovery_answer answer;
    struct mp_discovery_resource r;
    const char *why;
    if (mp_discovery_read_response(MP_DISCOVERY_DELTA, message, &answer, &why) != MP_OK)
        bench_fail("a response: %s", why);
    while (mp_discovery_next_resource(&answer, &r)) accept_resource(p, &r);
    struct mp_discovery_ask ack = {.nonce = answer.nonce};
    request(p, &ack, false);
}

static void on_ended(void *ctx, int status, mp_str text)
{
    bench_fail("a stream ended with %d: %.*s", status, MP_STR_ARG(text));
}

static void connect_proxy(struct proxy *p, const char *xds)
{
    mp_str names[FILTERS];
    const struct grpc_client_options to = {.target = xds};
    const struct grpc_call_options call = {
        .path = method, .message = on_message, .ended = on_ended, .ctx = p};
    p->client = grpc_client_open(&loop, &to);
    must(p->client != NULL, xds);
    p->call = grpc_call_open(p->client, &call);
    for (int i = 0; i < FILTERS; i++) names[i] = mp_str_of(filters[i].name);
    struct mp_discovery_ask ask = {.subscribe = names, .subscribe_count = FILTERS};
    request(p, &ask, true);
}

static bool all_have_all(void)
{
    for (int i = 0; i < PROXIES; i++) {
        for (int f = 0; f < FILTERS; f++) {
            if (!proxies[i].has[f]) return false;
        }
    }
    return true;
}

/* ---- the control plane ---- */

static void on_line(const char *line)
{
    if (strstr(line, "ready: ") != NULL) ready = true;
    if (awaited[0] == '\0' || strstr(line, awaited) == NULL) return;
    if (strstr(line, "-> withdrawn") != NULL) withdrawn = true;
    if (strstr(line, "-> effective") == NULL) return;
    effective = true;
    effective_ns = bench_wall_ns();
}

static void on_log(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    if (got < 0) {
        uv_read_stop(stream);
        return;
    }
    for (ssize_t i = 0; i < got; i++) {
        if (buf->base[i] != '\n') {
            if (log_len + 1 < sizeof log_line) log_line[log_len++] = buf->base[i];
            continue;
        }
        log_line[log_len] = '\0';
        log_len = 0;
        on_line(log_line);
    }
}

static void log_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    *buf = uv_buf_init(log_room, sizeof log_room);
}

static void end_mpol(void)
{
    if (mpol_pid > 0) kill(mpol_pid, SIGKILL);
}

static void start_mpol(const char *mpol, const char *xds)
{
    char flag[64];
    int fds[2];
    snprintf(flag, sizeof flag, "--xds=%s", xds);
    must(pipe(fds) == 0, "pipe");
    mpol_pid = fork();
    must(mpol_pid >= 0, "fork");
    if (mpol_pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        execl(mpol, mpol, "run", "fleet.mpol", "--inventory=fleet.jsonl", "--state=fleet.state",
              flag, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    atexit(end_mpol);
    uv_pipe_init(&loop, &log_pipe, 0);
    must(uv_pipe_open(&log_pipe, fds[0]) == 0, "the log");
    uv_read_start((uv_stream_t *)&log_pipe, log_alloc, on_log);
    UNTIL(ready);
}

/* A request at the control socket; the answer is read when it is needed. */
static int control(const char *line)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "fleet.state/control"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0,
         "the control socket");
    must(write(fd, line, strlen(line)) == (ssize_t)strlen(line), "the control socket");
    return fd;
}

static void control_end(int fd)
{
    char answer[8192];
    size_t len = 0;
    ssize_t got;
    while (len + 1 < sizeof answer && (got = read(fd, answer + len, sizeof answer - 1 - len)) > 0)
        len += (size_t)got;
    answer[len] = '\0';
    close(fd);
    if (answer[0] != '0') bench_fail("refused: %s", answer);
}

/* ---- figures ---- */

static void say(const char *name, double *ms, size_t count)
{
    char full[64];
    bench_sort(ms, count);
    snprintf(full, sizeof full, "%s.p50", name);
    bench_say(full, bench_percentile(ms, count, 0.50), "ms", NULL, NAN);
    snprintf(full, sizeof full, "%s.p99", name);
    bench_say(full, bench_percentile(ms, count, 0.99), "ms", NULL, NAN);
}

static void decide(int round, double *told_ms, double *effective_ms)
{
    char line[256], ip[32];
    snprintf(ip, sizeof ip, "10.1.%d.%d", round / 250, round % 250 + 1);
    snprintf(awaited, sizeof awaited, "deny %s: ", ip);
    effective = withdrawn = false;
    told = 0;
    double began = bench_wall_ns();
    snprintf(line, sizeof line,
             "decisions\tadd\tdo\ttext\t-\tbench\tdeny\tclient.ip=%s\ton=service\tfor=5m\n", ip);
    int fd = control(line);
    UNTIL(effective);
    if (told != PROXIES) bench_fail("effective on %u of %d proxies", told, PROXIES);
    *told_ms = (told_ns - began) / 1e6;
    *effective_ms = (effective_ns - began) / 1e6;
    control_end(fd);
    snprintf(line, sizeof line, "decisions\tdelete\tdo\ttext\tbench\tclient.ip=%s\n", ip);
    fd = control(line);
    UNTIL(withdrawn); /* all is quiet again */
    control_end(fd);
}

static void write_files(void)
{
    FILE *f = fopen("fleet.mpol", "w");
    must(f != NULL && fputs(policy, f) >= 0 && fclose(f) == 0, "fleet.mpol");
    f = fopen("fleet.jsonl", "w");
    must(f != NULL, "fleet.jsonl");
    for (int i = 0; i < PROXIES; i++) {
        fprintf(f, "{\"entity\":\"instance\",\"name\":\"checkout-%d\",\"service\":\"checkout\"}\n",
                i);
    }
    must(fclose(f) == 0, "fleet.jsonl");
}

int main(int argc, char **argv)
{
    static double told_ms[ROUNDS], effective_ms[ROUNDS];
    char mpol[4096], xds[32];
    if (argc < 3 || realpath(argv[1], mpol) == NULL || chdir(argv[2]) != 0)
        bench_fail("bench_fleet MPOL FOLDER");
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    uv_timer_init(&loop, &guard);
    write_files();
    snprintf(xds, sizeof xds, "127.0.0.1:%d", port_hold());
    start_mpol(mpol, xds);
    double began = bench_wall_ns();
    for (unsigned i = 0; i < PROXIES; i++) {
        proxies[i].number = i;
        listen_at(&proxies[i]);
        connect_proxy(&proxies[i], xds);
    }
    UNTIL(all_have_all());
    bench_say("fleet.gathered", (bench_wall_ns() - began) / 1e6, "ms", NULL, NAN);
    size_t rounds = bench_quick() ? QUICK_ROUNDS : ROUNDS;
    for (size_t i = 0; i < rounds; i++) decide((int)i, &told_ms[i], &effective_ms[i]);
    say("fleet.told", told_ms, rounds);
    say("fleet.effective", effective_ms, rounds);
    return 0;
}
