/* SPDX-License-Identifier: Apache-2.0
 * Follows `mpol run --format=json`: each transition is a line with the ledger's own object in
 * `entry`.
 */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shop.h"

#define LEASES 256

static pthread_t thread;
static bool started;
static FILE *from;

/* Leases that were seen to be in force, the newest last; guarded by `lock`. */
static struct lease {
    char rule[48], target[96];
    uint64_t id;
    bool in_force;
} leases[LEASES];
static size_t lease_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct mpol_text text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return mpol_text(text != NULL ? text : "");
}

static void note_lease(const json_t *x)
{
    const char *machine = json_string_value(json_object_get(x, "machine"));
    const char *to = json_string_value(json_object_get(x, "to"));
    const char *rule = json_string_value(json_object_get(x, "rule"));
    const char *target = json_string_value(json_object_get(x, "target"));
    if (machine == NULL || strcmp(machine, "lease") != 0) return;
    if (to == NULL || rule == NULL || target == NULL) return;
    uint64_t id = (uint64_t)json_integer_value(json_object_get(x, "lease"));
    pthread_mutex_lock(&lock);
    struct lease *lease = NULL;
    for (size_t i = 0; i < lease_count && lease == NULL; i++) {
        if (leases[i].id == id) lease = &leases[i];
    }
    if (lease == NULL && lease_count < LEASES) {
        lease = &leases[lease_count++];
        lease->id = id;
        snprintf(lease->rule, sizeof lease->rule, "%s", rule);
        snprintf(lease->target, sizeof lease->target, "%s", target);
    }
    if (lease != NULL && strcmp(to, "effective") == 0) lease->in_force = true;
    if (lease != NULL && strcmp(to, "withdrawn") == 0) lease->in_force = false;
    pthread_mutex_unlock(&lock);
}

uint64_t follow_lease(const char *rule, const char *target)
{
    uint64_t id = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < lease_count; i++) {
        const struct lease *x = &leases[i];
        if (x->in_force && strcmp(x->rule, rule) == 0 && strcmp(x->target, target) == 0) id = x->id;
    }
    pthread_mutex_unlock(&lock);
    return id;
}

/* The ledger's time, "2026-11-26T04:52:50.552318Z"; 0: none. */
static int64_t time_of(const json_t *x)
{
    const char *text = json_string_value(json_object_get(x, "time"));
    struct tm tm = {0};
    const char *rest = text != NULL ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    return rest == NULL ? 0 : timegm(&tm) * NS_PER_S + (int64_t)(strtod(rest, NULL) * 1e9);
}

static void tell(const json_t *x)
{
    char *json = json_dumps(x, JSON_COMPACT);
    const json_t *cause = json_object_get(x, "cause");
    struct mpol_entry entry = {.machine = text_of(x, "machine"), .rule = text_of(x, "rule"),
                               .key = text_of(x, "key"), .verb = text_of(x, "verb"),
                               .target = text_of(x, "target"), .from = text_of(x, "from"),
                               .to = text_of(x, "to"), .why = text_of(cause, "why"),
                               .wall_ns = time_of(x),
                               .json = mpol_text(json != NULL ? json : "")};
    entry.rung = (uint32_t)json_integer_value(json_object_get(x, "rung"));
    note_lease(x);
    tell_entry(NULL, &entry);
    free(json);
}

static void take_line(const char *text, size_t len, FILE *copy)
{
    fwrite(text, 1, len, copy);
    json_t *line = json_loadb(text, len, 0, NULL);
    const char *level = json_string_value(json_object_get(line, "level"));
    const char *words = json_string_value(json_object_get(line, "text"));
    const json_t *entry = json_object_get(line, "entry");
    if (entry != NULL) tell(entry);
    if (level != NULL && words != NULL &&
        (strcmp(level, "error") == 0 || strcmp(level, "warn") == 0)) {
        tell_line(strcmp(level, "error") == 0 ? RED : YELLOW, "mpol says", "%s", words);
    }
    json_decref(line);
}

static void *follow(void *ctx)
{
    (void)ctx;
    char path[SHOP_PATH], *line = NULL;
    size_t size = 0;
    ssize_t len;
    FILE *copy = fopen(shop_path(path, "mpol.log"), "a");
    while (copy != NULL && (len = getline(&line, &size, from)) > 0)
        take_line(line, (size_t)len, copy);
    free(line);
    if (copy != NULL) fclose(copy);
    fclose(from);
    return NULL;
}

bool follow_start(int fd)
{
    from = fdopen(fd, "r");
    started = from != NULL && pthread_create(&thread, NULL, follow, NULL) == 0;
    return started;
}

void follow_join(void)
{
    if (started) pthread_join(thread, NULL);
    started = false;
}
