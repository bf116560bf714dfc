// Objects down.
#include "tests/unit/s3_transfer_test.h"

// Gets "k" into a file and compares it with the bytes.
static enum sc_rc get_file(struct world *w, const struct sc_digest *digest, struct sc_error *ret_err)
{
    SC_AUTO_FREE char *path = sc_scratch_path(w->scratch, "out");
    SC_AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct sc_s3_transfer t;
    begin(w, &t, SC_S3_DOWN, "k");
    t.to_fd = fd;
    if (digest)
        t.sha256 = *digest;
    enum sc_rc rc = finish(w, &t);
    if (rc == SC_OK) {
        struct stat st;
        SC_AUTO_FREE uint8_t *found = sc_calloc(LARGE, 1);
        assert_int_equal(t.bytes, LARGE);
        assert_int_equal(t.moved_bytes, LARGE);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, LARGE);
        assert_int_equal(pread(fd, found, LARGE, 0), LARGE);
        assert_memory_equal(found, w->bytes, LARGE);
    }
    if (ret_err)
        *ret_err = t.err;
    sc_s3_transfer_done(&t);
    return rc;
}

static enum sc_rc get_memory(struct world *w, size_t max_bytes, const char *want, size_t want_len)
{
    SC_AUTO_BUF struct sc_buf into;
    struct sc_s3_transfer t;
    sc_buf_init(&into, 0);
    begin(w, &t, SC_S3_DOWN, "k");
    t.into = &into;
    t.max_bytes = max_bytes;
    enum sc_rc rc = finish(w, &t);
    if (rc == SC_OK) {
        assert_int_equal(into.len, want_len);
        assert_int_equal(t.bytes, want_len);
        if (want_len)
            assert_memory_equal(into.ptr, want, want_len);
    }
    sc_s3_transfer_done(&t);
    return rc;
}

static void test_s3_transfer_large_object_comes_in_parts_of_one_etag(void **state)
{
    struct world *w = *state;
    serve(w, NULL);
    assert_rc(get_file(w, &w->digest, NULL), SC_OK);
    SC_AUTO_FREE char *log = log_of(w);
    assert_int_equal(sc_s3_stand_count(w->stand), 11);
    assert_int_equal(count_in(log, "if-match=\"e1\""), 10);
    assert_contains(log, "GET /bkt/k range=bytes=0-16383\n"); // the first one tells the etag
    assert_contains(log, "range=bytes=163840-163962 if-match");
    assert_int_equal(w->progress, LARGE);
    assert_rc(get_memory(w, LARGE, (const char *)w->bytes, LARGE), SC_OK);
    assert_rc(get_memory(w, LARGE - 1, NULL, 0), SC_LIMIT);
}

static void test_s3_transfer_small_object_is_one_request(void **state)
{
    struct world *w = *state;
    sc_s3_stand_put(w->stand, "/bkt/k", sc_slice_str("small"), NULL);
    assert_rc(get_memory(w, 100, "small", 5), SC_OK);
    assert_rc(get_memory(w, 1 << 20, "small", 5), SC_OK);
    SC_AUTO_FREE char *log = log_of(w);
    assert_string_equal(log, "GET /bkt/k\nGET /bkt/k range=bytes=0-16383\n");
    assert_rc(get_memory(w, 4, NULL, 0), SC_LIMIT);
}

static void test_s3_transfer_empty_object_comes_whole_however_it_is_asked_for(void **state)
{
    struct world *w = *state;
    sc_s3_stand_put(w->stand, "/bkt/k", sc_slice_str(""), NULL);
    assert_rc(get_memory(w, 100, "", 0), SC_OK);
    assert_rc(get_memory(w, 1 << 20, "", 0), SC_OK); // by a range, which it does not have
    assert_int_equal(sc_s3_stand_count(w->stand), 2);
}

static void test_s3_transfer_part_that_breaks_off_goes_on_where_it_stopped(void **state)
{
    struct world *w = *state;
    serve(w, NULL);
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .skip = 0, .times = 1, .how = SC_HTTP_CUT, .at = 1000});
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .skip = 1, .times = 1, .how = SC_HTTP_STALL, .at = 2000});
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .skip = 2, .times = 1, .how = SC_HTTP_CUT, .at = 16384});
    assert_rc(get_file(w, &w->digest, NULL), SC_OK);
    SC_AUTO_FREE char *log = log_of(w);
    assert_contains(log, " range=bytes=1000-16383 if-match=\"e1\"\n");
    assert_int_equal(sc_s3_stand_count(w->stand), 13);
}

