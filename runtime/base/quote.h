/* SPDX-License-Identifier: Apache-2.0
 * quote.h - text from anywhere as a string of JSON (RFC 8259).
 *
 * One spelling for all that is written: `\"`, `\\`, `\n`, `\t`, and `\u00xx` for the other control
 * characters and DEL. Bytes that are no UTF-8 become U+FFFD, for keys come from outside.
 *
 * Callers: ledger, ingest, inventory, daemon, diagnostics. Threads: pure functions.
 */
#ifndef MP_BASE_QUOTE_H
#define MP_BASE_QUOTE_H

#include "base/str.h"

#define MP_QUOTE_MAX 6 /* bytes that one byte of text may take */

/* What stands in JSON for the character at s.ptr[*at], which is behind the last one then. In
 * `room`, in s, or static. *at is below s.len. */
mp_str mp_quote_next(mp_str s, size_t *at, char room[MP_QUOTE_MAX]);
/* All of it, with its quotes. */
void mp_quote(struct mp_buf *out, mp_str s);

#endif
