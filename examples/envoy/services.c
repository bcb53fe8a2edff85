/* SPDX-License-Identifier: Apache-2.0 */
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shop.h"

#define IDLE_S 300u          /* Envoy keeps its connections; we do not close them under it */
#define PIECE_NS (50 * NS_PER_MS) /* a stream sends one so often */

struct app_place shop_apps[APPS] = {
    [CHECKOUT_1] = {"checkout", "checkout-1", "v1", ID_CHECKOUT, 0, 0, 0},
    [CHECKOUT_2] = {"checkout", "checkout-2", "v1", ID_CHECKOUT, 0, 0, 0},
    [CHECKOUT_3] = {"checkout", "checkout-3", "v1", ID_CHECKOUT, 0, 0, 0},
    [CATALOG_1] = {"catalog", "catalog-1", "v1", ID_CATALOG, 0, 0, 0},
    [CATALOG_2] = {"catalog", "catalog-2", "v2", ID_CATALOG, 0, 0, 0},
    [ACCOUNT_1] = {"account", "account-1", "v1", ID_ACCOUNT, 0, 0, 0},
    [OUTSIDE] = {"outside", "edge-1", "v1", ID_EDGE, 0, 0, 0},
};

static struct {
    struct MHD_Daemon *daemon;
    atomic_uint fault_permille, delay_ms;
    atomic_ulong requests;
} apps[APPS];
static atomic_bool running;
static pthread_mutex_t dice_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t dice = 1;

void app_fault(enum app app, unsigned permille, unsigned delay_ms)
{
    atomic_store(&apps[app].fault_permille, permille);
    atomic_store(&apps[app].delay_ms, delay_ms);
}

unsigned long app_requests(enum app app) { return atomic_load(&apps[app].requests); }

static bool unlucky(enum app app)
{
    unsigned share = atomic_load(&apps[app].fault_permille);
    if (share == 0) return false;
    pthread_mutex_lock(&dice_lock);
    unsigned thrown = (unsigned)(tell_dice(&dice) % 1000);
    pthread_mutex_unlock(&dice_lock);
    return thrown < share;
}

static int serve(enum app app, const char *path, struct MHD_Connection *connection)
{
    const char *word = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-password");
    unsigned delay = atomic_load(&apps[app].delay_ms);
    if (delay > 0) tell_sleep_ns((int64_t)delay * NS_PER_MS);
    if (unlucky(app)) return 503;
    if (app == ACCOUNT_1 && strcmp(path, "/login") == 0) {
        return word != NULL && strcmp(word, "right") == 0 ? 200 : 401;
    }
    return 200;
}

/* A piece every 50 ms, for as long as the shop is open. */
static ssize_t piece(void *ctx, uint64_t at, char *out, size_t size)
{
    (void)ctx, (void)at;
    tell_sleep_ns(PIECE_NS);
    if (!atomic_load(&running) || size < 5) return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(out, "tick\n", 5);
    return 5;
}

static struct MHD_Response *respond(const char *path)
{
    if (strcmp(path, "/feed") == 0) {
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 512, piece, NULL, NULL);
    }
    return MHD_create_response_from_buffer(3, (void *)(uintptr_t)"ok\n", MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_size, void **state)
{
    (void)method, (void)version, (void)data;
    static int seen;
    enum app app = (enum app)((struct app_place *)ctx - shop_apps);
    if (*state == NULL) { /* the head; what follows is the body */
        *state = &seen;
        return MHD_YES;
    }
    if (*data_size > 0) {
        *data_size = 0;
        return MHD_YES;
    }
    atomic_fetch_add(&apps[app].requests, 1);
    int status = serve(app, url, connection);
    struct MHD_Response *response = respond(url);
    MHD_add_response_header(response, "x-instance", shop_apps[app].instance);
    enum MHD_Result queued = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return queued;
}

bool apps_start(uint64_t seed)
{
    dice = seed * 2 + 1;
    atomic_store(&running, true);
    for (int i = 0; i < APPS; i++) {
        apps[i].daemon = MHD_start_daemon(
            MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer,
            &shop_apps[i], MHD_OPTION_SOCK_ADDR, shop_loopback(), MHD_OPTION_CONNECTION_TIMEOUT,
            IDLE_S, MHD_OPTION_END);
        if (apps[i].daemon == NULL) {
            fprintf(stderr, "shop: cannot start %s\n", shop_apps[i].instance);
            return false;
        }
        shop_apps[i].port = MHD_get_daemon_info(apps[i].daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    }
    return true;
}

void apps_stop(void)
{
    atomic_store(&running, false);
    for (int i = 0; i < APPS; i++) {
        if (apps[i].daemon != NULL) MHD_stop_daemon(apps[i].daemon);
        apps[i].daemon = NULL;
    }
}
