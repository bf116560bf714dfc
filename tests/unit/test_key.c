// The step key: its bytes are pinned by tests/golden/key, which tests/lib/keycheck.py computes a second time from the
// same descriptions.
#include "tests/lib/test.h"

#include "pipeline/key.h"

#include "base/limits.h"
#include "base/os/file.h"

#include <jansson.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static const char *const cases[] = {"argv-plain",  "argv-ports",    "argv-matrix", "script", "env",
                                    "value-input", "version-input", "metadata",    "values", "ignored",
                                    "salt",        "resources",     "probe",       "run",    "long"};

static char *case_path(const char *name)
{
    const char *source = getenv("STEPCACHE_SOURCE");
    return sc_asprintf("%s/tests/golden/key/%s.json", source ? source : "..", name);
}

// ---- a case read from its description

struct built {
    struct sc_arena arena;
    json_t *json;
    struct sc_plan_step step;
    struct sc_key_input *inputs;
    struct sc_environment environment;
    uint32_t instance;
};

static struct sc_slice text_of(const json_t *value)
{
    return sc_slice(json_string_value(value), json_string_length(value));
}

static struct sc_digest digest_of(const json_t *value)
{
    struct sc_digest digest = {{0}};
    assert_true(sc_digest_parse(text_of(value), &digest));
    return digest;
}

static int compare_names(const void *a, const void *b)
{
    return sc_slice_cmp(*(const struct sc_slice *)a, *(const struct sc_slice *)b);
}

static struct sc_segment segment_of(struct built *b, const json_t *json)
{
    static const struct {
        const char *name;
        enum sc_segment_kind kind;
    } kinds[] = {{"text", SC_SEGMENT_TEXT},   {"in", SC_SEGMENT_IN},         {"out", SC_SEGMENT_OUT},
                 {"value", SC_SEGMENT_VALUE}, {"matrix", SC_SEGMENT_MATRIX}, {"run", SC_SEGMENT_RUN}};
    const json_t *repeat = json_object_get(json, "repeat");
    if (repeat) {
        size_t count = (size_t)json_integer_value(json_array_get(repeat, 1));
        uint8_t *text = sc_arena_alloc(&b->arena, count);
        memset(text, json_string_value(json_array_get(repeat, 0))[0], count);
        return (struct sc_segment){.kind = SC_SEGMENT_TEXT, .text = sc_slice(text, count)};
    }
    for (size_t i = 0; i < SC_COUNT(kinds); i++) {
        const json_t *value = json_object_get(json, kinds[i].name);
        if (!value)
            continue;
        struct sc_segment segment = {.kind = kinds[i].kind, .text = text_of(value)};
        if (segment.kind == SC_SEGMENT_MATRIX) {
            while (!sc_slice_eq(b->step.matrix.items[segment.index].name, segment.text))
                segment.index++;
            segment.text = sc_slice(NULL, 0);
        }
        return segment;
    }
    fail_msg("no such segment");
    return (struct sc_segment){0};
}

static struct sc_word word_of(struct built *b, const json_t *json)
{
    struct sc_word word = {0};
    size_t i;
    const json_t *item;
    word.segments.items = SC_NEW_ARRAY(&b->arena, json_array_size(json), struct sc_segment);
    json_array_foreach(json, i, item) word.segments.items[word.segments.count++] = segment_of(b, item);
    return word;
}

#define FOR_EACH(object, key, value)                                                                         \
    for (void *it_ = json_object_iter(object);                                                               \
         it_ && ((key) = json_object_iter_key(it_), (value) = json_object_iter_value(it_), true);            \
         it_ = json_object_iter_next((object), it_))

