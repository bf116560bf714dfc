#include "tests/lib/test.h"

#include "base/buf.h"

static void test_buf_appends_in_order(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_buf_add(&buf, "ab", 2);
    sc_buf_add_str(&buf, "cd");
    sc_buf_add_byte(&buf, 'e');
    sc_buf_add_slice(&buf, sc_slice_str("fg"));
    sc_buf_printf(&buf, "%d-%s", 42, "x");
    assert_slice(sc_buf_slice(&buf), "abcdefg42-x");
    assert_string_equal(sc_buf_cstr(&buf), "abcdefg42-x");
    assert_int_equal(buf.len, 11);
    assert_false(buf.overflow);
}

static void test_buf_past_its_maximum_overflows_and_keeps_what_it_has(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 8);
    sc_buf_add_str(&buf, "12345678");
    assert_false(buf.overflow);
    sc_buf_add_byte(&buf, '9');
    assert_true(buf.overflow);
    sc_buf_add_str(&buf, "");
    assert_slice(sc_buf_slice(&buf), "12345678");
    assert_null(sc_buf_reserve(&buf, 1));
    sc_buf_clear(&buf);
    assert_false(buf.overflow);
    sc_buf_add_str(&buf, "again");
    assert_slice(sc_buf_slice(&buf), "again");
}

static void test_buf_overflow_sticks_even_for_what_would_fit(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 4);
    sc_buf_add_str(&buf, "12345");
    sc_buf_add_str(&buf, "1");
    assert_int_equal(buf.len, 0);
    assert_true(buf.overflow);
}

static void test_buf_reserve_of_a_huge_size_is_refused(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    sc_buf_add_str(&buf, "x");
    assert_null(sc_buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.overflow);
}

static void test_buf_cstr_of_an_empty_buffer_is_empty(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    assert_string_equal(sc_buf_cstr(&buf), "");
    assert_int_equal(buf.len, 0);
}

static void test_buf_grows_over_many_appends(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    for (int i = 0; i < 100000; i++)
        sc_buf_add_byte(&buf, (uint8_t)i);
    assert_int_equal(buf.len, 100000);
    for (size_t i = 0; i < buf.len; i++)
        assert_int_equal(buf.ptr[i], (uint8_t)i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_appends_in_order),
        cmocka_unit_test(test_buf_past_its_maximum_overflows_and_keeps_what_it_has),
        cmocka_unit_test(test_buf_overflow_sticks_even_for_what_would_fit),
        cmocka_unit_test(test_buf_reserve_of_a_huge_size_is_refused),
        cmocka_unit_test(test_buf_cstr_of_an_empty_buffer_is_empty),
        cmocka_unit_test(test_buf_grows_over_many_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
