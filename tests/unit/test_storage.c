// The store threads over a real folder: records, look-ups, lost objects, voids, uploads, close-outs.
#include "tests/lib/odd_store.h"
#include "tests/unit/shell_test.h"

#include "base/os/clock.h"
#include "base/os/file.h"
#include "coordinator/shell/storage_parts.h"
#include "store/compress.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static enum sc_found found(struct shell *s, const char *salt, const char *step, bool *ret_lost)
{
    struct sc_job *job = shell_look_up(s, salt, step, false);
    enum sc_found was = job->u.look_up.found[0].found;
    if (ret_lost)
        *ret_lost = job->u.look_up.found[0].objects_lost;
    sc_job_free(job);
    return was;
}

// Flips a bit of the last byte of a text that a file holds: what a bad disk does.
static void flip_in_file(const char *path, const char *text)
{
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&bytes, 0);
    assert_ok(sc_file_read(path, 1 << 20, &bytes, &err), err);
    uint8_t *at = memmem(bytes.ptr, bytes.len, text, strlen(text));
    assert_non_null(at);
    at[strlen(text) - 1] ^= 1;
    assert_int_equal(unlink(path), 0);
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    assert_true(fd >= 0);
    assert_ok(sc_fd_write_all(fd, sc_buf_slice(&bytes), &err), err);
}

static void test_storage_a_record_is_found_from_memory_and_after_a_restart(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", ".txt");
    assert_int_equal(found(&s, "1", "train", NULL), SC_FOUND_ABSENT);
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    for (int again = 0; again < 2; again++) {
        struct sc_job *job = shell_look_up(&s, "1", "train", false);
        const struct sc_looked_up *out = &job->u.look_up.found[0];
        assert_int_equal(out->found, SC_FOUND);
        assert_false(out->objects_lost);
        assert_slice(out->record->step, "train");
        assert_int_equal(out->record->wall_ms, 1234);
        assert_int_equal(out->record->outputs.count, 1);
        assert_true(sc_artifact_same(&out->record->outputs.items[0].artifact, &output));
        assert_int_equal(out->record->fields.count, 1);
        assert_slice(out->record->fields.items[0].label, "salt");
        sc_job_free(job);
        shell_restart(&s);
    }
    shell_done(&s);
}

static void test_storage_many_records_are_read_together_and_each_is_told(void **state)
{
    enum { ITEMS = 100 };
    struct shell s;
    struct odd_store odd;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", "");
    struct sc_job *job = sc_job_new(SC_JOB_LOOK_UP);
    job->u.look_up.items = SC_NEW_ARRAY(&job->arena, ITEMS, struct sc_lookup_item);
    job->u.look_up.count = ITEMS;
    for (uint32_t i = 0; i < ITEMS; i++) {
        struct sc_lookup_item *item = &job->u.look_up.items[i];
        const char *step = (const char *)sc_arena_printf(&job->arena, "s%u", i).ptr;
        *item = (struct sc_lookup_item){.namespace_ = SC_SLICE_LIT("default"), .pipeline = SC_SLICE_LIT("p")};
        item->step = sc_slice_str(step);
        shell_key(&s, step, &item->key);
        if (i % 2)
            shell_write(&s, shell_record(&s, step, step, &output), SC_RECORD_WON);
    }
    shell_restart(&s);
    assert_int_equal(found(&s, "s3", "s3", NULL), SC_FOUND); // in memory from now on
    odd_store_init(&odd, s.storage->reader.store);           // it has no job
    odd_store_refuse(&odd, &job->u.look_up.items[71].key, SC_UNREACHABLE, 1);
    job = shell_do(&s, job);
    for (uint32_t i = 0; i < ITEMS; i++) {
        const struct sc_looked_up *out = &job->u.look_up.found[i];
        assert_int_equal(out->found, i == 71 ? SC_FOUND_ERROR : i % 2 ? SC_FOUND : SC_FOUND_ABSENT);
        if (out->found == SC_FOUND)
            assert_true(sc_slice_eq(out->record->step, job->u.look_up.items[i].step));
    }
    assert_slice(job->u.look_up.found[71].message, "refused");
    assert_true(job->u.look_up.found[71].may_pass);
    assert_int_equal(odd_store_count(&odd, "get v1/main/key/"), ITEMS - 1);
    assert_int_equal(odd.pending_most, 16);
    sc_job_free(job);
    shell_done(&s);
    odd_store_done(&odd);
}

