// The index: bounded, the least recently used leave; voids; the key inside a record.
#include "tests/lib/test.h"

#include "coordinator/shell/index.h"

#include <stdio.h>

static struct sc_digest key_of(uint32_t n)
{
    return sc_digest_of(sc_slice(&n, sizeof n));
}

static void put(struct sc_index *index, uint32_t n, const char *bytes)
{
    struct sc_digest key = key_of(n);
    sc_index_put(index, &key, sc_slice_str(bytes));
}

static bool has(struct sc_index *index, uint32_t n, const char *bytes)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_digest key = key_of(n);
    struct sc_slice found;
    sc_arena_init(&arena);
    return sc_index_get(index, &key, &arena, &found) && sc_slice_eq_str(found, bytes);
}

static void test_index_gives_back_what_was_put_last(void **state)
{
    (void)state;
    struct sc_index *index = sc_index_new(1 << 20);
    put(index, 1, "one");
    put(index, 1, "another");
    assert_true(has(index, 1, "another"));
    assert_false(has(index, 2, ""));
    assert_int_equal(sc_index_count(index), 1);
    struct sc_digest key = key_of(1);
    sc_index_remove(index, &key);
    sc_index_remove(index, &key);
    assert_int_equal(sc_index_count(index), 0);
    assert_int_equal(sc_index_bytes(index), 0);
    sc_index_free(index);
}

static void test_index_is_bounded_and_what_was_used_stays(void **state)
{
    (void)state;
    char bytes[1001];
    memset(bytes, 'r', 1000);
    bytes[1000] = 0;
    struct sc_index *index = sc_index_new(100 * 1200);
    put(index, 0, bytes);
    for (uint32_t i = 1; i < 5000; i++) { // more than the first buckets, too
        put(index, i, bytes);
        assert_true(has(index, 0, bytes)); // used each time
    }
    assert_true(sc_index_bytes(index) <= 100 * 1200);
    assert_true(has(index, 4999, bytes));
    assert_false(has(index, 1, bytes));
    sc_index_free(index);
}

static void test_index_finds_all_of_many(void **state)
{
    (void)state;
    struct sc_index *index = sc_index_new(64 << 20);
    char text[16];
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "%u", i);
        put(index, i, text);
    }
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "%u", i);
        assert_true(has(index, i, text));
    }
    assert_int_equal(sc_index_count(index), 20000);
    sc_index_free(index);
}

static void test_index_marks_tell_contents_apart(void **state)
{
    (void)state;
    uint64_t a = sc_index_mark(sc_slice_str("stepcache")), b = sc_index_mark(sc_slice_str("stepcachf"));
    assert_true(a != b);
    assert_true(sc_index_mark(sc_slice("stepcache\0", 10)) != a);
    struct sc_index *index = sc_index_new(1 << 20);
    struct sc_digest key = key_of(1);
    uint64_t mark;
    assert_false(sc_index_mark_of(index, &key, &mark));
    put(index, 1, "stepcache");
    assert_true(sc_index_mark_of(index, &key, &mark));
    assert_true(mark == a);
    sc_index_free(index);
}

static void add_void(struct sc_index *index, uint32_t n, uint64_t generation, int64_t wall_ms)
{
    struct sc_void voided = {key_of(n), generation, wall_ms};
    sc_index_void(index, &voided);
}

static void test_index_a_void_withdraws_generations_whatever_its_time(void **state)
{
    (void)state;
    struct sc_index *index = sc_index_new(1 << 20);
    struct sc_digest key = key_of(1), other = key_of(2);
    assert_int_equal(sc_index_voided(index, &key), 0);
    add_void(index, 1, 3, 1000);
    add_void(index, 1, 2, 9000); // an older one, by a clock that was ahead, changes nothing
    assert_int_equal(sc_index_voided(index, &key), 3);
    add_void(index, 1, 4, 500); // a newer one, by a clock that was behind, counts
    assert_int_equal(sc_index_voided(index, &key), 4);
    assert_int_equal(sc_index_voided(index, &other), 0);
    assert_int_equal(sc_index_newest_void_ms(index), 9000);
    sc_index_free(index);
}

static void test_index_knows_the_voids_when_they_were_listed_and_all_had_room(void **state)
{
    (void)state;
    struct sc_index *index = sc_index_new(1 << 20);
    assert_false(sc_index_voids_known(index));
    sc_index_set_voids_listed(index, true);
    assert_true(sc_index_voids_known(index));
    sc_index_set_voids_listed(index, false);
    assert_false(sc_index_voids_known(index));
    sc_index_set_voids_listed(index, true);
    struct sc_void voided = {.generation = 1};
    for (uint32_t i = 0; i < SC_INDEX_VOIDS; i++) {
        memcpy(voided.key.bytes, &i, sizeof i);
        sc_index_void(index, &voided);
    }
    voided.generation = 2; // of one that is known
    sc_index_void(index, &voided);
    assert_true(sc_index_voids_known(index));
    memset(voided.key.bytes, 0xff, sizeof voided.key.bytes);
    sc_index_void(index, &voided);
    assert_false(sc_index_voids_known(index));
    sc_index_free(index);
}

static void test_index_reads_the_key_that_a_record_names(void **state)
{
    (void)state;
    struct sc_record record = {.v = SC_SLICE_LIT("stepcache.record/1"),
                               .domain = SC_SLICE_LIT("main"),
                               .key = key_of(7),
                               .generation = 1,
                               .ended_at = 5,
                               .step = SC_SLICE_LIT("s")};
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_digest key;
    sc_buf_init(&bytes, 0);
    sc_record_encode(&record, &bytes);
    assert_true(sc_index_record_key(sc_buf_slice(&bytes), &key));
    assert_true(sc_digest_eq(&key, &record.key));
    for (size_t cut = 0; cut < bytes.len; cut++) // never past the end
        (void)sc_index_record_key(sc_slice(bytes.ptr, cut), &key);
    assert_false(sc_index_record_key(sc_slice_str("rubbish"), &key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_gives_back_what_was_put_last),
        cmocka_unit_test(test_index_is_bounded_and_what_was_used_stays),
        cmocka_unit_test(test_index_finds_all_of_many),
        cmocka_unit_test(test_index_marks_tell_contents_apart),
        cmocka_unit_test(test_index_a_void_withdraws_generations_whatever_its_time),
        cmocka_unit_test(test_index_knows_the_voids_when_they_were_listed_and_all_had_room),
        cmocka_unit_test(test_index_reads_the_key_that_a_record_names),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
