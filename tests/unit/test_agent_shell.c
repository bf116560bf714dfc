#include "tests/lib/agent_fixture.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "base/limits.h"
#include "base/os/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
    struct agent_fixture *f = sc_calloc(1, sizeof *f);
    *state = f;
    if (agent_fixture_make(f))
        agent_fixture_start(f);
    return 0;
}

static int teardown(void **state)
{
    struct agent_fixture *f = *state;
    agent_fixture_done(f);
    free(f);
    return 0;
}

#define FIXTURE(f)                                                                                           \
    struct agent_fixture *f = *state;                                                                        \
    if (!f->running)                                                                                         \
    skip()

static void test_step_with_a_small_output_is_reported_ok_with_its_bytes(void **state)
{
    FIXTURE(f);
    const struct sc_result *r =
        agent_fixture_run(f, agent_fixture_script(f, "echo hi > out/text.txt", "text=text.txt", NULL));
    assert_string_equal(sc_outcome_name(r->outcome), "ok");
    const struct sc_artifact *text = agent_fixture_output(r, "text");
    assert_true(text->has_inline);
    assert_slice(text->inline_bytes, "hi\n");
    assert_slice(text->ext, ".txt");
    assert_int_equal(text->bytes, 3);
    assert_true(agent_fixture_is_clean(f));
}

static void test_non_zero_exit_is_named_with_the_log(void **state)
{
    FIXTURE(f);
    const struct sc_result *r =
        agent_fixture_run(f, agent_fixture_script(f, "echo on; echo oops >&2; exit 3", NULL));
    assert_string_equal(sc_outcome_name(r->outcome), "exit");
    assert_int_equal(r->exit_code, 3);
    assert_slice(r->message, "step train exited with 3");
    assert_slice(r->stdout_.inline_bytes, "on\n");
    assert_slice(r->stderr_.inline_bytes, "oops\n");
    assert_string_equal(agent_fixture_named(f, "v1/main/run/default/r1/train/1/stderr"), "oops\n");
}

static const struct sc_result *run(struct agent_fixture *f, const char *script)
{
    return agent_fixture_run(f, agent_fixture_script(f, script, NULL));
}

#define assert_outcome(result, name)    assert_string_equal(sc_outcome_name((result)->outcome), name)
#define assert_message(f, result, part) assert_contains(sc_arena_cstr(&(f)->arena, (result)->message), part)

// ---- how steps end

static void test_signal_is_named(void **state)
{
    FIXTURE(f);
    const struct sc_result *r = run(f, "kill -SEGV $$");
    assert_outcome(r, "signal");
    assert_int_equal(r->signal, 11);
    assert_message(f, r, "step train was killed by signal 11 (SIGSEGV)");
}

static void test_command_that_is_not_there_is_named(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a = agent_fixture_script(f, "python-of-old", NULL);
    a->script = false;
    const struct sc_result *r = agent_fixture_run(f, a);
    assert_outcome(r, "start");
    assert_message(f, r, "python-of-old");
}

static void test_timeout_ends_a_step_that_ignores_term(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a =
        agent_fixture_script(f, "trap 'echo term' TERM; echo up; while :; do read x < fifo || :; done", NULL);
    a->command.items[0].items.items[0].text =
        sc_slice_str("mkfifo fifo; exec 3<> fifo; trap 'echo term' TERM; while :; do read x <&3 || :; done");
    a->timeout_ms = 50;
    const struct sc_result *r = agent_fixture_run(f, a);
    assert_outcome(r, "timeout");
    assert_message(f, r, "step train ran longer than its timeout of 0.05 s");
    assert_true(agent_fixture_is_clean(f));
}

static void revoke_attempt(struct agent_fixture *f, uint64_t attempt)
{
    struct sc_message message = {.type = SC_MESSAGE_REVOKE, .body.revoke.attempts = {&attempt, 1}};
    agent_fixture_send(f, &message);
}

