// Requests that come true or end with a story, against a stand-in for S3 with faults.
#include "tests/unit/store_test.h"

#include "base/os/clock.h"
#include "store/s3/client.h"
#include "tests/lib/s3_stand.h"

#include <time.h>

struct world {
    struct sc_s3_stand *stand;
    struct sc_s3_provider *provider;
    struct sc_s3_client *client;
    struct sc_arena arena;
    uint32_t ended;
};

static void new_client(struct world *w, int64_t patience_ms)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_endpoint endpoint;
    sc_s3_client_free(w->client);
    assert_ok(
        sc_s3_endpoint_parse(sc_s3_stand_url(w->stand), SC_S3_STYLE_PATH, &w->arena, &endpoint, NULL, &err),
        err);
    struct sc_s3_client_config config = {
        .endpoint = endpoint,
        .region = sc_slice_str("us-east-1"),
        .provider = w->provider,
        .bucket = sc_slice_str("bkt"),
        .prefix = sc_slice_str("p"),
        .known_key = sc_slice_str("p/stepcache.json"),
        .http = {.connections = 8, .connect_ms = 5000, .stall_ms = 1000},
        .window = 8,
        .patience_ms = patience_ms,
        .seed = 1,
    };
    assert_ok(sc_s3_client_new(&config, &w->client, &err), err);
}

static int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    *state = w;
    setenv("AWS_ACCESS_KEY_ID", "KEY1", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    unsetenv("AWS_SESSION_TOKEN");
    sc_arena_init(&w->arena);
    w->stand = sc_s3_stand_new();
    struct sc_s3_provider_config provider = {.region = "us-east-1"};
    w->provider = sc_s3_provider_new(&provider);
    new_client(w, 20000);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sc_s3_client_free(w->client);
    sc_s3_provider_free(w->provider);
    sc_s3_stand_free(w->stand);
    sc_arena_done(&w->arena);
    free(w);
    return 0;
}

static void count_end(struct sc_s3_call *call)
{
    ((struct world *)call->context)->ended++;
}

static void begin(struct world *w, struct sc_s3_call *call, enum sc_s3_ask ask, const char *key)
{
    sc_s3_call_init(call, ask);
    call->bucket = sc_slice_str("bkt");
    call->key = sc_slice_str(key);
    call->done = count_end;
    call->context = w;
}

static enum sc_rc finish(struct world *w, struct sc_s3_call *call)
{
    uint32_t before = w->ended;
    sc_s3_client_submit(w->client, call);
    assert_int_equal(w->ended, before);
    while (w->ended == before)
        sc_s3_client_turn(w->client, -1);
    assert_int_equal(w->ended, before + 1);
    assert_false(sc_s3_client_busy(w->client));
    return call->rc;
}

// A whole request in one line; `ret_err` may be NULL.
static enum sc_rc ask(struct world *w, enum sc_s3_ask ask, const char *key, struct sc_error *ret_err)
{
    struct sc_s3_call call;
    begin(w, &call, ask, key);
    call.source.bytes = sc_slice_str(ask == SC_S3_PUT ? "body" : "");
    enum sc_rc rc = finish(w, &call);
    if (ret_err)
        *ret_err = call.err;
    sc_s3_call_done(&call);
    return rc;
}

static enum sc_rc put_if_absent(struct world *w, const char *key)
{
    struct sc_s3_call call;
    begin(w, &call, SC_S3_PUT, key);
    call.source.bytes = sc_slice_str("body");
    call.if_absent = true;
    enum sc_rc rc = finish(w, &call);
    sc_s3_call_done(&call);
    return rc;
}

static void fault(struct world *w, struct sc_s3_fault_rule rule)
{
    sc_s3_stand_fault(w->stand, &rule);
}

static void assert_log(struct world *w, const char *want)
{
    SC_AUTO_FREE char *log = sc_s3_stand_log(w->stand);
    assert_string_equal(log, want);
}

static void assert_head(struct world *w, uint32_t number, const char *part)
{
    SC_AUTO_FREE char *head = sc_s3_stand_head(w->stand, number);
    assert_contains(head, part);
}

// ---- requests

