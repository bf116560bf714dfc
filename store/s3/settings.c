#include "store/s3/settings.h"

#include "base/memory.h"
#include "store/s3/credentials_files.h"

#include <stdlib.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

// The first that is not NULL.
static const char *pick(const char *a, const char *b, const char *c, const char *d)
{
    return a ? a : b ? b : c ? c : d;
}

// What the profile says; NULL: nothing.
struct profile {
    const char *endpoint, *region, *ca;
};

static const char *value_of(const struct sc_s3_file *file, struct sc_slice profile, const char *name,
                            struct sc_arena *arena)
{
    struct sc_slice value = sc_s3_file_value(file, profile, name);
    return value.len ? sc_arena_cstr(arena, value) : NULL;
}

// A file that cannot be read is no error here: whoever needs credentials from it says so.
static struct profile read_profile(const char *name, struct sc_arena *arena)
{
    struct sc_slice profile = sc_slice_str(pick(name, variable("AWS_PROFILE"), "default", NULL));
    struct sc_s3_file file;
    struct profile found = {NULL, NULL, NULL};
    sc_s3_file_init(&file, SC_S3_CONFIG);
    if (sc_s3_file_load(&file, NULL) == SC_OK)
        found = (struct profile){.endpoint = value_of(&file, profile, "endpoint_url", arena),
                                 .region = value_of(&file, profile, "region", arena),
                                 .ca = value_of(&file, profile, "ca_bundle", arena)};
    sc_s3_file_done(&file);
    return found;
}

static const char *usual_endpoint(const struct profile *profile)
{
    const char *ignore = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    if (ignore && strcmp(ignore, "true") == 0)
        return NULL;
    return pick(variable("AWS_ENDPOINT_URL_S3"), variable("AWS_ENDPOINT_URL"), profile->endpoint, NULL);
}

enum sc_rc sc_s3_settings_find(const char *text, struct sc_arena *arena, struct sc_s3_settings *ret_settings,
                               struct sc_error *err)
{
    struct sc_s3_settings s;
    enum sc_rc rc = sc_s3_url_parse(text, arena, &s.url, err);
    if (rc != SC_OK)
        return rc;
    struct sc_s3_url *url = &s.url;
    struct profile profile = read_profile(url->profile, arena);
    if (!url->endpoint)
        url->endpoint = usual_endpoint(&profile);
    const char *endpoint_region = NULL;
    rc = sc_s3_endpoint_parse(url->endpoint, url->style, arena, &s.endpoint, &endpoint_region, err);
    if (rc != SC_OK)
        return rc;
    const char *region =
        pick(url->region, endpoint_region, variable("AWS_REGION"), variable("AWS_DEFAULT_REGION"));
    url->region = pick(region, profile.region, "us-east-1", NULL);
    url->ca = pick(url->ca, variable("AWS_CA_BUNDLE"), profile.ca, NULL);
    if (!sc_s3_region_is_valid(url->region))
        return sc_error_set(err, SC_INVALID,
                            "%s: \"%s\" is not the name of a region; see region=, AWS_REGION", text,
                            url->region);
    // The environment's texts may change under us.
    url->region = sc_arena_cstr(arena, sc_slice_str(url->region));
    url->ca = url->ca ? sc_arena_cstr(arena, sc_slice_str(url->ca)) : NULL;
    *ret_settings = s;
    return SC_OK;
}
