#include "tests/lib/test.h"

#include "base/limits.h"
#include "store/s3/settings.h"
#include "store/s3/url.h"
#include "tests/lib/scratch.h"
#include "tests/unit/store_test.h"

// ---- the string

static void test_s3_url_says_bucket_prefix_and_all_parameters(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_url url;
    assert_ok(
        sc_s3_url_parse("s3://my.bucket-1/a/b%20c/"
                        "?endpoint=https%3A%2F%2Fh:9000&region=eu-west-1&style=virtual&ca=/etc/my%20ca.pem"
                        "&profile=a%26b&anonymous=1&client=libs3&unverified=1",
                        &arena, &url, &err),
        err);
    assert_slice(url.bucket, "my.bucket-1");
    assert_slice(url.prefix, "a/b%20c"); // as it stands: an address, not an encoding
    assert_string_equal(url.endpoint, "https://h:9000");
    assert_string_equal(url.region, "eu-west-1");
    assert_string_equal(url.ca, "/etc/my ca.pem");
    assert_string_equal(url.profile, "a&b");
    assert_int_equal(url.style, SC_S3_STYLE_VIRTUAL);
    assert_true(url.anonymous);
    assert_true(url.unverified);
    assert_string_equal(url.client, "libs3");
}

static void test_s3_url_says_nothing_of_what_it_leaves_out(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_url url;
    static const char *const same[] = {"s3://bkt", "s3://bkt/", "s3://bkt?", "s3://bkt/?anonymous=0"};
    for (size_t i = 0; i < SC_COUNT(same); i++) {
        assert_ok(sc_s3_url_parse(same[i], &arena, &url, &err), err);
        assert_slice(url.bucket, "bkt");
        assert_slice(url.prefix, "");
        assert_null(url.endpoint);
        assert_null(url.region);
        assert_null(url.ca);
        assert_null(url.profile);
        assert_int_equal(url.style, SC_S3_STYLE_DEFAULT);
        assert_false(url.anonymous);
        assert_false(url.unverified);
        assert_null(url.client);
    }
}

static void test_s3_url_names_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *url, *says;
    } wrong[] = {
        {"s3:/b", "s3://"},
        {"http://bkt/x", "s3://"},
        {"s3://", "not the name of a bucket"},
        {"s3:///prefix", "not the name of a bucket"},
        {"s3://ab/x", "\"ab\""},
        {"s3://user@host/x", "\"user@host\""},
        {"s3://host:80/x", "\"host:80\""},
        {"s3://-bkt/x", "\"-bkt\""},
        {"s3://.bkt/x", "\".bkt\""},
        {"s3://bkt//x", "not a prefix"},
        {"s3://bkt/a/../b", "not a prefix"},
        {"s3://bkt/./b", "not a prefix"},
        {"s3://bkt/\xff", "not a prefix"},
        {"s3://bkt/x?colour=red", "colour"},
        {"s3://bkt/x?region", "region"},
        {"s3://bkt/x?region=a.b", "a.b"},
        {"s3://bkt/x?region=a&region=b", "twice"},
        {"s3://bkt/x?style=both", "both"},
        {"s3://bkt/x?anonymous=yes", "yes"},
        {"s3://bkt/x?unverified=no", "unverified=no"},
        {"s3://bkt/x?client=curl", "client=curl"},
        {"s3://bkt/x?ca=relative", "relative"},
        {"s3://bkt/x?profile=%4", "percent"},
        {"s3://bkt/x?profile=%zz", "percent"},
        {"s3://bkt/x?profile=a%00b", "percent"},
    };
    for (size_t i = 0; i < SC_COUNT(wrong); i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        struct sc_error err = SC_ERROR_INIT;
        struct sc_s3_url url;
        if (sc_s3_url_parse(wrong[i].url, &arena, &url, &err) != SC_INVALID)
            fail_msg("%s is taken", wrong[i].url);
        assert_contains(err.message, wrong[i].says);
        assert_contains(err.hint, "s3://bucket/prefix");
    }
}

// ---- the endpoint and requests

