#include "store/s3/retry.h"

#include "base/memory.h"

#include <stdio.h>

enum {
    FIRST_WAIT_MS = 50,
    SLOW_WAIT_MS = 200,
    LONGEST_WAIT_MS = 5000,
    STRANGER_MS = 8000, // the patience with what never answered
    LONGEST_RETRY_AFTER_MS = 30000,
    CUT_EVERY_MS = 200,    // of 503s that come together one halves
    BUDGET = 100 * 1000,   // milli-tokens; a retry takes 1,000
    BUDGET_PER_MS = 50,    // 50 retries a second
    BUDGET_PER_GOOD = 500, // half a retry
    MEND_AT_MOST = 2,
    READ_WRONG_AT_MOST = 4, // a network lies in between: more often than a disk it errs twice
    SEND_DAMAGED_AT_MOST = 2,
    SHOWN_KEY_BYTES = 300,
    SKEW_MIN_MS = 60 * 1000,         // below it the clock is not to blame: S3 allows 15 minutes
    SKEW_SILENT_MS = 10 * 60 * 1000, // from here on it is blamed for a refusal without words
};
static const int64_t skew_max_ms = (int64_t)20 * 365 * 24 * 3600 * 1000;

void sc_s3_pace_init(struct sc_s3_pace *pace, uint32_t window_max, int64_t patience_ms, uint64_t seed,
                     int64_t now_ms)
{
    *pace = (struct sc_s3_pace){.window = window_max,
                                .window_max = window_max,
                                .milli_tokens = BUDGET,
                                .filled_ms = now_ms,
                                .patience_ms = patience_ms};
    sc_random_init(&pace->random, seed);
}

// ---- what S3's codes and HTTP's statuses call for

enum treatment {
    PASSES,      // again
    SLOWS,       // again, and fewer at once
    CLOCK,       // correct it
    CREDENTIALS, // refresh them
    REGION,      // follow it
    ACCESS,      // denied, or absent without the right to list
    ABSENT,
    ARCHIVED,
    NO_BUCKET,
    NO_UPLOAD,
    TAKEN,   // a condition failed
    DAMAGED, // the body is not what its digest says
    EMPTY,   // a range beyond the end
    SECRET,
    ACCOUNT, // denied, whatever the object
    QUOTA,
    SIZE,
    REQUEST,       // our request is wrong
    UNKNOWN_THERE, // the server does not know such requests
};

static const struct {
    const char *code;
    enum treatment treatment;
} codes[] = {
    {"SlowDown", SLOWS},
    {"ServiceUnavailable", SLOWS},
    {"Throttling", SLOWS},
    {"ThrottlingException", SLOWS},
    {"ThrottledException", SLOWS},
    {"RequestThrottled", SLOWS},
    {"RequestThrottledException", SLOWS},
    {"RequestLimitExceeded", SLOWS},
    {"BandwidthLimitExceeded", SLOWS},
    {"TooManyRequests", SLOWS},
    {"TooManyRequestsException", SLOWS},
    {"ProvisionedThroughputExceededException", SLOWS},
    {"InternalError", PASSES},
    {"InternalFailure", PASSES},
    {"RequestTimeout", PASSES}, // 400: it waited for our body
    {"RequestTimeoutException", PASSES},
    {"IncompleteBody", PASSES},
    {"OperationAborted", PASSES},
    {"ConditionalRequestConflict", PASSES}, // two at once; one of them may have won
    {"ConcurrentModification", PASSES},
    {"RestoreAlreadyInProgress", ARCHIVED},
    {"InvalidObjectState", ARCHIVED},
    {"RequestTimeTooSkewed", CLOCK},
    {"RequestInTheFuture", CLOCK},
    {"RequestExpired", CLOCK},
    {"ExpiredToken", CREDENTIALS},
    {"ExpiredTokenException", CREDENTIALS},
    {"TokenRefreshRequired", CREDENTIALS},
    {"InvalidToken", CREDENTIALS},
    {"InvalidAccessKeyId", CREDENTIALS},
    {"AuthorizationHeaderMalformed", REGION},
    {"PermanentRedirect", REGION},
    {"TemporaryRedirect", REGION},
    {"Redirect", REGION},
    {"IllegalLocationConstraintException", REGION},
    {"AccessDenied", ACCESS},
    {"SignatureDoesNotMatch", SECRET},
    {"NoSuchKey", ABSENT},
    {"NoSuchVersion", ABSENT},
    {"MethodNotAllowed", ABSENT}, // of a version that is a deletion
    {"NoSuchBucket", NO_BUCKET},
    {"NoSuchUpload", NO_UPLOAD},
    {"PreconditionFailed", TAKEN},
    {"BadDigest", DAMAGED},
    {"XAmzContentSHA256Mismatch", DAMAGED},
    {"XAmzContentChecksumMismatch", DAMAGED},
    {"InvalidRange", EMPTY},
    {"QuotaExceeded", QUOTA},
    {"StorageFull", QUOTA},
    {"XMinioStorageFull", QUOTA},
    {"EntityTooLarge", SIZE},
    {"KeyTooLongError", SIZE},
    {"NotImplemented", UNKNOWN_THERE},
};