static void test_revoked_step_ends_and_its_log_is_kept(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a =
        agent_fixture_script(f, "echo before; mkfifo fifo; exec 3<> fifo; read x <&3", NULL);
    a->listened = true;
    agent_fixture_assign(f, a);
    agent_fixture_await_log(f, SC_STREAM_STDOUT, "before\n");
    revoke_attempt(f, a->attempt);
    assert_int_equal(agent_fixture_await(f, SC_MESSAGE_ENDED)->body.ended.attempt, a->attempt);
    assert_string_equal(agent_fixture_named(f, "v1/main/run/default/r1/train/1/stdout"), "before\n");
    assert_true(agent_fixture_is_clean(f));
}

static void test_step_that_waits_for_a_place_can_be_revoked_and_else_follows(void **state)
{
    FIXTURE(f);
    struct sc_assignment *held =
        agent_fixture_script(f, "echo up; mkfifo fifo; exec 3<> fifo; read x <&3", NULL);
    held->listened = true;
    held->timeout_ms = 300;
    held->cpus_milli = 2000;
    agent_fixture_assign(f, held);
    agent_fixture_await_log(f, SC_STREAM_STDOUT, "up\n");
    struct sc_assignment *revoked = agent_fixture_script(f, "true", NULL);
    revoked->cpus_milli = 2000;
    agent_fixture_assign(f, revoked);
    struct sc_assignment *lost =
        agent_fixture_script(f, "true", NULL); // when it is reported, the other one waits
    agent_fixture_input(
        f, lost, "raw",
        (struct sc_artifact){
            .kind = SC_ARTIFACT_FILE, .bytes = 9, .files = 1, .digest = sc_digest_of(sc_slice_str("gone"))});
    assert_outcome(agent_fixture_run(f, lost), "input-lost");
    revoke_attempt(f, revoked->attempt);
    assert_int_equal(agent_fixture_await(f, SC_MESSAGE_ENDED)->body.ended.attempt, revoked->attempt);
    struct sc_assignment *next = agent_fixture_script(f, "echo > out/o", "o=o", NULL);
    next->cpus_milli = 2000;
    agent_fixture_assign(f, next);
    int64_t ended_at = 0, started_at = 0;
    for (int i = 0; i < 2; i++) {
        const struct sc_msg_reported *r = &agent_fixture_await(f, SC_MESSAGE_REPORTED)->body.reported;
        assert_outcome(&r->result, r->attempt == held->attempt ? "timeout" : "ok");
        *(r->attempt == held->attempt ? &ended_at : &started_at) =
            r->attempt == held->attempt ? r->result.ended_at : r->result.started_at;
    }
    assert_true(ended_at > 0 && started_at >= ended_at);
    assert_true(agent_fixture_is_clean(f));
}

// ---- outputs

static void test_missing_output_is_named_with_what_is_there(void **state)
{
    FIXTURE(f);
    const struct sc_result *r =
        agent_fixture_run(f, agent_fixture_script(f, "echo > out/modle.bin", "model=model.bin", NULL));
    assert_outcome(r, "output-missing");
    assert_message(f, r, "output model is missing: nothing is at out/model.bin; out/ holds: modle.bin");
    assert_int_equal(r->outputs.count, 0);
}