static void assert_target(const char *endpoint_text, enum sc_s3_style style, const char *bucket,
                          const char *key, const char *want_url, const char *want_host, const char *want_path)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_endpoint endpoint;
    struct sc_s3_target target;
    const char *region = "eu-central-1";
    assert_ok(sc_s3_endpoint_parse(endpoint_text, style, &arena, &endpoint, &region, &err), err);
    sc_s3_target_init(&target);
    sc_s3_target_set(&target, &endpoint, sc_slice_str(region), sc_slice_str(bucket), sc_slice_str(key), NULL,
                     0);
    assert_string_equal((const char *)target.url.ptr, want_url);
    assert_slice(target.host, want_host);
    assert_slice(target.path, want_path);
    assert_slice(target.query, "");
    sc_s3_target_done(&target);
}

static void test_s3_url_of_a_request_is_in_path_or_virtual_style(void **state)
{
    (void)state;
    enum sc_s3_style usual = SC_S3_STYLE_DEFAULT, path = SC_S3_STYLE_PATH, virtual = SC_S3_STYLE_VIRTUAL;
    // AWS itself
    assert_target(NULL, usual, "bkt", "a b", "https://bkt.s3.eu-central-1.amazonaws.com/a%20b",
                  "bkt.s3.eu-central-1.amazonaws.com", "/a%20b");
    assert_target(NULL, path, "bkt", "k", "https://s3.eu-central-1.amazonaws.com/bkt/k",
                  "s3.eu-central-1.amazonaws.com", "/bkt/k");
    assert_target(NULL, usual, "my.bkt", "k", "https://s3.eu-central-1.amazonaws.com/my.bkt/k",
                  "s3.eu-central-1.amazonaws.com", "/my.bkt/k"); // no certificate covers it as a host
    assert_target("https://s3.us-west-2.amazonaws.com", usual, "bkt", "k",
                  "https://bkt.s3.us-west-2.amazonaws.com/k", "bkt.s3.us-west-2.amazonaws.com", "/k");
    assert_target("https://s3.cn-north-1.amazonaws.com.cn", usual, "bkt", "k",
                  "https://bkt.s3.cn-north-1.amazonaws.com.cn/k", "bkt.s3.cn-north-1.amazonaws.com.cn", "/k");
    // others
    assert_target("http://127.0.0.1:7480", usual, "bkt", "", "http://127.0.0.1:7480/bkt", "127.0.0.1:7480",
                  "/bkt");
    assert_target("http://h:80/", usual, "bkt", "k", "http://h/bkt/k", "h", "/bkt/k");
    assert_target("https://h:443", virtual, "bkt", "k", "https://bkt.h/k", "bkt.h", "/k");
    assert_target("http://h:8080", virtual, "my.bkt", "k", "http://my.bkt.h:8080/k", "my.bkt.h:8080", "/k");
    assert_target("http://[::1]:9000", usual, "bkt", "k", "http://[::1]:9000/bkt/k", "[::1]:9000", "/bkt/k");
    assert_target("https://h/storage/v1/s3/", usual, "bkt", "k", "https://h/storage/v1/s3/bkt/k", "h",
                  "/storage/v1/s3/bkt/k");
    assert_target("https://s3.example.com", usual, "bkt", "k", "https://s3.example.com/bkt/k",
                  "s3.example.com", "/bkt/k");
    assert_target("http://h", usual, "", "", "http://h/", "h", "/");
    // nothing is normalised
    assert_target("http://h", usual, "bkt", "/a//b/../c/", "http://h/bkt//a//b/../c/", "h",
                  "/bkt//a//b/../c/");
}

static void test_s3_url_of_an_endpoint_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"h:9000",       "ftp://h",      "https://",
                                        "http:///x",    "http://u:p@h", "http://h?x",
                                        "http://h/x?y", "http://h#f",   "http://:80"};
    for (size_t i = 0; i < SC_COUNT(wrong); i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        struct sc_error err = SC_ERROR_INIT;
        struct sc_s3_endpoint endpoint;
        if (sc_s3_endpoint_parse(wrong[i], SC_S3_STYLE_DEFAULT, &arena, &endpoint, NULL, &err) != SC_INVALID)
            fail_msg("%s is taken", wrong[i]);
        assert_contains(err.message, wrong[i]);
    }
}

