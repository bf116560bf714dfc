#include "tests/lib/test.h"

#include "store/s3/retry.h"

static const int64_t now_ms = 1000000, wall_ms = 1767323045000, patience_ms = 60000;
enum { MINUTE_MS = 60 * 1000, WINDOW = 16 };

static void begin(struct sc_s3_pace *pace)
{
    sc_s3_pace_init(pace, WINDOW, patience_ms, 1, now_ms);
}

static struct sc_s3_attempt attempt_of(enum sc_s3_ask ask)
{
    return (struct sc_s3_attempt){.ask = ask,
                                  .number = 1,
                                  .now_ms = now_ms,
                                  .wall_ms = wall_ms,
                                  .date_ms = wall_ms,
                                  .used_region = sc_slice_str("us-east-1"),
                                  .rights = SC_S3_RIGHTS_LIST,
                                  .from_s3 = true};
}

static const char *action_name(enum sc_s3_action action)
{
    static const char *const names[] = {"done",   "final",  "again",  "refresh", "clock",
                                        "region", "reason", "rights", "compare"};
    return names[action];
}

// ---- the rule, row by row

enum more { // what else holds of the attempt
    USUAL,
    IF_ABSENT,
    UNSURE,       // if absent, and an earlier attempt may have been carried out
    NOT_S3,       // without any mark of S3
    OTHER_REGION, // the answer names eu-west-1
    LATE,         // the clock is 20 minutes behind the server's
    SLIGHTLY_LATE,
    STALE,    // signed with credentials that were replaced meanwhile
    MENDED,   // twice already
    MAY_READ, // objects, but not list
    MAY_NOTHING,
    MAY_UNKNOWN,
    DAMAGED_TWICE, // our body was refused for its digest
    BROKEN,        // the body is not what it must be
    WRONG_THRICE,  // the body has another digest
    WRONG_AGAIN,
    IMPATIENT, // the first failure is a minute ago
};

struct row {
    enum sc_s3_ask ask;
    uint32_t status;
    const char *code;
    enum more more;
    enum sc_s3_action action;
    enum sc_rc rc; // of a final one
};

static void set_more(struct sc_s3_attempt *a, enum more more)
{
    switch (more) {
    case USUAL:
        return;
    case UNSURE:
        a->unsure = true;
        a->if_absent = true;
        return;
    case IF_ABSENT:
        a->if_absent = true;
        return;
    case NOT_S3:
        a->from_s3 = false;
        return;
    case OTHER_REGION:
        a->region = sc_slice_str("eu-west-1");
        return;
    case LATE:
        a->date_ms = wall_ms + 20 * MINUTE_MS;
        return;
    case SLIGHTLY_LATE:
        a->date_ms = wall_ms + MINUTE_MS / 2;
        return;
    case STALE:
        a->stale = true;
        return;
    case MENDED:
        a->mended = 2;
        a->region = sc_slice_str("eu-west-1");
        a->date_ms = wall_ms + 20 * MINUTE_MS;
        return;
    case MAY_READ:
        a->rights = SC_S3_RIGHTS_OBJECTS;
        return;
    case MAY_NOTHING:
        a->rights = SC_S3_RIGHTS_NONE;
        return;
    case MAY_UNKNOWN:
        a->rights = SC_S3_RIGHTS_UNKNOWN;
        return;
    case DAMAGED_TWICE:
        a->damaged = 2;
        return;
    case BROKEN:
        a->broken = true;
        return;
    case WRONG_THRICE:
        a->wrong_bytes = 3;
        return;
    case WRONG_AGAIN:
        a->wrong_bytes = 4;
        return;
    case IMPATIENT:
        a->failed_ms = now_ms - patience_ms;
        return;
    }
}

#define GET      SC_S3_GET
#define HEAD     SC_S3_HEAD
#define PUT      SC_S3_PUT
#define COPY     SC_S3_COPY
#define DEL      SC_S3_DELETE
#define LIST     SC_S3_LIST
#define BEGIN    SC_S3_BEGIN
#define PART     SC_S3_PART
#define COMPLETE SC_S3_COMPLETE
#define ABORT    SC_S3_ABORT

