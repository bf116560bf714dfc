#include "store/identity.h"

#include "base/mp.h"

static bool is_aws(const struct sc_identity_of *of)
{
    return strcmp(of->server, "aws") == 0;
}

bool sc_identity_is_version(struct sc_slice version)
{
    for (size_t i = 0; i < version.len; i++)
        if (version.ptr[i] <= ' ' || version.ptr[i] >= 0x7f)
            return false;
    return version.len > 0 && !sc_slice_eq_str(version, "null");
}

static void begin(const struct sc_identity_of *of, const char *kind, struct sc_buf *out)
{
    sc_mp_put_array(out, is_aws(of) ? 4 : 5);
    sc_mp_put_cstr(out, kind);
    sc_mp_put_str(out, of->bucket);
    sc_mp_put_str(out, of->key);
}

static void end(const struct sc_identity_of *of, struct sc_buf *out)
{
    if (!is_aws(of))
        sc_mp_put_cstr(out, of->server);
}

void sc_identity_of_object(const struct sc_identity_of *of, struct sc_slice version,
                           struct sc_buf *ret_identity)
{
    begin(of, "version", ret_identity);
    sc_mp_put_str(ret_identity, version);
    end(of, ret_identity);
}

struct sc_slice sc_identity_version(struct sc_slice identity)
{
    struct sc_mp_reader reader = sc_mp_reader(identity);
    sc_mp_get_array(&reader);
    bool one = sc_slice_eq_str(sc_mp_get_str(&reader), "version");
    sc_mp_skip(&reader, 1);
    sc_mp_skip(&reader, 1);
    struct sc_slice version = one ? sc_mp_get_str(&reader) : sc_slice(NULL, 0);
    return reader.failed ? sc_slice(NULL, 0) : version;
}

static void add(struct sc_identity_digest *digest, const struct sc_buf *bytes)
{
    sc_hasher_add(digest->hasher, bytes->ptr, bytes->len);
}

void sc_identity_digest_begin(struct sc_identity_digest *digest, uint32_t count)
{
    SC_AUTO_BUF struct sc_buf head;
    sc_buf_init(&head, 0);
    sc_mp_put_array(&head, 2);
    sc_mp_put_cstr(&head, "stepcache.versions/1");
    sc_mp_put_array(&head, count);
    digest->hasher = sc_hasher_new();
    sc_hasher_begin(digest->hasher);
    add(digest, &head);
}

void sc_identity_digest_add(struct sc_identity_digest *digest, struct sc_slice key, struct sc_slice version)
{
    SC_AUTO_BUF struct sc_buf entry;
    sc_buf_init(&entry, 0);
    sc_mp_put_array(&entry, 2);
    sc_mp_put_bin(&entry, key);
    sc_mp_put_str(&entry, version);
    add(digest, &entry);
}

void sc_identity_of_prefix(const struct sc_identity_of *of, struct sc_identity_digest *digest,
                           struct sc_buf *ret_identity)
{
    struct sc_digest sum = sc_hasher_end(digest->hasher);
    sc_hasher_free(digest->hasher);
    digest->hasher = NULL;
    begin(of, "versions", ret_identity);
    sc_mp_put_digest(ret_identity, &sum);
    end(of, ret_identity);
}
