// The writing store thread over a store that is spoken to as one elsewhere, and answers the latest question first: many
// records at once, in order where it matters.
#include "tests/unit/shell_test.h"

#include "coordinator/shell/storage_parts.h"
#include "store/backend.h"

#include <sched.h>
#include <semaphore.h>
#include <sys/stat.h>

enum { PENDING = 64, LOGGED = 400, MANY = 40 };

// Takes the place of the writer's own back end, which does the work. Used by the writing thread; the test looks when that
// has answered.
struct odd_store {
    struct sc_store_backend backend; // first: found by the store's
    const struct sc_store_backend *real;
    struct sc_mailbox *box; // of the writer
    sem_t reached, go;      // the first dispatch tells that it is reached, and waits
    bool held;
    bool until_closed; // an answer comes when the writer was told to end
    char refused[256]; // puts of names with this in them fail; empty: none
    enum sc_rc refuse_rc;
    uint32_t refuse_count; // how often
    struct sc_store_op *pending[PENDING];
    uint32_t pending_count, pending_most;
    bool clashed;      // two of one name were under way
    char *log[LOGGED]; // what was done: "put v1/main/…", "sync"
    uint32_t log_count;
};

static struct odd_store *odd_of(struct sc_store *store)
{
    return (struct odd_store *)store->backend;
}

static void odd_submit(struct sc_store *store, struct sc_store_op *op)
{
    struct odd_store *odd = odd_of(store);
    assert_true(odd->pending_count < PENDING);
    for (uint32_t i = 0; i < odd->pending_count; i++)
        odd->clashed |= sc_slice_eq(odd->pending[i]->name, op->name);
    odd->pending[odd->pending_count++] = op;
    if (odd->pending_count > odd->pending_most)
        odd->pending_most = odd->pending_count;
}

static const char *verb(const struct sc_store_op *op)
{
    return op->kind == SC_STORE_PUT    ? "put"
           : op->kind == SC_STORE_GET  ? "get"
           : op->kind == SC_STORE_SYNC ? "sync"
                                       : "other";
}

static uint32_t odd_dispatch(struct sc_store *store, int wait_ms)
{
    struct odd_store *odd = odd_of(store);
    if (odd->held) {
        odd->held = false;
        assert_int_equal(sem_post(&odd->reached), 0);
        assert_int_equal(sem_wait(&odd->go), 0);
    }
    while (odd->until_closed && !sc_mailbox_closed(odd->box))
        sched_yield();
    if (odd->pending_count == 0)
        return 0;
    struct sc_store_op *op = odd->pending[--odd->pending_count];
    assert_true(odd->log_count < LOGGED);
    odd->log[odd->log_count++] = sc_asprintf("%s " SC_SLICE_FMT, verb(op), SC_SLICE_ARG(op->name));
    bool named = odd->refused[0] && op->name.len &&
                 memmem(op->name.ptr, op->name.len, odd->refused, strlen(odd->refused));
    if (op->kind == SC_STORE_PUT && named && odd->refuse_count) {
        odd->refuse_count--;
        op->rc = sc_error_set(&op->err, odd->refuse_rc, "refused");
        op->done(op);
        return 1;
    }
    odd->real->submit(store, op);
    return odd->real->dispatch(store, wait_ms);
}

static void make(struct shell *s, struct odd_store *odd, void **state)
{
    shell_make(s, *state);
    struct storage_writer *writer = &s->storage->writer;
    *odd = (struct odd_store){
        .real = writer->store->backend, .backend = *writer->store->backend, .box = writer->box};
    odd->backend.submit = odd_submit;
    odd->backend.dispatch = odd_dispatch;
    shell_be_elsewhere(&odd->backend);
    odd->held = true;
    assert_int_equal(sem_init(&odd->reached, 0, 0), 0);
    assert_int_equal(sem_init(&odd->go, 0, 0), 0);
    writer->store->backend = &odd->backend; // no job was given to it yet
}

static void done(struct shell *s, struct odd_store *odd)
{
    shell_done(s);
    for (uint32_t i = 0; i < odd->log_count; i++)
        free(odd->log[i]);
    sem_destroy(&odd->reached);
    sem_destroy(&odd->go);
}

static struct sc_artifact small(const char *text)
{
    return (struct sc_artifact){.kind = SC_ARTIFACT_FILE,
                                .has_inline = true,
                                .inline_bytes = sc_slice_str(text),
                                .digest = digest_of_text(text),
                                .bytes = strlen(text),
                                .files = 1};
}

static struct sc_job *record(struct shell *s, const char *salt, const char *text)
{
    struct sc_artifact output = small(text);
    struct sc_job *job = shell_record(s, salt, salt, &output);
    job->u.write_record.record.run =
        sc_arena_copy(&job->arena, sc_slice_str(text)); // another result is another's
    return job;
}

