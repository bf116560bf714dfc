#include "stepctl/options.h"

#include "stepctl/command.h"
#include "stepctl/own_store.h"
#include "tests/lib/test.h"

#include <unistd.h>

static struct sc_arena arena;
static struct sc_options options;
static struct sc_error err;

static enum sc_rc parse(uint64_t mask, uint32_t least, uint32_t most, const char *line)
{
    char *words[16] = {0};
    int count = 0;
    char *copy = sc_arena_cstr(&arena, sc_slice_str(line));
    for (char *at = copy; *at;) {
        words[count++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = 0;
    }
    err = (struct sc_error)SC_ERROR_INIT;
    char **argv = SC_NEW_ARRAY(&arena, (size_t)count + 1, char *);
    memcpy(argv, words, (size_t)count * sizeof *argv);
    return sc_options_parse(count, argv, mask, least, most, &arena, &options, &err);
}

#define ALL (SC_OPTIONS_RUN | SC_OPTIONS_OUTPUT | SC_OPTION_BIT(LIMIT) | SC_OPTION_BIT(FOLLOW))

static void test_options_and_words_may_stand_in_any_order(void **state)
{
    (void)state;
    assert_ok(parse(ALL, 1, 1, "run --json pipeline.yaml -p depth=7 -p text=a=b --fail-fast"), err);
    assert_true(options.json);
    assert_true(options.run.fail_fast);
    assert_int_equal(options.arg_count, 1);
    assert_string_equal(options.args[0], "pipeline.yaml");
    assert_int_equal(options.params.count, 2);
    assert_slice(options.params.items[1].name, "text");
    assert_slice(options.params.items[1].value, "a=b");
}

static void test_options_after_two_dashes_are_words(void **state)
{
    (void)state;
    assert_ok(parse(ALL, 1, 2, "run -- --json"), err);
    assert_false(options.json);
    assert_string_equal(options.args[0], "--json");
}

static void test_refresh_takes_a_step_or_all(void **state)
{
    (void)state;
    assert_ok(parse(ALL, 1, 1, "run --refresh x.yaml"), err);
    assert_true(options.run.refresh_all);
    assert_ok(parse(ALL, 1, 1, "run --refresh=train --refresh=eval x.yaml"), err);
    assert_false(options.run.refresh_all);
    assert_int_equal(options.run.refresh.count, 2);
    assert_slice(options.run.refresh.items[1], "eval");
}

static void test_unknown_option_suggests_the_nearest(void **state)
{
    (void)state;
    assert_rc(parse(ALL, 1, 1, "run --refrsh x"), SC_INVALID);
    assert_contains(err.message, "--refrsh");
    assert_contains(err.hint, "--refresh");
    assert_rc(parse(ALL, 1, 1, "run x --refrsh=train"), SC_INVALID);
    assert_contains(err.hint, "--refresh");
    assert_rc(parse(ALL, 1, 1, "run -Z x"), SC_INVALID);
    assert_contains(err.message, "-Z");
}

static void test_an_option_of_another_command_is_unknown(void **state)
{
    (void)state;
    assert_rc(parse(SC_OPTION_BIT(JSON), 0, 0, "runs --fail-fast"), SC_INVALID);
    assert_contains(err.message, "runs has no option --fail-fast");
}

static void test_missing_and_surplus_words_are_said(void **state)
{
    (void)state;
    assert_rc(parse(ALL, 1, 1, "run"), SC_INVALID);
    assert_contains(err.message, "takes 1 argument, and 0 were given");
    assert_rc(parse(ALL, 1, 1, "run a b"), SC_INVALID);
    assert_contains(err.message, "were given");
    assert_rc(parse(ALL, 1, 1, "run --only"), SC_INVALID);
    assert_contains(err.message, "--only wants a value");
}

static void test_a_parameter_without_a_value_is_said(void **state)
{
    (void)state;
    assert_rc(parse(ALL, 1, 1, "run -p depth x.yaml"), SC_INVALID);
    assert_contains(err.message, "depth");
    assert_ok(parse(ALL, 1, 1, "run -p text= x.yaml"), err);
    assert_int_equal(options.params.items[0].value.len, 0);
}

static void test_counts_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "-1", "many", "1x", "99999999999999999999"};
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        SC_AUTO_FREE char *line = sc_asprintf("runs -n %s", bad[i]);
        assert_rc(parse(ALL, 0, 0, line), SC_INVALID);
    }
    assert_ok(parse(ALL, 0, 0, "runs -n 5"), err);
    assert_int_equal(options.limit, 5);
}

