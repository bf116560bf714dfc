// What the files of sc_s3_transfer share: transfer.c (which one may go on) above download.c and upload.c (up and across), and
// mover.c below them.
#pragma once

#include "store/s3/transfer.h"

struct sc_s3_mover {
    struct sc_s3_client *client;
    struct sc_s3_sizes sizes;
    struct sc_s3_transfer *first, *last; // not started yet, in order
    uint32_t active;
    struct sc_s3_transfer *working; // started ones that have something to hash, in order
    uint8_t *chunk;                 // SC_S3_CHUNK_BYTES, for reading what is hashed
};

enum { SC_S3_CHUNK_BYTES = 1 << 20, SC_S3_TURN_BYTES = 4 << 20 };

// Each begins its kind of transfer, and hashes for one of them: true while there is more to hash at once.
void sc_s3_download_start(struct sc_s3_transfer *transfer);
bool sc_s3_download_work(struct sc_s3_transfer *transfer);
void sc_s3_upload_start(struct sc_s3_transfer *transfer);
bool sc_s3_upload_work(struct sc_s3_transfer *transfer);

// ---- mover.c

// How many parts of one transfer may be under way at once.
uint32_t sc_s3_mover_share(const struct sc_s3_mover *mover);
// Asks for a call of its `work` in the next turn.
void sc_s3_mover_wants_work(struct sc_s3_transfer *transfer);
// The end: its state is freed already.
void sc_s3_mover_ended(struct sc_s3_transfer *transfer, enum sc_rc rc);
// More of the body has moved, or (negative) must move again.
void sc_s3_transfer_moved(struct sc_s3_transfer *transfer, int64_t bytes);
// Reads exactly len bytes of a file at an offset. SC_BUSY when it is shorter.
SC_MUST_USE enum sc_rc sc_s3_read_at(int fd, uint8_t *bytes, size_t len, uint64_t offset,
                                     struct sc_error *err);
