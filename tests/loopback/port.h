/* SPDX-License-Identifier: Apache-2.0
 * port.h - ports of 127.0.0.1 for tests that run side by side: whoever has got one here has it
 * alone until the process ends.
 */
#ifndef TEST_LOOPBACK_PORT_H
#define TEST_LOOPBACK_PORT_H

/* A port for somebody who must be told a number: an Envoy in its configuration, `mpol run --xds`.
 * This process stays bound to it without listening, so neither another test nor a connection that
 * goes out gets it, while a server that sets SO_REUSEADDR (as all do that we start) may listen on
 * it, end, and come back. Until then connections to it are refused. */
int port_hold(void);

/* A socket that listens on a port of its own; the caller closes it. */
int port_listen(int *port);

#endif
