// What encoding and decoding cost a message. Prints nanoseconds; the limit is 1 us for an event of typical size.
#include <stdio.h>
#include <time.h>

#include "base/limits.h"
#include "base/memory.h"
#include "proto/message.h"

enum { ROUNDS = 200000 };

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct sc_event_body hit(void)
{
    struct sc_event_body event = {
        .type = SC_EV_STEP_VERDICT,
        .at = 1767312000123,
        .run = SC_SLICE_LIT("abalone-20260102-3f2a"),
        .step = SC_SLICE_LIT("train[depth=5,lr=0.01]"),
        .verdict = SC_VERDICT_HIT,
        .reason = SC_REASON_CACHED,
        .made_by_run = SC_SLICE_LIT("abalone-20260101-91bc"),
        .made_by_pipeline = SC_SLICE_LIT("abalone"),
        .made_by_step = SC_SLICE_LIT("train[depth=5,lr=0.01]"),
        .made_by_agent = SC_SLICE_LIT("node-17"),
        .ended_at = 1767225600000,
        .saved_ms = 1200000,
    };
    event.key = sc_digest_of(sc_slice_str("key"));
    return event;
}

static void measure(const char *what, struct sc_event_body *events, uint32_t count)
{
    struct sc_message message = {.type = SC_MESSAGE_EVENT, .id = 5, .body.event.events = {events, count}},
                      back;
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    int rounds = ROUNDS / (int)count;
    double start = now_ns();
    for (int i = 0; i < rounds; i++) {
        sc_buf_clear(&buf);
        sc_message_encode(&message, &buf);
    }
    double encoded = now_ns();
    for (int i = 0; i < rounds; i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        enum sc_rc rc =
            sc_message_decode(sc_buf_slice(&buf), SC_LIMIT_MESSAGE_AGENT_BYTES, &arena, &back, NULL);
        SC_ASSERT(rc == SC_OK);
    }
    double decoded = now_ns(), each = (double)rounds * count;
    printf("%s: %zu bytes, encode %.0f ns, decode %.0f ns an event (limit 1000)\n", what, buf.len / count,
           (encoded - start) / each, (decoded - encoded) / each);
}

int main(void)
{
    static struct sc_event_body events[100];
    for (size_t i = 0; i < SC_COUNT(events); i++)
        events[i] = hit();
    measure("one event a message", events, 1);
    measure("a hundred events a message", events, SC_COUNT(events));
    return 0;
}
