/* SPDX-License-Identifier: Apache-2.0
 * The mesh: mpol, a gateway, and an Envoy in front of every service. Each Envoy's bootstrap is what
 * `mpol envoy bootstrap` prints, unchanged.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shop.h"

#define READY_NS (120 * NS_PER_S)
#define CONTROL_READY_NS (60 * NS_PER_S)
#define LOOK_NS (20 * NS_PER_MS)
#define WORDS 48
#define FLAG 96 /* bytes of one option */

uint16_t shop_gateway_port, shop_xds_port;

static struct proxy {
    struct child child;
    const char *instance;
    uint16_t admin_port;
} proxies[APPS + 1]; /* the gateway is the last */
static struct child control;
static enum modules modules;

/* ---- ports ---- */

static int open_tcp(uint16_t port, bool listen_too)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int err = listen_too ? bind(fd, (struct sockaddr *)&at, sizeof at)
                         : connect(fd, (struct sockaddr *)&at, sizeof at);
    if (err == 0) return fd;
    close(fd);
    return -1;
}

/* Ours until we end: bound and not listened on, it is given to nobody else, and its owner, who sets
 * SO_REUSEADDR, may come, go and come back. Below the range that connections are given theirs
 * from. */
static uint16_t hold_port(void)
{
    static unsigned next;
    const int on = 1;
    if (next == 0) next = 20000 + (unsigned)getpid() * 41 % 9000;
    for (unsigned tried = 0; tried < 10000; tried++) {
        uint16_t port = (uint16_t)next;
        next = next < 31999 ? next + 1 : 20000;
        int fd = open_tcp(port, true);
        if (fd < 0) continue;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0) return port;
        close(fd);
    }
    return 0;
}

