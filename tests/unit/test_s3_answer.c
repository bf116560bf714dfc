#include "tests/lib/test.h"

#include "base/limits.h"
#include "store/s3/credentials_answer.h"

static const int64_t until_ms = INT64_C(1767323045000);
#define UNTIL "2026-01-02T03:04:05Z"

static const struct {
    const char *json;
    enum sc_s3_json kind;
    const char *token;
    bool expires;
} good_json[] = {
    {"{\"Version\": 1, \"AccessKeyId\": \"AK\", \"SecretAccessKey\": \"xSECRETx\", \"SessionToken\": \"T\", "
     "\"Expiration\": \"" UNTIL "\"}",
     SC_S3_JSON_PROCESS, "T", true},
    {"{\"Version\":1,\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"xSECRETx\"}", SC_S3_JSON_PROCESS, "",
     false},
    {"{\"Version\":1,\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"xSECRETx\",\"SessionToken\":null,"
     "\"Expiration\":null,\"AccountId\":\"1\"}",
     SC_S3_JSON_PROCESS, "", false},
    {"{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"xSECRETx\","
     "\"Token\":\"T\",\"Expiration\":\"" UNTIL "\"}",
     SC_S3_JSON_ENDPOINT, "T", true},
    {"{\"RoleArn\":\"r\",\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"xSECRETx\",\"Token\":\"T\","
     "\"Expiration\":\"" UNTIL "\"}",
     SC_S3_JSON_ENDPOINT, "T", true},
};

static void test_json_of_each_kind_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(good_json); i++) {
        struct sc_s3_found found = {0};
        struct sc_error err = SC_ERROR_INIT;
        assert_ok(sc_s3_found_json(sc_slice_str(good_json[i].json), good_json[i].kind, &found, &err), err);
        assert_slice(found.access_key, "AK");
        assert_slice(found.secret, "xSECRETx");
        assert_slice(found.token, good_json[i].token);
        assert_int_equal(found.expires_ms, good_json[i].expires ? until_ms : 0);
        sc_s3_found_done(&found);
        assert_null(found.secret.ptr);
    }
}

#define KEYS "\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"xSECRETx\""

static const struct {
    const char *json;
    enum sc_s3_json kind;
    enum sc_rc rc;
    const char *says;
} bad_json[] = {
    {"", SC_S3_JSON_PROCESS, SC_MALFORMED, "no JSON"},
    {"xSECRETx", SC_S3_JSON_PROCESS, SC_MALFORMED, "no JSON (line 1"},
    {"{\"Version\":1," KEYS, SC_S3_JSON_PROCESS, SC_MALFORMED, "no JSON"},
    {"{\"Version\":1," KEYS ",\"SecretAccessKey\":\"xSECRETx\"}", SC_S3_JSON_PROCESS, SC_MALFORMED,
     "no JSON"},
    {"[1]", SC_S3_JSON_PROCESS, SC_MALFORMED, "no JSON object"},
    {"{" KEYS "}", SC_S3_JSON_PROCESS, SC_MALFORMED, "no Version"},
    {"{\"Version\":\"1\"," KEYS "}", SC_S3_JSON_PROCESS, SC_MALFORMED, "no Version"},
    {"{\"Version\":2," KEYS "}", SC_S3_JSON_PROCESS, SC_VERSION, "Version 2"},
    {"{\"Version\":1,\"SecretAccessKey\":\"xSECRETx\"}", SC_S3_JSON_PROCESS, SC_MALFORMED, "no access key"},
    {"{\"Version\":1,\"AccessKeyId\":7,\"SecretAccessKey\":\"xSECRETx\"}", SC_S3_JSON_PROCESS, SC_MALFORMED,
     "no access key"},
    {"{\"Version\":1,\"AccessKeyId\":\"AK\"}", SC_S3_JSON_PROCESS, SC_MALFORMED, "no secret access key"},
    {"{\"Version\":1,\"AccessKeyId\":\"A\\nK\",\"SecretAccessKey\":\"xSECRETx\"}", SC_S3_JSON_PROCESS,
     SC_MALFORMED, "access key has a character"},
    {"{\"Version\":1,\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"xSECRETx \"}", SC_S3_JSON_PROCESS,
     SC_MALFORMED, "secret access key has a character that cannot be (byte 9)"},
    {"{\"Version\":1," KEYS ",\"SessionToken\":\"xSECRETx\\r\\nHost: y\"}", SC_S3_JSON_PROCESS, SC_MALFORMED,
     "session token has a character"},
    {"{\"Version\":1," KEYS ",\"SessionToken\":\"\xc3\xa4\"}", SC_S3_JSON_PROCESS, SC_MALFORMED,
     "session token has a character"},
    {"{\"Version\":1," KEYS ",\"Expiration\":\"tomorrow\"}", SC_S3_JSON_PROCESS, SC_MALFORMED, "RFC 3339"},
    {"{" KEYS ",\"Token\":\"T\"}", SC_S3_JSON_ENDPOINT, SC_MALFORMED, "no Expiration"},
    {"{" KEYS ",\"Token\":\"T\",\"Expiration\":1767323045}", SC_S3_JSON_ENDPOINT, SC_MALFORMED,
     "no Expiration"},
    {"{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"EC2 cannot assume\"}", SC_S3_JSON_ENDPOINT,
     SC_DENIED, "AssumeRoleUnauthorizedAccess: EC2 cannot assume"},
};

