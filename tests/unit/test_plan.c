// The plan: its encoding, its check, instances and their names, the digest of its shape.
#include "tests/lib/test.h"

#include "pipeline/document.h"
#include "pipeline/plan_check.h"

#include "base/limits.h"

static const char text[] =
    "stepcache: 1\nname: p\nnamespace: team\nparams: {n: 5, lr: [0.1, 0.01]}\n"
    "sources: {s: ./s.csv, d: ./d/}\n"
    "steps:\n"
    "  a: {run: 'x ${params.n} ${inputs.i}', inputs: {i: sources.s, k: sources.d}, outputs: {o: o.json, p: "
    "p/}, values: {v: o.json#/x}, env: {E: '${inputs.i}', F: f}, key: {ignore: [env.F, inputs.k, "
    "environment.path], salt: z}}\n"
    "  b: {command: [x, '${matrix.lr}', '--n=${params.n}'], matrix: {lr: '${params.lr}', depth: [3, 5, 7]}, "
    "inputs: {i: a.o, v: a.v}, outputs: {m: m}, resources: {labels: {z: a}}}\n"
    "  c: {run: x, inputs: {m: b.m}, after: [a, b], cache: {enabled: false, expire_after: P1D}, environment: "
    "{probe: [uname]}}\n"
    "outputs: {r: b.m}\n";

struct fixture {
    struct sc_arena arena;
    struct sc_plan *plan;
};

static void compile(struct fixture *f, const char *document, struct sc_plan **ret_plan)
{
    struct sc_diagnostics diagnostics;
    enum sc_rc rc = sc_document_compile(sc_slice_str(document), NULL, 0, &f->arena, ret_plan, &diagnostics);
    if (rc != SC_OK)
        fail_msg("%u:%u: " SC_SLICE_FMT, diagnostics.items[0].line, diagnostics.items[0].column,
                 SC_SLICE_ARG(diagnostics.items[0].message));
}

static int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    compile(f, text, &f->plan);
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

static void test_schemas_are_valid(void **state)
{
    (void)state;
    assert_true(sc_schema_is_valid(&sc_schema_plan));
    assert_true(sc_schema_is_valid(&sc_schema_word));
}

static void test_what_is_encoded_decodes_to_the_same(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_BUF struct sc_buf bytes = {0}, again = {0};
    struct sc_plan *decoded = NULL;
    struct sc_error err = SC_ERROR_INIT;
    memset(f->plan->sources.items[0].artifact.digest.bytes, 7, SC_DIGEST_BYTES);
    f->plan->sources.items[0].artifact.bytes = 12;
    memset(f->plan->steps.items[1].code.bytes, 9, SC_DIGEST_BYTES);
    sc_plan_encode(f->plan, &bytes);
    assert_ok(sc_plan_decode(sc_buf_slice(&bytes), &f->arena, &decoded, &err), err);
    sc_plan_encode(decoded, &again);
    assert_int_equal(bytes.len, again.len);
    assert_memory_equal(bytes.ptr, again.ptr, bytes.len);
    assert_int_equal(decoded->steps.count, 3);
    assert_slice(decoded->steps.items[1].matrix.items[1].values.items[0], "0.1");
    assert_int_equal(decoded->steps.items[0].line, 0); // not encoded
}

static void test_each_cut_and_each_tail_is_refused(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_BUF struct sc_buf bytes = {0};
    struct sc_plan *decoded = NULL;
    struct sc_error err = SC_ERROR_INIT;
    sc_plan_encode(f->plan, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        SC_AUTO_FREE uint8_t *cut = sc_calloc(len, 1);
        memcpy(cut, bytes.ptr, len);
        assert_rc(sc_plan_decode(sc_slice(cut, len), &f->arena, &decoded, &err), SC_MALFORMED);
    }
    sc_buf_add_byte(&bytes, 0xc0);
    assert_rc(sc_plan_decode(sc_buf_slice(&bytes), &f->arena, &decoded, &err), SC_MALFORMED);
}

