// The sources of credentials that answer by HTTP, and how they can answer badly.
#include "tests/unit/s3_test.h"

// Container

static void test_container_is_asked_with_its_token(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = "GET /creds?id=xSECRETx HTTP/1.1", .body = ANSWER("BOX", IN_AN_HOUR)},
        {.request = "GET /creds?id=xSECRETx HTTP/1.1", .body = ANSWER("BOY", IN_AN_HOUR)},
        {.request = "GET /creds?id=xSECRETx HTTP/1.1", .body = ANSWER("BOZ", IN_AN_HOUR)},
    };
    use_container(w, 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_got(w, "BOX");
    assert_int_equal(w->got.expires_ms, now_ms + 60 * MINUTE);
    SC_AUTO_FREE char *words =
        sc_asprintf("container endpoint at %s, until " IN_AN_HOUR, sc_http_stub_host(w->stub));
    assert_describes(w, words);
    assert_null(strstr(sc_http_stub_last(w->stub), "Authorization"));
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer one", 1);
    assert_ok(get_at(w, MINUTE, true), w->err);
    assert_contains(sc_http_stub_last(w->stub), "\r\nAuthorization: Bearer one\r\n");
    write_file(w, "token", "Bearer two\n"); // goes before the other, and is read each time
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "~/token", 1);
    assert_ok(get_at(w, 2 * MINUTE, true), w->err);
    assert_contains(sc_http_stub_last(w->stub), "\r\nAuthorization: Bearer two\r\n");
    assert_got(w, "BOZ");
}