static bool treatment_of_code(struct sc_slice code, enum treatment *ret)
{
    for (size_t i = 0; code.len && i < SC_COUNT(codes); i++) {
        if (sc_slice_eq_str(code, codes[i].code)) {
            *ret = codes[i].treatment;
            return true;
        }
    }
    return false;
}

static enum treatment treatment_of_status(uint32_t status)
{
    switch (status) {
    case 301:
    case 302:
    case 307:
    case 308:
        return REGION;
    case 401:
        return ACCOUNT;
    case 403:
        return ACCESS;
    case 404:
    case 410:
        return ABSENT;
    case 408:
    case 409:
    case 425:
        return PASSES;
    case 412:
        return TAKEN;
    case 413:
        return SIZE;
    case 416:
        return EMPTY;
    case 429:
    case 503:
        return SLOWS;
    case 501:
    case 505:
        return UNKNOWN_THERE;
    case 507:
        return QUOTA;
    default:
        return status >= 500 || status < 400 ? PASSES : REQUEST;
    }
}

// ---- verdicts

static struct sc_s3_verdict final(enum sc_rc rc, const char *hint)
{
    return (struct sc_s3_verdict){.action = SC_S3_FINAL, .rc = rc, .hint = hint};
}

static bool is_read(enum sc_s3_ask ask)
{
    return ask == SC_S3_GET || ask == SC_S3_HEAD;
}

static bool is_write(enum sc_s3_ask ask)
{
    return ask == SC_S3_PUT || ask == SC_S3_COPY || ask == SC_S3_COMPLETE;
}

static int64_t take_token(struct sc_s3_pace *pace, int64_t now_ms)
{
    int64_t past_ms = now_ms - pace->filled_ms;
    past_ms = past_ms < 0 ? 0 : past_ms > 3600 * 1000 ? 3600 * 1000 : past_ms;
    pace->filled_ms = now_ms;
    pace->milli_tokens += past_ms * BUDGET_PER_MS;
    if (pace->milli_tokens > BUDGET)
        pace->milli_tokens = BUDGET;
    pace->milli_tokens -= 1000;
    return pace->milli_tokens < 0 ? -pace->milli_tokens / BUDGET_PER_MS : 0;
}

// Full jitter: anywhere from at once to the bound, so that those who failed together do not come back together.
static int64_t wait_of(const struct sc_s3_attempt *a, struct sc_s3_pace *pace, int64_t first_ms)
{
    int64_t bound = first_ms;
    for (uint32_t i = 1; i < a->number && bound < LONGEST_WAIT_MS; i++)
        bound *= 2;
    if (bound > LONGEST_WAIT_MS)
        bound = LONGEST_WAIT_MS;
    int64_t wait = (int64_t)sc_random_below(&pace->random, (uint64_t)bound + 1);
    int64_t owed = take_token(pace, a->now_ms);
    int64_t asked = a->retry_after_ms < LONGEST_RETRY_AFTER_MS ? a->retry_after_ms : LONGEST_RETRY_AFTER_MS;
    if (wait < owed)
        wait = owed;
    return wait < asked ? asked : wait;
}

static bool is_out_of_patience(const struct sc_s3_attempt *a, const struct sc_s3_pace *pace)
{
    bool stranger = !pace->met && pace->patience_ms > STRANGER_MS;
    return a->failed_ms && a->now_ms - a->failed_ms >= (stranger ? STRANGER_MS : pace->patience_ms);
}

static struct sc_s3_verdict again(const struct sc_s3_attempt *a, struct sc_s3_pace *pace, int64_t first_ms,
                                  enum sc_rc rc, const char *hint)
{
    if (is_out_of_patience(a, pace))
        return final(rc, hint);
    bool sent = a->failure != SC_S3_NO_HOST && a->failure != SC_S3_NO_CONNECT;
    return (struct sc_s3_verdict){
        .action = SC_S3_AGAIN, .wait_ms = wait_of(a, pace, first_ms), .unsure = is_write(a->ask) && sent};
}

