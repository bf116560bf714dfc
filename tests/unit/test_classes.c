#include "tests/lib/scratch.h"
#include "tests/lib/test.h"

#include "agent/shell/classes.h"

#include <stdio.h>
#include <unistd.h>

struct asked {
    struct sc_fingerprint fingerprint;
    char changed[256];
};

static struct asked ask(struct sc_classes *classes, const char *const *paths, uint32_t count,
                        const char *extra)
{
    struct sc_slice items[4];
    for (uint32_t i = 0; i < count; i++)
        items[i] = sc_slice_str(paths[i]);
    struct sc_watch watch = {.items = {items, count}, .steady_count = count};
    struct asked asked = {.fingerprint = sc_classes_fingerprint(classes, &watch, sc_slice_str(extra))};
    const char *changed = asked.fingerprint.changed;
    snprintf(asked.changed, sizeof asked.changed, "%s", changed ? changed : "");
    return asked;
}

static bool same(const struct asked *a, const struct asked *b)
{
    return sc_digest_eq(&a->fingerprint.all, &b->fingerprint.all) &&
           sc_digest_eq(&a->fingerprint.steady, &b->fingerprint.steady);
}

static void test_each_question_has_its_own_fingerprint(void **state)
{
    SC_AUTO_FREE char *one = sc_scratch_path(*state, "one"), *other = sc_scratch_path(*state, "other");
    const char *paths[] = {one, other}, *turned[] = {other, one};
    sc_scratch_write(one, sc_slice_str("x"), 0644);
    struct sc_classes *classes = sc_classes_open(NULL);
    struct asked first = ask(classes, paths, 2, "a"), again = ask(classes, paths, 2, "a");
    assert_true(same(&first, &again));
    struct asked else_ = ask(classes, paths, 2, "b"), fewer = ask(classes, paths, 1, "a"),
                 order = ask(classes, turned, 2, "a");
    assert_false(same(&first, &else_));
    assert_false(same(&first, &fewer));
    assert_false(same(&first, &order));
    again = ask(classes, paths, 2, "a");
    assert_true(same(&first, &again));
    sc_scratch_write(other, sc_slice_str("y"), 0644);
    again = ask(classes, paths, 2, "a");
    assert_false(same(&first, &again));
    assert_string_equal(again.changed, other);
    sc_classes_close(classes);
}

// What came and went between two looks of one class, and was seen by a look of another meanwhile.
static void test_what_another_class_saw_is_not_forgotten(void **state)
{
    SC_AUTO_FREE char *path = sc_scratch_path(*state, "comes-and-goes");
    const char *paths[] = {path};
    struct sc_classes *classes = sc_classes_open(NULL);
    struct asked first = ask(classes, paths, 1, "a");
    sc_scratch_write(path, sc_slice_str("x"), 0644);
    ask(classes, paths, 1, "b");
    assert_int_equal(unlink(path), 0);
    ask(classes, paths, 1, "b");
    struct asked again = ask(classes, paths, 1, "a");
    assert_true(sc_digest_eq(&first.fingerprint.all, &again.fingerprint.all));
    assert_string_equal(again.changed, path);
    sc_classes_close(classes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_question_has_its_own_fingerprint, sc_scratch_setup,
                                        sc_scratch_teardown),
        cmocka_unit_test_setup_teardown(test_what_another_class_saw_is_not_forgotten, sc_scratch_setup,
                                        sc_scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
