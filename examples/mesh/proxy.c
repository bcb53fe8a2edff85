/* SPDX-License-Identifier: Apache-2.0
 * A reverse proxy: the gate to the outside, and one in front of every service. For each request
 * it asks the guard, passes the request on or answers itself, and reports how it ended.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "guard.h"
#include "mesh.h"
#include "story.h"

#define GATE SERVICES

uint16_t shop_gate_port;
const char shop_gate_address[] = "127.0.1.100";

static struct MHD_Daemon *daemons[SERVICES + 1];
static int fronts[SERVICES + 1]; /* what MHD hands back: fronts[i] is i */

/* Where a path leads from the gate. */
static const struct {
    const char *prefix;
    enum shop_service service;
} routes[] = {{"/login", ACCOUNT}, {"/admin", ADMIN}, {"/search", CATALOG}, {"/", WEB}};

static enum shop_service route(const char *path)
{
    size_t i = 0;
    while (strncmp(path, routes[i].prefix, strlen(routes[i].prefix)) != 0) i++;
    return routes[i].service;
}

static void address_of(struct MHD_Connection *connection, char out[INET_ADDRSTRLEN])
{
    const struct sockaddr *sa =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, out,
              INET_ADDRSTRLEN);
}

/* The service that calls from this address, NULL: none of ours. */
static const struct shop_place *caller_of(const char *address)
{
    for (int i = 0; i < SERVICES; i++) {
        if (strcmp(shop_places[i].address, address) == 0) return &shop_places[i];
    }
    return NULL;
}

/* Its address stands for the certificate that a caller would show. */
static const char *identity_of(const char *address)
{
    const struct shop_place *caller = caller_of(address);
    if (caller != NULL) return caller->identity;
    if (strcmp(address, shop_gate_address) == 0) return "spiffe://shop/ns/default/sa/gate";
    return shop_client_identity(address);
}

static enum MHD_Result reply(struct MHD_Connection *connection, int status, const char *rule,
                             int64_t retry_after_ns)
{
    char seconds[24];
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    if (rule[0] != '\0') MHD_add_response_header(response, "x-mpol-rule", rule);
    if (retry_after_ns > 0) {
        snprintf(seconds, sizeof seconds, "%lld", (long long)(retry_after_ns / NS_PER_S + 1));
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    enum MHD_Result queued = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return queued;
}

static struct shop_answer pass_on(int front, enum shop_service service, const char *path,
                                  const char *client, const char *word)
{
    char forwarded[80], password[80];
    const char *headers[3] = {forwarded, NULL, NULL};
    const struct shop_place *to = &shop_places[service];
    snprintf(forwarded, sizeof forwarded, "x-forwarded-for: %s", client);
    snprintf(password, sizeof password, "x-password: %s", word != NULL ? word : "");
    if (word != NULL) headers[1] = password;
    if (front == GATE) return shop_get(shop_gate_address, to->proxy_port, path, headers);
    return shop_get("127.0.0.1", to->service_port, path, headers);
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_size, void **state)
{
    (void)version, (void)data, (void)state;
    *data_size = 0;
    int front = *(int *)ctx;
    char from[INET_ADDRSTRLEN];
    address_of(connection, from);
    /* What a caller of ours says about whom it calls for is believed; what a client says is not. */
    const char *whom = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-forwarded-for");
    const char *client = front != GATE && whom != NULL ? whom : from;
    const char *word = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-password");
    enum shop_service service = front == GATE ? route(url) : (enum shop_service)front;

    const struct shop_place *caller = caller_of(from);
    struct guard_request request = {.layer = front == GATE ? MPOL_INGRESS : MPOL_SERVICE,
                                    .service = shop_places[service].name,
                                    .instance = shop_places[service].instance,
                                    .client = client,
                                    .peer = identity_of(from),
                                    .caller = caller != NULL ? caller->name : NULL,
                                    .method = method,
                                    .path = url,
                                    .host = "shop"};
    int64_t asked = tell_now_ns();
    struct guard_answer verdict = guard_ask(&request);
    struct shop_answer answer = {.status = verdict.status};
    int64_t before = tell_now_ns();
    struct story_seen seen = {.gate = front == GATE, .service = service, .path = url,
                              .client = shop_client_of(client), .rule = verdict.rule,
                              .asked_ns = asked};
    if (verdict.allow) answer = pass_on(front, service, url, client, word);
    if (answer.status == 0) answer.status = 502;
    seen.status = answer.status;
    seen.wall_ns = tell_now_ns();
    story_see(&seen);
    guard_report(answer.status, tell_now_ns() - before);
    if (verdict.allow) return reply(connection, answer.status, answer.rule, 0);
    return reply(connection, verdict.status, verdict.rule, verdict.retry_after_ns);
}

bool shop_proxies_start(void)
{
    for (int i = 0; i <= SERVICES; i++) {
        fronts[i] = i;
        daemons[i] = MHD_start_daemon(
            MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle,
            &fronts[i], MHD_OPTION_SOCK_ADDR, shop_loopback(), MHD_OPTION_CONNECTION_TIMEOUT, 30u,
            MHD_OPTION_END);
        if (daemons[i] == NULL) {
            fprintf(stderr, "mesh: cannot start a proxy\n");
            return false;
        }
        uint16_t port = MHD_get_daemon_info(daemons[i], MHD_DAEMON_INFO_BIND_PORT)->port;
        if (i == GATE) {
            shop_gate_port = port;
        } else {
            shop_places[i].proxy_port = port;
        }
    }
    return true;
}

void shop_proxies_stop(void)
{
    /* From the outside in: no proxy stops while a request can still come to it. */
    for (int i = SERVICES; i >= 0; i--) {
        if (daemons[i] != NULL) MHD_stop_daemon(daemons[i]);
        daemons[i] = NULL;
    }
}