static void test_s3_url_query_is_sorted_by_encoded_names_and_always_has_its_equals(void **state)
{
    (void)state;
    struct sc_s3_endpoint endpoint = {.style = SC_S3_STYLE_PATH, .host = sc_slice_str("h")};
    struct sc_s3_param params[] = {
        {sc_slice_str("uploads"), sc_slice_str("")},   {sc_slice_str("a-b"), sc_slice_str("2")},
        {sc_slice_str("a"), sc_slice_str("+ /~")},     {sc_slice_str("a"), sc_slice_str("")},
        {sc_slice_str("B"), sc_slice_str("\xc3\xbc")},
    };
    struct sc_s3_target target;
    sc_s3_target_init(&target);
    sc_s3_target_set(&target, &endpoint, sc_slice_str("r"), sc_slice_str("bkt"), sc_slice_str(""), params,
                     SC_COUNT(params));
    assert_slice(target.query, "B=%C3%BC&a=&a=%2B%20%2F~&a-b=2&uploads=");
    assert_string_equal((const char *)target.url.ptr, "http://h/bkt?B=%C3%BC&a=&a=%2B%20%2F~&a-b=2&uploads=");
    sc_s3_target_done(&target);
}

static void test_s3_url_encoding_comes_back(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf all, encoded, decoded;
    sc_buf_init(&all, 0);
    sc_buf_init(&encoded, 0);
    sc_buf_init(&decoded, 0);
    for (int c = 0; c < 256; c++)
        sc_buf_add_byte(&all, (uint8_t)c);
    sc_s3_encode(&encoded, sc_buf_slice(&all), false);
    assert_true(sc_s3_decode(sc_buf_slice(&encoded), true, &decoded));
    assert_true(sc_slice_eq(sc_buf_slice(&all), sc_buf_slice(&decoded)));
    assert_int_equal(encoded.len, 66 + 190 * 3);
    sc_buf_clear(&decoded);
    assert_true(sc_s3_decode(sc_slice_str("a+b%2fC"), true, &decoded));
    assert_slice(sc_buf_slice(&decoded), "a b/C");
    sc_buf_clear(&decoded);
    assert_true(sc_s3_decode(sc_slice_str("a+b"), false, &decoded));
    assert_slice(sc_buf_slice(&decoded), "a+b");
    assert_false(sc_s3_decode(sc_slice_str("%"), false, &decoded));
    assert_false(sc_s3_decode(sc_slice_str("%a"), false, &decoded));
    assert_false(sc_s3_decode(sc_slice_str("%ag"), false, &decoded));
}

// ---- the shared config file

// ---- what holds where the string is silent

static const char *const variables[] = {
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION",      "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",       "AWS_PROFILE",      "AWS_CONFIG_FILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"};

static int clean(void **state)
{
    for (size_t i = 0; i < SC_COUNT(variables); i++)
        unsetenv(variables[i]);
    *state = sc_scratch_new();
    setenv("HOME", *state, 1);
    return 0;
}

static const struct sc_s3_settings *find(const char *url, struct sc_arena *arena)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_settings *settings = SC_NEW(arena, struct sc_s3_settings);
    assert_ok(sc_s3_settings_find(url, arena, settings, &err), err);
    return settings;
}

static void test_s3_settings_are_aws_own_where_nothing_is_said(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    const struct sc_s3_settings *s = find("s3://bkt", &arena);
    assert_true(s->endpoint.aws && s->endpoint.tls);
    assert_int_equal(s->endpoint.style, SC_S3_STYLE_VIRTUAL);
    assert_string_equal(s->url.region, "us-east-1");
    assert_null(s->url.ca);
    assert_null(s->url.profile);
}

