#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/memory.h"
#include "base/rc.h"
#include "base/slice.h"

static const enum sc_rc all[] = {
#define X(name, value, exit_code, text) SC_##name,
    SC_RC_TABLE(X)
#undef X
};

static void test_rc_only_ok_is_zero_and_others_are_negative(void **state)
{
    (void)state;
    assert_int_equal(SC_OK, 0);
    for (size_t i = 1; i < SC_COUNT(all); i++)
        assert_true(all[i] < 0);
}

static void test_rc_values_names_and_texts_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < SC_COUNT(all); i++)
        for (size_t j = i + 1; j < SC_COUNT(all); j++) {
            assert_int_not_equal(all[i], all[j]);
            assert_string_not_equal(sc_rc_name(all[i]), sc_rc_name(all[j]));
            assert_string_not_equal(sc_rc_text(all[i]), sc_rc_text(all[j]));
        }
}

static void test_rc_name_is_lower_case(void **state)
{
    (void)state;
    assert_string_equal(sc_rc_name(SC_NOT_FOUND), "not_found");
    for (size_t i = 0; i < SC_COUNT(all); i++)
        for (const char *c = sc_rc_name(all[i]); *c; c++)
            assert_true((*c >= 'a' && *c <= 'z') || *c == '_');
}

static void test_rc_exit_codes_are_those_of_the_product(void **state)
{
    (void)state;
    assert_int_equal(sc_rc_exit_code(SC_OK), 0);
    assert_int_equal(sc_rc_exit_code(SC_STEP_FAILED), 1);
    assert_int_equal(sc_rc_exit_code(SC_DOCUMENT), 2);
    assert_int_equal(sc_rc_exit_code(SC_UNREACHABLE), 3);
    assert_int_equal(sc_rc_exit_code(SC_CANCELLED), 4);
    assert_int_equal(sc_rc_exit_code(SC_INTERRUPTED), 130);
}

static void test_rc_unknown_value_has_a_name_and_a_failing_exit_code(void **state)
{
    (void)state;
    assert_non_null(sc_rc_name((enum sc_rc) - 9999));
    assert_non_null(sc_rc_text((enum sc_rc) - 9999));
    assert_int_not_equal(sc_rc_exit_code((enum sc_rc) - 9999), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rc_only_ok_is_zero_and_others_are_negative),
        cmocka_unit_test(test_rc_values_names_and_texts_are_unique),
        cmocka_unit_test(test_rc_name_is_lower_case),
        cmocka_unit_test(test_rc_exit_codes_are_those_of_the_product),
        cmocka_unit_test(test_rc_unknown_value_has_a_name_and_a_failing_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
