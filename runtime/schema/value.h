/* SPDX-License-Identifier: Apache-2.0
 * value.h - the one shape of every value that policies compute with.
 *
 * A register is two 64-bit words and a known bit that is kept beside it. Unknown is never a special
 * value; a register whose bit is clear holds zeros.
 *
 *   B  w[0] is 0 or 1                       I  w[0] is an int64
 *   F  w[0] is the bits of a double: never NaN, never infinite
 *   T  text, as in Neumann and Freitag, "Umbra" (CIDR 2020): w[0] = length in the low 32 bits, the
 *      first four bytes in the high 32; up to 12 bytes the rest lies in w[1] (zero-padded), longer
 *      text has in w[1] a pointer to all of its bytes. Equal short texts are equal words.
 *   A  an address, 16 bytes in network order; IPv4 is ::ffff:a.b.c.d (RFC 4291 §2.5.5.2)
 *   S  a set: w[0] is a pointer to its mp_values, w[1] their count
 *
 * Pointers in a value borrow: from the record, the program or the inventory it was read from.
 */
#ifndef MP_SCHEMA_VALUE_H
#define MP_SCHEMA_VALUE_H

#include "base/str.h"

enum mp_type {
#define TYPE(name, word, rep, noun) MP_TYPE_##name,
#include "schema/types.def"
#undef TYPE
    MP_TYPE_COUNT
};

enum mp_rep { MP_REP_N, MP_REP_B, MP_REP_I, MP_REP_F, MP_REP_T, MP_REP_A, MP_REP_S };

struct mp_value {
    uint64_t w[2];
};

/* Kleene's three truths. */
enum mp_truth { MP_FALSE = 0, MP_TRUE = 1, MP_UNKNOWN = 2 };

#define MP_TEXT_INLINE 12

enum mp_rep mp_type_rep(enum mp_type type);
mp_str mp_type_word(enum mp_type type); /* as written in a policy */
mp_str mp_type_noun(enum mp_type type); /* with its article, for messages */

static inline struct mp_value mp_value_bool(bool b) { return (struct mp_value){{b, 0}}; }
static inline struct mp_value mp_value_int(int64_t i)
{
    return (struct mp_value){{(uint64_t)i, 0}};
}
/* Statuses that a refusal may be answered with: 200 would be read as an answer, and 100 as none yet
 * (RFC 9110, 15). */
#define MP_REFUSAL_MIN 400
#define MP_REFUSAL_MAX 599
static inline bool mp_is_refusal(double status)
{
    return status >= MP_REFUSAL_MIN && status <= MP_REFUSAL_MAX;
}

/* Which part of the requests is meant: none below nothing or above all of them is one. Of a weight,
 * by which they are led elsewhere or copied, nothing would be no action. */
static inline bool mp_is_share(double share) { return share >= 0 && share <= 1; }
static inline bool mp_is_weight(double weight) { return weight > 0 && weight <= 1; }

static inline int64_t mp_value_as_int(struct mp_value v) { return (int64_t)v.w[0]; }

static inline struct mp_value mp_value_num(double f)
{
    struct mp_value v = {{0, 0}};
    memcpy(&v.w[0], &f, sizeof f);
    return v;
}

static inline double mp_value_as_num(struct mp_value v)
{
    double f;
    memcpy(&f, &v.w[0], sizeof f);
    return f;
}

/* Text that borrows `bytes` when it is longer than MP_TEXT_INLINE. */
struct mp_value mp_value_text(mp_str bytes);
/* The bytes of text; short text borrows *v itself, so v must outlive the answer. */
mp_str mp_value_as_text(const struct mp_value *v);
bool mp_value_text_eq(struct mp_value a, struct mp_value b);
static inline uint32_t mp_value_text_len(struct mp_value v) { return (uint32_t)v.w[0]; }

/* Reads `10.0.0.1`, `2001:db8::1`, and with a prefix length `10.0.0.0/8`. *bits is 128 for an
 * address alone and counts from the left of the 16 bytes. False for anything else. */
bool mp_value_address(mp_str text, struct mp_value *out, uint32_t *bits);
/* Writes an address; `out` has room for 48 bytes. The length is the answer. */
size_t mp_value_address_text(struct mp_value v, char out[48]);
/* Is `v` inside the first `bits` bits of `net`? */
bool mp_value_in_net(struct mp_value v, struct mp_value net, uint32_t bits);
/* The address with all bits behind the first `bits` cleared. */
struct mp_value mp_value_net(struct mp_value v, uint32_t bits);

/* Equality and a total order (for deterministic iteration) of two values of one representation. */
bool mp_value_eq(enum mp_rep rep, struct mp_value a, struct mp_value b);
int mp_value_cmp(enum mp_rep rep, struct mp_value a, struct mp_value b);

/* Reads what mp_value_print writes, and every other literal of the type in language.md 2 (`90s`,
 * `0.7%`, `5k/min`, `64MiB`, `2M`). Numbers are rounded once, from their exact decimal value (R10).
 * Text borrows `text`. False: not of this type, or out of its range. */
bool mp_value_read(enum mp_type type, mp_str text, struct mp_value *out);
/* The number that the whole text is: digits, point, exponent, sign; false for all else, and for
 * what overflows. Locale-free; correctly rounded. */
bool mp_value_number(mp_str text, double *out);
/* The shortest text that reads back as the same double; `out` has room for 32 bytes. */
size_t mp_value_number_text(double f, char out[32]);
/* R11: `*` any run of characters, `?` one, the whole text. `?` is a character of UTF-8, or one
 * byte that begins none. At most text × pattern steps, no recursion. */
bool mp_value_like(mp_str text, mp_str pattern);

/* Writes a value as an author would: `7.4%`, `1m30s`, `64MiB`, `100/s`, `10.0.0.7`, `checkout`.
 * Deterministic, locale-free; reading it back gives the same value. */
void mp_value_print(struct mp_buf *out, enum mp_type type, struct mp_value v);
/* The same for a cidr with its prefix length (as in mp_value_address), and for a set: `[web,
 * api]`. */
void mp_value_print_net(struct mp_buf *out, struct mp_value v, uint32_t bits);
void mp_value_print_set(struct mp_buf *out, enum mp_type type, struct mp_value v);
/* For people, not for reading back: at most four digits, `7.399%`, `12.34ms`. */
void mp_value_show(struct mp_buf *out, enum mp_type type, struct mp_value v);

#endif