static void test_storage_a_lost_output_is_told(void **state)
{
    struct shell s;
    bool lost;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", ".txt");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    shell_remove_object(&s, &output.digest);
    assert_int_equal(found(&s, "1", "train", &lost), SC_FOUND);
    assert_true(lost);
    shell_done(&s);
}

static void test_storage_inline_outputs_become_objects_before_the_record_is_there(void **state)
{
    struct shell s;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    shell_make(&s, *state);
    struct sc_artifact output = {.kind = SC_ARTIFACT_FILE,
                                 .has_inline = true,
                                 .inline_bytes = SC_SLICE_LIT("small"),
                                 .digest = digest_of_text("small"),
                                 .bytes = 5,
                                 .files = 1};
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    assert_ok(sc_objects_get_bytes(s.objects, &output.digest, 100, &bytes, &err), err);
    assert_slice(sc_buf_slice(&bytes), "small");
    output.inline_bytes = (struct sc_slice)SC_SLICE_LIT("other");
    struct sc_job *job = shell_do(&s, shell_record(&s, "2", "train", &output));
    assert_rc(job->rc, SC_CORRUPT); // its bytes are not what the digest says
    sc_job_free(job);
    shell_done(&s);
}

static void test_storage_a_long_field_is_an_object_for_explain(void **state)
{
    struct shell s;
    struct sc_error err = SC_ERROR_INIT;
    char salt[400];
    memset(salt, 's', sizeof salt - 1);
    salt[sizeof salt - 1] = 0;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", "");
    shell_write(&s, shell_record(&s, salt, "train", &output), SC_RECORD_WON);
    SC_AUTO_BUF struct sc_buf value, bytes;
    sc_buf_init(&value, 0);
    sc_buf_init(&bytes, 0);
    sc_mp_put_cstr(&value, salt);
    struct sc_digest digest = sc_digest_of(sc_buf_slice(&value));
    assert_ok(sc_objects_get_bytes(s.objects, &digest, 1000, &bytes, &err), err);
    shell_done(&s);
}

static void test_storage_the_second_of_two_equal_results_is_the_same_and_another_is_lost(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", ""), other = shell_put(&s, "diverged", "");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_SAME);
    struct sc_job *job = shell_record(&s, "1", "train", &other);
    job->u.write_record.record.run = (struct sc_slice)SC_SLICE_LIT("of another coordinator");
    shell_write(&s, job, SC_RECORD_LOST);
    job = shell_look_up(&s, "1", "train", false);
    assert_true(sc_artifact_same(&job->u.look_up.found[0].record->outputs.items[0].artifact,
                                 &output)); // what the store holds
    sc_job_free(job);
    shell_done(&s);
}

static void test_storage_a_replaced_record_wins_over_old_ones_elsewhere(void **state)
{
    struct shell s;
    struct sc_digest key;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "old", ""), newer = shell_put(&s, "new", "");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    struct sc_job *job = shell_record(&s, "1", "train", &newer);
    job->u.write_record.mode = SC_WRITE_REPLACE;
    shell_write(&s, job, SC_RECORD_WON);
    shell_key(&s, "1", &key);
    assert_int_equal(sc_index_voided(sc_storage_index(s.storage), &key), 1);
    job = shell_look_up(&s, "1", "train", false);
    assert_int_equal(job->u.look_up.found[0].found, SC_FOUND);
    assert_int_equal(job->u.look_up.found[0].record->generation, 2);
    sc_job_free(job);
    shell_done(&s);
}

