// Two coordinators with one store, whose clocks are hours apart: what was withdrawn stays withdrawn, what was made since
// counts. A store that does not tell what was withdrawn is believed record by record, and a rotten segment not at all.
#include "tests/unit/shell_test.h"

#include "base/os/clock.h"
#include "base/os/file.h"
#include "coordinator/shell/storage_parts.h"
#include "pipeline/document.h"
#include "store/compress.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { HOURS_MS = 3 * 3600 * 1000 };
#define MONTH_MS (INT64_C(30) * 24 * 3600 * 1000)
static const int64_t offsets[] = {HOURS_MS, -HOURS_MS, 0}; // of the first coordinator's clock

struct pair {
    struct shell a, b;
    struct sc_digest plan, template_;
    int64_t now_ms; // by the second's clock
};

static void put_plan(struct pair *p)
{
    struct sc_plan *plan;
    struct sc_diagnostics diagnostics = {0};
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    static const char document[] = "stepcache: 1\nname: p\nsteps:\n  train:\n    run: 'true'\n";
    assert_int_equal(sc_document_compile(sc_slice_str(document), NULL, 0, &p->a.arena, &plan, &diagnostics),
                     SC_OK);
    sc_plan_encode(plan, &bytes);
    p->template_ = sc_plan_template(plan);
    assert_ok(sc_objects_put_bytes(p->a.objects, sc_buf_slice(&bytes), false, &p->plan, &err), err);
}

static void make(struct pair *p, const char *folder)
{
    SC_AUTO_FREE char *one = sc_scratch_path(folder, "a");
    SC_AUTO_FREE char *other = sc_scratch_path(folder, "b");
    SC_AUTO_FREE char *store = sc_scratch_path(folder, "store");
    assert_int_equal(mkdir(one, 0700), 0);
    assert_int_equal(mkdir(other, 0700), 0);
    *p = (struct pair){.now_ms = sc_clock_wall_ms()};
    shell_make_at(&p->a, one, store);
    shell_make_at(&p->b, other, store);
    put_plan(p);
}

static void done(struct pair *p)
{
    shell_done(&p->a);
    shell_done(&p->b);
}

// As a run begins: the voids are listed, the newest segment is read.
static void begin_run(struct pair *p, struct shell *s)
{
    struct sc_job *job = sc_job_new(SC_JOB_LOAD_PLAN);
    job->u.load_plan.digest = p->plan;
    job = shell_do(s, job);
    assert_ok(job->rc, job->err);
    sc_job_free(job);
}

static void record(struct shell *s, const char *salt, const char *text, enum sc_write_mode mode,
                   int64_t wall_ms)
{
    struct sc_artifact output = shell_put(s, text, "");
    struct sc_job *job = shell_record(s, salt, "train", &output);
    job->u.write_record.mode = mode;
    job->u.write_record.wall_ms = job->u.write_record.record.ended_at = wall_ms;
    shell_write(s, job, SC_RECORD_WON);
}

// As a run ends: its segment is written.
static void end_run(struct pair *p, struct shell *s, const char *salt, int64_t wall_ms)
{
    struct sc_job *job = sc_job_new(SC_JOB_CLOSE_OUT);
    struct sc_close_out *what = &job->u.close_out.what;
    *what = (struct sc_close_out){.run = SC_SLICE_LIT("r"),
                                  .namespace_ = SC_SLICE_LIT("default"),
                                  .pipeline = SC_SLICE_LIT("p"),
                                  .template_ = p->template_,
                                  .ended_at = wall_ms,
                                  .state = SC_END_DONE};
    what->keys.items = SC_NEW(&job->arena, struct sc_digest);
    what->keys.count = 1;
    shell_key(s, salt, &what->keys.items[0]);
    sc_mp_put_array(&job->u.close_out.events, 1);
    job = shell_do(s, job);
    assert_ok(job->rc, job->err);
    sc_job_free(job);
}

static void remove_result(struct shell *s, const char *salt, int64_t wall_ms)
{
    struct sc_job *job = shell_do(s, shell_void(s, &salt, 1, wall_ms));
    assert_ok(job->rc, job->err);
    sc_job_free(job);
}