static const struct row rows[] = {
    // what is good
    {GET, 200, "", USUAL, SC_S3_DONE, SC_OK},
    {GET, 206, "", USUAL, SC_S3_DONE, SC_OK},
    {HEAD, 200, "", USUAL, SC_S3_DONE, SC_OK},
    {PUT, 200, "", IF_ABSENT, SC_S3_DONE, SC_OK},
    {DEL, 204, "", USUAL, SC_S3_DONE, SC_OK},
    {ABORT, 204, "", USUAL, SC_S3_DONE, SC_OK},
    {DEL, 404, "NoSuchKey", USUAL, SC_S3_DONE, SC_OK},
    {ABORT, 404, "NoSuchUpload", USUAL, SC_S3_DONE, SC_OK},
    // a good status that is not the end, or not what it must be
    {COMPLETE, 200, "InternalError", USUAL, SC_S3_AGAIN, SC_OK},
    {COPY, 200, "SlowDown", USUAL, SC_S3_AGAIN, SC_OK},
    {COPY, 200, "SomethingNew", USUAL, SC_S3_AGAIN, SC_OK},
    {COMPLETE, 200, "AccessDenied", USUAL, SC_S3_FINAL, SC_DENIED},
    {LIST, 200, "", BROKEN, SC_S3_AGAIN, SC_OK},
    {GET, 200, "", WRONG_THRICE, SC_S3_AGAIN, SC_OK},
    {GET, 200, "", WRONG_AGAIN, SC_S3_FINAL, SC_CORRUPT},
    // what passes
    {GET, 500, "InternalError", USUAL, SC_S3_AGAIN, SC_OK},
    {PUT, 500, "", NOT_S3, SC_S3_AGAIN, SC_OK},
    {GET, 502, "", NOT_S3, SC_S3_AGAIN, SC_OK},
    {GET, 504, "", NOT_S3, SC_S3_AGAIN, SC_OK},
    {GET, 503, "SlowDown", USUAL, SC_S3_AGAIN, SC_OK},
    {GET, 503, "", NOT_S3, SC_S3_AGAIN, SC_OK},
    {GET, 429, "", NOT_S3, SC_S3_AGAIN, SC_OK},
    {GET, 400, "ThrottlingException", USUAL, SC_S3_AGAIN, SC_OK},
    {PUT, 400, "RequestTimeout", USUAL, SC_S3_AGAIN, SC_OK},
    {PUT, 400, "IncompleteBody", USUAL, SC_S3_AGAIN, SC_OK},
    {PUT, 408, "", NOT_S3, SC_S3_AGAIN, SC_OK},
    {PUT, 409, "ConditionalRequestConflict", IF_ABSENT, SC_S3_AGAIN, SC_OK},
    {DEL, 409, "OperationAborted", USUAL, SC_S3_AGAIN, SC_OK},
    {PUT, 409, "ConcurrentModification", USUAL, SC_S3_AGAIN, SC_OK},
    {GET, 500, "InternalError", IMPATIENT, SC_S3_FINAL, SC_IO},
    {GET, 503, "SlowDown", IMPATIENT, SC_S3_FINAL, SC_BUSY},
    {LIST, 200, "", BROKEN, SC_S3_AGAIN, SC_OK},
    // conditions
    {PUT, 412, "PreconditionFailed", IF_ABSENT, SC_S3_FINAL, SC_EXISTS},
    {PUT, 412, "PreconditionFailed", UNSURE, SC_S3_COMPARE, SC_OK},
    {COMPLETE, 412, "PreconditionFailed", UNSURE, SC_S3_COMPARE, SC_OK},
    {COPY, 412, "PreconditionFailed", IF_ABSENT, SC_S3_FINAL, SC_EXISTS},
    {COPY, 412, "PreconditionFailed", USUAL, SC_S3_FINAL, SC_BUSY}, // of its source
    {GET, 412, "PreconditionFailed", USUAL, SC_S3_FINAL, SC_BUSY},
    {HEAD, 412, "", USUAL, SC_S3_FINAL, SC_BUSY},
    {COMPLETE, 404, "NoSuchUpload", UNSURE, SC_S3_COMPARE, SC_OK},
    {COMPLETE, 404, "NoSuchUpload", USUAL, SC_S3_FINAL, SC_IO},
    {PART, 404, "NoSuchUpload", USUAL, SC_S3_FINAL, SC_IO},
    {GET, 416, "InvalidRange", USUAL, SC_S3_DONE, SC_OK},
    {PUT, 501, "NotImplemented", IF_ABSENT, SC_S3_FINAL, SC_UNSUPPORTED},
    // what is not there
    {GET, 404, "NoSuchKey", USUAL, SC_S3_FINAL, SC_NOT_FOUND},
    {GET, 404, "NoSuchVersion", USUAL, SC_S3_FINAL, SC_NOT_FOUND},
    {HEAD, 404, "", NOT_S3, SC_S3_FINAL, SC_NOT_FOUND},
    {GET, 404, "", USUAL, SC_S3_FINAL, SC_NOT_FOUND},
    {GET, 404, "", NOT_S3, SC_S3_AGAIN, SC_OK}, // somebody else's words: they prove nothing
    {COPY, 404, "NoSuchKey", USUAL, SC_S3_FINAL, SC_NOT_FOUND},
    {GET, 405, "MethodNotAllowed", USUAL, SC_S3_FINAL, SC_NOT_FOUND}, // a version that is a deletion
    {GET, 404, "NoSuchBucket", USUAL, SC_S3_FINAL, SC_UNREACHABLE},
    {PUT, 404, "NoSuchBucket", USUAL, SC_S3_FINAL, SC_UNREACHABLE},
    {LIST, 404, "", USUAL, SC_S3_FINAL, SC_UNREACHABLE},
    {GET, 403, "InvalidObjectState", USUAL, SC_S3_FINAL, SC_NOT_FOUND},
    // rights
    {GET, 403, "AccessDenied", USUAL, SC_S3_FINAL, SC_DENIED}, // we may list: then it would be told
    {GET, 403, "AccessDenied", MAY_READ, SC_S3_FINAL, SC_NOT_FOUND},
    {GET, 403, "AccessDenied", MAY_NOTHING, SC_S3_FINAL, SC_DENIED},
    {GET, 403, "AccessDenied", MAY_UNKNOWN, SC_S3_RIGHTS, SC_OK},
    {GET, 403, "", NOT_S3, SC_S3_FINAL, SC_DENIED},
    {GET, 403, "SomethingNew", MAY_READ, SC_S3_FINAL, SC_NOT_FOUND},
    {PUT, 403, "AccessDenied", MAY_READ, SC_S3_FINAL, SC_DENIED},
    {LIST, 403, "AccessDenied", MAY_UNKNOWN, SC_S3_FINAL, SC_DENIED},
    {DEL, 403, "AccessDenied", USUAL, SC_S3_FINAL, SC_DENIED},
    {GET, 401, "", NOT_S3, SC_S3_FINAL, SC_DENIED},
    {GET, 403, "SignatureDoesNotMatch", MAY_READ, SC_S3_FINAL, SC_DENIED},
    {GET, 403, "AllAccessDisabled", USUAL, SC_S3_FINAL, SC_DENIED},
    // a HEAD has no words
    {HEAD, 403, "", MAY_READ, SC_S3_REASON, SC_OK},
    {HEAD, 403, "", USUAL, SC_S3_REASON, SC_OK},
    {HEAD, 400, "", USUAL, SC_S3_REASON, SC_OK},
    {HEAD, 405, "", USUAL, SC_S3_REASON, SC_OK},
    {HEAD, 301, "", USUAL, SC_S3_REASON, SC_OK},
    {HEAD, 403, "", LATE, SC_S3_CLOCK, SC_OK},
    // what can be mended
    {GET, 400, "ExpiredToken", USUAL, SC_S3_REFRESH, SC_OK},
    {GET, 400, "ExpiredToken", STALE, SC_S3_AGAIN, SC_OK},
    {GET, 400, "ExpiredToken", MENDED, SC_S3_FINAL, SC_DENIED},
    {GET, 403, "ExpiredToken", USUAL, SC_S3_REFRESH, SC_OK},
    {PUT, 400, "InvalidToken", USUAL, SC_S3_REFRESH, SC_OK},
    {PUT, 400, "TokenRefreshRequired", USUAL, SC_S3_REFRESH, SC_OK},
    {GET, 403, "InvalidAccessKeyId", USUAL, SC_S3_REFRESH, SC_OK},
    {GET, 403, "InvalidAccessKeyId", MENDED, SC_S3_FINAL, SC_DENIED},
    {PUT, 403, "RequestTimeTooSkewed", LATE, SC_S3_CLOCK, SC_OK},
    {PUT, 403, "RequestTimeTooSkewed", SLIGHTLY_LATE, SC_S3_FINAL, SC_DENIED}, // it is not the clock
    {PUT, 403, "RequestTimeTooSkewed", MENDED, SC_S3_FINAL, SC_DENIED},
    {GET, 301, "PermanentRedirect", OTHER_REGION, SC_S3_REGION, SC_OK},
    {GET, 301, "PermanentRedirect", USUAL, SC_S3_FINAL, SC_INVALID},
    {GET, 301, "PermanentRedirect", MENDED, SC_S3_FINAL, SC_INVALID},
    {GET, 307, "TemporaryRedirect", OTHER_REGION, SC_S3_REGION, SC_OK},
    {GET, 400, "AuthorizationHeaderMalformed", OTHER_REGION, SC_S3_REGION, SC_OK},
    {HEAD, 301, "", OTHER_REGION, SC_S3_REGION, SC_OK},
    // what our body is told of
    {PUT, 400, "XAmzContentSHA256Mismatch", USUAL, SC_S3_AGAIN, SC_OK},
    {PUT, 400, "XAmzContentSHA256Mismatch", DAMAGED_TWICE, SC_S3_FINAL, SC_BUSY},
    {PART, 400, "BadDigest", USUAL, SC_S3_AGAIN, SC_OK},
    {PART, 400, "BadDigest", DAMAGED_TWICE, SC_S3_FINAL, SC_BUSY},
    // what is full, too large, or wrong
    {PUT, 403, "QuotaExceeded", USUAL, SC_S3_FINAL, SC_FULL},
    {PUT, 507, "", NOT_S3, SC_S3_FINAL, SC_FULL},
    {PUT, 507, "XMinioStorageFull", USUAL, SC_S3_FINAL, SC_FULL},
    {PUT, 400, "EntityTooLarge", USUAL, SC_S3_FINAL, SC_LIMIT},
    {PUT, 400, "KeyTooLongError", USUAL, SC_S3_FINAL, SC_LIMIT},
    {PUT, 413, "", NOT_S3, SC_S3_FINAL, SC_LIMIT},
    {PUT, 400, "InvalidArgument", USUAL, SC_S3_FINAL, SC_INVALID},
    {COMPLETE, 400, "InvalidPart", USUAL, SC_S3_FINAL, SC_INVALID},
    {PUT, 411, "MissingContentLength", USUAL, SC_S3_FINAL, SC_INVALID},
};

