#include "coordinator/core/input.h"

#include "coordinator/core/tables.h"

#include "base/memory.h"
#include "base/node.h"

#include <stdlib.h>

static struct group *producer(const struct step *step, const struct sc_plan_input *input)
{
    return &step->run->groups[input->node];
}

static bool is_fan_in(const struct step *step, const struct sc_plan_input *input)
{
    return input->from != SC_FROM_SOURCE && step->run->plan->plan->steps.items[input->node].matrix.count > 0;
}

static struct step *instance(const struct step *step, const struct group *group, uint32_t index)
{
    return &step->run->steps[group->first + index];
}

static int by_name(const void *a, const void *b)
{
    return sc_slice_cmp(((const struct sc_named_artifact *)a)->name,
                        ((const struct sc_named_artifact *)b)->name);
}

// The entries of a fan-in folder: instance labels, sorted; the artifacts lie in the run.
static struct sc_named_artifact *fan_in_entries(const struct step *step, const struct sc_plan_input *input,
                                                struct sc_arena *arena, uint32_t *ret_count)
{
    const struct group *group = producer(step, input);
    const struct sc_plan_step *plan_step = &step->run->plan->plan->steps.items[input->node];
    struct sc_named_artifact *entries = SC_NEW_ARRAY(arena, group->count, struct sc_named_artifact);
    SC_AUTO_BUF struct sc_buf label;
    sc_buf_init(&label, 0);
    for (uint32_t i = 0; i < group->count; i++) {
        sc_buf_clear(&label);
        sc_plan_instance_label(plan_step, i, &label);
        entries[i].name = sc_arena_copy(arena, sc_buf_slice(&label));
        entries[i].artifact = instance(step, group, i)->result->outputs[input->port];
    }
    qsort(entries, group->count, sizeof *entries, by_name);
    *ret_count = group->count;
    return entries;
}

static struct sc_digest fan_in_digest(const struct sc_named_artifact *entries, uint32_t count,
                                      struct sc_arena *arena)
{
    struct sc_tree_entry *nodes = SC_NEW_ARRAY(arena, count, struct sc_tree_entry);
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_artifact *artifact = &entries[i].artifact;
        bool dir = artifact->kind == SC_ARTIFACT_DIR;
        nodes[i] = (struct sc_tree_entry){
            .name = entries[i].name,
            .kind = dir              ? SC_ENTRY_DIR
                    : artifact->exec ? SC_ENTRY_EXEC
                                     : SC_ENTRY_FILE,
            .digest = artifact->digest,
            .bytes = dir ? 0 : artifact->bytes,
        };
    }
    SC_AUTO_BUF struct sc_buf buf;
    sc_buf_init(&buf, 0);
    return sc_tree_node_encode(nodes, count, &buf);
}

// A JSON text as a process gets it: a string bare, everything else as JSON.
static struct sc_slice bare_text(struct sc_slice json, struct sc_arena *arena)
{
    if (json.len < 2 || json.ptr[0] != '"')
        return json;
    // Values are compact JSON made by the agent; only what JSON must escape is escaped.
    uint8_t *out = sc_arena_alloc(arena, json.len);
    size_t len = 0;
    for (size_t i = 1; i + 1 < json.len; i++) {
        uint8_t c = json.ptr[i];
        if (c != '\\') {
            out[len++] = c;
            continue;
        }
        c = json.ptr[++i];
        if (c == 'u' && i + 5 < json.len) {
            unsigned code = 0;
            for (int k = 1; k <= 4; k++) {
                uint8_t h = json.ptr[i + (size_t)k];
                code = code * 16 + (unsigned)(h <= '9' ? h - '0' : (h | 32) - 'a' + 10);
            }
            i += 4;
            if (code < 0x80) {
                out[len++] = (uint8_t)code;
            } else if (code < 0x800) {
                out[len++] = (uint8_t)(0xC0 | code >> 6);
                out[len++] = (uint8_t)(0x80 | (code & 63));
            } else {
                out[len++] = (uint8_t)(0xE0 | code >> 12);
                out[len++] = (uint8_t)(0x80 | (code >> 6 & 63));
                out[len++] = (uint8_t)(0x80 | (code & 63));
            }
        } else {
            out[len++] = c == 'n'   ? '\n'
                         : c == 't' ? '\t'
                         : c == 'r' ? '\r'
                         : c == 'b' ? '\b'
                         : c == 'f' ? '\f'
                                    : c;
        }
    }
    return sc_slice(out, len);
}