static void assert_found(struct shell *s, const char *salt, enum sc_found want, const char *text)
{
    struct sc_job *job = shell_look_up(s, salt, "train", false);
    const struct sc_looked_up *found = &job->u.look_up.found[0];
    assert_int_equal(found->found, want);
    if (text) {
        struct sc_digest digest = digest_of_text(text);
        assert_true(sc_digest_eq(&found->record->outputs.items[0].artifact.digest, &digest));
    }
    sc_job_free(job);
}

// What is only in memory is lost; the run reads the segment.
static void assert_found_anew(struct pair *p, struct shell *s, const char *salt, enum sc_found want,
                              const char *text)
{
    shell_restart(s);
    begin_run(p, s);
    assert_found(s, salt, want, text);
}

static void test_withdrawn_a_replaced_result_does_not_come_back_from_an_old_segment(void **state)
{
    for (size_t i = 0; i < SC_COUNT(offsets); i++) {
        struct pair p;
        SC_AUTO_FREE char *folder = sc_asprintf("%s/%zu", (const char *)*state, i);
        assert_int_equal(mkdir(folder, 0700), 0);
        make(&p, folder);
        int64_t a_ms = p.now_ms + offsets[i];
        record(&p.a, "1", "old", SC_WRITE_IF_ABSENT, a_ms);
        end_run(&p, &p.a, "1", a_ms);
        assert_found_anew(&p, &p.b, "1", SC_FOUND, "old");
        record(&p.b, "1", "new", SC_WRITE_REPLACE, p.now_ms + 1000);
        assert_found(&p.b, "1", SC_FOUND, "new");
        begin_run(&p, &p.a); // holds the old one in memory
        assert_found(&p.a, "1", SC_FOUND, "new");
        assert_found_anew(&p, &p.b, "1", SC_FOUND, "new"); // has read the old one's segment
        // And the other way round: what the first makes now is newer, whatever its clock says.
        record(&p.a, "1", "newest", SC_WRITE_REPLACE, a_ms + 2000);
        begin_run(&p, &p.b);
        assert_found(&p.b, "1", SC_FOUND, "newest");
        assert_found_anew(&p, &p.a, "1", SC_FOUND, "newest");
        done(&p);
    }
}

static void test_withdrawn_what_was_replaced_since_the_last_listing_is_withdrawn_too(void **state)
{
    struct pair p;
    make(&p, *state);
    record(&p.a, "1", "first", SC_WRITE_IF_ABSENT, p.now_ms);
    begin_run(&p, &p.b);
    record(&p.a, "1", "second", SC_WRITE_REPLACE, p.now_ms + 1000);
    end_run(&p, &p.a, "1", p.now_ms + 1000);
    record(&p.b, "1", "third", SC_WRITE_REPLACE, p.now_ms + 2000); // has not heard of the second
    begin_run(&p, &p.a);
    assert_found(&p.a, "1", SC_FOUND, "third");
    assert_found_anew(&p, &p.b, "1", SC_FOUND, "third");
    done(&p);
}

static void test_withdrawn_a_replacement_that_could_not_be_written_leaves_a_miss(void **state)
{
    struct pair p;
    make(&p, *state);
    record(&p.a, "1", "old", SC_WRITE_IF_ABSENT, p.now_ms);
    end_run(&p, &p.a, "1", p.now_ms);
    SC_AUTO_FREE char *path = shell_record_path(&p.a, "1");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); // what no record takes the place of
    struct sc_artifact output = shell_put(&p.b, "new", "");
    struct sc_job *job = shell_record(&p.b, "1", "train", &output);
    job->u.write_record.mode = SC_WRITE_REPLACE;
    job = shell_do(&p.b, job);
    assert_true(job->rc != SC_OK);
    sc_job_free(job);
    assert_found_anew(&p, &p.a, "1", SC_FOUND_CORRUPT, NULL); // and not the old one of the segment
    assert_int_equal(unlink(path), 0);
    assert_found_anew(&p, &p.a, "1", SC_FOUND_ABSENT, NULL);
    record(&p.b, "1", "new", SC_WRITE_IF_ABSENT, p.now_ms);
    assert_found_anew(&p, &p.a, "1", SC_FOUND, "new");
    done(&p);
}