static void test_outputs_that_are_no_files_are_refused(void **state)
{
    FIXTURE(f);
    static const struct {
        const char *script, *outcome, *part;
    } cases[] = {
        {"mkfifo out/o", "output-not-allowed", "it is a FIFO, but declared as a file"},
        {"mkdir out/o", "output-not-allowed", "it is a folder, but declared as a file"},
        {"ln -s /etc/passwd out/o", "output-not-allowed", "it is a link that leaves out/"},
        {"ln -s ../code out/o; echo > code", "output-not-allowed", "it is a link that leaves out/"},
        {"ln -s o out/o", "output-not-allowed", "its links form a loop"},
        {"ln -s nowhere out/o", "output-missing", "nothing is at out/o"},
        {"rm -r out", "output-missing", "its folder out/ is gone"},
        {"rm -r out; ln -s /etc out", "output-missing", "its folder out/ is gone"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        const struct sc_result *r =
            agent_fixture_run(f, agent_fixture_script(f, cases[i].script, "o=o", NULL));
        assert_outcome(r, cases[i].outcome);
        assert_message(f, r, cases[i].part);
        assert_true(agent_fixture_is_clean(f));
    }
}

static void test_folder_with_what_is_not_allowed_is_refused(void **state)
{
    FIXTURE(f);
    const struct sc_result *r =
        agent_fixture_run(f, agent_fixture_script(f, "mkfifo out/d/pipe", "d=d/", NULL));
    assert_outcome(r, "output-not-allowed");
    assert_message(f, r, "pipe");
    r = agent_fixture_run(f, agent_fixture_script(f, "ln -s ../../../x out/d/link", "d=d/", NULL));
    assert_outcome(r, "output-not-allowed");
    assert_message(f, r, "link");
}

static void test_link_that_stays_inside_is_followed(void **state)
{
    FIXTURE(f);
    const struct sc_result *r = agent_fixture_run(
        f, agent_fixture_script(
               f, "head -c 5000 /dev/zero | tr '\\0' x > out/v2; ln -s v2 out/latest; ln out/v2 out/hard",
               "latest=latest", "v2=v2", "hard=hard", NULL));
    assert_outcome(r, "ok");
    const struct sc_artifact *latest = agent_fixture_output(r, "latest"), *v2 = agent_fixture_output(r, "v2");
    assert_int_equal(latest->bytes, 5000);
    assert_true(sc_digest_eq(&latest->digest, &v2->digest));
    assert_int_equal(strlen(agent_fixture_get(f, &v2->digest)), 5000);
}

static void test_large_output_is_in_the_store(void **state)
{
    FIXTURE(f);
    const struct sc_result *r = agent_fixture_run(
        f, agent_fixture_script(
               f, "head -c 100000 /dev/zero | tr '\\0' x > out/a/b.tar.gz; chmod +x out/a/b.tar.gz",
               "big=a/b.tar.gz", NULL));
    assert_outcome(r, "ok");
    const struct sc_artifact *big = agent_fixture_output(r, "big");
    assert_false(big->has_inline);
    assert_true(big->exec);
    assert_slice(big->ext, ".tar.gz");
    assert_int_equal(strlen(agent_fixture_get(f, &big->digest)), 100000);
    assert_true(r->bytes_up >= 100000);
}

static void test_folder_output_is_in_the_store(void **state)
{
    FIXTURE(f);
    const struct sc_result *r = agent_fixture_run(
        f, agent_fixture_script(
               f, "mkdir out/d/sub; echo one > out/d/one; echo two > out/d/sub/two; ln -s sub/two out/d/l",
               "d=d/", NULL));
    assert_outcome(r, "ok");
    const struct sc_artifact *d = agent_fixture_output(r, "d");
    assert_int_equal(d->kind, SC_ARTIFACT_DIR);
    assert_int_equal(d->files, 2);
    struct sc_tree tree;
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_objects_get_tree(f->objects, &d->digest, &f->arena, &tree, &err), err);
    assert_int_equal(tree.nodes.items[0].entries.count, 3);
}

static void test_output_inside_another_is_stored_with_it(void **state)
{
    FIXTURE(f);
    const struct sc_result *r =
        agent_fixture_run(f, agent_fixture_script(f, "head -c 5000 /dev/zero > out/d/zeros; echo x > out/d/x",
                                                  "d=d/", "zeros=d/zeros", NULL));
    assert_outcome(r, "ok");
    struct sc_tree tree;
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_objects_get_tree(f->objects, &agent_fixture_output(r, "d")->digest, &f->arena, &tree, &err),
              err);
    const struct sc_artifact *artifacts[] = {agent_fixture_output(r, "d"), agent_fixture_output(r, "zeros")};
    enum sc_rc rets[2];
    sc_objects_presence(f->objects, artifacts, 2, true, rets);
    assert_rc(rets[0], SC_OK);
    assert_rc(rets[1], SC_OK);
}

static void test_process_that_outlives_its_step_cannot_touch_outputs(void **state)
{
    FIXTURE(f);
    const struct sc_result *r = agent_fixture_run(
        f, agent_fixture_script(f, "setsid sh -c 'while :; do echo late >> out/o; done' & echo done > out/o",
                                "o=o", NULL));
    assert_outcome(r, "ok");
    assert_true(agent_fixture_is_clean(f));
}