static bool listens(uint16_t port)
{
    int fd = open_tcp(port, false);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

bool mesh_admin(uint16_t port, const char *path, char *out, size_t size)
{
    char ask[256];
    struct timeval wait = {2, 0};
    int fd = open_tcp(port != 0 ? port : proxies[APPS].admin_port, false);
    out[0] = '\0';
    if (fd < 0) return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    int len = snprintf(ask, sizeof ask,
                       "GET %s HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n", path);
    size_t got = 0;
    ssize_t n = send(fd, ask, (size_t)len, MSG_NOSIGNAL);
    while (n > 0 && got < size - 1) {
        n = recv(fd, out + got, size - 1 - got, 0);
        if (n > 0) got += (size_t)n;
    }
    out[got] = '\0';
    close(fd);
    return strncmp(out, "HTTP/1.1 200", 12) == 0;
}

/* ---- words of a command ---- */

struct command {
    const char *words[WORDS];
    char room[WORDS][SHOP_PATH + 32];
    int count;
};

static void word(struct command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void word(struct command *c, const char *format, ...)
{
    if (c->count == WORDS - 1) return;
    va_list args;
    va_start(args, format);
    vsnprintf(c->room[c->count], sizeof c->room[0], format, args);
    va_end(args);
    c->words[c->count] = c->room[c->count];
    c->words[++c->count] = NULL;
}

/* ---- mpol ---- */

static bool write_inventory(void)
{
    static const char services[] =
        "{\"entity\":\"service\",\"name\":\"gateway\",\"tier\":\"critical\",\"callers\":[],"
        "\"identities\":[\"" SHOP_ID("gateway") "\"]}\n"
        "{\"entity\":\"service\",\"name\":\"checkout\",\"tier\":\"critical\","
        "\"callers\":[\"gateway\",\"cart\"],\"identities\":[\"" SHOP_ID("checkout") "\"]}\n"
        "{\"entity\":\"service\",\"name\":\"catalog\",\"candidate\":\"v2\","
        "\"callers\":[\"gateway\",\"report\",\"batch\"],"
        "\"identities\":[\"" SHOP_ID("catalog") "\"]}\n"
        "{\"entity\":\"service\",\"name\":\"account\",\"callers\":[\"gateway\"],"
        "\"identities\":[\"" SHOP_ID("account") "\"]}\n"
        "{\"entity\":\"service\",\"name\":\"outside\",\"callers\":[\"export\"],"
        "\"identities\":[\"" SHOP_ID("edge") "\"]}\n"
        "{\"entity\":\"service\",\"name\":\"cart\",\"identities\":[\"" SHOP_ID("cart") "\"]}\n"
        "{\"entity\":\"service\",\"name\":\"report\",\"identities\":[\"" SHOP_ID("report") "\"]}\n"
        "{\"entity\":\"service\",\"name\":\"batch\",\"identities\":[\"" SHOP_ID("batch") "\"]}\n"
        "{\"entity\":\"service\",\"name\":\"export\",\"identities\":[\"" SHOP_ID("export") "\"]}\n";
    char path[SHOP_PATH];
    FILE *file = fopen(shop_path(path, "inventory.ndjson"), "w");
    if (file == NULL) return false;
    fputs(services, file);
    fprintf(file, "{\"entity\":\"instance\",\"name\":\"gateway-1\",\"service\":\"gateway\","
                  "\"ip\":\"127.0.0.1\",\"port\":%u}\n", shop_gateway_port);
    for (int i = 0; i < APPS; i++) {
        const struct app_place *app = &shop_apps[i];
        fprintf(file, "{\"entity\":\"instance\",\"name\":\"%s\",\"service\":\"%s\","
                      "\"ip\":\"127.0.0.1\",\"port\":%u,\"version\":\"%s\"}\n",
                app->instance, app->service, app->proxy_port, app->version);
    }
    return fclose(file) == 0;
}

bool control_start(void)
{
    static struct command c;
    char path[SHOP_PATH];
    c.count = 0;
    word(&c, "%s", SHOP_MPOL);
    word(&c, "run");
    word(&c, "%s", SHOP_DIR "/shop.mpol");
    word(&c, "--format=json");
    word(&c, "--inventory=%s", shop_path(path, "inventory.ndjson"));
    word(&c, "--state=%s", shop_path(path, "state"));
    word(&c, "--xds=127.0.0.1:%u", shop_xds_port);
    if (modules != MODULES_NONE) word(&c, "--module-socket=%s", shop_path(path, "modules"));
    if (!child_start(&control, c.words, NULL, NULL) || !follow_start(control.out)) return false;
    int64_t until_ns = tell_now_ns() + CONTROL_READY_NS;
    for (; tell_now_ns() < until_ns; tell_sleep_ns(LOOK_NS)) {
        if (listens(shop_xds_port)) return true;
        if (!child_alive(&control)) break;
    }
    fprintf(stderr, "shop: `mpol run` does not listen at --xds; its log is %s\n",
            shop_path(path, "mpol.log"));
    return false;
}

bool control_alive(void) { return child_alive(&control); }

void control_kill(void)
{
    child_kill(&control);
    follow_join();
}

void control_ask(const char *const *verb, const char *file)
{
    struct command c = {.count = 0};
    char path[SHOP_PATH];
    word(&c, "%s", SHOP_MPOL);
    for (; *verb != NULL; verb++) word(&c, "%s", *verb);
    word(&c, "--state=%s", shop_path(path, "state"));
    unlink(shop_path(path, "%s", file));
    child_run(c.words, file);
}

void control_print(const char *name)
{
    char path[SHOP_PATH], line[512];
    FILE *file = fopen(shop_path(path, "%s", name), "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) tell_say("%s", line);
    if (file != NULL) fclose(file);
}

/* ---- Envoys ---- */

static void tls_words(struct command *c, enum identity id)
{
    char path[SHOP_PATH];
    word(c, "--tls-cert=%s", shop_path(path, "%s.pem", ca_name(id)));
    word(c, "--tls-key=%s", shop_path(path, "%s.key", ca_name(id)));
    word(c, "--tls-ca=%s", shop_path(path, "ca.pem"));
    if (modules == MODULES_ALL || (modules == MODULES_CATALOG && id == ID_CATALOG)) {
        word(c, "--module-socket=%s", shop_path(path, "modules"));
    }
}

static void place_words(struct command *c, const char *layer, const char *service,
                        const char *instance)
{
    word(c, "%s", SHOP_MPOL);
    word(c, "envoy");
    word(c, "bootstrap");
    word(c, "--layer=%s", layer);
    word(c, "--service=%s", service);
    word(c, "--instance=%s", instance);
    word(c, "--xds=127.0.0.1:%u", shop_xds_port);
}

static bool gateway_bootstrap(void)
{
    struct command c = {.count = 0};
    place_words(&c, "ingress", "gateway", "gateway-1");
    tls_words(&c, ID_GATEWAY);
    word(&c, "--listen=127.0.0.1:%u", shop_gateway_port);
    word(&c, "--admin=127.0.0.1:%u", proxies[APPS].admin_port);
    word(&c, "--route=/pay=checkout");
    word(&c, "--route=/login=account");
    word(&c, "--route=/search=catalog");
    word(&c, "--route=/search=catalog@v1");
    word(&c, "--route=/search=catalog@v2");
    return child_run(c.words, "gateway-1.json") == 0;
}

static bool app_bootstrap(const struct app_place *app)
{
    struct command c = {.count = 0};
    char file[64];
    bool edge = app == &shop_apps[OUTSIDE];
    place_words(&c, edge ? "edge" : "service", app->service, app->instance);
    tls_words(&c, app->id);
    word(&c, "--listen=127.0.0.1:%u", app->proxy_port);
    word(&c, "--admin=127.0.0.1:%u", app->admin_port);
    word(&c, "--upstream=127.0.0.1:%u", app->port);
    snprintf(file, sizeof file, "%s.json", app->instance);
    return child_run(c.words, file) == 0;
}

static bool launch(struct proxy *proxy, const char *envoy)
{
    char path[SHOP_PATH], log[64];
    snprintf(log, sizeof log, "%s.log", proxy->instance);
    const char *config = shop_path(path, "%s.json", proxy->instance);
    const char *words[] = {envoy, "-c", config, "--concurrency", "1", "--disable-hot-restart",
                           "--log-level", "warning", NULL};
    return child_start(&proxy->child, words, NULL, log);
}

static bool ready(struct proxy *proxy, int64_t until_ns)
{
    char page[512], path[SHOP_PATH];
    while (tell_now_ns() < until_ns && child_alive(&proxy->child)) {
        if (mesh_admin(proxy->admin_port, "/ready", page, sizeof page)) return true;
        tell_sleep_ns(LOOK_NS);
    }
    fprintf(stderr, "shop: the Envoy %s is not ready; its log is %s\n", proxy->instance,
            shop_path(path, "%s.log", proxy->instance));
    return false;
}

static void choose_ports(void)
{
    shop_xds_port = hold_port();
    shop_gateway_port = hold_port();
    for (int i = 0; i < APPS; i++) {
        shop_apps[i].proxy_port = hold_port();
        shop_apps[i].admin_port = proxies[i].admin_port = hold_port();
        proxies[i].instance = shop_apps[i].instance;
    }
    proxies[APPS].instance = "gateway-1";
    proxies[APPS].admin_port = hold_port();
}

static bool module_is_there(void)
{
#ifdef SHOP_MODULE_DIR
    if (access(SHOP_MODULE_DIR "/libmpol_envoy.so", R_OK) == 0) {
        setenv("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", SHOP_MODULE_DIR, 1);
        return true;
    }
#endif
    return false;
}

enum modules mesh_modules(void) { return modules; }

static bool help_names(const char *verb, const char *option)
{
    char path[SHOP_PATH], line[512];
    const char *words[] = {SHOP_MPOL, verb, "--help", NULL};
    bool found = false;
    unlink(shop_path(path, "help"));
    child_run(words, "help");
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        found |= strstr(line, option) != NULL;
    }
    if (file != NULL) fclose(file);
    return found;
}

bool mesh_check(enum modules wanted)
{
    if (!help_names("run", "--xds")) {
        fprintf(stderr, "shop: this build of `mpol run` has no --xds: "
                        "it cannot be a control plane\n");
        return false;
    }
    modules = module_is_there() ? wanted : MODULES_NONE;
    return true;
}

bool mesh_start(const char *envoy)
{
    bool made = true;
    choose_ports();
    if (!write_inventory() || !control_start()) return false;
    made = gateway_bootstrap();
    for (int i = 0; i < APPS; i++) made = app_bootstrap(&shop_apps[i]) && made;
    if (!made) {
        fprintf(stderr, "shop: `mpol envoy bootstrap` has printed none; see run.log in %s\n",
                shop_dir);
        return false;
    }
    for (int i = 0; i <= APPS; i++) made = launch(&proxies[i], envoy) && made;
    int64_t until = tell_now_ns() + READY_NS;
    for (int i = 0; i <= APPS; i++) made = made && ready(&proxies[i], until);
    return made;
}

bool mesh_alive(const char **which)
{
    for (int i = 0; i <= APPS; i++) {
        *which = proxies[i].instance;
        if (!child_alive(&proxies[i].child)) return false;
    }
    return true;
}

void mesh_stop(void)
{
    /* They hold nothing that is worth a wait. */
    for (int i = 0; i <= APPS; i++) child_kill(&proxies[i].child);
    child_stop(&control, 5 * NS_PER_S);
    follow_join();
}

void mesh_abandon(void)
{
    for (int i = 0; i <= APPS; i++) {
        if (proxies[i].child.pid != 0) kill(proxies[i].child.pid, SIGKILL);
    }
    if (control.pid != 0) kill(control.pid, SIGKILL);
}
