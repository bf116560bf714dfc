// Data in a bucket of others, against a stub that says what a server may say of an object's checksum. Whole sources are tried
// on a real server (tests/integration/test_sources.py), which tells no checksums.
#include "tests/lib/http_stub.h"
#include "tests/unit/store_test.h"

#include "store/s3/s3.h"
#include "store/source.h"
#include "store/source_read.h"

#include <openssl/evp.h>

struct world {
    struct sc_http_stub *stub;
    struct sc_store *store;
    struct sc_pinned *pinned;
    char *scratch, *server, *folder, *path;
    struct sc_source source;
    struct sc_sourced got;
    struct sc_error err;
};

#define ETAG  "ETag: \"0123456789abcdef0123456789abcdef\"\r\n"
#define TIME  "Last-Modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n"
#define WHOLE "x-amz-checksum-type: FULL_OBJECT\r\n"
// SHA-256 of "what the server says", which is not what it sends.
#define SUM "oQMM9W4hemqLalKVOtE3lYOYeiqVcCW+U7UJ0sJE2Yk="
static const char told_text[] = "what the server says";

static int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    *state = w;
    setenv("AWS_ACCESS_KEY_ID", "KEY", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    w->stub = sc_http_stub_new();
    w->scratch = sc_scratch_new();
    w->server = sc_asprintf("http://%s", sc_http_stub_host(w->stub));
    SC_AUTO_FREE char *url = sc_asprintf("s3://bkt?endpoint=%s&region=eu&style=path", w->server);
    assert_ok(sc_store_s3_open(url, &w->store, &w->err), w->err);
    w->path = sc_scratch_path(w->scratch, "pinned");
    w->folder = sc_scratch_path(w->scratch, "source");
    w->pinned = sc_pinned_open(w->path, 10);
    w->source = (struct sc_source){.from = w->store,
                                   .bucket = sc_slice_str("bkt"),
                                   .pinned = w->pinned,
                                   .scratch = w->folder,
                                   .believed = w->server};
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sc_store_close(w->store);
    sc_pinned_close(w->pinned);
    sc_sourced_done(&w->got);
    sc_http_stub_end(w->stub);
    sc_scratch_remove(w->scratch);
    free(w->server);
    free(w->folder);
    free(w->path);
    free(w);
    return 0;
}

static enum sc_rc file(struct world *w)
{
    w->err = (struct sc_error)SC_ERROR_INIT;
    sc_sourced_done(&w->got);
    return sc_source_file(&w->source, sc_slice_str("a.csv"), sc_slice(NULL, 0), &w->got, &w->err);
}

static void assert_is(const struct world *w, const char *content)
{
    struct sc_digest digest = sc_digest_of(sc_slice_str(content));
    assert_memory_equal(w->got.artifact.digest.bytes, digest.bytes, SC_DIGEST_BYTES);
}

static void
test_what_a_believed_server_tells_of_the_whole_object_is_its_digest_and_it_is_not_read(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = "HEAD /bkt/a.csv",
         .header = ETAG TIME WHOLE "x-amz-checksum-sha256: " SUM "\r\nContent-Length: 4"}};
    sc_http_stub_play(w->stub, script, 1);
    assert_ok(file(w), w->err);
    assert_is(w, told_text);
    assert_contains(sc_http_stub_last(w->stub), "x-amz-checksum-mode: ENABLED\r\n");
    assert_contains(sc_http_stub_last(w->stub), "x-amz-checksum-mode;x-amz-content-sha256"); // signed
}

struct told {
    uint64_t done_bytes, total_bytes;
    uint32_t times;
};

static void tell(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct told *told = context;
    assert_true(done_bytes <= total_bytes);
    *told = (struct told){done_bytes, total_bytes, told->times + 1};
}