static void test_values_are_read_from_json(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a = agent_fixture_script(
        f, "echo '{\"rmse\": 0.1, \"n\": [1, {\"k\": \"v\"}]}' > out/m.json", "m=m.json", NULL);
    struct sc_assigned_value values[] = {{sc_slice_str("all"), sc_slice_str(""), 0},
                                         {sc_slice_str("rmse"), sc_slice_str("/rmse"), 0}};
    a->values.items = values;
    a->values.count = 2;
    const struct sc_result *r = agent_fixture_run(f, a);
    assert_outcome(r, "ok");
    assert_slice(r->values.items[0].text, "{\"rmse\":0.1,\"n\":[1,{\"k\":\"v\"}]}");
    assert_slice(r->values.items[1].text, "0.1");
    values[1].pointer = sc_slice_str("/mae");
    a->attempt++;
    r = agent_fixture_run(f, a);
    assert_outcome(r, "value");
    assert_message(f, r, "value rmse could not be read from out/m.json#/mae: nothing is at /mae");
}

// ---- what a step sees

static void test_folder_that_a_step_changed_does_not_serve_another(void **state)
{
    FIXTURE(f);
    static const char *const changes[] = {
        "true",
        "echo > left",
        "echo > out/left",
        "mkdir -p out/a/b",
        "chmod 700 .",
        "chmod 1777 out",
        "mkdir in",
        "rmdir out",
        "python3 -c 'import os; os.setxattr(\".\", b\"user.k\", b\"v\")' || :",
        "chattr +A out || :"};
    for (size_t i = 0; i < SC_COUNT(changes); i++) {
        assert_outcome(run(f, changes[i]), "ok");
        assert_true(agent_fixture_is_clean(f));
        const struct sc_result *r = agent_fixture_run(
            f, agent_fixture_script(
                   f,
                   "ls -A . out > out/o; stat -c '%a %u' . out >> out/o; lsattr -d out | cut -c1-22 "
                   ">> out/o || :; getfattr -d . >> out/o 2>&1 || :",
                   "o=o", NULL));
        assert_outcome(r, "ok");
        assert_memory_equal(agent_fixture_output(r, "o")->inline_bytes.ptr, ".:\nout\n\nout:\no\n755 ", 19);
        assert_null(strstr(sc_arena_cstr(&f->arena, agent_fixture_output(r, "o")->inline_bytes), "user.k"));
    }
}

static void test_environment_is_what_is_declared_and_the_minimum(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a = agent_fixture_script(f,
                                                   "env | grep -v -e '^_=' -e '^PWD=' -e '^SHLVL=' -e OLDPWD "
                                                   "| sort > out/env; pwd >> out/env; umask >> out/env",
                                                   "env=env", NULL);
    struct sc_piece piece = {SC_PIECE_TEXT, sc_slice_str("two words")};
    struct sc_assigned_env env = {sc_slice_str("GREETING"), {{&piece, 1}}};
    a->env.items = &env;
    a->env.count = 1;
    const struct sc_result *r = agent_fixture_run(f, a);
    assert_outcome(r, "ok");
    assert_slice(agent_fixture_output(r, "env")->inline_bytes,
                 "GREETING=two "
                 "words\nHOME=/work\nLANG=C.UTF-8\nPATH=/usr/local/bin:/usr/bin:/bin\nTZ=UTC\n/work\n0022\n");
}

static void test_script_takes_any_text_as_a_value(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a = agent_fixture_script(f, "", "o=a b/o.txt", NULL);
    const char *text = "quote ' and \" and $(id) and `id` and\nnewline \xc3\xa9 --x";
    struct sc_piece pieces[] = {{SC_PIECE_TEXT, sc_slice_str("printf '%s|' \"")},
                                {SC_PIECE_VALUE, sc_slice_str(text)},
                                {SC_PIECE_TEXT, sc_slice_str("\" \"")},
                                {SC_PIECE_VALUE, sc_slice_str(text)},
                                {SC_PIECE_TEXT, sc_slice_str("\" > \"")},
                                {SC_PIECE_OUT, sc_slice_str("o")},
                                {SC_PIECE_TEXT, sc_slice_str("\"; test -z \"${SC_3-}\"")}};
    a->command.items[0].items.items = pieces;
    a->command.items[0].items.count = SC_COUNT(pieces);
    const struct sc_result *r = agent_fixture_run(f, a);
    assert_outcome(r, "ok");
    SC_AUTO_FREE char *want = sc_asprintf("%s|%s|", text, text);
    assert_slice(agent_fixture_output(r, "o")->inline_bytes, want);
}

