// When credentials are asked for anew, and what serves meanwhile.
#include "tests/unit/s3_test.h"

static void test_credentials_are_renewed_before_they_run_out(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .body = ANSWER("ONE", IN_AN_HOUR)},
        {.request = CREDS, .body = ANSWER("TWO", "2026-01-02T05:04:05Z")},
    };
    use_container(w, 1);
    sc_http_stub_play(w->stub, script, 1);
    static const int64_t within[] = {0, MINUTE, 30 * MINUTE, 55 * MINUTE - 1};
    for (size_t i = 0; i < SC_COUNT(within); i++) {
        assert_ok(get_at(w, within[i], false), w->err);
        assert_got(w, "ONE");
    }
    sc_http_stub_play(w->stub, script + 1, 1);
    assert_ok(get_at(w, 55 * MINUTE, false), w->err);
    assert_got(w, "TWO");
    assert_ok(get_at(w, 114 * MINUTE, false), w->err);
    assert_got(w, "TWO");
    assert_logged(w, NULL);
}

static void test_credentials_that_the_server_refuses_are_renewed_once(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .body = ANSWER("ONE", IN_AN_HOUR)},
        {.request = CREDS, .body = ANSWER("TWO", IN_AN_HOUR)},
        {.request = CREDS, .body = ANSWER("THREE", IN_AN_HOUR)},
    };
    use_container(w, 1);
    sc_http_stub_play(w->stub, script, 2);
    assert_ok(get_at(w, 0, false), w->err);
    assert_ok(get_at(w, MINUTE, true), w->err);
    assert_got(w, "TWO");
    for (int i = 0; i < 16; i++) { // requests that were under way with the old ones
        assert_ok(get_at(w, MINUTE + i * 500, true), w->err);
        assert_got(w, "TWO");
    }
    sc_http_stub_play(w->stub, script + 2, 1);
    assert_ok(get_at(w, MINUTE + 10 * SECOND, true), w->err);
    assert_got(w, "THREE");
}

static void test_old_credentials_serve_on_while_they_hold(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .body = ANSWER("ONE", IN_AN_HOUR)},
        {.request = CREDS, .status = 500},
        {.request = CREDS, .status = 404, .body = "xSECRETx"},
        {.request = CREDS, .status = 500},
        {.request = CREDS, .status = 500},
        {.request = CREDS, .body = ANSWER("TWO", "2026-01-02T06:04:05Z")},
    };
    use_container(w, 1);
    sc_http_stub_play(w->stub, script, 2);
    assert_ok(get_at(w, 0, false), w->err);
    assert_ok(get_at(w, 56 * MINUTE, false), w->err);
    assert_got(w, "ONE");
    assert_logged(
        w, "level=warn component=test credentials for S3 could not be renewed; ignoring it, since those of "
           "container endpoint at 127.0.0.1:");
    assert_logged(w, "hold until " IN_AN_HOUR ": no credentials for S3: container endpoint");
    assert_logged(w, "answered 500");
    assert_ok(get_at(w, 56 * MINUTE + 29 * SECOND, false), w->err); // not each request asks
    assert_got(w, "ONE");
    sc_http_stub_play(w->stub, script + 2, 1);
    assert_ok(get_at(w, 57 * MINUTE, false), w->err);
    assert_got(w, "ONE");
    sc_http_stub_play(w->stub, script + 3, 1);
    assert_rc(get_at(w, 60 * MINUTE, false), SC_UNREACHABLE); // now they do not hold any more
    assert_story(w, "answered 500");
    assert_rc(get_at(w, 60 * MINUTE + 4 * SECOND, false), SC_UNREACHABLE);
    sc_http_stub_play(w->stub, script + 4, 2);
    assert_rc(get_at(w, 60 * MINUTE + 5 * SECOND, false), SC_UNREACHABLE);
    assert_ok(get_at(w, 60 * MINUTE + 10 * SECOND, false), w->err);
    assert_got(w, "TWO");
}

static void test_credentials_that_run_out_are_asked_for_whatever_failed_just_before(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .body = ANSWER("ONE", IN_AN_HOUR)},
        {.request = CREDS, .status = 500},
        {.request = CREDS, .body = ANSWER("TWO", "2026-01-02T06:04:05Z")},
    };
    use_container(w, 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_ok(get_at(w, 60 * MINUTE - 10 * SECOND, false), w->err);
    assert_got(w, "ONE");
    assert_ok(get_at(w, 60 * MINUTE, false), w->err);
    assert_got(w, "TWO");
}

static void test_refused_credentials_do_not_serve_on(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .body = ANSWER("ONE", IN_AN_HOUR)},
        {.request = CREDS, .status = 500},
        {.request = CREDS, .body = ANSWER("TWO", IN_AN_HOUR)},
    };
    use_container(w, 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_rc(get_at(w, MINUTE, true), SC_UNREACHABLE);
    assert_rc(get_at(w, MINUTE + SECOND, false), SC_UNREACHABLE);
    assert_ok(get_at(w, MINUTE + 5 * SECOND, false), w->err);
    assert_got(w, "TWO");
    assert_logged(w, NULL);
}

