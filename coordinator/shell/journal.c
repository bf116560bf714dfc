#include "coordinator/shell/journal.h"

#include "base/memory.h"
#include "coordinator/shell/journal_file.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

struct sc_journal {
    struct sc_journal_file *file;
    char id[SC_JOURNAL_ID_BYTES + 1];
    int wake_fd;
    bool started;
    pthread_t thread;
    // the core thread's
    struct sc_journal_batch *open;
    uint64_t handed_seq;
    // between the threads
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct sc_journal_batch *shared_head, **shared_tail;
    bool shared_closing;
    struct sc_error shared_err;
    _Atomic uint64_t shared_durable, shared_latest, shared_commits;
    _Atomic bool shared_failed;
};

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

enum sc_rc sc_journal_open(const char *path, struct sc_journal **ret_journal, struct sc_error *err)
{
    struct sc_journal *journal = sc_calloc(1, sizeof *journal);
    pthread_mutex_init(&journal->lock, NULL);
    pthread_cond_init(&journal->filled, NULL);
    journal->shared_tail = &journal->shared_head;
    journal->open = sc_journal_batch_new();
    enum sc_rc rc = sc_journal_file_open(path, &journal->file, journal->id, err);
    if (rc != SC_OK) {
        sc_journal_close(journal, NULL);
        return rc;
    }
    *ret_journal = journal;
    return SC_OK;
}

enum sc_rc sc_journal_close(struct sc_journal *journal, struct sc_error *err)
{
    if (!journal)
        return SC_OK;
    enum sc_rc rc = SC_OK;
    if (journal->started) {
        sc_journal_hand(journal);
        pthread_mutex_lock(&journal->lock);
        journal->shared_closing = true;
        pthread_mutex_unlock(&journal->lock);
        pthread_cond_signal(&journal->filled);
        pthread_join(journal->thread, NULL);
        if (sc_journal_failed(journal, err))
            rc = journal->shared_err.rc;
    }
    for (struct sc_journal_batch *batch = journal->shared_head, *next; batch; batch = next) {
        next = batch->next;
        sc_journal_batch_free(batch);
    }
    sc_journal_batch_free(journal->open);
    sc_journal_file_close(journal->file);
    pthread_cond_destroy(&journal->filled);
    pthread_mutex_destroy(&journal->lock);
    free(journal);
    return rc;
}

struct sc_slice sc_journal_id(const struct sc_journal *journal)
{
    return sc_slice_str(journal->id);
}

enum sc_rc sc_journal_restore(struct sc_journal *journal,
                              void (*visit)(void *context, uint64_t seq, struct sc_slice fact), void *context,
                              uint64_t *ret_last_seq, struct sc_error *err)
{
    SC_ASSERT(!journal->started);
    uint64_t last;
    enum sc_rc rc = sc_journal_file_facts(journal->file, visit, context, &last, err);
    if (rc != SC_OK)
        return rc;
    journal->handed_seq = last;
    atomic_store(&journal->shared_durable, last);
    *ret_last_seq = last;
    return SC_OK;
}

void sc_journal_begin_at(struct sc_journal *journal, uint64_t seq)
{
    SC_ASSERT(!journal->started && journal->handed_seq == 0);
    journal->handed_seq = seq;
    atomic_store(&journal->shared_durable, seq);
}

enum sc_rc sc_journal_commit_first(struct sc_journal *journal, struct sc_error *err)
{
    struct sc_journal_batch *batch = journal->open;
    struct sc_journal_commit done = {0};
    SC_ASSERT(!journal->started);
    if (!batch->first)
        return SC_OK;
    enum sc_rc rc = sc_journal_file_commit(journal->file, batch, &done, err);
    if (rc != SC_OK)
        return rc;
    if (batch->last_seq) {
        journal->handed_seq = batch->last_seq;
        atomic_store(&journal->shared_durable, batch->last_seq);
    }
    journal->open = sc_journal_batch_new();
    sc_journal_batch_free(batch);
    return SC_OK;
}

enum sc_rc sc_journal_find_run(struct sc_journal *journal, struct sc_slice run, bool *ret_known,
                               bool *ret_closed, struct sc_error *err)
{
    SC_ASSERT(!journal->started);
    return sc_journal_file_find_run(journal->file, run, ret_known, ret_closed, err);
}

// ---- the thread

static void wake_core(const struct sc_journal *journal)
{
    uint64_t one = 1;
    if (write(journal->wake_fd, &one, sizeof one) < 0)
        return; // the counter is full: it rings already
}

static bool commit(struct sc_journal *journal, struct sc_journal_batch *batches)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_journal_commit done = {0};
    enum sc_rc rc = sc_journal_file_commit(journal->file, batches, &done, &err);
    for (struct sc_journal_batch *batch = batches, *next; batch; batch = next) {
        next = batch->next;
        sc_journal_batch_free(batch);
    }
    if (rc == SC_OK) {
        if (done.last_seq)
            atomic_store(&journal->shared_durable, done.last_seq);
        if (done.last_latest)
            atomic_store(&journal->shared_latest, done.last_latest);
        atomic_fetch_add(&journal->shared_commits, 1);
    } else {
        pthread_mutex_lock(&journal->lock);
        journal->shared_err = err;
        pthread_mutex_unlock(&journal->lock);
        atomic_store(&journal->shared_failed, true);
    }
    wake_core(journal);
    return rc == SC_OK;
}

// How long nothing must come before old facts are taken out, so that it never stands before a commit.
enum { TIDY_AFTER_MS = 200 };