static void test_inputs_are_there_and_cannot_be_written(void **state)
{
    FIXTURE(f);
    struct sc_artifact stored = agent_fixture_put(f, "stored\n", ".csv");
    struct sc_artifact own = {.kind = SC_ARTIFACT_FILE,
                              .bytes = 4,
                              .files = 1,
                              .has_inline = true,
                              .exec = true,
                              .inline_bytes = sc_slice_str("own\n"),
                              .digest = sc_digest_of(sc_slice_str("own\n"))};
    struct sc_assignment *a =
        agent_fixture_script(f,
                             "cat in/raw.csv in/own > out/o; test -x in/own; for i in in/raw.csv in/own; do "
                             "if (echo x >> $i) 2>/dev/null || chmod 777 $i 2>/dev/null || rm $i "
                             "2>/dev/null; then exit 9; fi; done",
                             "o=o", NULL);
    agent_fixture_input(f, a, "raw", stored);
    agent_fixture_input(f, a, "own", own);
    const struct sc_result *r = agent_fixture_run(f, a);
    assert_outcome(r, "ok");
    assert_slice(agent_fixture_output(r, "o")->inline_bytes, "stored\nown\n");
    assert_string_equal(agent_fixture_get(f, &stored.digest), "stored\n");
    assert_true(agent_fixture_is_clean(f));
}

static void test_fan_in_is_a_folder_of_entries(void **state)
{
    FIXTURE(f);
    struct sc_artifact own = {.kind = SC_ARTIFACT_FILE,
                              .bytes = 4,
                              .files = 1,
                              .has_inline = true,
                              .inline_bytes = sc_slice_str("own\n"),
                              .digest = sc_digest_of(sc_slice_str("own\n"))};
    struct sc_named_artifact entries[] = {{sc_slice_str("lr=0.01"), agent_fixture_put(f, "stored\n", "")},
                                          {sc_slice_str("lr=0.1"), own}};
    for (int only_own = 0; only_own < 2; only_own++) {
        struct sc_assignment *a = agent_fixture_script(
            f, "cd in/models; ls > ../../out/o; cat lr=0.1 >> ../../out/o; ! touch x 2>/dev/null", "o=o",
            NULL);
        a->inputs.items[0] =
            (struct sc_assigned_input){.name = sc_slice_str("models"),
                                       .kind = SC_INPUT_FAN_IN,
                                       .entries = {entries + only_own, (uint32_t)(2 - only_own)}};
        a->inputs.count = 1;
        const struct sc_result *r = agent_fixture_run(f, a);
        assert_outcome(r, "ok");
        assert_slice(agent_fixture_output(r, "o")->inline_bytes,
                     only_own ? "lr=0.1\nown\n" : "lr=0.01\nlr=0.1\nown\n");
    }
}

static void test_code_is_there_as_the_steps_own(void **state)
{
    FIXTURE(f);
    SC_AUTO_FREE char *code = sc_asprintf("%s/code", f->folder);
    SC_AUTO_FREE char *file = sc_asprintf("%s/lib", code);
    SC_AUTO_FREE char *script = sc_asprintf("%s/lib/go.sh", code);
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_dir_make(file, 0755, &err), err);
    sc_scratch_write(script, sc_slice_str("echo from code > out/o\n"), 0644);
    struct sc_tree tree;
    struct sc_hash_options options = {0};
    assert_ok(sc_hash_dir(code, &options, &f->arena, &tree, &err), err);
    assert_ok(sc_objects_put_tree(f->objects, code, &tree, false, false, &err), err);
    struct sc_assignment *a = agent_fixture_script(f, "sh lib/go.sh; echo changed > lib/go.sh", "o=o", NULL);
    a->code = sc_hash_dir_artifact(&tree);
    for (int i = 0; i < 2; i++) {
        const struct sc_result *r = agent_fixture_run(f, a);
        assert_outcome(r, "ok");
        assert_slice(agent_fixture_output(r, "o")->inline_bytes, "from code\n");
        a->attempt++;
    }
}

