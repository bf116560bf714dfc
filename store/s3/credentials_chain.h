// The walk along the sources of credentials, once: the first that is configured gives them or fails. Blocking; any thread,
// as long as nobody changes the environment meanwhile.
#pragma once

#include "store/s3/credentials_http.h"

enum { SC_S3_ANY_SOURCE = -1 };

struct sc_s3_chain {
    const char *profile, *region; // as in struct sc_s3_provider_config; NULL: none
    struct sc_s3_patience patience;
    int64_t wall_ms; // what is signed for STS is signed now
    // The one that gave credentials before (struct sc_s3_chain_end), which alone is asked then, as AWS's tools do: a file
    // that is away for a moment does not make us somebody else.
    int source;
};
struct sc_s3_chain_end {
    struct sc_s3_found found;
    struct sc_buf words; // the source in words
    int source;
};
void sc_s3_chain_end_done(struct sc_s3_chain_end *end); // cleanses
// SC_DENIED, SC_UNREACHABLE, SC_UNSUPPORTED as of sc_s3_provider_get. ret_end is to be done with after any rc.
SC_MUST_USE enum sc_rc sc_s3_chain_walk(const struct sc_s3_chain *chain, struct sc_s3_chain_end *ret_end,
                                        struct sc_error *err);