static void test_container_urls_without_tls_are_of_this_machine_alone(void **state)
{
    static const struct {
        const char *relative, *full;
        enum sc_rc rc;
        const char *url, *host;
    } urls[] = {
        {"/v2/creds/1", NULL, SC_OK, "http://169.254.170.2/v2/creds/1", "169.254.170.2"},
        {"/v2/creds/1", "http://127.0.0.1/", SC_OK, "http://169.254.170.2/v2/creds/1", "169.254.170.2"},
        {"", "http://127.0.0.1/x", SC_OK, "http://127.0.0.1/x", "127.0.0.1"},
        {NULL, "http://127.255.0.9:80/x", SC_OK, "http://127.255.0.9:80/x", "127.255.0.9:80"},
        {NULL, "http://localhost:9/x", SC_OK, "http://localhost:9/x", "localhost:9"},
        {NULL, "http://[::1]:9/x", SC_OK, "http://[::1]:9/x", "[::1]:9"},
        {NULL, "http://169.254.170.2/x", SC_OK, "http://169.254.170.2/x", "169.254.170.2"},
        {NULL, "http://169.254.170.23/x", SC_OK, "http://169.254.170.23/x", "169.254.170.23"},
        {NULL, "http://[fd00:ec2::23]/x", SC_OK, "http://[fd00:ec2::23]/x", "[fd00:ec2::23]"},
        {NULL, "https://example.com/x", SC_OK, "https://example.com/x", "example.com"},
        {"@example.com/", NULL, SC_DENIED, NULL, NULL},
        {".example.com/", NULL, SC_DENIED, NULL, NULL},
        {"3/x", NULL, SC_DENIED, NULL, NULL},
        {NULL, "http://me:xSECRETx@127.0.0.1/x", SC_DENIED, NULL, NULL},
        {NULL, "http://126.0.0.1/x", SC_DENIED, NULL, NULL},
        {NULL, "http://example.com/x", SC_DENIED, NULL, NULL},
        {NULL, "http://169.254.169.254/x", SC_DENIED, NULL, NULL},
        {NULL, "http://169.254.170.24/x", SC_DENIED, NULL, NULL},
        {NULL, "http://128.0.0.1/x", SC_DENIED, NULL, NULL},
        {NULL, "http://127.0.0.1.example.com/x", SC_DENIED, NULL, NULL},
        {NULL, "http://localhost.example.com/x", SC_DENIED, NULL, NULL},
        {NULL, "http://127.0.0.1@example.com/x", SC_DENIED, NULL, NULL},
        {NULL, "http://example.com#@127.0.0.1/x", SC_DENIED, NULL, NULL},
        {NULL, "http://[fd00:ec2::24]/x", SC_DENIED, NULL, NULL},
        {NULL, "http://[::2]/x", SC_DENIED, NULL, NULL},
        {NULL, "ftp://127.0.0.1/x", SC_DENIED, NULL, NULL},
        {NULL, "file:///etc/passwd", SC_DENIED, NULL, NULL},
        {NULL, "127.0.0.1/x", SC_DENIED, NULL, NULL},
        {NULL, "xSECRETx", SC_DENIED, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(urls); i++) {
        SC_AUTO_BUF struct sc_buf url, host;
        struct sc_error err = SC_ERROR_INIT;
        sc_buf_init(&url, 0);
        sc_buf_init(&host, 0);
        enum sc_rc rc = sc_s3_container_url(urls[i].relative, urls[i].full, &url, &host, &err);
        if (rc != urls[i].rc)
            fail_msg("%s%s: %s", urls[i].relative ? urls[i].relative : "", urls[i].full, sc_rc_name(rc));
        assert_string_equal(sc_buf_cstr(&url), urls[i].url ? urls[i].url : "");
        assert_string_equal(sc_buf_cstr(&host), urls[i].host ? urls[i].host : "");
        assert_null(strstr(err.message, "xSECRETx"));
    }
}

static const struct {
    struct sc_http_exchange script[3];
    int tries;
    enum sc_rc rc;
    const char *says;
} bad_containers[] = {
    {{{.request = CREDS,
       .status = 401,
       .body = "{\"code\":\"InvalidToken\",\"message\":\"xSECRETx1234A567890\"}"}},
     3,
     SC_DENIED,
     "answered 401 InvalidToken: [...]"},
    {{{.request = CREDS, .status = 404}}, 3, SC_DENIED, "answered 404"},
    {{{.request = CREDS, .status = 400, .body = "xSECRETx"}}, 3, SC_DENIED, "answered 400"},
    {{{.request = CREDS, .status = 302, .header = "Location: http://127.0.0.1:1/xSECRETx"}},
     3,
     SC_DENIED,
     "answered 302"},
    {{{.request = CREDS, .body = "xSECRETx"}}, 3, SC_DENIED, "it is no JSON"},
    {{{.request = CREDS, .body = "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"xSECRETx\"}"}},
     3,
     SC_DENIED,
     "no Expiration"},
    {{{.request = CREDS, .body = ANSWER("A", "2026-01-02T03:04:04Z")}},
     3,
     SC_DENIED,
     "ran out at 2026-01-02T03:04:04Z (it is 2026-01-02T03:04:05Z by our clock)"},
    {{{.request = CREDS, .more = 1 << 20}}, 3, SC_DENIED, "answered with more than 65536 bytes"},
    {{{.request = CREDS, .body = ANSWER("A", IN_AN_HOUR), .how = SC_HTTP_CUT, .at = 50},
      {.request = CREDS, .body = ANSWER("A", IN_AN_HOUR), .how = SC_HTTP_CUT, .at = 50},
      {.request = CREDS, .how = SC_HTTP_CUT, .at = -1}},
     3,
     SC_UNREACHABLE,
     "container endpoint at 127.0.0.1:"},
    {{{.request = CREDS, .status = 500},
      {.request = CREDS, .status = 503},
      {.request = CREDS, .status = 429}},
     3,
     SC_UNREACHABLE,
     "answered 429"},
};

static uint32_t length_of(const struct sc_http_exchange *script, uint32_t most)
{
    uint32_t count = 0;
    while (count < most && script[count].request)
        count++;
    return count;
}

static void test_container_that_answers_badly_is_named(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < SC_COUNT(bad_containers); i++) {
        use_container(w, bad_containers[i].tries);
        sc_http_stub_play(w->stub, bad_containers[i].script, length_of(bad_containers[i].script, 3));
        enum sc_rc rc = get_at(w, 0, false);
        if (rc != bad_containers[i].rc)
            fail_msg("row %zu: %s %s", i, sc_rc_name(rc), w->err.message);
        assert_story(w, bad_containers[i].says);
        assert_story(w, "no credentials for S3: container endpoint at 127.0.0.1:");
        sc_http_stub_check(w->stub);
    }
    assert_logged(w, NULL);
}

