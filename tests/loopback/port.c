/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Below the ports that connections go out from. */
#define PORT_FIRST 10000
#define PORTS 22000
#define BACKLOG 128

/* A socket bound to a port that nobody else is bound to. */
static int bind_alone(int *port)
{
    static unsigned next;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) abort();
    if (next == 0) next = (unsigned)getpid() * 31;
    for (int tries = 0; tries < PORTS; tries++) {
        *port = PORT_FIRST + (int)(next++ % PORTS);
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)*port),
                                 .sin_addr = {htonl(INADDR_LOOPBACK)}};
        if (bind(fd, (struct sockaddr *)&at, sizeof at) == 0) return fd;
    }
    fprintf(stderr, "no port of 127.0.0.1 is free\n");
    abort();
}

int port_hold(void)
{
    int port, on = 1, fd = bind_alone(&port);
    /* Set after bind: it lets others in beside us who say the same, and nobody else. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) abort();
    return port; /* fd stays open as long as the process */
}

int port_listen(int *port)
{
    int fd = bind_alone(port);
    if (listen(fd, BACKLOG) != 0) abort();
    return fd;
}