static struct sc_slice value_text(const struct step *step, const struct sc_plan_input *input,
                                  struct sc_arena *arena)
{
    const struct group *group = producer(step, input);
    if (!is_fan_in(step, input))
        return bare_text(instance(step, group, 0)->result->values[input->port], arena);
    SC_AUTO_BUF struct sc_buf list; // the instances' values as a JSON list, in instance order
    sc_buf_init(&list, 0);
    for (uint32_t i = 0; i < group->count; i++) {
        sc_buf_add_byte(&list, i ? ',' : '[');
        sc_buf_add_slice(&list, instance(step, group, i)->result->values[input->port]);
    }
    sc_buf_add_byte(&list, ']');
    return sc_arena_copy(arena, sc_buf_slice(&list));
}

static const struct source_pin *pin_of(const struct step *step, const struct sc_plan_input *input)
{
    return &step->run->pins[input->node];
}

static const struct sc_artifact *single_artifact(const struct step *step, const struct sc_plan_input *input)
{
    if (input->from == SC_FROM_SOURCE)
        return &pin_of(step, input)->artifact;
    return &instance(step, producer(step, input), 0)->result->outputs[input->port];
}

static struct sc_artifact code_artifact(const struct sc_plan_step *plan_step)
{
    return (struct sc_artifact){.kind = SC_ARTIFACT_DIR, .digest = plan_step->code};
}

uint32_t input_artifacts(const struct step *step, struct sc_arena *arena, struct input_artifact **ret_items)
{
    const struct run *run = step->run;
    const struct sc_plan_step *plan_step = step_plan(step);
    uint32_t most = 1, count = 0;
    for (uint32_t i = 0; i < plan_step->inputs.count; i++)
        most += plan_step->inputs.items[i].from == SC_FROM_SOURCE
                    ? 1
                    : producer(step, &plan_step->inputs.items[i])->count;
    struct input_artifact *items = SC_NEW_ARRAY(arena, most, struct input_artifact);
    if (!sc_digest_is_zero(&plan_step->code)) {
        struct sc_artifact *code = SC_NEW(arena, struct sc_artifact);
        *code = code_artifact(plan_step);
        items[count++] = (struct input_artifact){.artifact = code, .code = true};
    }
    for (uint32_t i = 0; i < plan_step->inputs.count; i++) {
        const struct sc_plan_input *input = &plan_step->inputs.items[i];
        if (input->from == SC_FROM_SOURCE) {
            items[count++] =
                (struct input_artifact){.artifact = &run->pins[input->node].artifact, .source = input->node};
            continue;
        }
        const struct group *group = producer(step, input);
        for (uint32_t k = 0; input->from != SC_FROM_VALUE && k < group->count; k++) {
            struct step *maker = instance(step, group, k);
            items[count++] =
                (struct input_artifact){.artifact = &maker->result->outputs[input->port], .maker = maker};
        }
    }
    *ret_items = items;
    return count;
}

