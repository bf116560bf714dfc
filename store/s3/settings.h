// What holds where a store's string is silent: AWS's own variables, then the profile in the shared config file
// ($AWS_CONFIG_FILE, ~/.aws/config), then AWS's defaults.
// https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
#pragma once

#include "store/s3/url.h"

// Everything that a handle needs to know, in the arena.
struct sc_s3_settings {
    struct sc_s3_url
        url; // its region and ca as they hold; its profile as it was written, since credentials are looked for by that
    struct sc_s3_endpoint endpoint;
};
// SC_INVALID, saying where what is wrong stands.
SC_MUST_USE enum sc_rc sc_s3_settings_find(const char *text, struct sc_arena *arena,
                                           struct sc_s3_settings *ret_settings, struct sc_error *err);
