// Objects up, down and across in parts, against a stand-in for S3 with faults. Sizes are small here: parts of 16 KiB.
#include "tests/unit/store_test.h"

#include "base/random.h"
#include "store/s3/transfer.h"
#include "tests/lib/s3_stand.h"

enum { KIB = 1024, PART = 16 * KIB, SINGLE = 64 * KIB, LARGE = 10 * PART + 123, WINDOW = 4 };

struct world {
    struct sc_s3_stand *stand;
    struct sc_s3_provider *provider;
    struct sc_s3_client *client;
    struct sc_s3_mover *mover;
    struct sc_arena arena;
    char *scratch;
    uint8_t *bytes; // LARGE of them, random
    struct sc_digest digest;
    uint32_t ended;
    uint64_t progress; // the last that was told
};

static int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_endpoint endpoint;
    struct sc_random random;
    *state = w;
    setenv("AWS_ACCESS_KEY_ID", "KEY1", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    sc_arena_init(&w->arena);
    w->scratch = sc_scratch_new();
    w->bytes = sc_calloc(LARGE + 8, 1);
    sc_random_init(&random, 5);
    for (size_t i = 0; i < LARGE; i += 8) {
        uint64_t value = sc_random_next(&random);
        memcpy(w->bytes + i, &value, 8);
    }
    w->digest = sc_digest_of(sc_slice(w->bytes, LARGE));
    w->stand = sc_s3_stand_new();
    struct sc_s3_provider_config provider = {.region = "us-east-1"};
    w->provider = sc_s3_provider_new(&provider);
    assert_ok(
        sc_s3_endpoint_parse(sc_s3_stand_url(w->stand), SC_S3_STYLE_PATH, &w->arena, &endpoint, NULL, &err),
        err);
    struct sc_s3_client_config config = {
        .endpoint = endpoint,
        .region = sc_slice_str("us-east-1"),
        .provider = w->provider,
        .bucket = sc_slice_str("bkt"),
        .prefix = sc_slice_str(""),
        .known_key = sc_slice_str("stepcache.json"),
        .http = {.connections = WINDOW, .connect_ms = 5000, .stall_ms = 1000},
        .window = WINDOW,
        .patience_ms = 20000,
        .seed = 1,
    };
    assert_ok(sc_s3_client_new(&config, &w->client, &err), err);
    static const struct sc_s3_sizes sizes = {
        .single = SINGLE, .part = PART, .copy_single = 100 * KIB, .copy_part = 50 * KIB};
    w->mover = sc_s3_mover_new(w->client, &sizes);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sc_s3_mover_free(w->mover);
    sc_s3_client_free(w->client);
    sc_s3_provider_free(w->provider);
    sc_s3_stand_free(w->stand);
    sc_arena_done(&w->arena);
    sc_scratch_remove(w->scratch);
    free(w->bytes);
    free(w);
    return 0;
}

static void count_end(struct sc_s3_transfer *t)
{
    ((struct world *)t->context)->ended++;
}

static void note_progress(struct sc_s3_transfer *t)
{
    ((struct world *)t->context)->progress = t->moved_bytes;
}

static void begin(struct world *w, struct sc_s3_transfer *t, enum sc_s3_way way, const char *key)
{
    sc_s3_transfer_init(t, way);
    t->place.bucket = sc_slice_str("bkt");
    t->place.key = sc_slice_str(key);
    t->done = count_end;
    t->progress = note_progress;
    t->context = w;
}

static void turn(struct world *w)
{
    bool hashes = sc_s3_mover_turn(w->mover);
    sc_s3_client_turn(w->client, hashes ? 0 : 1000);
}

static enum sc_rc finish(struct world *w, struct sc_s3_transfer *t)
{
    uint32_t before = w->ended;
    sc_s3_mover_submit(w->mover, t);
    while (w->ended == before)
        turn(w);
    assert_int_equal(w->ended, before + 1);
    assert_false(sc_s3_client_busy(w->client));
    return t->rc;
}

static void fault(struct world *w, struct sc_s3_fault_rule rule)
{
    sc_s3_stand_fault(w->stand, &rule);
}

static void serve(struct world *w, const char *headers)
{
    sc_s3_stand_put(w->stand, "/bkt/k", sc_slice(w->bytes, LARGE), headers);
}

static char *log_of(struct world *w)
{
    return sc_s3_stand_log(w->stand);
}

static uint32_t count_in(const char *text, const char *part)
{
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

// ---- down

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

// ---- up

static char *write_large(struct world *w)
{
    char *path = sc_scratch_path(w->scratch, "large");
    write_bytes(path, w->bytes, LARGE);
    return path;
}

static void assert_stored(struct world *w, const char *target, const void *bytes, size_t len)
{
    SC_AUTO_BUF struct sc_buf found;
    assert_true(sc_s3_stand_get(w->stand, target, &found));
    assert_int_equal(found.len, len);
    if (len)
        assert_memory_equal(found.ptr, bytes, len);
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

// ---- across

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
        T(test_s3_transfer_large_file_goes_up_in_parts),
        T(test_s3_transfer_up_to_the_bound_is_one_request),
        T(test_s3_transfer_part_that_fails_is_sent_again),
        T(test_s3_transfer_own_completion_whose_success_was_lost_is_recognised),
        T(test_s3_transfer_upload_that_fails_is_aborted),
        T(test_s3_transfer_file_that_changed_since_it_was_hashed_is_not_completed),
        T(test_s3_transfer_small_file_that_changed_since_it_was_hashed_is_refused_by_the_server),
        T(test_s3_transfer_file_that_is_none_is_refused_by_name),
        T(test_s3_transfer_large_put_if_absent_looks_before_it_sends),
        T(test_s3_transfer_copy_is_one_request_where_the_size_is_known),
        T(test_s3_transfer_copy_of_a_large_object_goes_in_parts_of_one_etag),
        T(test_s3_transfer_copy_may_fail_after_it_said_yes),
        T(test_s3_transfer_copy_if_absent_leaves_what_is_there_and_knows_its_own),
        T(test_s3_transfer_parts_are_never_more_than_s3_takes),
    };
    return cmocka_run_group_tests_name("s3_transfer", tests, NULL, NULL);
}