static void test_s3_retry_goes_by_the_rule_row_by_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct sc_s3_pace pace;
        struct sc_s3_attempt a = attempt_of(row->ask);
        begin(&pace);
        a.status = row->status;
        a.code = sc_slice_str(row->code);
        set_more(&a, row->more);
        struct sc_s3_verdict v = sc_s3_judge(&a, &pace);
        if (v.action != row->action || v.rc != row->rc)
            fail_msg("row %zu (%u %s): %s %s, not %s %s", i, row->status, row->code, action_name(v.action),
                     sc_rc_name(v.rc), action_name(row->action), sc_rc_name(row->rc));
        assert_true(v.wait_ms >= 0 && v.wait_ms <= 5000);
        assert_int_equal(v.archived, strcmp(row->code, "InvalidObjectState") == 0);
        assert_int_equal(v.empty, row->status == 416);
        bool write = row->ask == PUT || row->ask == COPY || row->ask == COMPLETE;
        assert_int_equal(v.unsure, write && v.action == SC_S3_AGAIN);
    }
}

static void test_s3_retry_of_what_did_not_come_goes_by_its_failure(void **state)
{
    (void)state;
    static const struct {
        enum sc_s3_failure failure;
        enum sc_s3_action action;
        bool unsure;   // of a PUT
        enum sc_rc rc; // at the end of the patience
    } failures[] = {
        {SC_S3_NO_HOST, SC_S3_AGAIN, false, SC_UNREACHABLE},
        {SC_S3_NO_CONNECT, SC_S3_AGAIN, false, SC_UNREACHABLE},
        {SC_S3_RESET, SC_S3_AGAIN, true, SC_UNREACHABLE},
        {SC_S3_CUT, SC_S3_AGAIN, true, SC_UNREACHABLE},
        {SC_S3_STALLED, SC_S3_AGAIN, true, SC_TIMEOUT},
        {SC_S3_NO_TRUST, SC_S3_FINAL, false, SC_DENIED},
        {SC_S3_OURS, SC_S3_FINAL, false, SC_FULL},
        {SC_S3_ODD, SC_S3_FINAL, false, SC_IO},
    };
    for (size_t i = 0; i < SC_COUNT(failures); i++) {
        struct sc_s3_pace pace;
        struct sc_s3_attempt a = attempt_of(SC_S3_PUT);
        begin(&pace);
        pace.met = true;
        a.failure = failures[i].failure;
        a.own = (struct sc_error){.rc = SC_FULL, .message = "write: no space"};
        struct sc_s3_verdict v = sc_s3_judge(&a, &pace);
        assert_int_equal(v.action, failures[i].action);
        assert_int_equal(v.unsure, failures[i].unsure);
        a.failed_ms = now_ms - patience_ms;
        a.number = 9;
        v = sc_s3_judge(&a, &pace);
        assert_int_equal(v.action, SC_S3_FINAL);
        assert_rc(v.rc, failures[i].rc);
        a.failed_ms++; // a moment of patience is left
        assert_int_equal(sc_s3_judge(&a, &pace).action, failures[i].action);
    }
}