// The jobs go as one batch: behind one that the store holds up until all are posted. Answers are as they were posted.
static void write_together(struct shell *s, struct odd_store *odd, struct sc_job **jobs, uint32_t count)
{
    struct sc_job *first = record(s, "first", "first");
    shell_post(s, first);
    assert_int_equal(sem_wait(&odd->reached), 0);
    for (uint32_t i = 0; i < count; i++)
        shell_post(s, jobs[i]);
    assert_int_equal(sem_post(&odd->go), 0);
    assert_ptr_equal(shell_next(s), first);
    sc_job_free(first);
    for (uint32_t i = 0; i < count;) {
        struct sc_job *job = shell_next(s);
        if (job->kind == SC_JOB_TROUBLE)
            sc_job_free(job);
        else
            assert_ptr_equal(job, jobs[i++]);
    }
    assert_false(odd->clashed);
}

static void free_all(struct sc_job **jobs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sc_job_free(jobs[i]);
}

// The name of the record, or of the small output, of a job: what is refused.
static void refuse(struct odd_store *odd, const struct sc_digest *digest, enum sc_rc rc, uint32_t count)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    snprintf(odd->refused, sizeof odd->refused, "%s", hex);
    odd->refuse_rc = rc;
    odd->refuse_count = count;
}

static uint32_t count_logged(const struct odd_store *odd, const char *start)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < odd->log_count; i++)
        count += strncmp(odd->log[i], start, strlen(start)) == 0;
    return count;
}

static void make_many(struct shell *s, struct sc_job **jobs)
{
    for (uint32_t i = 0; i < MANY; i++) {
        char *salt = (char *)sc_arena_printf(&s->arena, "%u", i).ptr;
        jobs[i] = record(s, salt, salt);
    }
}

static enum sc_found found(struct shell *s, const char *salt, struct sc_digest *ret_output)
{
    struct sc_job *job = shell_look_up(s, salt, salt, false);
    enum sc_found was = job->u.look_up.found[0].found;
    if (was == SC_FOUND)
        *ret_output = job->u.look_up.found[0].record->outputs.items[0].artifact.digest;
    sc_job_free(job);
    return was;
}

static void assert_holds(struct shell *s, const char *salt, const char *text)
{
    struct sc_digest output, want = digest_of_text(text);
    assert_int_equal(found(s, salt, &output), SC_FOUND);
    assert_true(sc_digest_eq(&output, &want));
}

static void test_writer_records_go_together_after_their_objects_are_durable(void **state)
{
    struct shell s;
    struct odd_store odd;
    struct sc_job *jobs[MANY];
    make(&s, &odd, state);
    make_many(&s, jobs);
    write_together(&s, &odd, jobs, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_ok(jobs[i]->rc, jobs[i]->err);
        assert_int_equal(jobs[i]->u.write_record.put, SC_RECORD_WON);
        assert_true(jobs[i]->u.write_record.latest.number != 0);
    }
    assert_int_equal(odd.pending_most, 16);
    assert_int_equal(count_logged(&odd, "put v1/main/cas/"), MANY + 1);
    assert_int_equal(count_logged(&odd, "put v1/main/key/"), MANY + 1);
    assert_int_equal(count_logged(&odd, "sync"), 2);
    assert_int_equal(odd.log_count, 2 * (MANY + 1) + 2); // nothing is asked for
    uint32_t synced = 3;                                 // after the first: its object, a sync, itself
    while (strncmp(odd.log[synced], "sync", 4) != 0)
        assert_non_null(strstr(odd.log[synced++], "/cas/"));
    assert_int_equal(synced, 3 + MANY);
    free_all(jobs, MANY);
    shell_restart(&s); // what is found is read from the store
    for (uint32_t i = 0; i < MANY; i++) {
        SC_AUTO_FREE char *salt = sc_asprintf("%u", i);
        assert_holds(&s, salt, salt);
    }
    done(&s, &odd);
}

static void test_writer_equal_outputs_go_once(void **state)
{
    struct shell s;
    struct odd_store odd;
    make(&s, &odd, state);
    struct sc_job *jobs[] = {record(&s, "1", "same"), record(&s, "2", "same"), record(&s, "3", "first")};
    write_together(&s, &odd, jobs, SC_COUNT(jobs));
    for (uint32_t i = 0; i < SC_COUNT(jobs); i++)
        assert_ok(jobs[i]->rc, jobs[i]->err);
    assert_int_equal(count_logged(&odd, "put v1/main/cas/"), 2);
    free_all(jobs, SC_COUNT(jobs));
    done(&s, &odd);
}

