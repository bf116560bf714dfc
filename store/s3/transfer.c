#include "store/s3/transfer.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/s3/transfer_impl.h"

#include <errno.h>
#include <unistd.h>

enum { ACTIVE_PER_WINDOW = 2 }; // started transfers: each may hold a file open

void sc_s3_transfer_init(struct sc_s3_transfer *transfer, enum sc_s3_way way)
{
    *transfer = (struct sc_s3_transfer){.way = way, .to_fd = -1};
    sc_arena_init(&transfer->arena);
}

void sc_s3_transfer_done(struct sc_s3_transfer *transfer)
{
    sc_arena_done(&transfer->arena);
}

const struct sc_s3_sizes sc_s3_usual_sizes = {
    .single = (uint64_t)64 << 20,
    .part = (uint64_t)16 << 20,
    .copy_single = (uint64_t)5 << 30,
    .copy_part = (uint64_t)512 << 20,
};

uint64_t sc_s3_part_bytes(uint64_t size, uint64_t least)
{
    const uint64_t mib = 1 << 20;
    uint64_t part = (size + SC_LIMIT_S3_PARTS - 1) / SC_LIMIT_S3_PARTS;
    part = (part + mib - 1) / mib * mib;
    return part < least || size <= least * SC_LIMIT_S3_PARTS ? least : part;
}

bool sc_s3_is_archived(const struct sc_s3_answer *answer)
{
    if (answer->archive.len)
        return true; // INTELLIGENT_TIERING tells it apart
    bool cold = sc_slice_eq_str(answer->storage_class, "GLACIER") ||
                sc_slice_eq_str(answer->storage_class, "DEEP_ARCHIVE");
    // A restored copy can be read for a while.
    return cold && !sc_slice_starts(answer->restore, "ongoing-request=\"false\"");
}

struct sc_s3_mover *sc_s3_mover_new(struct sc_s3_client *client, const struct sc_s3_sizes *sizes)
{
    struct sc_s3_mover *mover = sc_calloc(1, sizeof *mover);
    mover->client = client;
    mover->sizes = *sizes;
    return mover;
}

void sc_s3_mover_free(struct sc_s3_mover *mover)
{
    if (!mover)
        return;
    SC_ASSERT(mover->active == 0 && mover->first == NULL);
    free(mover->chunk);
    free(mover);
}

void sc_s3_mover_submit(struct sc_s3_mover *mover, struct sc_s3_transfer *transfer)
{
    transfer->mover = mover;
    transfer->next = NULL;
    transfer->moved_bytes = 0;
    transfer->rc = SC_OK;
    transfer->archived = false;
    if (mover->last)
        mover->last->next = transfer;
    else
        mover->first = transfer;
    mover->last = transfer;
}

static void start_some(struct sc_s3_mover *mover)
{
    uint32_t most = sc_s3_client_window(mover->client) * ACTIVE_PER_WINDOW;
    while (mover->first && mover->active < most) {
        struct sc_s3_transfer *transfer = mover->first;
        mover->first = transfer->next;
        if (!mover->first)
            mover->last = NULL;
        transfer->next = NULL;
        mover->active++;
        if (transfer->way == SC_S3_DOWN)
            sc_s3_download_start(transfer);
        else
            sc_s3_upload_start(transfer);
    }
}

bool sc_s3_mover_turn(struct sc_s3_mover *mover)
{
    start_some(mover);
    // The first one alone: what is hashed first is sent first, and a turn stays short.
    struct sc_s3_transfer *transfer = mover->working;
    if (!transfer)
        return false;
    if (!mover->chunk)
        mover->chunk = sc_calloc(SC_S3_CHUNK_BYTES, 1);
    mover->working = transfer->next;
    transfer->next = NULL;
    bool more = transfer->way == SC_S3_DOWN ? sc_s3_download_work(transfer) : sc_s3_upload_work(transfer);
    if (more) { // then it is not over
        transfer->next = mover->working;
        mover->working = transfer;
    }
    return mover->working != NULL;
}

void sc_s3_mover_wants_work(struct sc_s3_transfer *transfer)
{
    struct sc_s3_transfer **at = &transfer->mover->working;
    while (*at) {
        if (*at == transfer)
            return;
        at = &(*at)->next;
    }
    transfer->next = NULL;
    *at = transfer;
}

uint32_t sc_s3_mover_share(const struct sc_s3_mover *mover)
{
    uint32_t window = sc_s3_client_window(mover->client);
    return mover->active >= window ? 1 : (window + mover->active - 1) / mover->active;
}

void sc_s3_mover_ended(struct sc_s3_transfer *transfer, enum sc_rc rc)
{
    SC_ASSERT(transfer->state == NULL);
    for (struct sc_s3_transfer **at = &transfer->mover->working; *at; at = &(*at)->next) {
        if (*at == transfer) {
            *at = transfer->next;
            break;
        }
    }
    transfer->mover->active--;
    transfer->rc = rc;
    transfer->done(transfer);
}

void sc_s3_transfer_moved(struct sc_s3_transfer *transfer, int64_t bytes)
{
    transfer->moved_bytes += (uint64_t)bytes;
    if (transfer->progress && bytes > 0)
        transfer->progress(transfer);
}

enum sc_rc sc_s3_read_at(int fd, uint8_t *bytes, size_t len, uint64_t offset, struct sc_error *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(fd, bytes + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sc_error_errno(err, errno, "read");
        if (n == 0)
            return sc_error_set(err, SC_BUSY, "the file became shorter while it was read");
        done += (size_t)n;
    }
    return SC_OK;
}
