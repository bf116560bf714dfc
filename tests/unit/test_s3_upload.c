// Objects up.
#include "tests/unit/s3_transfer_test.h"

// ---- up

static char *write_large(struct world *w)
{
    char *path = sc_scratch_path(w->scratch, "large");
    write_bytes(path, w->bytes, LARGE);
    return path;
}

static enum sc_rc put_file(struct world *w, const char *path, bool if_absent, struct sc_error *ret_err)
{
    struct sc_s3_transfer t;
    begin(w, &t, SC_S3_UP, "k");
    t.body_path = path;
    t.if_absent = if_absent;
    t.sha256 = w->digest;
    enum sc_rc rc = finish(w, &t);
    if (rc == SC_OK) {
        assert_int_equal(t.bytes, LARGE);
        assert_int_equal(t.moved_bytes, LARGE);
        assert_true(t.etag.len > 0);
    }
    if (ret_err)
        *ret_err = t.err;
    sc_s3_transfer_done(&t);
    return rc;
}

static void test_s3_transfer_large_file_goes_up_in_parts(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *path = write_large(w);
    assert_rc(put_file(w, path, false, NULL), SC_OK);
    assert_stored(w, "/bkt/k", w->bytes, LARGE);
    SC_AUTO_FREE char *log = log_of(w);
    assert_int_equal(sc_s3_stand_count(w->stand), 13);
    assert_contains(log, "POST /bkt/k?uploads=\n");
    assert_int_equal(count_in(log, "&uploadId=1\n"), 11);
    assert_string_equal(strrchr(log, 'P'), "POST /bkt/k?uploadId=1\n");
    assert_int_equal(sc_s3_stand_uploads(w->stand), 0);
    assert_true(sc_s3_stand_most(w->stand) <= WINDOW);
}

static void test_s3_transfer_up_to_the_bound_is_one_request(void **state)
{
    struct world *w = *state;
    static const size_t sizes[] = {0, 1, SINGLE};
    for (size_t i = 0; i < SC_COUNT(sizes); i++) {
        for (int known = 0; known < 2; known++) {
            struct sc_s3_transfer t;
            begin(w, &t, SC_S3_UP, "k");
            t.body = sc_slice(w->bytes, sizes[i]);
            if (known)
                t.sha256 = sc_digest_of(t.body);
            assert_ok(finish(w, &t), t.err);
            assert_int_equal(t.moved_bytes, sizes[i]);
            assert_true(t.etag.len && t.version.len);
            sc_s3_transfer_done(&t);
            assert_stored(w, "/bkt/k", w->bytes, sizes[i]);
        }
    }
    SC_AUTO_FREE char *log = log_of(w);
    assert_int_equal(count_in(log, "PUT /bkt/k\n"), 6);
    assert_int_equal(sc_s3_stand_count(w->stand), 6);
}

static void test_s3_transfer_part_that_fails_is_sent_again(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *path = write_large(w);
    fault(w, (struct sc_s3_fault_rule){"POST", "uploads", .times = 1, .status = 503, .code = "SlowDown"});
    fault(w, (struct sc_s3_fault_rule){"PUT", "partNumber=3", .times = 1, .status = 500,
                                       .code = "InternalError"});
    fault(w, (struct sc_s3_fault_rule){"PUT", "partNumber=5", .times = 1, .after = true, .how = SC_HTTP_RESET,
                                       .at = -1});
    fault(w,
          (struct sc_s3_fault_rule){"PUT", "partNumber=7", .times = 1, .status = 400, .code = "BadDigest"});
    fault(w, (struct sc_s3_fault_rule){"POST", "uploadId", .times = 1, .status = 200,
                                       .body = "<Error><Code>InternalError</Code></Error>"});
    assert_rc(put_file(w, path, false, NULL), SC_OK);
    assert_stored(w, "/bkt/k", w->bytes, LARGE);
}

static void test_s3_transfer_own_completion_whose_success_was_lost_is_recognised(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *path = write_large(w);
    fault(w, (struct sc_s3_fault_rule){"POST", "uploadId", .times = 1, .after = true, .status = 500,
                                       .code = "InternalError"});
    assert_rc(put_file(w, path, false, NULL), SC_OK);
    assert_stored(w, "/bkt/k", w->bytes, LARGE);
    SC_AUTO_FREE char *log = log_of(w);
    assert_contains(log, "POST /bkt/k?uploadId=1\nPOST /bkt/k?uploadId=1\nHEAD /bkt/k\n");
}

static void test_s3_transfer_upload_that_fails_is_aborted(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *path = write_large(w);
    fault(w, (struct sc_s3_fault_rule){"PUT", "partNumber=4", .times = 1, .status = 403,
                                       .code = "QuotaExceeded"});
    assert_rc(put_file(w, path, false, &err), SC_FULL);
    assert_contains(err.message, path);
    assert_contains(err.message, "QuotaExceeded");
    assert_int_equal(sc_s3_stand_uploads(w->stand), 0);
    SC_AUTO_FREE char *log = log_of(w);
    assert_contains(log, "DELETE /bkt/k?uploadId=1\n");
    assert_null(strstr(log, "POST /bkt/k?uploadId"));
    // Even where it cannot be aborted, the first failure is the story.
    fault(w,
          (struct sc_s3_fault_rule){"POST", "uploadId=2", .times = 9, .status = 403, .code = "AccessDenied"});
    fault(w, (struct sc_s3_fault_rule){"DELETE", "uploadId=2", .times = 9, .status = 403, .code = "Nothing"});
    assert_rc(put_file(w, path, false, &err), SC_DENIED);
    assert_contains(err.message, "AccessDenied");
    assert_int_equal(sc_s3_stand_uploads(w->stand), 1);
}

