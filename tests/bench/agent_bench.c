// What a step costs the agent: trivial steps with one small output, through a coordinator in miniature, two slots. Prints
// the rate, and the CPU a step of the agent (its threads; zmq's too), of the runner with its steps, in microseconds.
#include "tests/lib/agent_fixture.h"
#include "tests/lib/test.h"

#include "base/os/clock.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { BATCH = 8, AHEAD = 16 };

static double cpu_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void assign(struct agent_fixture *f, uint64_t first, uint32_t count)
{
    struct sc_assignment items[BATCH];
    static struct sc_piece pieces[] = {{SC_PIECE_TEXT, SC_SLICE_LIT("true > \"")},
                                       {SC_PIECE_OUT, SC_SLICE_LIT("o")},
                                       {SC_PIECE_TEXT, SC_SLICE_LIT("\"")}};
    static struct sc_pieces word = {{pieces, SC_COUNT(pieces)}};
    static struct sc_assigned_output output = {.name = SC_SLICE_LIT("o"), .path = SC_SLICE_LIT("o.txt")};
    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct sc_assignment){.attempt = first + i,
                                          .number = 1,
                                          .namespace_ = sc_slice_str("default"),
                                          .pipeline = sc_slice_str("p"),
                                          .run = sc_slice_str("r"),
                                          .step = sc_slice_str("s[a=1]"),
                                          .script = true,
                                          .command = {&word, 1},
                                          .outputs = {&output, 1},
                                          .cpus_milli = 1000};
    struct sc_message message = {.type = SC_MESSAGE_ASSIGN, .body.assign.assignments = {items, count}};
    agent_fixture_send(f, &message);
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000, assigned = 0;
    struct agent_fixture fixture, *f = &fixture;
    if (!agent_fixture_make(f))
        return 0;
    agent_fixture_start(f);
    double start = cpu_us(CLOCK_MONOTONIC), all = cpu_us(CLOCK_PROCESS_CPUTIME_ID),
           self = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t done = 0; done < count; done++) {
        while (assigned < count && assigned + BATCH - done <= AHEAD + BATCH) {
            uint32_t n = count - assigned < BATCH ? (uint32_t)(count - assigned) : BATCH;
            assign(f, 1000 + assigned, n);
            assigned += n;
        }
        const struct sc_message *m = agent_fixture_await(f, SC_MESSAGE_REPORTED);
        if (m->body.reported.result.outcome != SC_OUTCOME_OK)
            fail_msg("%s", sc_arena_cstr(&f->arena, m->body.reported.result.message));
    }
    double wall = cpu_us(CLOCK_MONOTONIC) - start;
    double agent = cpu_us(CLOCK_PROCESS_CPUTIME_ID) - all - (cpu_us(CLOCK_THREAD_CPUTIME_ID) - self);
    agent_fixture_signal(f);
    agent_fixture_await(f, SC_MESSAGE_GOODBYE);
    agent_fixture_join(f);
    struct rusage children;
    getrusage(RUSAGE_CHILDREN, &children);
    double runner = (double)(children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1e6 +
                    (double)(children.ru_utime.tv_usec + children.ru_stime.tv_usec);
    printf("%llu steps: %.0f a second; cpu a step: agent %.0f us (and the bench's bus), runner and steps "
           "%.0f us\n",
           (unsigned long long)count, (double)count / wall * 1e6, agent / (double)count,
           runner / (double)count);
    agent_fixture_done(f);
    return 0;
}