void input_key_inputs(struct sc_core *core, const struct step *step, struct sc_arena *arena,
                      struct sc_key_input *ret_inputs)
{
    (void)core;
    const struct sc_plan_step *plan_step = step_plan(step);
    for (uint32_t i = 0; i < plan_step->inputs.count; i++) {
        const struct sc_plan_input *input = &plan_step->inputs.items[i];
        struct sc_key_input *key = &ret_inputs[i];
        *key = (struct sc_key_input){0};
        if (input->ignored)
            continue;
        if (input->from == SC_FROM_SOURCE && pin_of(step, input)->identity.len) {
            key->kind = SC_KEY_INPUT_VERSION;
            key->identity = pin_of(step, input)->identity;
        } else if (input->from == SC_FROM_VALUE) {
            key->kind = SC_KEY_INPUT_VALUE;
            key->text = value_text(step, input, arena);
        } else if (is_fan_in(step, input)) {
            uint32_t count;
            struct sc_named_artifact *entries = fan_in_entries(step, input, arena, &count);
            key->kind = SC_KEY_INPUT_DIR;
            key->digest = fan_in_digest(entries, count, arena);
        } else {
            const struct sc_artifact *artifact = single_artifact(step, input);
            key->kind = artifact->kind == SC_ARTIFACT_DIR ? SC_KEY_INPUT_DIR : SC_KEY_INPUT_FILE;
            key->digest = artifact->digest;
            key->exec = artifact->exec;
            key->ext = artifact->kind == SC_ARTIFACT_DIR ? sc_slice(NULL, 0) : artifact->ext;
            key->metadata = artifact->metadata;
        }
    }
}

void input_build_key(struct sc_core *core, const struct step *step, const struct environment *environment)
{
    static const struct sc_environment empty;
    const struct sc_plan_step *plan_step = step_plan(step);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_key_input few[8], *inputs = few;
    if (plan_step->inputs.count > SC_COUNT(few))
        inputs = SC_NEW_ARRAY(&arena, plan_step->inputs.count, struct sc_key_input);
    input_key_inputs(core, step, &arena, inputs);
    sc_key_build(&core->key, plan_step, step->instance, inputs, environment ? &environment->parts : &empty);
}

static struct sc_slice run_text(const struct step *step, struct sc_slice name)
{
    const struct run *run = step->run;
    if (sc_slice_eq_str(name, "id"))
        return run->id;
    return sc_slice_eq_str(name, "name") ? run->plan->plan->name : sc_slice_str("running");
}

static void assign_word(const struct step *step, const struct sc_word *word, bool script,
                        struct sc_arena *arena, struct sc_pieces *ret_pieces)
{
    ret_pieces->items.items = SC_NEW_ARRAY(arena, word->segments.count, struct sc_piece);
    ret_pieces->items.count = word->segments.count;
    for (uint32_t i = 0; i < word->segments.count; i++) {
        const struct sc_segment *segment = &word->segments.items[i];
        struct sc_piece *piece = &ret_pieces->items.items[i];
        *piece = (struct sc_piece){.text = segment->text};
        switch (segment->kind) {
        case SC_SEGMENT_TEXT:
            piece->kind = SC_PIECE_TEXT;
            break;
        case SC_SEGMENT_IN:
            piece->kind = SC_PIECE_IN;
            break;
        case SC_SEGMENT_OUT:
            piece->kind = SC_PIECE_OUT;
            break;
        case SC_SEGMENT_VALUE:
            piece->kind = SC_PIECE_VALUE;
            break;
        case SC_SEGMENT_MATRIX:
            piece->kind = script ? SC_PIECE_VALUE : SC_PIECE_TEXT;
            piece->text = sc_plan_matrix_value(step_plan(step), step->instance, segment->index);
            break;
        case SC_SEGMENT_RUN:
            piece->kind = script ? SC_PIECE_VALUE : SC_PIECE_TEXT;
            piece->text = run_text(step, segment->text);
            break;
        }
    }
}

static void assign_inputs(const struct step *step, struct sc_arena *arena, struct sc_assignment *assignment)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    uint32_t count = plan_step->inputs.count;
    assignment->inputs.items = SC_NEW_ARRAY(arena, count, struct sc_assigned_input);
    assignment->inputs.count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct sc_plan_input *input = &plan_step->inputs.items[i];
        struct sc_assigned_input *to = &assignment->inputs.items[i];
        *to = (struct sc_assigned_input){.name = input->name};
        if (input->from == SC_FROM_VALUE) {
            to->kind = SC_INPUT_VALUE;
            to->text = value_text(step, input, arena);
        } else if (is_fan_in(step, input)) {
            to->kind = SC_INPUT_FAN_IN;
            to->entries.items = fan_in_entries(step, input, arena, &to->entries.count);
        } else {
            to->kind = SC_INPUT_ARTIFACT;
            to->artifact = *single_artifact(step, input);
        }
    }
}

