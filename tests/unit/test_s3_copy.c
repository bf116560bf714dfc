// Objects across, within S3.
#include "tests/unit/s3_transfer_test.h"

static enum sc_rc copy(struct world *w, const char *from, uint64_t from_bytes, const char *etag,
                       bool if_absent, struct sc_error *ret_err)
{
    struct sc_s3_transfer t;
    begin(w, &t, SC_S3_ACROSS, "to/x y");
    t.from = (struct sc_s3_place){
        .bucket = sc_slice_str("other"), .key = sc_slice_str(from), .etag = sc_slice_str(etag)};
    t.from_bytes = from_bytes;
    t.if_absent = if_absent;
    enum sc_rc rc = finish(w, &t);
    if (rc == SC_OK)
        assert_true(t.etag.len > 0);
    if (ret_err)
        *ret_err = t.err;
    sc_s3_transfer_done(&t);
    return rc;
}

static void test_s3_transfer_copy_is_one_request_where_the_size_is_known(void **state)
{
    struct world *w = *state;
    sc_s3_stand_put(w->stand, "/other/a b", sc_slice_str("content"), NULL);
    assert_rc(copy(w, "a b", 7, "", false, NULL), SC_OK);
    assert_stored(w, "/bkt/to/x y", "content", 7);
    assert_rc(copy(w, "a b", 0, "", false, NULL), SC_OK);
    assert_rc(copy(w, "a b", 7, "e1", false, NULL), SC_OK);
    SC_AUTO_FREE char *log = log_of(w);
    assert_string_equal(
        log, "PUT /bkt/to/x%20y x-amz-copy-source=other/a%20b\n"
             "HEAD /other/a%20b\n"
             "PUT /bkt/to/x%20y x-amz-copy-source=other/a%20b x-amz-copy-source-if-match=\"e1\"\n"
             "PUT /bkt/to/x%20y x-amz-copy-source=other/a%20b x-amz-copy-source-if-match=\"e1\"\n");
    assert_rc(copy(w, "a b", 7, "e9", false, NULL), SC_BUSY);
    assert_rc(copy(w, "none", 7, "", false, NULL), SC_NOT_FOUND);
    assert_rc(copy(w, "none", 0, "", false, NULL), SC_NOT_FOUND);
}

static void test_s3_transfer_copy_of_a_large_object_goes_in_parts_of_one_etag(void **state)
{
    struct world *w = *state;
    sc_s3_stand_put(w->stand, "/other/big", sc_slice(w->bytes, LARGE), NULL);
    fault(w, (struct sc_s3_fault_rule){"PUT", "partNumber=2", .times = 1, .status = 200,
                                       .body = "<Error><Code>SlowDown</Code></Error>"});
    assert_rc(copy(w, "big", 0, "", false, NULL), SC_OK);
    assert_stored(w, "/bkt/to/x y", w->bytes, LARGE);
    SC_AUTO_FREE char *log = log_of(w);
    assert_contains(log, "x-amz-copy-source-range=bytes=153600-163962 x-amz-copy-source-if-match=\"e1\"\n");
    assert_int_equal(count_in(log, "x-amz-copy-source-range="), 5);
    assert_int_equal(sc_s3_stand_uploads(w->stand), 0);
    fault(w, (struct sc_s3_fault_rule){"PUT", "partNumber=3", .times = 1, .status = 412,
                                       .code = "PreconditionFailed"});
    assert_rc(copy(w, "big", LARGE, "", false, NULL), SC_BUSY);
    assert_int_equal(sc_s3_stand_uploads(w->stand), 0);
}

static void test_s3_transfer_copy_may_fail_after_it_said_yes(void **state)
{
    struct world *w = *state;
    sc_s3_stand_put(w->stand, "/other/a", sc_slice_str("content"), NULL);
    fault(w, (struct sc_s3_fault_rule){"PUT", "to", .times = 1, .status = 200,
                                       .body = "  <Error><Code>InternalError</Code></Error>"});
    fault(w, (struct sc_s3_fault_rule){"PUT", "to", .times = 1, .status = 200, .body = ""});
    assert_rc(copy(w, "a", 7, "", false, NULL), SC_OK);
    assert_stored(w, "/bkt/to/x y", "content", 7);
    assert_int_equal(sc_s3_stand_count(w->stand), 3);
}

static void test_s3_transfer_copy_if_absent_leaves_what_is_there_and_knows_its_own(void **state)
{
    struct world *w = *state;
    sc_s3_stand_put(w->stand, "/other/a", sc_slice_str("content"), NULL);
    fault(w, (struct sc_s3_fault_rule){"PUT", "to", .times = 1, .after = true, .status = 500,
                                       .code = "InternalError"});
    assert_rc(copy(w, "a", 7, "", true, NULL), SC_OK); // its own
    assert_rc(copy(w, "a", 7, "", true, NULL), SC_EXISTS);
    SC_AUTO_FREE char *log = log_of(w);
    assert_contains(log, "HEAD /bkt/to/x%20y\nPUT /bkt/to/x%20y if-none-match=* x-amz-copy-source=other/a\n"
                         "PUT /bkt/to/x%20y if-none-match=* x-amz-copy-source=other/a\nHEAD /bkt/to/x%20y\n");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_s3_transfer_copy_is_one_request_where_the_size_is_known),
        T(test_s3_transfer_copy_of_a_large_object_goes_in_parts_of_one_etag),
        T(test_s3_transfer_copy_may_fail_after_it_said_yes),
        T(test_s3_transfer_copy_if_absent_leaves_what_is_there_and_knows_its_own),
    };
    return cmocka_run_group_tests_name("s3_copy", tests, NULL, NULL);
}