static void test_s3_client_put_get_head_delete(void **state)
{
    struct world *w = *state;
    struct sc_s3_call call;
    assert_rc(ask(w, SC_S3_PUT, "p/a b", NULL), SC_OK);
    begin(w, &call, SC_S3_GET, "p/a b");
    assert_rc(finish(w, &call), SC_OK);
    assert_slice(sc_buf_slice(&call.exchange.text), "body");
    sc_s3_call_done(&call);
    begin(w, &call, SC_S3_HEAD, "p/a b");
    assert_rc(finish(w, &call), SC_OK);
    assert_int_equal(call.exchange.answer.length, 4);
    assert_slice(call.exchange.answer.etag, "e1");
    sc_s3_call_done(&call);
    assert_rc(ask(w, SC_S3_DELETE, "p/a b", NULL), SC_OK);
    assert_rc(ask(w, SC_S3_GET, "p/a b", NULL), SC_NOT_FOUND);
    assert_log(
        w, "PUT /bkt/p/a%20b\nGET /bkt/p/a%20b\nHEAD /bkt/p/a%20b\nDELETE /bkt/p/a%20b\nGET /bkt/p/a%20b\n");
    assert_head(w, 1, "authorization: AWS4-HMAC-SHA256 Credential=KEY1/");
    assert_head(w, 1,
                "/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=");
    struct sc_s3_client_counts counts = sc_s3_client_counts(w->client);
    assert_int_equal(counts.puts, 1);
    assert_int_equal(counts.gets, 3);
    assert_int_equal(counts.deletes, 1);
    assert_int_equal(counts.retries, 0);
}

static void test_s3_client_version_and_etag_are_part_of_what_is_read(void **state)
{
    struct world *w = *state;
    struct sc_s3_call call;
    sc_s3_stand_put(w->stand, "/other/k", sc_slice_str("0123456789"), NULL);
    begin(w, &call, SC_S3_GET, "k");
    call.bucket = sc_slice_str("other");
    call.version = sc_slice_str("3/L+x");
    call.if_match = sc_slice_str("e1");
    call.range_first = 2;
    call.range_bytes = 3;
    assert_rc(finish(w, &call), SC_OK);
    assert_slice(sc_buf_slice(&call.exchange.text), "234");
    sc_s3_call_done(&call);
    begin(w, &call, SC_S3_GET, "k");
    call.bucket = sc_slice_str("other");
    call.if_match = sc_slice_str("e9");
    assert_rc(finish(w, &call), SC_BUSY);
    sc_s3_call_done(&call);
    assert_log(
        w,
        "GET /other/k?versionId=3%2FL%2Bx range=bytes=2-4 if-match=\"e1\"\nGET /other/k if-match=\"e9\"\n");
}

static void test_s3_client_anonymous_requests_are_not_signed(void **state)
{
    struct world *w = *state;
    sc_s3_client_free(w->client);
    w->client = NULL;
    sc_s3_provider_free(w->provider);
    struct sc_s3_provider_config provider = {.anonymous = true, .region = "us-east-1"};
    w->provider = sc_s3_provider_new(&provider);
    new_client(w, 20000);
    assert_rc(ask(w, SC_S3_HEAD, "p/x", NULL), SC_NOT_FOUND);
    SC_AUTO_FREE char *head = sc_s3_stand_head(w->stand, 1);
    assert_null(strstr(head, "authorization"));
}

static void test_s3_client_without_credentials_says_so_and_sends_nothing(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    unsetenv("AWS_ACCESS_KEY_ID");
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    assert_rc(ask(w, SC_S3_GET, "p/x", &err), SC_DENIED);
    assert_contains(err.message, "AWS_ACCESS_KEY_ID");
    assert_int_equal(sc_s3_stand_count(w->stand), 0);
}

// ---- what passes

static void test_s3_client_tries_again_what_passes(void **state)
{
    struct world *w = *state;
    static const struct sc_s3_fault_rule rules[] = {
        {"PUT", "a", .times = 1, .status = 500, .how = SC_HTTP_RESET, .at = -1},
        {"PUT", "a", .times = 1, .status = 503, .code = "SlowDown"},
        {"PUT", "a", .times = 1, .status = 500, .code = "InternalError"},
        {"PUT", "a", .times = 1, .status = 400, .code = "RequestTimeout"},
        {"PUT", "a", .times = 1, .status = 200, .body = "<html>hello</html>"}, // not S3's
        {"PUT", "a", .times = 1, .status = 409, .code = "OperationAborted"},
        {"PUT", "a", .times = 1, .status = 502, .body = "Bad Gateway"},
    };
    for (size_t i = 0; i < SC_COUNT(rules); i++)
        fault(w, rules[i]);
    assert_rc(ask(w, SC_S3_PUT, "p/a", NULL), SC_OK);
    assert_int_equal(sc_s3_stand_count(w->stand), SC_COUNT(rules) + 1);
    assert_int_equal(sc_s3_client_counts(w->client).retries, SC_COUNT(rules));
}

