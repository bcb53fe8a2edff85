/* SPDX-License-Identifier: Apache-2.0
 * assert.h - our own mistakes. On in release.
 *
 * A failed assertion calls the panic hook, which must not return; the default prints one line to
 * standard error and aborts.
 */
#ifndef MP_BASE_ASSERT_H
#define MP_BASE_ASSERT_H

#define MP_ASSERT(cond)                                                                            \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) mp_panic(__FILE__, __LINE__, #cond);                     \
    } while (0)

#define MP_UNREACHABLE(why) mp_panic(__FILE__, __LINE__, why)

typedef void (*mp_panic_fn)(const char *file, int line, const char *what);

_Noreturn void mp_panic(const char *file, int line, const char *what);
/* Installs a hook that is told before the process aborts; NULL restores the default. */
void mp_panic_hook(mp_panic_fn hook);

#endif
