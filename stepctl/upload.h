// Where a client's objects go: straight into the store of its own coordinator, or, in chunks, through a coordinator
// that was started by hand. Blocking; one thread.
#pragma once

#include "store/object.h"
#include "stepctl/client.h"

struct sc_upload {
    struct sc_client *client; // NULL: straight into the store
    struct sc_store *store;
    struct sc_objects *objects;
    struct sc_memo *memo; // of files on this machine that were hashed before; used in both cases
};

// `through`: a connected client, or NULL. Done after any rc.
SC_MUST_USE enum sc_rc sc_upload_open(struct sc_upload *upload, const struct sc_places *places,
                                      struct sc_client *through, struct sc_error *err);
void sc_upload_done(struct sc_upload *upload);
SC_MUST_USE enum sc_rc sc_upload_bytes(struct sc_upload *upload, struct sc_slice bytes,
                                       struct sc_digest *ret_digest, struct sc_error *err);
SC_MUST_USE enum sc_rc sc_upload_file(struct sc_upload *upload, const char *path,
                                      const struct sc_artifact *artifact, struct sc_error *err);
// `root` is the folder that was hashed into `tree`.
SC_MUST_USE enum sc_rc sc_upload_tree(struct sc_upload *upload, const char *root, const struct sc_tree *tree,
                                      struct sc_error *err);
// What was uploaded is durable.
SC_MUST_USE enum sc_rc sc_upload_sync(struct sc_upload *upload, struct sc_error *err);