static void test_s3_client_stalled_request_is_given_up_and_tried_again(void **state)
{
    struct world *w = *state;
    fault(w, (struct sc_s3_fault_rule){"GET", "a", .times = 1, .how = SC_HTTP_STALL, .at = -1});
    sc_s3_stand_put(w->stand, "/bkt/p/a", sc_slice_str("x"), NULL);
    assert_rc(ask(w, SC_S3_GET, "p/a", NULL), SC_OK);
    assert_int_equal(sc_s3_stand_count(w->stand), 2);
}

static void test_s3_client_loses_its_patience_with_a_story(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    new_client(w, 300);
    fault(w, (struct sc_s3_fault_rule){"GET", "a", .times = 1000, .status = 500, .code = "InternalError"});
    assert_rc(ask(w, SC_S3_GET, "p/a", &err), SC_IO);
    assert_contains(err.message, "GET s3://bkt/p/a: 500 InternalError: said so (request REQ1), after ");
    assert_true(sc_s3_stand_count(w->stand) > 2);
}

static void test_s3_client_final_answer_is_asked_for_once(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    fault(w, (struct sc_s3_fault_rule){"PUT", "a", .times = 9, .status = 403, .code = "QuotaExceeded"});
    assert_rc(ask(w, SC_S3_PUT, "p/a", &err), SC_FULL);
    assert_contains(err.hint, "quota");
    assert_int_equal(sc_s3_stand_count(w->stand), 1);
}

static void test_s3_client_slows_down_where_the_server_says_so(void **state)
{
    struct world *w = *state;
    enum { COUNT = 60 };
    struct sc_s3_call *calls = sc_calloc(COUNT, sizeof *calls);
    fault(w, (struct sc_s3_fault_rule){"PUT", "", .times = 40, .status = 503, .code = "SlowDown"});
    for (int i = 0; i < COUNT; i++) {
        begin(w, &calls[i], SC_S3_PUT, "p/a");
        calls[i].source.bytes = sc_slice_str("x");
        sc_s3_client_submit(w->client, &calls[i]);
    }
    sc_s3_client_turn(w->client, 0);
    assert_true(sc_s3_client_counts(w->client).puts <= 8); // the others wait, unsigned
    while (w->ended < COUNT)
        sc_s3_client_turn(w->client, -1);
    for (int i = 0; i < COUNT; i++) {
        assert_ok(calls[i].rc, calls[i].err);
        sc_s3_call_done(&calls[i]);
    }
    free(calls);
    assert_int_equal(sc_s3_client_counts(w->client).retries, 40);
    assert_true(sc_s3_stand_most(w->stand) <= 8);
}

// ---- put if absent, and one's own success that was not told

static void test_s3_client_put_if_absent_of_a_taken_name_is_told_at_once(void **state)
{
    struct world *w = *state;
    sc_s3_stand_put(w->stand, "/bkt/p/a", sc_slice_str("other"), NULL);
    assert_rc(put_if_absent(w, "p/a"), SC_EXISTS);
    assert_log(w, "PUT /bkt/p/a if-none-match=*\n");
}

static void test_s3_client_own_put_whose_success_was_lost_is_recognised(void **state)
{
    struct world *w = *state;
    fault(w,
          (struct sc_s3_fault_rule){"PUT", "a", .times = 1, .after = true, .how = SC_HTTP_RESET, .at = -1});
    fault(w, (struct sc_s3_fault_rule){"PUT", "/p/b", .times = 1, .after = true, .status = 500,
                                       .code = "InternalError"});
    assert_rc(put_if_absent(w, "p/a"), SC_OK);
    assert_rc(put_if_absent(w, "p/b"), SC_OK);
    assert_log(w, "PUT /bkt/p/a if-none-match=*\nPUT /bkt/p/a if-none-match=*\nHEAD /bkt/p/a\n"
                  "PUT /bkt/p/b if-none-match=*\nPUT /bkt/p/b if-none-match=*\nHEAD /bkt/p/b\n");
}

