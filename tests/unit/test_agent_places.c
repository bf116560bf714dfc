// The agent's core against a model of the runner, with words that cross on both ways: what the runner really runs at
// once never needs more than the agent has, whatever is revoked, ends or fails meanwhile, and everything ends.
#include "tests/lib/test.h"

#include "agent/core/core.h"
#include "base/random.h"

#include <utlist.h>

enum { CPUS_MILLI = 2000, GPUS = 2, MEMORY = 1000, ATTEMPTS = 60, SEEDS = 100 };

struct word { // on its way, in order
    enum { LAUNCH, GO, SIGNAL, EXITED, NOT_STARTED, WITHDRAWN } kind;
    uint64_t attempt, after;
    struct word *prev, *next;
};

struct step {
    struct sc_assignment needs;
    enum { UNKNOWN, PREPARING, READY, LAUNCHED, WAITS, RUNS, OVER, CLEANING, GONE } state;
    uint64_t after;
    bool ran, withdrawn;
};

struct world {
    struct sc_agent_core *core;
    struct sc_random random;
    int64_t now;
    struct step steps[ATTEMPTS + 1]; // by attempt, from 1
    struct word *to_runner, *to_agent;
    uint32_t most_running, inherited;
};

static void say(struct word **way, struct word word)
{
    struct word *w = sc_calloc(1, sizeof *w);
    *w = word;
    DL_APPEND(*way, w);
}

static bool hear(struct word **way, struct word *ret_word)
{
    struct word *w = *way;
    if (!w)
        return false;
    *ret_word = *w;
    DL_DELETE(*way, w);
    free(w);
    return true;
}

static void carry(struct world *w, const struct sc_agent_effect *e)
{
    struct step *step = &w->steps[e->attempt];
    switch ((int)e->kind) { // the words to the coordinator do not matter here
    case SC_AGENT_PREPARE:
        step->state = PREPARING;
        return;
    case SC_AGENT_LAUNCH:
        assert_int_equal(step->state, READY);
        step->state = LAUNCHED;
        say(&w->to_runner, (struct word){.kind = LAUNCH, .attempt = e->attempt, .after = e->after});
        return;
    case SC_AGENT_GO:
        say(&w->to_runner, (struct word){.kind = GO, .attempt = e->attempt});
        return;
    case SC_AGENT_SIGNAL:
        say(&w->to_runner, (struct word){.kind = SIGNAL, .attempt = e->attempt});
        return;
    case SC_AGENT_TAKE:
        assert_true(step->state == OVER);
        step->state = CLEANING;
        return;
    case SC_AGENT_CLEAN:
        assert_false(step->ran);
        step->state = CLEANING;
        return;
    case SC_AGENT_RELEASE:
        assert_true(step->state != WAITS && step->state != RUNS && step->state != LAUNCHED);
        step->state = GONE;
        return;
    }
}

static void event(struct world *w, struct sc_agent_event event)
{
    event.mono_ms = w->now;
    const struct sc_agent_effects *effects = sc_agent_core_step(w->core, &event);
    for (uint32_t i = 0; i < effects->count; i++)
        carry(w, &effects->items[i]);
    sc_agent_core_check(w->core);
}

// ---- the runner, as runner.h describes it

static void run(struct world *w, struct step *step)
{
    step->state = RUNS;
    step->ran = true;
    uint32_t cpus = 0, gpus = 0, running = 0;
    uint64_t memory = 0;
    for (size_t i = 1; i <= ATTEMPTS; i++) {
        if (w->steps[i].state != RUNS)
            continue;
        running++;
        cpus += w->steps[i].needs.cpus_milli;
        gpus += w->steps[i].needs.gpus;
        memory += w->steps[i].needs.memory_bytes;
    }
    w->most_running = running > w->most_running ? running : w->most_running;
    assert_true(cpus <= CPUS_MILLI && gpus <= GPUS && memory <= MEMORY);
}

static void conclude(struct world *w, uint64_t attempt, int kind)
{
    w->steps[attempt].state = OVER;
    say(&w->to_agent, (struct word){.kind = kind, .attempt = attempt});
    for (size_t i = 1; i <= ATTEMPTS; i++)
        if (w->steps[i].state == WAITS && w->steps[i].after == attempt) {
            w->inherited++;
            run(w, &w->steps[i]);
        }
}

static void runner_hears(struct world *w)
{
    struct word word;
    if (!hear(&w->to_runner, &word))
        return;
    struct step *step = &w->steps[word.attempt];
    const struct step *place = &w->steps[word.after];
    if (word.kind == LAUNCH && sc_random_below(&w->random, 20) == 0) {
        conclude(w, word.attempt, NOT_STARTED);
    } else if (word.kind == LAUNCH && word.after && (place->state == RUNS || place->state == WAITS)) {
        step->state = WAITS;
        step->after = word.after;
    } else if (word.kind == LAUNCH || (word.kind == GO && step->state == WAITS)) {
        run(w, step);
    } else if (word.kind == SIGNAL && step->state == WAITS) {
        conclude(w, word.attempt, WITHDRAWN);
    } else if (word.kind == SIGNAL && step->state == RUNS) {
        conclude(w, word.attempt, EXITED);
    }
}

