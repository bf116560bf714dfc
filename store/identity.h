// What data in a bucket is by its versions, for keys of steps (3-FORMATS, input.<n>): the bytes of a version never change,
// so its id says as much as their digest. It is the id together with all that it is an id in: version ids are unique in
// their key, bucket names on their server (of AWS, in a partition). Pure.
#pragma once

#include "base/buf.h"
#include "base/digest.h"

struct sc_identity_of {
    const char *
        server; // sc_store_server; "aws" is not written (FORMATS): whatever its endpoint, one who reads it reads the same
    struct sc_slice bucket, key; // key: an object's, or a prefix without its slash
};

// Whether it never names two contents: there is one, and it is not "null", which a bucket that keeps no versions writes over.
bool sc_identity_is_version(struct sc_slice version);
// ["version", bucket, key, version id] and, where it is not AWS, the server behind it.
void sc_identity_of_object(const struct sc_identity_of *of, struct sc_slice version,
                           struct sc_buf *ret_identity);
// The version id in what sc_identity_of_object wrote; else empty.
struct sc_slice sc_identity_version(struct sc_slice identity);
// ["versions", bucket, prefix, digest], and the server: the digest is of all objects below the prefix, which are added in the
// order of their keys.
struct sc_identity_digest {
    struct sc_hasher *hasher;
};
void sc_identity_digest_begin(struct sc_identity_digest *digest, uint32_t count);
// key: below the prefix and its slash.
void sc_identity_digest_add(struct sc_identity_digest *digest, struct sc_slice key, struct sc_slice version);
void sc_identity_of_prefix(const struct sc_identity_of *of, struct sc_identity_digest *digest,
                           struct sc_buf *ret_identity); // ends the digest
