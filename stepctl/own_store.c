#include "stepctl/own_store.h"

#include "base/memory.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_bucket(const char *store)
{
    return strncmp(store, "s3://", 5) == 0;
}

static bool has_endpoint(const char *store)
{
    const char *parameters = strchr(store, '?');
    return parameters &&
           (strncmp(parameters + 1, "endpoint=", 9) == 0 || strstr(parameters, "&endpoint=") != NULL);
}

// As a parameter of the store's address: RFC 3986, 2.3, and what it leaves as it is.
static void put_encoded(struct sc_buf *out, const char *text)
{
    for (; *text; text++)
        if (isalnum((unsigned char)*text) || strchr("-._~/:", *text))
            sc_buf_add_byte(out, (uint8_t)*text);
        else
            sc_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
}

static enum sc_rc with_endpoint(const char *endpoint, struct sc_arena *arena, const char **store,
                                struct sc_error *err)
{
    if (!*store || !is_bucket(*store)) {
        enum sc_rc rc = sc_error_set(err, SC_INVALID, "--endpoint-url %s: the store is not in S3", endpoint);
        sc_error_hint(err, "say which one is: --store s3://bucket/prefix");
        return rc;
    }
    if (has_endpoint(*store))
        return sc_error_set(err, SC_INVALID, "--endpoint-url %s: %s has an endpoint already", endpoint,
                            *store);
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_buf_printf(&text, "%s%cendpoint=", *store, strchr(*store, '?') ? '&' : '?');
    put_encoded(&text, endpoint);
    *store = sc_arena_cstr(arena, sc_buf_slice(&text));
    return SC_OK;
}

static enum sc_rc make_absolute(struct sc_arena *arena, const char **store, struct sc_error *err)
{
    char folder[4096];
    if (*store && !**store) {
        enum sc_rc rc = sc_error_set(err, SC_INVALID, "--store is empty");
        sc_error_hint(err, "name a folder or s3://bucket/prefix; is a variable not set?");
        return rc;
    }
    // "s3:/bucket", "http://…", "S3://…" are no folders here; sc_places_find says what they are not.
    if (!*store || memchr(*store, ':', strcspn(*store, "/")) || **store == '/' || is_bucket(*store) ||
        strncmp(*store, "dir:", 4) == 0)
        return SC_OK;
    if (!getcwd(folder, sizeof folder))
        return sc_error_errno(err, errno, "--store %s: the current folder", *store);
    *store = (const char *)sc_arena_printf(arena, "%s/%s", folder, *store).ptr;
    return SC_OK;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

enum sc_rc sc_own_store_choose(struct sc_options *options, struct sc_arena *arena, struct sc_error *err)
{
    const char *coordinator = options->coordinator ? options->coordinator : variable("STEPCACHE_COORDINATOR");
    if (coordinator && options->own_store) {
        enum sc_rc rc =
            sc_error_set(err, SC_INVALID, "--store %s: the coordinator at %s has a store of its own",
                         options->own_store, coordinator);
        sc_error_hint(err,
                      "leave --store out, or leave --coordinator and STEPCACHE_COORDINATOR out to use your "
                      "own coordinator");
        return rc;
    }
    const char *store = options->own_store ? options->own_store : options->store;
    enum sc_rc rc = make_absolute(arena, &store, err);
    if (rc == SC_OK && options->endpoint_url) {
        store = store || coordinator ? store : variable("STEPCACHE_STORE");
        rc = with_endpoint(options->endpoint_url, arena, &store, err);
    }
    if (rc != SC_OK || !store)
        return rc;
    if (!coordinator && setenv("STEPCACHE_STORE", store, 1))
        return sc_error_errno(err, errno, "set STEPCACHE_STORE");
    options->store = store;
    return SC_OK;
}
