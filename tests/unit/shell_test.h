// What the tests of the coordinator's worker threads share: a journal, the store threads and the query thread over a real folder,
// with the test in the core thread's place. Waits on the mailbox only.
#pragma once

#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "base/limits.h"
#include "coordinator/shell/copy.h"
#include "coordinator/shell/journal.h"
#include "coordinator/shell/queries.h"
#include "coordinator/shell/storage.h"
#include "store/names.h"
#include "store/object.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define SHELL_UNUSED_OK __attribute__((unused))

struct shell {
    char *folder, *store, *journal_path, *scratch;
    struct sc_mailbox *answers;
    struct sc_journal *journal;
    struct sc_storage *storage;
    struct sc_queries *queries;
    struct sc_job *got; // taken from the mailbox, not looked at yet
    uint64_t next_req, seq;
    struct sc_digest
        restored; // a plan that is loaded before the threads start, as of an open run; zero: none
    // the test's own handle
    struct sc_store *handle;
    struct sc_objects *objects;
    struct sc_arena arena;
};

static SHELL_UNUSED_OK void shell_open(struct shell *s)
{
    struct sc_error err = SC_ERROR_INIT;
    s->answers = sc_mailbox_new(true);
    assert_ok(sc_journal_open(s->journal_path, &s->journal, &err), err);
    assert_ok(sc_journal_restore(s->journal, NULL, NULL, &s->seq, &err), err);
    sc_journal_start(s->journal, sc_mailbox_fd(s->answers));
    struct sc_storage_config config = {
        .url = s->store,
        .domain = SC_SLICE_LIT("main"),
        .coordinator = SC_SLICE_LIT("0123456789abcdef"),
        .journal_path = s->journal_path,
        .scratch = s->scratch,
        .patience_ms = 1000,
        .answers = s->answers,
    };
    assert_ok(sc_storage_open(&config, &s->storage, &err), err);
    assert_ok(sc_queries_open(&config, s->storage, &s->queries, &err), err);
    if (!sc_digest_is_zero(&s->restored)) {
        struct sc_loaded_plan *plan;
        assert_ok(sc_storage_load_plan(s->storage, &s->restored, &plan, &err), err);
        sc_loaded_plan_free(plan);
    }
    sc_storage_start(s->storage);
    sc_queries_start(s->queries);
    assert_ok(sc_store_open(s->store, &s->handle, &err), err);
    assert_ok(sc_objects_new(&(struct sc_objects_config){.store = s->handle, .domain = SC_SLICE_LIT("main")},
                             &s->objects, &err),
              err);
}

static SHELL_UNUSED_OK void shell_close(struct shell *s)
{
    struct sc_error err = SC_ERROR_INIT;
    sc_objects_free(s->objects);
    sc_store_close(s->handle);
    sc_queries_close(s->queries);
    sc_storage_close(s->storage);
    assert_ok(sc_journal_close(s->journal, &err), err);
    while (s->got) {
        struct sc_job *next = s->got->next;
        sc_job_free(s->got);
        s->got = next;
    }
    sc_mailbox_free(s->answers);
}

static SHELL_UNUSED_OK void shell_make_at(struct shell *s, const char *folder, const char *store)
{
    *s = (struct shell){.folder = sc_strdup(folder),
                        .store = sc_strdup(store),
                        .journal_path = sc_scratch_path(folder, "journal.db"),
                        .scratch = sc_scratch_path(folder, "scratch")};
    sc_arena_init(&s->arena);
    shell_open(s);
}

static SHELL_UNUSED_OK void shell_make(struct shell *s, const char *folder)
{
    SC_AUTO_FREE char *store = sc_scratch_path(folder, "store");
    shell_make_at(s, folder, store);
}

static SHELL_UNUSED_OK void shell_done(struct shell *s)
{
    shell_close(s);
    sc_arena_done(&s->arena);
    free(s->folder);
    free(s->store);
    free(s->journal_path);
    free(s->scratch);
}

// The threads end and begin again: what is only in memory is lost.
static SHELL_UNUSED_OK void shell_restart(struct shell *s)
{
    shell_close(s);
    shell_open(s);
}