static struct sc_s3_verdict slow(const struct sc_s3_attempt *a, struct sc_s3_pace *pace)
{
    if (a->now_ms - pace->cut_ms >= CUT_EVERY_MS || pace->cut_ms == 0) {
        pace->window = pace->window > 1 ? pace->window / 2 : 1;
        pace->cut_ms = a->now_ms;
    }
    pace->streak = 0;
    return again(a, pace, SLOW_WAIT_MS, SC_BUSY,
                 "the server is overloaded or limits this account: start fewer at once");
}

static struct sc_s3_verdict done(struct sc_s3_pace *pace)
{
    pace->milli_tokens += BUDGET_PER_GOOD;
    if (pace->milli_tokens > BUDGET)
        pace->milli_tokens = BUDGET;
    if (pace->window < pace->window_max && ++pace->streak >= pace->window) {
        pace->window++;
        pace->streak = 0;
    }
    return (struct sc_s3_verdict){.action = SC_S3_DONE};
}

static struct sc_s3_verdict failed(const struct sc_s3_attempt *a, struct sc_s3_pace *pace)
{
    switch (a->failure) {
    case SC_S3_CAME:
        break;
    case SC_S3_NO_HOST:
        return again(a, pace, FIRST_WAIT_MS, SC_UNREACHABLE,
                     "check endpoint= and region=, and this machine's name service");
    case SC_S3_NO_CONNECT:
        return again(a, pace, FIRST_WAIT_MS, SC_UNREACHABLE,
                     "check endpoint=, and that its port can be reached from here");
    case SC_S3_NO_TRUST:
        return final(SC_DENIED, "name the file with the server's authority: ca=/FILE or AWS_CA_BUNDLE; "
                                "certificates are always checked");
    case SC_S3_RESET:
    case SC_S3_CUT:
        return again(a, pace, FIRST_WAIT_MS, SC_UNREACHABLE,
                     "connections to the server end early: check the network and the server");
    case SC_S3_STALLED:
        return again(a, pace, FIRST_WAIT_MS, SC_TIMEOUT, "the server or the network in between stands still");
    case SC_S3_OURS:
        return final(a->own.rc, NULL);
    case SC_S3_ODD:
        return final(SC_IO, NULL);
    }
    SC_ASSERT(false);
    return final(SC_IO, NULL);
}

static struct sc_s3_verdict good(const struct sc_s3_attempt *a, struct sc_s3_pace *pace)
{
    if (a->wrong_bytes >= READ_WRONG_AT_MOST)
        return final(SC_CORRUPT, "the object is damaged, or something changes bytes on the way");
    if (a->broken || a->wrong_bytes)
        return again(a, pace, FIRST_WAIT_MS, SC_MALFORMED,
                     "what answers is not S3: check endpoint=, and proxies in between");
    return done(pace);
}

static struct sc_s3_verdict clock(const struct sc_s3_attempt *a)
{
    int64_t skew_ms = a->date_ms - a->wall_ms, off_ms = skew_ms - a->skew_ms;
    bool known = a->date_ms > 0 && skew_ms < skew_max_ms && skew_ms > -skew_max_ms;
    if (!known || a->mended >= MEND_AT_MOST || (off_ms < SKEW_MIN_MS && off_ms > -SKEW_MIN_MS))
        return final(SC_DENIED, "check this machine's clock");
    return (struct sc_s3_verdict){.action = SC_S3_CLOCK, .skew_ms = skew_ms};
}

static struct sc_s3_verdict credentials(const struct sc_s3_attempt *a, struct sc_s3_pace *pace)
{
    if (a->stale)
        return again(a, pace, 0, SC_DENIED, "check the credentials");
    if (a->mended >= MEND_AT_MOST)
        return final(SC_DENIED, "check the credentials: the server does not know them, or they ran out");
    return (struct sc_s3_verdict){.action = SC_S3_REFRESH};
}

static struct sc_s3_verdict region(const struct sc_s3_attempt *a)
{
    if (a->region.len && !sc_slice_eq(a->region, a->used_region) && a->mended < MEND_AT_MOST)
        return (struct sc_s3_verdict){.action = SC_S3_REGION};
    if (a->ask == SC_S3_HEAD && a->code.len == 0)
        return (struct sc_s3_verdict){.action = SC_S3_REASON};
    return final(SC_INVALID, "check region= and endpoint= of the bucket");
}