static void test_s3_settings_come_from_the_string_then_variables_then_the_profile(void **state)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    SC_AUTO_FREE char *folder = sc_scratch_path(*state, ".aws");
    make_dir(folder);
    write_below(folder, "config",
                "[default]\nregion = r-default\n[profile p]\nregion = r-file\nca_bundle = /file\n"
                "endpoint_url = http://file\n[profile q]\nregion = r-q\n");
    assert_string_equal(find("s3://bkt", &arena)->url.region, "r-default");
    const struct sc_s3_settings *s = find("s3://bkt?profile=p", &arena);
    assert_string_equal(s->url.region, "r-file");
    assert_string_equal(s->url.ca, "/file");
    assert_slice(s->endpoint.host, "file");
    assert_int_equal(s->endpoint.style, SC_S3_STYLE_PATH);
    setenv("AWS_PROFILE", "p", 1);
    assert_string_equal(find("s3://bkt", &arena)->url.region, "r-file");
    setenv("AWS_DEFAULT_REGION", "r-usual", 1);
    assert_string_equal(find("s3://bkt", &arena)->url.region, "r-usual");
    setenv("AWS_REGION", "r-env", 1);
    setenv("AWS_CA_BUNDLE", "/env", 1);
    setenv("AWS_ENDPOINT_URL", "http://env", 1);
    s = find("s3://bkt", &arena);
    assert_string_equal(s->url.region, "r-env");
    assert_string_equal(s->url.ca, "/env");
    assert_slice(s->endpoint.host, "env");
    setenv("AWS_ENDPOINT_URL_S3", "http://env-s3", 1);
    assert_slice(find("s3://bkt", &arena)->endpoint.host, "env-s3");
    s = find("s3://bkt?region=own&ca=/own&endpoint=http://own&profile=q&style=virtual", &arena);
    assert_string_equal(s->url.region, "own");
    assert_string_equal(s->url.ca, "/own");
    assert_slice(s->endpoint.host, "own");
    assert_string_equal(s->url.profile, "q");
    assert_int_equal(s->endpoint.style, SC_S3_STYLE_VIRTUAL);
    assert_string_equal(find("s3://bkt?endpoint=https://s3.eu-west-3.amazonaws.com", &arena)->url.region,
                        "eu-west-3"); // an address that names it, over the variable
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    assert_true(find("s3://bkt", &arena)->endpoint.aws);
    SC_AUTO_FREE char *file = sc_scratch_path(*state, "mine");
    write_text(file, "[default]\nca_bundle = /mine\n");
    setenv("AWS_CONFIG_FILE", file, 1);
    unsetenv("AWS_CA_BUNDLE");
    unsetenv("AWS_PROFILE");
    assert_string_equal(find("s3://bkt", &arena)->url.ca, "/mine");
}

static void test_s3_settings_that_are_wrong_are_refused_by_name(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_error err = SC_ERROR_INIT;
    struct sc_s3_settings settings;
    setenv("AWS_ENDPOINT_URL", "h:9000", 1);
    assert_rc(sc_s3_settings_find("s3://bkt", &arena, &settings, &err), SC_INVALID);
    assert_contains(err.message, "h:9000");
    setenv("AWS_ENDPOINT_URL", "http://h", 1);
    setenv("AWS_REGION", "no/region", 1);
    assert_rc(sc_s3_settings_find("s3://bkt", &arena, &settings, &err), SC_INVALID);
    assert_contains(err.message, "no/region");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_url_says_bucket_prefix_and_all_parameters),
        cmocka_unit_test(test_s3_url_says_nothing_of_what_it_leaves_out),
        cmocka_unit_test(test_s3_url_names_what_is_wrong),
        cmocka_unit_test(test_s3_url_of_a_request_is_in_path_or_virtual_style),
        cmocka_unit_test(test_s3_url_of_an_endpoint_that_is_none_is_refused),
        cmocka_unit_test(test_s3_url_query_is_sorted_by_encoded_names_and_always_has_its_equals),
        cmocka_unit_test(test_s3_url_encoding_comes_back),
        cmocka_unit_test_setup_teardown(test_s3_settings_are_aws_own_where_nothing_is_said, clean,
                                        sc_scratch_teardown),
        cmocka_unit_test_setup_teardown(test_s3_settings_come_from_the_string_then_variables_then_the_profile,
                                        clean, sc_scratch_teardown),
        cmocka_unit_test_setup_teardown(test_s3_settings_that_are_wrong_are_refused_by_name, clean,
                                        sc_scratch_teardown),
    };
    return cmocka_run_group_tests_name("s3_url", tests, NULL, NULL);
}
