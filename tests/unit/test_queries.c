// The query thread over a real journal and a real folder: naming runs, lists, closed runs' events and logs, explain, cache.
#include "tests/unit/shell_test.h"

#include <jansson.h>
#include <sys/stat.h>

struct answered {
    enum sc_rc rc;
    struct sc_error err;
    json_t *rows;
    struct sc_event_body events[64]; // in the shell's arena
    uint32_t event_count;
    bool done, open;
    enum sc_end_state state;
    uint32_t voids;
    char run[64];
};

static void take_message(struct shell *s, struct answered *a, const struct sc_message *message)
{
    if (message->type == SC_MESSAGE_PAGE)
        for (uint32_t i = 0; i < message->body.page.rows.count; i++) {
            struct sc_slice row = message->body.page.rows.items[i];
            json_array_append_new(a->rows, json_loadb((const char *)row.ptr, row.len, 0, NULL));
        }
    if (message->type == SC_MESSAGE_EVENT)
        for (uint32_t i = 0; i < message->body.event.events.count; i++)
            sc_copy_struct(&sc_schema_event_body, &message->body.event.events.items[i], &s->arena,
                           &a->events[a->event_count++]);
    if (message->type == SC_MESSAGE_DONE) {
        a->done = true;
        a->state = message->body.done.state;
    }
}

static void ask_job(struct shell *s, struct sc_job *job, struct answered *a)
{
    *a = (struct answered){.rows = json_array()};
    sc_queries_post(s->queries, job);
    for (;;) {
        struct sc_job *answer = shell_next(s);
        if (answer->kind == SC_JOB_ANSWER) {
            assert_int_equal(answer->u.answer.message.id, 77);
            take_message(s, a, &answer->u.answer.message);
            sc_job_free(answer);
            continue;
        }
        assert_ptr_equal(answer, job);
        a->rc = job->rc;
        a->err = job->err;
        a->open = job->u.query.open;
        a->voids = job->u.query.void_count;
        snprintf(a->run, sizeof a->run, SC_SLICE_FMT, SC_SLICE_ARG(job->u.query.run));
        sc_job_free(job);
        return;
    }
}

static struct sc_job *query(const struct sc_message *message)
{
    struct sc_job *job = sc_job_new(SC_JOB_QUERY);
    job->client = 1;
    job->client_req = 77;
    job->u.query.message = *message;
    job->u.query.resolve = true;
    return job;
}

static void ask(struct shell *s, const struct sc_message *message, struct answered *a)
{
    ask_job(s, query(message), a);
}

static void answered_done(struct answered *a)
{
    json_decref(a->rows);
}

static const char *text(const struct answered *a, size_t row, const char *name)
{
    const char *value = json_string_value(json_object_get(json_array_get(a->rows, row), name));
    return value ? value : "";
}

// The first row of this kind.
static json_t *row_of(const struct answered *a, const char *kind)
{
    for (size_t i = 0; i < json_array_size(a->rows); i++)
        if (strcmp(text(a, i, "row"), kind) == 0)
            return json_array_get(a->rows, i);
    fail_msg("there is no row of kind %s", kind);
    return NULL;
}

static void add_run(struct shell *s, const char *run, enum sc_end_state state, int64_t started_at)
{
    struct sc_job_run row = {.run = sc_slice_str(run),
                             .namespace_ = SC_SLICE_LIT("default"),
                             .pipeline = SC_SLICE_LIT("p"),
                             .user = SC_SLICE_LIT("me"),
                             .state = state,
                             .started_at = started_at,
                             .ended_at = state == SC_END_NONE ? 0 : started_at + 500,
                             .steps = 2,
                             .hits = 1,
                             .misses = 1,
                             .saved_ms = 1234};
    sc_journal_add_run(s->journal, &row);
}

// A run of one step that was done under a key made of `salt`: changed from "old" to `salt`.
static void close_run(struct shell *s, const char *run, const char *salt, const struct sc_event_body *end)
{
    struct sc_job *job = sc_job_new(SC_JOB_CLOSE_OUT);
    job->u.close_out.what = (struct sc_close_out){.run = sc_slice_str(run),
                                                  .namespace_ = SC_SLICE_LIT("default"),
                                                  .pipeline = SC_SLICE_LIT("p"),
                                                  .ended_at = 9};
    struct sc_changed_field field = {SC_SLICE_LIT("salt"), SC_SLICE_LIT("old"), sc_slice_str(salt)};
    struct sc_event_body verdict = {.type = SC_EV_STEP_VERDICT,
                                    .at = 2,
                                    .run = sc_slice_str(run),
                                    .step = SC_SLICE_LIT("train"),
                                    .verdict = SC_VERDICT_MISS,
                                    .reason = SC_REASON_CHANGED};
    shell_key(s, salt, &verdict.key);
    verdict.fields.items = &field;
    verdict.fields.count = 1;
    struct sc_event_body started = {.type = SC_EV_RUN_STARTED, .at = 1, .run = sc_slice_str(run), .steps = 1};
    sc_mp_put_array(&job->u.close_out.events, 4);
    sc_encode(&sc_schema_event_body, &started, &job->u.close_out.events);
    sc_encode(&sc_schema_event_body, &verdict, &job->u.close_out.events);
    sc_encode(&sc_schema_event_body, end, &job->u.close_out.events);
    job->u.close_out.finished = (struct sc_event_body){
        .type = SC_EV_RUN_FINISHED, .at = 9, .run = sc_slice_str(run), .state = SC_END_DONE};
    job = shell_do(s, job);
    assert_ok(job->rc, job->err);
    sc_job_free(job);
    add_run(s, run, SC_END_DONE, 5000);
    shell_commit(s);
}