// The next answer, which the caller frees.
static SHELL_UNUSED_OK struct sc_job *shell_next(struct shell *s)
{
    struct pollfd fd = {.fd = sc_mailbox_fd(s->answers), .events = POLLIN};
    while (!s->got) {
        s->got = sc_mailbox_take(s->answers, 0);
        if (!s->got)
            assert_true(poll(&fd, 1, -1) >= 0);
    }
    struct sc_job *job = s->got;
    s->got = job->next;
    return job;
}

static SHELL_UNUSED_OK void shell_post(struct shell *s, struct sc_job *job)
{
    job->req = ++s->next_req;
    if (job->kind == SC_JOB_QUERY)
        sc_queries_post(s->queries, job);
    else
        sc_storage_post(s->storage, job);
}

static SHELL_UNUSED_OK struct sc_job *shell_do(struct shell *s, struct sc_job *job)
{
    shell_post(s, job);
    struct sc_job *answer = shell_next(s);
    while (answer->kind == SC_JOB_TROUBLE) { // the store refuses, or takes again: nobody asked
        sc_job_free(answer);
        answer = shell_next(s);
    }
    assert_ptr_equal(answer, job);
    return answer;
}

// Commits what the test added, and waits for it.
static SHELL_UNUSED_OK void shell_commit(struct shell *s)
{
    struct pollfd fd = {.fd = sc_mailbox_fd(s->answers), .events = POLLIN};
    sc_journal_add_fact(s->journal, ++s->seq, sc_slice(NULL, 0), sc_slice_str("x"), false);
    sc_journal_hand(s->journal);
    while (sc_journal_durable(s->journal) < s->seq) {
        struct sc_job **tail = &s->got;
        assert_true(poll(&fd, 1, -1) >= 0);
        while (*tail)
            tail = &(*tail)->next;
        *tail = sc_mailbox_take(s->answers, 0);
    }
    sc_latest_committed(sc_storage_latest(s->storage), sc_journal_latest(s->journal));
}

static SHELL_UNUSED_OK struct sc_digest digest_of_text(const char *text)
{
    return sc_digest_of(sc_slice_str(text));
}

static SHELL_UNUSED_OK struct sc_artifact shell_put(struct shell *s, const char *text, const char *ext)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact artifact = {
        .kind = SC_ARTIFACT_FILE, .ext = sc_slice_str(ext), .bytes = strlen(text), .files = 1};
    assert_ok(sc_objects_put_bytes(s->objects, sc_slice_str(text), false, &artifact.digest, &err), err);
    assert_ok(sc_objects_sync(s->objects, &err), err);
    return artifact;
}

static SHELL_UNUSED_OK void shell_remove(struct shell *s, struct sc_slice name)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_REMOVE, name);
    assert_int_equal(sc_store_wait(s->handle, &op), SC_OK);
    sc_store_op_done(&op);
}

static SHELL_UNUSED_OK void shell_remove_object(struct shell *s, const struct sc_digest *digest)
{
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    sc_name_cas(&name, sc_slice_str("main"), digest);
    shell_remove(s, sc_buf_slice(&name));
}

static SHELL_UNUSED_OK void shell_remove_record(struct shell *s, const struct sc_digest *key)
{
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    sc_name_key(&name, sc_slice_str("main"), key);
    shell_remove(s, sc_buf_slice(&name));
}

// A key's encoding of one field, and the digest that it has.
static SHELL_UNUSED_OK struct sc_slice shell_key(struct shell *s, const char *salt, struct sc_digest *ret_key)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    sc_mp_put_array(&bytes, 2);
    sc_mp_put_cstr(&bytes, "stepcache.key/1");
    sc_mp_put_array(&bytes, 1);
    sc_mp_put_array(&bytes, 2);
    sc_mp_put_cstr(&bytes, "salt");
    sc_mp_put_cstr(&bytes, salt);
    *ret_key = sc_digest_of(sc_buf_slice(&bytes));
    return sc_arena_copy(&s->arena, sc_buf_slice(&bytes));
}