static void build_matrix(struct built *b)
{
    json_t *axes = json_object_get(b->json, "axes"), *value;
    json_t *instance = json_object_get(b->json, "instance");
    const char *name;
    b->step.matrix.items = SC_NEW_ARRAY(&b->arena, json_object_size(axes), struct sc_plan_axis);
    FOR_EACH(axes, name, value)
    {
        struct sc_plan_axis *axis = &b->step.matrix.items[b->step.matrix.count++];
        axis->name = sc_slice_str(name);
        axis->values.count = (uint32_t)json_array_size(value);
        axis->values.items = SC_NEW_ARRAY(&b->arena, axis->values.count, struct sc_slice);
        for (uint32_t i = 0; i < axis->values.count; i++)
            axis->values.items[i] = text_of(json_array_get(value, i));
    }
    qsort(b->step.matrix.items, b->step.matrix.count, sizeof(struct sc_plan_axis), compare_names);
    for (uint32_t i = 0; i < b->step.matrix.count; i++) {
        const struct sc_plan_axis *axis = &b->step.matrix.items[i];
        SC_AUTO_FREE char *key = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(axis->name));
        struct sc_slice wanted = text_of(json_object_get(instance, key));
        uint32_t k = 0;
        while (!sc_slice_eq(axis->values.items[k], wanted))
            k++;
        b->instance = b->instance * axis->values.count + k;
    }
}

static bool is_listed(const struct sc_plan_step *step, const char *prefix, struct sc_slice name)
{
    for (uint32_t i = 0; i < step->ignored.count; i++)
        if (sc_slice_starts(step->ignored.items[i], prefix) &&
            sc_slice_eq(sc_slice_from(step->ignored.items[i], strlen(prefix)), name))
            return true;
    return false;
}

static void build_command(struct built *b, const json_t *step)
{
    json_t *list = json_object_get(step, "command"), *env = json_object_get(step, "env"), *value;
    const char *name;
    size_t i;
    b->step.script = json_is_true(json_object_get(step, "script"));
    b->step.command.items = SC_NEW_ARRAY(&b->arena, json_array_size(list), struct sc_word);
    json_array_foreach(list, i, value) b->step.command.items[b->step.command.count++] = word_of(b, value);
    b->step.env.items = SC_NEW_ARRAY(&b->arena, json_object_size(env), struct sc_plan_env);
    FOR_EACH(env, name, value)
    b->step.env.items[b->step.env.count++] = (struct sc_plan_env){
        sc_slice_str(name), word_of(b, value), is_listed(&b->step, "env.", sc_slice_str(name))};
    qsort(b->step.env.items, b->step.env.count, sizeof(struct sc_plan_env), compare_names);
}

static void build_outputs(struct built *b, const json_t *step)
{
    json_t *outputs = json_object_get(step, "outputs"), *values = json_object_get(step, "values"), *value;
    const char *name;
    b->step.outputs.items = SC_NEW_ARRAY(&b->arena, json_object_size(outputs), struct sc_plan_output);
    FOR_EACH(outputs, name, value)
    {
        struct sc_plan_output output = {.name = sc_slice_str(name), .path = text_of(value)};
        output.dir = output.path.ptr[output.path.len - 1] == '/';
        output.path.len -= output.dir;
        b->step.outputs.items[b->step.outputs.count++] = output;
    }
    qsort(b->step.outputs.items, b->step.outputs.count, sizeof(struct sc_plan_output), compare_names);
    b->step.values.items = SC_NEW_ARRAY(&b->arena, json_object_size(values), struct sc_plan_value);
    FOR_EACH(values, name, value)
    {
        struct sc_plan_value v = {.name = sc_slice_str(name), .pointer = text_of(json_array_get(value, 1))};
        while (!sc_slice_eq(b->step.outputs.items[v.output].name, text_of(json_array_get(value, 0))))
            v.output++;
        b->step.values.items[b->step.values.count++] = v;
    }
    qsort(b->step.values.items, b->step.values.count, sizeof(struct sc_plan_value), compare_names);
}

struct named_input {
    struct sc_slice name;
    struct sc_key_input input;
};

// "version" or "versions": the texts as they stand in the key, the digest in hex.
static void read_identity(struct built *b, const json_t *what, struct sc_key_input *input)
{
    const json_t *version = json_object_get(what, "version"), *versions = json_object_get(what, "versions");
    const json_t *parts = version ? version : versions;
    if (!parts)
        return;
    SC_AUTO_BUF struct sc_buf identity;
    sc_buf_init(&identity, 0);
    sc_mp_put_array(&identity, 1 + (uint32_t)json_array_size(parts));
    sc_mp_put_cstr(&identity, version ? "version" : "versions");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        struct sc_digest digest;
        if (versions && i == 2) {
            digest = digest_of(json_array_get(parts, i));
            sc_mp_put_digest(&identity, &digest);
        } else {
            sc_mp_put_str(&identity, text_of(json_array_get(parts, i)));
        }
    }
    input->kind = SC_KEY_INPUT_VERSION;
    input->identity = sc_arena_copy(&b->arena, sc_buf_slice(&identity));
}

