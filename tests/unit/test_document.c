// What good documents become (tests/golden/document, rewritten by STEPCACHE_GOLDEN=write).
#include "tests/lib/compiled.h"
#include "tests/lib/test.h"

#include "pipeline/key.h"

#include "base/limits.h"
#include "base/os/file.h"

#include <stdio.h>

#define HEAD "stepcache: 1\nname: x\n"

static void test_scalars_are_taken_as_written(void **state)
{
    struct compiled *c = *state;
    compile_good(
        c, HEAD
        "steps: {a: {run: ls, env: {A: 1, B: 1.50, C: yes, D: 0x10, E: true, F: ''}, key: {salt: 2}}}\n");
    static const char *const texts[] = {"1", "1.50", "yes", "0x10", "true"};
    for (size_t i = 0; i < SC_COUNT(texts); i++)
        assert_slice(step_of(c, "a")->env.items[i].value.segments.items[0].text, texts[i]);
    assert_int_equal(step_of(c, "a")->env.items[5].value.segments.count, 0);
    assert_slice(step_of(c, "a")->salt, "2");
}

static void print_word(const struct sc_word *word, struct sc_buf *out)
{
    static const char *const kinds[] = {"", "in:", "out:", "v:", "m:", "run:"};
    for (uint32_t i = 0; i < word->segments.count; i++) {
        const struct sc_segment *s = &word->segments.items[i];
        sc_buf_printf(out, "<%s" SC_SLICE_FMT, kinds[s->kind], SC_SLICE_ARG(s->text));
        if (s->kind == SC_SEGMENT_MATRIX)
            sc_buf_printf(out, "%u", s->index);
        sc_buf_add_byte(out, '>');
    }
}