static void test_s3_transfer_file_that_changed_since_it_was_hashed_is_not_completed(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    w->bytes[LARGE - 1] ^= 1;
    SC_AUTO_FREE char *path = write_large(w);
    assert_rc(put_file(w, path, false, &err), SC_BUSY);
    assert_contains(err.message, path);
    assert_int_equal(sc_s3_stand_uploads(w->stand), 0);
    SC_AUTO_BUF struct sc_buf none;
    assert_false(sc_s3_stand_get(w->stand, "/bkt/k", &none));
    // A settled file is not compared as a whole: its parts still are, each on its way.
    struct sc_s3_transfer t;
    begin(w, &t, SC_S3_UP, "k");
    t.body_path = path;
    t.sha256 = w->digest;
    t.settled = true;
    assert_ok(finish(w, &t), t.err);
    sc_s3_transfer_done(&t);
}

static void
test_s3_transfer_small_file_that_changed_since_it_was_hashed_is_refused_by_the_server(void **state)
{
    struct world *w = *state;
    struct sc_s3_transfer t;
    SC_AUTO_FREE char *path = sc_scratch_path(w->scratch, "small");
    write_text(path, "changed");
    begin(w, &t, SC_S3_UP, "k");
    t.body_path = path;
    t.sha256 = sc_digest_of(sc_slice_str("hashed!"));
    assert_rc(finish(w, &t), SC_BUSY);
    assert_contains(t.err.message, path);
    sc_s3_transfer_done(&t);
    assert_int_equal(sc_s3_stand_count(w->stand), 3);
}

static void test_s3_transfer_file_that_is_none_is_refused_by_name(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *missing = sc_scratch_path(w->scratch, "missing");
    assert_rc(put_file(w, missing, false, &err), SC_NOT_FOUND);
    assert_contains(err.message, missing);
    assert_rc(put_file(w, "/dev/null", false, &err), SC_UNSUPPORTED);
    assert_int_equal(sc_s3_stand_count(w->stand), 0);
}

static void test_s3_transfer_large_put_if_absent_looks_before_it_sends(void **state)
{
    struct world *w = *state;
    SC_AUTO_FREE char *path = write_large(w);
    assert_rc(put_file(w, path, true, NULL), SC_OK);
    SC_AUTO_FREE char *log = log_of(w);
    assert_contains(log, "POST /bkt/k?uploadId=1 if-none-match=*\n");
    uint32_t before = sc_s3_stand_count(w->stand);
    assert_rc(put_file(w, path, true, NULL), SC_EXISTS);
    assert_int_equal(sc_s3_stand_count(w->stand), before + 1);
    // Taken while it was sent: the completion tells.
    fault(w, (struct sc_s3_fault_rule){"HEAD", "k", .times = 1, .status = 404});
    assert_rc(put_file(w, path, true, NULL), SC_EXISTS);
    assert_int_equal(sc_s3_stand_uploads(w->stand), 0);
}

// ---- sizes

static void test_s3_transfer_parts_are_never_more_than_s3_takes(void **state)
{
    (void)state;
    const uint64_t mib = 1 << 20, gib = 1 << 30, tib = (uint64_t)1 << 40;
    const uint64_t sizes[] = {1,   16 * mib,    65 * mib, gib, 100 * gib, 160000 * mib, 160000 * mib + 1,
                              tib, 5 * tib - 1, 5 * tib};
    for (size_t i = 0; i < SC_COUNT(sizes); i++) {
        uint64_t part = sc_s3_part_bytes(sizes[i], 16 * mib);
        assert_true(part >= 16 * mib && part <= 5 * gib);
        assert_true((sizes[i] + part - 1) / part <= 10000);
        assert_int_equal(part % mib, 0);
    }
    assert_int_equal(sc_s3_part_bytes(100 * gib, 16 * mib), 16 * mib);
    assert_int_equal(sc_s3_part_bytes(5 * tib, 16 * mib), 525 * mib);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_s3_transfer_large_file_goes_up_in_parts),
        T(test_s3_transfer_up_to_the_bound_is_one_request),
        T(test_s3_transfer_part_that_fails_is_sent_again),
        T(test_s3_transfer_own_completion_whose_success_was_lost_is_recognised),
        T(test_s3_transfer_upload_that_fails_is_aborted),
        T(test_s3_transfer_file_that_changed_since_it_was_hashed_is_not_completed),
        T(test_s3_transfer_small_file_that_changed_since_it_was_hashed_is_refused_by_the_server),
        T(test_s3_transfer_file_that_is_none_is_refused_by_name),
        T(test_s3_transfer_large_put_if_absent_looks_before_it_sends),
        T(test_s3_transfer_parts_are_never_more_than_s3_takes),
    };
    return cmocka_run_group_tests_name("s3_upload", tests, NULL, NULL);
}