// curl itself sends a request again when a kept connection breaks: then the first one may have been carried out, too.
static void test_s3_client_own_put_that_curl_sent_twice_is_recognised(void **state)
{
    struct world *w = *state;
    assert_rc(ask(w, SC_S3_PUT, "p/0", NULL), SC_OK); // the connection is kept
    fault(w, (struct sc_s3_fault_rule){"PUT", "/p/a", .times = 1, .after = true, .how = SC_HTTP_RESET,
                                       .at = -1});
    assert_rc(put_if_absent(w, "p/a"), SC_OK);
    assert_int_equal(sc_s3_client_counts(w->client).retries, 1); // the look
    assert_log(w,
               "PUT /bkt/p/0\nPUT /bkt/p/a if-none-match=*\nPUT /bkt/p/a if-none-match=*\nHEAD /bkt/p/a\n");
}

static void test_s3_client_put_that_failed_and_lost_to_another_has_lost(void **state)
{
    struct world *w = *state;
    // Ours was not carried out; another's came in between, with the very same bytes.
    fault(w, (struct sc_s3_fault_rule){"PUT", "a", .times = 1, .status = 500, .code = "InternalError"});
    sc_s3_stand_put(w->stand, "/bkt/p/a", sc_slice_str("body"), NULL);
    assert_rc(put_if_absent(w, "p/a"), SC_EXISTS);
    assert_log(w, "PUT /bkt/p/a if-none-match=*\nPUT /bkt/p/a if-none-match=*\nHEAD /bkt/p/a\n");
}

static void test_s3_client_name_that_became_free_while_it_looked_is_put_again(void **state)
{
    struct world *w = *state;
    fault(w, (struct sc_s3_fault_rule){"PUT", "a", .times = 1, .status = 500, .code = "InternalError"});
    fault(w, (struct sc_s3_fault_rule){"PUT", "a", .times = 1, .status = 412, .code = "PreconditionFailed"});
    assert_rc(put_if_absent(w, "p/a"), SC_OK);
    assert_log(w, "PUT /bkt/p/a if-none-match=*\nPUT /bkt/p/a if-none-match=*\nHEAD /bkt/p/a\n"
                  "PUT /bkt/p/a if-none-match=*\n");
}

static void test_s3_client_look_at_whose_it_is_may_itself_be_refused_without_words(void **state)
{
    struct world *w = *state;
    fault(w,
          (struct sc_s3_fault_rule){"PUT", "a", .times = 1, .after = true, .how = SC_HTTP_RESET, .at = -1});
    fault(w, (struct sc_s3_fault_rule){"HEAD", "a", .times = 1, .status = 400});
    assert_rc(put_if_absent(w, "p/a"), SC_OK);
    sc_s3_stand_put(w->stand, "/bkt/p/b", sc_slice_str("body"), NULL);
    fault(w, (struct sc_s3_fault_rule){"PUT", "/p/b", .times = 1, .status = 500, .code = "InternalError"});
    fault(w, (struct sc_s3_fault_rule){"HEAD", "/p/b", .times = 1, .status = 400});
    assert_rc(put_if_absent(w, "p/b"), SC_EXISTS);
}

// ---- what is mended

