#include "pipeline/key.h"

#include "base/limits.h"
#include "base/memory.h"

void sc_key_init(struct sc_key *key)
{
    *key = (struct sc_key){0};
    sc_buf_init(&key->encoding, 0);
}

void sc_key_done(struct sc_key *key)
{
    if (key)
        sc_buf_done(&key->encoding);
}

bool sc_key_identity_is_sound(struct sc_slice identity)
{
    struct sc_mp_reader reader = sc_mp_reader(identity);
    uint32_t count = sc_mp_get_array(&reader);
    struct sc_slice kind = sc_mp_get_str(&reader), bucket = sc_mp_get_str(&reader);
    bool one = sc_slice_eq_str(kind, "version");
    struct sc_slice key = sc_mp_get_str(&reader), version = {NULL, 0};
    if (one)
        version = sc_mp_get_str(&reader);
    else
        sc_mp_get_digest(&reader);
    if (count == 5)
        sc_mp_get_str(&reader);
    return (one || sc_slice_eq_str(kind, "versions")) && (count == 4 || count == 5) && bucket.len &&
           (!one || (key.len && version.len && !sc_slice_eq_str(version, "null"))) && sc_mp_finished(&reader);
}

struct builder {
    struct sc_buf *out;
    const struct sc_plan_step *step;
    uint32_t instance;
    const struct sc_key_input *inputs;
    const struct sc_environment *environment;
};

// The head of a str (msgpack spec, "str format family"): its bytes are added in pieces.
static void put_str_head(struct sc_buf *out, size_t len)
{
    uint8_t head[5];
    size_t n;
    if (len < 32) {
        head[0] = (uint8_t)(0xa0 | len);
        n = 1;
    } else if (len < 0x100) {
        head[0] = 0xd9;
        head[1] = (uint8_t)len;
        n = 2;
    } else if (len < 0x10000) {
        head[0] = 0xda;
        head[1] = (uint8_t)(len >> 8);
        head[2] = (uint8_t)len;
        n = 3;
    } else {
        SC_ASSERT(len <= UINT32_MAX);
        head[0] = 0xdb;
        head[1] = (uint8_t)(len >> 24);
        head[2] = (uint8_t)(len >> 16);
        head[3] = (uint8_t)(len >> 8);
        head[4] = (uint8_t)len;
        n = 5;
    }
    sc_buf_add(out, head, n);
}

// Opens a field: [label, … with the label made of a prefix, a name and a suffix.
static void put_label(struct sc_buf *out, const char *prefix, struct sc_slice name, const char *suffix)
{
    size_t prefix_bytes = strlen(prefix), suffix_bytes = strlen(suffix);
    sc_mp_put_array(out, 2);
    put_str_head(out, prefix_bytes + name.len + suffix_bytes);
    sc_buf_add(out, prefix, prefix_bytes);
    sc_buf_add_slice(out, name);
    sc_buf_add(out, suffix, suffix_bytes);
}

static void put_plain_label(struct sc_buf *out, const char *label)
{
    put_label(out, label, sc_slice(NULL, 0), "");
}

static void put_pair(struct sc_buf *out, const char *kind, struct sc_slice text)
{
    sc_mp_put_array(out, 2);
    sc_mp_put_cstr(out, kind);
    sc_mp_put_str(out, text);
}

// What a segment is as text, where it is text to the process itself.
static bool as_text(const struct builder *b, const struct sc_segment *segment, bool script,
                    struct sc_slice *ret_text)
{
    if (segment->kind == SC_SEGMENT_TEXT)
        *ret_text = segment->text;
    else if (segment->kind == SC_SEGMENT_MATRIX && !script)
        *ret_text = sc_plan_matrix_value(b->step, b->instance, segment->index);
    else
        return false;
    return true;
}

static void put_segment(const struct builder *b, const struct sc_segment *segment)
{
    switch (segment->kind) {
    case SC_SEGMENT_IN:
        put_pair(b->out, "in", segment->text);
        return;
    case SC_SEGMENT_OUT:
        put_pair(b->out, "out", segment->text);
        return;
    case SC_SEGMENT_VALUE:
        put_pair(b->out, "v", segment->text);
        return;
    case SC_SEGMENT_MATRIX:
        put_pair(b->out, "v", sc_plan_matrix_value(b->step, b->instance, segment->index));
        return;
    case SC_SEGMENT_RUN:
        put_pair(b->out, "run", segment->text);
        return;
    case SC_SEGMENT_TEXT:
        break;
    }
    SC_ASSERT(false);
}

// The end of the run of text segments that begins at `start`; its length in ret_bytes.
static uint32_t text_run(const struct builder *b, const struct sc_word *word, uint32_t start, bool script,
                         size_t *ret_bytes)
{
    struct sc_slice text;
    uint32_t end = start;
    size_t bytes = 0;
    for (; end < word->segments.count && as_text(b, &word->segments.items[end], script, &text); end++)
        bytes += text.len;
    *ret_bytes = bytes;
    return end;
}