void input_assign(struct sc_core *core, const struct step *step, struct sc_arena *arena,
                  struct sc_assignment *ret_assignment)
{
    const struct run *run = step->run;
    const struct sc_plan_step *plan_step = step_plan(step);
    struct sc_assignment a = {
        .namespace_ = run->plan->plan->namespace_,
        .pipeline = run->plan->plan->name,
        .run = run->id,
        .step = run_step_name(core, step, arena),
        .script = plan_step->script,
        .cpus_milli = plan_step->cpus_milli,
        .gpus = plan_step->gpus,
        .memory_bytes = plan_step->memory_bytes,
        .disk_bytes = plan_step->disk_bytes,
        .timeout_ms = (uint64_t)plan_step->timeout_ms,
    };
    if (!sc_digest_is_zero(&plan_step->code))
        a.code = code_artifact(plan_step);
    a.command.items = SC_NEW_ARRAY(arena, plan_step->command.count, struct sc_pieces);
    a.command.count = plan_step->command.count;
    for (uint32_t i = 0; i < plan_step->command.count; i++)
        assign_word(step, &plan_step->command.items[i], plan_step->script, arena, &a.command.items[i]);
    assign_inputs(step, arena, &a);
    a.outputs.items = SC_NEW_ARRAY(arena, plan_step->outputs.count, struct sc_assigned_output);
    a.outputs.count = plan_step->outputs.count;
    for (uint32_t i = 0; i < plan_step->outputs.count; i++) {
        const struct sc_plan_output *output = &plan_step->outputs.items[i];
        a.outputs.items[i] = (struct sc_assigned_output){output->name, output->path, output->dir};
    }
    a.values.items = SC_NEW_ARRAY(arena, plan_step->values.count, struct sc_assigned_value);
    a.values.count = plan_step->values.count;
    for (uint32_t i = 0; i < plan_step->values.count; i++) {
        const struct sc_plan_value *value = &plan_step->values.items[i];
        a.values.items[i] = (struct sc_assigned_value){value->name, value->pointer, value->output};
    }
    a.env.items = SC_NEW_ARRAY(arena, plan_step->env.count, struct sc_assigned_env);
    a.env.count = plan_step->env.count;
    for (uint32_t i = 0; i < plan_step->env.count; i++) {
        a.env.items[i].name = plan_step->env.items[i].name;
        assign_word(step, &plan_step->env.items[i].value, false, arena, &a.env.items[i].value);
    }
    *ret_assignment = a;
}

void input_records_from(const struct step *step, struct sc_arena *arena, struct sc_record_from **ret_from,
                        uint32_t *ret_count)
{
    const struct sc_plan_step *plan_step = step_plan(step);
    struct sc_record_from *from = SC_NEW_ARRAY(arena, plan_step->inputs.count, struct sc_record_from);
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan_step->inputs.count; i++) {
        const struct sc_plan_input *input = &plan_step->inputs.items[i];
        if (input->from == SC_FROM_SOURCE || is_fan_in(step, input))
            continue; // a source has no key; a fan-in has many, which its entries' own records tell
        from[count++] = (struct sc_record_from){input->name, instance(step, producer(step, input), 0)->key};
    }
    *ret_from = from;
    *ret_count = count;
}

// "The same command", whatever its inputs and code: the command as the plan has it, parameters filled in.
struct sc_digest input_command_digest(const struct step *step)
{
    SC_AUTO_BUF struct sc_buf words;
    sc_buf_init(&words, 0);
    const struct sc_plan_step *plan_step = step_plan(step);
    for (uint32_t i = 0; i < plan_step->command.count; i++)
        sc_encode(&sc_schema_word, &plan_step->command.items[i], &words);
    return sc_digest_of(sc_buf_slice(&words));
}
