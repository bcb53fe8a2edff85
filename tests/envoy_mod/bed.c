/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../loopback/folder.h"
#include "../loopback/port.h"

int64_t bed_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- a service: one thread, connections in a table ---- */

#define CONNECTIONS 64

struct bed_service {
    int fd, port;
    pthread_t thread;
    _Atomic bool stop;
    struct pollfd fds[CONNECTIONS];
    bool streams[CONNECTIONS];
};

static bool write_whole(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static void drop(struct bed_service *s, int i)
{
    close(s->fds[i].fd);
    s->fds[i].fd = -1;
    s->streams[i] = false;
}

static void answer(struct bed_service *s, int i)
{
    char request[8192];
    ssize_t got = recv(s->fds[i].fd, request, sizeof request - 1, 0);
    if (got <= 0) {
        drop(s, i);
        return;
    }
    request[got] = '\0';
    bool stream = strncmp(request, "GET /stream", 11) == 0;
    const char *reply = stream ? "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                               : "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    s->streams[i] = stream;
    if (!write_whole(s->fds[i].fd, reply)) drop(s, i);
}

static void take(struct bed_service *s)
{
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 1; i < CONNECTIONS && fd >= 0; i++) {
        if (s->fds[i].fd >= 0) continue;
        s->fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
        return;
    }
    if (fd >= 0) close(fd);
}

static void *serve(void *arg)
{
    struct bed_service *s = arg;
    while (!atomic_load(&s->stop)) {
        poll(s->fds, CONNECTIONS, 5);
        if (s->fds[0].revents != 0) take(s);
        for (int i = 1; i < CONNECTIONS; i++) {
            if (s->fds[i].fd < 0) continue;
            if (s->fds[i].revents != 0) answer(s, i);
            if (s->streams[i] && !write_whole(s->fds[i].fd, "5\r\npiece\r\n")) drop(s, i);
        }
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        if (s->fds[i].fd >= 0) close(s->fds[i].fd);
    }
    return NULL;
}

struct bed_service *bed_service_start(void)
{
    struct bed_service *s = calloc(1, sizeof *s);
    if (s == NULL) abort();
    s->fd = port_listen(&s->port);
    for (int i = 0; i < CONNECTIONS; i++) s->fds[i].fd = -1;
    s->fds[0] = (struct pollfd){.fd = s->fd, .events = POLLIN};
    if (pthread_create(&s->thread, NULL, serve, s) != 0) abort();
    return s;
}

int bed_service_port(const struct bed_service *s) { return s->port; }

void bed_service_stop(struct bed_service *s)
{
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    free(s);
}

/* ---- configuration ---- */

static void put_module_config(FILE *f, const char *member, const struct bed_options *o)
{
    fprintf(
        f,
        "\"%s\":{\"@type\":\"type.googleapis.com/google.protobuf.StringValue\",\"value\":"
        "\"{\\\"socket\\\":\\\"%s\\\",\\\"layer\\\":\\\"%s\\\",\\\"service\\\":\\\"checkout\\\","
        "\\\"instance\\\":\\\"checkout-1\\\"",
        member, o->socket, o->layer);
    if (o->state != NULL) fprintf(f, ",\\\"state\\\":\\\"%s\\\"", o->state);
    fprintf(f, "}\"}");
}

static void put_extension(FILE *f, const char *name, const char *type, const char *named,
                          const char *config, const struct bed_options *o)
{
    fprintf(
        f,
        "{\"name\":\"%s\",\"typed_config\":{\"@type\":\"type.googleapis.com/%s\","
        "\"dynamic_module_config\":{\"name\":\"mpol_envoy\",\"do_not_close\":true},\"%s\":\"mpol\",",
        name, type, named);
    put_module_config(f, config, o);
    fprintf(f, "}}");
}