static void test_withdrawn_a_removed_result_stays_removed_and_made_again_it_counts(void **state)
{
    for (size_t i = 0; i < SC_COUNT(offsets); i++) {
        struct pair p;
        SC_AUTO_FREE char *folder = sc_asprintf("%s/%zu", (const char *)*state, i);
        assert_int_equal(mkdir(folder, 0700), 0);
        make(&p, folder);
        int64_t a_ms = p.now_ms + offsets[i];
        record(&p.a, "1", "old", SC_WRITE_IF_ABSENT, a_ms);
        end_run(&p, &p.a, "1", a_ms);
        remove_result(&p.b, "1", p.now_ms + 1000);
        assert_found_anew(&p, &p.b, "1", SC_FOUND_ABSENT, NULL);
        begin_run(&p, &p.a);
        assert_found(&p.a, "1", SC_FOUND_ABSENT, NULL);
        record(&p.a, "1", "again", SC_WRITE_IF_ABSENT, a_ms + 2000);
        assert_found(&p.a, "1", SC_FOUND, "again");
        begin_run(&p, &p.b);
        assert_found(&p.b, "1", SC_FOUND, "again");
        assert_found_anew(&p, &p.b, "1", SC_FOUND, "again"); // not the old one of the segment
        // Twice removed, by the other clock.
        remove_result(&p.a, "1", a_ms + 3000);
        assert_found_anew(&p, &p.b, "1", SC_FOUND_ABSENT, NULL);
        record(&p.b, "1", "third", SC_WRITE_IF_ABSENT, p.now_ms + 4000);
        begin_run(&p, &p.a);
        assert_found(&p.a, "1", SC_FOUND, "third");
        done(&p);
    }
}

static void test_withdrawn_a_rotten_result_is_withdrawn_with_all_its_copies(void **state)
{
    struct pair p;
    make(&p, *state);
    record(&p.a, "1", "first", SC_WRITE_IF_ABSENT, p.now_ms);
    record(&p.a, "1", "second", SC_WRITE_REPLACE, p.now_ms + HOURS_MS);
    end_run(&p, &p.a, "1", p.now_ms + HOURS_MS);
    SC_AUTO_FREE char *path = shell_record_path(&p.a, "1");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 10), 0);
    shell_restart(&p.b); // has not read the segment, and can not tell what lies there
    assert_found(&p.b, "1", SC_FOUND_CORRUPT, NULL);
    record(&p.b, "1", "third", SC_WRITE_REPLACE, p.now_ms + 1000);
    assert_found_anew(&p, &p.b, "1", SC_FOUND, "third");
    begin_run(&p, &p.a);
    assert_found(&p.a, "1", SC_FOUND, "third");
    done(&p);
}

static void
test_withdrawn_what_cannot_be_read_is_withdrawn_beyond_what_others_withdrew_meanwhile(void **state)
{
    for (int mode = 0; mode < 3; mode++) { // replaced by who saw it rotten, by who did not, or removed
        struct pair p;
        SC_AUTO_FREE char *folder = sc_asprintf("%s/%d", (const char *)*state, mode);
        assert_int_equal(mkdir(folder, 0700), 0);
        make(&p, folder);
        record(&p.a, "1", "first", SC_WRITE_IF_ABSENT, p.now_ms);
        begin_run(&p, &p.a); // the last that it hears of voids
        for (int i = 1; i < 4; i++)
            record(&p.b, "1", "rotten", SC_WRITE_REPLACE, p.now_ms + i);
        end_run(&p, &p.b, "1", p.now_ms + 4);
        SC_AUTO_FREE char *path = shell_record_path(&p.b, "1");
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(truncate(path, 10), 0);
        if (mode == 2)
            remove_result(&p.a, "1", p.now_ms + 5);
        else
            record(&p.a, "1", "new", mode ? SC_WRITE_IF_ABSENT : SC_WRITE_REPLACE, p.now_ms + 5);
        // The second, whose segment holds a copy of what rotted, knows of every void.
        assert_found_anew(&p, &p.b, "1", mode == 2 ? SC_FOUND_ABSENT : SC_FOUND, mode == 2 ? NULL : "new");
        assert_found_anew(&p, &p.a, "1", mode == 2 ? SC_FOUND_ABSENT : SC_FOUND, mode == 2 ? NULL : "new");
        done(&p);
    }
}

