// What the files of an upload share: upload.c (hashing, the start, a single PUT) above multipart.c, that above copy.c, and
// upload_call.c below them.
#pragma once

#include "store/s3/transfer_impl.h"

#include <openssl/evp.h>

enum { SC_S3_SILENT_MS = 15 * 60 * 1000 }; // copying and completing are silent for long

struct sc_s3_upload_part {
    struct sc_s3_call call;
    struct sc_s3_upload *upload;
    struct sc_s3_upload_part *next;
    bool busy;
    uint32_t index;
    uint64_t sent;
    struct sc_digest digest;
    char number[12], range[64];
    struct sc_s3_param params[2];
    struct sc_s3_header headers[4];
};

struct sc_s3_upload {
    struct sc_s3_transfer *transfer;
    int fd; // -1: the body is in memory, or comes from another place
    uint64_t size;
    struct sc_s3_upload_part main; // the single request, and those around the parts
    char writer[33];
    struct sc_slice source, source_match; // headers of a copy
    char sha256[SC_DIGEST_HEX_BYTES];     // a header of what is written; "": not known
    // hashing
    struct sc_hasher *hasher, *whole; // of the part (or the single body); of everything, to compare
    uint64_t hashed;                  // up to here
    EVP_MD_CTX *md5_context;          // NULL: not wanted
    uint8_t md5[16];
    // parts
    struct sc_slice id;
    uint64_t part_bytes;
    uint32_t part_count, next_index, done_count, in_flight;
    struct sc_slice *etags;
    struct sc_s3_upload_part *parts;
    struct sc_buf list; // the body of the completion
    enum sc_rc rc;      // the first failure
};

// ---- upload_call.c: its requests, and its end

bool sc_s3_upload_is_copy(const struct sc_s3_upload *u);
const struct sc_s3_sizes *sc_s3_upload_sizes(const struct sc_s3_upload *u);
const struct sc_s3_wire_kind *sc_s3_upload_wire(const struct sc_s3_upload *u);
// Keeps the story of the first failure; SC_OK is none.
void sc_s3_upload_keep(struct sc_s3_upload *u, enum sc_rc rc, const struct sc_error *err);
// Frees the upload, and tells its transfer.
void sc_s3_upload_end(struct sc_s3_upload *u, enum sc_rc rc);
// The part's call anew, about the object that is written; `context` is the part.
struct sc_s3_call *sc_s3_upload_call(struct sc_s3_upload_part *part, enum sc_s3_ask ask, sc_s3_call_fn done);
void sc_s3_upload_add_param(struct sc_s3_call *call, const char *name, struct sc_slice value);
void sc_s3_upload_add_header(struct sc_s3_call *call, const char *name, struct sc_slice value);
// Kept with the object: whoever reads it without knowing its digest can check it by that.
void sc_s3_upload_add_digest(struct sc_s3_call *call);
// What of the body goes with it.
void sc_s3_upload_set_source(struct sc_s3_call *call, uint64_t offset, uint64_t size);
void sc_s3_upload_submit(struct sc_s3_call *call);
// The etag of what copies and completions made is in their body; where they had to look whether it was their own, in the
// headers, as everywhere else.
void sc_s3_upload_take_marks(struct sc_s3_upload *u, const struct sc_s3_answer *answer);
// `done` of a request that is all there is.
void sc_s3_upload_single_done(struct sc_s3_call *call);

// ---- copy.c

// From the transfer's `from`: what copies say of it.
void sc_s3_copy_name_source(struct sc_s3_upload *u);
void sc_s3_copy_single(struct sc_s3_upload *u);
// Makes the call of a part one that copies a range.
void sc_s3_copy_set_range(struct sc_s3_call *call, uint64_t start, uint64_t size);

// ---- multipart.c

uint64_t sc_s3_multipart_part_start(const struct sc_s3_upload *u, uint32_t index);
uint64_t sc_s3_multipart_part_size(const struct sc_s3_upload *u, uint32_t index);
// Of part_count parts of part_bytes; copies go on by themselves, bodies ask for `work`, which hashes.
void sc_s3_multipart_begin(struct sc_s3_upload *u);
bool sc_s3_multipart_may_submit(const struct sc_s3_upload *u);
// The next part; digest: of its bytes, NULL in a copy.
void sc_s3_multipart_submit(struct sc_s3_upload *u, const struct sc_digest *digest);
// A failure, which is kept: nothing new is begun, and what is under way is waited for.
void sc_s3_multipart_give_up(struct sc_s3_upload *u);