static void test_json_that_is_not_as_it_must_be_is_named_without_its_secrets(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(bad_json); i++) {
        struct sc_s3_found found = {0};
        struct sc_error err = SC_ERROR_INIT;
        assert_rc(sc_s3_found_json(sc_slice_str(bad_json[i].json), bad_json[i].kind, &found, &err),
                  bad_json[i].rc);
        assert_contains(err.message, bad_json[i].says);
        assert_null(strstr(err.message, "SECRET"));
        assert_null(found.secret.ptr);
    }
}

static void test_credentials_are_of_bearable_length(void **state)
{
    struct sc_s3_found found = {0};
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice k = sc_slice_str("k");
    SC_AUTO_FREE char *long_one = sc_calloc(SC_LIMIT_S3_CREDENTIAL_BYTES + 1, 1);
    (void)state;
    memset(long_one, 'x', SC_LIMIT_S3_CREDENTIAL_BYTES + 1);
    struct sc_slice fits = sc_slice(long_one, SC_LIMIT_S3_CREDENTIAL_BYTES);
    struct sc_slice over = sc_slice(long_one, SC_LIMIT_S3_CREDENTIAL_BYTES + 1);
    assert_ok(sc_s3_found_set(&found, k, fits, fits, &err), err);
    sc_s3_found_done(&found);
    assert_rc(sc_s3_found_set(&found, k, k, over, &err), SC_MALFORMED);
    assert_rc(sc_s3_found_set(&found, over, k, k, &err), SC_MALFORMED);
}

#define HEAD                                                                                                 \
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n"              \
    " <AssumeRoleWithWebIdentityResult>\n"
#define TAIL                                                                                                 \
    " </AssumeRoleWithWebIdentityResult>\n <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\n"  \
    "</AssumeRoleWithWebIdentityResponse>\n"
#define XML_KEYS  "<SecretAccessKey>xSECRETx</SecretAccessKey><AccessKeyId>AK</AccessKeyId>"
#define XML_UNTIL "<Expiration>" UNTIL "</Expiration>"

static void test_xml_of_sts_is_read(void **state)
{
    static const char *const texts[] = {
        HEAD "<Credentials><SessionToken>T&amp;U</SessionToken>" XML_KEYS XML_UNTIL
             "</Credentials><AssumedRoleUser><Arn>a</Arn></AssumedRoleUser>" TAIL,
        "<?xml version=\"1.0\"?>\n<!-- x -->" HEAD
        "<Credentials>\n  <SessionToken><![CDATA[T&U]]></SessionToken>\n" XML_KEYS XML_UNTIL
        "\n</Credentials>" TAIL,
        "<s:R xmlns:s=\"u\"><s:Credentials><s:SessionToken>T<!-- -->&#38;U</s:SessionToken>" XML_KEYS
            XML_UNTIL "</s:Credentials></s:R>",
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(texts); i++) {
        struct sc_s3_found found = {0};
        struct sc_error err = SC_ERROR_INIT;
        assert_ok(sc_s3_found_sts(sc_slice_str(texts[i]), &found, &err), err);
        assert_slice(found.access_key, "AK");
        assert_slice(found.secret, "xSECRETx");
        assert_slice(found.token, "T&U");
        assert_int_equal(found.expires_ms, until_ms);
        sc_s3_found_done(&found);
    }
}

