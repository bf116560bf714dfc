// client=libs3: what it refuses by name, and what libs3 does not notice and the store must, on a stand-in for S3.
#include "tests/unit/store_test.h"

#include "tests/lib/s3_stand.h"

struct world {
    struct sc_s3_stand *stand;
    struct sc_store *store;
    char *scratch, *url;
};

static bool can_load; // the module was built
static bool verifies; // it is of a libs3 that checks certificates, and signs by version 4

static enum sc_rc try_open(const char *url, struct sc_error *err)
{
    struct sc_store *store;
    enum sc_rc rc = sc_store_open_bucket(url, &store, err);
    if (rc == SC_OK)
        sc_store_close(store);
    return rc;
}

static void set_environment(void)
{
    static const char *const unset[] = {"AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
                                        "AWS_PROFILE", "AWS_CA_BUNDLE"};
    setenv("AWS_ACCESS_KEY_ID", "KEY1", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    for (size_t i = 0; i < SC_COUNT(unset); i++)
        unsetenv(unset[i]);
}

static void look_at_module(void)
{
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = try_open("s3://bkt/p?endpoint=http://127.0.0.1:1&client=libs3", &err);
    can_load = rc == SC_OK;
    rc = try_open("s3://bkt/p?endpoint=https://127.0.0.1:1&client=libs3", &err);
    verifies = rc == SC_OK;
}

static int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    struct sc_error err = SC_ERROR_INIT;
    set_environment();
    *state = w;
    w->scratch = sc_scratch_new();
    w->stand = sc_s3_stand_new();
    w->url = sc_asprintf("s3://bkt/p?endpoint=%s&client=libs3", sc_s3_stand_url(w->stand));
    if (!can_load || sc_store_open(w->url, &w->store, &err) == SC_OK)
        return 0;
    print_message("%s (%s)\n", err.message, err.hint);
    return -1;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sc_store_close(w->store);
    sc_s3_stand_free(w->stand);
    sc_scratch_remove(w->scratch);
    free(w->url);
    free(w);
    return 0;
}

static void test_libs3_that_was_not_built_is_told_with_its_package(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    if (can_load)
        skip();
    assert_rc(try_open("s3://bkt/p?endpoint=http://127.0.0.1:1&client=libs3", &err), SC_UNSUPPORTED);
    assert_contains(err.message, "libs3 back end");
    assert_contains(err.hint, "libs3-dev");
}

// ---- what is refused

static void assert_refused(const char *url, enum sc_rc rc, const char *says)
{
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(try_open(url, &err), rc);
    assert_contains(err.message, says);
}

static void test_libs3_endpoints_that_it_cannot_speak_to_are_refused_by_name(void **state)
{
    (void)state;
    if (!can_load)
        skip();
    assert_refused("s3://bkt/p?client=libs3", SC_UNSUPPORTED, "AWS does not");
    assert_refused("s3://bkt/p?client=libs3&endpoint=http://h/base", SC_UNSUPPORTED, "with a path (/base)");
    assert_refused("s3://bkt/p?client=other", SC_INVALID, "client=other: it is libs3");
    assert_refused("s3://bkt/p?client=libs%33&endpoint=http://h", SC_INVALID, "as it stands");
    assert_refused("s3://bkt/p?unverified=1&endpoint=https://h", SC_INVALID, "always checked");
}

static void test_libs3_that_checks_no_certificates_speaks_tls_only_when_told_to(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    if (!can_load)
        skip();
    if (verifies) {
        assert_refused("s3://bkt/p?client=libs3&endpoint=https://h&unverified=1", SC_INVALID,
                       "always checks");
        assert_refused("s3://bkt/p?client=libs3&endpoint=https://h&ca=/ca.pem", SC_UNSUPPORTED,
                       "not /ca.pem");
        return;
    }
    assert_refused("s3://bkt/p?client=libs3&endpoint=https://h", SC_UNSUPPORTED,
                   "does not check TLS certificates");
    assert_rc(try_open("s3://bkt/p?client=libs3&endpoint=https://h", &err), SC_UNSUPPORTED);
    assert_contains(err.hint, "unverified=1");
    assert_ok(try_open("s3://bkt/p?client=libs3&endpoint=https://h&unverified=1", &err), err);
}

static void test_libs3_credentials_that_it_cannot_use_are_refused_by_name(void **state)
{
    struct world *w = *state;
    struct sc_store *store;
    struct sc_error err = SC_ERROR_INIT;
    if (!can_load)
        skip();
    SC_AUTO_FREE char *anonymous = sc_asprintf("%s&anonymous=1", w->url);
    assert_rc(sc_store_open(anonymous, &store, &err), SC_UNSUPPORTED);
    assert_contains(err.message, "signs every request");
    if (verifies)
        return;
    setenv("AWS_SESSION_TOKEN", "token", 1);
    enum sc_rc rc = sc_store_open(w->url, &store, &err);
    unsetenv("AWS_SESSION_TOKEN");
    assert_rc(rc, SC_UNSUPPORTED);
    assert_contains(err.message, "no session tokens");
}