static void put_filter(FILE *f, const struct bed_options *o)
{
    switch (o->filter) {
    case BED_NO_FILTER: return;
    case BED_RBAC:
        fprintf(
            f,
            "{\"name\":\"rbac\",\"typed_config\":{\"@type\":\"type.googleapis.com/envoy.extensions."
            "filters.http.rbac.v3.RBAC\",\"rules\":{\"action\":\"DENY\",\"policies\":{");
        for (int i = 0; i < 100; i++) {
            fprintf(
                f,
                "%s\"p%d\":{\"permissions\":[{\"url_path\":{\"path\":{\"exact\":\"/denied/%d\"}}}],"
                "\"principals\":[{\"any\":true}]}",
                i > 0 ? "," : "", i, i);
        }
        fprintf(f, "}}}},");
        return;
    case BED_MODULE:
    case BED_EMPTY_MODULE:
        put_extension(f, "mpol",
                      "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
                      "filter_name", "filter_config", o);
        fprintf(f, ",");
    }
}

static void put_access_logs(FILE *f, const struct bed_options *o, const char *folder)
{
    fprintf(f, "\"access_log\":[");
    if (!o->quiet) {
        fprintf(
            f,
            "{\"name\":\"file\",\"typed_config\":{\"@type\":\"type.googleapis.com/envoy.extensions."
            "access_loggers.file.v3.FileAccessLog\",\"path\":\"%s/access\",\"log_format\":"
            "{\"text_format_source\":{\"inline_string\":\"%%RESPONSE_CODE%% "
            "%%RESPONSE_CODE_DETAILS%% %%REQ(:PATH)%%\\n\"}}}}",
            folder);
    }
    if (o->logger) {
        fprintf(f, "%s", o->quiet ? "" : ",");
        put_extension(f, "envoy.access_loggers.dynamic_modules",
                      "envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog",
                      "logger_name", "logger_config", o);
    }
    fprintf(f, "],");
}

static void put_listener(FILE *f, const struct bed_options *o, const char *folder, int port)
{
    fprintf(
        f,
        "{\"name\":\"in\",\"address\":{\"socket_address\":{\"address\":\"127.0.0.1\","
        "\"port_value\":%d}},"
        "\"filter_chains\":[{\"filters\":[{\"name\":\"hcm\",\"typed_config\":{\"@type\":"
        "\"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager\",\"stat_prefix\":\"in\",\"use_remote_address\":true,"
        "\"delayed_close_timeout\":\"0s\",\"generate_request_id\":false,",
        port);
    put_access_logs(f, o, folder);
    fprintf(f, "\"http_filters\":[");
    put_filter(f, o);
    fprintf(
        f,
        "{\"name\":\"router\",\"typed_config\":{\"@type\":\"type.googleapis.com/envoy.extensions."
        "filters.http.router.v3.Router\"}}],\"route_config\":{\"virtual_hosts\":[{\"name\":\"all\","
        "\"domains\":[\"*\"],\"routes\":["
        "{\"match\":{\"prefix\":\"/up\"},\"route\":{\"cluster\":\"service\",\"timeout\":\"0s\"}},"
        "{\"match\":{\"prefix\":\"/stream\"},\"route\":{\"cluster\":\"service\","
        "\"timeout\":\"0s\"}},"
        "{\"match\":{\"prefix\":\"/\"},\"direct_response\":{\"status\":200}}]}]}}}]}]}");
}

static void put_bootstrap(FILE *f, const struct bed_options *o, const char *folder, int port)
{
    fprintf(f, "{\"node\":{\"id\":\"%s/checkout/checkout-1\",\"cluster\":\"checkout\"},", o->layer);
    if (o->filter == BED_MODULE) {
        fprintf(f, "\"bootstrap_extensions\":[");
        put_extension(
            f, "envoy.bootstrap.dynamic_modules",
            "envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension",
            "extension_name", "extension_config", o);
        fprintf(f, "],");
    }
    fprintf(f, "\"static_resources\":{\"listeners\":[");
    put_listener(f, o, folder, port);
    fprintf(
        f,
        "],\"clusters\":[{\"name\":\"service\",\"type\":\"STATIC\",\"connect_timeout\":\"2s\","
        "\"load_assignment\":{\"cluster_name\":\"service\","
        "\"endpoints\":[{\"lb_endpoints\":[{\"endpoint\":"
        "{\"address\":{\"socket_address\":{\"address\":\"127.0.0.1\","
        "\"port_value\":%d}}}}]}]}}]}}\n",
        o->service_port);
}