static void test_a_later_version_is_refused_as_one(void **state)
{
    struct fixture *f = *state;
    SC_AUTO_BUF struct sc_buf bytes = {0};
    struct sc_plan *decoded = NULL;
    struct sc_error err = SC_ERROR_INIT;
    sc_mp_put_array(&bytes, 2);
    sc_mp_put_uint(&bytes, 2);
    sc_mp_put_nil(&bytes);
    assert_rc(sc_plan_decode(sc_buf_slice(&bytes), &f->arena, &decoded, &err), SC_VERSION);
    assert_contains(err.message, "version 2");
}

// ---- what the check refuses: one change each

#define A(p) (&(p)->steps.items[0])
#define B(p) (&(p)->steps.items[1])
#define C(p) (&(p)->steps.items[2])
#define CHANGE(name, statement)                                                                              \
    static void change_##name(struct sc_plan *p)                                                             \
    {                                                                                                        \
        statement;                                                                                           \
    }

static const struct sc_slice nul = SC_SLICE_LIT("a\0b");
static const struct sc_slice bad_name = SC_SLICE_LIT("a b");
static struct sc_slice lit(const char *s)
{
    return sc_slice_str(s);
}

CHANGE(version, p->version = 2)
CHANGE(name, p->name = lit("P"))
CHANGE(namespace, p->namespace_ = lit(""))
CHANGE(no_steps, p->steps.count = 0)
CHANGE(param_name, p->params.items[0].name = bad_name)
CHANGE(params_order, p->params.items[0].name = lit("z"))
CHANGE(source_twice, p->sources.items[1].name = p->sources.items[0].name)
CHANGE(source_path, p->sources.items[0].path = lit("/abs"))
CHANGE(source_kind, p->sources.items[0].kind = SC_SOURCE_FILE)
CHANGE(source_empty, p->sources.items[0].path.len = 0)
CHANGE(source_leaves,
       (p->sources.items[0].kind = SC_SOURCE_FILE, p->sources.items[0].path = lit("/data/../etc")))
CHANGE(source_no_bucket,
       (p->sources.items[0].kind = SC_SOURCE_S3, p->sources.items[0].path = lit("s3:///key")))
CHANGE(source_bad_key,
       (p->sources.items[0].kind = SC_SOURCE_S3, p->sources.items[0].path = lit("s3://bucket/../x")))
CHANGE(source_by_version, p->sources.items[0].by_version = true)
CHANGE(source_version, p->sources.items[0].version = lit("1"))
CHANGE(source_nul, p->sources.items[0].path = nul)
CHANGE(publish_step, p->outputs.items[0].step = 3)
CHANGE(publish_output, p->outputs.items[0].output = 1)
CHANGE(step_name, A(p)->name = bad_name)
CHANGE(step_twice, A(p)->name = B(p)->name)
CHANGE(input_source, A(p)->inputs.items[0].node = 2)
CHANGE(input_source_port, A(p)->inputs.items[0].port = 1)
CHANGE(input_later,
       A(p)->inputs.items[0] = ((struct sc_plan_input){.name = lit("i"), .from = SC_FROM_OUTPUT, .node = 1}))