static void test_what_has_come_is_told_and_what_is_read_again_counts_again(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = "HEAD /bkt/a.csv", .header = ETAG TIME "Content-Length: 4"},
        {.request = "GET /bkt/a.csv", .body = "data"},
        {.request = "GET /bkt/a.csv", .body = "data"}};
    struct told told = {.times = 0};
    w->source.progress = tell;
    w->source.context = &told;
    sc_http_stub_play(w->stub, script, 3);
    assert_ok(file(w), w->err);
    assert_int_equal(told.done_bytes, 8);
    assert_int_equal(told.total_bytes, 8);
    assert_true(told.times >= 4);
}

static void test_a_large_object_is_hashed_beside_the_thread_that_reads(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = "HEAD /bkt/a.csv", .header = ETAG TIME "Content-Length: 2000000"},
        {.request = "GET /bkt/a.csv", .more = 2000000},
        {.request = "GET /bkt/a.csv", .more = 2000000}};
    SC_AUTO_FREE char *content = sc_calloc(2000001, 1);
    memset(content, 'x', 2000000);
    w->source.believed = NULL;
    sc_http_stub_play(w->stub, script, 3);
    assert_ok(file(w), w->err);
    assert_is(w, content);
}

static void test_another_server_is_not_asked_for_it_and_not_believed(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = "HEAD /bkt/a.csv",
         .header = ETAG TIME WHOLE "x-amz-checksum-sha256: " SUM "\r\nContent-Length: 4"},
        {.request = "GET /bkt/a.csv",
         .body = "data",
         .header = ETAG TIME WHOLE "x-amz-checksum-sha256: " SUM},
        {.request = "GET /bkt/a.csv", .body = "data"}};
    w->source.believed = "https://elsewhere, http://127.0.0.1";
    sc_http_stub_play(w->stub, script, 3); // twice, since nothing vouches for what comes without TLS
    assert_ok(file(w), w->err);
    assert_is(w, "data");
    assert_null(strstr(sc_http_stub_last(w->stub), "checksum-mode"));
}

static void test_what_is_not_of_the_whole_object_is_no_digest(void **state)
{
    struct world *w = *state;
    static const char *const heads[] = {
        ETAG TIME "x-amz-checksum-type: COMPOSITE\r\nx-amz-checksum-sha256: " SUM "-2\r\nContent-Length: 4",
        ETAG TIME "x-amz-checksum-type: COMPOSITE\r\nx-amz-checksum-sha256: " SUM "\r\nContent-Length: 4",
        ETAG TIME "x-amz-checksum-sha256: " SUM "\r\nContent-Length: 4",
        ETAG TIME WHOLE "x-amz-checksum-sha256: " SUM "-1\r\nContent-Length: 4",
        ETAG TIME WHOLE "x-amz-checksum-sha256: MLGhzQyBrwS2\r\nContent-Length: 4",
        ETAG TIME WHOLE
        "x-amz-checksum-sha256: ****9W4hemqLalKVOtE3lYOYeiqVcCW+U7UJ0sJE2Yk=\r\nContent-Length: 4",
        ETAG TIME WHOLE "x-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\nContent-Length: 4",
        "ETag: \"0123456789abcdef0123456789abcdef-2\"\r\n" TIME WHOLE "x-amz-checksum-sha256: " SUM
        "\r\nContent-Length: 4",
    };
    for (size_t i = 0; i < SC_COUNT(heads); i++) {
        const struct sc_http_exchange script[] = {{.request = "HEAD /bkt/a.csv", .header = heads[i]},
                                                  {.request = "GET /bkt/a.csv", .body = "data"},
                                                  {.request = "GET /bkt/a.csv", .body = "data"}};
        sc_pinned_close(w->pinned); // of each object as if it were the first
        w->source.pinned = w->pinned = sc_pinned_open(w->path, 10);
        sc_http_stub_play(w->stub, script, 3);
        assert_ok(file(w), w->err);
        assert_is(w, "data");
        sc_http_stub_check(w->stub);
    }
}