static void write_config(struct bed *b, const struct bed_options *o)
{
    char path[128];
    if (!tmp_folder_make(b->folder, sizeof b->folder, "bed")) abort();
    snprintf(path, sizeof path, "%s/envoy.json", b->folder);
    FILE *f = fopen(path, "w");
    if (f == NULL) abort();
    put_bootstrap(f, o, b->folder, b->port);
    fclose(f);
}

/* ---- the process ---- */

static pid_t run_envoy(const struct bed *b, const struct bed_options *o, const char *mode)
{
    char config[128], log[128], concurrency[16];
    snprintf(config, sizeof config, "%s/envoy.json", b->folder);
    snprintf(log, sizeof log, "%s/log", b->folder);
    snprintf(concurrency, sizeof concurrency, "%d", o->concurrency > 0 ? o->concurrency : 1);
    pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is killed leaves nobody behind */
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, 1);
    dup2(out, 2);
    setenv("ENVOY_DYNAMIC_MODULES_SEARCH_PATH",
           o->filter == BED_EMPTY_MODULE ? o->empty : o->modules, 1);
    execl(o->envoy, o->envoy, "-c", config, "--concurrency", concurrency, "--disable-hot-restart",
          "--file-flush-min-size-kb", "0", "--file-flush-interval-msec", "10", "--log-level",
          "warning", "--component-log-level", "dynamic_modules:info", "--mode", mode, (char *)NULL);
    _exit(127);
}

bool bed_loads_modules(const char *envoy)
{
    char command[1200], said[512] = "";
    int major = 0, minor = 0;
    snprintf(command, sizeof command, "'%s' --version", envoy);
    FILE *f = popen(command, "r");
    size_t got = f != NULL ? fread(said, 1, sizeof said - 1, f) : 0;
    if (f != NULL) pclose(f);
    said[got] = '\0';
    /* "PATH  version: HASH/1.39.3/Clean/RELEASE/BoringSSL" */
    const char *at = strstr(said, "version: ");
    at = at != NULL ? strchr(at, '/') : NULL;
    bool known = at != NULL && sscanf(at, "/%d.%d.", &major, &minor) == 2;
    if (!known || major > 1 || minor >= 38) return true;
    printf("left out: %s is Envoy %d.%d, and modules want 1.38\n", envoy, major, minor);
    return false;
}

static void show_log(const struct bed *b)
{
    char path[128], text[4096];
    snprintf(path, sizeof path, "%s/log", b->folder);
    FILE *f = fopen(path, "r");
    if (f == NULL) return;
    size_t got = fread(text, 1, sizeof text - 1, f);
    text[got] = '\0';
    fclose(f);
    fprintf(stderr, "---- %s\n%s----\n", path, text);
}

bool bed_start(struct bed *b, const struct bed_options *o)
{
    b->port = port_hold();
    write_config(b, o);
    b->pid = run_envoy(b, o, "serve");
    int64_t until = bed_now_ns() + BED_WAIT_NS;
    struct bed_client c = {.fd = -1};
    while (bed_now_ns() < until && waitpid(b->pid, NULL, WNOHANG) == 0) {
        bool answers =
            bed_connect(&c, "127.0.0.1", b->port) && bed_get(&c, "/.mpol/ready", "") != 0;
        bed_disconnect(&c);
        if (answers) return true;
        poll(NULL, 0, 5);
    }
    show_log(b);
    bed_stop(b);
    return false;
}

