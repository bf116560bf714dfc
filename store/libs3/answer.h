// What libs3 tells of an answer, put back into S3's own form, which is what a wire answers in (store/s3/wire.h).
#pragma once

#include "store/libs3/adapt.h"
#include "store/s3/http.h"

// Fills status, failure and, for an error of the server's, the text. `own` of the exchange, where it is set, counts first.
void sc_libs3_take_status(struct sc_s3_exchange *exchange, S3Status status, const S3ErrorDetails *details);
void sc_libs3_take_properties(struct sc_s3_exchange *exchange, const S3ResponseProperties *properties);
// The answer is another than libs3's: an error of S3 with this status and code.
void sc_libs3_set_error(struct sc_s3_exchange *exchange, uint32_t status, const char *code);
// The text of a good COPY, of which the etag is all that is wanted. False: that is no etag.
bool sc_libs3_set_copied(struct sc_s3_exchange *exchange, const char *etag);

// The text of a list: its beginning, each object, its end.
void sc_libs3_list_begin(struct sc_buf *text);
void sc_libs3_list_add(struct sc_buf *text, const S3ListBucketContent *content);
void sc_libs3_list_end(struct sc_buf *text, bool truncated);
