// Which results a collection drops.
#include "tests/lib/test.h"

#include "coordinator/shell/gc_policy.h"

#include <stdio.h>

enum { NOW = 1000000 };

// Five results of step a, two of step b, by their letters; a's newest is e.
static const struct {
    char name, step;
    int64_t age_ms;
    uint64_t wall_ms, bytes;
    bool elsewhere, pinned;
} made[] = {
    {'a', 'a', 500, 100, 10, false, false},                                         // 10 ms a byte
    {'b', 'a', 400, 10, 10, false, false},                                          // 1
    {'c', 'a', 300, 50, 10, false, false},                                          // 5
    {'d', 'a', 200, 1, 10, false, true},                                            // pinned
    {'e', 'a', 100, 20, 10, false, false},                                          // 2
    {'f', 'b', 450, 1, 0, false, false},                                            // nothing to be had by it
    {'g', 'b', 350, 1000, 40, false, false}, {'h', 'a', 900, 1, 1000, true, false}, // of another namespace
};

static const char *dropped(const sc_text_list *args, enum sc_rc rc)
{
    static char names[16];
    struct sc_gc_policy policy;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_gc_record records[SC_COUNT(made)];
    size_t count = 0;
    assert_rc(sc_gc_policy_parse(args, &policy, &err), rc);
    if (rc != SC_OK)
        return "";
    for (size_t i = 0; i < SC_COUNT(made); i++)
        records[i] = (struct sc_gc_record){
            .key = sc_digest_of(sc_slice(&made[i].name, 1)),
            .group = sc_digest_of(sc_slice((char[]){made[i].step, made[i].elsewhere ? '2' : '1'}, 2)),
            .ended_at = NOW - made[i].age_ms,
            .wall_ms = made[i].wall_ms,
            .bytes = made[i].bytes,
            .namespace_ = (uint32_t)i,
            .in_namespace = !policy.has_namespace || !made[i].elsewhere,
            .pinned = made[i].pinned};
    sc_gc_policy_choose(&policy, NOW, records, SC_COUNT(made));
    bool drops[SC_COUNT(made)] = {false};
    for (size_t i = 0; i < SC_COUNT(made); i++)
        drops[records[i].namespace_] = records[i].drop;
    for (size_t i = 0; i < SC_COUNT(made); i++)
        if (drops[i])
            names[count++] = made[i].name;
    names[count] = 0;
    return names;
}

#define ARGS(...)                                                                                            \
    &(sc_text_list)                                                                                          \
    {                                                                                                        \
        (struct sc_slice[]){__VA_ARGS__}, sizeof((struct sc_slice[]){__VA_ARGS__}) / sizeof(struct sc_slice) \
    }
#define A(text) SC_SLICE_LIT(text)

static void test_policy_drops_what_it_says(void **state)
{
    (void)state;
    assert_string_equal(dropped(ARGS(A("delete")), SC_OK), "");
    assert_string_equal(dropped(ARGS(A("older-than=PT0.35S")), SC_OK), "abfh");
    assert_string_equal(dropped(ARGS(A("older-than=PT0.35S"), A("namespace=x")), SC_OK), "abf");
    assert_string_equal(dropped(ARGS(A("keep-last=2")), SC_OK), "abc");
    assert_string_equal(dropped(ARGS(A("keep-last=1")), SC_OK), "abcf");
    assert_string_equal(dropped(ARGS(A("namespace=x")), SC_OK), "abcefg");
    assert_string_equal(dropped(ARGS(A("keep-last=2"), A("older-than=PT0.35S")), SC_OK), "ab");
    assert_string_equal(dropped(ARGS(A("max-bytes=0")), SC_OK), "abcegh");
}

static void test_policy_drops_the_cheapest_for_each_byte_first_and_no_more_than_needed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *drops;
    } cases[] = {{"max-bytes=1090", ""},  {"max-bytes=1089", "h"}, {"max-bytes=90", "h"},
                 {"max-bytes=89", "bh"},  {"max-bytes=80", "bh"},  {"max-bytes=70", "beh"},
                 {"max-bytes=60", "bceh"}};
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        assert_string_equal(dropped(ARGS(sc_slice_str(cases[i].bytes)), SC_OK), cases[i].drops);
    assert_string_equal(dropped(ARGS(A("max-bytes=80"), A("namespace=x")), SC_OK), "b");
    assert_string_equal(dropped(ARGS(A("max-bytes=80"), A("namespace=x"), A("keep-last=4")), SC_OK), "a");
    // What is too old goes first, and counts.
    assert_string_equal(dropped(ARGS(A("max-bytes=70"), A("namespace=x"), A("older-than=PT0.39S")), SC_OK),
                        "abf");
    assert_string_equal(dropped(ARGS(A("max-bytes=60"), A("namespace=x"), A("older-than=PT0.39S")), SC_OK),
                        "abef");
}

static void test_policy_mistakes_are_refused(void **state)
{
    (void)state;
    dropped(ARGS(A("older-than=P1M")), SC_INVALID);
    dropped(ARGS(A("older-than=PT0S")), SC_INVALID);
    dropped(ARGS(A("keep-last=0")), SC_INVALID);
    dropped(ARGS(A("keep-last=99999999")), SC_INVALID);
    dropped(ARGS(A("keep-last=")), SC_INVALID);
    dropped(ARGS(A("max-bytes=-1")), SC_INVALID);
    dropped(ARGS(A("more")), SC_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_drops_what_it_says),
        cmocka_unit_test(test_policy_drops_the_cheapest_for_each_byte_first_and_no_more_than_needed),
        cmocka_unit_test(test_policy_mistakes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