static struct sc_event_body done_event(const char *run)
{
    return (struct sc_event_body){.type = SC_EV_STEP_FINISHED,
                                  .at = 3,
                                  .run = sc_slice_str(run),
                                  .step = SC_SLICE_LIT("train"),
                                  .state = SC_END_DONE,
                                  .attempt = 1,
                                  .wall_ms = 1234};
}

static void test_queries_list_tells_the_newest_run_first(void **state)
{
    struct shell s;
    struct answered a;
    shell_make(&s, *state);
    add_run(&s, "r1", SC_END_DONE, 1000);
    add_run(&s, "r2", SC_END_NONE, 2000);
    shell_commit(&s);
    struct sc_message list = {.type = SC_MESSAGE_LIST,
                              .body.list = {.what = SC_SLICE_LIT("runs"), .limit = 10}};
    ask(&s, &list, &a);
    assert_ok(a.rc, a.err);
    assert_int_equal(json_array_size(a.rows), 2);
    assert_string_equal(text(&a, 0, "run"), "r2");
    assert_string_equal(text(&a, 0, "state"), "open");
    assert_string_equal(text(&a, 1, "state"), "done");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(a.rows, 1), "wall_ms")), 500);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(a.rows, 1), "saved_ms")), 1234);
    answered_done(&a);
    list.body.list.pipeline = (struct sc_slice)SC_SLICE_LIT("another");
    ask(&s, &list, &a);
    assert_int_equal(json_array_size(a.rows), 0);
    answered_done(&a);
    shell_done(&s);
}

static void show(struct shell *s, const char *run, struct answered *a)
{
    struct sc_message message = {.type = SC_MESSAGE_SHOW, .body.show.run = sc_slice_str(run)};
    ask(s, &message, a);
}

static void test_queries_a_run_is_named_by_prefix_or_latest(void **state)
{
    struct shell s;
    struct answered a;
    shell_make(&s, *state);
    show(&s, "latest", &a);
    assert_rc(a.rc, SC_NOT_FOUND);
    answered_done(&a);
    add_run(&s, "20260101-aaaa", SC_END_NONE, 1000);
    add_run(&s, "20260101-aabb", SC_END_NONE, 2000);
    add_run(&s, "20260101-aa", SC_END_NONE, 500);
    shell_commit(&s);
    static const struct {
        const char *wanted, *run;
        enum sc_rc rc;
    } cases[] = {
        {"latest", "20260101-aabb", SC_OK},    {"20260101-aaa", "20260101-aaaa", SC_OK},
        {"20260101-aa", "20260101-aa", SC_OK}, {"2026", "", SC_AMBIGUOUS},
        {"20260101-aabd", "", SC_NOT_FOUND},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        show(&s, cases[i].wanted, &a);
        assert_rc(a.rc, cases[i].rc);
        if (a.rc == SC_OK) {
            assert_true(a.open); // the core goes on with it
            assert_string_equal(a.run, cases[i].run);
        } else if (a.rc == SC_AMBIGUOUS) {
            assert_contains(a.err.message, "20260101-aabb");
        } else {
            assert_contains(a.err.hint, "20260101-aabb");
        }
        answered_done(&a);
    }
    shell_done(&s);
}

static void test_queries_a_closed_run_is_shown_from_its_summary(void **state)
{
    struct shell s;
    struct answered a;
    struct sc_event_body end = done_event("r1");
    shell_make(&s, *state);
    close_run(&s, "r1", "new", &end);
    show(&s, "r1", &a);
    assert_ok(a.rc, a.err);
    assert_int_equal(a.event_count, 4);
    assert_int_equal(a.events[0].type, SC_EV_RUN_STARTED);
    assert_int_equal(a.events[3].type, SC_EV_RUN_FINISHED);
    assert_true(a.done);
    assert_int_equal(a.state, SC_END_DONE);
    answered_done(&a);
    shell_done(&s);
}