static void assert_op_refused(struct world *w, struct sc_store_op *op, const char *says)
{
    uint32_t before = sc_s3_stand_count(w->stand);
    assert_rc(sc_store_wait(w->store, op), SC_UNSUPPORTED);
    assert_contains(op->err.message, says);
    assert_int_equal(sc_s3_stand_count(w->stand), before); // nothing was sent
    sc_store_op_done(op);
}

static void test_libs3_what_it_cannot_ask_for_is_refused_by_name(void **state)
{
    struct world *w = *state;
    struct sc_store_op op;
    if (!can_load)
        skip();
    sc_store_op_init(&op, SC_STORE_GET, sc_slice_str("x"));
    op.max_bytes = 10;
    op.from_version = sc_slice_str("v1");
    assert_op_refused(w, &op, "no version");
    sc_store_op_init(&op, SC_STORE_COPY, sc_slice_str("y"));
    op.from = sc_slice_str("x");
    op.from_bytes = 1;
    op.from_etag = sc_slice_str("e1");
    assert_op_refused(w, &op, "no version");
    SC_AUTO_FREE char *file = sc_scratch_path(w->scratch, "large");
    write_text(file, "");
    assert_int_equal(truncate(file, ((off_t)5 << 30) + 1), 0);
    sc_store_op_init(&op, SC_STORE_PUT, sc_slice_str("z"));
    op.body_path = file;
    assert_op_refused(w, &op, "in parts alone");
    if (verifies)
        return;
    sc_store_op_init(&op, SC_STORE_PUT, sc_slice_str("a b"));
    op.body = sc_slice_str("x");
    assert_op_refused(w, &op, "a blank in its key");
}

// ---- what libs3 does not notice

static void fault(struct world *w, struct sc_s3_fault_rule rule)
{
    sc_s3_stand_fault(w->stand, &rule);
}

static uint32_t list_names(struct world *w, const char *prefix)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_LIST, sc_slice_str(prefix));
    op.max_entries = 1000;
    assert_ok(sc_store_wait(w->store, &op), op.err);
    uint32_t count = op.entry_count;
    for (uint32_t i = 0; i < count; i++) {
        SC_AUTO_FREE char *want = sc_asprintf("%s%03u", prefix, i);
        assert_slice(op.entries[i].name, want);
    }
    sc_store_op_done(&op);
    return count;
}

static void test_libs3_list_whose_answer_broke_off_is_not_taken_for_a_whole_one(void **state)
{
    struct world *w = *state;
    enum { KEYS = 40 };
    if (!can_load)
        skip();
    for (uint32_t i = 0; i < KEYS; i++) {
        SC_AUTO_FREE char *target = sc_asprintf("/bkt/p/n/%03u", i);
        sc_s3_stand_put(w->stand, target, sc_slice_str("x"), NULL);
    }
    assert_int_equal(list_names(w, "n/"), KEYS);
    assert_int_equal(list_names(w, "none/"), 0);
    static const int64_t cuts[] = {0, 5, 25, 60, 100, 1000};
    for (size_t i = 0; i < SC_COUNT(cuts); i++) {
        fault(w, (struct sc_s3_fault_rule){.method = "GET",
                                           .part = "max-keys=1000",
                                           .skip = 1 + (uint32_t)i,
                                           .times = 1,
                                           .how = SC_HTTP_CUT,
                                           .at = cuts[i]});
    }
    for (size_t i = 0; i < SC_COUNT(cuts); i++)
        assert_int_equal(list_names(w, "n/"), KEYS);
}

static void test_libs3_object_whose_answer_broke_off_is_read_on(void **state)
{
    struct world *w = *state;
    if (!can_load)
        skip();
    sc_s3_stand_put(w->stand, "/bkt/p/x", sc_slice_str("0123456789"), NULL);
    fault(w, (struct sc_s3_fault_rule){
                 .method = "GET", .part = "/bkt/p/x", .times = 1, .how = SC_HTTP_CUT, .at = 4});
    assert_object(w->store, "x", "0123456789");
    SC_AUTO_FREE char *log = sc_s3_stand_log(w->stand);
    assert_contains(log, "range=bytes=4-");
    assert_contains(log, "if-match=");
}

static void test_libs3_object_of_which_no_byte_came_is_not_taken_for_an_empty_one(void **state)
{
    struct world *w = *state;
    if (!can_load)
        skip();
    sc_s3_stand_put(w->stand, "/bkt/p/x", sc_slice_str("0123456789"), NULL);
    fault(w, (struct sc_s3_fault_rule){
                 .method = "GET", .part = "/bkt/p/x", .times = 1, .how = SC_HTTP_CUT, .at = 0});
    assert_object(w->store, "x", "0123456789");
}