static void build_inputs(struct built *b)
{
    json_t *inputs = json_object_get(b->json, "inputs"), *value;
    const char *name;
    uint32_t count = (uint32_t)json_object_size(inputs), n = 0;
    struct named_input *named = SC_NEW_ARRAY(&b->arena, count, struct named_input);
    FOR_EACH(inputs, name, value)
    {
        struct named_input *to = &named[n++];
        json_t *file = json_object_get(value, "file"), *dir = json_object_get(value, "dir");
        to->name = sc_slice_str(name);
        to->input.kind = file ? SC_KEY_INPUT_FILE : dir ? SC_KEY_INPUT_DIR : SC_KEY_INPUT_VALUE;
        if (file || dir)
            to->input.digest = digest_of(file ? file : dir);
        to->input.exec = json_is_true(json_object_get(value, "exec"));
        to->input.ext = text_of(json_object_get(value, "ext"));
        to->input.text = text_of(json_object_get(value, "value"));
        read_identity(b, value, &to->input);
        to->input.metadata = text_of(json_object_get(value, "metadata"));
    }
    qsort(named, count, sizeof *named, compare_names);
    b->inputs = SC_NEW_ARRAY(&b->arena, count, struct sc_key_input);
    b->step.inputs.items = SC_NEW_ARRAY(&b->arena, count, struct sc_plan_input);
    b->step.inputs.count = count;
    for (uint32_t i = 0; i < count; i++) {
        b->inputs[i] = named[i].input;
        b->step.inputs.items[i].name = named[i].name;
        b->step.inputs.items[i].ignored = is_listed(&b->step, "inputs.", named[i].name);
    }
}

static struct sc_slice encoded(struct built *b, const json_t *value)
{
    SC_AUTO_BUF struct sc_buf out = {0};
    if (json_is_array(value)) {
        sc_mp_put_array(&out, (uint32_t)json_array_size(value));
        for (size_t i = 0; i < json_array_size(value); i++)
            sc_mp_put_str(&out, text_of(json_array_get(value, i)));
    } else {
        sc_mp_put_str(&out, text_of(value));
    }
    return sc_arena_copy(&b->arena, sc_buf_slice(&out));
}

static void build_environment(struct built *b)
{
    json_t *environment = json_object_get(b->json, "environment"), *value;
    const char *name;
    b->environment.parts.items =
        SC_NEW_ARRAY(&b->arena, json_object_size(environment), struct sc_environment_part);
    FOR_EACH(environment, name, value)
    b->environment.parts.items[b->environment.parts.count++] =
        (struct sc_environment_part){sc_slice_str(name), encoded(b, value)};
    qsort(b->environment.parts.items, b->environment.parts.count, sizeof(struct sc_environment_part),
          compare_names);
}

static void build_settings(struct built *b, const json_t *step)
{
    const json_t *ignored = json_object_get(step, "ignored"), *resources = json_object_get(step, "resources");
    const json_t *code = json_object_get(step, "code");
    b->step.salt = text_of(json_object_get(step, "salt"));
    b->step.cache_disabled = json_is_false(json_object_get(step, "cache"));
    if (code)
        b->step.code = digest_of(code);
    b->step.ignored.count = (uint32_t)json_array_size(ignored);
    b->step.ignored.items = SC_NEW_ARRAY(&b->arena, b->step.ignored.count, struct sc_slice);
    for (uint32_t i = 0; i < b->step.ignored.count; i++)
        b->step.ignored.items[i] = text_of(json_array_get(ignored, i));
    qsort(b->step.ignored.items, b->step.ignored.count, sizeof(struct sc_slice), compare_names);
    b->step.cpus_milli = 1000;
    if (!resources)
        return;
    b->step.resources_keyed = true;
    b->step.cpus_milli = (uint32_t)json_integer_value(json_object_get(resources, "cpus"));
    b->step.memory_bytes = (uint64_t)json_integer_value(json_object_get(resources, "memory"));
    b->step.disk_bytes = (uint64_t)json_integer_value(json_object_get(resources, "disk"));
    b->step.gpus = (uint32_t)json_integer_value(json_object_get(resources, "gpus"));
}