static void test_storage_a_replacement_comes_after_the_record_that_was_looked_up(void **state)
{
    struct shell s;
    struct sc_digest key;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "new", "");
    struct sc_job *job = shell_record(&s, "1", "train", &output);
    job->u.write_record.mode = SC_WRITE_REPLACE;
    job->u.write_record.record.generation = 7; // the sixth was, in a segment; its own object is gone
    shell_write(&s, job, SC_RECORD_WON);
    shell_key(&s, "1", &key);
    assert_int_equal(sc_index_voided(sc_storage_index(s.storage), &key), 6);
    job = shell_look_up(&s, "1", "train", false);
    assert_int_equal(job->u.look_up.found[0].record->generation, 7);
    sc_job_free(job);
    shell_done(&s);
}

static void test_storage_a_void_takes_the_record_out_of_store_and_index(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", "");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    static const char *const salts[] = {"1"};
    struct sc_job *job = shell_do(&s, shell_void(&s, salts, 1, 1750000000001));
    assert_ok(job->rc, job->err);
    sc_job_free(job);
    assert_int_equal(found(&s, "1", "train", NULL), SC_FOUND_ABSENT);
    // Made again, it counts again.
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    assert_int_equal(found(&s, "1", "train", NULL), SC_FOUND);
    shell_done(&s);
}

static void test_storage_a_removal_that_fails_for_one_key_is_not_told_as_done(void **state)
{
    struct shell s;
    static const char *const salts[] = {"1", "2", "3"};
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", "");
    for (size_t i = 0; i < SC_COUNT(salts); i++)
        shell_write(&s, shell_record(&s, salts[i], "train", &output), SC_RECORD_WON);
    SC_AUTO_FREE char *path = shell_record_path(&s, "2");
    assert_int_equal(unlink(path), 0);
    SC_AUTO_FREE char *kept = sc_scratch_path(path, "somebodys");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(kept, 0700), 0); // what cannot be removed
    struct sc_job *job = shell_do(&s, shell_void(&s, salts, SC_COUNT(salts), 1750000000001));
    assert_true(job->rc != SC_OK);
    assert_contains(job->err.message, "1 of 3 results were removed");
    assert_contains(job->err.message, path);
    assert_contains(job->err.message, "is a folder");
    sc_job_free(job);
    shell_done(&s);
}

// A folder that is spoken to as if it lay elsewhere, where each look costs a request.
static void move_elsewhere(struct sc_store *store, struct sc_store_backend *backend)
{
    *backend = *store->backend;
    odd_store_be_elsewhere(backend);
    store->backend = backend;
}

static void test_storage_what_was_found_gone_elsewhere_is_put_again(void **state)
{
    struct shell s;
    struct sc_store_backend backend;
    static const char text[] = "a file of code";
    struct sc_digest digest = digest_of_text(text);
    struct sc_artifact artifact = {
        .kind = SC_ARTIFACT_FILE, .digest = digest, .bytes = strlen(text), .files = 1};
    SC_AUTO_BUF struct sc_buf name;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&name, 0);
    sc_buf_init(&bytes, 0);
    shell_make(&s, *state);
    move_elsewhere(s.storage->writer.store, &backend); // no job was given to it yet
    sc_name_cas(&name, sc_slice_str("main"), &digest);
    for (int i = 0; i < 2; i++) { // uploaded; gone, and found so; uploaded again
        struct sc_job *job = sc_job_new(SC_JOB_PUT);
        job->client = 1;
        job->u.put = (struct sc_msg_put){
            .digest = digest, .total_bytes = strlen(text), .bytes = SC_SLICE_LIT("a file of code")};
        job = shell_do(&s, job);
        assert_ok(job->rc, job->err);
        sc_job_free(job);
        assert_ok(sc_objects_get_bytes(s.objects, &digest, 100, &bytes, &err), err);
        SC_AUTO_FREE char *path = sc_scratch_path(s.store, sc_buf_cstr(&name));
        assert_int_equal(unlink(path), 0);
        job = sc_job_new(SC_JOB_PRESENCE);
        job->u.presence.items = &artifact;
        job->u.presence.count = 1;
        job = shell_do(&s, job);
        assert_rc(job->u.presence.rets[0], SC_NOT_FOUND);
        sc_job_free(job);
    }
    shell_done(&s);
}