static void test_placeholders_become_segments(void **state)
{
    struct compiled *c = *state;
    static const struct {
        const char *key, *text, *expected;
    } cases[] = {
        {"run", "a${params.n}b", "<a><v:5><b>"},
        {"command", "a${params.n}b", "<a5b>"},
        {"command", "${params.n}", "<5>"},
        {"command", "${params.empty}", ""},
        {"run", "${params.empty}x", "<v:><x>"},
        {"run", "${inputs.i}${outputs.o} ${matrix.m}", "<in:i><out:o>< ><m:0>"},
        {"command", "${matrix.m}${matrix.n}", "<m:0><m:1>"},
        {"run", "${HOME} ${x:-a.b} ${f%.csv} $x $$ ${#a} ${1.x}",
         "<${HOME} ${x:-a.b} ${f%.csv} $x $$ ${#a} ${1.x}>"},
        {"command", "${HOME}", "<${HOME}>"},
        {"run", "$${params.n} $$${params.n} $$ {", "<${params.n} $${params.n} $$ {>"},
        {"command", "a$${b}${params.n}", "<a${b}5>"},
        {"run", "${run.id}/${run.status}", "<run:id></><run:status>"},
        {"command", "${params.list} ${params.map}", "<[1,\"a\",null] {\"a\":{\"b\":true},\"z\":0.5}>"},
        {"command", "${params.map.a.b}${params.map.z}${params.map.a}", "<true.5{\"b\":true}>"},
        {"env", "${inputs.i}:${params.n}:${params.n}", "<in:i><:5:5>"},
        {"run", "$", "<$>"},
        {"run", "${", "<${>"},
        {"run", "${params", "<${params>"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        bool env = strcmp(cases[i].key, "env") == 0, script = strcmp(cases[i].key, "run") == 0;
        SC_AUTO_FREE char *text = sc_asprintf(
            HEAD
            "params: {n: 5, empty: '', list: [+1, a, ], map: {z: .5, a: {b: true}}}\nsources: {s: ./s}\n"
            "steps: {a: {%s: %s'%s'%s, inputs: {i: sources.s}, outputs: {o: o}, matrix: {n: [1], m: [2]}, "
            "cache: {enabled: false}}}\n",
            env ? "command: [x], env" : cases[i].key,
            script ? ""
            : env  ? "{E: "
                   : "[",
            cases[i].text,
            script ? ""
            : env  ? "}"
                   : "]");
        SC_AUTO_FREE char *fixed = sc_strdup(text);
        char *hole = strstr(fixed, "a, ]");
        memcpy(hole, "a,~]", 4);
        SC_AUTO_BUF struct sc_buf out = {0};
        compile_good(c, fixed);
        const struct sc_plan_step *step = step_of(c, "a");
        print_word(env ? &step->env.items[0].value : &step->command.items[0], &out);
        assert_string_equal(sc_buf_cstr(&out), cases[i].expected);
    }
}

static void test_uses_are_noted_once_and_sorted(void **state)
{
    struct compiled *c = *state;
    compile_good(c, HEAD "params: {b: 1, a: {x: 2}}\nsteps: {a: {command: ['${params.b}', "
                         "'${params.a.x}${params.b}']}, b: {run: ls}}\n");
    const struct sc_plan_step *step = step_of(c, "a");
    assert_int_equal(step->uses.count, 2);
    assert_slice(step->uses.items[0].name, "params.a.x");
    assert_slice(step->uses.items[0].value, "2");
    assert_slice(step->uses.items[1].name, "params.b");
    assert_int_equal(step_of(c, "b")->uses.count, 0);
}

static void test_overrides_are_parsed_by_the_declared_type(void **state)
{
    struct compiled *c = *state;
    static const char text[] =
        HEAD "params: {i: 5, n: 0.5, b: false, s: t, l: [1], m: {a: 1}}\nsteps: {a: {run: ls}}\n";
    static const struct {
        const char *name, *value, *expected; // NULL: refused
    } cases[] = {
        {"i", "7", "7"},       {"i", "-7", "-7"},
        {"i", "7.0", NULL},    {"i", "", NULL},
        {"i", "deep", NULL},   {"n", "1", "1"},
        {"n", "1e-3", "1e-3"}, {"n", "fast", NULL},
        {"b", "true", "true"}, {"b", "perhaps", NULL},
        {"s", "5", "5"},       {"s", "", ""},
        {"s", "a=b", "a=b"},   {"l", "[2, x]", "[2,\"x\"]"},
        {"l", "{}", NULL},     {"l", "[", NULL},
        {"l", "x", NULL},      {"m", "{b: 2, a: 1}", "{\"a\":1,\"b\":2}"},
        {"m", "[1]", NULL},    {"z", "1", NULL},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_param_override override = {sc_slice_str(cases[i].name), sc_slice_str(cases[i].value)};
        compile_with(c, sc_slice_str(text), &override, 1);
        if (!cases[i].expected) {
            assert_rc(c->rc, SC_DOCUMENT);
            assert_int_equal(c->diagnostics.items[0].line, 0);
            continue;
        }
        assert_rc(c->rc, SC_OK);
        uint32_t k = 0;
        while (!sc_slice_eq_str(c->plan->params.items[k].name, cases[i].name))
            k++;
        assert_slice(c->plan->params.items[k].value, cases[i].expected);
    }
}

static void test_a_matrix_may_be_a_list_parameter_and_an_override_reaches_it(void **state)
{
    struct compiled *c = *state;
    static const char text[] =
        HEAD "params: {l: [0.1, 0.2]}\nsteps: {a: {run: ls, matrix: {x: '${params.l}'}}}\n";
    compile_good(c, text);
    assert_int_equal(sc_plan_instances(step_of(c, "a")), 2);
    struct sc_param_override override = {sc_slice_str("l"), sc_slice_str("[1, 2, 3]")};
    compile_with(c, sc_slice_str(text), &override, 1);
    assert_rc(c->rc, SC_OK);
    assert_int_equal(sc_plan_instances(step_of(c, "a")), 3);
    assert_slice(step_of(c, "a")->matrix.items[0].values.items[2], "3");
}

static void test_defaults_are_merged_key_by_key_and_the_step_wins(void **state)
{
    struct compiled *c = *state;
    compile_good(c, HEAD "environment: any\ndefaults:\n  cache: {expire_after: P1D, refresh: true}\n  "
                         "resources: {cpus: 2, memory: 1GiB, labels: {a: 1, c: 1}}\n"
                         "  retry: {max_attempts: 4, on: [exit]}\n  env: {A: base, B: base}\n  key: {salt: "
                         "s, ignore: [env.A, inputs.none]}\n  timeout: PT1H\n  code: [lib/]\n"
                         "steps:\n  a: {run: ls}\n"
                         "  b: {run: ls, cache: {expire_after: PT1S}, resources: {cpus: 0.5, labels: {b: 2, "
                         "c: 2}}, retry: {on: [store]}, env: {B: own, C: own},"
                         " environment: host, code: [x.py], key: {ignore: []}}\n");
    const struct sc_plan_step *a = step_of(c, "a"), *b = step_of(c, "b");
    assert_int_equal(a->expire_after_ms, 86400000);
    assert_int_equal(b->expire_after_ms, 1000);
    assert_true(a->refresh && b->refresh);
    assert_int_equal(a->cpus_milli, 2000);
    assert_int_equal(b->cpus_milli, 500);
    assert_int_equal(b->memory_bytes, 1 << 30);
    assert_int_equal(a->labels.count, 2);
    assert_int_equal(b->labels.count, 3);
    assert_slice(b->labels.items[2].value, "2");
    assert_int_equal(b->retry_attempts, 4);
    assert_int_equal(a->retry_on, SC_RETRY_EXIT);
    assert_int_equal(b->retry_on, SC_RETRY_STORE);
    assert_int_equal(b->env.count, 3);
    assert_slice(b->env.items[1].value.segments.items[0].text, "own");
    assert_slice(b->salt, "s");
    assert_int_equal(a->ignored.count, 1); // the input that no step has is no mistake of a default
    assert_int_equal(b->ignored.count, 0);
    assert_int_equal(a->environment, SC_ENVIRONMENT_ANY);
    assert_int_equal(b->environment, SC_ENVIRONMENT_HOST);
    assert_slice(a->code_patterns->items[0], "lib/");
    assert_slice(b->code_patterns->items[0], "x.py");
    assert_int_equal(a->timeout_ms, 3600000);
}

static void test_what_is_not_written_has_its_default(void **state)
{
    struct compiled *c = *state;
    compile_good(c, HEAD "steps: {a: {run: ls}, b: {run: ls, retry: {on: [exit]}}}\n");
    const struct sc_plan_step *a = step_of(c, "a");
    assert_slice(c->plan->namespace_, "default");
    assert_int_equal(a->environment, SC_ENVIRONMENT_HOST);
    assert_int_equal(a->cpus_milli, 1000);
    assert_int_equal(a->memory_bytes, 0);
    assert_int_equal(a->retry_attempts, 3); // what is no fault of the step's is tried again unasked
    assert_int_equal(a->retry_on, SC_RETRY_AGENT_LOST | SC_RETRY_STORE);
    assert_int_equal(step_of(c, "b")->retry_attempts, 3);
    assert_int_equal(a->timeout_ms, 0);
    assert_false(a->cache_disabled || a->expires || a->refresh || a->resources_keyed);
}

static void test_steps_are_in_topological_order_stable_by_the_document(void **state)
{
    struct compiled *c = *state;
    compile_good(
        c,
        HEAD "steps:\n  d: {run: ls, inputs: {i: b.o}, after: [c, a], outputs: {o: o}}\n  a: {run: ls}\n  b: "
             "{run: ls, outputs: {o: o}}\n  c: {run: ls, after: [d2]}\n  d2: {run: ls}\noutputs: {x: d.o}\n");
    static const char *const names[] = {"b", "a", "d2", "c", "d"};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        assert_slice(c->plan->steps.items[i].name, names[i]);
    const struct sc_plan_step *d = step_of(c, "d");
    assert_int_equal(d->inputs.items[0].node, 0);
    assert_int_equal(d->after.items[0], 1);
    assert_int_equal(d->after.items[1], 3);
    assert_int_equal(c->plan->outputs.items[0].step, 4);
    compile_good(c, HEAD "steps: {z: {run: ls}, y: {run: ls}, x: {run: ls, after: [y]}}\n");
    assert_slice(c->plan->steps.items[0].name, "z");
    assert_slice(c->plan->steps.items[2].name, "x");
}

static void test_sources_have_kinds_and_simple_paths(void **state)
{
    struct compiled *c = *state;
    static const struct {
        const char *uri, *path;
        enum sc_source_kind kind;
        bool dir;
        const char *version;
    } cases[] = {
        {"./a.csv", "a.csv", SC_SOURCE_LOCAL, false, ""},
        {"a/b/", "a/b", SC_SOURCE_LOCAL, true, ""},
        {"./", ".", SC_SOURCE_LOCAL, true, ""},
        {"../data//x/./y", "../data/x/y", SC_SOURCE_LOCAL, false, ""},
        {"${params.p}/z", "q/z", SC_SOURCE_LOCAL, false, ""},
        {"file:///a/b%20c", "/a/b c", SC_SOURCE_FILE, false, ""},
        {"file:///d/", "/d", SC_SOURCE_FILE, true, ""},
        {"file://localhost/d", "/d", SC_SOURCE_FILE, false, ""},
        {"s3://bucket/a b/c%20", "s3://bucket/a b/c%20", SC_SOURCE_S3, false, ""},
        {"s3://bucket/d/", "s3://bucket/d", SC_SOURCE_S3, true, ""},
        {"s3://bucket/", "s3://bucket", SC_SOURCE_S3, true, ""},
        {"s3://bucket/k?versionId=a%2Fb", "s3://bucket/k", SC_SOURCE_S3, false, "a/b"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_FREE char *text = sc_asprintf(
            HEAD "params: {p: q}\nsources: {s: {uri: '%s', identity: content}}\nsteps: {a: {run: ls}}\n",
            cases[i].uri);
        compile_good(c, text);
        assert_slice(c->plan->sources.items[0].path, cases[i].path);
        assert_int_equal(c->plan->sources.items[0].kind, cases[i].kind);
        assert_int_equal(c->plan->sources.items[0].dir, cases[i].dir);
        assert_slice(c->plan->sources.items[0].version, cases[i].version);
    }
}

static void test_a_chain_of_a_hundred_thousand_steps_is_ordered_without_recursion(void **state)
{
    struct compiled *c = *state;
    SC_AUTO_BUF struct sc_buf text = {0};
    sc_buf_add_str(&text, HEAD "steps:\n");
    for (int i = 99999; i >= 0; i--) { // backwards: the deepest way
        sc_buf_printf(&text, "  s%d: {run: ls", i);
        if (i > 0)
            sc_buf_printf(&text, ", after: [s%d]", i - 1);
        sc_buf_add_str(&text, "}\n");
    }
    compile_good(c, sc_buf_cstr(&text));
    assert_slice(c->plan->steps.items[0].name, "s0");
    assert_slice(c->plan->steps.items[99999].name, "s99999");
}

// ---- golden documents

// The plan's encoding as people read it, a step a line.
static void print_plan(const struct sc_plan *plan, struct sc_buf *out)
{
    SC_AUTO_BUF struct sc_buf bytes = {0};
    sc_plan_encode(plan, &bytes);
    struct sc_mp_reader reader = sc_mp_reader(sc_buf_slice(&bytes));
    uint32_t fields = sc_mp_get_array(&reader);
    for (uint32_t i = 0; i < fields; i++) {
        if (sc_mp_peek(&reader) != SC_MP_ARRAY) {
            sc_key_value_print(sc_mp_skip(&reader, 16), SIZE_MAX, out);
            sc_buf_add_byte(out, '\n');
            continue;
        }
        uint32_t items = sc_mp_get_array(&reader);
        sc_buf_printf(out, "%u:\n", items);
        for (uint32_t k = 0; k < items; k++) {
            sc_buf_add_str(out, "  ");
            sc_key_value_print(sc_mp_skip(&reader, 16), SIZE_MAX, out);
            sc_buf_add_byte(out, '\n');
        }
    }
    assert_true(sc_mp_finished(&reader));
    struct sc_digest digest = sc_digest_of(sc_buf_slice(&bytes)), shape = sc_plan_template(plan);
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(&digest, hex);
    sc_buf_printf(out, "encoding %s\n", hex);
    sc_digest_hex(&shape, hex);
    sc_buf_printf(out, "template %s\n", hex);
}

static void test_golden_documents_become_what_they_became(void **state)
{
    static const char *const names[] = {"full", "retrain", "mistakes", "flow"};
    struct compiled *c = *state;
    const char *source = getenv("STEPCACHE_SOURCE");
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        SC_AUTO_FREE char *path =
            sc_asprintf("%s/tests/golden/document/%s", source ? source : "..", names[i]);
        SC_AUTO_FREE char *in = sc_asprintf("%s.yaml", path), *expected = sc_asprintf("%s.expected", path);
        SC_AUTO_BUF struct sc_buf text = {0}, want = {0}, got = {0};
        struct sc_error err = SC_ERROR_INIT;
        assert_ok(sc_file_read(in, 1 << 20, &text, &err), err);
        compile_with(c, sc_buf_slice(&text), NULL, 0);
        if (c->rc == SC_OK)
            print_plan(c->plan, &got);
        else
            print_diagnostics(&c->diagnostics, &got);
        if (getenv("STEPCACHE_GOLDEN")) {
            FILE *file = fopen(expected, "w");
            assert_non_null(file);
            assert_int_equal(fwrite(got.ptr, 1, got.len, file), got.len);
            fclose(file);
            continue;
        }
        assert_ok(sc_file_read(expected, 1 << 20, &want, &err), err);
        assert_string_equal(sc_buf_cstr(&got), sc_buf_cstr(&want));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, compiled_setup, compiled_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_scalars_are_taken_as_written),
        TEST(test_placeholders_become_segments),
        TEST(test_uses_are_noted_once_and_sorted),
        TEST(test_overrides_are_parsed_by_the_declared_type),
        TEST(test_a_matrix_may_be_a_list_parameter_and_an_override_reaches_it),
        TEST(test_defaults_are_merged_key_by_key_and_the_step_wins),
        TEST(test_what_is_not_written_has_its_default),
        TEST(test_steps_are_in_topological_order_stable_by_the_document),
        TEST(test_sources_have_kinds_and_simple_paths),
        TEST(test_a_chain_of_a_hundred_thousand_steps_is_ordered_without_recursion),
        TEST(test_golden_documents_become_what_they_became),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
