#include "tests/lib/test.h"

#include "agent/shell/command.h"
#include "base/limits.h"

struct fixture {
    struct sc_arena arena;
    struct sc_launch launch;
    struct sc_error err;
};

static int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    sc_arena_init(&f->arena);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sc_arena_done(&f->arena);
    free(f);
    return 0;
}

static enum sc_rc build(struct fixture *f, const struct sc_assignment *a)
{
    struct sc_command_view view = {.work = sc_slice_str("/work"), .path = sc_slice_str("/usr/bin:/bin")};
    f->launch = (struct sc_launch){0};
    return sc_command_build(a, &view, &f->arena, &f->launch, &f->err);
}

// "A=1" among the variables, or NULL.
static const char *variable(struct fixture *f, const char *name)
{
    for (uint32_t i = 0; i < f->launch.env.count; i++) {
        const char *text = sc_arena_cstr(&f->arena, f->launch.env.items[i]);
        if (strncmp(text, name, strlen(name)) == 0 && text[strlen(name)] == '=')
            return text + strlen(name) + 1;
    }
    return NULL;
}

static struct sc_assigned_input inputs[] = {
    {.name = SC_SLICE_LIT("depth"), .kind = SC_INPUT_VALUE, .text = SC_SLICE_LIT("5")},
    {.name = SC_SLICE_LIT("models"), .kind = SC_INPUT_FAN_IN},
    {.name = SC_SLICE_LIT("raw"), .artifact = {.kind = SC_ARTIFACT_FILE, .ext = SC_SLICE_LIT(".csv")}},
    {.name = SC_SLICE_LIT("tree"), .artifact = {.kind = SC_ARTIFACT_DIR}},
};
static struct sc_assigned_output outputs[] = {
    {.name = SC_SLICE_LIT("model"), .path = SC_SLICE_LIT("sub/model.bin")},
};

static struct sc_assignment assignment(struct sc_pieces *words, uint32_t count, bool script)
{
    return (struct sc_assignment){.script = script,
                                  .command = {words, count},
                                  .inputs = {inputs, SC_COUNT(inputs)},
                                  .outputs = {outputs, SC_COUNT(outputs)}};
}

#define PIECE(kind, text)                                                                                    \
    {                                                                                                        \
        SC_PIECE_##kind, SC_SLICE_LIT(text)                                                                  \
    }

static void test_argv_is_filled_in_as_text(void **state)
{
    struct fixture *f = *state;
    struct sc_piece first[] = {PIECE(TEXT, "python3")}, second[] = {PIECE(TEXT, "--in="), PIECE(IN, "raw")};
    struct sc_piece third[] = {PIECE(OUT, "model")}, fourth[] = {PIECE(IN, "depth"), PIECE(VALUE, "x")};
    struct sc_piece fifth[] = {PIECE(IN, "models"), PIECE(TEXT, ":"), PIECE(IN, "tree")};
    struct sc_pieces words[] = {{{first, 1}}, {{second, 2}}, {{third, 1}}, {{fourth, 2}}, {{fifth, 3}}};
    struct sc_assignment a = assignment(words, SC_COUNT(words), false);
    assert_ok(build(f, &a), f->err);
    static const char *const want[] = {"python3", "--in=/work/in/raw.csv", "/work/out/sub/model.bin", "5x",
                                       "/work/in/models:/work/in/tree"};
    assert_int_equal(f->launch.argv.count, SC_COUNT(want));
    for (size_t i = 0; i < SC_COUNT(want); i++)
        assert_slice(f->launch.argv.items[i], want[i]);
    assert_int_equal(f->launch.env.count, 4);
}