int bed_validate(const struct bed_options *o)
{
    struct bed b = {.port = port_hold()};
    int status = -1;
    write_config(&b, o);
    b.pid = run_envoy(&b, o, "validate");
    waitpid(b.pid, &status, 0);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    if (code != 0) show_log(&b);
    b.pid = 0;
    bed_stop(&b);
    return code;
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"envoy.json", "log", "access"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

void bed_stop(struct bed *b)
{
    if (b->pid > 0) {
        kill(b->pid, SIGTERM);
        int64_t until = bed_now_ns() + BED_WAIT_NS;
        while (waitpid(b->pid, NULL, WNOHANG) == 0) {
            if (bed_now_ns() > until) kill(b->pid, SIGKILL);
            poll(NULL, 0, 5);
        }
    }
    b->pid = 0;
    remove_folder(b->folder);
}

bool bed_logged(const struct bed *b, const char *text)
{
    static char log[1 << 20];
    char path[128];
    snprintf(path, sizeof path, "%s/access", b->folder);
    int64_t until = bed_now_ns() + BED_WAIT_NS;
    while (bed_now_ns() < until) {
        FILE *f = fopen(path, "r");
        size_t got = f != NULL ? fread(log, 1, sizeof log - 1, f) : 0;
        if (f != NULL) fclose(f);
        log[got] = '\0';
        if (strstr(log, text) != NULL) return true;
        poll(NULL, 0, 5);
    }
    fprintf(stderr, "the access log has no `%s`:\n%s\n", text, log);
    return false;
}

/* ---- clients ---- */

bool bed_connect(struct bed_client *c, const char *from, int port)
{
    struct sockaddr_in me = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    struct timeval bound = {.tv_sec = BED_WAIT_NS / 1000000000};
    int on = 1;
    inet_pton(AF_INET, from, &me.sin_addr);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)port);
    c->from = from;
    c->port = port;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&me, sizeof me) == 0 &&
        connect(c->fd, (struct sockaddr *)&to, sizeof to) == 0) {
        return true;
    }
    bed_disconnect(c);
    return false;
}

void bed_disconnect(struct bed_client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static bool ask(struct bed_client *c, const char *path, const char *headers)
{
    char text[1024];
    int len =
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nhost: checkout\r\n%s\r\n", path, headers);
    return send(c->fd, text, (size_t)len, MSG_NOSIGNAL) == len;
}

/* Reads until the head is there; the bytes that are. */
static size_t read_head(struct bed_client *c)
{
    size_t len = 0;
    while (len < sizeof c->reply - 1) {
        ssize_t got = recv(c->fd, c->reply + len, sizeof c->reply - 1 - len, 0);
        if (got <= 0) return 0;
        len += (size_t)got;
        c->reply[len] = '\0';
        if (strstr(c->reply, "\r\n\r\n") != NULL) return len;
    }
    return 0;
}

static int status_of(const char *reply)
{
    return strncmp(reply, "HTTP/1.1 ", 9) == 0 ? (int)strtol(reply + 9, NULL, 10) : 0;
}

int bed_get(struct bed_client *c, const char *path, const char *headers)
{
    if (c->fd < 0 && !bed_connect(c, c->from, c->port)) return 0;
    size_t len = ask(c, path, headers) ? read_head(c) : 0;
    if (len == 0) {
        bed_disconnect(c);
        return 0;
    }
    const char *length = strstr(c->reply, "content-length: ");
    size_t head = (size_t)(strstr(c->reply, "\r\n\r\n") - c->reply) + 4;
    size_t whole = head + (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
    while (len < whole) {
        char rest[1024];
        ssize_t got = recv(c->fd, rest, sizeof rest, 0);
        if (got <= 0) {
            bed_disconnect(c);
            return 0;
        }
        len += (size_t)got;
    }
    int status = status_of(c->reply);
    if (strstr(c->reply, "connection: close") != NULL) bed_disconnect(c);
    return status;
}

int bed_stream(struct bed_client *c, const char *path)
{
    if (!ask(c, path, "") || read_head(c) == 0) return 0;
    return status_of(c->reply);
}

bool bed_stream_goes_on(struct bed_client *c)
{
    char piece[4096];
    return recv(c->fd, piece, sizeof piece, 0) > 0;
}
