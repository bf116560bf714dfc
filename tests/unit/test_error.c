#include "tests/lib/test.h"

#include <errno.h>

static void test_error_set_returns_its_rc_and_tells_the_story(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(sc_error_set(&err, SC_LIMIT, "%d inputs are more than %d", 7, 5), SC_LIMIT);
    assert_string_equal(err.message, "7 inputs are more than 5");
    assert_string_equal(err.hint, "");
    assert_int_equal(err.rc, SC_LIMIT);
    assert_int_equal(err.sys_errno, 0);
}

static void test_error_set_without_an_error_only_returns_the_rc(void **state)
{
    (void)state;
    assert_rc(sc_error_set(NULL, SC_BUSY, "nobody hears this"), SC_BUSY);
    assert_rc(sc_error_errno(NULL, ENOENT, "nor this"), SC_NOT_FOUND);
    assert_rc(sc_error_wrap(NULL, SC_IO, "nor this"), SC_IO);
    sc_error_hint(NULL, "nor this");
}

static void test_error_set_forgets_the_story_before(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(sc_error_errno(&err, ENOSPC, "write x"), SC_FULL);
    sc_error_hint(&err, "make room");
    assert_rc(sc_error_set(&err, SC_INVALID, "another"), SC_INVALID);
    assert_string_equal(err.message, "another");
    assert_string_equal(err.hint, "");
    assert_int_equal(err.sys_errno, 0);
}

static void test_error_errno_maps_to_an_rc_and_names_it(void **state)
{
    (void)state;
    static const struct {
        int sys_errno;
        enum sc_rc rc;
    } cases[] = {{ENOSPC, SC_FULL},   {EDQUOT, SC_FULL},  {EACCES, SC_DENIED},
                 {EPERM, SC_DENIED},  {EROFS, SC_DENIED}, {ENOENT, SC_NOT_FOUND},
                 {EEXIST, SC_EXISTS}, {EIO, SC_IO},       {ENOTDIR, SC_IO}};
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_error err = SC_ERROR_INIT;
        assert_rc(sc_error_errno(&err, cases[i].sys_errno, "open %s", "a"), cases[i].rc);
        assert_rc(sc_rc_of_errno(cases[i].sys_errno), cases[i].rc);
        assert_int_equal(err.sys_errno, cases[i].sys_errno);
        assert_contains(err.message, "open a: ");
        assert_contains(err.message, strerror(cases[i].sys_errno));
    }
}

static void test_error_wrap_reads_outermost_first_and_keeps_errno(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(sc_error_errno(&err, ENOENT, "open model.bin"), SC_NOT_FOUND);
    assert_rc(sc_error_wrap(&err, SC_IO, "step train"), SC_IO);
    assert_rc(sc_error_wrap(&err, SC_IO, "run %s", "r1"), SC_IO);
    assert_string_equal(err.message, "run r1: step train: open model.bin: No such file or directory");
    assert_int_equal(err.sys_errno, ENOENT);
}

static void test_error_wrap_of_an_empty_story_tells_the_rc(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(sc_error_wrap(&err, SC_BUSY, "lock"), SC_BUSY);
    assert_string_equal(err.message, "lock: busy");
}

static void test_error_longer_than_its_buffer_is_cut(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    char text[4 * SC_ERROR_MESSAGE_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_rc(sc_error_set(&err, SC_INVALID, "%s", text), SC_INVALID);
    assert_int_equal(strlen(err.message), SC_ERROR_MESSAGE_BYTES - 1);
    assert_rc(sc_error_wrap(&err, SC_INVALID, "%s", text), SC_INVALID);
    assert_int_equal(strlen(err.message), SC_ERROR_MESSAGE_BYTES - 1);
    assert_rc(sc_error_errno(&err, EIO, "%s", text), SC_IO);
    assert_true(strlen(err.message) < SC_ERROR_MESSAGE_BYTES);
    sc_error_hint(&err, "%s", text);
    assert_int_equal(strlen(err.hint), SC_ERROR_HINT_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_set_returns_its_rc_and_tells_the_story),
        cmocka_unit_test(test_error_set_without_an_error_only_returns_the_rc),
        cmocka_unit_test(test_error_set_forgets_the_story_before),
        cmocka_unit_test(test_error_errno_maps_to_an_rc_and_names_it),
        cmocka_unit_test(test_error_wrap_reads_outermost_first_and_keeps_errno),
        cmocka_unit_test(test_error_wrap_of_an_empty_story_tells_the_rc),
        cmocka_unit_test(test_error_longer_than_its_buffer_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