static void test_storage_a_store_that_is_gone_is_an_error_and_no_miss(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact output = shell_put(&s, "result", "");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    assert_ok(sc_dir_remove(s.store, &err), err);
    static const char *const salts[] = {"1", "2"}; // in memory, whose output is looked for; and not
    for (size_t i = 0; i < SC_COUNT(salts); i++) {
        struct sc_job *job = shell_look_up(&s, salts[i], "train", false);
        const struct sc_looked_up *found = &job->u.look_up.found[0];
        assert_int_equal(found->found, SC_FOUND_ERROR);
        assert_false(found->may_pass);
        assert_true(found->message.len > 0);
        sc_job_free(job);
    }
    shell_done(&s);
}

static void test_storage_a_rotten_record_is_corrupt_and_healed_by_the_next(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = {.kind = SC_ARTIFACT_FILE,
                                 .has_inline = true,
                                 .inline_bytes = SC_SLICE_LIT("the small result"),
                                 .digest = digest_of_text("the small result"),
                                 .bytes = 16,
                                 .files = 1};
    for (int mode = 0; mode < 2; mode++) { // a flight that saw it, and one that began before it rotted
        const char *salt = mode ? "2" : "1";
        shell_write(&s, shell_record(&s, salt, "train", &output), SC_RECORD_WON);
        SC_AUTO_FREE char *path = shell_record_path(&s, salt);
        flip_in_file(path, "small result"); // MessagePack as good as before
        shell_restart(&s);
        struct sc_job *job = shell_look_up(&s, salt, "train", false);
        assert_int_equal(job->u.look_up.found[0].found, SC_FOUND_CORRUPT);
        assert_contains((const char *)job->u.look_up.found[0].message.ptr, "checksum");
        sc_job_free(job);
        job = shell_record(&s, salt, "train", &output);
        job->u.write_record.mode = mode ? SC_WRITE_IF_ABSENT : SC_WRITE_REPLACE;
        shell_write(&s, job, SC_RECORD_WON);
        shell_restart(&s);
        assert_int_equal(found(&s, salt, "train", NULL), SC_FOUND);
    }
    shell_done(&s);
}

static void test_storage_a_record_larger_than_any_is_corrupt(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", "");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    SC_AUTO_FREE char *path = shell_record_path(&s, "1");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, SC_LIMIT_RECORD_BYTES + 1), 0);
    shell_restart(&s);
    assert_int_equal(found(&s, "1", "train", NULL), SC_FOUND_CORRUPT);
    shell_done(&s);
}

static void test_storage_a_record_under_another_key_than_its_fields_make_is_refused(void **state)
{
    struct shell s;
    struct sc_digest other;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", "");
    struct sc_job *job = shell_record(&s, "1", "train", &output);
    job->u.write_record.key_encoding = sc_arena_copy(&job->arena, shell_key(&s, "2", &other));
    job = shell_do(&s, job);
    assert_rc(job->rc, SC_CORRUPT);
    sc_job_free(job);
    assert_int_equal(found(&s, "1", "train", NULL), SC_FOUND_ABSENT);
    shell_done(&s);
}

static void test_storage_generations_do_not_run_over(void **state)
{
    struct shell s;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice bytes;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", "");
    struct sc_job *job = shell_record(&s, "1", "train", &output);
    job->u.write_record.record.generation = SC_LIMIT_GENERATION;
    assert_ok(sc_records_replace(s.handle, &job->u.write_record.record, &s.arena, &bytes, &err), err);
    job->u.write_record.record.generation = 1;
    job->u.write_record.mode = SC_WRITE_REPLACE;
    job = shell_do(&s, job);
    assert_rc(job->rc, SC_LIMIT);
    sc_job_free(job);
    assert_int_equal(found(&s, "1", "train", NULL), SC_FOUND);
    shell_done(&s);
}

