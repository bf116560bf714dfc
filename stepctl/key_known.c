#include "stepctl/key_known.h"

#include "base/memory.h"

void sc_known_init(struct sc_known *known, struct sc_look *look, const struct sc_plan *plan)
{
    *known = (struct sc_known){.look = look, .plan = plan};
    sc_model_init(&known->model);
    sc_arena_init(&known->arena);
}

void sc_known_done(struct sc_known *known)
{
    sc_model_done(&known->model);
    sc_arena_done(&known->arena);
    free(known->keys);
    *known = (struct sc_known){.look = NULL};
}

void sc_known_take(void *context, const struct sc_event_body *event)
{
    struct sc_known *known = context;
    sc_model_apply(&known->model, event);
    if (event->type != SC_EV_STEP_VERDICT)
        return;
    const struct sc_model_step *step = sc_model_find(&known->model, event->step);
    if (known->model.steps.count > known->key_capacity) {
        uint32_t old = known->key_capacity;
        known->key_capacity = known->model.steps.count * 2;
        known->keys = sc_realloc(known->keys, known->key_capacity, sizeof *known->keys);
        memset(known->keys + old, 0, (known->key_capacity - old) * sizeof *known->keys);
    }
    known->keys[step - known->model.steps.items] = event->key;
}

static bool record_at(struct sc_known *known, const struct sc_model_step *step, struct sc_record *ret_record)
{
    struct sc_error ignored = SC_ERROR_INIT;
    uint32_t index = (uint32_t)(step - known->model.steps.items);
    return step->verdict == SC_VERDICT_HIT && index < known->key_capacity &&
           !sc_digest_is_zero(&known->keys[index]) &&
           sc_look_record(known->look, &known->keys[index], ret_record, &ignored) == SC_OK;
}

bool sc_known_record(struct sc_known *known, struct sc_slice name, struct sc_record *ret_record)
{
    const struct sc_model_step *step = sc_model_find(&known->model, name);
    return step && record_at(known, step, ret_record);
}

// ---- inputs

static bool producer_record(struct sc_known *known, uint32_t step, uint32_t instance,
                            struct sc_record *ret_record)
{
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    sc_plan_instance_name(&known->plan->steps.items[step], instance, &name);
    return sc_known_record(known, sc_buf_slice(&name), ret_record);
}

static const struct sc_artifact *output_of(const struct sc_record *record, struct sc_slice name)
{
    for (uint32_t i = 0; i < record->outputs.count; i++)
        if (sc_slice_eq(record->outputs.items[i].name, name))
            return &record->outputs.items[i].artifact;
    return NULL;
}

static struct sc_key_input of_artifact(const struct sc_artifact *artifact)
{
    return (struct sc_key_input){.kind =
                                     artifact->kind == SC_ARTIFACT_DIR ? SC_KEY_INPUT_DIR : SC_KEY_INPUT_FILE,
                                 .digest = artifact->digest,
                                 .exec = artifact->exec,
                                 .ext = artifact->ext,
                                 .metadata = artifact->metadata};
}

// A matrix step's output arrives as a folder with one entry an instance.
static bool fan_in(struct sc_known *known, const struct sc_plan_step *from, uint32_t step,
                   struct sc_slice output, struct sc_key_input *ret_input)
{
    uint32_t count = sc_plan_instances(from);
    struct sc_fan_in_entry *entries = SC_NEW_ARRAY(&known->arena, count, struct sc_fan_in_entry);
    for (uint32_t i = 0; i < count; i++) {
        struct sc_record record;
        SC_AUTO_BUF struct sc_buf label;
        sc_buf_init(&label, 0);
        if (!producer_record(known, step, i, &record))
            return false;
        const struct sc_artifact *artifact = output_of(&record, output);
        if (!artifact)
            return false;
        sc_plan_instance_label(from, i, &label);
        entries[i] = (struct sc_fan_in_entry){sc_arena_copy(&known->arena, sc_buf_slice(&label)), *artifact};
    }
    for (uint32_t i = 1; i < count; i++) // sorted by name, as the contract wants
        for (uint32_t j = i; j && sc_slice_cmp(entries[j - 1].name, entries[j].name) > 0; j--) {
            struct sc_fan_in_entry swap = entries[j];
            entries[j] = entries[j - 1];
            entries[j - 1] = swap;
        }
    struct sc_artifact folder = sc_fan_in_artifact(entries, count);
    *ret_input = of_artifact(&folder);
    return true;
}