CHANGE(input_itself, B(p)->inputs.items[0].node = 1)
CHANGE(input_port, B(p)->inputs.items[0].port = 2)
CHANGE(input_value, B(p)->inputs.items[1].port = 1)
CHANGE(input_name, B(p)->inputs.items[0].name = bad_name)
CHANGE(input_order, B(p)->inputs.items[0].name = lit("w"))
CHANGE(after_itself, C(p)->after.items[1] = 2)
CHANGE(after_order, C(p)->after.items[0] = 1)
CHANGE(output_up, A(p)->outputs.items[0].path = lit("../x"))
CHANGE(output_absolute, A(p)->outputs.items[0].path = lit("/x"))
CHANGE(output_empty, A(p)->outputs.items[0].path = lit(""))
CHANGE(output_nested, A(p)->outputs.items[0].path = lit("p/o"))
CHANGE(value_output, A(p)->values.items[0].output = 2)
CHANGE(value_of_folder, A(p)->values.items[0].output = 1)
CHANGE(value_pointer, A(p)->values.items[0].pointer = lit("x"))
CHANGE(value_named_as_output, A(p)->values.items[0].name = lit("o"))
CHANGE(env_name, A(p)->env.items[0].name = lit("1E"))
CHANGE(env_value_variable, A(p)->env.items[0].value.segments.items[0].kind = SC_SEGMENT_VALUE)
CHANGE(axis_name, B(p)->matrix.items[0].name = bad_name)
CHANGE(axis_empty, B(p)->matrix.items[0].values.count = 0)
CHANGE(axis_nul, B(p)->matrix.items[0].values.items[0] = nul)
CHANGE(command_none, A(p)->command.count = 0)
CHANGE(command_two_scripts, B(p)->script = true)
CHANGE(segment_text_empty, B(p)->command.items[0].segments.items[0].text.len = 0)
CHANGE(segment_text_nul, B(p)->command.items[0].segments.items[0].text = nul)
CHANGE(segment_input, A(p)->command.items[0].segments.items[3].text = lit("none"))
CHANGE(segment_output, A(p)->command.items[0].segments.items[3] = ((struct sc_segment){.kind = SC_SEGMENT_OUT,
                                                                                       .text = lit("i")}))
CHANGE(segment_matrix, B(p)->command.items[1].segments.items[0].index = 2)
CHANGE(segment_index, A(p)->command.items[0].segments.items[0].index = 1)
CHANGE(segment_run, A(p)->command.items[0].segments.items[1] = ((struct sc_segment){.kind = SC_SEGMENT_RUN,
                                                                                    .text = lit("id")}))
CHANGE(segment_neighbours, A(p)->command.items[0].segments.items[1].kind = SC_SEGMENT_TEXT)
CHANGE(probe_none, C(p)->probes.count = 0)
CHANGE(probe_of_host, C(p)->environment = SC_ENVIRONMENT_HOST)
CHANGE(probe_empty, C(p)->probes.items[0].len = 0)
CHANGE(salt_nul, A(p)->salt = nul)
CHANGE(ignored_order, A(p)->ignored.items[0] = lit("zzz"))
CHANGE(ignored_unknown, A(p)->ignored.items[2] = lit("inputs.none"))
CHANGE(ignored_part, A(p)->ignored.items[1] = lit("environment.none"))
CHANGE(ignored_unmarked, A(p)->inputs.items[1].ignored = false)
CHANGE(ignored_unlisted, A(p)->inputs.items[0].ignored = true)
CHANGE(ignored_loader, A(p)->env.items[1].name = A(p)->env.items[0].name = lit("LD_X"))
CHANGE(cpus, A(p)->cpus_milli = 0)
CHANGE(memory, A(p)->memory_bytes = UINT64_MAX)
CHANGE(gpus, A(p)->gpus = UINT32_MAX)
CHANGE(attempts_none, A(p)->retry_attempts = 0)
CHANGE(attempts, A(p)->retry_attempts = SC_LIMIT_ATTEMPTS + 1)
CHANGE(retry_on, A(p)->retry_on = 1 << 9)
CHANGE(backoff, A(p)->retry_backoff_ms = -1)
CHANGE(timeout, A(p)->timeout_ms = -1)
CHANGE(expires, C(p)->expires = false)
CHANGE(expiry, C(p)->expire_after_ms = -1)
CHANGE(label, B(p)->labels.items[0].name = bad_name)