static void test_input_that_is_gone_is_named_by_its_digest(void **state)
{
    FIXTURE(f);
    struct sc_artifact gone = {
        .kind = SC_ARTIFACT_FILE, .bytes = 9, .files = 1, .digest = sc_digest_of(sc_slice_str("gone"))};
    struct sc_assignment *a = agent_fixture_script(f, "true", NULL);
    agent_fixture_input(f, a, "raw", gone);
    const struct sc_result *r = agent_fixture_run(f, a);
    assert_outcome(r, "input-lost");
    assert_true(sc_digest_eq(&r->lost, &gone.digest));
    assert_message(f, r, "step train: input raw is not in the store any more");
    assert_true(agent_fixture_is_clean(f));
}

// ---- logs

static void test_large_log_is_an_object(void **state)
{
    FIXTURE(f);
    const struct sc_result *r = run(f, "head -c 3000000 /dev/zero | tr '\\0' x; echo small >&2");
    assert_outcome(r, "ok");
    assert_false(r->stdout_.has_inline);
    assert_int_equal(r->stdout_.bytes, 3000000);
    assert_int_equal(strlen(agent_fixture_get(f, &r->stdout_.digest)), 3000000);
    assert_slice(r->stderr_.inline_bytes, "small\n");
    assert_true(agent_fixture_is_clean(f));
}