static void test_container_that_fails_once_is_asked_again(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .status = 503},
        {.request = CREDS, .body = ANSWER("A", IN_AN_HOUR), .how = SC_HTTP_CUT, .at = 50},
        {.request = CREDS, .body = ANSWER("BOX", IN_AN_HOUR)},
    };
    use_container(w, 3);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_got(w, "BOX");
}

static void test_container_that_is_slow_is_not_waited_for(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .body = ANSWER("A", IN_AN_HOUR), .how = SC_HTTP_STALL},
        {.request = CREDS, .body = ANSWER("A", IN_AN_HOUR), .how = SC_HTTP_STALL},
    };
    use_container(w, 2);
    sc_s3_provider_set_patience(
        w->provider, (struct sc_s3_patience){.near_connect_ms = 60 * SECOND, .near_ms = 500, .tries = 2});
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_rc(get_at(w, 0, false), SC_UNREACHABLE);
    assert_story(w, "Timeout was reached");
}

static void test_metadata_gives_the_roles_credentials(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = TOKEN, .body = "axSECRETx=="},
        {.request = ROLES, .body = "builder@x\nother"},
        {.request = ROLE, .body = ANSWER("IMDS", IN_AN_HOUR)},
    };
    use_metadata(w, 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_got(w, "IMDS");
    assert_contains(sc_http_stub_last(w->stub), "\r\nX-aws-ec2-metadata-token: axSECRETx==\r\n");
    assert_describes(w, "instance metadata, role builder@x, until " IN_AN_HOUR);
}

static const struct {
    struct sc_http_exchange script[6];
    int tries;
    const char *says; // NULL: all is well
} metadata[] = {
    {{{.request = TOKEN, .body = "a"},
      {.request = ROLES, .status = 401},
      {.request = TOKEN, .body = "b"},
      {.request = ROLES, .body = "builder@x"},
      {.request = ROLE, .body = ANSWER("IMDS", IN_AN_HOUR)}},
     1,
     NULL},
    {{{.request = TOKEN, .body = "a"},
      {.request = ROLES, .status = 401},
      {.request = TOKEN, .body = "b"},
      {.request = ROLES, .status = 401}},
     3,
     "answered 401"},
    {{{.request = TOKEN, .status = 500},
      {.request = TOKEN, .how = SC_HTTP_CUT, .at = -1},
      {.request = TOKEN, .body = "b"},
      {.request = ROLES, .body = "builder@x"},
      {.request = ROLE, .body = ANSWER("IMDS", IN_AN_HOUR)}},
     3,
     NULL},
    {{{.request = TOKEN, .status = 403}},
     3,
     "answered 403 when asked for a session token: it is switched off"},
    {{{.request = TOKEN, .status = 404}}, 3, "(IMDSv2)"}, // the first version is not fallen back to
    {{{.request = TOKEN, .body = "a\r\nHost: xSECRETx"}}, 3, "answered with no session token"},
    {{{.request = TOKEN, .body = ""}}, 3, "answered with no session token"},
    {{{.request = TOKEN, .more = 1 << 20}}, 3, "answered with more than 4096 bytes"},
    {{{.request = TOKEN, .body = "a"}, {.request = ROLES, .status = 404}}, 3, "no role is attached"},
    {{{.request = TOKEN, .body = "a"}, {.request = ROLES, .body = ""}}, 3, "no role is attached"},
    {{{.request = TOKEN, .body = "a"}, {.request = ROLES, .body = "<html>xSECRETx"}},
     3,
     "with no role's name"},
    {{{.request = TOKEN, .body = "a"}, {.request = ROLES, .body = "../../user-data"}},
     3,
     "with no role's name"},
    {{{.request = TOKEN, .body = "a"}, {.request = ROLES, .status = 302, .header = "Location: /"}},
     3,
     "answered 302"},
    {{{.request = TOKEN, .body = "a"},
      {.request = ROLES, .body = "builder@x"},
      {.request = ROLE, .body = "xSECRETx"}},
     3,
     "for role builder@x: it is no JSON"},
    {{{.request = TOKEN, .body = "a"},
      {.request = ROLES, .body = "builder@x"},
      {.request = ROLE, .body = "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"no trust\"}"}},
     3,
     "AssumeRoleUnauthorizedAccess: no trust"},
};