static void test_refusal_after_a_failed_renewal_asks_at_once(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .body = ANSWER("ONE", IN_AN_HOUR)},
        {.request = CREDS, .status = 500},
        {.request = CREDS, .body = ANSWER("TWO", "2026-01-02T06:04:05Z")},
    };
    use_container(w, 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_ok(get_at(w, 56 * MINUTE, false), w->err);
    assert_ok(get_at(w, 56 * MINUTE + 6 * SECOND, true), w->err);
    assert_got(w, "TWO");
}

static void test_short_lived_credentials_are_not_asked_for_by_each_request(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .body = ANSWER("ONE", "2026-01-02T03:06:05Z")}, // two minutes
        {.request = CREDS, .body = ANSWER("TWO", "2026-01-02T03:06:05Z")},
    };
    use_container(w, 1);
    sc_http_stub_play(w->stub, script, 1);
    assert_ok(get_at(w, 0, false), w->err);
    assert_ok(get_at(w, 59 * SECOND, false), w->err);
    assert_got(w, "ONE");
    sc_http_stub_play(w->stub, script + 1, 1);
    assert_ok(get_at(w, 60 * SECOND, false), w->err);
    assert_got(w, "TWO");
    assert_ok(get_at(w, 80 * SECOND, false), w->err); // half of the minute that is left
}

static void test_clock_that_was_set_back_asks_anew(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = CREDS, .status = 500},
        {.request = CREDS, .body = ANSWER("ONE", IN_AN_HOUR)},
    };
    use_container(w, 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_rc(get_at(w, INT64_C(86400) * SECOND, false), SC_UNREACHABLE);
    assert_ok(get_at(w, 0, false), w->err);
    assert_got(w, "ONE");
}

static void test_keys_that_were_changed_in_the_file_are_read_when_the_server_refuses(void **state)
{
    struct world *w = *state;
    write_file(w, ".aws/credentials", "[default]\n" KEYS("OLD") "aws_session_token = T\n");
    open_provider(w, NULL, NULL, 1);
    assert_ok(get_at(w, 0, false), w->err);
    assert_slice(w->got.access_key, "OLD");
    write_file(w, ".aws/credentials", "[default]\n" KEYS("NEW"));
    assert_ok(get_at(w, INT64_C(86400) * SECOND, false), w->err);
    assert_slice(w->got.access_key, "OLD");
    assert_ok(get_at(w, INT64_C(86401) * SECOND, true), w->err);
    assert_slice(w->got.access_key, "NEW");
    assert_slice(w->got.token, "");
}

static void test_program_does_not_become_somebody_else(void **state)
{
    struct world *w = *state;
    write_file(w, ".aws/credentials", "[default]\n" KEYS("ME"));
    use_container(w, 1); // would be asked next
    assert_ok(get_at(w, 0, false), w->err);
    write_file(w, ".aws/credentials", ""); // somebody writes it anew
    assert_rc(get_at(w, MINUTE, true), SC_DENIED);
    assert_story(
        w, "the source in use gives none any more: profile default (~/.aws/credentials does not have it");
    setenv("AWS_ACCESS_KEY_ID", "OTHER", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "xSECRETx", 1);
    write_file(w, ".aws/credentials", "[default]\n" KEYS("STILL-ME"));
    assert_ok(get_at(w, 2 * MINUTE, false), w->err);
    assert_slice(w->got.access_key, "STILL-ME");
}

static void test_metadata_that_was_in_use_is_unreachable_when_it_does_not_answer(void **state)
{
    struct world *w = *state;
    static const struct sc_http_exchange script[] = {
        {.request = TOKEN, .body = "a"},
        {.request = ROLES, .body = "builder@x"},
        {.request = ROLE, .body = ANSWER("IMDS", IN_AN_HOUR)},
        {.request = TOKEN, .status = 500},
    };
    use_metadata(w, 1);
    sc_http_stub_play(w->stub, script, SC_COUNT(script));
    assert_ok(get_at(w, 0, false), w->err);
    assert_rc(get_at(w, 2 * 60 * MINUTE, false), SC_UNREACHABLE);
    assert_story(w, "the source in use gives none any more: instance metadata (127.0.0.1:");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_credentials_are_renewed_before_they_run_out),
        T(test_credentials_that_the_server_refuses_are_renewed_once),
        T(test_old_credentials_serve_on_while_they_hold),
        T(test_credentials_that_run_out_are_asked_for_whatever_failed_just_before),
        T(test_refused_credentials_do_not_serve_on),
        T(test_refusal_after_a_failed_renewal_asks_at_once),
        T(test_short_lived_credentials_are_not_asked_for_by_each_request),
        T(test_clock_that_was_set_back_asks_anew),
        T(test_keys_that_were_changed_in_the_file_are_read_when_the_server_refuses),
        T(test_program_does_not_become_somebody_else),
        T(test_metadata_that_was_in_use_is_unreachable_when_it_does_not_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
