// The writing store thread over a store that is spoken to as one elsewhere, and answers the latest question first: many
// records at once, in order where it matters.
#include "tests/lib/odd_store.h"
#include "tests/unit/shell_test.h"

#include "coordinator/shell/storage_parts.h"

#include <sched.h>
#include <semaphore.h>
#include <sys/stat.h>

enum { MANY = 40 };

// The writer's own. The test looks at it when that has answered.
struct place {
    struct odd_store odd; // first
    struct shell s;
    sem_t reached, go; // the first dispatch tells that it is reached, and waits
    bool held;
    bool until_closed; // an answer comes when the writer was told to end
};

static void hold(struct odd_store *odd)
{
    struct place *p = (struct place *)odd;
    if (p->held) {
        p->held = false;
        assert_int_equal(sem_post(&p->reached), 0);
        assert_int_equal(sem_wait(&p->go), 0);
    }
    while (p->until_closed && !sc_mailbox_closed(p->s.storage->writer.box))
        sched_yield();
}

static void make(struct place *p, const char *folder)
{
    *p = (struct place){.held = true};
    assert_int_equal(sem_init(&p->reached, 0, 0), 0);
    assert_int_equal(sem_init(&p->go, 0, 0), 0);
    shell_make(&p->s, folder);
    odd_store_init(&p->odd, p->s.storage->writer.store); // no job was given to it yet
    p->odd.before = hold;
}