static void test_s3_transfer_stream_without_a_length_comes_whole(void **state)
{
    struct world *w = *state;
    serve(w, NULL);
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .status = 200, .body = "chunked",
                                       .how = SC_HTTP_CHUNKED});
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .status = 200, .body = "all",
                                       .how = SC_HTTP_CHUNKED});
    assert_rc(get_memory(w, 100, "chunked", 7), SC_OK);
    assert_rc(get_memory(w, 1 << 20, "all", 3), SC_OK); // though a range was asked for
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .status = 200, .body = "12345",
                                       .how = SC_HTTP_CHUNKED});
    assert_rc(get_memory(w, 4, NULL, 0), SC_LIMIT);
}

static void test_s3_transfer_stream_without_a_length_that_breaks_off_begins_anew(void **state)
{
    struct world *w = *state;
    static const char text[] = "without a length";
    static const int64_t ends[] = {7, sizeof text - 1};
    for (size_t i = 0; i < SC_COUNT(ends); i++) {
        fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .status = 200, .body = text,
                                           .how = SC_HTTP_CHUNKED, .at = ends[i]});
        fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .status = 200, .body = text});
        assert_rc(get_memory(w, i ? 1 << 20 : 100, text, sizeof text - 1), SC_OK);
    }
    // Its etag is not known: a second request for the rest could be answered out of another object.
    SC_AUTO_FREE char *log = log_of(w);
    assert_int_equal(sc_s3_stand_count(w->stand), 4);
    assert_int_equal(count_in(log, "range=bytes="), count_in(log, "range=bytes=0-16383\n"));
}

static void test_s3_transfer_answer_with_fewer_bytes_than_asked_for_is_gone_on_from(void **state)
{
    struct world *w = *state;
    memcpy(w->bytes, "abc", 3);
    serve(w, NULL);
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .status = 206, .body = "abc",
                                       .headers = "Content-Range: bytes 0-2/163963\r\nETag: \"e1\"\r\n"});
    assert_rc(get_file(w, NULL, NULL), SC_OK);
    SC_AUTO_FREE char *log = log_of(w);
    assert_contains(log, "range=bytes=3-16383 if-match=\"e1\"\n");
}

static void test_s3_transfer_whole_answer_to_a_range_is_taken_from_the_start_alone(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    serve(w, NULL);
    // This server ignores ranges: the first answer is the object.
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .status = 200, .body = "short"});
    assert_rc(get_memory(w, 1 << 20, "short", 5), SC_OK);
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .skip = 1, .times = 9, .status = 200, .body = "short"});
    assert_rc(get_file(w, NULL, &err), SC_MALFORMED);
    assert_contains(err.message, "ranges");
}

static void test_s3_transfer_wrong_range_is_refused(void **state)
{
    struct world *w = *state;
    serve(w, NULL);
    static const char *const ranges[] = {"Content-Range: bytes 1-16384/163963\r\n",
                                         "Content-Range: bytes */163963\r\n",
                                         "Content-Range: bytes 0-16383/*\r\n", ""};
    for (size_t i = 0; i < SC_COUNT(ranges); i++) {
        fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .status = 206, .headers = ranges[i],
                                           .body = "x"});
        assert_rc(get_file(w, NULL, NULL), SC_MALFORMED);
    }
}

static void test_s3_transfer_object_that_is_overwritten_on_the_way_is_told(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    serve(w, NULL);
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .skip = 4, .times = 99, .status = 412,
                                       .code = "PreconditionFailed"});
    assert_rc(get_file(w, NULL, &err), SC_BUSY);
    assert_contains(err.hint, "overwritten");
}

static void test_s3_transfer_pinned_object_is_asked_for_by_version_and_etag_from_the_first(void **state)
{
    struct world *w = *state;
    struct sc_s3_transfer t;
    SC_AUTO_BUF struct sc_buf into;
    sc_buf_init(&into, 0);
    serve(w, NULL);
    begin(w, &t, SC_S3_DOWN, "k");
    t.place.version = sc_slice_str("v7");
    t.place.etag = sc_slice_str("e1");
    t.into = &into;
    t.max_bytes = LARGE;
    assert_rc(finish(w, &t), SC_OK);
    assert_slice(t.etag, "e1");
    sc_s3_transfer_done(&t);
    SC_AUTO_FREE char *log = log_of(w);
    assert_int_equal(count_in(log, "?versionId=v7 "), 11);
    assert_int_equal(count_in(log, "if-match=\"e1\""), 11);
    begin(w, &t, SC_S3_DOWN, "k");
    t.place.etag = sc_slice_str("e0");
    t.into = &into;
    t.max_bytes = LARGE;
    assert_rc(finish(w, &t), SC_BUSY);
    sc_s3_transfer_done(&t);
}