static void logs(struct shell *s, const char *run, const char *step, struct answered *a)
{
    struct sc_message message = {.type = SC_MESSAGE_LOGS,
                                 .body.logs = {.run = sc_slice_str(run), .step = sc_slice_str(step)}};
    ask(s, &message, a);
}

static void test_queries_a_results_log_is_that_of_its_record(void **state)
{
    struct shell s;
    struct answered a;
    struct sc_event_body end = done_event("r1");
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", ".txt"),
                       log = shell_put(&s, "a long log, as an object\n", "");
    struct sc_job *job = shell_record(&s, "new", "train", &output);
    job->u.write_record.record.logs.stdout_ = (struct sc_artifact){.has_inline = true,
                                                                   .inline_bytes = SC_SLICE_LIT("hello\n"),
                                                                   .digest = digest_of_text("hello\n"),
                                                                   .bytes = 6,
                                                                   .files = 1};
    job->u.write_record.record.logs.stderr_ = log;
    shell_write(&s, job, SC_RECORD_WON);
    close_run(&s, "r1", "new", &end);
    logs(&s, "r1", "train", &a);
    assert_ok(a.rc, a.err);
    assert_int_equal(a.event_count, 2);
    assert_slice(a.events[0].text, "hello\n");
    assert_int_equal(a.events[0].stream, SC_STREAM_STDOUT);
    assert_slice(a.events[1].text, "a long log, as an object\n");
    assert_int_equal(a.events[1].stream, SC_STREAM_STDERR);
    assert_true(a.done);
    answered_done(&a);
    shell_done(&s);
}

static void test_queries_a_failures_log_is_that_of_its_attempt(void **state)
{
    struct shell s;
    struct answered a;
    struct sc_event_body end = done_event("r1");
    end.state = SC_END_FAILED;
    end.outcome = SC_OUTCOME_EXIT;
    end.exit_code = 3;
    end.attempt = 2;
    end.text = (struct sc_slice)SC_SLICE_LIT("exit status 3");
    shell_make(&s, *state);
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    sc_name_run(&name, sc_slice_str("main"), sc_slice_str("default"), sc_slice_str("r1"),
                sc_slice_str("train/2/stderr"));
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, sc_buf_slice(&name));
    op.body = (struct sc_slice)SC_SLICE_LIT("it broke\n");
    assert_int_equal(sc_store_wait(s.handle, &op), SC_OK);
    sc_store_op_done(&op);
    close_run(&s, "r1", "new", &end);
    logs(&s, "r1", "train", &a);
    assert_ok(a.rc, a.err);
    assert_int_equal(a.event_count, 1);
    assert_slice(a.events[0].text, "it broke\n");
    assert_int_equal(a.events[0].attempt, 2);
    answered_done(&a);
    struct sc_message message = {.type = SC_MESSAGE_EXPLAIN,
                                 .body.explain = {.run = SC_SLICE_LIT("r1"), .step = SC_SLICE_LIT("train")}};
    ask(&s, &message, &a);
    assert_ok(a.rc, a.err);
    assert_int_equal(json_integer_value(json_object_get(row_of(&a, "failure"), "exit")), 3);
    assert_string_equal(json_string_value(json_object_get(row_of(&a, "log"), "tail")), "it broke\n");
    answered_done(&a);
    shell_done(&s);
}

static void test_queries_explain_tells_what_changed_and_who_made_it(void **state)
{
    struct shell s;
    struct answered a;
    struct sc_event_body end = done_event("r1");
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", ".txt");
    shell_write(&s, shell_record(&s, "new", "train", &output), SC_RECORD_WON);
    close_run(&s, "r1", "new", &end);
    struct sc_message message = {.type = SC_MESSAGE_EXPLAIN,
                                 .body.explain = {.run = SC_SLICE_LIT("r1"), .step = SC_SLICE_LIT("train")}};
    ask(&s, &message, &a);
    assert_ok(a.rc, a.err);
    assert_string_equal(text(&a, 0, "row"), "step");
    assert_string_equal(text(&a, 0, "verdict"), "miss");
    assert_string_equal(text(&a, 0, "reason"), "changed");
    json_t *changed = row_of(&a, "changed");
    assert_string_equal(json_string_value(json_object_get(changed, "label")), "salt");
    assert_string_equal(json_string_value(json_object_get(changed, "old")), "old");
    assert_string_equal(json_string_value(json_object_get(changed, "new")), "new");
    assert_string_equal(json_string_value(json_object_get(row_of(&a, "made_by"), "agent")), "a1");
    assert_string_equal(json_string_value(json_object_get(row_of(&a, "field"), "value")), "new");
    assert_string_equal(json_string_value(json_object_get(row_of(&a, "output"), "name")), "o");
    answered_done(&a);
    shell_done(&s);
}

