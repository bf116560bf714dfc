#include "coordinator/shell/lanes.h"

#include "base/memory.h"

void sc_lanes_init(struct sc_lanes *lanes)
{
    *lanes = (struct sc_lanes){0};
    for (size_t i = 0; i < SC_LANES; i++)
        lanes->tail[i] = &lanes->head[i];
}

void sc_held_free(struct sc_held *held)
{
    if (!held)
        return;
    sc_job_free(held->job);
    sc_arena_done(&held->arena);
    free(held);
}

void sc_lanes_done(struct sc_lanes *lanes)
{
    for (size_t i = 0; i < SC_LANES; i++)
        for (struct sc_held *held = lanes->head[i], *next; held; held = next) {
            next = held->next;
            sc_held_free(held);
        }
    sc_lanes_init(lanes);
}

bool sc_lanes_clear(const struct sc_lanes *lanes, enum sc_lane lane, uint64_t after_seq, uint64_t durable_seq)
{
    return after_seq <= durable_seq && (lane == SC_LANE_READS || !lanes->head[lane]);
}

struct sc_held *sc_lanes_hold(struct sc_lanes *lanes, enum sc_lane lane, enum sc_held_kind kind,
                              uint64_t after_seq)
{
    struct sc_held *held = sc_calloc(1, sizeof *held);
    sc_arena_init(&held->arena);
    held->kind = kind;
    held->after_seq = after_seq;
    *lanes->tail[lane] = held;
    lanes->tail[lane] = &held->next;
    lanes->count++;
    return held;
}

void sc_lanes_account(struct sc_lanes *lanes, const struct sc_held *held)
{
    lanes->bytes += sizeof *held + held->arena.total_bytes;
}

struct sc_held *sc_lanes_take(struct sc_lanes *lanes, enum sc_lane lane, uint64_t durable_seq)
{
    struct sc_held *held = lanes->head[lane];
    if (!held || held->after_seq > durable_seq)
        return NULL;
    lanes->head[lane] = held->next;
    if (!held->next)
        lanes->tail[lane] = &lanes->head[lane];
    held->next = NULL;
    SC_ASSERT(lanes->count > 0);
    if (--lanes->count == 0)
        lanes->bytes = 0;
    return held;
}

uint64_t sc_lanes_wanted(const struct sc_lanes *lanes)
{
    uint64_t wanted = 0;
    for (size_t i = 0; i < SC_LANES; i++)
        if (lanes->head[i] && lanes->head[i]->after_seq > wanted)
            wanted = lanes->head[i]->after_seq;
    return wanted;
}