// A WRITE_RECORD job for step `step` of pipeline `p` under a key made of `salt`, with one output.
static SHELL_UNUSED_OK struct sc_job *shell_record(struct shell *s, const char *salt, const char *step,
                                                   const struct sc_artifact *output)
{
    struct sc_job *job = sc_job_new(SC_JOB_WRITE_RECORD);
    struct sc_record record = {
        .v = SC_SLICE_LIT("stepcache.record/1"),
        .domain = SC_SLICE_LIT("main"),
        .generation = 1,
        .ended_at = 1750000000000,
        .wall_ms = 1234,
        .assurance = {SC_SLICE_LIT("none"), SC_SLICE_LIT("on")},
        .namespace_ = SC_SLICE_LIT("default"),
        .pipeline = SC_SLICE_LIT("p"),
        .step = sc_slice_str(step),
        .run = SC_SLICE_LIT("r1"),
        .agent = SC_SLICE_LIT("a1"),
        .attempt = 1,
    };
    struct sc_record_output out = {SC_SLICE_LIT("o"), *output};
    record.outputs.items = &out;
    record.outputs.count = 1;
    job->u.write_record.key_encoding = sc_arena_copy(&job->arena, shell_key(s, salt, &record.key));
    struct sc_key_fields fields = sc_key_fields_for_record(job->u.write_record.key_encoding, &job->arena);
    record.fields.items = (struct sc_record_field *)fields.items.items;
    record.fields.count = fields.items.count;
    sc_copy_struct(&sc_schema_record, &record, &job->arena, &job->u.write_record.record);
    job->u.write_record.command = digest_of_text("command");
    return job;
}

static SHELL_UNUSED_OK struct sc_job *shell_look_up(struct shell *s, const char *salt, const char *step,
                                                    bool by_step)
{
    struct sc_job *job = sc_job_new(SC_JOB_LOOK_UP);
    struct sc_lookup_item *item = SC_NEW(&job->arena, struct sc_lookup_item);
    *item = (struct sc_lookup_item){.by_step = by_step,
                                    .want_previous = true,
                                    .namespace_ = SC_SLICE_LIT("default"),
                                    .pipeline = SC_SLICE_LIT("p"),
                                    .step = sc_arena_copy(&job->arena, sc_slice_str(step)),
                                    .command = digest_of_text("command")};
    if (!by_step)
        shell_key(s, salt, &item->key);
    job->u.look_up.items = item;
    job->u.look_up.count = 1;
    return shell_do(s, job);
}

// As the core thread does with a RECORDED answer.
static SHELL_UNUSED_OK void shell_note(struct shell *s, struct sc_job_latest *latest)
{
    sc_latest_note(sc_storage_latest(s->storage), latest);
    sc_journal_add_latest(s->journal, latest);
}

// A WRITE_VOID job for the keys made of `salts`.
static SHELL_UNUSED_OK struct sc_job *shell_void(struct shell *s, const char *const *salts, uint32_t count,
                                                 int64_t wall_ms)
{
    struct sc_job *job = sc_job_new(SC_JOB_WRITE_VOID);
    job->u.write_void.keys = SC_NEW_ARRAY(&job->arena, count, struct sc_digest);
    job->u.write_void.key_count = count;
    for (uint32_t i = 0; i < count; i++)
        shell_key(s, salts[i], &job->u.write_void.keys[i]);
    job->u.write_void.reason = (struct sc_slice)SC_SLICE_LIT("test");
    job->u.write_void.wall_ms = wall_ms;
    return job;
}

// Where a key's own record lies.
static SHELL_UNUSED_OK char *shell_record_path(struct shell *s, const char *salt)
{
    SC_AUTO_BUF struct sc_buf name;
    struct sc_digest key;
    sc_buf_init(&name, 0);
    shell_key(s, salt, &key);
    sc_name_key(&name, sc_slice_str("main"), &key);
    return sc_scratch_path(s->store, sc_buf_cstr(&name));
}

static SHELL_UNUSED_OK void shell_write(struct shell *s, struct sc_job *job, enum sc_record_put want)
{
    job = shell_do(s, job);
    assert_ok(job->rc, job->err);
    assert_int_equal(job->u.write_record.put, want);
    shell_note(s, &job->u.write_record.latest);
    sc_job_free(job);
}