static void done(struct place *p)
{
    shell_done(&p->s);
    odd_store_done(&p->odd);
    sem_destroy(&p->reached);
    sem_destroy(&p->go);
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
static void write_together(struct place *p, struct sc_job **jobs, uint32_t count)
{
    struct sc_job *first = record(&p->s, "first", "first");
    shell_post(&p->s, first);
    assert_int_equal(sem_wait(&p->reached), 0);
    for (uint32_t i = 0; i < count; i++)
        shell_post(&p->s, jobs[i]);
    assert_int_equal(sem_post(&p->go), 0);
    assert_ptr_equal(shell_next(&p->s), first);
    sc_job_free(first);
    for (uint32_t i = 0; i < count;) {
        struct sc_job *job = shell_next(&p->s);
        if (job->kind == SC_JOB_TROUBLE)
            sc_job_free(job);
        else
            assert_ptr_equal(job, jobs[i++]);
    }
    assert_false(p->odd.clashed);
}

static void free_all(struct sc_job **jobs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sc_job_free(jobs[i]);
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
    struct place p;
    struct sc_job *jobs[MANY];
    make(&p, *state);
    make_many(&p.s, jobs);
    write_together(&p, jobs, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_ok(jobs[i]->rc, jobs[i]->err);
        assert_int_equal(jobs[i]->u.write_record.put, SC_RECORD_WON);
        assert_true(jobs[i]->u.write_record.latest.number != 0);
    }
    assert_int_equal(p.odd.pending_most, 16);
    assert_int_equal(odd_store_count(&p.odd, "put v1/main/cas/"), MANY + 1);
    assert_int_equal(odd_store_count(&p.odd, "put v1/main/key/"), MANY + 1);
    assert_int_equal(odd_store_count(&p.odd, "sync"), 2);
    assert_int_equal(p.odd.log_count, 2 * (MANY + 1) + 2); // nothing is asked for
    uint32_t synced = 3;                                   // after the first: its object, a sync, itself
    while (strncmp(p.odd.log[synced], "sync", 4) != 0)
        assert_non_null(strstr(p.odd.log[synced++], "/cas/"));
    assert_int_equal(synced, 3 + MANY);
    free_all(jobs, MANY);
    shell_restart(&p.s); // what is found is read from the store
    for (uint32_t i = 0; i < MANY; i++) {
        SC_AUTO_FREE char *salt = sc_asprintf("%u", i);
        assert_holds(&p.s, salt, salt);
    }
    done(&p);
}

static void test_writer_equal_outputs_go_once(void **state)
{
    struct place p;
    make(&p, *state);
    struct sc_job *jobs[] = {record(&p.s, "1", "same"), record(&p.s, "2", "same"),
                             record(&p.s, "3", "first")};
    write_together(&p, jobs, SC_COUNT(jobs));
    for (uint32_t i = 0; i < SC_COUNT(jobs); i++)
        assert_ok(jobs[i]->rc, jobs[i]->err);
    assert_int_equal(odd_store_count(&p.odd, "put v1/main/cas/"), 2);
    free_all(jobs, SC_COUNT(jobs));
    done(&p);
}

static void test_writer_records_of_one_key_keep_their_order(void **state)
{
    struct place p;
    make(&p, *state);
    struct sc_job *jobs[] = {record(&p.s, "k", "a"),     record(&p.s, "k", "b"),
                             record(&p.s, "other", "c"), record(&p.s, "again", "d"),
                             record(&p.s, "again", "e"), record(&p.s, "k", "f")};
    jobs[4]->u.write_record.mode = SC_WRITE_REPLACE;
    write_together(&p, jobs, SC_COUNT(jobs));
    static const enum sc_record_put want[] = {SC_RECORD_WON, SC_RECORD_LOST, SC_RECORD_WON,
                                              SC_RECORD_WON, SC_RECORD_WON,  SC_RECORD_LOST};
    for (uint32_t i = 0; i < SC_COUNT(jobs); i++) {
        assert_ok(jobs[i]->rc, jobs[i]->err);
        assert_int_equal(jobs[i]->u.write_record.put, want[i]);
    }
    assert_int_equal(jobs[4]->u.write_record.record.generation, 2);
    assert_holds(&p.s, "k", "a");
    assert_holds(&p.s, "other", "c");
    assert_holds(&p.s, "again", "e");
    free_all(jobs, SC_COUNT(jobs));
    done(&p);
}

static void test_writer_what_is_tried_again_does_not_overtake_what_came_later(void **state)
{
    for (int of_object = 0; of_object < 2; of_object++) {
        struct place p;
        SC_AUTO_FREE char *folder = sc_asprintf("%s/%d", (char *)*state, of_object);
        assert_int_equal(mkdir(folder, 0700), 0);
        make(&p, folder);
        struct sc_job *jobs[] = {record(&p.s, "k", "older"), record(&p.s, "other", "c"),
                                 record(&p.s, "k", "newer")};
        jobs[0]->u.write_record.mode = jobs[2]->u.write_record.mode = SC_WRITE_REPLACE;
        const struct sc_record *older = &jobs[0]->u.write_record.record;
        odd_store_refuse(&p.odd, of_object ? &older->outputs.items[0].artifact.digest : &older->key,
                         SC_UNREACHABLE, 1);
        write_together(&p, jobs, SC_COUNT(jobs));
        for (uint32_t i = 0; i < SC_COUNT(jobs); i++)
            assert_ok(jobs[i]->rc, jobs[i]->err);
        assert_holds(&p.s, "k", "newer");
        shell_restart(&p.s);
        assert_holds(&p.s, "k", "newer");
        free_all(jobs, SC_COUNT(jobs));
        done(&p);
    }
}

static void test_writer_what_one_record_is_refused_does_not_disturb_the_others(void **state)
{
    for (int of_object = 0; of_object < 2; of_object++) {
        struct place p;
        struct sc_job *jobs[MANY];
        struct sc_digest output;
        SC_AUTO_FREE char *folder = sc_asprintf("%s/%d", (char *)*state, of_object);
        assert_int_equal(mkdir(folder, 0700), 0);
        make(&p, folder);
        make_many(&p.s, jobs);
        const struct sc_record *bad = &jobs[MANY / 2]->u.write_record.record;
        odd_store_refuse(&p.odd, of_object ? &bad->outputs.items[0].artifact.digest : &bad->key, SC_LIMIT,
                         UINT32_MAX);
        write_together(&p, jobs, MANY);
        for (uint32_t i = 0; i < MANY; i++) {
            SC_AUTO_FREE char *salt = sc_asprintf("%u", i);
            if (i == MANY / 2) {
                assert_rc(jobs[i]->rc, SC_LIMIT);
                assert_contains(jobs[i]->err.message, "refused");
                assert_true(jobs[i]->u.write_record.latest.number == 0);
                assert_int_equal(found(&p.s, salt, &output), SC_FOUND_ABSENT);
            } else {
                assert_ok(jobs[i]->rc, jobs[i]->err);
                assert_holds(&p.s, salt, salt);
            }
        }
        assert_int_equal(odd_store_count(&p.odd, "put v1/main/key/"), MANY + 1 - of_object);
        free_all(jobs, MANY);
        done(&p);
    }
}

static void test_writer_what_may_pass_is_tried_again_alone(void **state)
{
    struct place p;
    struct sc_job *jobs[MANY];
    make(&p, *state);
    make_many(&p.s, jobs);
    odd_store_refuse(&p.odd, &jobs[1]->u.write_record.record.key, SC_UNREACHABLE, 1);
    write_together(&p, jobs, MANY);
    for (uint32_t i = 0; i < MANY; i++)
        assert_ok(jobs[i]->rc, jobs[i]->err);
    assert_int_equal(odd_store_count(&p.odd, "put v1/main/key/"), MANY + 2);
    assert_int_equal(odd_store_count(&p.odd, "put v1/main/cas/"), MANY + 1);
    assert_holds(&p.s, "1", "1");
    free_all(jobs, MANY);
    done(&p);
}

static void test_writer_told_to_end_answers_what_is_under_way(void **state)
{
    struct place p;
    struct sc_job *jobs[MANY];
    make(&p, *state);
    p.until_closed = true;
    make_many(&p.s, jobs);
    odd_store_refuse(&p.odd, &jobs[1]->u.write_record.record.key, SC_UNREACHABLE, UINT32_MAX);
    for (uint32_t i = 0; i < MANY; i++)
        shell_post(&p.s, jobs[i]);
    assert_int_equal(sem_wait(&p.reached), 0);
    assert_int_equal(sem_post(&p.go), 0);
    sc_mailbox_close(p.s.storage->writer.box); // as sc_storage_close does
    for (uint32_t i = 0; i < MANY;) {
        struct sc_job *job = shell_next(&p.s);
        if (job->kind == SC_JOB_TROUBLE) {
            sc_job_free(job);
            continue;
        }
        assert_ptr_equal(job, jobs[i++]);
        assert_rc(job->rc, job == jobs[1] ? SC_UNREACHABLE : SC_OK);
    }
    assert_int_equal(p.odd.pending_count, 0);
    assert_int_equal(odd_store_count(&p.odd, "put v1/main/key/"),
                     MANY); // and what was refused is not tried again
    free_all(jobs, MANY);
    done(&p);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_writer_records_go_together_after_their_objects_are_durable),
        T(test_writer_equal_outputs_go_once),
        T(test_writer_records_of_one_key_keep_their_order),
        T(test_writer_what_is_tried_again_does_not_overtake_what_came_later),
        T(test_writer_what_one_record_is_refused_does_not_disturb_the_others),
        T(test_writer_what_may_pass_is_tried_again_alone),
        T(test_writer_told_to_end_answers_what_is_under_way),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