static void test_s3_client_refreshes_credentials_that_ran_out(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_credentials old; // a minute old: younger ones would not be asked for again
    assert_ok(sc_s3_provider_get(w->provider, sc_clock_wall_ms() - 60000, false, &old, &err), err);
    assert_rc(ask(w, SC_S3_PUT, "p/0", NULL), SC_OK); // with the first ones
    setenv("AWS_ACCESS_KEY_ID", "KEY2", 1);
    setenv("AWS_SESSION_TOKEN", "TOKEN2", 1);
    fault(w, (struct sc_s3_fault_rule){"PUT", "a", .times = 1, .status = 400, .code = "ExpiredToken"});
    assert_rc(ask(w, SC_S3_PUT, "p/a", NULL), SC_OK);
    assert_head(w, 2, "Credential=KEY1/");
    assert_head(w, 3, "Credential=KEY2/");
    assert_head(w, 3, "x-amz-security-token: TOKEN2\r\n");
    assert_head(w, 3, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,");
}

static void test_s3_client_credentials_that_stay_wrong_end_it(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    fault(w, (struct sc_s3_fault_rule){"PUT", "a", .times = 9, .status = 403, .code = "InvalidAccessKeyId"});
    assert_rc(ask(w, SC_S3_PUT, "p/a", &err), SC_DENIED);
    assert_contains(err.message, "InvalidAccessKeyId");
    assert_contains(err.hint, "credentials");
    assert_int_equal(sc_s3_stand_count(w->stand), 3);
}

// "x-amz-date: 20260102T030405Z" of a request, in ms.
static int64_t date_of(struct world *w, uint32_t number)
{
    SC_AUTO_FREE char *head = sc_s3_stand_head(w->stand, number);
    struct tm utc = {.tm_year = 0};
    const char *at = strstr(head, "x-amz-date: ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "x-amz-date: %4d%2d%2dT%2d%2d%2dZ", &utc.tm_year, &utc.tm_mon, &utc.tm_mday,
                            &utc.tm_hour, &utc.tm_min, &utc.tm_sec),
                     6);
    utc.tm_year -= 1900;
    utc.tm_mon--;
    return (int64_t)timegm(&utc) * 1000;
}

static char *date_line(int64_t ahead_ms)
{
    char text[64];
    time_t at = (time_t)((sc_clock_wall_ms() + ahead_ms) / 1000);
    struct tm utc;
    gmtime_r(&at, &utc);
    strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    return sc_strdup(text);
}

static void test_s3_client_corrects_its_clock_by_the_servers_date(void **state)
{
    struct world *w = *state;
    enum { AHEAD_MS = 20 * 60 * 1000 };
    SC_AUTO_FREE char *date = date_line(AHEAD_MS);
    fault(w, (struct sc_s3_fault_rule){"PUT", "a", .times = 1, .status = 403, .code = "RequestTimeTooSkewed",
                                       .headers = date});
    assert_rc(ask(w, SC_S3_PUT, "p/a", NULL), SC_OK);
    assert_rc(ask(w, SC_S3_PUT, "p/b", NULL), SC_OK);
    int64_t first = date_of(w, 1), second = date_of(w, 2), third = date_of(w, 3);
    assert_true(second - first >= AHEAD_MS - 5000 && second - first <= AHEAD_MS + 60000);
    assert_true(third >= second); // and stays corrected
    // A HEAD has no words: the Date alone tells.
    SC_AUTO_FREE char *back = date_line(-AHEAD_MS);
    fault(w, (struct sc_s3_fault_rule){"HEAD", "a", .times = 1, .status = 403, .headers = back});
    assert_rc(ask(w, SC_S3_HEAD, "p/a", NULL), SC_OK);
    assert_true(date_of(w, 5) < third);
}

static void test_s3_client_follows_the_region_and_remembers_it_by_bucket(void **state)
{
    struct world *w = *state;
    fault(w, (struct sc_s3_fault_rule){"PUT", "/bkt/", .times = 1, .status = 400,
                                       .body = "<Error><Code>AuthorizationHeaderMalformed</Code>"
                                               "<Region>eu-west-1</Region></Error>"});
    fault(w, (struct sc_s3_fault_rule){"HEAD", "/bkt/", .times = 1, .status = 301,
                                       .headers = "x-amz-bucket-region: eu-west-2\r\n"});
    assert_rc(ask(w, SC_S3_PUT, "p/a", NULL), SC_OK);
    assert_rc(ask(w, SC_S3_PUT, "p/b", NULL), SC_OK);
    assert_rc(ask(w, SC_S3_HEAD, "p/b", NULL), SC_OK);
    struct sc_s3_call call;
    begin(w, &call, SC_S3_PUT, "k");
    call.bucket = sc_slice_str("other");
    assert_rc(finish(w, &call), SC_OK);
    sc_s3_call_done(&call);
    static const char *const regions[] = {"us-east-1", "eu-west-1", "eu-west-1",
                                          "eu-west-1", "eu-west-2", "us-east-1"};
    for (uint32_t i = 0; i < SC_COUNT(regions); i++) {
        SC_AUTO_FREE char *scope = sc_asprintf("/%s/s3/aws4_request", regions[i]);
        assert_head(w, i + 1, scope);
    }
}

// ---- refusals

