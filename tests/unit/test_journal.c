// The journal: facts come back in order, a batch is all or nothing, what was said to be durable survives kill -9.
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "base/os/file.h"
#include "coordinator/shell/journal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FACTS_A_BATCH = 7 };

struct seen {
    uint64_t seqs[4096];
    char facts[4096][32];
    uint32_t count;
};

static void see(void *context, uint64_t seq, struct sc_slice fact)
{
    struct seen *seen = context;
    assert_true(seen->count < SC_COUNT(seen->seqs));
    seen->seqs[seen->count] = seq;
    snprintf(seen->facts[seen->count++], 32, SC_SLICE_FMT, SC_SLICE_ARG(fact));
}

struct open_journal {
    struct sc_journal *journal;
    int wake;
    uint64_t last;
    struct seen *seen;
};

static void open_it(struct open_journal *o, const char *path)
{
    struct sc_error err = SC_ERROR_INIT;
    *o = (struct open_journal){.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                               .seen = sc_calloc(1, sizeof *o->seen)};
    assert_ok(sc_journal_open(path, &o->journal, &err), err);
    assert_ok(sc_journal_restore(o->journal, see, o->seen, &o->last, &err), err);
    sc_journal_start(o->journal, o->wake);
}

static void close_it(struct open_journal *o)
{
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_journal_close(o->journal, &err), err);
    close(o->wake);
    free(o->seen);
}

static void add(struct open_journal *o, uint64_t seq, const char *slot, const char *fact)
{
    sc_journal_add_fact(o->journal, seq, sc_slice_str(slot), sc_slice_str(fact), false);
}

static void await_durable(const struct open_journal *o, uint64_t seq)
{
    struct pollfd fd = {.fd = o->wake, .events = POLLIN};
    uint64_t rung;
    while (sc_journal_durable(o->journal) < seq) {
        assert_false(sc_journal_failed(o->journal, NULL));
        assert_true(poll(&fd, 1, -1) >= 0);
        assert_true(read(o->wake, &rung, sizeof rung) >= 0 || true);
    }
}

static void test_journal_facts_come_back_in_order(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "journal.db");
    struct open_journal o;
    open_it(&o, path);
    assert_int_equal(o.last, 0);
    add(&o, 1, "", "one");
    add(&o, 2, "", "two");
    sc_journal_hand(o.journal);
    await_durable(&o, 2);
    add(&o, 3, "", "three"); // not handed: goes with the close
    close_it(&o);
    open_it(&o, path);
    assert_int_equal(o.seen->count, 3);
    assert_string_equal(o.seen->facts[0], "one");
    assert_string_equal(o.seen->facts[2], "three");
    assert_int_equal(o.last, 3);
    close_it(&o);
}

static void test_journal_a_slot_holds_its_newest_fact(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "journal.db");
    struct open_journal o;
    open_it(&o, path);
    add(&o, 1, "class/a", "old");
    add(&o, 2, "class/b", "other");
    add(&o, 3, "class/a", "new");
    close_it(&o);
    open_it(&o, path);
    assert_int_equal(o.seen->count, 2);
    assert_string_equal(o.seen->facts[0], "other");
    assert_string_equal(o.seen->facts[1], "new");
    close_it(&o);
}

static void test_journal_facts_of_closed_runs_go_but_slots_and_the_last_seq_stay(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "journal.db");
    struct open_journal o;
    open_it(&o, path);
    add(&o, 1, "class/a", "class");
    add(&o, 2, "", "run");
    add(&o, 3, "", "closed");
    sc_journal_add_closed(o.journal, sc_slice_str("r1"), 4);
    close_it(&o);
    open_it(&o, path);
    assert_int_equal(o.seen->count, 1);
    assert_string_equal(o.seen->facts[0], "class");
    assert_int_equal(o.last, 3);
    add(&o, 4, "", "next");
    close_it(&o);
}

static void test_journal_begins_to_count_where_it_is_told_and_knows_its_runs(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "journal.db");
    SC_AUTO_FREE struct seen *seen = sc_calloc(1, sizeof *seen);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_journal *journal;
    uint64_t last;
    bool known, closed;
    assert_ok(sc_journal_open(path, &journal, &err), err);
    assert_ok(sc_journal_restore(journal, see, seen, &last, &err), err);
    sc_journal_begin_at(journal, 1000);
    assert_int_equal(sc_journal_durable(journal), 1000);
    sc_journal_add_fact(journal, 1001, sc_slice_str(""), sc_slice_str("run"), false);
    sc_journal_add_run(journal, &(struct sc_job_run){.run = SC_SLICE_LIT("r1")});
    sc_journal_add_run(journal, &(struct sc_job_run){.run = SC_SLICE_LIT("r2"), .state = SC_END_DONE});
    assert_ok(sc_journal_commit_first(journal, &err), err);
    assert_int_equal(sc_journal_durable(journal), 1001);
    assert_ok(sc_journal_commit_first(journal, &err), err); // nothing: is done at once
    assert_ok(sc_journal_find_run(journal, sc_slice_str("r1"), &known, &closed, &err), err);
    assert_true(known && !closed);
    assert_ok(sc_journal_find_run(journal, sc_slice_str("r2"), &known, &closed, &err), err);
    assert_true(known && closed);
    assert_ok(sc_journal_find_run(journal, sc_slice_str("r"), &known, &closed, &err), err);
    assert_false(known || closed);
    assert_ok(sc_journal_close(journal, &err), err);
    struct open_journal o;
    open_it(&o, path);
    assert_int_equal(o.last, 1001);
    assert_int_equal(o.seen->count, 1);
    close_it(&o);
}