static void test_log_of_a_failure_is_whole_and_its_last_lines_are_told(void **state)
{
    FIXTURE(f);
    const struct sc_result *r =
        run(f, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; printf '\\377 bad'; exit 1");
    assert_outcome(r, "exit");
    assert_true(r->log_tail.len <= SC_LIMIT_LOG_TAIL_BYTES);
    const char *tail = sc_arena_cstr(&f->arena, r->log_tail);
    assert_memory_equal(tail, "line ", 5);
    assert_contains(tail, "line 19999\n\xef\xbf\xbd bad");
    const char *log = agent_fixture_named(f, "v1/main/run/default/r1/train/1/stdout");
    assert_non_null(log);
    assert_memory_equal(log, "line 0\nline 1\n", 14);
    assert_true(agent_fixture_is_clean(f));
}

static void test_log_of_an_unrecorded_step_is_under_its_run(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a = agent_fixture_script(f, "echo hello", NULL);
    a->unrecorded = true;
    a->number = 3;
    assert_outcome(agent_fixture_run(f, a), "ok");
    assert_string_equal(agent_fixture_named(f, "v1/main/run/default/r1/train/3/stdout"), "hello\n");
    assert_null(agent_fixture_named(f, "v1/main/run/default/r1/train/3/stderr"));
}

static void test_listener_hears_all_of_it_before_the_report(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a =
        agent_fixture_script(f, "head -c 300000 /dev/zero | tr '\\0' x; echo err >&2", NULL);
    a->listened = true;
    assert_outcome(agent_fixture_run(f, a), "ok");
    assert_int_equal(f->logs[0].len, 300000);
    assert_slice(sc_buf_slice(&f->logs[1]), "err\n");
}

// ---- the conversation

static void test_many_steps_each_report_once(void **state)
{
    FIXTURE(f);
    enum { COUNT = 64 };
    struct sc_assignment all[COUNT];
    for (int i = 0; i < COUNT; i++)
        all[i] = *agent_fixture_script(f, "echo > out/o", "o=o", NULL);
    struct sc_message message = {.type = SC_MESSAGE_ASSIGN};
    message.body.assign.assignments.items = all;
    message.body.assign.assignments.count = COUNT;
    agent_fixture_send(f, &message);
    bool seen[COUNT] = {false};
    for (int left = COUNT; left > 0;) {
        const struct sc_msg_reported *r = &agent_fixture_await(f, SC_MESSAGE_REPORTED)->body.reported;
        uint64_t index = r->attempt - all[0].attempt;
        assert_true(index < COUNT);
        assert_outcome(&r->result, "ok");
        assert_true(!seen[index] || f->hellos); // on a slow machine it greets its silent coordinator anew
        left -= !seen[index];
        seen[index] = true;
    }
}

static void test_two_signals_end_what_runs_and_the_agent_says_goodbye(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a =
        agent_fixture_script(f, "echo up; mkfifo fifo; exec 3<> fifo; read x <&3", NULL);
    a->listened = true;
    agent_fixture_assign(f, a);
    agent_fixture_await_log(f, SC_STREAM_STDOUT, "up\n");
    agent_fixture_signal(f); // drains
    agent_fixture_signal(f); // ends
    const struct sc_message *m = agent_fixture_await(f, SC_MESSAGE_REPORTED);
    assert_outcome(&m->body.reported.result, "agent-lost");
    agent_fixture_await(f, SC_MESSAGE_GOODBYE);
    agent_fixture_join(f);
    assert_rc(f->rc, SC_OK);
    assert_true(agent_fixture_is_empty(f, "steps"));
}

static void test_second_agent_is_refused_by_the_lock(void **state)
{
    FIXTURE(f);
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(sc_agent_run(&f->config, f->signals[0], &err), SC_BUSY);
    SC_AUTO_FREE char *pid = sc_asprintf("process %d", (int)getpid());
    assert_contains(err.message, pid);
}

static void test_coordinator_that_forgot_the_agent_hears_its_report_again(void **state)
{
    FIXTURE(f);
    struct sc_assignment *a = agent_fixture_script(f, "echo > out/o", "o=o", NULL);
    agent_fixture_run(f, a);
    struct sc_message error = {.type = SC_MESSAGE_ERROR, .body.error = {.code = sc_slice_str("closed")}};
    agent_fixture_send(f, &error);
    const struct sc_message *m = agent_fixture_await(f, SC_MESSAGE_HELLO);
    assert_int_equal(m->body.hello.held.count, 1);
    assert_int_equal(m->body.hello.held.items[0], a->attempt);
    agent_fixture_welcome(f);
    assert_int_equal(agent_fixture_await(f, SC_MESSAGE_REPORTED)->body.reported.attempt, a->attempt);
}

// ---- probes

static const struct sc_msg_probed *probe(struct agent_fixture *f, struct sc_msg_probe body)
{
    struct sc_message message = {.type = SC_MESSAGE_PROBE, .body.probe = body};
    agent_fixture_send(f, &message);
    const struct sc_msg_probed *probed = &agent_fixture_await(f, SC_MESSAGE_PROBED)->body.probed;
    assert_int_equal(probed->probe, body.probe);
    return probed;
}

static void test_file_probe_tells_and_stores_a_source(void **state)
{
    FIXTURE(f);
    SC_AUTO_FREE char *path = sc_asprintf("%s/data.csv", f->folder);
    sc_scratch_write(path, sc_slice_str("a,b\n"), 0644);
    const struct sc_msg_probed *p = probe(
        f,
        (struct sc_msg_probe){.probe = 1, .kind = SC_PROBE_FILE, .path = sc_slice_str(path), .store = true});
    assert_false(p->failed);
    assert_int_equal(p->artifact.bytes, 4);
    assert_string_equal(agent_fixture_get(f, &p->artifact.digest), "a,b\n");
    p = probe(
        f, (struct sc_msg_probe){.probe = 2, .kind = SC_PROBE_FILE, .path = sc_slice_str(path), .dir = true});
    assert_true(p->failed);
    assert_contains(sc_arena_cstr(&f->arena, p->message), "data.csv");
    unlink(path);
    p = probe(f, (struct sc_msg_probe){.probe = 3, .kind = SC_PROBE_FILE, .path = sc_slice_str(path)});
    assert_true(p->failed);
    assert_contains(sc_arena_cstr(&f->arena, p->message), "data.csv");
}

static struct sc_msg_probe commands(struct agent_fixture *f, uint64_t number, const char *command)
{
    struct sc_slice *text = SC_NEW(&f->arena, struct sc_slice);
    *text = sc_arena_copy(&f->arena, sc_slice_str(command));
    return (struct sc_msg_probe){.probe = number, .kind = SC_PROBE_COMMANDS, .commands = {text, 1}};
}

static void test_probes_that_hang_keep_nothing_waiting_and_end_with_the_agent(void **state)
{
    enum { HANGING = 20 }; // more than there are workers
    FIXTURE(f);
    SC_AUTO_FREE char *path = sc_asprintf("%s/held", f->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    SC_AUTO_CLOSE int fd =
        open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); // its end: nobody holds the other one
    for (uint64_t i = 1; i <= HANGING; i++) {
        SC_AUTO_FREE char *command = sc_asprintf("exec 3>%s; exec sleep %d", path, (int)(1000 + i));
        struct sc_message message = {.type = SC_MESSAGE_PROBE, .body.probe = commands(f, i, command)};
        agent_fixture_send(f, &message);
    }
    struct sc_assignment *a = agent_fixture_script(f, "true", NULL);
    a->probe = commands(f, 0, "exec sleep 2000");
    a->environment = sc_digest_of(sc_slice_str("any"));
    agent_fixture_assign(f, a);
    const struct sc_msg_probed *p = probe(f, commands(f, 100, "echo 1"));
    assert_false(p->failed);
    assert_outcome(agent_fixture_run(f, agent_fixture_script(f, "true", NULL)), "ok");
    struct sc_message revoke = {.type = SC_MESSAGE_REVOKE, .body.revoke = {.attempts = {&a->attempt, 1}}};
    agent_fixture_send(f, &revoke);
    assert_int_equal(agent_fixture_await(f, SC_MESSAGE_ENDED)->body.ended.attempt, a->attempt);
    agent_fixture_signal(f);
    agent_fixture_await(f, SC_MESSAGE_GOODBYE);
    agent_fixture_join(f);
    char byte;
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    assert_int_equal(read(fd, &byte, 1), 0);
}

static void test_class_probe_tells_the_machine(void **state)
{
    FIXTURE(f);
    const struct sc_msg_probed *p = probe(f, (struct sc_msg_probe){.probe = 1, .kind = SC_PROBE_CLASS});
    assert_false(p->failed);
    assert_slice(p->class_.path, "/usr/local/bin:/usr/bin:/bin");
    static const char *const names[] = {"arch", "libc", "os", "packages", "path", "python"};
    assert_int_equal(p->class_.environment.parts.count, SC_COUNT(names));
    for (size_t i = 0; i < SC_COUNT(names); i++)
        assert_slice(p->class_.environment.parts.items[i].name, names[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_step_with_a_small_output_is_reported_ok_with_its_bytes),
        TEST(test_non_zero_exit_is_named_with_the_log),
        TEST(test_signal_is_named),
        TEST(test_command_that_is_not_there_is_named),
        TEST(test_timeout_ends_a_step_that_ignores_term),
        TEST(test_revoked_step_ends_and_its_log_is_kept),
        TEST(test_step_that_waits_for_a_place_can_be_revoked_and_else_follows),
        TEST(test_missing_output_is_named_with_what_is_there),
        TEST(test_outputs_that_are_no_files_are_refused),
        TEST(test_folder_with_what_is_not_allowed_is_refused),
        TEST(test_link_that_stays_inside_is_followed),
        TEST(test_large_output_is_in_the_store),
        TEST(test_folder_output_is_in_the_store),
        TEST(test_output_inside_another_is_stored_with_it),
        TEST(test_process_that_outlives_its_step_cannot_touch_outputs),
        TEST(test_values_are_read_from_json),
        TEST(test_folder_that_a_step_changed_does_not_serve_another),
        TEST(test_environment_is_what_is_declared_and_the_minimum),
        TEST(test_script_takes_any_text_as_a_value),
        TEST(test_inputs_are_there_and_cannot_be_written),
        TEST(test_fan_in_is_a_folder_of_entries),
        TEST(test_code_is_there_as_the_steps_own),
        TEST(test_input_that_is_gone_is_named_by_its_digest),
        TEST(test_large_log_is_an_object),
        TEST(test_log_of_a_failure_is_whole_and_its_last_lines_are_told),
        TEST(test_log_of_an_unrecorded_step_is_under_its_run),
        TEST(test_listener_hears_all_of_it_before_the_report),
        TEST(test_many_steps_each_report_once),
        TEST(test_two_signals_end_what_runs_and_the_agent_says_goodbye),
        TEST(test_second_agent_is_refused_by_the_lock),
        TEST(test_coordinator_that_forgot_the_agent_hears_its_report_again),
        TEST(test_file_probe_tells_and_stores_a_source),
        TEST(test_probes_that_hang_keep_nothing_waiting_and_end_with_the_agent),
        TEST(test_class_probe_tells_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
