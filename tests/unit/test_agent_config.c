#include "tests/lib/test.h"

#include "agent/shell/config.h"

struct fixture {
    struct sc_arena arena;
    struct sc_agent_config config;
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

static enum sc_rc parse(struct fixture *f, const char *text)
{
    f->config = (struct sc_agent_config){0};
    return sc_agent_config_parse(sc_slice_str(text), "agent.conf", &f->arena, &f->config, &f->err);
}

static void test_all_keys_are_read(void **state)
{
    struct fixture *f = *state;
    assert_ok(
        parse(
            f,
            "# an agent\n\ncoordinator: ipc:///run/a.sock\nstore:  /s \n\twork: \"/w x\"\nname: n1\ndomain: "
            "team-a\n"
            "path: /opt/bin:/bin\ncpus: 2.5\nmemory: 8GiB\ngpus: 2\ncache: 512MiB\nrunner: /r\nlog: debug\r\n"
            "labels.zone: a\nlabels.disk: ssd"),
        f->err);
    const struct sc_agent_config *c = &f->config;
    assert_string_equal(c->endpoint, "ipc:///run/a.sock");
    assert_string_equal(c->store, "/s");
    assert_string_equal(c->work, "/w x");
    assert_string_equal(c->runner, "/r");
    assert_slice(c->name, "n1");
    assert_slice(c->domain, "team-a");
    assert_slice(c->path, "/opt/bin:/bin");
    assert_int_equal(c->cpus_milli, 2500);
    assert_true(c->memory_bytes == 8ull << 30);
    assert_true(c->layout_max_bytes == 512ull << 20);
    assert_int_equal(c->gpus, 2);
    assert_true(c->trace);
    assert_int_equal(c->labels.count, 2);
    assert_slice(c->labels.items[1].name, "disk");
    assert_slice(c->labels.items[1].text, "ssd");
}

static void test_mistake_is_told_with_its_line(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"store: /s\nstroe: /t\n", "agent.conf:2: unknown key \"stroe\""},
        {"store\n", "agent.conf:1: a line is `key: value`, not \"store\""},
        {"store:\n", "agent.conf:1: `store` has no value"},
        {"cpus: many\n", "`cpus` is a number"},
        {"cpus: 0\n", "`cpus` is a number"},
        {"cpus: 1.2345\n", "`cpus` is a number"},
        {"memory: 8 apples\n", "`memory` is a size"},
        {"memory: 99999999999999999999GiB\n", "`memory` is a size"},
        {"gpus: -1\n", "`gpus` is a number"},
        {"domain: Team A\n", "`domain` is"},
        {"log: loud\n", "`log` is info or debug"},
        {"labels.: x\n", "unknown key"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        assert_rc(parse(f, cases[i].text), SC_INVALID);
        assert_contains(f->err.message, cases[i].part);
    }
}

static void test_what_must_be_there_is_named(void **state)
{
    struct fixture *f = *state;
    assert_ok(parse(f, "coordinator: ipc:///a\nstore: /s\n"), f->err);
    assert_rc(sc_agent_config_complete(&f->arena, "agent.conf", &f->config, &f->err), SC_INVALID);
    assert_contains(f->err.message, "agent.conf: `work` is missing");
}

static void test_what_is_left_out_is_told_by_the_machine(void **state)
{
    struct fixture *f = *state;
    assert_ok(parse(f, "coordinator: ipc:///a\nstore: /s\nwork: /w\nrunner: /r\n"), f->err);
    assert_ok(sc_agent_config_complete(&f->arena, "agent.conf", &f->config, &f->err), f->err);
    assert_true(f->config.cpus_milli > 0);
    assert_true(f->config.memory_bytes > 0);
    assert_true(f->config.name.len > 0);
    assert_slice(f->config.domain, "main");
    assert_slice(f->config.path, "/usr/local/bin:/usr/bin:/bin");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_keys_are_read),
        TEST(test_mistake_is_told_with_its_line),
        TEST(test_what_must_be_there_is_named),
        TEST(test_what_is_left_out_is_told_by_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
