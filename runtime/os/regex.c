/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "os/regex_priv.h"

#include "os/std.h"

#include <pcre2.h>
#include <pthread.h>
#include <stdlib.h>

/* PCRE2 writes what it found into match data that two threads must not share. */
struct scratch {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;

static void scratch_free(void *ptr)
{
    struct scratch *s = ptr;
    if (s == NULL) return;
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->limits);
    free(s);
}

static void make_key(void) { (void)pthread_key_create(&scratch_key, scratch_free); }

/* The scratch of this thread. It is made when the thread compiles its first pattern, else at its
 * first search: the only allocation there, once in the life of a thread. */
static struct scratch *scratch_get(void)
{
    pthread_once(&once, make_key);
    struct scratch *s = pthread_getspecific(scratch_key);
    if (s != NULL) return s;
    s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->data = pcre2_match_data_create(1, NULL);
    s->limits = pcre2_match_context_create(NULL);
    if (s->data == NULL || s->limits == NULL || pthread_setspecific(scratch_key, s) != 0) {
        scratch_free(s);
        return NULL;
    }
    pcre2_set_match_limit(s->limits, MP_STD_MATCH_STEPS);
    pcre2_set_heap_limit(s->limits, 1024); /* KiB; the interpreter of PCRE2 alone needs any */
    return s;
}

enum mp_err mp_std_regex_compile(void *ctx, mp_str pattern, void **handle, const char **error)
{
    static _Thread_local char text[160];
    *error = "";
    if (pattern.len > MP_STD_PATTERN_BYTES) {
        *error = "a pattern of more than 4096 bytes";
        return MP_ELIMIT;
    }
    if (scratch_get() == NULL) return MP_ENOMEM;
    /* `$` is the end alone: before a last line feed it would let `/admin\n` pass as `/admin`. */
    const uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
    int code = 0;
    PCRE2_SIZE at = 0;
    PCRE2_SPTR bytes = (PCRE2_SPTR)(pattern.len > 0 ? pattern.ptr : "");
    pcre2_code *regex = pcre2_compile(bytes, pattern.len, options, &code, &at, NULL);
    if (regex == NULL) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
        *error = text;
        return MP_EINVAL;
    }
    /* Without native code (a machine that forbids it) the same pattern runs slower, no more. */
    (void)pcre2_jit_compile(regex, PCRE2_JIT_COMPLETE);
    *handle = regex;
    return MP_OK;
}

enum mp_match mp_std_regex_match(void *ctx, const void *handle, mp_str subject)
{
    struct scratch *s = scratch_get();
    if (s == NULL || subject.len > MP_STD_SUBJECT_BYTES) return MP_MATCH_LIMIT;
    PCRE2_SPTR bytes = (PCRE2_SPTR)(subject.len > 0 ? subject.ptr : "");
    int found = pcre2_match(handle, bytes, subject.len, 0, 0, s->data, s->limits);
    if (found >= 0) return MP_MATCH_YES;
    return found == PCRE2_ERROR_NOMATCH ? MP_MATCH_NO : MP_MATCH_LIMIT;
}

void mp_std_regex_free(void *ctx, void *handle) { pcre2_code_free(handle); }
