// What moves objects either way rests on: the queue, how much may be under way, and what a transfer has come to.
#include "store/s3/transfer_impl.h"

#include "base/memory.h"

#include <errno.h>
#include <unistd.h>

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