static void test_the_check_refuses_each_wrong_thing(void **state)
{
    (void)state;
#define ROW(name)                                                                                            \
    {                                                                                                        \
#name, change_##name                                                                                 \
    }
    static const struct {
        const char *name;
        void (*change)(struct sc_plan *);
    } changes[] = {
        ROW(version),
        ROW(name),
        ROW(namespace),
        ROW(no_steps),
        ROW(param_name),
        ROW(params_order),
        ROW(source_twice),
        ROW(source_path),
        ROW(source_kind),
        ROW(source_empty),
        ROW(source_nul),
        ROW(source_leaves),
        ROW(source_no_bucket),
        ROW(source_bad_key),
        ROW(source_version),
        ROW(source_by_version),
        ROW(publish_step),
        ROW(publish_output),
        ROW(step_name),
        ROW(step_twice),
        ROW(input_source),
        ROW(input_source_port),
        ROW(input_later),
        ROW(input_itself),
        ROW(input_port),
        ROW(input_value),
        ROW(input_name),
        ROW(input_order),
        ROW(after_itself),
        ROW(after_order),
        ROW(output_up),
        ROW(output_absolute),
        ROW(output_empty),
        ROW(output_nested),
        ROW(value_output),
        ROW(value_of_folder),
        ROW(value_pointer),
        ROW(value_named_as_output),
        ROW(env_name),
        ROW(env_value_variable),
        ROW(axis_name),
        ROW(axis_empty),
        ROW(axis_nul),
        ROW(command_none),
        ROW(command_two_scripts),
        ROW(segment_text_empty),
        ROW(segment_text_nul),
        ROW(segment_input),
        ROW(segment_output),
        ROW(segment_matrix),
        ROW(segment_index),
        ROW(segment_run),
        ROW(segment_neighbours),
        ROW(probe_none),
        ROW(probe_of_host),
        ROW(probe_empty),
        ROW(salt_nul),
        ROW(ignored_order),
        ROW(ignored_unknown),
        ROW(ignored_part),
        ROW(ignored_unmarked),
        ROW(ignored_unlisted),
        ROW(ignored_loader),
        ROW(cpus),
        ROW(memory),
        ROW(gpus),
        ROW(attempts_none),
        ROW(attempts),
        ROW(retry_on),
        ROW(backoff),
        ROW(timeout),
        ROW(expires),
        ROW(expiry),
        ROW(label),
    };
    for (size_t i = 0; i < SC_COUNT(changes); i++) {
        struct fixture f = {0};
        struct sc_error err = SC_ERROR_INIT;
        compile(&f, text, &f.plan);
        assert_ok(sc_plan_check(f.plan, &err), err);
        changes[i].change(f.plan);
        if (sc_plan_check(f.plan, &err) == SC_OK)
            fail_msg("the change `%s` passes", changes[i].name);
        SC_AUTO_BUF struct sc_buf bytes = {0};
        struct sc_plan *decoded = NULL;
        sc_plan_encode(f.plan, &bytes);
        assert_int_not_equal(sc_plan_decode(sc_buf_slice(&bytes), &f.arena, &decoded, &err), SC_OK);
        assert_null(decoded);
        sc_arena_done(&f.arena);
    }
}

static void test_instances_count_the_last_key_fastest(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"b[depth=3,lr=0.1]",  "b[depth=3,lr=0.01]", "b[depth=5,lr=0.1]",
                                        "b[depth=5,lr=0.01]", "b[depth=7,lr=0.1]",  "b[depth=7,lr=0.01]"};
    assert_int_equal(sc_plan_instances(B(f->plan)), SC_COUNT(names));
    for (uint32_t i = 0; i < SC_COUNT(names); i++) {
        SC_AUTO_BUF struct sc_buf name = {0};
        sc_plan_instance_name(B(f->plan), i, &name);
        assert_string_equal(sc_buf_cstr(&name), names[i]);
        uint32_t step, instance;
        bool all;
        assert_true(sc_plan_find(f->plan, sc_buf_slice(&name), &step, &instance, &all));
        assert_int_equal(step, 1);
        assert_int_equal(instance, i);
        assert_false(all);
    }
    SC_AUTO_BUF struct sc_buf label = {0};
    sc_plan_instance_label(A(f->plan), 0, &label);
    assert_int_equal(label.len, 0);
}

static void test_labels_are_escaped_and_found_again(void **state)
{
    struct fixture *f = *state;
    struct sc_plan *plan = NULL;
    compile(f, "stepcache: 1\nname: p\nsteps: {a: {run: x, matrix: {k: ['a,b=[c]/d%', '', 'é \"', '..']}}}\n",
            &plan);
    static const char *const names[] = {"a[k=a%2Cb%3D%5Bc%5D%2Fd%25]", "a[k=]", "a[k=é \"]", "a[k=..]"};
    for (uint32_t i = 0; i < SC_COUNT(names); i++) {
        SC_AUTO_BUF struct sc_buf name = {0};
        sc_plan_instance_name(A(plan), i, &name);
        assert_string_equal(sc_buf_cstr(&name), names[i]);
        uint32_t step, instance;
        bool all;
        assert_true(sc_plan_find(plan, sc_buf_slice(&name), &step, &instance, &all));
        assert_int_equal(instance, i);
    }
    size_t longest = strlen(names[0]) - strlen("a[]");
    assert_int_equal(sc_plan_label_bytes(A(plan)), longest);
}

