#include "store/libs3/answer.h"

#include "base/os/clock.h"
#include "store/s3/url.h"
#include "store/s3/xml.h"

// ---- S3's XML

static void add_text(struct sc_buf *out, const char *text)
{
    for (const char *c = text ? text : ""; *c; c++) {
        if (*c == '&')
            sc_buf_add_str(out, "&amp;");
        else if (*c == '<')
            sc_buf_add_str(out, "&lt;");
        else if (*c == '>')
            sc_buf_add_str(out, "&gt;");
        else
            sc_buf_add_byte(out, (uint8_t)*c);
    }
}

static void add_element(struct sc_buf *out, const char *name, const char *text)
{
    sc_buf_printf(out, "<%s>", name);
    add_text(out, text);
    sc_buf_printf(out, "</%s>", name);
}

void sc_libs3_list_begin(struct sc_buf *text)
{
    sc_buf_clear(text);
    sc_buf_add_str(text, "<ListBucketResult>");
}

void sc_libs3_list_add(struct sc_buf *text, const S3ListBucketContent *content)
{
    char at[32];
    sc_clock_rfc3339(content->lastModified * 1000, at);
    sc_buf_add_str(text, "<Contents><Key>");
    sc_s3_encode(text, sc_slice_str(content->key), true);
    sc_buf_printf(text, "</Key><Size>%llu</Size>", (unsigned long long)content->size);
    add_element(text, "LastModified", at);
    add_element(text, "ETag", content->eTag);
    sc_buf_add_str(text, "</Contents>");
}

void sc_libs3_list_end(struct sc_buf *text, bool truncated)
{
    // The token is not used, since pages are asked for by key.
    sc_buf_add_str(
        text, truncated ? "<IsTruncated>true</IsTruncated><NextContinuationToken>-</NextContinuationToken>"
                        : "<IsTruncated>false</IsTruncated>");
    sc_buf_add_str(text, "</ListBucketResult>");
}

bool sc_libs3_set_copied(struct sc_s3_exchange *x, const char *etag)
{
    // Of an answer that was cut the closing quote is missing; one that says an error behind a good status has none.
    size_t len = strlen(etag);
    if (len == 0 || (etag[0] == '"' && (len < 3 || etag[len - 1] != '"')))
        return false;
    sc_buf_clear(&x->text);
    sc_buf_add_str(&x->text, "<CopyObjectResult>");
    add_element(&x->text, "ETag", etag);
    sc_buf_add_str(&x->text, "</CopyObjectResult>");
    return true;
}

static void set_error(struct sc_s3_exchange *x, uint32_t status, const char *code,
                      const S3ErrorDetails *details)
{
    x->answer.status = status;
    sc_buf_clear(&x->text);
    if (!code && !(details && details->message))
        return; // no words of S3's
    sc_buf_add_str(&x->text, "<Error>");
    if (code)
        add_element(&x->text, "Code", code);
    if (details && details->message)
        add_element(&x->text, "Message", details->message);
    for (int i = 0; details && i < details->extraDetailsCount; i++) {
        const S3NameValue *extra = &details->extraDetails[i];
        if (strcmp(extra->name, "RequestId") == 0 || strcmp(extra->name, "Region") == 0)
            add_element(&x->text, extra->name, extra->value);
    }
    sc_buf_add_str(&x->text, "</Error>");
}

void sc_libs3_set_error(struct sc_s3_exchange *x, uint32_t status, const char *code)
{
    x->answer.failure = SC_S3_CAME;
    set_error(x, status, code, NULL);
}

// ---- headers

void sc_libs3_take_properties(struct sc_s3_exchange *x, const S3ResponseProperties *properties)
{
    struct sc_s3_answer *answer = &x->answer;
    struct sc_arena *arena = &x->arena;
    answer->status = 200;
    answer->length = (int64_t)properties->contentLength;
    answer->mtime_ms = properties->lastModified > 0 ? properties->lastModified * 1000 : 0;
    answer->etag = sc_s3_etag(sc_arena_copy(arena, sc_slice_str(properties->eTag)));
    answer->request_id = sc_arena_copy(arena, sc_slice_str(properties->requestId));
    for (int i = 0; i < properties->metaDataCount; i++) {
        const S3NameValue *meta = &properties->metaData[i];
        if (strcmp(meta->name, "writer") == 0)
            answer->writer = sc_arena_copy(arena, sc_slice_str(meta->value));
        else if (strcmp(meta->name, "sha256") == 0)
            answer->sha256 = sc_arena_copy(arena, sc_slice_str(meta->value));
    }
}