static void test_metadata_that_answers_badly_is_named(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < SC_COUNT(metadata); i++) {
        use_metadata(w, metadata[i].tries);
        sc_http_stub_play(w->stub, metadata[i].script, length_of(metadata[i].script, 6));
        enum sc_rc rc = get_at(w, 0, false);
        if (rc != (metadata[i].says ? SC_DENIED : SC_OK))
            fail_msg("row %zu: %s %s", i, sc_rc_name(rc), w->err.message);
        if (metadata[i].says) {
            assert_story(w, "instance metadata (");
            assert_story(w, metadata[i].says);
        }
        sc_http_stub_check(w->stub);
    }
}

static void test_metadata_takes_its_tries_from_the_environment(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = TOKEN, .status = 500},
        {.request = TOKEN, .status = 500},
    };
    setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "2", 1);
    setenv("AWS_METADATA_SERVICE_TIMEOUT", "60", 1);
    use_metadata(w, 5);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_rc(get_at(w, 0, false), SC_DENIED);
}

// STS

#define POST "POST / HTTP/1.1"
#define STS(key, until)                                                                                      \
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"                \
    "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>" key "</AccessKeyId>"                       \
    "<SecretAccessKey>xSECRETx</SecretAccessKey><SessionToken>T-" key "</SessionToken><Expiration>" until    \
    "</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"

static void use_web_identity(struct world *w, int tries)
{
    set_url(w, "AWS_ENDPOINT_URL_STS", "");
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "~/token", 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r+", 1);
    write_file(w, "token", "ey.xSECRETx_~-/+\n");
    open_provider(w, NULL, "eu-central-1", tries);
}