static void test_s3_retry_of_what_never_answered_ends_sooner(void **state)
{
    (void)state;
    struct sc_s3_pace pace;
    struct sc_s3_attempt a = attempt_of(SC_S3_GET), answer = attempt_of(SC_S3_GET);
    begin(&pace);
    a.failure = SC_S3_NO_CONNECT;
    a.failed_ms = now_ms - 8000;
    assert_int_equal(sc_s3_judge(&a, &pace).action, SC_S3_FINAL);
    a.failed_ms++;
    assert_int_equal(sc_s3_judge(&a, &pace).action, SC_S3_AGAIN);
    answer.status = 503; // of a proxy
    answer.from_s3 = false;
    sc_s3_judge(&answer, &pace);
    a.failed_ms = now_ms - 8000;
    assert_int_equal(sc_s3_judge(&a, &pace).action, SC_S3_FINAL);
    answer.status = 404;
    answer.from_s3 = true;
    sc_s3_judge(&answer, &pace);
    assert_int_equal(sc_s3_judge(&a, &pace).action,
                     SC_S3_AGAIN); // it is known now, and may be away for a while
}

static void test_s3_retry_corrects_the_clock_by_the_date_and_not_by_nonsense(void **state)
{
    (void)state;
    struct sc_s3_pace pace;
    struct sc_s3_attempt a = attempt_of(SC_S3_PUT);
    begin(&pace);
    a.status = 403;
    a.code = sc_slice_str("RequestTimeTooSkewed");
    a.date_ms = wall_ms - 3600 * 1000;
    assert_int_equal(sc_s3_judge(&a, &pace).skew_ms, -3600 * 1000);
    a.skew_ms = 7200 * 1000; // an earlier correction was wrong
    assert_int_equal(sc_s3_judge(&a, &pace).skew_ms, -3600 * 1000);
    a.skew_ms = -3600 * 1000; // and this one is right: something else is to blame
    assert_int_equal(sc_s3_judge(&a, &pace).action, SC_S3_FINAL);
    a.skew_ms = 0;
    a.date_ms = 0;
    assert_int_equal(sc_s3_judge(&a, &pace).action, SC_S3_FINAL);
    a.date_ms = INT64_MAX / 2;
    assert_int_equal(sc_s3_judge(&a, &pace).action, SC_S3_FINAL);
}