static struct sc_journal_batch *wait_for_batches(struct sc_journal *journal, bool *ret_closing,
                                                 bool *ret_idle)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TIDY_AFTER_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    *ret_idle = false;
    bool tidy = sc_journal_file_untidy(journal->file);
    pthread_mutex_lock(&journal->lock);
    while (!journal->shared_head && !journal->shared_closing && !*ret_idle) {
        if (!tidy)
            pthread_cond_wait(&journal->filled, &journal->lock);
        else if (pthread_cond_timedwait(&journal->filled, &journal->lock, &until))
            *ret_idle = true;
    }
    struct sc_journal_batch *batches = journal->shared_head;
    journal->shared_head = NULL;
    journal->shared_tail = &journal->shared_head;
    *ret_closing = journal->shared_closing;
    pthread_mutex_unlock(&journal->lock);
    return batches;
}

static void *run_thread(void *context)
{
    struct sc_journal *journal = context;
    pthread_setname_np(pthread_self(), "sc-journal");
    bool closing = false, idle, good = true;
    while (good) {
        struct sc_journal_batch *batches = wait_for_batches(journal, &closing, &idle);
        if (batches)
            good = commit(journal, batches);
        else if (idle || closing)
            good = sc_journal_file_tidy(journal->file) == SC_OK;
        if (closing && !batches)
            break;
    }
    return NULL;
}

void sc_journal_start(struct sc_journal *journal, int wake_fd)
{
    SC_ASSERT(!journal->started);
    journal->wake_fd = wake_fd;
    SC_ASSERT(pthread_create(&journal->thread, NULL, run_thread, journal) == 0);
    journal->started = true;
}

// ---- the core thread's side

void sc_journal_add_fact(struct sc_journal *journal, uint64_t seq, struct sc_slice slot, struct sc_slice fact,
                         bool lazy)
{
    SC_ASSERT(seq > journal->handed_seq);
    struct sc_journal_row *row = sc_journal_batch_add(journal->open, SC_ROW_FACT, lazy ? 0 : now_ns());
    row->seq = seq;
    row->slot = slot.len ? sc_arena_copy(&journal->open->arena, slot) : sc_slice(NULL, 0);
    row->fact = sc_arena_copy(&journal->open->arena, fact);
    journal->open->last_seq = seq;
}

void sc_journal_add_run(struct sc_journal *journal, const struct sc_job_run *run)
{
    struct sc_journal_row *row = sc_journal_batch_add(journal->open, SC_ROW_RUN, 0);
    struct sc_arena *arena = &journal->open->arena;
    row->run = SC_NEW(arena, struct sc_job_run);
    *row->run = *run;
    row->run->run = sc_arena_copy(arena, run->run);
    row->run->namespace_ = sc_arena_copy(arena, run->namespace_);
    row->run->pipeline = sc_arena_copy(arena, run->pipeline);
    row->run->user = sc_arena_copy(arena, run->user);
}

void sc_journal_add_closed(struct sc_journal *journal, struct sc_slice run, uint64_t keep_from)
{
    struct sc_journal_row *row = sc_journal_batch_add(journal->open, SC_ROW_CLOSED, 0);
    row->seq = keep_from;
    row->slot = sc_arena_copy(&journal->open->arena, run);
}

void sc_journal_add_latest(struct sc_journal *journal, const struct sc_job_latest *latest)
{
    struct sc_journal_row *row = sc_journal_batch_add(journal->open, SC_ROW_LATEST, 0);
    struct sc_arena *arena = &journal->open->arena;
    row->latest = SC_NEW(arena, struct sc_job_latest);
    *row->latest = *latest;
    row->latest->namespace_ = sc_arena_copy(arena, latest->namespace_);
    row->latest->pipeline = sc_arena_copy(arena, latest->pipeline);
    row->latest->step = sc_arena_copy(arena, latest->step);
    journal->open->last_latest = latest->number;
}

enum sc_journal_open_batch sc_journal_open_batch(const struct sc_journal *journal)
{
    if (!journal->open->first)
        return SC_BATCH_EMPTY;
    return journal->open->urgent_since_ns ? SC_BATCH_URGENT : SC_BATCH_LAZY;
}

int64_t sc_journal_batch_since_ns(const struct sc_journal *journal, bool urgent)
{
    return urgent ? journal->open->urgent_since_ns : journal->open->since_ns;
}

void sc_journal_hand(struct sc_journal *journal)
{
    struct sc_journal_batch *batch = journal->open;
    if (!batch->first)
        return;
    if (batch->last_seq)
        journal->handed_seq = batch->last_seq;
    journal->open = sc_journal_batch_new();
    pthread_mutex_lock(&journal->lock);
    bool first = journal->shared_head == NULL;
    *journal->shared_tail = batch;
    journal->shared_tail = &batch->next;
    pthread_mutex_unlock(&journal->lock);
    if (first)
        pthread_cond_signal(&journal->filled);
}

uint64_t sc_journal_handed(const struct sc_journal *journal)
{
    return journal->handed_seq;
}

uint64_t sc_journal_durable(const struct sc_journal *journal)
{
    return atomic_load(&journal->shared_durable);
}

uint64_t sc_journal_latest(const struct sc_journal *journal)
{
    return atomic_load(&journal->shared_latest);
}

uint64_t sc_journal_commits(const struct sc_journal *journal)
{
    return atomic_load(&journal->shared_commits);
}

bool sc_journal_failed(struct sc_journal *journal, struct sc_error *err)
{
    if (!atomic_load(&journal->shared_failed))
        return false;
    if (err) {
        pthread_mutex_lock(&journal->lock);
        *err = journal->shared_err;
        pthread_mutex_unlock(&journal->lock);
    }
    return true;
}
