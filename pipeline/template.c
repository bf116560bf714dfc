// The digest of a plan's shape, under which segments are filed. Two plans that differ only in what a retraining loop
// changes (parameters, code, data, matrix values, names) have the same one. A collision of different plans costs a
// look into each other's segments, no more.
#include "pipeline/plan.h"

static void put_shape(struct sc_buf *out, const struct sc_word *word, bool script, bool with_texts)
{
    sc_mp_put_array(out, word->segments.count);
    for (uint32_t i = 0; i < word->segments.count; i++) {
        const struct sc_segment *segment = &word->segments.items[i];
        // Where parameters were filled in as text, text tells their values.
        bool text =
            segment->kind == SC_SEGMENT_TEXT ? script || with_texts : segment->kind != SC_SEGMENT_VALUE;
        sc_mp_put_array(out, 3);
        sc_mp_put_uint(out, segment->kind);
        sc_mp_put_str(out, text ? segment->text : sc_slice(NULL, 0));
        sc_mp_put_uint(out, segment->index);
    }
}

static void put_step(struct sc_buf *out, const struct sc_plan_step *step)
{
    bool with_texts = step->uses.count == 0;
    sc_mp_put_array(out, 9);
    sc_mp_put_bool(out, step->script);
    sc_mp_put_array(out, step->command.count);
    for (uint32_t i = 0; i < step->command.count; i++)
        put_shape(out, &step->command.items[i], step->script, with_texts);
    sc_mp_put_array(out, step->inputs.count);
    for (uint32_t i = 0; i < step->inputs.count; i++) {
        const struct sc_plan_input *input = &step->inputs.items[i];
        sc_mp_put_array(out, 4);
        sc_mp_put_str(out, input->name);
        sc_mp_put_uint(out, input->from);
        sc_mp_put_uint(out, input->node);
        sc_mp_put_uint(out, input->port);
    }
    sc_mp_put_array(out, step->outputs.count);
    for (uint32_t i = 0; i < step->outputs.count; i++) {
        sc_mp_put_array(out, 2);
        sc_mp_put_str(out, step->outputs.items[i].path);
        sc_mp_put_bool(out, step->outputs.items[i].dir);
    }
    sc_mp_put_array(out, step->values.count);
    for (uint32_t i = 0; i < step->values.count; i++) {
        sc_mp_put_array(out, 2);
        sc_mp_put_uint(out, step->values.items[i].output);
        sc_mp_put_str(out, step->values.items[i].pointer);
    }
    sc_mp_put_array(out, step->env.count);
    for (uint32_t i = 0; i < step->env.count; i++) {
        sc_mp_put_array(out, 2);
        sc_mp_put_str(out, step->env.items[i].name);
        put_shape(out, &step->env.items[i].value, false, with_texts);
    }
    sc_mp_put_array(out, step->matrix.count);
    for (uint32_t i = 0; i < step->matrix.count; i++)
        sc_mp_put_str(out, step->matrix.items[i].name);
    sc_mp_put_uint(out, step->environment);
    sc_mp_put_array(out, step->after.count);
    for (uint32_t i = 0; i < step->after.count; i++)
        sc_mp_put_uint(out, step->after.items[i]);
}

struct sc_digest sc_plan_template(const struct sc_plan *plan)
{
    struct sc_hasher *hasher = sc_hasher_new();
    SC_AUTO_BUF struct sc_buf out = {0};
    sc_mp_put_array(&out, 2);
    sc_mp_put_cstr(&out, "stepcache.template/1");
    sc_mp_put_array(&out, plan->steps.count);
    sc_hasher_begin(hasher);
    for (uint32_t i = 0; i < plan->steps.count; i++) {
        put_step(&out, &plan->steps.items[i]);
        sc_hasher_add(hasher, out.ptr, out.len);
        sc_buf_clear(&out);
    }
    sc_hasher_add(hasher, out.ptr, out.len);
    struct sc_digest digest = sc_hasher_end(hasher);
    sc_hasher_free(hasher);
    return digest;
}