static void test_web_identity_is_changed_into_credentials(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = POST, .body = STS("WEB", IN_AN_HOUR)},
        {.request = POST, .body = STS("WEB2", "2026-01-02T05:04:05Z")},
    };
    use_web_identity(w, 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_got(w, "WEB");
    assert_int_equal(w->got.expires_ms, now_ms + 60 * MINUTE);
    assert_describes(w, "web identity, token in ~/token, role arn:aws:iam::1:role/r+, until");
    const char *asked = sc_http_stub_last(w->stub);
    assert_contains(asked, "\r\n\r\nAction=AssumeRoleWithWebIdentity&Version=2011-06-15"
                           "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr%2B&RoleSessionName=stepcache"
                           "&WebIdentityToken=ey.xSECRETx_~-%2F%2B");
    assert_contains(asked, "\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    assert_null(strstr(asked, "Authorization"));
    write_file(w, "token", "new");
    setenv("AWS_ROLE_SESSION_NAME", "mine", 1);
    assert_ok(get_at(w, 56 * MINUTE, false), w->err);
    assert_got(w, "WEB2");
    assert_contains(sc_http_stub_last(w->stub), "&RoleSessionName=mine&WebIdentityToken=new");
}

static void test_web_identity_of_a_profile(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {{.request = POST, .body = STS("WEB", IN_AN_HOUR)}};
    use_web_identity(w, 1);
    set_url(w, "AWS_ENDPOINT_URL", ""); // of all services, when there is none of STS
    unsetenv("AWS_ENDPOINT_URL_STS");
    write_file(w, "other", "other");
    write_file(
        w, ".aws/config",
        "[profile team]\nweb_identity_token_file = ~/other\nrole_arn = arn:team\nrole_session_name = s\n");
    open_provider(w, "team", NULL, 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_describes(w, "web identity of profile team in ~/.aws/config, token in ~/other, role arn:team");
    assert_contains(sc_http_stub_last(w->stub),
                    "&RoleArn=arn%3Ateam&RoleSessionName=s&WebIdentityToken=other");
}

#define TAKEN(key)                                                                                           \
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>" key                                   \
    "</AccessKeyId><SecretAccessKey>xSECRETx</SecretAccessKey><SessionToken>T-" key                          \
    "</SessionToken><Expiration>" IN_AN_HOUR                                                                 \
    "</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"

static void use_role(struct world *w, const char *config)
{
    set_url(w, "AWS_ENDPOINT_URL_STS", "");
    write_file(w, ".aws/config", config);
    write_file(w, ".aws/credentials", "[base]\n" KEYS("BASE") "aws_session_token = T-BASE\n");
    open_provider(w, "team", "eu-central-1", 1);
}

static void test_a_role_is_taken_on_with_another_profiles_keys(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {{.request = POST, .body = TAKEN("ROLE")},
                                                     {.request = POST, .body = TAKEN("ROLE2")}};
    use_role(w, "[profile team]\nrole_arn = arn:r\nsource_profile = base\nexternal_id = "
                "x/y\nduration_seconds = 900\n");
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_got(w, "ROLE");
    assert_int_equal(w->got.expires_ms, now_ms + 60 * MINUTE);
    assert_describes(
        w,
        "role arn:r of profile team in ~/.aws/config, signed by profile base in ~/.aws/credentials, until");
    const char *asked = sc_http_stub_last(w->stub);
    assert_contains(asked,
                    "\r\n\r\nAction=AssumeRole&Version=2011-06-15&RoleArn=arn%3Ar&RoleSessionName=stepcache"
                    "&ExternalId=x%2Fy&DurationSeconds=900");
    assert_contains(asked, "x-amz-date: 20260102T030405Z\r\n");
    assert_contains(asked, "x-amz-security-token: T-BASE\r\n");
    assert_contains(asked,
                    "Credential=BASE/20260102/eu-central-1/sts/aws4_request,SignedHeaders=content-type;host;"
                    "x-amz-date;x-amz-security-token,");
    assert_ok(get_at(w, 56 * MINUTE, false), w->err); // signed anew, at the time that it is
    assert_got(w, "ROLE2");
    assert_contains(sc_http_stub_last(w->stub), "x-amz-date: 20260102T040005Z\r\n");
}

static void test_a_role_is_taken_on_with_a_role_and_that_with_keys_of_the_environment(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {{.request = POST, .body = TAKEN("INNER")},
                                                     {.request = POST, .body = TAKEN("OUTER")}};
    use_role(w, "[profile team]\nrole_arn = arn:outer\nsource_profile = inner\n"
                "[profile inner]\nrole_arn = arn:inner\ncredential_source = Environment\n");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "xSECRETx", 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_got(w, "OUTER");
    assert_contains(sc_http_stub_last(w->stub), "Credential=INNER/");
    assert_contains(sc_http_stub_last(w->stub), "RoleArn=arn%3Aouter");
    assert_describes(
        w, "role arn:outer of profile team in ~/.aws/config, signed by role arn:inner of profile inner in "
           "~/.aws/config, signed by environment (AWS_ACCESS_KEY_ID), until");
}

static void test_a_role_that_is_refused_is_named_with_what_sts_says(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = POST,
         .status = 403,
         .body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not "
                 "you</Message></Error></ErrorResponse>"}};
    use_role(w, "[profile team]\nrole_arn = arn:r\nsource_profile = base\n");
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_int_equal(get_at(w, 0, false), SC_DENIED);
    assert_story(w, "role arn:r of profile team in ~/.aws/config");
    assert_story(w, "answered 403 AccessDenied: not you");
}

#define REFUSAL(code, message)                                                                               \
    "<ErrorResponse xmlns=\"u\"><Error><Type>Sender</Type><Code>" code "</Code><Message>" message            \
    "</Message></Error></ErrorResponse>"