static void test_storage_the_previous_record_is_that_of_the_step_else_of_the_command(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", "");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    for (int where = 0; where < 3; where++) { // not committed yet; committed; after a restart
        struct sc_job *job = shell_look_up(&s, "2", "train", false);
        assert_int_equal(job->u.look_up.found[0].found, SC_FOUND_ABSENT);
        assert_non_null(job->u.look_up.found[0].previous);
        assert_slice(job->u.look_up.found[0].previous->step, "train");
        sc_job_free(job);
        job = shell_look_up(&s, "2", "renamed", false); // the same command under another name
        assert_non_null(job->u.look_up.found[0].previous);
        sc_job_free(job);
        job = shell_look_up(&s, "", "train", true); // --from
        assert_int_equal(job->u.look_up.found[0].found, SC_FOUND);
        sc_job_free(job);
        job = shell_look_up(&s, "", "never-run", true);
        assert_int_equal(job->u.look_up.found[0].found, SC_FOUND_ABSENT);
        sc_job_free(job);
        if (where == 0)
            shell_commit(&s);
        else
            shell_restart(&s);
    }
    shell_done(&s);
}

static void test_storage_a_hit_under_another_name_is_remembered_for_that_name(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", "");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    struct sc_job *job = shell_look_up(&s, "1", "fit", false);
    assert_int_equal(job->u.look_up.latest_count, 1);
    shell_note(&s, &job->u.look_up.latest[0]);
    sc_job_free(job);
    job = shell_look_up(&s, "1", "fit", false);
    assert_int_equal(job->u.look_up.latest_count, 0); // known now
    sc_job_free(job);
    shell_done(&s);
}

// ---- uploads

static struct sc_job *put(struct shell *s, uint64_t client, const char *whole, size_t from, size_t len)
{
    struct sc_job *job = sc_job_new(SC_JOB_PUT);
    job->client = client;
    job->u.put = (struct sc_msg_put){.digest = digest_of_text(whole),
                                     .offset = from,
                                     .total_bytes = strlen(whole),
                                     .bytes = sc_arena_copy(&job->arena, sc_slice(whole + from, len))};
    return shell_do(s, job);
}

static enum sc_rc put_rc(struct shell *s, uint64_t client, const char *whole, size_t from, size_t len)
{
    struct sc_job *job = put(s, client, whole, from, len);
    enum sc_rc rc = job->rc;
    sc_job_free(job);
    return rc;
}

static void test_storage_an_upload_in_chunks_becomes_an_object(void **state)
{
    struct shell s;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    shell_make(&s, *state);
    const char *text = "0123456789";
    struct sc_digest digest = digest_of_text(text);
    assert_rc(put_rc(&s, 1, text, 0, 4), SC_OK);
    assert_rc(put_rc(&s, 2, text, 0, 4), SC_OK); // another client's is another upload
    assert_rc(put_rc(&s, 1, text, 8, 2), SC_INVALID);
    assert_rc(put_rc(&s, 1, text, 4, 4), SC_OK);
    assert_rc(put_rc(&s, 1, text, 8, 2), SC_OK);
    assert_ok(sc_objects_get_bytes(s.objects, &digest, 100, &bytes, &err), err);
    assert_slice(sc_buf_slice(&bytes), text);
    assert_rc(put_rc(&s, 3, "whole", 0, 5), SC_OK);
    assert_rc(put_rc(&s, 3, "", 0, 0), SC_OK); // an empty file is one too
    shell_done(&s);
}

