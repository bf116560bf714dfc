// Names in the bucket (3-FORMATS, "The bucket"). Pure. A domain is [a-z0-9][a-z0-9-]{0,62}, which the other functions take for granted.
#pragma once

#include "base/buf.h"
#include "base/digest.h"

bool sc_name_domain_is_valid(struct sc_slice domain);
void sc_name_cas(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *digest);
void sc_name_pack(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *digest);
void sc_name_tree(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *root);
void sc_name_key(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *key);
void sc_name_key_prefix(struct sc_buf *out, struct sc_slice domain);
// Newest first in byte order: the time is written as its distance from the largest.
void sc_name_segment(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *template_,
                     int64_t wall_ms, struct sc_slice coordinator);
void sc_name_segment_prefix(struct sc_buf *out, struct sc_slice domain, const struct sc_digest *template_);
// Takes the time and its dash from the beginning of what follows a prefix; false when none is there.
bool sc_name_take_time(struct sc_slice *rest, int64_t *ret_wall_ms);
void sc_name_void(struct sc_buf *out, struct sc_slice domain, int64_t wall_ms, const struct sc_digest *key,
                  uint64_t generation);
void sc_name_void_prefix(struct sc_buf *out, struct sc_slice domain);
// What a void's name says; false when it is none.
bool sc_name_void_parse(struct sc_slice name, int64_t *ret_wall_ms, struct sc_digest *ret_key,
                        uint64_t *ret_generation);
// run/<namespace>/<run>/<rest>; rest as "plan", "options", "summary", "train[lr=0.1]/3/stdout" (percent-encoded where a name
// holds what S3 tools trip over; a part that would be longer than 200 bytes is cut and ends in '~' and 16 digits of its
// digest).
void sc_name_run(struct sc_buf *out, struct sc_slice domain, struct sc_slice namespace_, struct sc_slice run,
                 struct sc_slice rest);
// open/<coordinator>/<run>: what a coordinator of that name needs to go on with a run that is open.
void sc_name_open(struct sc_buf *out, struct sc_slice domain, struct sc_slice coordinator,
                  struct sc_slice run);
void sc_name_open_prefix(struct sc_buf *out, struct sc_slice domain, struct sc_slice coordinator);
// out/<namespace>/<pipeline>/<step>/<output>/<digest16>/<rest>
void sc_name_out(struct sc_buf *out, struct sc_slice domain, struct sc_slice namespace_,
                 struct sc_slice pipeline, struct sc_slice step, struct sc_slice output,
                 const struct sc_digest *digest, struct sc_slice rest);
void sc_name_out_latest(struct sc_buf *out, struct sc_slice domain, struct sc_slice namespace_,
                        struct sc_slice pipeline);
