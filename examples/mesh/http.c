/* SPDX-License-Identifier: Apache-2.0 */
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mesh.h"

/* One connection cache a thread: keep-alive without a lock. */
static pthread_key_t handle_of_thread;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void handle_close(void *handle) { curl_easy_cleanup(handle); }

static size_t body_ignore(char *bytes, size_t size, size_t count, void *ctx)
{
    (void)bytes, (void)ctx;
    return size * count;
}

static size_t header_note(char *line, size_t size, size_t count, void *ctx)
{
    static const char name[] = "x-mpol-rule: ";
    struct shop_answer *answer = ctx;
    size_t len = size * count, skip = sizeof name - 1;
    if (len > skip && strncasecmp(line, name, skip) == 0) {
        snprintf(answer->rule, sizeof answer->rule, "%.*s", (int)strcspn(line + skip, "\r\n"),
                 line + skip);
    }
    return len;
}

static void begin(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    pthread_key_create(&handle_of_thread, handle_close);
}

/* What is the same for every request. */
static CURL *handle_open(void)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL) return NULL;
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_ignore);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, header_note);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* loopback only, whatever the environment says */
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    pthread_setspecific(handle_of_thread, curl);
    return curl;
}

struct shop_answer shop_get(const char *from, uint16_t port, const char *path,
                            const char *const *headers)
{
    struct shop_answer answer = {0};
    pthread_once(&once, begin);
    CURL *curl = pthread_getspecific(handle_of_thread);
    if (curl == NULL) curl = handle_open();
    if (curl == NULL) return answer;

    char url[256], interface[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    snprintf(interface, sizeof interface, "host!%s", from);
    struct curl_slist *lines = NULL;
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i++) {
        lines = curl_slist_append(lines, headers[i]);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_INTERFACE, interface);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer);
    if (curl_easy_perform(curl) == CURLE_OK) {
        long status = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (int)status;
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(lines);
    return answer;
}