// [segments]: neighbouring texts are one str, empty ones none.
static void put_word(const struct builder *b, const struct sc_word *word, bool script)
{
    uint32_t count = 0;
    size_t bytes;
    for (uint32_t i = 0; i < word->segments.count;) {
        uint32_t end = text_run(b, word, i, script, &bytes);
        count += end == i || bytes > 0;
        i = end == i ? i + 1 : end;
    }
    sc_mp_put_array(b->out, count);
    for (uint32_t i = 0; i < word->segments.count;) {
        uint32_t end = text_run(b, word, i, script, &bytes);
        if (end == i) {
            put_segment(b, &word->segments.items[i++]);
            continue;
        }
        if (bytes > 0)
            put_str_head(b->out, bytes);
        for (struct sc_slice text; i < end; i++) {
            if (as_text(b, &word->segments.items[i], script, &text))
                sc_buf_add_slice(b->out, text);
        }
    }
}

static void put_command(const struct builder *b)
{
    const struct sc_plan_step *step = b->step;
    put_plain_label(b->out, "command");
    sc_mp_put_array(b->out, step->command.count + 1);
    sc_mp_put_cstr(b->out, step->script ? "sh" : "argv");
    for (uint32_t i = 0; i < step->command.count; i++)
        put_word(b, &step->command.items[i], step->script);
}

static void put_env(const struct builder *b)
{
    for (uint32_t i = 0; i < b->step->env.count; i++) {
        const struct sc_plan_env *env = &b->step->env.items[i];
        if (env->ignored)
            continue;
        put_label(b->out, "env.", env->name, "");
        put_word(b, &env->value, false);
    }
}

static bool part_is_ignored(const struct sc_plan_step *step, struct sc_slice part)
{
    static const char prefix[] = "environment.";
    for (uint32_t i = 0; i < step->ignored.count; i++)
        if (sc_slice_starts(step->ignored.items[i], prefix) &&
            sc_slice_eq(sc_slice_from(step->ignored.items[i], sizeof prefix - 1), part))
            return true;
    return false;
}

static void put_environment(const struct builder *b)
{
    for (uint32_t i = 0; i < b->environment->parts.count; i++) {
        const struct sc_environment_part *part = &b->environment->parts.items[i];
        SC_ASSERT(part->value.len > 0);
        SC_ASSERT(i == 0 || sc_slice_cmp(part[-1].name, part->name) < 0);
        if (part_is_ignored(b->step, part->name))
            continue;
        put_label(b->out, "environment.", part->name, "");
        sc_buf_add_slice(b->out, part->value);
    }
}

static void put_input(const struct builder *b, uint32_t i)
{
    const struct sc_key_input *input = &b->inputs[i];
    put_label(b->out, "input.", b->step->inputs.items[i].name, "");
    switch (input->kind) {
    case SC_KEY_INPUT_FILE:
        SC_ASSERT(!sc_digest_is_zero(&input->digest));
        sc_mp_put_array(b->out, 4);
        sc_mp_put_cstr(b->out, "file");
        sc_mp_put_digest(b->out, &input->digest);
        sc_mp_put_bool(b->out, input->exec);
        sc_mp_put_str(b->out, input->ext);
        return;
    case SC_KEY_INPUT_DIR:
        SC_ASSERT(!sc_digest_is_zero(&input->digest));
        sc_mp_put_array(b->out, 2);
        sc_mp_put_cstr(b->out, "dir");
        sc_mp_put_digest(b->out, &input->digest);
        return;
    case SC_KEY_INPUT_VALUE:
        put_pair(b->out, "value", input->text);
        return;
    case SC_KEY_INPUT_VERSION:
        SC_ASSERT(sc_key_identity_is_sound(input->identity));
        sc_buf_add_slice(b->out, input->identity);
        return;
    }
    SC_ASSERT(false);
}

static void put_metadata(const struct builder *b, uint32_t i)
{
    put_label(b->out, "input.", b->step->inputs.items[i].name, ".metadata");
    sc_mp_put_str(b->out, b->inputs[i].metadata);
}

static bool has_metadata(const struct builder *b, uint32_t i)
{
    return !b->step->inputs.items[i].ignored && b->inputs[i].metadata.len > 0;
}

// A field of an input: what it is, or its metadata.
struct input_field {
    uint8_t label[SC_LIMIT_NAME_BYTES + sizeof ".metadata"];
    uint32_t bytes, index;
    bool metadata;
};

static int compare_fields(const void *left, const void *right)
{
    const struct input_field *a = left, *b = right;
    return sc_slice_cmp(sc_slice(a->label, a->bytes), sc_slice(b->label, b->bytes));
}

static struct input_field input_field(const struct builder *b, uint32_t index, bool metadata)
{
    struct input_field field = {.index = index, .metadata = metadata};
    struct sc_slice name = b->step->inputs.items[index].name,
                    suffix = sc_slice_str(metadata ? ".metadata" : "");
    SC_ASSERT(name.len <= SC_LIMIT_NAME_BYTES);
    memcpy(field.label, name.ptr, name.len);
    memcpy(field.label + name.len, suffix.ptr, suffix.len);
    field.bytes = (uint32_t)(name.len + suffix.len);
    return field;
}

