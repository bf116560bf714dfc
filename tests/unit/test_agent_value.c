#include "tests/lib/test.h"

#include "agent/shell/value.h"
#include "base/limits.h"

static void check(const char *json, const char *pointer, enum sc_rc want, const char *text)
{
    struct sc_arena arena;
    struct sc_slice got = {0};
    struct sc_error err = SC_ERROR_INIT;
    sc_arena_init(&arena);
    assert_rc(sc_value_extract(sc_slice_str(json), sc_slice_str(pointer), &arena, &got, &err), want);
    if (want == SC_OK)
        assert_slice(got, text);
    else
        assert_contains(err.message, text);
    sc_arena_done(&arena);
}

static void test_value_is_compact_json(void **state)
{
    (void)state;
    check(" { \"b\" : [ 1 , true , null ] , \"a\" : \"\\u00e9\\/\\n\" } ", "", SC_OK,
          "{\"b\":[1,true,null],\"a\":\"\xc3\xa9/\\n\"}");
    check("\"text\"", "", SC_OK, "\"text\"");
    check("7", "", SC_OK, "7");
    check("{}", "", SC_OK, "{}");
    check("\"a\\u0000\\u001fb\"", "", SC_OK, "\"a\\u0000\\u001fb\"");
}

static void test_real_is_in_its_shortest_form(void **state)
{
    (void)state;
    check("0.1", "", SC_OK, "0.1");
    check("2.0", "", SC_OK, "2.0");
    check("1e3", "", SC_OK, "1000.0");
    check("0.0001", "", SC_OK, "0.0001");
    check("-0.0", "", SC_OK, "-0.0");
    check("1e15", "", SC_OK, "1000000000000000.0");
    check("1e16", "", SC_OK, "1e+16");
    check("5e-324", "", SC_OK, "5e-324");
    check("1.7976931348623157e308", "", SC_OK, "1.7976931348623157e+308");
    check("2.1843999999999997", "", SC_OK, "2.1843999999999997");
    check("0.30000000000000004", "", SC_OK, "0.30000000000000004");
    check("-1.5e-7", "", SC_OK, "-1.5e-07");
    check("9007199254740993", "", SC_OK, "9007199254740993");
}

static void test_pointer_leads_as_rfc_6901_says(void **state)
{
    (void)state;
    static const char json[] =
        "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"m~n\":8,\"x\":{\"y\":{\"z\":3}}}";
    check(json, "/foo", SC_OK, "[\"bar\",\"baz\"]");
    check(json, "/foo/0", SC_OK, "\"bar\"");
    check(json, "/", SC_OK, "0");
    check(json, "/a~1b", SC_OK, "1");
    check(json, "/m~0n", SC_OK, "8");
    check(json, "/x/y/z", SC_OK, "3");
    check(json, "/foo/2", SC_NOT_FOUND, "nothing is at /foo/2");
    check(json, "/foo/01", SC_NOT_FOUND, "nothing");
    check(json, "/foo/-", SC_NOT_FOUND, "nothing");
    check(json, "/foo/99999999999999999999", SC_NOT_FOUND, "nothing");
    check(json, "/x/y/z/w", SC_NOT_FOUND, "nothing");
    check(json, "foo", SC_NOT_FOUND, "nothing");
    check(json, "/m~2n", SC_NOT_FOUND, "nothing");
}

static void test_what_is_no_json_is_told_with_its_place(void **state)
{
    (void)state;
    check("{\n  \"rmse\": NaN\n}", "/rmse", SC_MALFORMED, "line 2, column 13: no JSON");
    check("", "", SC_MALFORMED, "no JSON");
    check("{} {}", "", SC_MALFORMED, "no JSON");
    check("\"\xff\"", "", SC_MALFORMED, "no JSON");
}

static void test_value_beyond_its_limit_is_refused(void **state)
{
    (void)state;
    char *json = sc_calloc(1, SC_LIMIT_VALUE_BYTES + 16);
    memset(json, 'x', SC_LIMIT_VALUE_BYTES);
    json[0] = json[SC_LIMIT_VALUE_BYTES - 1] = '"';
    check(json, "", SC_OK, json);
    json[SC_LIMIT_VALUE_BYTES - 1] = 'x';
    json[SC_LIMIT_VALUE_BYTES] = '"';
    check(json, "", SC_LIMIT, "longer than");
    free(json);
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 1500 };
    char json[2 * DEPTH + 1];
    memset(json, '[', DEPTH);
    memset(json + DEPTH, ']', DEPTH);
    json[2 * DEPTH] = 0;
    check(json, "", SC_LIMIT, "nested");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_value_is_compact_json),
        cmocka_unit_test(test_real_is_in_its_shortest_form),
        cmocka_unit_test(test_pointer_leads_as_rfc_6901_says),
        cmocka_unit_test(test_what_is_no_json_is_told_with_its_place),
        cmocka_unit_test(test_value_beyond_its_limit_is_refused),
        cmocka_unit_test(test_deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