// Whether our clock alone could explain a refusal that says nothing.
static bool is_clock_off(const struct sc_s3_attempt *a)
{
    int64_t off_ms = a->date_ms - a->wall_ms - a->skew_ms;
    return a->date_ms > 0 && (off_ms > SKEW_SILENT_MS || off_ms < -SKEW_SILENT_MS);
}

static struct sc_s3_verdict access(const struct sc_s3_attempt *a)
{
    if (a->code.len == 0 && is_clock_off(a) && a->mended < MEND_AT_MOST)
        return clock(a);
    if (a->ask == SC_S3_HEAD && a->code.len == 0)
        return (struct sc_s3_verdict){.action = SC_S3_REASON};
    if (!is_read(a->ask))
        return final(SC_DENIED, NULL);
    if (!a->from_s3)
        return final(SC_DENIED, "the answer is not S3's own: check endpoint=, and proxies in between");
    switch (a->rights) {
    case SC_S3_RIGHTS_UNKNOWN:
        return (struct sc_s3_verdict){.action = SC_S3_RIGHTS};
    case SC_S3_RIGHTS_LIST:
    case SC_S3_RIGHTS_NONE:
        return final(SC_DENIED, NULL);
    case SC_S3_RIGHTS_OBJECTS:
        return final(SC_NOT_FOUND, NULL);
    }
    SC_ASSERT(false);
    return final(SC_DENIED, NULL);
}

static struct sc_s3_verdict absent(const struct sc_s3_attempt *a, struct sc_s3_pace *pace)
{
    if (a->ask == SC_S3_DELETE || a->ask == SC_S3_ABORT)
        return done(pace);
    if (!a->from_s3 && a->ask != SC_S3_HEAD)
        return again(a, pace, FIRST_WAIT_MS, SC_MALFORMED,
                     "what answers is not S3: check endpoint=, and proxies in between");
    if (!is_read(a->ask) && a->ask != SC_S3_COPY)
        return final(SC_UNREACHABLE, "check the bucket and endpoint=");
    return final(SC_NOT_FOUND, NULL);
}

static struct sc_s3_verdict no_upload(const struct sc_s3_attempt *a, struct sc_s3_pace *pace)
{
    if (a->ask == SC_S3_ABORT)
        return done(pace);
    if (a->ask == SC_S3_COMPLETE && a->unsure)
        return (struct sc_s3_verdict){.action = SC_S3_COMPARE};
    return final(SC_IO,
                 "the unfinished upload was removed: is there a lifecycle rule that aborts uploads early?");
}

static struct sc_s3_verdict taken(const struct sc_s3_attempt *a)
{
    if (is_read(a->ask) || !a->if_absent)
        return final(SC_BUSY, "the object was overwritten since it was looked at");
    if (a->unsure)
        return (struct sc_s3_verdict){.action = SC_S3_COMPARE};
    return final(SC_EXISTS, NULL);
}

static struct sc_s3_verdict empty(const struct sc_s3_attempt *a)
{
    if (a->ask != SC_S3_GET)
        return final(SC_INVALID, NULL);
    return (struct sc_s3_verdict){.action = SC_S3_DONE, .empty = true};
}

static struct sc_s3_verdict damaged(const struct sc_s3_attempt *a, struct sc_s3_pace *pace)
{
    const char *hint = "the file changed since it was hashed, or something changes bytes on the way";
    struct sc_s3_verdict verdict = a->damaged >= SEND_DAMAGED_AT_MOST
                                       ? final(SC_BUSY, hint)
                                       : again(a, pace, FIRST_WAIT_MS, SC_BUSY, hint);
    verdict.damaged = true;
    return verdict;
}