static void build_case(struct built *b, const char *name)
{
    SC_AUTO_FREE char *path = case_path(name);
    json_error_t error;
    *b = (struct built){.json = json_load_file(path, 0, &error)};
    if (!b->json)
        fail_msg("%s: %s", path, error.text);
    const json_t *step = json_object_get(b->json, "step");
    build_settings(b, step);
    build_matrix(b);
    build_command(b, step);
    build_outputs(b, step);
    build_inputs(b);
    build_environment(b);
}

static void case_done(struct built *b)
{
    json_decref(b->json);
    sc_arena_done(&b->arena);
}

static void key_of(const struct built *b, struct sc_key *key)
{
    sc_key_build(key, &b->step, b->instance, b->inputs, &b->environment);
}

// ---- the claims

static void test_golden_keys_have_their_bytes(void **state)
{
    (void)state;
    struct sc_key key; // one for all: it keeps its buffer
    sc_key_init(&key);
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct built b;
        char hex[SC_DIGEST_HEX_BYTES];
        build_case(&b, cases[i]);
        key_of(&b, &key);
        sc_digest_hex(&key.digest, hex);
        const char *encoding = json_string_value(json_object_get(b.json, "encoding"));
        if (encoding) {
            SC_AUTO_BUF struct sc_buf got = {0};
            for (size_t k = 0; k < key.encoding.len; k++)
                sc_buf_printf(&got, "%02x", key.encoding.ptr[k]);
            assert_string_equal(sc_buf_cstr(&got), encoding);
        }
        if (strcmp(hex, json_string_value(json_object_get(b.json, "key"))) != 0)
            fail_msg("%s: the key is %s", cases[i], hex);
        case_done(&b);
    }
    sc_key_done(&key);
}

static void test_golden_keys_are_computed_a_second_way(void **state)
{
    (void)state;
    const char *source = getenv("STEPCACHE_SOURCE");
    SC_AUTO_FREE char *script = sc_asprintf("%s/tests/lib/keycheck.py", source ? source : "..");
    char *paths[SC_COUNT(cases)], *argv[SC_COUNT(cases) + 4];
    size_t n = 0;
    argv[n++] = (char *)"python3";
    argv[n++] = script;
    argv[n++] = (char *)"check";
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        argv[n++] = paths[i] = case_path(cases[i]);
    argv[n] = NULL;
    pid_t pid;
    int status = 0;
    if (posix_spawnp(&pid, "python3", NULL, NULL, argv, environ) != 0) {
        for (size_t i = 0; i < SC_COUNT(cases); i++)
            free(paths[i]);
        skip(); // no python3 on this machine
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        free(paths[i]);
    assert_int_equal(status, 0);
}

static void test_labels_are_sorted_by_bytes(void **state)
{
    (void)state;
    struct sc_key key;
    sc_key_init(&key);
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct built b;
        struct sc_key_field field;
        struct sc_slice previous = {0};
        build_case(&b, cases[i]);
        key_of(&b, &key);
        struct sc_mp_reader reader = sc_key_fields_begin(sc_buf_slice(&key.encoding));
        while (sc_key_fields_next(&reader, &field)) {
            assert_true(sc_slice_cmp(previous, field.label) < 0);
            previous = field.label;
        }
        assert_true(sc_mp_finished(&reader));
        case_done(&b);
    }
    sc_key_done(&key);
}

