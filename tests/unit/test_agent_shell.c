#include "tests/lib/agent_fixture.h"
#include "tests/lib/test.h"

#include <stdio.h>

static int setup(void **state)
{
    struct agent_fixture *f = sc_calloc(1, sizeof *f);
    *state = f;
    if (agent_fixture_make(f))
        agent_fixture_start(f);
    return 0;
}

static int teardown(void **state)
{
    struct agent_fixture *f = *state;
    agent_fixture_done(f);
    free(f);
    return 0;
}

#define FIXTURE(f)                                                                                           \
    struct agent_fixture *f = *state;                                                                        \
    if (!f->running)                                                                                         \
    skip()

static void test_step_with_a_small_output_is_reported_ok_with_its_bytes(void **state)
{
    FIXTURE(f);
    const struct sc_result *r =
        agent_fixture_run(f, agent_fixture_script(f, "echo hi > out/text.txt", "text=text.txt", NULL));
    assert_string_equal(sc_outcome_name(r->outcome), "ok");
    const struct sc_artifact *text = agent_fixture_output(r, "text");
    assert_true(text->has_inline);
    assert_slice(text->inline_bytes, "hi\n");
    assert_slice(text->ext, ".txt");
    assert_int_equal(text->bytes, 3);
    assert_true(agent_fixture_is_empty(f, "steps"));
    assert_true(agent_fixture_is_empty(f, "taken"));
}

static void test_non_zero_exit_is_named_with_the_log(void **state)
{
    FIXTURE(f);
    const struct sc_result *r =
        agent_fixture_run(f, agent_fixture_script(f, "echo on; echo oops >&2; exit 3", NULL));
    assert_string_equal(sc_outcome_name(r->outcome), "exit");
    assert_int_equal(r->exit_code, 3);
    assert_slice(r->message, "step train exited with 3");
    assert_slice(r->stdout_.inline_bytes, "on\n");
    assert_slice(r->stderr_.inline_bytes, "oops\n");
    assert_string_equal(agent_fixture_named(f, "v1/main/run/default/r1/train/1/stderr"), "oops\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_step_with_a_small_output_is_reported_ok_with_its_bytes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_non_zero_exit_is_named_with_the_log, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