// ---- how long, how many

static void test_s3_retry_waits_with_full_jitter_and_never_longer_than_its_bound(void **state)
{
    (void)state;
    struct sc_s3_pace pace;
    begin(&pace);
    static const int64_t bounds[] = {50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    for (uint32_t number = 1; number <= SC_COUNT(bounds); number++) {
        int64_t least = INT64_MAX, most = 0;
        for (int i = 0; i < 200; i++) {
            struct sc_s3_attempt a = attempt_of(SC_S3_GET);
            a.failure = SC_S3_RESET;
            a.number = number;
            pace.milli_tokens = 100000;
            int64_t wait = sc_s3_judge(&a, &pace).wait_ms;
            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
        }
        assert_true(most <= bounds[number - 1]);
        assert_true(most > bounds[number - 1] * 8 / 10);
        assert_true(least < bounds[number - 1] * 2 / 10 + 1);
    }
}

static void test_s3_retry_waits_as_long_as_the_server_asks_within_reason(void **state)
{
    (void)state;
    struct sc_s3_pace pace;
    struct sc_s3_attempt a = attempt_of(SC_S3_GET);
    begin(&pace);
    a.status = 503;
    a.retry_after_ms = 7000;
    assert_int_equal(sc_s3_judge(&a, &pace).wait_ms, 7000);
    a.retry_after_ms = 3600 * 1000;
    assert_int_equal(sc_s3_judge(&a, &pace).wait_ms, 30000);
}

static void test_s3_retry_budget_slows_retries_and_fills_with_time_and_successes(void **state)
{
    (void)state;
    struct sc_s3_pace pace;
    struct sc_s3_attempt bad = attempt_of(SC_S3_GET), good = attempt_of(SC_S3_GET);
    begin(&pace);
    bad.failure = SC_S3_RESET;
    good.status = 200;
    for (int i = 0; i < 100; i++)
        assert_true(sc_s3_judge(&bad, &pace).wait_ms <= 50);
    // It is empty: each further one waits for its own share, 50 a second.
    int64_t waits[3];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 100; k++)
            waits[i] = sc_s3_judge(&bad, &pace).wait_ms;
    assert_int_equal(waits[0], 2000);
    assert_int_equal(waits[1], 4000);
    assert_int_equal(waits[2], 6000);
    bad.now_ms += 6000;
    assert_true(sc_s3_judge(&bad, &pace).wait_ms <= 50);
    for (int i = 0; i < 1000; i++)
        sc_s3_judge(&good, &pace);
    for (int i = 0; i < 100; i++) // full, and not more than full
        assert_true(sc_s3_judge(&bad, &pace).wait_ms <= 50);
    for (int i = 0; i < 50; i++)
        sc_s3_judge(&bad, &pace);
    assert_true(sc_s3_judge(&bad, &pace).wait_ms >= 1000);
}