// What is outside the key does not move it; what is inside does.
static void test_the_key_holds_what_it_should_and_nothing_else(void **state)
{
    (void)state;
    struct built b;
    struct sc_key key, other;
    sc_key_init(&key);
    sc_key_init(&other);
    build_case(&b, "argv-ports");
    key_of(&b, &key);
    struct sc_plan_label label = {sc_slice_str("zone"), sc_slice_str("a")};
    struct sc_plan_step step = b.step;
    step.name = sc_slice_str("another");
    step.cache_disabled = step.refresh = step.expires = true;
    step.expire_after_ms = 5;
    step.cpus_milli = 7;
    step.memory_bytes = 8;
    step.labels.items = &label;
    step.labels.count = 1;
    step.uses.items = &label;
    step.uses.count = 1;
    step.retry_attempts = 9;
    step.timeout_ms = 10;
    step.sandbox = SC_SANDBOX_STRICT;
    step.network = SC_NETWORK_NONE;
    step.line = 11;
    sc_key_build(&other, &step, 0, b.inputs, &b.environment);
    assert_true(sc_digest_eq(&key.digest, &other.digest));
    step.inputs.items[0].node = 5;
    step.inputs.items[0].port = 6;
    sc_key_build(&other, &step, 0, b.inputs, &b.environment);
    assert_true(sc_digest_eq(&key.digest, &other.digest));

    struct sc_key_input input = b.inputs[0];
    input.exec = true;
    sc_key_build(&other, &b.step, 0, &input, &b.environment);
    assert_false(sc_digest_eq(&key.digest, &other.digest));
    input = b.inputs[0];
    input.ext = sc_slice_str(".tsv");
    sc_key_build(&other, &b.step, 0, &input, &b.environment);
    assert_false(sc_digest_eq(&key.digest, &other.digest));
    input = b.inputs[0];
    input.kind = SC_KEY_INPUT_DIR;
    sc_key_build(&other, &b.step, 0, &input, &b.environment);
    assert_false(sc_digest_eq(&key.digest, &other.digest));
    step = b.step;
    step.salt = sc_slice_str("x");
    sc_key_build(&other, &step, 0, b.inputs, &b.environment);
    assert_false(sc_digest_eq(&key.digest, &other.digest));
    step = b.step;
    step.script = true;
    step.command.count = 1;
    sc_key_build(&other, &step, 0, b.inputs, &b.environment);
    assert_false(sc_digest_eq(&key.digest, &other.digest));
    case_done(&b);
    sc_key_done(&key);
    sc_key_done(&other);
}

static void test_an_ignored_input_moves_nothing_but_its_name_is_keyed(void **state)
{
    (void)state;
    struct built b;
    struct sc_key key, other;
    sc_key_init(&key);
    sc_key_init(&other);
    build_case(&b, "ignored");
    key_of(&b, &key);
    assert_true(b.step.inputs.items[1].ignored);
    b.inputs[1].digest.bytes[0] ^= 1;
    b.inputs[1].metadata = sc_slice_str("other");
    key_of(&b, &other);
    assert_true(sc_digest_eq(&key.digest, &other.digest));
    b.step.ignored.count--;
    b.step.inputs.items[1].ignored = false;
    key_of(&b, &other);
    assert_false(sc_digest_eq(&key.digest, &other.digest));
    case_done(&b);
    sc_key_done(&key);
    sc_key_done(&other);
}

static void test_a_parameter_filled_in_is_the_same_key_as_the_text_written(void **state)
{
    (void)state;
    struct sc_segment apart[] = {{.kind = SC_SEGMENT_TEXT, .text = SC_SLICE_LIT("a")},
                                 {.kind = SC_SEGMENT_MATRIX},
                                 {.kind = SC_SEGMENT_TEXT, .text = SC_SLICE_LIT("c")}};
    struct sc_segment whole[] = {{.kind = SC_SEGMENT_TEXT, .text = SC_SLICE_LIT("abc")}};
    struct sc_slice value = SC_SLICE_LIT("b");
    struct sc_plan_axis axis = {SC_SLICE_LIT("m"), {&value, 1}};
    struct sc_word words[] = {{{apart, 3}}, {{whole, 1}}};
    struct sc_environment none = {0};
    struct sc_key one, two;
    sc_key_init(&one);
    sc_key_init(&two);
    struct sc_plan_step step = {.command = {&words[0], 1}, .matrix = {&axis, 1}};
    sc_key_build(&one, &step, 0, NULL, &none);
    step.command.items = &words[1];
    sc_key_build(&two, &step, 0, NULL, &none);
    assert_true(sc_digest_eq(&one.digest, &two.digest));
    sc_key_done(&one);
    sc_key_done(&two);
}

