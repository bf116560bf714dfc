// The coordinator's configuration file: mistakes are told with file and line, and the nearest key.
#include "tests/lib/test.h"

#include "coordinator/shell/config.h"

static const char good[] = "# a coordinator\n"
                           "state: /var/lib/stepcache\n"
                           "store: dir:/srv/store\n"
                           "client: ipc:///run/stepcache/client.sock\n"
                           "agent:  ipc:///run/stepcache/agent.sock   \n"
                           "name: herd-1.example\n"
                           "store_patience: PT30S\n"
                           "tariff_put: 12.5\n"
                           "tariff_get: 0.000001\n"
                           "horizon: P2D\n"
                           "allow.team: s3://data/raw , /srv/data/\n"
                           "allow.*: s3://public\n";

static void test_config_reads_what_is_written(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_config config;
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    assert_ok(sc_config_parse("c.conf", sc_slice_str(good), &arena, &config, &err), err);
    assert_string_equal(config.state, "/var/lib/stepcache");
    assert_string_equal(config.store, "dir:/srv/store");
    assert_string_equal(config.domain, "main");
    assert_string_equal(config.name, "herd-1.example");
    assert_string_equal(config.agent, "ipc:///run/stepcache/agent.sock");
    assert_string_equal(config.tether, "/run/stepcache/tether.sock");
    assert_int_equal(config.store_patience_ms, 30000);
    assert_int_equal(config.tariff.put, 12500000);
    assert_int_equal(config.tariff.get, 1);
    assert_int_equal(config.tariff.storage, SC_TARIFF_USUAL.storage);
    assert_int_equal(config.horizon_ms, 2 * 86400000);
    assert_null(config.log);
    assert_false(config.private_);
    assert_int_equal(config.allow.count, 2);
    assert_int_equal(config.allow.items[0].roots.count, 2);
    assert_slice(config.allow.items[0].namespace_, "team");
    assert_slice(config.allow.items[0].roots.items[0], "s3://data/raw");
    assert_slice(config.allow.items[0].roots.items[1], "/srv/data/");
    assert_slice(config.allow.items[1].namespace_, "*");
}

static void test_config_mistakes_are_told_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *story;
        enum sc_rc rc;
    } cases[] = {
        {"stat: /x\n", "c.conf:1: unknown key 'stat': did you mean 'state'?", SC_INVALID},
        {"state: /x\nquite-another: 1\n", "c.conf:2: unknown key 'quite-another': known are", SC_INVALID},
        {"state: /x\nstate: /y\n", "c.conf:2: state: given before, in line 1", SC_INVALID},
        {"state x\n", "c.conf:1: 'state x' is not of the form", SC_INVALID},
        {"state:\n", "c.conf:1: state: it has no value", SC_INVALID},
        {"state: relative\n", "c.conf:1: state: 'relative' is not an absolute path", SC_INVALID},
        {"client: tcp://0.0.0.0:7000\n", "c.conf:1: client: tcp:// endpoints are not built yet",
         SC_UNSUPPORTED},
        {"agent: /run/x.sock\n", "c.conf:1: agent: '/run/x.sock' is no endpoint", SC_INVALID},
        {"domain: Main\n", "c.conf:1: domain: 'Main' is not of the form", SC_INVALID},
        {"name: a/b\n", "c.conf:1: name: 'a/b' is not of the form", SC_INVALID},
        {"name: .x\n", "c.conf:1: name: '.x' is not of the form", SC_INVALID},
        {"tariff_put: -1\n", "c.conf:1: tariff_put: '-1' is no price", SC_INVALID},
        {"tariff_put: 1e3\n", "is no price", SC_INVALID},
        {"tariff_get: 1.2.3\n", "is no price", SC_INVALID},
        {"tariff_get: .5\n", "is no price", SC_INVALID},
        {"tariff_storage: 0.0000001\n", "is no price", SC_INVALID},
        {"tariff_storage: 1234567890123\n", "is no price", SC_INVALID},
        {"horizon: PT0.5S\n", "c.conf:1: horizon: 'PT0.5S' is not from PT1S to P3653D", SC_INVALID},
        {"horizon: P4000D\n", "c.conf:1: horizon: 'P4000D' is not from PT1S to P3653D", SC_INVALID},
        {"horizon: P1Y\n", "c.conf:1: horizon: 'P1Y' is no duration of fixed length: like P7D", SC_INVALID},
        {"store_patience: P1M\n", "c.conf:1: store_patience: 'P1M' is no duration", SC_INVALID},
        {"allow.X!: s3://data\n", "c.conf:1: allow.: 'X!' is no namespace", SC_INVALID},
        {"allow.team: data\n", "c.conf:1: allow.team: 'data' is neither s3://", SC_INVALID},
        {"allow.team: /a, \n", "c.conf:1: allow.team: '' is neither s3://", SC_INVALID},
        {"allow.team: /a/../b\n", "c.conf:1: allow.team: '/a/../b' is neither", SC_INVALID},
        {"allow.team:\n", "c.conf:1: allow.team: '' is neither s3://", SC_INVALID},
        {"allow.team: /a\nallow.team: /b\n", "c.conf:2: allow.team: given before", SC_INVALID},
        {"state: /x\n", "c.conf: the key 'store' is missing", SC_INVALID},
        {"state: /x\nstore: /y\nclient: ipc:///a/s\nagent: ipc:///a/s\n",
         "client and agent need endpoints of their own", SC_INVALID},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_error err = SC_ERROR_INIT;
        struct sc_config config;
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        assert_rc(sc_config_parse("c.conf", sc_slice_str(cases[i].text), &arena, &config, &err), cases[i].rc);
        assert_contains(err.message, cases[i].story);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_reads_what_is_written),
        cmocka_unit_test(test_config_mistakes_are_told_with_their_line),
    };
    return cmocka_run_group_tests_name("coordinator_config", tests, NULL, NULL);
}
