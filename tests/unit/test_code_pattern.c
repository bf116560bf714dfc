// Which files are code: patterns in their order, the last that matches decides.
#include "tests/lib/test.h"

#include "pipeline/document.h"

static bool with_patterns(const char *const *patterns, struct sc_slice path,
                          bool (*ask)(const sc_text_list *, struct sc_slice))
{
    struct sc_slice items[8];
    sc_text_list list = {items, 0};
    while (patterns[list.count]) {
        items[list.count] = sc_slice_str(patterns[list.count]);
        list.count++;
    }
    return ask(&list, path);
}

struct row {
    const char *patterns[8], *path;
    bool expected;
};

static void check(const struct row *rows, size_t count, bool (*ask)(const sc_text_list *, struct sc_slice))
{
    for (size_t i = 0; i < count; i++)
        if (with_patterns(rows[i].patterns, sc_slice_str(rows[i].path), ask) != rows[i].expected)
            fail_msg("row %zu: %s with %s …: expected %d", i, rows[i].path, rows[i].patterns[0],
                     rows[i].expected);
}

static void test_patterns_match_as_they_say(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{"train.py"}, "train.py", true},
        {{"./train.py"}, "train.py", true},
        {{"train.py"}, "lib/train.py", false},
        {{"train.py"}, "train.pyx", false},
        {{"lib/"}, "lib/a.py", true},
        {{"lib/"}, "lib/x/y/a.py", true},
        {{"lib/"}, "lib", false},
        {{"lib/"}, "library/a.py", false},
        {{"lib"}, "lib/a.py", true}, // something lies below it: it is a folder
        {{"lib/sub"}, "lib/sub/x", true},
        {{"lib/sub"}, "lib/other", false},
        {{"*.py"}, "a.py", true},
        {{"*.py"}, "lib/a.py", false},
        {{"*"}, "a", true},
        {{"*"}, "a/b", false},
        {{"*/"}, "a/b", true},
        {{"*/"}, "a", false},
        {{"lib/*.py"}, "lib/a.py", true},
        {{"lib/*.py"}, "lib/x/a.py", false},
        {{"l?b/a"}, "lib/a", true},
        {{"l?b/a"}, "lb/a", false},
        {{"l?b/a"}, "l/b/a", false},
        {{"?.py"}, "é.py", true},
        {{"a*b*c"}, "aXbYbZc", true},
        {{"a*b*c"}, "aXbYbZ", false},
        {{"a**c"}, "abbc", true}, // inside a name two stars are one
        {{"**/*.py"}, "a.py", true},
        {{"**/*.py"}, "x/y/a.py", true},
        {{"**/*.py"}, "x/y/a.pyx", false},
        {{"src/**"}, "src/a", true},
        {{"src/**"}, "src/x/y", true},
        {{"src/**"}, "src", false},
        {{"src/**/a"}, "src/a", true},
        {{"src/**/a"}, "src/x/y/a", true},
        {{"src/**/a"}, "src/x/y/b", false},
        {{"**/tests/"}, "x/tests/a/b", true},
        {{"**/tests/"}, "tests/a", true},
        {{"**/a/**/b"}, "a/x/a/y/b", true},
        {{"."}, "x/y", true},
        {{"./"}, "x", true},
        {{"a b"}, "a b", true},
        {{"-x"}, "-x", true},
        {{"[ab]"}, "[ab]", true}, // brackets are letters
    };
    check(rows, SC_COUNT(rows), sc_code_matches);
}

static void test_the_last_pattern_that_matches_decides(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{"lib/", "!lib/tests/"}, "lib/a", true},
        {{"lib/", "!lib/tests/"}, "lib/tests/a", false},
        {{"lib/", "!lib/tests"}, "lib/tests/a", false},
        {{"lib/", "!lib/tests/", "lib/tests/data/"}, "lib/tests/data/x", true},
        {{"lib/", "!lib/tests/", "lib/tests/data/"}, "lib/tests/x", false},
        {{"!lib/", "lib/"}, "lib/a", true},
        {{"lib/", "!**/*.tmp"}, "lib/x/a.tmp", false},
        {{"lib/", "!*.tmp"}, "lib/a.tmp", true},
        {{"!a"}, "a", false},
        {{NULL}, "a", false},
    };
    check(rows, SC_COUNT(rows), sc_code_matches);
}

static void test_some_files_are_never_code(void **state)
{
    (void)state;
    static const char *const paths[] = {".git",          ".git/config",         "x/.git/y",
                                        "__pycache__/a", "x/__pycache__/a.pyc", "a.pyc",
                                        "x/a.pyc",       ".stepcache/x",        "x/.stepcache"};
    static const char *const all[] = {"./", "**", NULL};
    for (size_t i = 0; i < SC_COUNT(paths); i++)
        assert_false(with_patterns(all, sc_slice_str(paths[i]), sc_code_matches));
    static const char *const near[] = {".gitignore", "git", "pycache", "a.pyc2", "a.py"};
    for (size_t i = 0; i < SC_COUNT(near); i++)
        assert_true(with_patterns(all, sc_slice_str(near[i]), sc_code_matches));
    assert_false(with_patterns(all, sc_slice_str("x/.git"), sc_code_may_contain));
}

static void test_a_walk_leaves_out_only_what_can_not_match(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {{"lib/a.py"}, "", true},
        {{"lib/a.py"}, "lib", true},
        {{"lib/a.py"}, "lab", false},
        {{"lib/a.py"}, "lib/x", false},
        {{"lib/"}, "lib", true},
        {{"lib/"}, "lib/x/y", true},
        {{"*.py"}, "lib", false},
        {{"*/a"}, "lib", true},
        {{"**/a"}, "x/y/z", true},
        {{"src/**"}, "src/x", true},
        {{"src/**"}, "lib", false},
        {{"lib/", "!lib/tests/"}, "lib/tests", false},
        {{"lib/", "!lib/tests/"}, "lib/tests/deep", false},
        {{"lib/", "!lib/tests/", "lib/tests/data/"}, "lib/tests", true},
        {{"lib/", "!lib/*.py"}, "lib/x", true},
        {{"./"}, "x", true},
        {{NULL}, "", false},
    };
    check(rows, SC_COUNT(rows), sc_code_may_contain);
}

// Patterns that make a backtracking matcher take for ever.
static void test_hostile_patterns_end_soon(void **state)
{
    (void)state;
    char path[2001], pattern[200] = "";
    memset(path, 'a', 2000);
    path[2000] = 0;
    for (int i = 0; i < 40; i++)
        memcpy(pattern + 2 * i, "a*", 3);
    strncat(pattern, "b", 2);
    const char *const one[] = {pattern, NULL};
    assert_false(with_patterns(one, sc_slice_str(path), sc_code_matches));
    char deep[400] = "";
    for (int i = 0; i < 100; i++)
        memcpy(deep + 2 * i, "a/", 3);
    const char *const two[] = {"**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b", NULL};
    deep[strlen(deep) - 1] = 0;
    assert_false(with_patterns(two, sc_slice_str(deep), sc_code_matches));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_match_as_they_say),
        cmocka_unit_test(test_the_last_pattern_that_matches_decides),
        cmocka_unit_test(test_some_files_are_never_code),
        cmocka_unit_test(test_a_walk_leaves_out_only_what_can_not_match),
        cmocka_unit_test(test_hostile_patterns_end_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
