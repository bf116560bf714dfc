// S3's XML: answers read, and the one request body that is written. Pure. Answers come from outside: no entities, no
// document types, bounded in depth, counts and lengths; what is not of the expected form is refused, what is not known
// inside it is passed over. Texts lie in the arena.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

// What S3 says of a failure. Empty texts are absent ones.
struct sc_s3_fault {
    struct sc_slice code, message, request_id, region, bucket, endpoint;
};
// False when the bytes are no S3 error.
bool sc_s3_xml_fault(struct sc_slice bytes, struct sc_arena *arena, struct sc_s3_fault *ret_fault);

struct sc_s3_listed {
    struct sc_slice key, etag, storage_class; // the etag without its quotes
    struct sc_slice upload_id;                // of an unfinished upload; mtime_ms is when it was begun
    struct sc_slice version;                  // of a list of versions
    bool latest;                              // of a list of versions: it is what the key holds now
    uint64_t bytes;
    int64_t mtime_ms;
};
struct sc_s3_list {
    struct sc_s3_listed *items;
    uint32_t count;
    bool truncated;
    struct sc_slice next;         // continuation token, or key marker of versions or uploads
    struct sc_slice next_version; // version id marker
    struct sc_slice next_upload;  // upload id marker
};
// ListObjectsV2 that was asked with encoding-type=url. SC_MALFORMED.
SC_MUST_USE enum sc_rc sc_s3_xml_list(struct sc_slice bytes, struct sc_arena *arena,
                                      struct sc_s3_list *ret_list, struct sc_error *err);
// ListObjectVersions, the same; markers of deletion are left out.
SC_MUST_USE enum sc_rc sc_s3_xml_versions(struct sc_slice bytes, struct sc_arena *arena,
                                          struct sc_s3_list *ret_list, struct sc_error *err);
// ListMultipartUploads, the same.
SC_MUST_USE enum sc_rc sc_s3_xml_uploads(struct sc_slice bytes, struct sc_arena *arena,
                                         struct sc_s3_list *ret_list, struct sc_error *err);

// InitiateMultipartUpload's answer: the upload's id. SC_MALFORMED.
SC_MUST_USE enum sc_rc sc_s3_xml_upload_id(struct sc_slice bytes, struct sc_arena *arena,
                                           struct sc_slice *ret_upload_id, struct sc_error *err);
// What CopyObject and UploadPartCopy answer: an etag. They, and CompleteMultipartUpload, may say 200 first and an error
// afterwards: ask sc_s3_xml_fault before. SC_MALFORMED.
SC_MUST_USE enum sc_rc sc_s3_xml_etag(struct sc_slice bytes, struct sc_arena *arena,
                                      struct sc_slice *ret_etag, struct sc_error *err);

// What CompleteMultipartUpload answers. Ceph's first answer (16.2) leaves the etag empty. SC_MALFORMED.
SC_MUST_USE enum sc_rc sc_s3_xml_completed(struct sc_slice bytes, struct sc_arena *arena,
                                           struct sc_slice *ret_etag, struct sc_error *err);

// The body of CompleteMultipartUpload; etags without quotes, part numbers from 1.
void sc_s3_xml_complete(struct sc_buf *out, const struct sc_slice *etags, uint32_t count);
// An etag as headers and XML have it ("\"abc\"", weak or not) without its quotes.
struct sc_slice sc_s3_etag(struct sc_slice text);
