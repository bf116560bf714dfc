#include "tests/lib/test.h"

#include "base/arena.h"

static void test_arena_memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    for (size_t bytes = 0; bytes < 5000; bytes += 7) {
        sc_arena_copy(&arena, sc_slice_str("odd"));
        uint8_t *p = sc_arena_alloc(&arena, bytes);
        assert_int_equal((uintptr_t)p % 8, 0);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, bytes);
    }
}

static void test_arena_earlier_pointers_stay_valid(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    uint32_t *all[2000];
    sc_arena_init(&arena);
    for (uint32_t i = 0; i < SC_COUNT(all); i++) {
        all[i] = sc_arena_array(&arena, i + 1, sizeof(uint32_t));
        for (uint32_t k = 0; k <= i; k++)
            all[i][k] = i;
    }
    for (uint32_t i = 0; i < SC_COUNT(all); i++)
        for (uint32_t k = 0; k <= i; k++)
            assert_int_equal(all[i][k], i);
    assert_true(arena.total_bytes >= SC_COUNT(all) * SC_COUNT(all) * 2);
}

static void test_arena_copy_ends_with_a_nul_that_is_not_counted(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice copy = sc_arena_copy(&arena, sc_slice("a\0b", 3));
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.ptr, "a\0b", 4);
    assert_string_equal(sc_arena_cstr(&arena, sc_slice("abc", 2)), "ab");
    assert_string_equal(sc_arena_cstr(&arena, sc_slice(NULL, 0)), "");
    assert_slice(sc_arena_printf(&arena, "%s-%d", "a", 7), "a-7");
}

static void test_arena_larger_than_a_block(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    uint8_t *big = sc_arena_alloc(&arena, 5 << 20);
    memset(big, 1, 5 << 20);
    assert_non_null(sc_arena_alloc(&arena, 16));
}

static void test_arena_done_of_a_fresh_one_and_twice(void **state)
{
    (void)state;
    struct sc_arena arena;
    sc_arena_init(&arena);
    sc_arena_done(&arena);
    sc_arena_alloc(&arena, 10);
    sc_arena_done(&arena);
    sc_arena_done(&arena);
    sc_arena_done(NULL);
}

static void test_arena_reset_gives_zeroed_memory_again(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    sc_arena_reset(&arena);
    for (size_t round = 0; round < 3; round++) {
        for (size_t bytes = 1; bytes < 6000000; bytes = bytes * 3 + 1) {
            uint8_t *p = sc_arena_alloc(&arena, bytes);
            for (size_t i = 0; i < bytes; i++)
                assert_int_equal(p[i], 0);
            memset(p, 0xff, bytes);
        }
        sc_arena_reset(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_memory_is_zeroed_and_aligned),
        cmocka_unit_test(test_arena_earlier_pointers_stay_valid),
        cmocka_unit_test(test_arena_copy_ends_with_a_nul_that_is_not_counted),
        cmocka_unit_test(test_arena_larger_than_a_block),
        cmocka_unit_test(test_arena_reset_gives_zeroed_memory_again),
        cmocka_unit_test(test_arena_done_of_a_fresh_one_and_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