static void test_help_needs_no_words(void **state)
{
    (void)state;
    assert_ok(parse(ALL, 1, 1, "run --help"), err);
    assert_true(options.help);
}

static void test_every_command_is_found_and_has_help(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SC_COMMAND_COUNT; i++) {
        SC_AUTO_BUF struct sc_buf text;
        sc_buf_init(&text, 0);
        assert_ptr_equal(sc_command_find(sc_slice_str(sc_commands[i].name)), &sc_commands[i]);
        sc_command_help(&sc_commands[i], &text);
        assert_contains(sc_buf_cstr(&text), sc_commands[i].summary);
        assert_contains(sc_buf_cstr(&text), "usage: stepctl ");
        assert_true(sc_commands[i].args_min <= sc_commands[i].args_max);
    }
    assert_null(sc_command_find(sc_slice_str("rnu")));
}

#define TALKS (SC_OPTION_BIT(COORDINATOR) | SC_OPTION_BIT(OWN_STORE) | SC_OPTION_BIT(ENDPOINT_URL))

// What STEPCACHE_STORE is then; NULL: refused.
static const char *chosen(const char *before, const char *line)
{
    unsetenv("STEPCACHE_COORDINATOR");
    if (before)
        setenv("STEPCACHE_STORE", before, 1);
    else
        unsetenv("STEPCACHE_STORE");
    assert_ok(parse(TALKS, 0, 0, line), err);
    const char *store =
        sc_own_store_choose(&options, &arena, &err) == SC_OK ? getenv("STEPCACHE_STORE") : NULL;
    return store ? sc_arena_cstr(&arena, sc_slice_str(store)) : NULL;
}

static void test_a_store_is_chosen_by_option_or_variable(void **state)
{
    (void)state;
    char folder[4096];
    assert_non_null(getcwd(folder, sizeof folder));
    SC_AUTO_FREE char *here = sc_asprintf("%s/results", folder);
    assert_null(chosen(NULL, "run"));
    assert_string_equal(chosen("s3://b/p", "run"), "s3://b/p");
    assert_string_equal(chosen("s3://b/p", "run --store /x"), "/x");
    assert_string_equal(chosen(NULL, "run --store results"), here);
    assert_string_equal(chosen(NULL, "run --store s3://b/p --endpoint-url http://127.0.0.1:9000"),
                        "s3://b/p?endpoint=http://127.0.0.1:9000");
    assert_string_equal(chosen("s3://b/p?region=eu-west-1", "run --endpoint-url https://h/a?b&c%"),
                        "s3://b/p?region=eu-west-1&endpoint=https://h/a%3Fb%26c%25");
}

static void test_stores_that_do_not_go_together_are_said(void **state)
{
    (void)state;
    assert_null(chosen("/x", "run --endpoint-url http://h"));
    assert_contains(err.message, "not in S3");
    assert_null(chosen("s3://b/p?style=path&endpoint=http://g", "run --endpoint-url http://h"));
    assert_contains(err.message, "has an endpoint already");
    assert_null(chosen(NULL, "run --coordinator ipc:///c --store /x"));
    assert_contains(err.message, "ipc:///c has a store of its own");
    assert_string_equal(chosen("/mine", "run --coordinator ipc:///c"), "/mine"); // its own, and not asked for
    assert_null(
        chosen("/mine", "run --store=")); // a variable that is not set: the current folder is no store
    assert_contains(err.message, "--store is empty");
}

static int setup(void **state)
{
    (void)state;
    sc_arena_init(&arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sc_arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_and_words_may_stand_in_any_order),
        cmocka_unit_test(test_options_after_two_dashes_are_words),
        cmocka_unit_test(test_refresh_takes_a_step_or_all),
        cmocka_unit_test(test_unknown_option_suggests_the_nearest),
        cmocka_unit_test(test_an_option_of_another_command_is_unknown),
        cmocka_unit_test(test_missing_and_surplus_words_are_said),
        cmocka_unit_test(test_a_parameter_without_a_value_is_said),
        cmocka_unit_test(test_counts_are_checked),
        cmocka_unit_test(test_a_store_is_chosen_by_option_or_variable),
        cmocka_unit_test(test_stores_that_do_not_go_together_are_said),
        cmocka_unit_test(test_help_needs_no_words),
        cmocka_unit_test(test_every_command_is_found_and_has_help),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