static void test_record_fields_keep_long_values_as_digests(void **state)
{
    (void)state;
    struct built b;
    struct sc_key key;
    sc_key_init(&key);
    build_case(&b, "long");
    key_of(&b, &key);
    struct sc_slice encoding = sc_buf_slice(&key.encoding);
    struct sc_key_fields fields = sc_key_fields_for_record(encoding, &b.arena);
    struct sc_mp_reader reader = sc_key_fields_begin(encoding);
    struct sc_key_field field;
    uint32_t n = 0, digests = 0;
    while (sc_key_fields_next(&reader, &field)) {
        struct sc_slice kept = fields.items.items[n].value;
        assert_true(sc_slice_eq(fields.items.items[n++].label, field.label));
        if (field.value.len <= SC_LIMIT_FIELD_INLINE_BYTES) {
            assert_true(sc_slice_eq(kept, field.value));
            continue;
        }
        struct sc_mp_reader value = sc_mp_reader(kept);
        struct sc_digest digest = sc_mp_get_digest(&value), want = sc_digest_of(field.value);
        assert_true(sc_mp_finished(&value) && sc_digest_eq(&digest, &want));
        digests++;
    }
    assert_int_equal(n, fields.items.count);
    assert_int_equal(digests, 3); // command, packages, salt
    case_done(&b);
    sc_key_done(&key);
}

static void test_fields_of_what_is_no_key_are_none(void **state)
{
    (void)state;
    struct sc_key_field field;
    static const struct sc_slice bad[] = {SC_SLICE_LIT(""), SC_SLICE_LIT("\x92\xa1x\x90"),
                                          SC_SLICE_LIT("\xc0"),
                                          SC_SLICE_LIT("\x92\xafstepcache.key/1\x91\x91")};
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        struct sc_mp_reader reader = sc_key_fields_begin(bad[i]);
        assert_false(sc_key_fields_next(&reader, &field));
        assert_false(sc_mp_finished(&reader));
    }
}

static void test_values_print_as_people_read_them(void **state)
{
    (void)state;
    static const struct {
        struct sc_slice value;
        size_t most;
        const char *expected;
    } table[] = {
        {SC_SLICE_LIT("\xa3"
                      "a\nb"),
         100, "a\\nb"},
        {SC_SLICE_LIT("\xc4\x02\xab\x01"), 100, "ab01"},
        {SC_SLICE_LIT("\x93\xa1x\x05\xc3"), 100, "[x, 5, true]"},
        {SC_SLICE_LIT("\x92\x90\xc0"), 100, "[[], null]"},
        {SC_SLICE_LIT("\xa6"
                      "abcdef"),
         6, "abcdef"},
        {SC_SLICE_LIT("\xa6"
                      "abcdef"),
         5, "ab…"},
        {SC_SLICE_LIT("\xa6\xc3\xa9\xc3\xa9\xc3\xa9"), 5, "é…"},
        {SC_SLICE_LIT("\xa6"
                      "abcdef"),
         2, ""},
    };
    for (size_t i = 0; i < SC_COUNT(table); i++) {
        SC_AUTO_BUF struct sc_buf out = {0};
        sc_key_value_print(table[i].value, table[i].most, &out);
        assert_string_equal(sc_buf_cstr(&out), table[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_keys_have_their_bytes),
        cmocka_unit_test(test_golden_keys_are_computed_a_second_way),
        cmocka_unit_test(test_labels_are_sorted_by_bytes),
        cmocka_unit_test(test_the_key_holds_what_it_should_and_nothing_else),
        cmocka_unit_test(test_an_ignored_input_moves_nothing_but_its_name_is_keyed),
        cmocka_unit_test(test_a_parameter_filled_in_is_the_same_key_as_the_text_written),
        cmocka_unit_test(test_record_fields_keep_long_values_as_digests),
        cmocka_unit_test(test_fields_of_what_is_no_key_are_none),
        cmocka_unit_test(test_values_print_as_people_read_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