static void test_s3_transfer_wrong_bytes_are_read_again_and_then_corrupt(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    serve(w, NULL);
    // One flipped bit in the third request: all comes again, and is right.
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .skip = 2, .times = 1, .flip = 100});
    assert_rc(get_file(w, &w->digest, NULL), SC_OK);
    assert_int_equal(sc_s3_stand_count(w->stand), 22);
    w->bytes[LARGE - 1] ^= 1;
    serve(w, NULL); // others lie there
    assert_rc(get_file(w, &w->digest, &err), SC_CORRUPT);
    assert_contains(err.message, "digest");
    assert_int_equal(sc_s3_stand_count(w->stand), 22 + 44);
    // Without a digest nobody can tell.
    assert_rc(get_file(w, NULL, NULL), SC_OK);
}

static void test_s3_transfer_wrong_bytes_of_a_small_object_are_read_again(void **state)
{
    struct world *w = *state;
    SC_AUTO_BUF struct sc_buf into;
    struct sc_s3_transfer t;
    sc_buf_init(&into, 0);
    sc_s3_stand_put(w->stand, "/bkt/k", sc_slice_str("small"), NULL);
    fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .flip = 2});
    begin(w, &t, SC_S3_DOWN, "k");
    t.into = &into;
    t.max_bytes = 100;
    t.sha256 = sc_digest_of(sc_slice_str("small"));
    assert_rc(finish(w, &t), SC_OK);
    assert_slice(sc_buf_slice(&into), "small");
    sc_s3_transfer_done(&t);
    assert_int_equal(sc_s3_stand_count(w->stand), 2);
}

// Our own puts keep their digest with the object: a flipped bit shows though the reader does not know what to expect.
static void test_s3_transfer_digest_kept_with_the_object_is_checked(void **state)
{
    struct world *w = *state;
    static const size_t sizes[] = {5, LARGE};
    for (size_t i = 0; i < SC_COUNT(sizes); i++) {
        struct sc_s3_transfer t;
        begin(w, &t, SC_S3_UP, "k");
        t.body = sc_slice(w->bytes, sizes[i]);
        t.sha256 = i ? w->digest : (struct sc_digest){{0}};
        assert_ok(finish(w, &t), t.err);
        sc_s3_transfer_done(&t);
        uint32_t before = sc_s3_stand_count(w->stand);
        fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = 1, .flip = 2});
        assert_rc(get_memory(w, LARGE, (const char *)w->bytes, sizes[i]), SC_OK);
        assert_int_equal(sc_s3_stand_count(w->stand) - before, i ? 22 : 2);
        fault(w, (struct sc_s3_fault_rule){"GET", "k", .times = i ? 44 : 4, .flip = 2}); // all readings
        assert_rc(get_memory(w, LARGE, NULL, 0), SC_CORRUPT);
        // A copy keeps it, too.
        begin(w, &t, SC_S3_ACROSS, "copy");
        t.from = (struct sc_s3_place){.bucket = sc_slice_str("bkt"), .key = sc_slice_str("k")};
        t.sha256 = i ? w->digest : (struct sc_digest){{0}};
        assert_ok(finish(w, &t), t.err);
        sc_s3_transfer_done(&t);
        SC_AUTO_BUF struct sc_buf into;
        sc_buf_init(&into, 0);
        begin(w, &t, SC_S3_DOWN, "copy");
        t.into = &into;
        t.max_bytes = LARGE;
        fault(w, (struct sc_s3_fault_rule){"GET", "copy", .times = i ? 44 : 4, .flip = 2});
        assert_rc(finish(w, &t), SC_CORRUPT);
        sc_s3_transfer_done(&t);
    }
}

static void test_s3_transfer_full_disk_is_our_own_story(void **state)
{
    struct world *w = *state;
    struct sc_s3_transfer t;
    SC_AUTO_CLOSE int fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        skip();
    serve(w, NULL);
    begin(w, &t, SC_S3_DOWN, "k");
    t.to_fd = fd;
    assert_rc(finish(w, &t), SC_FULL);
    assert_contains(t.err.message, "No space left");
    sc_s3_transfer_done(&t);
    assert_true(sc_s3_stand_count(w->stand) <= WINDOW + 1); // not tried again
}