static bool resolve_input(struct sc_known *known, const struct sc_plan_input *input,
                          struct sc_key_input *ret_input)
{
    struct sc_record record;
    if (input->from == SC_FROM_SOURCE) {
        const struct sc_plan_source *source = &known->plan->sources.items[input->node];
        *ret_input = of_artifact(&source->artifact);
        return source->kind == SC_SOURCE_LOCAL;
    }
    const struct sc_plan_step *from = &known->plan->steps.items[input->node];
    if (input->from == SC_FROM_OUTPUT && from->matrix.count)
        return fan_in(known, from, input->node, from->outputs.items[input->port].name, ret_input);
    if (from->matrix.count || !producer_record(known, input->node, 0, &record))
        return false;
    if (input->from == SC_FROM_OUTPUT) {
        const struct sc_artifact *artifact = output_of(&record, from->outputs.items[input->port].name);
        if (artifact)
            *ret_input = of_artifact(artifact);
        return artifact != NULL;
    }
    return false; // a value's text is the coordinator's to make
}

// ---- the environment

static struct sc_environment environment_of(struct sc_known *known, const struct sc_record *record)
{
    struct sc_environment environment = {{NULL, 0}};
    environment.parts.items =
        SC_NEW_ARRAY(&known->arena, record->fields.count + 1, struct sc_environment_part);
    for (uint32_t i = 0; i < record->fields.count; i++) {
        struct sc_slice label = record->fields.items[i].label;
        if (sc_slice_starts(label, "environment."))
            environment.parts.items[environment.parts.count++] = (struct sc_environment_part){
                sc_slice_from(label, strlen("environment.")),
                sc_look_value(known->look, label, record->fields.items[i].value)};
    }
    return environment;
}

static bool try_environment(struct sc_known *known, const struct sc_plan_step *step, uint32_t instance,
                            const struct sc_key_input *inputs, const struct sc_record *record,
                            const struct sc_digest *told, struct sc_key *key)
{
    struct sc_environment environment = environment_of(known, record);
    sc_key_build(key, step, instance, inputs, &environment);
    return sc_digest_eq(&key->digest, told);
}

// The environment of a result that is known, if with it the key is the one that was told.
static bool find_environment(struct sc_known *known, const struct sc_plan_step *step, uint32_t instance,
                             const struct sc_key_input *inputs, const struct sc_digest *told,
                             struct sc_key *key)
{
    struct sc_record record;
    struct sc_error ignored = SC_ERROR_INIT;
    if (!sc_digest_is_zero(&known->earlier) &&
        sc_look_record(known->look, &known->earlier, &record, &ignored) == SC_OK &&
        try_environment(known, step, instance, inputs, &record, told, key))
        return true;
    for (uint32_t i = 0; i < known->model.steps.count; i++)
        if (record_at(known, &known->model.steps.items[i], &record) &&
            try_environment(known, step, instance, inputs, &record, told, key))
            return true;
    return false;
}

struct sc_known_missing sc_known_build(struct sc_known *known, uint32_t step_index, uint32_t instance,
                                       struct sc_key *key)
{
    const struct sc_plan_step *step = &known->plan->steps.items[step_index];
    struct sc_known_missing missing = {.environment = true};
    struct sc_key_input *inputs = SC_NEW_ARRAY(&known->arena, step->inputs.count + 1, struct sc_key_input);
    SC_AUTO_BUF struct sc_buf names;
    sc_buf_init(&names, 0);
    for (uint32_t i = 0; i < step->inputs.count; i++) {
        if (step->inputs.items[i].ignored || resolve_input(known, &step->inputs.items[i], &inputs[i]))
            continue;
        inputs[i] = (struct sc_key_input){.kind = SC_KEY_INPUT_VALUE};
        sc_buf_printf(&names, "%sinput." SC_SLICE_FMT, names.len ? ", " : "",
                      SC_SLICE_ARG(step->inputs.items[i].name));
    }
    missing.inputs = sc_arena_copy(&known->arena, sc_buf_slice(&names));
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    sc_plan_instance_name(step, instance, &name);
    const struct sc_model_step *told = sc_model_find(&known->model, sc_buf_slice(&name));
    uint32_t at = told ? (uint32_t)(told - known->model.steps.items) : UINT32_MAX;
    if (names.len == 0 && at < known->key_capacity && !sc_digest_is_zero(&known->keys[at]))
        missing.environment = !find_environment(known, step, instance, inputs, &known->keys[at], key);
    if (missing.environment) {
        const struct sc_environment none = {{NULL, 0}};
        sc_key_build(key, step, instance, inputs, &none);
    }
    return missing;
}

bool sc_known_is_missing(const struct sc_known_missing *missing, struct sc_slice label)
{
    struct sc_slice rest = missing->inputs;
    while (rest.len) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t n = comma ? (size_t)(comma - rest.ptr) : rest.len;
        if (sc_slice_eq(sc_slice(rest.ptr, n), label))
            return true;
        rest = comma ? sc_slice_from(rest, n + 2) : sc_slice_from(rest, n);
    }
    return false;
}