static void test_libs3_object_of_unknown_length_is_refused(void **state)
{
    struct world *w = *state;
    struct sc_store_op op;
    if (!can_load)
        skip();
    sc_s3_stand_put(w->stand, "/bkt/p/x", sc_slice_str("0123456789"), NULL);
    fault(w,
          (struct sc_s3_fault_rule){.method = "GET", .part = "/bkt/p/x", .times = 1, .how = SC_HTTP_CHUNKED});
    sc_store_op_init(&op, SC_STORE_GET, sc_slice_str("x"));
    op.max_bytes = 100;
    assert_rc(sc_store_wait(w->store, &op), SC_UNSUPPORTED);
    assert_contains(op.err.message, "how long an object is");
    sc_store_op_done(&op);
}

static void test_libs3_put_that_was_refused_without_a_word_is_sent_again(void **state)
{
    struct world *w = *state;
    if (!can_load)
        skip();
    fault(w, (struct sc_s3_fault_rule){.method = "PUT", .part = "/bkt/p/x", .times = 2, .status = 503});
    assert_rc(store_put(w->store, "x", sc_slice_str("kept"), false), SC_OK);
    assert_object(w->store, "x", "kept");
}

static void test_libs3_copy_that_failed_behind_a_good_status_or_without_a_word_is_sent_again(void **state)
{
    struct world *w = *state;
    struct sc_store_op op;
    if (!can_load)
        skip();
    assert_rc(store_put(w->store, "x", sc_slice_str("content"), false), SC_OK);
    assert_rc(store_put(w->store, "y", sc_slice_str("older"), false), SC_OK);
    fault(w, (struct sc_s3_fault_rule){
                 .method = "PUT", .part = "/bkt/p/y", .times = 1, .status = 200, .code = "InternalError"});
    fault(w, (struct sc_s3_fault_rule){.method = "PUT", .part = "/bkt/p/y", .times = 1, .status = 503});
    sc_store_op_init(&op, SC_STORE_COPY, sc_slice_str("y"));
    op.from = sc_slice_str("x");
    assert_ok(sc_store_wait(w->store, &op), op.err);
    sc_store_op_done(&op);
    assert_object(w->store, "y", "content");
}

// ---- put if absent, without conditions

static void test_libs3_put_if_absent_leaves_what_another_put_and_sends_no_body(void **state)
{
    struct world *w = *state;
    if (!can_load)
        skip();
    sc_s3_stand_put(w->stand, "/bkt/p/x", sc_slice_str("theirs"), NULL);
    assert_rc(store_put(w->store, "x", sc_slice_str("ours"), true), SC_EXISTS);
    assert_object(w->store, "x", "theirs");
    SC_AUTO_FREE char *log = sc_s3_stand_log(w->stand);
    assert_null(strstr(log, "PUT /bkt/p/x"));
}

static void test_libs3_put_if_absent_knows_its_own_after_a_lost_answer(void **state)
{
    struct world *w = *state;
    if (!can_load)
        skip();
    fault(
        w,
        (struct sc_s3_fault_rule){
            .method = "PUT", .part = "/bkt/p/x", .times = 1, .after = true, .how = SC_HTTP_RESET, .at = -1});
    assert_rc(store_put(w->store, "x", sc_slice_str("ours"), true), SC_OK);
    assert_object(w->store, "x", "ours");
}

// Another writer comes between our look and our PUT, and is the later one: ours lost.
static void test_libs3_put_if_absent_that_another_overwrote_lost(void **state)
{
    struct world *w = *state;
    if (!can_load)
        skip();
    fault(w, (struct sc_s3_fault_rule){
                 .method = "HEAD",
                 .part = "/bkt/p/x",
                 .skip = 1,
                 .times = 9,
                 .status = 200,
                 .headers = "Content-Length: 4\r\nETag: "
                            "\"abdc793c700a0f9110566c092398985f\"\r\nx-amz-meta-writer: another\r\n"});
    // The etag is the MD5 of what we sent: they sent the same.
    assert_rc(store_put(w->store, "x", sc_slice_str("ours"), true), SC_EXISTS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libs3_that_was_not_built_is_told_with_its_package),
        T(test_libs3_endpoints_that_it_cannot_speak_to_are_refused_by_name),
        T(test_libs3_that_checks_no_certificates_speaks_tls_only_when_told_to),
        T(test_libs3_credentials_that_it_cannot_use_are_refused_by_name),
        T(test_libs3_what_it_cannot_ask_for_is_refused_by_name),
        T(test_libs3_list_whose_answer_broke_off_is_not_taken_for_a_whole_one),
        T(test_libs3_object_whose_answer_broke_off_is_read_on),
        T(test_libs3_object_of_which_no_byte_came_is_not_taken_for_an_empty_one),
        T(test_libs3_object_of_unknown_length_is_refused),
        T(test_libs3_put_that_was_refused_without_a_word_is_sent_again),
        T(test_libs3_copy_that_failed_behind_a_good_status_or_without_a_word_is_sent_again),
        T(test_libs3_put_if_absent_leaves_what_another_put_and_sends_no_body),
        T(test_libs3_put_if_absent_knows_its_own_after_a_lost_answer),
        T(test_libs3_put_if_absent_that_another_overwrote_lost),
    };
    set_environment();
    look_at_module();
    return cmocka_run_group_tests_name("libs3", tests, NULL, NULL);
}