// "input.a.metadata" stands behind "input.a-b": with metadata the order of names is not the order of labels.
static void put_inputs_sorted(const struct builder *b)
{
    uint32_t count = b->step->inputs.count, n = 0;
    struct input_field *fields = sc_calloc(2 * (size_t)count, sizeof *fields);
    for (uint32_t i = 0; i < count; i++) {
        if (b->step->inputs.items[i].ignored)
            continue;
        fields[n++] = input_field(b, i, false);
        if (has_metadata(b, i))
            fields[n++] = input_field(b, i, true);
    }
    qsort(fields, n, sizeof *fields, compare_fields);
    for (uint32_t i = 0; i < n; i++) {
        if (fields[i].metadata)
            put_metadata(b, fields[i].index);
        else
            put_input(b, fields[i].index);
    }
    free(fields);
}

static void put_inputs(const struct builder *b)
{
    for (uint32_t i = 0; i < b->step->inputs.count; i++)
        if (has_metadata(b, i)) {
            put_inputs_sorted(b);
            return;
        }
    for (uint32_t i = 0; i < b->step->inputs.count; i++)
        if (!b->step->inputs.items[i].ignored)
            put_input(b, i);
}

static void put_outputs(const struct builder *b)
{
    for (uint32_t i = 0; i < b->step->outputs.count; i++) {
        const struct sc_plan_output *output = &b->step->outputs.items[i];
        put_label(b->out, "output.", output->name, "");
        sc_mp_put_array(b->out, 2);
        sc_mp_put_str(b->out, output->path);
        sc_mp_put_cstr(b->out, output->dir ? "dir" : "file");
    }
}

static void put_resource(const struct builder *b, const char *label, uint64_t value)
{
    if (value == 0)
        return;
    put_plain_label(b->out, label);
    sc_mp_put_uint(b->out, value);
}

static void put_resources(const struct builder *b)
{
    if (!b->step->resources_keyed)
        return;
    put_resource(b, "resources.cpus", b->step->cpus_milli);
    put_resource(b, "resources.disk", b->step->disk_bytes);
    put_resource(b, "resources.gpus", b->step->gpus);
    put_resource(b, "resources.memory", b->step->memory_bytes);
}

static void put_values(const struct builder *b)
{
    for (uint32_t i = 0; i < b->step->values.count; i++) {
        const struct sc_plan_value *value = &b->step->values.items[i];
        put_label(b->out, "value.", value->name, "");
        sc_mp_put_array(b->out, 2);
        sc_mp_put_str(b->out, b->step->outputs.items[value->output].name);
        sc_mp_put_str(b->out, value->pointer);
    }
}

static uint32_t count_fields(const struct builder *b)
{
    const struct sc_plan_step *step = b->step;
    uint32_t count = 1 + !sc_digest_is_zero(&step->code) + (step->ignored.count > 0) + (step->salt.len > 0) +
                     step->outputs.count + step->values.count;
    for (uint32_t i = 0; i < step->env.count; i++)
        count += !step->env.items[i].ignored;
    for (uint32_t i = 0; i < b->environment->parts.count; i++)
        count += !part_is_ignored(step, b->environment->parts.items[i].name);
    for (uint32_t i = 0; i < step->inputs.count; i++)
        count += !step->inputs.items[i].ignored + (uint32_t)has_metadata(b, i);
    if (step->resources_keyed)
        count +=
            (step->cpus_milli > 0) + (step->disk_bytes > 0) + (step->gpus > 0) + (step->memory_bytes > 0);
    return count;
}

void sc_key_build(struct sc_key *key, const struct sc_plan_step *step, uint32_t instance,
                  const struct sc_key_input *inputs, const struct sc_environment *environment)
{
    const struct builder b = {&key->encoding, step, instance, inputs, environment};
    struct sc_buf *out = &key->encoding;
    SC_ASSERT(instance < sc_plan_instances(step));
    sc_buf_clear(out);
    sc_mp_put_array(out, 2);
    sc_mp_put_cstr(out, "stepcache.key/1");
    sc_mp_put_array(out, count_fields(&b));
    // In the byte order of the labels.
    if (!sc_digest_is_zero(&step->code)) {
        put_plain_label(out, "code");
        sc_mp_put_digest(out, &step->code);
    }
    put_command(&b);
    put_env(&b);
    put_environment(&b);
    if (step->ignored.count > 0) {
        put_plain_label(out, "ignored");
        sc_mp_put_array(out, step->ignored.count);
        for (uint32_t i = 0; i < step->ignored.count; i++)
            sc_mp_put_str(out, step->ignored.items[i]);
    }
    put_inputs(&b);
    put_outputs(&b);
    put_resources(&b);
    if (step->salt.len > 0) {
        put_plain_label(out, "salt");
        sc_mp_put_str(out, step->salt);
    }
    put_values(&b);
    SC_ASSERT(!out->overflow);
    key->digest = sc_digest_of(sc_buf_slice(out));
}
