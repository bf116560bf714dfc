#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "coordinator/shell/spending.h"

static void assert_requests(struct sc_requests got, uint64_t put, uint64_t get, uint64_t delete_)
{
    assert_int_equal(got.put, put);
    assert_int_equal(got.get, get);
    assert_int_equal(got.delete_, delete_);
}

static void test_what_was_counted_is_kept_over_lives(void **state)
{
    SC_AUTO_FREE char *file = sc_scratch_path(*state, "requests.json");
    struct sc_spending *first = sc_spending_open(file);
    int64_t since_ms, again_ms;
    sc_spending_add(first, &(struct sc_requests){.put = 3, .get = 5, .delete_ = 1});
    sc_spending_add(first, &(struct sc_requests){.get = 2});
    sc_spending_sum(first, &since_ms);
    sc_spending_close(first);
    struct sc_spending *second = sc_spending_open(file);
    assert_requests(sc_spending_sum(second, &again_ms), 3, 7, 1);
    assert_int_equal(again_ms, since_ms);
    sc_spending_close(second);
}

static void test_a_damaged_file_counts_from_now_on(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{\"put\": 1}",
                                        "{\"since_ms\": 1, \"put\": -1, \"get\": 0, \"delete\": 0}",
                                        "{\"since_ms\": 1, \"put\": \"1\", \"get\": 0, \"delete\": 0}"};
    SC_AUTO_FREE char *file = sc_scratch_path(*state, "requests.json");
    for (size_t i = 0; i < SC_COUNT(texts); i++) {
        sc_scratch_write(file, sc_slice_str(texts[i]), 0600);
        struct sc_spending *spending = sc_spending_open(file);
        int64_t since_ms;
        assert_requests(sc_spending_sum(spending, &since_ms), 0, 0, 0);
        assert_true(since_ms > 1);
        sc_spending_close(spending);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_counted_is_kept_over_lives, sc_scratch_setup,
                                        sc_scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_file_counts_from_now_on, sc_scratch_setup,
                                        sc_scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