static struct sc_s3_attempt slow_down(int64_t at_ms)
{
    struct sc_s3_attempt a = attempt_of(SC_S3_GET);
    a.status = 503;
    a.code = sc_slice_str("SlowDown");
    a.now_ms = at_ms;
    return a;
}

static void test_s3_retry_halves_the_window_on_503_once_a_burst_and_widens_it_slowly(void **state)
{
    (void)state;
    struct sc_s3_pace pace;
    begin(&pace);
    struct sc_s3_attempt a = slow_down(now_ms);
    for (int i = 0; i < 16; i++) // all that were under way are told at once
        sc_s3_judge(&a, &pace);
    assert_int_equal(pace.window, 8);
    for (int64_t i = 1; i <= 10; i++) {
        a = slow_down(now_ms + i * 200);
        sc_s3_judge(&a, &pace);
    }
    assert_int_equal(pace.window, 1); // and no less
    struct sc_s3_attempt good = attempt_of(SC_S3_GET);
    good.status = 200;
    sc_s3_judge(&good, &pace);
    assert_int_equal(pace.window, 2);
    sc_s3_judge(&good, &pace);
    assert_int_equal(pace.window, 2);
    sc_s3_judge(&good, &pace);
    assert_int_equal(pace.window, 3);
    for (int i = 0; i < 1000; i++)
        sc_s3_judge(&good, &pace);
    assert_int_equal(pace.window, WINDOW);
    struct sc_s3_attempt reset = attempt_of(SC_S3_GET);
    reset.failure = SC_S3_RESET;
    sc_s3_judge(&reset, &pace);
    assert_int_equal(pace.window, WINDOW); // only what says so slows us
}

// ---- stories