static const struct {
    struct sc_http_exchange script[3];
    int tries;
    enum sc_rc rc;
    const char *says;
} bad_sts[] = {
    {{{.request = POST, .status = 400, .body = REFUSAL("ExpiredTokenException", "Token expired: x")}},
     3,
     SC_DENIED,
     "web identity, token in ~/token, role arn:aws:iam::1:role/r+: 127.0.0.1:"},
    {{{.request = POST, .status = 400, .body = REFUSAL("ExpiredTokenException", "Token expired: x")}},
     3,
     SC_DENIED,
     "answered 400 ExpiredTokenException: Token expired: x"},
    {{{.request = POST,
       .status = 403,
       .body = REFUSAL("AccessDenied", "Not authorized: eyJhbGciOiJSUzI1NixSECRETx")}},
     3,
     SC_DENIED,
     "answered 403 AccessDenied: Not authorized: [...]"},
    {{{.request = POST, .status = 400, .body = REFUSAL("IDPCommunicationError", "later")}},
     1,
     SC_UNREACHABLE,
     "IDPCommunicationError"},
    {{{.request = POST, .status = 404, .body = "xSECRETx"}}, 3, SC_DENIED, "answered 404"},
    {{{.request = POST, .status = 307, .header = "Location: http://127.0.0.1:1/"}},
     3,
     SC_DENIED,
     "answered 307"},
    {{{.request = POST, .body = "xSECRETx"}}, 3, SC_DENIED, "it is no XML of STS"},
    {{{.request = POST, .body = STS("A", "xSECRETx")}}, 3, SC_DENIED, "RFC 3339"},
    {{{.request = POST, .more = 1 << 20}}, 3, SC_DENIED, "answered with more than 65536 bytes"},
    {{{.request = POST, .body = STS("A", IN_AN_HOUR), .how = SC_HTTP_CUT, .at = 50},
      {.request = POST, .status = 500},
      {.request = POST, .status = 503}},
     3,
     SC_UNREACHABLE,
     "answered 503"},
};

static void test_sts_that_answers_badly_is_named(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < SC_COUNT(bad_sts); i++) {
        use_web_identity(w, bad_sts[i].tries);
        sc_http_stub_play(w->stub, bad_sts[i].script, length_of(bad_sts[i].script, 3));
        enum sc_rc rc = get_at(w, 0, false);
        if (rc != bad_sts[i].rc)
            fail_msg("row %zu: %s %s", i, sc_rc_name(rc), w->err.message);
        assert_story(w, bad_sts[i].says);
        sc_http_stub_check(w->stub);
    }
}

static void test_sts_is_asked_by_tls_unless_the_endpoint_says_otherwise(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *region, *url; // NULL: no such region
    } regions[] = {
        {"", "https://sts.amazonaws.com"},
        {"eu-central-1", "https://sts.eu-central-1.amazonaws.com"},
        {"cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"},
        {"example.com/", NULL},
        {"x@y", NULL},
        {"x#", NULL},
    };
    for (size_t i = 0; i < SC_COUNT(regions); i++) {
        SC_AUTO_BUF struct sc_buf url;
        struct sc_error err = SC_ERROR_INIT;
        sc_buf_init(&url, 0);
        enum sc_rc rc = sc_s3_sts_endpoint(sc_slice_str(regions[i].region), &url, &err);
        assert_rc(rc, regions[i].url ? SC_OK : SC_INVALID);
        assert_string_equal(sc_buf_cstr(&url), regions[i].url ? regions[i].url : "");
    }
    use_web_identity(w, 1);
    setenv("AWS_ENDPOINT_URL_STS", "file:///etc/passwd", 1);
    assert_rc(get_at(w, 0, false), SC_DENIED);
    assert_story(w, "the endpoint of STS is no URL of http or https");
    SC_AUTO_FREE char *url = sc_asprintf("https://%s", sc_http_stub_host(w->stub));
    setenv("AWS_ENDPOINT_URL_STS", url, 1);
    open_provider(w, NULL, NULL, 1);
    setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem", 1);
    assert_rc(get_at(w, 0, false), SC_DENIED);
    assert_story(w, "its certificate could not be verified");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_container_is_asked_with_its_token),
        T(test_container_urls_without_tls_are_of_this_machine_alone),
        T(test_container_that_answers_badly_is_named),
        T(test_container_that_fails_once_is_asked_again),
        T(test_container_that_is_slow_is_not_waited_for),
        T(test_metadata_gives_the_roles_credentials),
        T(test_metadata_that_answers_badly_is_named),
        T(test_metadata_takes_its_tries_from_the_environment),
        T(test_web_identity_is_changed_into_credentials),
        T(test_web_identity_of_a_profile),
        T(test_a_role_is_taken_on_with_another_profiles_keys),
        T(test_a_role_is_taken_on_with_a_role_and_that_with_keys_of_the_environment),
        T(test_a_role_that_is_refused_is_named_with_what_sts_says),
        T(test_sts_that_answers_badly_is_named),
        T(test_sts_is_asked_by_tls_unless_the_endpoint_says_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
