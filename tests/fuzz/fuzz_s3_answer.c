// Bytes as what a credential_process, a metadata endpoint or STS answers: reading them never breaks, and what is taken for
// credentials is fit for a header.
#include "store/s3/credentials_answer.h"

#include "base/limits.h"
#include "base/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct sc_slice text)
{
    SC_ASSERT(text.len <= SC_LIMIT_S3_CREDENTIAL_BYTES);
    for (size_t i = 0; i < text.len; i++)
        SC_ASSERT(text.ptr[i] > ' ' && text.ptr[i] <= '~');
}

static void check_found(enum sc_rc rc, struct sc_s3_found *found, const struct sc_error *err)
{
    if (rc != SC_OK) {
        SC_ASSERT(err->rc == rc && err->message[0] && !found->secret.ptr);
        return;
    }
    SC_ASSERT(found->access_key.len && found->secret.len);
    check_text(found->access_key);
    check_text(found->secret);
    check_text(found->token);
    sc_s3_found_done(found);
}

static void check_scrubbed(const struct sc_buf *text)
{
    SC_ASSERT(text->len <= 210);
    for (size_t i = 0; i < text->len; i++)
        SC_ASSERT(text->ptr[i] >= ' ' && text->ptr[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sc_slice text = sc_slice(data, size);
    SC_AUTO_BUF struct sc_buf code = {0}, message = {0};
    for (int kind = SC_S3_JSON_PROCESS; kind <= SC_S3_JSON_ENDPOINT; kind++) {
        struct sc_s3_found found = {0};
        struct sc_error err = SC_ERROR_INIT;
        check_found(sc_s3_found_json(text, (enum sc_s3_json)kind, &found, &err), &found, &err);
    }
    struct sc_s3_found found = {0};
    struct sc_error err = SC_ERROR_INIT;
    check_found(sc_s3_found_sts(text, &found, &err), &found, &err);
    sc_s3_refusal_sts(text, &code, &message);
    check_scrubbed(&code);
    check_scrubbed(&message);
    sc_buf_clear(&code);
    sc_buf_clear(&message);
    sc_s3_refusal_json(text, &code, &message);
    check_scrubbed(&code);
    check_scrubbed(&message);
    return 0;
}