static void cache(struct shell *s, const char *op, const char *arg, struct answered *a)
{
    struct sc_slice args[1] = {sc_slice_str(arg)};
    struct sc_message message = {.type = SC_MESSAGE_CACHE, .body.cache.op = sc_slice_str(op)};
    struct sc_job *job = query(&message);
    if (arg) {
        job->u.query.message.body.cache.args.items = SC_NEW(&job->arena, struct sc_slice);
        job->u.query.message.body.cache.args.items[0] = args[0];
        job->u.query.message.body.cache.args.count = 1;
    }
    ask_job(s, job, a);
}

static void test_queries_cache_lists_shows_and_finds_what_to_remove(void **state)
{
    struct shell s;
    struct answered a;
    struct sc_digest key;
    char hex[SC_DIGEST_HEX_BYTES];
    shell_make(&s, *state);
    struct sc_artifact output = shell_put(&s, "result", ".txt");
    shell_write(&s, shell_record(&s, "1", "train[lr=1]", &output), SC_RECORD_WON);
    shell_write(&s, shell_record(&s, "2", "train[lr=2]", &output), SC_RECORD_WON);
    shell_write(&s, shell_record(&s, "3", "other", &output), SC_RECORD_WON);
    shell_key(&s, "3", &key);
    sc_digest_hex(&key, hex);
    static const struct {
        const char *op, *arg;
        uint32_t rows, voids;
    } cases[] = {{"ls", NULL, 3, 0},    {"ls", "train", 2, 0}, {"show", "p/train", 2, 0},
                 {"rm", "train", 0, 2}, {"rm", "p", 0, 3},     {"rm", "train[lr=1]", 0, 1}};
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        cache(&s, cases[i].op, cases[i].arg, &a);
        assert_ok(a.rc, a.err);
        assert_int_equal(json_array_size(a.rows), cases[i].rows);
        assert_int_equal(a.voids, cases[i].voids);
        answered_done(&a);
    }
    hex[10] = 0; // a key by its beginning
    cache(&s, "show", hex, &a);
    assert_int_equal(json_array_size(a.rows), 1);
    assert_string_equal(text(&a, 0, "step"), "other");
    answered_done(&a);
    cache(&s, "rm", "nothing", &a);
    assert_rc(a.rc, SC_NOT_FOUND);
    answered_done(&a);
    shell_done(&s);
}

static void test_queries_cache_verify_finds_the_flipped_byte_and_the_missing_object(void **state)
{
    struct shell s;
    struct answered a;
    char hex[SC_DIGEST_HEX_BYTES];
    shell_make(&s, *state);
    struct sc_artifact good = shell_put(&s, "good", ""), flipped = shell_put(&s, "flipped", ""),
                       gone = shell_put(&s, "gone", "");
    shell_write(&s, shell_record(&s, "1", "a", &good), SC_RECORD_WON);
    shell_write(&s, shell_record(&s, "2", "b", &flipped), SC_RECORD_WON);
    shell_write(&s, shell_record(&s, "3", "c", &gone), SC_RECORD_WON);
    cache(&s, "verify", NULL, &a);
    assert_int_equal(json_array_size(a.rows), 1);
    assert_string_equal(text(&a, 0, "state"), "ok");
    answered_done(&a);
    sc_digest_hex(&flipped.digest, hex);
    SC_AUTO_FREE char *path = sc_asprintf("%s/v1/main/cas/%.2s/%s", s.store, hex, hex);
    assert_int_equal(chmod(path, 0644), 0);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fputc('F', file);
    fclose(file);
    shell_remove_object(&s, &gone.digest);
    cache(&s, "verify", NULL, &a);
    assert_int_equal(json_array_size(a.rows),
                     4); // corrupt, then missing twice (it was removed, so that it heals), and the sum
    assert_string_equal(text(&a, 0, "state"), "corrupt");
    assert_contains(text(&a, 0, "object"), hex);
    assert_string_equal(text(&a, 1, "state"), "missing");
    assert_int_equal(access(path, F_OK), -1);
    answered_done(&a);
    cache(&s, "stats", NULL, &a);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(a.rows, 0), "records")), 3);
    answered_done(&a);
    shell_done(&s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
    const struct CMUnitTest tests[] = {
        T(test_queries_list_tells_the_newest_run_first),
        T(test_queries_a_run_is_named_by_prefix_or_latest),
        T(test_queries_a_closed_run_is_shown_from_its_summary),
        T(test_queries_a_results_log_is_that_of_its_record),
        T(test_queries_a_failures_log_is_that_of_its_attempt),
        T(test_queries_explain_tells_what_changed_and_who_made_it),
        T(test_queries_cache_lists_shows_and_finds_what_to_remove),
        T(test_queries_cache_verify_finds_the_flipped_byte_and_the_missing_object),
    };
    return cmocka_run_group_tests_name("queries", tests, NULL, NULL);
}
