#include "proto/queue.h"

#include "base/memory.h"

void sc_queue_init(struct sc_queue *queue)
{
    *queue = (struct sc_queue){.tail = &queue->head};
}

void sc_queue_clear(struct sc_queue *queue)
{
    while (queue->head)
        sc_queue_pop(queue);
}

bool sc_queue_push(struct sc_queue *queue, struct sc_slice frame, size_t max_bytes)
{
    size_t cost = frame.len + sizeof(struct sc_frame);
    if (cost > max_bytes || queue->bytes > max_bytes - cost)
        return false;
    struct sc_frame *copy = sc_calloc(1, cost);
    copy->len = frame.len;
    if (frame.len)
        memcpy(copy->bytes, frame.ptr, frame.len);
    *queue->tail = copy;
    queue->tail = &copy->next;
    queue->bytes += cost;
    return true;
}

void sc_queue_pop(struct sc_queue *queue)
{
    struct sc_frame *frame = queue->head;
    SC_ASSERT(frame != NULL);
    queue->head = frame->next;
    if (!queue->head)
        queue->tail = &queue->head;
    queue->bytes -= frame->len + sizeof *frame;
    free(frame);
}