static void test_s3_transfer_missing_and_archived_are_told(void **state)
{
    struct world *w = *state;
    struct sc_s3_transfer t;
    SC_AUTO_BUF struct sc_buf into;
    sc_buf_init(&into, 0);
    for (int archived = 0; archived < 2; archived++) {
        begin(w, &t, SC_S3_DOWN, "k");
        t.into = &into;
        t.max_bytes = 100;
        assert_rc(finish(w, &t), SC_NOT_FOUND);
        assert_int_equal(t.archived, archived);
        sc_s3_transfer_done(&t);
        fault(w,
              (struct sc_s3_fault_rule){"GET", "k", .times = 1, .status = 403, .code = "InvalidObjectState"});
    }
    static const struct {
        const char *class, *restore, *archive;
        bool want;
    } rows[] = {{"", "", "", false},
                {"STANDARD_IA", "", "", false},
                {"GLACIER_IR", "", "", false},
                {"GLACIER", "", "", true},
                {"DEEP_ARCHIVE", "ongoing-request=\"true\"", "", true},
                {"DEEP_ARCHIVE", "ongoing-request=\"false\", expiry-date=\"x\"", "", false},
                {"INTELLIGENT_TIERING", "", "", false},
                {"INTELLIGENT_TIERING", "", "DEEP_ARCHIVE_ACCESS", true}};
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        struct sc_s3_answer answer = {.storage_class = sc_slice_str(rows[i].class),
                                      .restore = sc_slice_str(rows[i].restore),
                                      .archive = sc_slice_str(rows[i].archive)};
        assert_int_equal(sc_s3_is_archived(&answer), rows[i].want);
    }
}

static void test_s3_transfer_many_at_once_go_one_request_each(void **state)
{
    struct world *w = *state;
    enum { COUNT = 12 };
    struct sc_s3_transfer *all = sc_calloc(COUNT, sizeof *all);
    int fds[COUNT];
    serve(w, NULL);
    for (int i = 0; i < COUNT; i++) {
        SC_AUTO_FREE char *path = sc_asprintf("%s/%d", w->scratch, i);
        fds[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        begin(w, &all[i], SC_S3_DOWN, "k");
        all[i].to_fd = fds[i];
        all[i].sha256 = w->digest;
        sc_s3_mover_submit(w->mover, &all[i]);
    }
    while (w->ended < COUNT)
        turn(w);
    for (int i = 0; i < COUNT; i++) {
        assert_ok(all[i].rc, all[i].err);
        sc_s3_transfer_done(&all[i]);
        close(fds[i]);
    }
    free(all);
    // The first part, and the rest in longer ones; the last few have the connections for themselves again.
    assert_true(sc_s3_stand_count(w->stand) < COUNT * 8);
    assert_true(sc_s3_stand_most(w->stand) <= WINDOW);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_s3_transfer_large_object_comes_in_parts_of_one_etag),
        T(test_s3_transfer_small_object_is_one_request),
        T(test_s3_transfer_empty_object_comes_whole_however_it_is_asked_for),
        T(test_s3_transfer_part_that_breaks_off_goes_on_where_it_stopped),
        T(test_s3_transfer_stream_without_a_length_comes_whole),
        T(test_s3_transfer_stream_without_a_length_that_breaks_off_begins_anew),
        T(test_s3_transfer_answer_with_fewer_bytes_than_asked_for_is_gone_on_from),
        T(test_s3_transfer_whole_answer_to_a_range_is_taken_from_the_start_alone),
        T(test_s3_transfer_wrong_range_is_refused),
        T(test_s3_transfer_object_that_is_overwritten_on_the_way_is_told),
        T(test_s3_transfer_pinned_object_is_asked_for_by_version_and_etag_from_the_first),
        T(test_s3_transfer_wrong_bytes_are_read_again_and_then_corrupt),
        T(test_s3_transfer_wrong_bytes_of_a_small_object_are_read_again),
        T(test_s3_transfer_digest_kept_with_the_object_is_checked),
        T(test_s3_transfer_full_disk_is_our_own_story),
        T(test_s3_transfer_missing_and_archived_are_told),
        T(test_s3_transfer_many_at_once_go_one_request_each),
    };
    return cmocka_run_group_tests_name("s3_download", tests, NULL, NULL);
}