static void test_script_variables_are_numbered_in_order_of_first_use(void **state)
{
    struct fixture *f = *state;
    struct sc_piece pieces[] = {PIECE(TEXT, "run "),     PIECE(OUT, "model"),   PIECE(TEXT, " "),
                                PIECE(VALUE, "a'b\n$c"), PIECE(TEXT, "; "),     PIECE(OUT, "model"),
                                PIECE(IN, "raw"),        PIECE(VALUE, "model"), PIECE(TEXT, " $SC_9")};
    struct sc_pieces word = {{pieces, SC_COUNT(pieces)}};
    struct sc_assignment a = assignment(&word, 1, true);
    assert_ok(build(f, &a), f->err);
    assert_int_equal(f->launch.argv.count, 4);
    assert_slice(f->launch.argv.items[0], "/bin/sh");
    assert_slice(f->launch.argv.items[1], "-eu");
    assert_slice(f->launch.argv.items[2], "-c");
    assert_slice(f->launch.argv.items[3], "run ${SC_1} ${SC_2}; ${SC_1}${SC_3}${SC_4} $SC_9");
    assert_string_equal(variable(f, "SC_1"), "/work/out/sub/model.bin");
    assert_string_equal(variable(f, "SC_2"), "a'b\n$c");
    assert_string_equal(variable(f, "SC_3"), "/work/in/raw.csv");
    assert_string_equal(variable(f, "SC_4"), "model");
    assert_null(variable(f, "SC_5"));
}

static void test_declared_variable_wins_over_the_minimum(void **state)
{
    struct fixture *f = *state;
    struct sc_piece first[] = {PIECE(TEXT, "env")}, path[] = {PIECE(TEXT, "/opt/bin")};
    struct sc_pieces word = {{first, 1}};
    struct sc_assigned_env env[] = {{SC_SLICE_LIT("PATH"), {{path, 1}}}};
    struct sc_assignment a = assignment(&word, 1, false);
    a.env.items = env;
    a.env.count = 1;
    assert_ok(build(f, &a), f->err);
    assert_int_equal(f->launch.env.count, 4);
    assert_string_equal(variable(f, "PATH"), "/opt/bin");
    assert_string_equal(variable(f, "HOME"), "/work");
    assert_string_equal(variable(f, "LANG"), "C.UTF-8");
    assert_string_equal(variable(f, "TZ"), "UTC");
}

static void test_name_that_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;
    struct sc_piece pieces[] = {PIECE(IN, "absent")};
    struct sc_pieces word = {{pieces, 1}};
    struct sc_assignment a = assignment(&word, 1, true);
    assert_rc(build(f, &a), SC_INVALID);
    assert_contains(f->err.message, "input absent");
    pieces[0].kind = SC_PIECE_OUT;
    a = assignment(&word, 1, false);
    assert_rc(build(f, &a), SC_INVALID);
    assert_contains(f->err.message, "output absent");
}

static void test_long_value_passes_and_too_long_is_refused(void **state)
{
    struct fixture *f = *state;
    char *large = sc_calloc(1, 200000);
    memset(large, 'x', 200000);
    struct sc_piece pieces[] = {{SC_PIECE_VALUE, sc_slice(large, SC_LIMIT_VALUE_BYTES)}};
    struct sc_pieces word = {{pieces, 1}};
    struct sc_assignment a = assignment(&word, 1, true);
    assert_ok(build(f, &a), f->err);
    assert_int_equal(strlen(variable(f, "SC_1")), SC_LIMIT_VALUE_BYTES);
    pieces[0].text.len = 200000;
    assert_rc(build(f, &a), SC_LIMIT);
    a.script = false;
    assert_rc(build(f, &a), SC_LIMIT);
    assert_contains(f->err.message, "argument 0 of the command");
    free(large);
}

static void test_nul_byte_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sc_piece pieces[] = {{SC_PIECE_TEXT, sc_slice("a\0b", 3)}};
    struct sc_pieces word = {{pieces, 1}};
    struct sc_assignment a = assignment(&word, 1, false);
    assert_rc(build(f, &a), SC_INVALID);
    assert_contains(f->err.message, "NUL");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_argv_is_filled_in_as_text),
        TEST(test_script_variables_are_numbered_in_order_of_first_use),
        TEST(test_declared_variable_wins_over_the_minimum),
        TEST(test_name_that_is_not_there_is_named),
        TEST(test_long_value_passes_and_too_long_is_refused),
        TEST(test_nul_byte_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
