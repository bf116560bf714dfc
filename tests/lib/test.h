// What every test program starts with: cmocka and what it needs before it, and a few assertions in the project's terms.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/slice.h"

// The call succeeds; its story is shown when it does not. `err` must be a struct sc_error variable.
#define assert_ok(call, err)                                                                                 \
    do {                                                                                                     \
        enum sc_rc rc_ = (call);                                                                             \
        if (rc_ != SC_OK)                                                                                    \
            fail_msg("%s: %s (%s)", #call, (err).message, sc_rc_name(rc_));                                  \
    } while (0)
#define assert_rc(call, want) assert_string_equal(sc_rc_name(call), sc_rc_name(want))
#define assert_slice(slice, text)                                                                            \
    do {                                                                                                     \
        struct sc_slice slice_ = (slice);                                                                    \
        assert_int_equal(slice_.len, strlen(text));                                                          \
        assert_memory_equal(slice_.ptr, text, slice_.len);                                                   \
    } while (0)
#define assert_contains(text, part)                                                                          \
    do {                                                                                                     \
        if (!strstr((text), (part)))                                                                         \
            fail_msg("\"%s\" is not in \"%s\"", (part), (text));                                             \
    } while (0)