static void test_xml_that_is_not_of_sts_is_refused(void **state)
{
    static const struct {
        const char *xml, *says;
    } rows[] = {
        {"", "no XML"},
        {"xSECRETx", "no XML"},
        {"<html><body>Sign in</body></html>", "session token"},
        {HEAD "<Credentials><SessionToken>T</SessionToken>" XML_KEYS XML_UNTIL "</Credentials>", "no XML"},
        {HEAD "<Credentials><SessionToken>T</SessionToken>" XML_KEYS "</Credentials>" TAIL, "time of expiry"},
        {HEAD "<Credentials>" XML_KEYS XML_UNTIL "</Credentials>" TAIL, "session token"},
        {HEAD "<Credentials><SessionToken>T</SessionToken><AccessKeyId>AK</AccessKeyId>" XML_UNTIL
              "</Credentials>" TAIL,
         "secret access key"},
        {HEAD "<Other><SessionToken>T</SessionToken>" XML_KEYS XML_UNTIL "</Other>" TAIL, "session token"},
        {HEAD "<Credentials><SessionToken>T</SessionToken>" XML_KEYS XML_KEYS XML_UNTIL "</Credentials>" TAIL,
         "no XML"}, // twice: whose are they
        {HEAD "<Credentials><SessionToken>T\nx: y</SessionToken>" XML_KEYS XML_UNTIL "</Credentials>" TAIL,
         "session token has a character"},
        {"<!DOCTYPE r [<!ENTITY t \"T\">]><r><Credentials><SessionToken>&t;</SessionToken>" XML_KEYS XML_UNTIL
         "</Credentials></r>",
         "no XML"},
        {"<!DOCTYPE r SYSTEM \"file:///etc/passwd\"><r><Credentials><SessionToken>T</SessionToken>" XML_KEYS
             XML_UNTIL "</Credentials></r>",
         "no XML"},
        {"<a><a><a><a><a><a><a><a><a><a>T</a></a></a></a></a></a></a></a></a></a>", "no XML"},
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        struct sc_s3_found found = {0};
        struct sc_error err = SC_ERROR_INIT;
        assert_rc(sc_s3_found_sts(sc_slice_str(rows[i].xml), &found, &err), SC_MALFORMED);
        assert_contains(err.message, rows[i].says);
        assert_null(strstr(err.message, "SECRET"));
    }
}

static void test_refusals_of_sts_say_code_and_message(void **state)
{
    SC_AUTO_BUF struct sc_buf code, message;
    (void)state;
    sc_buf_init(&code, 0);
    sc_buf_init(&message, 0);
    sc_s3_refusal_sts(
        sc_slice_str("<ErrorResponse xmlns=\"u\"><Error><Type>Sender</Type><Code>InvalidIdentityToken"
                     "</Code><Message>No OpenIDConnect provider\n</Message></Error></ErrorResponse>"),
        &code, &message);
    assert_string_equal(sc_buf_cstr(&code), "InvalidIdentityToken");
    assert_string_equal(sc_buf_cstr(&message), "No OpenIDConnect provider ");
    sc_buf_clear(&code);
    sc_s3_refusal_sts(sc_slice_str("<html>"), &code, &message);
    assert_int_equal(code.len, 0);
}

static void test_foreign_text_is_scrubbed(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"The SSO session has expired", "The SSO session has expired"},
        {"two\nlines\tand \x1b[31m", "two lines and  [31m"},
        {"key AKIAIOSFODNN7EXAMPLE was refused", "key [...] was refused"},
        {"secret=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "[...]"},
        {"token 'IQoJb3JpZ2luX2VjEJz//////////wEaCXVzLWVhc3QtMSJ'", "token '[...]'"},
        {"/usr/local/bin/some-credentials-helper failed", "/usr/local/bin/some-credentials-helper failed"},
        {"arn:aws:iam::123456789012:role/team", "arn:aws:iam::123456789012:role/team"},
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        SC_AUTO_BUF struct sc_buf out;
        sc_buf_init(&out, 0);
        sc_s3_scrub(sc_slice_str(rows[i].text), &out);
        assert_string_equal(sc_buf_cstr(&out), rows[i].want);
    }
    char large[4000];
    SC_AUTO_BUF struct sc_buf out;
    memset(large, 'x', sizeof large);
    sc_buf_init(&out, 0);
    sc_s3_scrub(sc_slice(large, sizeof large), &out);
    assert_int_equal(out.len, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_of_each_kind_is_read),
        cmocka_unit_test(test_json_that_is_not_as_it_must_be_is_named_without_its_secrets),
        cmocka_unit_test(test_credentials_are_of_bearable_length),
        cmocka_unit_test(test_xml_of_sts_is_read),
        cmocka_unit_test(test_xml_that_is_not_of_sts_is_refused),
        cmocka_unit_test(test_refusals_of_sts_say_code_and_message),
        cmocka_unit_test(test_foreign_text_is_scrubbed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
