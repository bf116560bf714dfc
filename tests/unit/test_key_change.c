// Only the part of a field that differs is shown.
#include "tests/lib/test.h"

#include "base/mp.h"
#include "pipeline/key.h"

#include <string.h>

static void put_argv(struct sc_buf *out, const char *const *words)
{
    uint32_t count = 0;
    while (words[count])
        count++;
    sc_mp_put_array(out, count + 1);
    sc_mp_put_cstr(out, "argv");
    for (uint32_t i = 0; i < count; i++) {
        sc_mp_put_array(out, 1);
        sc_mp_put_cstr(out, words[i]);
    }
}

static void put_texts(struct sc_buf *out, const char *const *texts)
{
    uint32_t count = 0;
    while (texts[count])
        count++;
    sc_mp_put_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        sc_mp_put_cstr(out, texts[i]);
}

static void check(const char *label, struct sc_buf *old, struct sc_buf *new, const char *want_old,
                  const char *want_new)
{
    struct sc_buf a, b;
    sc_buf_init(&a, 0);
    sc_buf_init(&b, 0);
    sc_key_change_print(sc_slice_str(label), sc_buf_slice(old), sc_buf_slice(new), &a, &b);
    assert_string_equal(sc_buf_cstr(&a), want_old);
    assert_string_equal(sc_buf_cstr(&b), want_new);
    sc_buf_done(&a);
    sc_buf_done(&b);
    sc_buf_done(old);
    sc_buf_done(new);
}

static void test_a_changed_argument_is_shown_with_its_flag(void **state)
{
    (void)state;
    struct sc_buf old = {0}, new = {0};
    put_argv(&old, (const char *const[]){"python3", "train.py", "--depth", "5", "--out", "m", NULL});
    put_argv(&new, (const char *const[]){"python3", "train.py", "--depth", "6", "--out", "m", NULL});
    check("command", &old, &new, "--depth 5", "--depth 6");
}

static void test_an_added_argument_stands_alone(void **state)
{
    (void)state;
    struct sc_buf old = {0}, new = {0};
    put_argv(&old, (const char *const[]){"sort", "in", NULL});
    put_argv(&new, (const char *const[]){"sort", "-r", "in", NULL});
    check("command", &old, &new, "", "-r");
}

static void test_packages_are_compared_as_sets(void **state)
{
    (void)state;
    struct sc_buf old = {0}, new = {0};
    put_texts(&old, (const char *const[]){"numpy==1.24.2", "pandas==1.5.3", "scipy==1.10.1", NULL});
    put_texts(&new,
              (const char *const[]){"numpy==1.26.0", "pandas==1.5.3", "scipy==1.10.1", "six==1.16.0", NULL});
    check("environment.packages", &old, &new, "numpy==1.24.2", "numpy==1.26.0, six==1.16.0");
}

static void test_the_line_of_a_script_that_changed_is_shown(void **state)
{
    (void)state;
    struct sc_buf old = {0}, new = {0};
    const char *const scripts[] = {"set -x\nsort a > b\nwc b\n", "set -x\nsort -r a > b\nwc b\n"};
    for (int i = 0; i < 2; i++) {
        struct sc_buf *out = i ? &new : &old;
        sc_mp_put_array(out, 2);
        sc_mp_put_cstr(out, "sh");
        sc_mp_put_array(out, 1);
        sc_mp_put_cstr(out, scripts[i]);
    }
    check("command", &old, &new, "sort a > b", "sort -r a > b");
}

static void test_a_field_that_was_not_there_is_empty(void **state)
{
    (void)state;
    struct sc_buf old = {0}, new = {0};
    sc_mp_put_cstr(&new, "2");
    check("salt", &old, &new, "", "2");
}

static void test_a_long_text_is_cut_around_what_differs(void **state)
{
    (void)state;
    struct sc_buf old = {0}, new = {0};
    char a[1000], b[1000];
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    a[500] = 'A';
    b[500] = 'B';
    sc_mp_put_str(&old, sc_slice(a, sizeof a));
    sc_mp_put_str(&new, sc_slice(b, sizeof b));
    check("salt", &old, &new, "…xxxxxxxxxxxxxxxxAxxxxxxxxxxxxxxxx…", "…xxxxxxxxxxxxxxxxBxxxxxxxxxxxxxxxx…");
}

static void test_control_bytes_never_reach_the_terminal(void **state)
{
    (void)state;
    struct sc_buf old = {0}, new = {0};
    sc_mp_put_cstr(&old, "a\x1b[31m");
    sc_mp_put_cstr(&new, "b");
    check("salt", &old, &new, "a\\x1b[31m", "b");
}

static void test_a_version_is_shown_as_the_address_that_it_is(void **state)
{
    (void)state;
    struct sc_buf old = {0}, new = {0};
    for (int i = 0; i < 2; i++) {
        struct sc_buf *out = i ? &new : &old;
        sc_mp_put_array(out, 4 + (uint32_t)i);
        sc_mp_put_cstr(out, "version");
        sc_mp_put_cstr(out, "data");
        sc_mp_put_cstr(out, "a.csv");
        sc_mp_put_cstr(out, i ? "v2" : "v1");
        if (i)
            sc_mp_put_cstr(out, "http://s3");
    }
    check("input.raw", &old, &new, "s3://data/a.csv?versionId=v1",
          "s3://data/a.csv?versionId=v2 on http://s3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_changed_argument_is_shown_with_its_flag),
        cmocka_unit_test(test_an_added_argument_stands_alone),
        cmocka_unit_test(test_packages_are_compared_as_sets),
        cmocka_unit_test(test_the_line_of_a_script_that_changed_is_shown),
        cmocka_unit_test(test_a_field_that_was_not_there_is_empty),
        cmocka_unit_test(test_a_long_text_is_cut_around_what_differs),
        cmocka_unit_test(test_control_bytes_never_reach_the_terminal),
        cmocka_unit_test(test_a_version_is_shown_as_the_address_that_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