static void test_s3_retry_story_names_bucket_key_code_request_and_what_to_check(void **state)
{
    (void)state;
    struct sc_s3_pace pace;
    struct sc_error err = SC_ERROR_INIT;
    begin(&pace);
    struct sc_s3_attempt a = attempt_of(SC_S3_PUT);
    a.status = 403;
    a.code = sc_slice_str("AccessDenied");
    a.message = sc_slice_str("no");
    a.request_id = sc_slice_str("REQ1");
    a.number = 3;
    struct sc_s3_verdict v = sc_s3_judge(&a, &pace);
    assert_rc(sc_s3_tell(&a, &v, sc_slice_str("bkt"), sc_slice_str("a/b"), &err), SC_DENIED);
    assert_string_equal(err.message,
                        "PUT s3://bkt/a/b: 403 AccessDenied: no (request REQ1), after 3 attempts");
    assert_contains(err.hint, "s3:PutObject");
    assert_rc(err.rc, SC_DENIED);
    a = attempt_of(SC_S3_GET);
    a.failure = SC_S3_NO_TRUST;
    a.own = (struct sc_error){.rc = SC_UNREACHABLE, .message = "self-signed certificate"};
    v = sc_s3_judge(&a, &pace);
    sc_s3_tell(&a, &v, sc_slice_str("bkt"), sc_slice_str("k"), &err);
    assert_string_equal(err.message, "GET s3://bkt/k: self-signed certificate");
    assert_contains(err.hint, "AWS_CA_BUNDLE");
    a = attempt_of(SC_S3_GET);
    a.failure = SC_S3_OURS;
    a.own = (struct sc_error){.rc = SC_FULL, .sys_errno = 28, .message = "write: No space left on device"};
    v = sc_s3_judge(&a, &pace);
    assert_rc(sc_s3_tell(&a, &v, sc_slice_str("bkt"), sc_slice_str("k"), &err), SC_FULL);
    assert_int_equal(err.sys_errno, 28);
    assert_contains(err.message, "No space");
}

static void test_s3_retry_story_of_a_long_key_keeps_what_s3_said(void **state)
{
    (void)state;
    struct sc_s3_pace pace;
    struct sc_error err = SC_ERROR_INIT;
    char key[1025];
    memset(key, 'k', 1024);
    key[1024] = 0;
    begin(&pace);
    struct sc_s3_attempt a = attempt_of(SC_S3_GET);
    a.status = 403;
    a.code = sc_slice_str("InvalidObjectState");
    a.request_id = sc_slice_str("REQ1");
    struct sc_s3_verdict v = sc_s3_judge(&a, &pace);
    assert_rc(sc_s3_tell(&a, &v, sc_slice_str("bkt"), sc_slice_str(key), &err), SC_NOT_FOUND);
    assert_contains(err.message, "InvalidObjectState");
    assert_contains(err.message, "REQ1");
    assert_contains(err.hint, "archive");
}

// Every final verdict on a request that failed says what to check, for whatever code and rc.
static void test_s3_retry_final_ones_say_what_to_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct sc_s3_pace pace;
        struct sc_s3_attempt a = attempt_of(row->ask);
        struct sc_error err = SC_ERROR_INIT;
        begin(&pace);
        a.status = row->status;
        a.code = sc_slice_str(row->code);
        set_more(&a, row->more);
        struct sc_s3_verdict v = sc_s3_judge(&a, &pace);
        if (v.action != SC_S3_FINAL)
            continue;
        sc_s3_tell(&a, &v, sc_slice_str("bkt"), sc_slice_str("k"), &err);
        bool plain = v.rc == SC_NOT_FOUND || v.rc == SC_EXISTS || v.rc == SC_LIMIT || v.rc == SC_INVALID;
        if (!plain && !err.hint[0])
            fail_msg("row %zu (%u %s) says nothing of what to check", i, row->status, row->code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_retry_goes_by_the_rule_row_by_row),
        cmocka_unit_test(test_s3_retry_of_what_did_not_come_goes_by_its_failure),
        cmocka_unit_test(test_s3_retry_of_what_never_answered_ends_sooner),
        cmocka_unit_test(test_s3_retry_corrects_the_clock_by_the_date_and_not_by_nonsense),
        cmocka_unit_test(test_s3_retry_waits_with_full_jitter_and_never_longer_than_its_bound),
        cmocka_unit_test(test_s3_retry_waits_as_long_as_the_server_asks_within_reason),
        cmocka_unit_test(test_s3_retry_budget_slows_retries_and_fills_with_time_and_successes),
        cmocka_unit_test(test_s3_retry_halves_the_window_on_503_once_a_burst_and_widens_it_slowly),
        cmocka_unit_test(test_s3_retry_story_names_bucket_key_code_request_and_what_to_check),
        cmocka_unit_test(test_s3_retry_story_of_a_long_key_keeps_what_s3_said),
        cmocka_unit_test(test_s3_retry_final_ones_say_what_to_check),
    };
    return cmocka_run_group_tests_name("s3_retry", tests, NULL, NULL);
}