static void test_s3_client_head_that_is_refused_without_words_asks_by_get(void **state)
{
    struct world *w = *state;
    struct sc_s3_call call;
    sc_s3_stand_put(w->stand, "/bkt/p/a", sc_slice_str("0123456789"), NULL);
    sc_s3_stand_put(w->stand, "/bkt/p/empty", sc_slice_str(""), NULL);
    fault(w, (struct sc_s3_fault_rule){"HEAD", "", .times = 9, .status = 400});
    begin(w, &call, SC_S3_HEAD, "p/a");
    assert_rc(finish(w, &call), SC_OK);
    assert_int_equal(call.exchange.answer.length, 10);
    assert_slice(call.exchange.answer.etag, "e1");
    sc_s3_call_done(&call);
    begin(w, &call, SC_S3_HEAD, "p/empty");
    assert_rc(finish(w, &call), SC_OK);
    assert_int_equal(call.exchange.answer.length, 0);
    sc_s3_call_done(&call);
    assert_rc(ask(w, SC_S3_HEAD, "p/none", NULL), SC_NOT_FOUND);
    assert_log(
        w,
        "HEAD /bkt/p/a\nGET /bkt/p/a range=bytes=0-0\nHEAD /bkt/p/empty\nGET /bkt/p/empty range=bytes=0-0\n"
        "HEAD /bkt/p/none\nGET /bkt/p/none range=bytes=0-0\n");
}

static void refuse(struct world *w, const char *method, const char *part)
{
    fault(w, (struct sc_s3_fault_rule){method, part, .times = 99, .status = 403,
                                       .code = strcmp(method, "HEAD") ? "AccessDenied" : NULL});
}

static void test_s3_client_403_of_a_key_is_absent_where_we_may_read_but_not_list(void **state)
{
    struct world *w = *state;
    sc_s3_stand_put(w->stand, "/bkt/p/stepcache.json", sc_slice_str("{}"), NULL);
    refuse(w, "GET", "list-type");
    refuse(w, "GET", "/p/missing");
    refuse(w, "HEAD", "/p/missing");
    assert_rc(ask(w, SC_S3_GET, "p/missing", NULL), SC_NOT_FOUND);
    assert_log(w,
               "GET /bkt/p/missing\nGET /bkt?list-type=2&max-keys=1&prefix=p\nGET /bkt/p/stepcache.json\n");
    assert_rc(ask(w, SC_S3_HEAD, "p/missing", NULL), SC_NOT_FOUND); // known by now
    assert_int_equal(sc_s3_stand_count(w->stand), 5);
}

static void test_s3_client_403_of_a_key_is_denied_where_we_may_list(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    refuse(w, "GET", "/p/secret");
    assert_rc(ask(w, SC_S3_GET, "p/secret", &err), SC_DENIED);
    assert_contains(err.message, "s3://bkt/p/secret");
    assert_contains(err.hint, "s3:GetObject");
}

static void test_s3_client_403_of_the_prefix_is_denied(void **state)
{
    struct world *w = *state;
    refuse(w, "GET", "/bkt");
    refuse(w, "HEAD", "/bkt");
    assert_rc(ask(w, SC_S3_GET, "p/a", NULL), SC_DENIED);
    assert_rc(ask(w, SC_S3_HEAD, "p/a", NULL), SC_DENIED);
}

static void test_s3_client_403_outside_of_the_prefix_is_denied(void **state)
{
    struct world *w = *state;
    refuse(w, "GET", "/bkt/q");
    assert_rc(ask(w, SC_S3_GET, "q/a", NULL), SC_DENIED);
    assert_int_equal(sc_s3_stand_count(w->stand), 1);
}