static void test_find_tells_a_bare_matrix_step_and_refuses_other_names(void **state)
{
    struct fixture *f = *state;
    uint32_t step, instance;
    bool all;
    assert_true(sc_plan_find(f->plan, lit("b"), &step, &instance, &all));
    assert_int_equal(step, 1);
    assert_true(all);
    assert_true(sc_plan_find(f->plan, lit("c"), &step, &instance, &all));
    assert_false(all);
    static const char *const none[] = {"",
                                       "x",
                                       "b[",
                                       "b[]",
                                       "b[depth=3]",
                                       "b[lr=0.1,depth=3]",
                                       "b[depth=3,lr=0.1",
                                       "b[depth=3,lr=0.1,x=1]",
                                       "b[depth=4,lr=0.1]",
                                       "b[depth=3,lr=0.1]x",
                                       "a[]",
                                       "a[x=1]",
                                       "[b]",
                                       "b[depth,lr]",
                                       "b[depth=3,lr=0.]"};
    for (size_t i = 0; i < SC_COUNT(none); i++)
        if (sc_plan_find(f->plan, lit(none[i]), &step, &instance, &all))
            fail_msg("found %s", none[i]);
}

// ---- the shape

static struct sc_digest shape_of(struct fixture *f, const char *document)
{
    struct sc_plan *plan = NULL;
    compile(f, document, &plan);
    return sc_plan_template(plan);
}

#define SHAPE(name, param, lr, command, input)                                                               \
    "stepcache: 1\nname: " name "\nnamespace: " name "\nparams: {n: " param "}\nsources: {s: ./" name "}\n"  \
    "steps:\n  a" name ": {run: 'x ${params.n}', inputs: {i: sources.s}, outputs: {o: o}}\n"                 \
    "  b" name ": {command: [" command ", 'n=${params.n}', '${matrix.lr}'], matrix: {lr: " lr                \
    "}, inputs: {i: " input "}}\n"

static void test_what_a_retraining_loop_changes_keeps_the_template(void **state)
{
    struct fixture *f = *state;
    struct sc_digest one = shape_of(f, SHAPE("p", "5", "[1, 2]", "train", "ap.o"));
    struct sc_digest two = shape_of(f, SHAPE("q", "77", "[3]", "train", "aq.o"));
    assert_true(sc_digest_eq(&one, &two));
    struct sc_plan *plan = NULL;
    compile(f, SHAPE("p", "5", "[1, 2]", "train", "ap.o"), &plan);
    memset(plan->steps.items[0].code.bytes, 1, SC_DIGEST_BYTES);
    memset(plan->sources.items[0].artifact.digest.bytes, 1, SC_DIGEST_BYTES);
    two = sc_plan_template(plan);
    assert_true(sc_digest_eq(&one, &two));
}

static void test_another_shape_is_another_template(void **state)
{
    struct fixture *f = *state;
    struct sc_digest one = shape_of(f, SHAPE("p", "5", "[1, 2]", "train", "ap.o"));
    struct sc_digest two = shape_of(f, SHAPE("p", "5", "[1, 2]", "train", "sources.s"));
    assert_false(sc_digest_eq(&one, &two));
    struct sc_plan *plan = NULL;
    compile(f, text, &plan);
    one = sc_plan_template(plan);
    plan->steps.items[2].after.count = 1;
    two = sc_plan_template(plan);
    assert_false(sc_digest_eq(&one, &two));
    plan->steps.items[2].after.count = 2;
    plan->steps.items[0].outputs.items[0].path = lit("other");
    two = sc_plan_template(plan);
    assert_false(sc_digest_eq(&one, &two));
}