static void test_writer_records_of_one_key_keep_their_order(void **state)
{
    struct shell s;
    struct odd_store odd;
    make(&s, &odd, state);
    struct sc_job *jobs[] = {record(&s, "k", "a"),     record(&s, "k", "b"),     record(&s, "other", "c"),
                             record(&s, "again", "d"), record(&s, "again", "e"), record(&s, "k", "f")};
    jobs[4]->u.write_record.mode = SC_WRITE_REPLACE;
    write_together(&s, &odd, jobs, SC_COUNT(jobs));
    static const enum sc_record_put want[] = {SC_RECORD_WON, SC_RECORD_LOST, SC_RECORD_WON,
                                              SC_RECORD_WON, SC_RECORD_WON,  SC_RECORD_LOST};
    for (uint32_t i = 0; i < SC_COUNT(jobs); i++) {
        assert_ok(jobs[i]->rc, jobs[i]->err);
        assert_int_equal(jobs[i]->u.write_record.put, want[i]);
    }
    assert_int_equal(jobs[4]->u.write_record.record.generation, 2);
    assert_holds(&s, "k", "a");
    assert_holds(&s, "other", "c");
    assert_holds(&s, "again", "e");
    free_all(jobs, SC_COUNT(jobs));
    done(&s, &odd);
}

static void test_writer_what_one_record_is_refused_does_not_disturb_the_others(void **state)
{
    for (int of_object = 0; of_object < 2; of_object++) {
        struct shell s;
        struct odd_store odd;
        struct sc_job *jobs[MANY];
        struct sc_digest output;
        SC_AUTO_FREE char *folder = sc_asprintf("%s/%d", (char *)*state, of_object);
        void *place = folder;
        assert_int_equal(mkdir(folder, 0700), 0);
        make(&s, &odd, &place);
        make_many(&s, jobs);
        const struct sc_record *bad = &jobs[MANY / 2]->u.write_record.record;
        refuse(&odd, of_object ? &bad->outputs.items[0].artifact.digest : &bad->key, SC_LIMIT, UINT32_MAX);
        write_together(&s, &odd, jobs, MANY);
        for (uint32_t i = 0; i < MANY; i++) {
            SC_AUTO_FREE char *salt = sc_asprintf("%u", i);
            if (i == MANY / 2) {
                assert_rc(jobs[i]->rc, SC_LIMIT);
                assert_contains(jobs[i]->err.message, "refused");
                assert_true(jobs[i]->u.write_record.latest.number == 0);
                assert_int_equal(found(&s, salt, &output), SC_FOUND_ABSENT);
            } else {
                assert_ok(jobs[i]->rc, jobs[i]->err);
                assert_holds(&s, salt, salt);
            }
        }
        assert_int_equal(count_logged(&odd, "put v1/main/key/"), MANY + 1 - of_object);
        free_all(jobs, MANY);
        done(&s, &odd);
    }
}

static void test_writer_what_may_pass_is_tried_again_alone(void **state)
{
    struct shell s;
    struct odd_store odd;
    struct sc_job *jobs[MANY];
    make(&s, &odd, state);
    make_many(&s, jobs);
    refuse(&odd, &jobs[1]->u.write_record.record.key, SC_UNREACHABLE, 1);
    write_together(&s, &odd, jobs, MANY);
    for (uint32_t i = 0; i < MANY; i++)
        assert_ok(jobs[i]->rc, jobs[i]->err);
    assert_int_equal(count_logged(&odd, "put v1/main/key/"), MANY + 2);
    assert_int_equal(count_logged(&odd, "put v1/main/cas/"), MANY + 1);
    assert_holds(&s, "1", "1");
    free_all(jobs, MANY);
    done(&s, &odd);
}

static void test_writer_told_to_end_answers_what_is_under_way(void **state)
{
    struct shell s;
    struct odd_store odd;
    struct sc_job *jobs[MANY];
    make(&s, &odd, state);
    odd.until_closed = true;
    make_many(&s, jobs);
    refuse(&odd, &jobs[1]->u.write_record.record.key, SC_UNREACHABLE, UINT32_MAX);
    for (uint32_t i = 0; i < MANY; i++)
        shell_post(&s, jobs[i]);
    assert_int_equal(sem_wait(&odd.reached), 0);
    assert_int_equal(sem_post(&odd.go), 0);
    sc_mailbox_close(odd.box); // as sc_storage_close does
    for (uint32_t i = 0; i < MANY;) {
        struct sc_job *job = shell_next(&s);
        if (job->kind == SC_JOB_TROUBLE) {
            sc_job_free(job);
            continue;
        }
        assert_ptr_equal(job, jobs[i++]);
        assert_rc(job->rc, job == jobs[1] ? SC_UNREACHABLE : SC_OK);
    }
    assert_int_equal(odd.pending_count, 0);
    assert_int_equal(count_logged(&odd, "put v1/main/key/"), MANY); // and what was refused is not tried again
    free_all(jobs, MANY);
    done(&s, &odd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_writer_records_go_together_after_their_objects_are_durable),
        T(test_writer_equal_outputs_go_once),
        T(test_writer_records_of_one_key_keep_their_order),
        T(test_writer_what_one_record_is_refused_does_not_disturb_the_others),
        T(test_writer_what_may_pass_is_tried_again_alone),
        T(test_writer_told_to_end_answers_what_is_under_way),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
