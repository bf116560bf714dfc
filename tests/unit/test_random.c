#include "tests/lib/test.h"

#include "base/random.h"

static void test_random_same_seed_same_story(void **state)
{
    (void)state;
    struct sc_random a, b;
    sc_random_init(&a, 42);
    sc_random_init(&b, 42);
    for (int i = 0; i < 1000; i++)
        assert_true(sc_random_next(&a) == sc_random_next(&b));
}

// A simulator's seed tells a story only as long as these numbers stay: splitmix64 and xoshiro256**.
static void test_random_numbers_are_pinned(void **state)
{
    (void)state;
    struct sc_random random;
    sc_random_init(&random, 0);
    assert_true(random.state[0] == UINT64_C(0xe220a8397b1dcdaf)); // splitmix64(0), the published first values
    assert_true(random.state[1] == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(random.state[2] == UINT64_C(0x06c45d188009454f));
    assert_true(random.state[3] == UINT64_C(0xf88bb8a8724c81ec));
    struct sc_random known = {{1, 2, 3, 4}}; // xoshiro256**'s published first values for this state
    static const uint64_t want[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240)};
    for (size_t i = 0; i < SC_COUNT(want); i++)
        assert_true(sc_random_next(&known) == want[i]);
}

static void test_random_below_keeps_its_bound_and_reaches_all(void **state)
{
    (void)state;
    struct sc_random random;
    int seen[10] = {0};
    sc_random_init(&random, 7);
    for (int i = 0; i < 10000; i++)
        seen[sc_random_below(&random, SC_COUNT(seen))]++;
    for (size_t i = 0; i < SC_COUNT(seen); i++)
        assert_in_range(seen[i], 800, 1200);
    for (int i = 0; i < 1000; i++) {
        assert_true(sc_random_below(&random, 1) == 0);
        assert_true(sc_random_below(&random, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_same_seed_same_story),
        cmocka_unit_test(test_random_numbers_are_pinned),
        cmocka_unit_test(test_random_below_keeps_its_bound_and_reaches_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
