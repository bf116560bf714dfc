// What the versions of libs3 differ in: Debian's 2.0 and upstream's 4.x, one source for both. meson.build looks which it is.
#pragma once

#include <libs3.h>
#include <stdbool.h>

// 4.x takes how long a request may last, before its last two arguments: `S3_head_object(…, SC_LIBS3_TIMEOUT handler, data)`.
enum { SC_LIBS3_LONGEST_MS = 6 * 3600 * 1000 };
#ifdef SC_LIBS3_HAS_TIMEOUT
#define SC_LIBS3_TIMEOUT SC_LIBS3_LONGEST_MS,
#else
#define SC_LIBS3_TIMEOUT
#endif

// 2.0 never looks at certificates.
#ifdef S3_INIT_VERIFY_PEER
enum { SC_LIBS3_FLAGS = S3_INIT_ALL | S3_INIT_VERIFY_PEER };
static const bool sc_libs3_verifies = true;
#else
enum { SC_LIBS3_FLAGS = S3_INIT_ALL };
static const bool sc_libs3_verifies = false;
#endif

// A region is what signatures of version 4 are made for. 2.0 signs by version 2, and writes a blank in a key as '+', which
// a server may take for either.
#ifdef SC_LIBS3_HAS_AUTHREGION
static const bool sc_libs3_takes_blanks = true;
#else
static const bool sc_libs3_takes_blanks = false;
#endif

#ifdef SC_LIBS3_HAS_SECURITYTOKEN
static const bool sc_libs3_takes_tokens = true;
#else
static const bool sc_libs3_takes_tokens = false;
#endif

static inline void sc_libs3_set_session(S3BucketContext *context, const char *token, const char *region)
{
#ifdef SC_LIBS3_HAS_SECURITYTOKEN
    context->securityToken = token;
#endif
#ifdef SC_LIBS3_HAS_AUTHREGION
    context->authRegion = region;
#endif
    (void)context;
    (void)token;
    (void)region;
}