// ---- status

// What kept an answer from coming. libs3 calls most of what curl can meet an internal error.
static const struct {
    S3Status status;
    enum sc_s3_failure failure;
} failures[] = {
    {S3StatusNameLookupError, SC_S3_NO_HOST}, {S3StatusFailedToConnect, SC_S3_NO_CONNECT},
    {S3StatusConnectionFailed, SC_S3_RESET},  {S3StatusInternalError, SC_S3_RESET},
    {S3StatusInterrupted, SC_S3_RESET},       {S3StatusXmlParseFailure, SC_S3_CUT},
};

// HTTP's status, which libs3 keeps to itself. What has a code of S3's is judged by that; 400 where nothing is said here.
static const struct {
    S3Status status;
    uint32_t http;
} statuses[] = {
    {S3StatusErrorAccessDenied, 403},
    {S3StatusErrorAccountProblem, 403},
    {S3StatusErrorInvalidAccessKeyId, 403},
    {S3StatusErrorRequestTimeTooSkewed, 403},
    {S3StatusErrorSignatureDoesNotMatch, 403},
    {S3StatusErrorNotSignedUp, 403},
    {S3StatusErrorNoSuchBucket, 404},
    {S3StatusErrorNoSuchKey, 404},
    {S3StatusErrorMethodNotAllowed, 405},
    {S3StatusErrorOperationAborted, 409},
    {S3StatusErrorPreconditionFailed, 412},
    {S3StatusErrorInvalidRange, 416},
    {S3StatusErrorInternalError, 500},
    {S3StatusErrorNotImplemented, 501},
    {S3StatusErrorSlowDown, 503},
    {S3StatusErrorPermanentRedirect, 301},
    {S3StatusErrorTemporaryRedirect, 307},
    {S3StatusErrorUnknown, 500}, // a code that libs3 does not know: it may pass
    {S3StatusHttpErrorMovedTemporarily, 307},
    {S3StatusHttpErrorForbidden, 403},
    {S3StatusHttpErrorNotFound, 404},
    {S3StatusHttpErrorConflict, 409},
    {S3StatusHttpErrorUnknown, 500},
};

static enum sc_s3_failure failure_of(S3Status status, const S3ErrorDetails *details)
{
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
        if (failures[i].status == status)
            return failures[i].failure;
    if (status == S3StatusErrorRequestTimeout && !(details && details->message))
        return SC_S3_STALLED; // curl's, not the server's
    return status < S3StatusNameLookupError ? SC_S3_OURS : SC_S3_CAME;
}

static uint32_t http_of(S3Status status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return statuses[i].http;
    return 400;
}

void sc_libs3_take_status(struct sc_s3_exchange *x, S3Status status, const S3ErrorDetails *details)
{
    struct sc_s3_answer *answer = &x->answer;
    const char *name = S3_get_status_name(status);
    answer->failure = SC_S3_CAME;
    // Not SC_S3_NO_TRUST, which advises to name an authority: libs3 takes none.
    if (status == S3StatusServerFailedVerification)
        sc_error_set(&x->own, SC_UNREACHABLE,
                     "the server's certificate is not of its name, or of none of the system's authorities");
    if (x->own.rc != SC_OK) {
        answer->failure = SC_S3_OURS;
    } else if (status == S3StatusOK) {
        answer->status = answer->status ? answer->status : 200;
    } else {
        answer->failure = failure_of(status, details);
        if (answer->failure != SC_S3_CAME)
            sc_error_set(&x->own, answer->failure == SC_S3_OURS ? SC_INVALID : SC_UNREACHABLE,
                         "libs3 says %s", name);
        else
            set_error(x, http_of(status),
                      strncmp(name, "Error", 5) == 0 && status != S3StatusErrorUnknown ? name + 5 : NULL,
                      details);
    }
    answer->own = x->own;
}
