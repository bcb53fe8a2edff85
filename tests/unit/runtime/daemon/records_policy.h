/* SPDX-License-Identifier: Apache-2.0
 * records_policy.h - a policy that asks proxies for everything.
 */
#ifndef MP_TESTS_RECORDS_POLICY_H
#define MP_TESTS_RECORDS_POLICY_H

/* Reads every field that a proxy can tell. */
static const char records_policy[] =
    "use std.mesh\n"
    "rule seen when count(requests where method == \"POST\" and scheme == \"https\" "
    "and host == \"shop\"\n"
    "    and port == 443 and path like \"/pay/*\" and raw_path == \"x\" and query == \"y\"\n"
    "    and args[\"b\"] == \"A c\" and headers[\"x-api-key\"] == \"k\" "
    "and cookies[\"t\"] == \"2\"\n"
    "    and user == \"ann\" and user_agent == \"curl\" and peer == \"spiffe://a\" "
    "and caller is known\n"
    "    and http_version == \"1.1\" and version == \"v1\" and mtls and bytes_in > 1B "
    "and status == 200\n"
    "    and latency > 1ms and bytes_out > 1B and success and not reset and not timeout\n"
    "    and response_headers[\"x-cost\"] == \"7\" and principal == \"p\" and layer == ingress\n"
    "    and grpc_service == \"s\" and grpc_method == \"m\" and grpc_status == 3 "
    "and route.name == \"all\")\n"
    "  over 1m >= 1 per service max 10 then notify \"x\"\n"
    "rule who when count(requests) over 1m >= 1 per instance max 10 then notify \"x\"\n"
    "rule asks when count(requests) over 1m >= 1 per client.ip max 10 then notify \"x\"\n"
    "rule cut when count(refusals where policy == \"contain\" and verb == \"deny\" "
    "and path == \"/a\"\n"
    "    and peer == \"x\" and layer == service) over 1m >= 1 per service, client.ip max 10 "
    "then notify \"x\"\n"
    "rule wires when count(connections where direction == inbound and protocol == tcp "
    "and dst_port == 1\n"
    "    and dst == 127.0.0.1 and refused and bytes > 1B and sni == \"x\" and peer == \"s\" "
    "and callee is known)\n"
    "  over 1m >= 1 per service max 10 then notify \"x\"\n"
    "rule hush when requests is stale for 10s then notify \"silent\"\n";

#endif