static void test_withdrawn_a_void_is_heard_of_wherever_the_newest_stands(void **state)
{
    static const struct {
        int64_t newest_ms, next_ms;
    } clocks[] = {{HOURS_MS, -HOURS_MS}, {MONTH_MS, 0}, {-MONTH_MS, -MONTH_MS - HOURS_MS}};
    for (size_t i = 0; i < SC_COUNT(clocks); i++) {
        struct pair p;
        struct sc_error err = SC_ERROR_INIT;
        SC_AUTO_FREE char *folder = sc_asprintf("%s/%zu", (const char *)*state, i);
        assert_int_equal(mkdir(folder, 0700), 0);
        make(&p, folder);
        record(&p.a, "1", "one", SC_WRITE_IF_ABSENT, p.now_ms);
        record(&p.a, "2", "two", SC_WRITE_IF_ABSENT, p.now_ms);
        remove_result(&p.b, "1", p.now_ms + clocks[i].newest_ms);
        begin_run(&p, &p.a);
        assert_found(&p.a, "1", SC_FOUND_ABSENT, NULL);
        assert_found(&p.a, "2", SC_FOUND, "two");
        // By a third one, who has not heard of the first void.
        struct sc_void voided = {.generation = 1, .wall_ms = p.now_ms + clocks[i].next_ms};
        shell_key(&p.a, "2", &voided.key);
        assert_ok(sc_records_void(p.a.handle, sc_slice_str("main"), &voided, sc_slice_str("test"), &err),
                  err);
        begin_run(&p, &p.a);
        assert_found(&p.a, "2", SC_FOUND_VOIDED, NULL);
        done(&p);
    }
}

static void test_withdrawn_a_void_never_stands_behind_those_that_its_writer_knows(void **state)
{
    struct pair p;
    make(&p, *state);
    record(&p.a, "1", "one", SC_WRITE_IF_ABSENT, p.now_ms);
    record(&p.a, "2", "two", SC_WRITE_IF_ABSENT, p.now_ms);
    remove_result(&p.a, "1", p.now_ms);
    begin_run(&p, &p.a);
    begin_run(&p, &p.b);
    remove_result(&p.b, "2", p.now_ms - MONTH_MS); // a clock that was never set
    begin_run(&p, &p.a);
    assert_found(&p.a, "2", SC_FOUND_ABSENT, NULL);
    done(&p);
}

// ---- the voids cannot be listed

static void hide_voids(const struct pair *p, bool hide)
{
    SC_AUTO_FREE char *there = sc_scratch_path(p->a.store, "v1/main/void");
    SC_AUTO_FREE char *away = sc_scratch_path(p->a.store, "v1/main/void-away");
    if (hide) {
        assert_int_equal(rename(there, away), 0);
        assert_int_equal(symlink("void", there), 0); // a link to itself: not empty, but ELOOP
    } else {
        assert_int_equal(unlink(there), 0);
        assert_int_equal(rename(away, there), 0);
    }
}

static void test_withdrawn_without_the_voids_no_segment_is_believed(void **state)
{
    struct pair p;
    struct sc_digest key;
    make(&p, *state);
    record(&p.a, "1", "old", SC_WRITE_IF_ABSENT, p.now_ms);
    record(&p.a, "2", "other", SC_WRITE_IF_ABSENT, p.now_ms);
    end_run(&p, &p.a, "1", p.now_ms);
    record(&p.b, "1", "new", SC_WRITE_REPLACE, p.now_ms + 1000);
    hide_voids(&p, true);
    assert_found_anew(&p, &p.b, "1", SC_FOUND, "new"); // the key's own record, not the segment's
    begin_run(&p, &p.a);
    assert_found(&p.a, "1", SC_FOUND, "new"); // nor what is in memory
    assert_found(&p.a, "2", SC_FOUND, "other");
    shell_key(&p.a, "2", &key);
    shell_remove_record(&p.a, &key);
    assert_found(&p.a, "2", SC_FOUND_ABSENT, NULL); // it may have been withdrawn
    hide_voids(&p, false);
    begin_run(&p, &p.a);
    assert_found(&p.a, "2", SC_FOUND, "other"); // memory counts again
    assert_found(&p.a, "1", SC_FOUND, "new");
    done(&p);
}