static struct sc_s3_verdict treat(const struct sc_s3_attempt *a, struct sc_s3_pace *pace,
                                  enum treatment treatment)
{
    switch (treatment) {
    case PASSES:
        return again(a, pace, FIRST_WAIT_MS, SC_IO, "the server has trouble of its own");
    case SLOWS:
        return slow(a, pace);
    case CLOCK:
        return clock(a);
    case CREDENTIALS:
        return credentials(a, pace);
    case REGION:
        return region(a);
    case ACCESS:
        return access(a);
    case ABSENT:
        return absent(a, pace);
    case ARCHIVED:
        return (struct sc_s3_verdict){.action = SC_S3_FINAL,
                                      .rc = SC_NOT_FOUND,
                                      .archived = true,
                                      .hint = "it lies in an archive and counts as lost; a lifecycle rule "
                                              "must leave a store's prefix alone"};
    case NO_BUCKET:
        return final(SC_UNREACHABLE, "check the bucket's name and endpoint=");
    case NO_UPLOAD:
        return no_upload(a, pace);
    case TAKEN:
        return taken(a);
    case DAMAGED:
        return damaged(a, pace);
    case EMPTY:
        return empty(a);
    case SECRET:
        return final(SC_DENIED, "check the secret access key, and proxies that change requests");
    case ACCOUNT:
        return final(SC_DENIED, NULL);
    case QUOTA:
        return final(SC_FULL, "the bucket's or the account's quota is used up");
    case SIZE:
        return final(SC_LIMIT, NULL);
    case REQUEST:
        if (a->ask == SC_S3_HEAD && a->code.len == 0)
            return (struct sc_s3_verdict){.action = SC_S3_REASON};
        return final(SC_INVALID, NULL);
    case UNKNOWN_THERE:
        return final(SC_UNSUPPORTED, a->if_absent ? "this server knows no conditional writes (If-None-Match)"
                                                  : "this server does not know such requests");
    }
    SC_ASSERT(false);
    return final(SC_IO, NULL);
}

struct sc_s3_verdict sc_s3_judge(const struct sc_s3_attempt *a, struct sc_s3_pace *pace)
{
    if (a->failure != SC_S3_CAME)
        return failed(a, pace);
    pace->met |= a->from_s3 || a->status / 100 == 2;
    bool is_good = a->status >= 200 && a->status < 300;
    if (is_good && a->code.len == 0)
        return good(a, pace);
    enum treatment treatment;
    // A good status with an error behind it (S3 answers a slow request before it knows its end): what has no code of
    // the list is S3's own trouble.
    if (!treatment_of_code(a->code, &treatment))
        treatment = is_good ? PASSES : treatment_of_status(a->status);
    return treat(a, pace, treatment);
}

// ---- stories

static const char *const ask_texts[] = {
#define X(name, text, right) text,
    SC_S3_ASK_TABLE(X)
#undef X
};
static const char *const ask_rights[] = {
#define X(name, text, right) right,
    SC_S3_ASK_TABLE(X)
#undef X
};

static void add(char *text, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add(char *text, size_t room, const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, room - used, format, args);
    va_end(args);
}

enum sc_rc sc_s3_tell(const struct sc_s3_attempt *a, const struct sc_s3_verdict *verdict,
                      struct sc_slice bucket, struct sc_slice key, struct sc_error *err)
{
    if (!err)
        return verdict->rc;
    char text[SC_ERROR_MESSAGE_BYTES] = "";
    bool cut = key.len > SHOWN_KEY_BYTES; // what S3 says must find room behind it
    key.len = cut ? SHOWN_KEY_BYTES : key.len;
    add(text, sizeof text, "%s s3://" SC_SLICE_FMT "/" SC_SLICE_FMT "%s: ", ask_texts[a->ask],
        SC_SLICE_ARG(bucket), SC_SLICE_ARG(key), cut ? "…" : "");
    if (a->failure != SC_S3_CAME) {
        add(text, sizeof text, "%s", a->own.message[0] ? a->own.message : "no answer");
    } else {
        add(text, sizeof text, "%u", a->status);
        if (a->code.len)
            add(text, sizeof text, " " SC_SLICE_FMT, SC_SLICE_ARG(a->code));
        if (a->message.len)
            add(text, sizeof text, ": " SC_SLICE_FMT, SC_SLICE_ARG(a->message));
        if (a->wrong_bytes)
            add(text, sizeof text, ": its bytes have another digest");
        else if (a->broken)
            add(text, sizeof text, ": the body is not what S3 sends%s%s", a->own.message[0] ? ": " : "",
                a->own.message);
        if (a->request_id.len)
            add(text, sizeof text, " (request " SC_SLICE_FMT ")", SC_SLICE_ARG(a->request_id));
    }
    if (a->number > 1)
        add(text, sizeof text, ", after %u attempts", a->number);
    sc_error_set(err, verdict->rc, "%s", text);
    if (a->failure == SC_S3_OURS)
        err->sys_errno = a->own.sys_errno;
    if (verdict->hint)
        sc_error_hint(err, "%s", verdict->hint);
    else if (verdict->rc == SC_DENIED)
        sc_error_hint(err, "check that the credentials may %s there", ask_rights[a->ask]);
    return verdict->rc;
}
