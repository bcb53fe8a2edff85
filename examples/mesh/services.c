/* SPDX-License-Identifier: Apache-2.0 */
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "mesh.h"

#define IDENTITY(name) "spiffe://shop/ns/default/sa/" name

struct shop_place shop_places[SERVICES] = {
    [WEB] = {"web", "web-1", IDENTITY("web"), "127.0.1.1", 0, 0},
    [CART] = {"cart", "cart-1", IDENTITY("cart"), "127.0.1.2", 0, 0},
    [CHECKOUT] = {"checkout", "checkout-1", IDENTITY("checkout"), "127.0.1.3", 0, 0},
    [ACCOUNT] = {"account", "account-1", IDENTITY("account"), "127.0.1.4", 0, 0},
    [CATALOG] = {"catalog", "catalog-1", IDENTITY("catalog"), "127.0.1.5", 0, 0},
    [ADMIN] = {"admin", "admin-1", IDENTITY("admin"), "127.0.1.6", 0, 0},
};

static struct MHD_Daemon *daemons[SERVICES];
static atomic_uint fault_permille[SERVICES];
static pthread_mutex_t dice_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t dice = 1;

void shop_fault(enum shop_service service, unsigned permille)
{
    atomic_store(&fault_permille[service], permille);
}

static bool unlucky(enum shop_service service)
{
    unsigned share = atomic_load(&fault_permille[service]);
    if (share == 0) return false;
    pthread_mutex_lock(&dice_lock);
    unsigned thrown = (unsigned)(tell_dice(&dice) % 1000);
    pthread_mutex_unlock(&dice_lock);
    return thrown < share;
}

/* A service calls another through that one's proxy, never directly, and says for whom. */
static int call(enum shop_service caller, enum shop_service callee, const char *path,
                const char *whom)
{
    char line[80];
    snprintf(line, sizeof line, "x-forwarded-for: %s", whom);
    const char *headers[] = {line, NULL};
    return shop_get(shop_places[caller].address, shop_places[callee].proxy_port, path, headers)
        .status;
}

/* A caller can do without checkout when it is told so (403, 429: a refusal), not when it breaks. */
static int with_checkout(enum shop_service caller, const char *path, const char *whom)
{
    int status = call(caller, CHECKOUT, path, whom);
    return status == 0 || status >= 500 ? 502 : 200;
}

static int serve_web(const char *path, const char *whom)
{
    if (strcmp(path, "/buy") == 0) return with_checkout(WEB, "/pay", whom);
    if (strcmp(path, "/cart") == 0) {
        int status = call(WEB, CART, "/total", whom);
        return status == 0 || status >= 500 ? 502 : 200;
    }
    return 200;
}

static int serve(enum shop_service service, const char *path, struct MHD_Connection *connection)
{
    const char *whom = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-forwarded-for");
    const char *word = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-password");
    if (whom == NULL) whom = "0.0.0.0";
    if (unlucky(service)) return 503;
    switch (service) {
    case WEB:
        return serve_web(path, whom);
    case CART:
        return with_checkout(CART, "/quote", whom);
    case ACCOUNT:
        return word != NULL && strcmp(word, "right") == 0 ? 200 : 401;
    default:
        return 200;
    }
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_size, void **state)
{
    (void)method, (void)version, (void)data, (void)state;
    *data_size = 0;
    enum shop_service service = (enum shop_service)((struct shop_place *)ctx - shop_places);
    int status = serve(service, url, connection);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(3, (void *)"ok\n", MHD_RESPMEM_PERSISTENT);
    enum MHD_Result queued = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return queued;
}

bool shop_services_start(uint64_t seed)
{
    dice = seed * 2 + 1;
    for (int i = 0; i < SERVICES; i++) {
        struct shop_place *place = &shop_places[i];
        daemons[i] = MHD_start_daemon(
            MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer,
            place, MHD_OPTION_SOCK_ADDR, shop_loopback(), MHD_OPTION_CONNECTION_TIMEOUT, 30u,
            MHD_OPTION_END);
        if (daemons[i] == NULL) {
            fprintf(stderr, "mesh: cannot start the service %s\n", place->name);
            return false;
        }
        place->service_port = MHD_get_daemon_info(daemons[i], MHD_DAEMON_INFO_BIND_PORT)->port;
    }
    return true;
}

void shop_services_stop(void)
{
    for (int i = 0; i < SERVICES; i++) {
        if (daemons[i] != NULL) MHD_stop_daemon(daemons[i]);
        daemons[i] = NULL;
    }
}