static void test_withdrawn_what_no_void_can_be_written_for_is_not_replaced(void **state)
{
    struct pair p;
    make(&p, *state);
    record(&p.a, "1", "old", SC_WRITE_IF_ABSENT, p.now_ms);
    remove_result(&p.a, "2", p.now_ms); // makes the folder
    hide_voids(&p, true);
    struct sc_artifact output = shell_put(&p.b, "new", "");
    struct sc_job *job = shell_record(&p.b, "1", "train", &output);
    job->u.write_record.mode = SC_WRITE_REPLACE;
    job = shell_do(&p.b, job);
    assert_true(job->rc != SC_OK);
    sc_job_free(job);
    hide_voids(&p, false);
    begin_run(&p, &p.b);
    assert_found(&p.b, "1", SC_FOUND, "old");
    assert_found_anew(&p, &p.a, "1", SC_FOUND, "old");
    done(&p);
}

static void test_withdrawn_a_look_up_before_any_run_began_does_not_believe_a_segment(void **state)
{
    struct pair p;
    make(&p, *state);
    record(&p.a, "1", "old", SC_WRITE_IF_ABSENT, p.now_ms);
    end_run(&p, &p.a, "1", p.now_ms);
    remove_result(&p.b, "1", p.now_ms + 1000);
    // A coordinator that takes up an open run loads its plan, and so its segment, before its threads start.
    p.a.restored = p.plan;
    shell_restart(&p.a);
    assert_found(&p.a, "1", SC_FOUND_ABSENT, NULL);
    done(&p);
}

// ---- rot in a segment

static char *segment_path(const struct pair *p)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_LIST, sc_slice_str("v1/main/seg/"));
    op.max_entries = 10;
    assert_int_equal(sc_store_wait(p->a.handle, &op), SC_OK);
    assert_int_equal(op.entry_count, 1);
    SC_AUTO_FREE char *name = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(op.entries[0].name));
    sc_store_op_done(&op);
    return sc_scratch_path(p->a.store, name);
}

static void write_file(const char *path, struct sc_slice bytes)
{
    struct sc_error err = SC_ERROR_INIT;
    (void)unlink(path);
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    assert_true(fd >= 0);
    assert_ok(sc_fd_write_all(fd, bytes, &err), err);
}

static void remove_voids(struct shell *s)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_LIST, sc_slice_str("v1/main/void/"));
    op.max_entries = 10;
    assert_int_equal(sc_store_wait(s->handle, &op), SC_OK);
    assert_int_equal(op.entry_count, 1);
    shell_remove(s, op.entries[0].name);
    sc_store_op_done(&op);
}

// A collector removes a void when it is older than the horizon, whoever has not listed for so long.
static void test_withdrawn_memory_counts_no_more_when_voids_may_have_been_missed(void **state)
{
    for (int missed = 0; missed < 2; missed++) {
        struct pair p;
        SC_AUTO_FREE char *folder = sc_scratch_path(*state, missed ? "1" : "0");
        assert_int_equal(mkdir(folder, 0700), 0);
        make(&p, folder);
        begin_run(&p, &p.b);
        record(&p.a, "s", "one", SC_WRITE_IF_ABSENT, p.now_ms);
        assert_found(&p.b, "s", SC_FOUND, "one");
        remove_result(&p.a, "s", p.now_ms);
        remove_voids(&p.a);
        pthread_mutex_lock(&p.b.storage->lock);
        p.b.storage->shared_voids_heard_ms -= SC_STORE_HORIZON_MS / 2 + (missed ? 1000 : -60000);
        pthread_mutex_unlock(&p.b.storage->lock);
        begin_run(&p, &p.b);
        // The other case shows what is to be feared.
        assert_found(&p.b, "s", missed ? SC_FOUND_ABSENT : SC_FOUND, missed ? NULL : "one");
        done(&p);
    }
}

