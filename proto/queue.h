// The frames that wait for one peer, in order, bounded by their bytes. Not shared between threads.
#pragma once

#include "base/slice.h"

struct sc_frame {
    struct sc_frame *next;
    size_t len;
    uint8_t bytes[];
};

struct sc_queue {
    struct sc_frame *head, **tail;
    size_t bytes; // of the frames and what each takes beside them
};

void sc_queue_init(struct sc_queue *queue);
void sc_queue_clear(struct sc_queue *queue);
// Copies the frame to the end. False, and nothing is queued, when that would take more than max_bytes together.
bool sc_queue_push(struct sc_queue *queue, struct sc_slice frame, size_t max_bytes);
void sc_queue_pop(struct sc_queue *queue);
static inline bool sc_queue_is_empty(const struct sc_queue *queue)
{
    return queue->head == NULL;
}