static void test_storage_an_upload_with_a_wrong_digest_is_refused_and_leaves_nothing(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_job *job = sc_job_new(SC_JOB_PUT);
    job->u.put =
        (struct sc_msg_put){.digest = digest_of_text("x"), .total_bytes = 1, .bytes = SC_SLICE_LIT("y")};
    job = shell_do(&s, job);
    assert_rc(job->rc, SC_CORRUPT);
    sc_job_free(job);
    job = sc_job_new(SC_JOB_PUT);
    job->u.put = (struct sc_msg_put){
        .digest = digest_of_text("x"), .total_bytes = UINT64_C(5) << 30, .bytes = SC_SLICE_LIT("y")};
    job = shell_do(&s, job);
    assert_rc(job->rc, SC_LIMIT);
    sc_job_free(job);
    assert_rc(put_rc(&s, 1, "abc", 0, 1), SC_OK);
    job = sc_job_new(SC_JOB_PUT_DROP);
    job->client = 1;
    sc_job_free(shell_do(&s, job));
    assert_rc(put_rc(&s, 1, "abc", 1, 1), SC_INVALID); // what was begun went with its client
    shell_done(&s);
}

// ---- close-outs

static struct sc_job *close_out(struct shell *s, const char *run, const char *salt,
                                const struct sc_artifact *output, int64_t ended_at)
{
    struct sc_job *job = sc_job_new(SC_JOB_CLOSE_OUT);
    struct sc_close_out *what = &job->u.close_out.what;
    *what = (struct sc_close_out){.run = sc_slice_str(run),
                                  .namespace_ = SC_SLICE_LIT("default"),
                                  .pipeline = SC_SLICE_LIT("p"),
                                  .template_ = digest_of_text("template"),
                                  .ended_at = ended_at,
                                  .state = SC_END_DONE};
    what->keys.items = SC_NEW(&job->arena, struct sc_digest);
    what->keys.count = 1;
    shell_key(s, salt, &what->keys.items[0]);
    what->publish.items = SC_NEW(&job->arena, struct sc_publish_item);
    what->publish.count = 1;
    what->publish.items[0] = (struct sc_publish_item){.name = SC_SLICE_LIT("model"),
                                                      .step = SC_SLICE_LIT("train"),
                                                      .output = SC_SLICE_LIT("o"),
                                                      .artifact = *output};
    struct sc_event_body started = {.type = SC_EV_RUN_STARTED, .at = 1, .run = sc_slice_str(run), .steps = 1};
    sc_mp_put_array(&job->u.close_out.events, 2);
    sc_encode(&sc_schema_event_body, &started, &job->u.close_out.events);
    job->u.close_out.finished = (struct sc_event_body){
        .type = SC_EV_RUN_FINISHED, .at = ended_at, .run = sc_slice_str(run), .state = SC_END_DONE};
    return job;
}

static char *published_path(struct shell *s, const struct sc_digest *digest, const char *file)
{
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(digest, hex);
    return sc_asprintf("%s/v1/main/out/default/p/train/o/%.16s/%s", s->store, hex, file);
}

static void assert_text_file(const char *path, const char *text)
{
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&bytes, 0);
    assert_ok(sc_file_read(path, 1 << 20, &bytes, &err), err);
    assert_slice(sc_buf_slice(&bytes), text);
}

static void read_latest(struct shell *s, char *ret_text, size_t room)
{
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *path = sc_asprintf("%s/v1/main/out/default/p/latest.json", s->store);
    sc_buf_init(&bytes, 0);
    assert_ok(sc_file_read(path, 1 << 20, &bytes, &err), err);
    snprintf(ret_text, room, "%s", sc_buf_cstr(&bytes));
}