static void test_withdrawn_no_record_is_put_for_what_was_stored_too_long_ago(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    for (int late = 1; late >= 0; late--) {
        struct sc_artifact output = shell_put(&s, "one", "");
        struct sc_job *job = shell_record(&s, "s", "train", &output);
        job->u.write_record.stored_at = sc_clock_wall_ms() - SC_STORE_HORIZON_MS / 4 + (late ? -1000 : 60000);
        job = shell_do(&s, job);
        assert_rc(job->rc, late ? SC_NOT_FOUND : SC_OK);
        if (late)
            assert_contains(job->err.message, "may have been collected");
        sc_job_free(job);
        job = shell_look_up(&s, "s", "train", false);
        assert_int_equal(job->u.look_up.found[0].found, late ? SC_FOUND_ABSENT : SC_FOUND);
        sc_job_free(job);
    }
    shell_done(&s);
}

static void test_withdrawn_a_flipped_byte_in_a_segment_is_never_a_hit(void **state)
{
    struct pair p;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest key;
    SC_AUTO_BUF struct sc_buf packed, plain, again;
    make(&p, *state);
    struct sc_artifact output = {.kind = SC_ARTIFACT_FILE,
                                 .has_inline = true,
                                 .inline_bytes = SC_SLICE_LIT("the result"),
                                 .digest = digest_of_text("the result"),
                                 .bytes = 10,
                                 .files = 1};
    shell_write(&p.a, shell_record(&p.a, "1", "train", &output), SC_RECORD_WON);
    end_run(&p, &p.a, "1", p.now_ms);
    SC_AUTO_FREE char *path = segment_path(&p);
    sc_buf_init(&packed, 0);
    sc_buf_init(&plain, 0);
    sc_buf_init(&again, 0);
    assert_ok(sc_file_read(path, 1 << 20, &packed, &err), err);
    assert_ok(sc_decompress(sc_buf_slice(&packed), 1 << 20, &plain, &err), err);
    uint8_t *at = memmem(plain.ptr, plain.len, "the result", 10);
    assert_non_null(at);
    at[9] ^= 1; // a container as whole as before
    sc_compress(sc_buf_slice(&plain), &again);
    write_file(path, sc_buf_slice(&again));
    assert_found_anew(&p, &p.b, "1", SC_FOUND, "the result"); // by its own record
    shell_key(&p.a, "1", &key);
    shell_remove_record(&p.a, &key);
    assert_found_anew(&p, &p.b, "1", SC_FOUND_ABSENT, NULL);
    write_file(path, sc_buf_slice(&packed));
    assert_found_anew(&p, &p.b, "1", SC_FOUND, "the result"); // a whole one serves alone
    done(&p);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_withdrawn_a_replaced_result_does_not_come_back_from_an_old_segment),
        T(test_withdrawn_what_was_replaced_since_the_last_listing_is_withdrawn_too),
        T(test_withdrawn_a_replacement_that_could_not_be_written_leaves_a_miss),
        T(test_withdrawn_a_removed_result_stays_removed_and_made_again_it_counts),
        T(test_withdrawn_a_rotten_result_is_withdrawn_with_all_its_copies),
        T(test_withdrawn_what_cannot_be_read_is_withdrawn_beyond_what_others_withdrew_meanwhile),
        T(test_withdrawn_a_void_is_heard_of_wherever_the_newest_stands),
        T(test_withdrawn_a_void_never_stands_behind_those_that_its_writer_knows),
        T(test_withdrawn_without_the_voids_no_segment_is_believed),
        T(test_withdrawn_what_no_void_can_be_written_for_is_not_replaced),
        T(test_withdrawn_a_look_up_before_any_run_began_does_not_believe_a_segment),
        T(test_withdrawn_no_record_is_put_for_what_was_stored_too_long_ago),
        T(test_withdrawn_memory_counts_no_more_when_voids_may_have_been_missed),
        T(test_withdrawn_a_flipped_byte_in_a_segment_is_never_a_hit),
    };
    return cmocka_run_group_tests_name("withdrawn", tests, NULL, NULL);
}