static void test_names_and_paths_keep_their_rules(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool step, pipeline, env, label, path;
    } table[] = {
        {"a", 1, 1, 1, 1, 1},    {"A_b-1", 1, 0, 0, 1, 1}, {"_a", 1, 0, 1, 1, 1},  {"-a", 0, 0, 0, 0, 1},
        {"1a", 1, 1, 0, 1, 1},   {"a.b", 0, 0, 0, 1, 1},   {"a/b", 0, 0, 0, 1, 1}, {"", 0, 0, 0, 0, 0},
        {"a b", 0, 0, 0, 0, 1},  {".", 0, 0, 0, 0, 0},     {"..", 0, 0, 0, 0, 0},  {"a/..", 0, 0, 0, 0, 0},
        {"a//b", 0, 0, 0, 0, 0}, {"/a", 0, 0, 0, 0, 0},    {"a/", 0, 0, 0, 0, 0},  {"...", 0, 0, 0, 0, 1},
        {"é", 0, 0, 0, 0, 1},
    };
    for (size_t i = 0; i < SC_COUNT(table); i++) {
        struct sc_slice s = lit(table[i].name);
        assert_int_equal(sc_plan_is_name(s), table[i].step);
        assert_int_equal(sc_plan_is_pipeline_name(s), table[i].pipeline);
        assert_int_equal(sc_plan_is_env_name(s), table[i].env);
        assert_int_equal(sc_plan_is_path(s), table[i].path);
        if (strcmp(table[i].name, "a/b") != 0 && strcmp(table[i].name, "a//b") != 0 &&
            strcmp(table[i].name, "a/..") != 0 && strcmp(table[i].name, "a/") != 0)
            assert_int_equal(sc_plan_is_label_name(s), table[i].label);
    }
    static const char *const pointers[] = {"", "/", "/a/b", "/~0~1", "//"}, *const none[] = {"a", "/~", "/~2",
                                                                                             "~0"};
    for (size_t i = 0; i < SC_COUNT(pointers); i++)
        assert_true(sc_plan_is_pointer(lit(pointers[i])));
    for (size_t i = 0; i < SC_COUNT(none); i++)
        assert_false(sc_plan_is_pointer(lit(none[i])));
}

static void test_outputs_clash_only_when_one_lies_in_the_other(void **state)
{
    (void)state;
    static const struct {
        const char *paths[5];
        int first, second; // -1: none
    } table[] = {
        {{"a", "a-b", "a.b", "ab"}, -1, -1}, {{"a", "a-b", "a/b"}, 0, 2},
        {{"x/y", "x/yz", "x"}, 2, 0},        {{"a", "b", "a"}, 0, 2},
        {{"a/b/c", "a/b-", "a/b"}, 2, 0},    {{"a"}, -1, -1},
    };
    for (size_t i = 0; i < SC_COUNT(table); i++) {
        struct sc_plan_output outputs[5] = {0};
        uint32_t count = 0, first = 0, second = 0;
        for (; count < 5 && table[i].paths[count]; count++)
            outputs[count].path = lit(table[i].paths[count]);
        bool clash = sc_plan_outputs_clash(outputs, count, &first, &second);
        assert_int_equal(clash, table[i].first >= 0);
        if (clash) {
            assert_int_equal(first, table[i].first);
            assert_int_equal(second, table[i].second);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_schemas_are_valid),
        TEST(test_what_is_encoded_decodes_to_the_same),
        TEST(test_each_cut_and_each_tail_is_refused),
        TEST(test_a_later_version_is_refused_as_one),
        TEST(test_the_check_refuses_each_wrong_thing),
        TEST(test_instances_count_the_last_key_fastest),
        TEST(test_labels_are_escaped_and_found_again),
        TEST(test_find_tells_a_bare_matrix_step_and_refuses_other_names),
        TEST(test_what_a_retraining_loop_changes_keeps_the_template),
        TEST(test_another_shape_is_another_template),
        TEST(test_names_and_paths_keep_their_rules),
        TEST(test_outputs_clash_only_when_one_lies_in_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