static void test_s3_client_rights_are_asked_once_for_all_that_wait(void **state)
{
    struct world *w = *state;
    enum { COUNT = 30, LATE = 5 };
    struct sc_s3_call *calls = sc_calloc(COUNT, sizeof *calls);
    sc_s3_stand_put(w->stand, "/bkt/p/stepcache.json", sc_slice_str("{}"), NULL);
    // The answer is long in coming: those who are refused meanwhile are not denied for it.
    fault(w, (struct sc_s3_fault_rule){"GET", "stepcache.json", .times = 1, .how = SC_HTTP_STALL, .at = -1});
    refuse(w, "GET", "list-type");
    refuse(w, "GET", "/p/missing");
    for (int i = 0; i < COUNT; i++)
        begin(w, &calls[i], SC_S3_GET, "p/missing");
    for (int i = LATE; i < COUNT; i++)
        sc_s3_client_submit(w->client, &calls[i]);
    while (sc_s3_stand_count(w->stand) < COUNT - LATE + 2) // until it stalls
        sc_s3_client_turn(w->client, 10);
    for (int i = 0; i < LATE; i++)
        sc_s3_client_submit(w->client, &calls[i]);
    while (w->ended < COUNT)
        sc_s3_client_turn(w->client, -1);
    for (int i = 0; i < COUNT; i++) {
        assert_rc(calls[i].rc, SC_NOT_FOUND);
        sc_s3_call_done(&calls[i]);
    }
    free(calls);
    assert_int_equal(sc_s3_stand_count(w->stand), COUNT + 3);
}

static void test_s3_client_archived_object_is_told_as_such(void **state)
{
    struct world *w = *state;
    struct sc_s3_call call;
    fault(w, (struct sc_s3_fault_rule){"GET", "a", .times = 1, .status = 403, .code = "InvalidObjectState"});
    begin(w, &call, SC_S3_GET, "p/a");
    assert_rc(finish(w, &call), SC_NOT_FOUND);
    assert_true(call.archived);
    assert_contains(call.err.hint, "archive");
    sc_s3_call_done(&call);
}

static void test_s3_client_404_of_somebody_else_is_not_taken_for_absent(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    new_client(w, 200);
    fault(w, (struct sc_s3_fault_rule){"GET", "a", .times = 999, .status = 404, .body = "<html>404</html>"});
    assert_rc(ask(w, SC_S3_GET, "p/a", &err), SC_MALFORMED);
    assert_contains(err.hint, "endpoint=");
}

static void test_s3_client_bucket_that_is_not_there_is_no_absent_object(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    fault(w, (struct sc_s3_fault_rule){"GET", "a", .times = 1, .status = 404, .code = "NoSuchBucket"});
    assert_rc(ask(w, SC_S3_GET, "p/a", &err), SC_UNREACHABLE);
    assert_contains(err.hint, "bucket");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_s3_client_put_get_head_delete),
        T(test_s3_client_version_and_etag_are_part_of_what_is_read),
        T(test_s3_client_anonymous_requests_are_not_signed),
        T(test_s3_client_tries_again_what_passes),
        T(test_s3_client_stalled_request_is_given_up_and_tried_again),
        T(test_s3_client_loses_its_patience_with_a_story),
        T(test_s3_client_final_answer_is_asked_for_once),
        T(test_s3_client_slows_down_where_the_server_says_so),
        T(test_s3_client_put_if_absent_of_a_taken_name_is_told_at_once),
        T(test_s3_client_own_put_whose_success_was_lost_is_recognised),
        T(test_s3_client_own_put_that_curl_sent_twice_is_recognised),
        T(test_s3_client_put_that_failed_and_lost_to_another_has_lost),
        T(test_s3_client_name_that_became_free_while_it_looked_is_put_again),
        T(test_s3_client_look_at_whose_it_is_may_itself_be_refused_without_words),
        T(test_s3_client_refreshes_credentials_that_ran_out),
        T(test_s3_client_credentials_that_stay_wrong_end_it),
        T(test_s3_client_corrects_its_clock_by_the_servers_date),
        T(test_s3_client_follows_the_region_and_remembers_it_by_bucket),
        T(test_s3_client_head_that_is_refused_without_words_asks_by_get),
        T(test_s3_client_403_of_a_key_is_absent_where_we_may_read_but_not_list),
        T(test_s3_client_403_of_a_key_is_denied_where_we_may_list),
        T(test_s3_client_403_of_the_prefix_is_denied),
        T(test_s3_client_403_outside_of_the_prefix_is_denied),
        T(test_s3_client_rights_are_asked_once_for_all_that_wait),
        T(test_s3_client_archived_object_is_told_as_such),
        T(test_s3_client_404_of_somebody_else_is_not_taken_for_absent),
        T(test_s3_client_bucket_that_is_not_there_is_no_absent_object),
        T(test_s3_client_without_credentials_says_so_and_sends_nothing), // last: it takes them away
    };
    return cmocka_run_group_tests_name("s3_client", tests, NULL, NULL);
}