// ---- the rest of the agent and the coordinator, by chance

static void agent_hears(struct world *w)
{
    struct word word;
    if (!hear(&w->to_agent, &word))
        return;
    event(w, (struct sc_agent_event){.kind = word.kind == EXITED        ? SC_AGENT_EXITED
                                             : word.kind == NOT_STARTED ? SC_AGENT_NOT_STARTED
                                                                        : SC_AGENT_WITHDRAWN,
                                     .attempt = word.attempt});
}

static void something_ends(struct world *w)
{
    uint64_t first = sc_random_below(&w->random, ATTEMPTS);
    for (uint64_t i = 0; i < ATTEMPTS; i++) {
        uint64_t n = 1 + (first + i) % ATTEMPTS;
        if (w->steps[n].state == RUNS) {
            conclude(w, n, EXITED);
            return;
        }
    }
}

static void workers_finish(struct world *w)
{
    for (uint64_t n = 1; n <= ATTEMPTS; n++) {
        struct step *step = &w->steps[n];
        if (step->state == PREPARING) {
            step->state = READY;
            event(w, (struct sc_agent_event){.kind = SC_AGENT_PREPARED, .attempt = n});
        } else if (step->state == CLEANING) {
            event(w, (struct sc_agent_event){.kind = SC_AGENT_CLEANED, .attempt = n}); // one of them is right
            event(w, (struct sc_agent_event){.kind = SC_AGENT_TAKEN, .attempt = n});
        }
    }
}

static void assign(struct world *w, uint64_t n)
{
    static const uint32_t cpus[] = {500, 500, 1000, 1000, 1500, 2000};
    struct sc_assignment *needs = &w->steps[n].needs;
    *needs = (struct sc_assignment){.attempt = n,
                                    .cpus_milli = cpus[sc_random_below(&w->random, SC_COUNT(cpus))],
                                    .gpus = (uint32_t)sc_random_below(&w->random, 8) / 6,
                                    .memory_bytes = sc_random_below(&w->random, 500)};
    struct sc_msg_assign assign = {.assignments = {needs, 1}};
    event(w, (struct sc_agent_event){.kind = SC_AGENT_ASSIGN, .u.assign = &assign});
}

static void revoke(struct world *w, uint64_t n)
{
    struct sc_msg_revoke message = {.attempts = {&n, 1}, .grace_ms = 100};
    event(w, (struct sc_agent_event){.kind = SC_AGENT_REVOKE, .u.revoke = &message});
}

static void play(struct world *w)
{
    for (uint64_t assigned = 0; assigned < ATTEMPTS;) {
        switch (sc_random_below(&w->random, 9)) {
        case 0:
            assign(w, ++assigned);
            break;
        case 1:
            workers_finish(w);
            break;
        case 2:
        case 3:
        case 4:
            runner_hears(w);
            break;
        case 5:
        case 6:
            agent_hears(w);
            break;
        case 7:
            something_ends(w);
            break;
        case 8:
            if (assigned && sc_random_below(&w->random, 4) == 0)
                revoke(w, 1 + (assigned - sc_random_below(&w->random, assigned < 8 ? assigned : 8) - 1));
            break;
        }
        w->now += (int64_t)sc_random_below(&w->random, 3);
    }
}

static void test_runner_never_runs_more_than_the_agent_has(void **state)
{
    (void)state;
    uint32_t inherited = 0, most = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world *w = sc_calloc(1, sizeof *w);
        struct sc_agent_core_config config = {.cpus_milli = CPUS_MILLI,
                                              .gpus = GPUS,
                                              .memory_bytes = MEMORY,
                                              .backlog = ATTEMPTS,
                                              .prepare_ahead = 5,
                                              .grace_ms = 100,
                                              .renew_ms = 100000};
        struct sc_msg_welcome welcome = {.coordinator = sc_slice_str("c")};
        sc_random_init(&w->random, seed);
        w->core = sc_agent_core_new(&config);
        event(w, (struct sc_agent_event){.kind = SC_AGENT_START});
        event(w, (struct sc_agent_event){.kind = SC_AGENT_WELCOME, .u.welcome = &welcome});
        play(w);
        for (int i = 0; sc_agent_core_busy(w->core) && i < 100 * ATTEMPTS; i++) {
            workers_finish(w);
            something_ends(w);
            runner_hears(w);
            agent_hears(w);
        }
        assert_int_equal(sc_agent_core_busy(w->core), 0);
        assert_null(w->to_runner);
        inherited += w->inherited;
        most = w->most_running > most ? w->most_running : most;
        sc_agent_core_free(w->core);
        free(w);
    }
    assert_true(inherited > SEEDS * ATTEMPTS / 10); // it was about places
    assert_int_equal(most, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runner_never_runs_more_than_the_agent_has)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
