#include "store/s3/transfer.h"

#include "base/memory.h"
#include "store/s3/transfer_impl.h"

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

bool sc_s3_is_archived(const struct sc_s3_answer *answer)
{
    if (answer->archive.len)
        return true; // INTELLIGENT_TIERING tells it apart
    bool cold = sc_slice_eq_str(answer->storage_class, "GLACIER") ||
                sc_slice_eq_str(answer->storage_class, "DEEP_ARCHIVE");
    // A restored copy can be read for a while.
    return cold && !sc_slice_starts(answer->restore, "ongoing-request=\"false\"");
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