static void test_storage_a_close_out_publishes_plain_files_and_moves_latest_forward_only(void **state)
{
    struct shell s;
    char latest[4096];
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "first", ".txt"), newer = shell_put(&s, "second", ".txt");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    struct sc_job *job = shell_do(&s, close_out(&s, "r1", "1", &output, 100));
    assert_ok(job->rc, job->err);
    assert_int_equal(job->u.close_out.output_count, 1);
    SC_AUTO_FREE char *path = published_path(&s, &output.digest, "o.txt");
    SC_AUTO_FREE char *uri = sc_asprintf("dir:%s", path);
    SC_AUTO_FREE char *manifest = published_path(&s, &output.digest, "manifest.json");
    assert_slice(job->u.close_out.outputs[0].name, "model");
    assert_slice(job->u.close_out.outputs[0].uri, uri);
    assert_text_file(path, "first");
    assert_int_equal(access(manifest, R_OK), 0);
    sc_job_free(job);
    sc_job_free(shell_do(&s, close_out(&s, "r3", "1", &newer, 300)));
    read_latest(&s, latest, sizeof latest);
    assert_contains(latest, "\"r3\"");
    sc_job_free(
        shell_do(&s, close_out(&s, "r2", "1", &output, 200))); // ended before the newest: it came late
    read_latest(&s, latest, sizeof latest);
    assert_contains(latest, "\"r3\"");
    assert_null(strstr(latest, "\"r2\""));
    shell_done(&s);
}

static void test_storage_latest_moves_to_a_run_that_just_ended_though_another_clock_was_ahead(void **state)
{
    struct shell s;
    char latest[4096];
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "first", ".txt"), newer = shell_put(&s, "second", ".txt");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    int64_t now_ms = sc_clock_wall_ms(), hours_ms = 3 * 3600 * 1000;
    sc_job_free(shell_do(&s, close_out(&s, "r-ahead", "1", &output, now_ms + hours_ms)));
    sc_job_free(shell_do(&s, close_out(&s, "r-late", "1", &output, now_ms - hours_ms)));
    read_latest(&s, latest, sizeof latest);
    assert_contains(latest, "\"r-ahead\"");
    sc_job_free(shell_do(&s, close_out(&s, "r-now", "1", &newer, sc_clock_wall_ms())));
    read_latest(&s, latest, sizeof latest);
    assert_contains(latest, "\"r-now\"");
    shell_done(&s);
}

static void test_storage_a_published_file_that_was_cut_is_written_again(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "contents", ".txt");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    sc_job_free(shell_do(&s, close_out(&s, "r1", "1", &output, 100)));
    SC_AUTO_FREE char *path = published_path(&s, &output.digest, "o.txt");
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(truncate(path, 3), 0);
    sc_job_free(shell_do(&s, close_out(&s, "r2", "1", &output, 200)));
    assert_text_file(path, "contents");
    shell_done(&s);
}

static void test_storage_an_output_that_is_gone_fails_the_close_out_but_the_summary_is_kept(void **state)
{
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "contents", ".txt");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    shell_remove_object(&s, &output.digest);
    struct sc_job *job = shell_do(&s, close_out(&s, "r1", "1", &output, 100));
    assert_rc(job->rc, SC_NOT_FOUND);
    assert_contains(job->err.message, "publish o of step train");
    sc_job_free(job);
    SC_AUTO_FREE char *summary = sc_asprintf("%s/v1/main/run/default/r1/summary", s.store);
    assert_int_equal(access(summary, R_OK), 0);
    shell_done(&s);
}

static void test_storage_a_segment_serves_records_whose_own_files_are_gone(void **state)
{
    struct shell s;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest key;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "contents", ".txt");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    sc_job_free(shell_do(&s, close_out(&s, "r1", "1", &output, 100)));
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_slice *records;
    uint32_t count;
    struct sc_digest template_ = digest_of_text("template");
    sc_arena_init(&arena);
    assert_ok(
        sc_records_get_segment(s.handle, sc_slice_str("main"), &template_, &arena, &records, &count, &err),
        err);
    assert_int_equal(count, 1);
    assert_true(sc_index_record_key(records[0], &key));
    struct sc_digest want;
    shell_key(&s, "1", &want);
    assert_true(sc_digest_eq(&key, &want));
    shell_done(&s);
}

// ---- the store refuses

