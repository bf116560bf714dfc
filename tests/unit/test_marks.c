// The set of digests that a collection holds of what is reached.
#include "tests/lib/test.h"

#include "store/marks.h"

static struct sc_digest digest_of(uint32_t i)
{
    return sc_digest_of(sc_slice(&i, sizeof i));
}

static void test_marks_hold_what_was_added_and_nothing_else(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct sc_marks marks = {0};
    struct sc_digest digest = digest_of(0);
    assert_false(sc_marks_has(&marks, &digest));
    for (uint32_t i = 0; i < COUNT; i += 2) {
        digest = digest_of(i);
        sc_marks_add(&marks, &digest);
        if (i % 1000 == 0) // looking between additions
            assert_true(sc_marks_has(&marks, &digest));
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        digest = digest_of(i);
        assert_int_equal(sc_marks_has(&marks, &digest), i % 2 == 0);
    }
    assert_int_equal(sc_marks_count(&marks), COUNT / 2);
    sc_marks_done(&marks);
}

static void test_marks_that_are_added_often_take_the_room_of_one(void **state)
{
    (void)state;
    struct sc_marks marks = {0};
    for (uint32_t i = 0; i < 1000000; i++) {
        struct sc_digest digest = digest_of(i % 100);
        sc_marks_add(&marks, &digest);
    }
    assert_true(marks.room <= 1024);
    assert_int_equal(sc_marks_count(&marks), 100);
    assert_false(marks.full);
    sc_marks_done(&marks);
}

static void test_marks_with_equal_beginnings_count_as_one(void **state)
{
    (void)state;
    struct sc_marks marks = {0};
    struct sc_digest a = digest_of(1), b = a, c = a;
    b.bytes[8] ^= 1;
    c.bytes[7] ^= 1;
    sc_marks_add(&marks, &a);
    assert_true(sc_marks_has(&marks, &b)); // rather kept than lost
    assert_false(sc_marks_has(&marks, &c));
    sc_marks_done(&marks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks_hold_what_was_added_and_nothing_else),
        cmocka_unit_test(test_marks_that_are_added_often_take_the_room_of_one),
        cmocka_unit_test(test_marks_with_equal_beginnings_count_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