static void test_journal_lazy_facts_wait_and_urgent_ones_do_not(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "journal.db");
    struct open_journal o;
    open_it(&o, path);
    assert_int_equal(sc_journal_open_batch(o.journal), SC_BATCH_EMPTY);
    sc_journal_add_fact(o.journal, 1, sc_slice_str(""), sc_slice_str("lazy"), true);
    assert_int_equal(sc_journal_open_batch(o.journal), SC_BATCH_LAZY);
    add(&o, 2, "", "urgent");
    assert_int_equal(sc_journal_open_batch(o.journal), SC_BATCH_URGENT);
    uint64_t before = sc_journal_commits(o.journal);
    sc_journal_hand(o.journal);
    await_durable(&o, 2);
    assert_int_equal(sc_journal_commits(o.journal), before + 1); // one sync for both
    close_it(&o);
}

static void test_journal_id_is_made_once(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "journal.db");
    struct open_journal o;
    open_it(&o, path);
    assert_int_equal(sc_journal_id(o.journal).len, SC_JOURNAL_ID_BYTES);
    SC_AUTO_FREE char *id = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(sc_journal_id(o.journal)));
    close_it(&o);
    open_it(&o, path);
    assert_slice(sc_journal_id(o.journal), id);
    close_it(&o);
}

static void test_journal_refuses_a_newer_format_and_leaves_it_untouched(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "journal.db");
    struct sc_error err = SC_ERROR_INIT;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID; INSERT "
                                  "INTO meta VALUES('format', 2);",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    SC_AUTO_BUF struct sc_buf before, after;
    sc_buf_init(&before, 0);
    sc_buf_init(&after, 0);
    assert_ok(sc_file_read(path, 1 << 20, &before, &err), err);
    struct sc_journal *journal;
    assert_rc(sc_journal_open(path, &journal, &err), SC_VERSION);
    assert_contains(err.message, "format 2");
    err = (struct sc_error)SC_ERROR_INIT;
    assert_ok(sc_file_read(path, 1 << 20, &after, &err), err);
    assert_true(sc_slice_eq(sc_buf_slice(&before), sc_buf_slice(&after)));
}

static void test_journal_names_a_damaged_file_and_what_to_do(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "journal.db");
    struct sc_error err = SC_ERROR_INIT;
    char rubbish[8192];
    memset(rubbish, 'x', sizeof rubbish);
    sc_scratch_write(path, sc_slice(rubbish, sizeof rubbish), 0600);
    struct sc_journal *journal;
    assert_rc(sc_journal_open(path, &journal, &err), SC_CORRUPT);
    assert_contains(err.message, path);
    assert_contains(err.hint, "move it aside");
}

// ---- kill -9

// Commits batches as fast as it can, and says of each that it is durable.
static _Noreturn void commit_for_ever(const char *path, int said)
{
    struct open_journal o;
    open_it(&o, path);
    uint64_t seq = o.last, told = 0;
    for (;;) {
        for (int i = 0; i < FACTS_A_BATCH; i++) {
            char fact[32];
            seq++;
            snprintf(fact, sizeof fact, "fact %llu", (unsigned long long)seq);
            add(&o, seq, "", fact);
        }
        sc_journal_hand(o.journal); // several may be on their way to one commit
        uint64_t durable = sc_journal_durable(o.journal);
        if (durable != told && write(said, &durable, sizeof durable) != sizeof durable)
            _exit(1);
        told = durable;
        if (seq > durable + 5 * FACTS_A_BATCH)
            await_durable(&o, durable + FACTS_A_BATCH);
        if (seq >= 4000)
            for (;;)
                pause();
    }
}

static uint64_t run_and_kill(const char *path, uint32_t after)
{
    int ends[2];
    uint64_t durable = 0, said = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        commit_for_ever(path, ends[1]);
    }
    close(ends[1]);
    for (uint32_t i = 0; i < after && read(ends[0], &durable, sizeof durable) == sizeof durable; i++)
        said = durable;
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(ends[0], &durable, sizeof durable) == sizeof durable)
        said = durable; // what it said before it died
    close(ends[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return said;
}

static void test_journal_killed_in_mid_commit_keeps_whole_batches_and_all_that_was_durable(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "journal.db");
    for (uint32_t round = 0; round < 6; round++) {
        uint64_t said = run_and_kill(path, 1 + 3 * round);
        struct open_journal o;
        open_it(&o, path);
        assert_true(o.last >= said);
        assert_int_equal(o.last % FACTS_A_BATCH, 0);
        assert_int_equal(o.seen->count, o.last);
        for (uint32_t i = 0; i < o.seen->count; i++) {
            char fact[32];
            snprintf(fact, sizeof fact, "fact %u", i + 1);
            assert_int_equal(o.seen->seqs[i], i + 1);
            assert_string_equal(o.seen->facts[i], fact);
        }
        close_it(&o);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_journal_facts_come_back_in_order),
        T(test_journal_a_slot_holds_its_newest_fact),
        T(test_journal_facts_of_closed_runs_go_but_slots_and_the_last_seq_stay),
        T(test_journal_begins_to_count_where_it_is_told_and_knows_its_runs),
        T(test_journal_lazy_facts_wait_and_urgent_ones_do_not),
        T(test_journal_id_is_made_once),
        T(test_journal_refuses_a_newer_format_and_leaves_it_untouched),
        T(test_journal_names_a_damaged_file_and_what_to_do),
        T(test_journal_killed_in_mid_commit_keeps_whole_batches_and_all_that_was_durable),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