static void test_an_object_that_was_read_before_and_was_another_is_read(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange before[] = {
        {.request = "HEAD /bkt/a.csv", .header = ETAG TIME "Content-Length: 4"},
        {.request = "GET /bkt/a.csv", .body = "data"},
        {.request = "GET /bkt/a.csv", .body = "data"}};
    static const struct sc_http_exchange after[] = {
        {.request = "HEAD /bkt/a.csv",
         .header = ETAG TIME WHOLE "x-amz-checksum-sha256: " SUM "\r\nContent-Length: 4"},
        {.request = "GET /bkt/a.csv", .body = "data"},
        {.request = "GET /bkt/a.csv", .body = "data"}};
    sc_http_stub_play(w->stub, before, 3);
    assert_ok(file(w), w->err);
    sc_http_stub_check(w->stub);
    sc_http_stub_play(w->stub, after, 3);
    assert_ok(file(w), w->err);
    assert_is(w, "data");
}

// Of a prefix only large objects are asked about: a small one costs no more to read. What was told is remembered.
static void test_large_objects_below_a_prefix_are_asked_about_once(void **state)
{
    struct world *w = *state;
    static const char list[] =
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>d/big</Key><Size>2000000</Size>"
        "<ETag>\"0123456789abcdef0123456789abcdef\"</ETag>"
        "<LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents></ListBucketResult>";
    static const struct sc_http_exchange script[] = {
        {.request = "GET /bkt?", .body = list},
        {.request = "HEAD /bkt/d/big",
         .header = ETAG TIME WHOLE "x-amz-checksum-sha256: " SUM "\r\nContent-Length: 2000000"},
        {.request = "GET /bkt?", .body = list}};
    sc_http_stub_play(w->stub, script, 3);
    for (int i = 0; i < 2; i++) {
        sc_sourced_done(&w->got);
        assert_ok(sc_source_dir(&w->source, sc_slice_str("d"), &w->got, &w->err), w->err);
        assert_int_equal(w->got.artifact.kind, SC_ARTIFACT_DIR);
        assert_int_equal(w->got.artifact.bytes, 2000000);
    }
}

// A name of a bucket is one bucket's in one partition of AWS alone.
static void test_a_partition_of_aws_is_a_server_of_its_own(void **state)
{
    static const char *const cases[][2] = {
        {"region=eu-west-1", "aws"},
        {"region=cn-north-1", "aws-cn"},
        {"region=us-gov-west-1", "aws-us-gov"},
        {"endpoint=https://s3.cn-northwest-1.amazonaws.com.cn", "aws-cn"},
        {"endpoint=https://s3.us-gov-east-1.amazonaws.com", "aws-us-gov"},
        {"endpoint=http://s3.eu-west-1.amazonaws.com", "http://s3.eu-west-1.amazonaws.com"},
    };
    (void)state;
    unsetenv("AWS_ENDPOINT_URL"); // of the server that the tests run beside
    unsetenv("AWS_ENDPOINT_URL_S3");
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_FREE char *url = sc_asprintf("s3://bkt?%s", cases[i][0]);
        struct sc_store *store;
        struct sc_error err = SC_ERROR_INIT;
        assert_ok(sc_store_s3_open(url, &store, &err), err);
        assert_string_equal(sc_store_server(store), cases[i][1]);
        const struct sc_source source = {.from = store};
        assert_int_equal(sc_source_believes(&source), strncmp(cases[i][1], "aws", 3) == 0);
        sc_store_close(store);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_what_a_believed_server_tells_of_the_whole_object_is_its_digest_and_it_is_not_read),
        T(test_what_has_come_is_told_and_what_is_read_again_counts_again),
        T(test_a_large_object_is_hashed_beside_the_thread_that_reads),
        T(test_another_server_is_not_asked_for_it_and_not_believed),
        T(test_what_is_not_of_the_whole_object_is_no_digest),
        T(test_an_object_that_was_read_before_and_was_another_is_read),
        T(test_large_objects_below_a_prefix_are_asked_about_once),
        cmocka_unit_test(test_a_partition_of_aws_is_a_server_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