static void test_storage_a_store_that_refuses_for_good_is_told_after_the_patience(void **state)
{
    if (geteuid() == 0)
        skip(); // root is refused nothing
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "contents", ".txt");
    SC_AUTO_FREE char *folder = sc_asprintf("%s/v1/main", s.store);
    assert_int_equal(chmod(folder, 0500), 0);
    struct sc_job *job = shell_record(&s, "1", "train", &output);
    shell_post(&s, job);
    struct sc_job *trouble = shell_next(&s); // told at once
    assert_int_equal(trouble->kind, SC_JOB_TROUBLE);
    assert_rc(trouble->rc, SC_DENIED);
    sc_job_free(trouble);
    assert_ptr_equal(shell_next(&s), job);
    assert_rc(job->rc, SC_DENIED);
    sc_job_free(job);
    assert_int_equal(chmod(folder, 0700), 0);
    shell_done(&s);
}

// Nothing is to be waited for: no trouble is told, the answer comes at once.
static void test_storage_a_store_that_is_read_only_is_not_tried_again(void **state)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        skip();
    struct shell s;
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "contents", ".txt");
    shell_write(&s, shell_record(&s, "1", "train", &output), SC_RECORD_WON);
    enum { READ_ONLY = MS_REMOUNT | MS_BIND | MS_RDONLY };
    assert_int_equal(mount(s.store, s.store, NULL, MS_BIND, NULL), 0);
    assert_int_equal(mount(NULL, s.store, NULL, READ_ONLY, NULL), 0);
    shell_restart(&s);
    struct sc_job *jobs[] = {shell_record(&s, "2", "train", &output), close_out(&s, "r1", "1", &output, 100)};
    for (size_t i = 0; i < SC_COUNT(jobs); i++) {
        shell_post(&s, jobs[i]);
        assert_ptr_equal(shell_next(&s), jobs[i]);
        assert_rc(jobs[i]->rc, SC_DENIED);
        assert_contains(jobs[i]->err.message, "Read-only file system");
        sc_job_free(jobs[i]);
    }
    assert_int_equal(umount2(s.store, MNT_DETACH), 0);
    shell_done(&s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_storage_a_record_is_found_from_memory_and_after_a_restart),
        T(test_storage_many_records_are_read_together_and_each_is_told),
        T(test_storage_a_lost_output_is_told),
        T(test_storage_inline_outputs_become_objects_before_the_record_is_there),
        T(test_storage_a_long_field_is_an_object_for_explain),
        T(test_storage_the_second_of_two_equal_results_is_the_same_and_another_is_lost),
        T(test_storage_a_replaced_record_wins_over_old_ones_elsewhere),
        T(test_storage_a_replacement_comes_after_the_record_that_was_looked_up),
        T(test_storage_a_void_takes_the_record_out_of_store_and_index),
        T(test_storage_a_removal_that_fails_for_one_key_is_not_told_as_done),
        T(test_storage_what_was_found_gone_elsewhere_is_put_again),
        T(test_storage_a_store_that_is_gone_is_an_error_and_no_miss),
        T(test_storage_a_rotten_record_is_corrupt_and_healed_by_the_next),
        T(test_storage_a_record_larger_than_any_is_corrupt),
        T(test_storage_a_record_under_another_key_than_its_fields_make_is_refused),
        T(test_storage_generations_do_not_run_over),
        T(test_storage_the_previous_record_is_that_of_the_step_else_of_the_command),
        T(test_storage_a_hit_under_another_name_is_remembered_for_that_name),
        T(test_storage_an_upload_in_chunks_becomes_an_object),
        T(test_storage_an_upload_with_a_wrong_digest_is_refused_and_leaves_nothing),
        T(test_storage_a_close_out_publishes_plain_files_and_moves_latest_forward_only),
        T(test_storage_latest_moves_to_a_run_that_just_ended_though_another_clock_was_ahead),
        T(test_storage_a_published_file_that_was_cut_is_written_again),
        T(test_storage_an_output_that_is_gone_fails_the_close_out_but_the_summary_is_kept),
        T(test_storage_a_segment_serves_records_whose_own_files_are_gone),
        T(test_storage_a_store_that_refuses_for_good_is_told_after_the_patience),
        T(test_storage_a_store_that_is_read_only_is_not_tried_again),
    };
    return cmocka_run_group_tests_name("storage", tests, NULL, NULL);
}
