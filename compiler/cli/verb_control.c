/* SPDX-License-Identifier: Apache-2.0
 * Verbs that ask a running daemon through its control socket: status, why, release, brake, reload.
 */
#include "cli/verbs.h"

#include "cli/control.h"
#include "cli/entries.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 4096
#define PATIENCE_MS 10000 /* LIMIT: how long an answer may take */

#define STATE_OPTION {"state", "DIR", "the folder of `mpol run`"}

const struct cli_option cli_status_options[] = {STATE_OPTION, {NULL, NULL, NULL}};
const struct cli_option cli_release_options[] = {
    STATE_OPTION, {"all", NULL, "every open incident"}, {NULL, NULL, NULL}};
const struct cli_option cli_brake_options[] = {STATE_OPTION, {NULL, NULL, NULL}};
const struct cli_option cli_reload_options[] = {STATE_OPTION, {NULL, NULL, NULL}};
const struct cli_option cli_why_options[] = {
    STATE_OPTION, {"at", "TIME", "what had changed up to then: 12:03:10"}, {NULL, NULL, NULL}};

static int connect_to(const struct cli_args *args, const char *dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path, sizeof address.sun_path, "%s/control", dir);
    if (len < 0 || (size_t)len >= sizeof address.sun_path) {
        cli_complain(args, "%s: the path is too long for a socket", dir);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
    cli_complain(args, "no daemon answers at %s: %s", address.sun_path, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

/* The first line of an answer: the exit code, of one digit. */
#define HEAD_BYTES 2

/* Keys in an answer are what clients chose. */
static void put_answer(FILE *out, mp_str answer)
{
    while (answer.len > 0) {
        const char *end = memchr(answer.ptr, '\n', answer.len);
        size_t len = end != NULL ? (size_t)(end - answer.ptr) : answer.len;
        cli_put_text(out, mp_str_sub(answer, 0, len));
        if (end != NULL) fputc('\n', out);
        answer = mp_str_sub(answer, end != NULL ? len + 1 : len, SIZE_MAX);
    }
}

/* All but a character whose end has not come yet: in two halves it could not be looked at. */
static size_t whole_characters(const char *bytes, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char b = (unsigned char)bytes[len - back];
        if ((b & 0xC0) == 0x80) continue;
        size_t wanted = b >= 0xF0 ? 4 : b >= 0xE0 ? 3 : b >= 0xC0 ? 2 : 1;
        return wanted > back ? len - back : len;
    }
    return len;
}

/* Copies the answer to `to`, or what went wrong to standard error. */
static int read_answer(const struct cli_args *args, int fd, FILE *to)
{
    char bytes[4096];
    int code = -1;
    size_t len = 0;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (poll(&wait, 1, PATIENCE_MS) > 0) {
        ssize_t got = read(fd, bytes + len, sizeof bytes - len);
        if (got <= 0) break;
        len += (size_t)got;
        if (code < 0 && len < HEAD_BYTES) continue;
        size_t from = code < 0 ? HEAD_BYTES : 0;
        if (code < 0) code = bytes[0] - '0';
        size_t whole = whole_characters(bytes, len);
        put_answer(code == CLI_USAGE ? stderr : to, (mp_str){bytes + from, whole - from});
        memmove(bytes, bytes + whole, len - whole);
        len -= whole;
    }
    if (code >= 0) put_answer(code == CLI_USAGE ? stderr : to, (mp_str){bytes, len});
    if (code >= 0 && code <= 3) return code;
    return cli_complain(args, "the daemon did not answer");
}

int cli_control_ask(const struct cli_args *args, const char *const *words, size_t count)
{
    return cli_control_ask_to(args, words, count, stdout);
}

int cli_control_ask_to(const struct cli_args *args, const char *const *words, size_t count,
                       FILE *to)
{
    char request[REQUEST_MAX];
    size_t len = 0;
    const char *state = cli_value(args, "state", NULL);
    if (state == NULL) return cli_complain(args, "say which daemon: --state=DIR");
    for (size_t i = 0; i < count; i++) {
        int more = snprintf(request + len, sizeof request - len, "%s%c", words[i],
                            i + 1 < count ? '\t' : '\n');
        if (more < 0 || (size_t)more >= sizeof request - len || strpbrk(words[i], "\t\n") != NULL) {
            return cli_complain(args, "that is too long, or has a tab or a line end in it");
        }
        len += (size_t)more;
    }
    int fd = connect_to(args, state);
    if (fd < 0) return CLI_USAGE;
    int code = write(fd, request, len) == (ssize_t)len ? read_answer(args, fd, to)
                                                       : cli_complain(args, "%s", strerror(errno));
    close(fd);
    return code;
}

static int ask_with_operands(const struct cli_args *args, const char *verb, size_t least,
                             size_t most, const char *usage)
{
    const char *words[8] = {verb};
    size_t count;
    const char *const *operands = cli_operands(args, &count);
    if (count < least || count > most) return cli_complain(args, "%s", usage);
    for (size_t i = 0; i < count; i++) words[1 + i] = operands[i];
    return cli_control_ask(args, words, 1 + count);
}

int cli_status(const struct cli_args *args)
{
    return ask_with_operands(args, "status", 0, 0, "status takes no operand");
}

int cli_reload(const struct cli_args *args)
{
    return ask_with_operands(args, "reload", 0, 0, "reload takes no operand");
}

int cli_brake(const struct cli_args *args)
{
    return ask_with_operands(args, "brake", 1, 1, "brake on, brake off, or brake status");
}

int cli_release(const struct cli_args *args)
{
    if (cli_flag(args, "all"))
        return cli_control_ask(args, (const char *const[]){"release", "--all"}, 2);
    return ask_with_operands(args, "release", 1, 2,
                             "say which incident, or which rule and key, or --all");
}

int cli_why(const struct cli_args *args)
{
    size_t count;
    const char *const *operands = cli_operands(args, &count);
    if (count < 1 || count > 2) return cli_complain(args, "say which rule, and for which key");
    const char *words[] = {"why", operands[0], count > 1 ? operands[1] : "",
                           cli_value(args, "at", "")};
    return cli_control_ask(args, words, words[3][0] != '\0' ? 4 : 3);
}
