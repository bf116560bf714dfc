#include "stepctl/report.h"

#include "stepctl/render.h"
#include "stepctl/text.h"

enum { SHOWN_FAILURES = 10 };

// A step's name as a shell takes it: in quotes where it has a matrix.
static void shell_name(struct sc_buf *out, struct sc_slice name)
{
    bool quoted = memchr(name.ptr, '[', name.len) != NULL;
    if (quoted)
        sc_buf_add_byte(out, '\'');
    sc_text_escape(out, name);
    if (quoted)
        sc_buf_add_byte(out, '\'');
}

static void failure(struct sc_buf *out, const struct sc_model *model, const struct sc_model_step *step)
{
    sc_buf_add_str(out, "\nfailed: ");
    sc_text_escape(out, step->name);
    sc_buf_add_str(out, ": ");
    sc_render_outcome(out, step->outcome, step->exit_code, step->signal);
    sc_buf_add_byte(out, '\n');
    if (step->message.len)
        sc_render_indented(out, "  ", step->message);
    if (step->log_tail.len) {
        sc_buf_add_str(out, "  the last lines of its log:\n");
        sc_render_indented(out, "    ", step->log_tail);
        sc_buf_add_str(out, "  the whole log: stepctl logs ");
        sc_text_escape(out, model->run);
        sc_buf_add_byte(out, ' ');
        shell_name(out, step->name);
        sc_buf_add_byte(out, '\n');
    }
}

void sc_report_failures(struct sc_buf *out, const struct sc_model *model)
{
    uint32_t shown = 0;
    for (uint32_t i = 0; i < model->steps.count && model->counts[SC_MODEL_FAILED]; i++) {
        const struct sc_model_step *step = &model->steps.items[i];
        if (step->state == SC_MODEL_FAILED && shown++ < SHOWN_FAILURES)
            failure(out, model, step);
    }
    if (shown > SHOWN_FAILURES)
        sc_buf_printf(out, "\n%u more steps failed: stepctl status " SC_SLICE_FMT "\n",
                      shown - SHOWN_FAILURES, SC_SLICE_ARG(model->run));
}

static void count(struct sc_buf *out, bool *first, uint64_t n, const char *one, const char *many)
{
    if (n == 0)
        return;
    sc_buf_add_str(out, *first ? "" : ", ");
    sc_text_uint(out, n);
    sc_buf_add_byte(out, ' ');
    sc_buf_add_str(out, n == 1 ? one : many);
    *first = false;
}

static void totals(struct sc_buf *out, const struct sc_model *model, const struct sc_report_options *options)
{
    const struct sc_event_body *end = &model->end;
    bool first = true;
    if (options->dry) {
        count(out, &first, end->hits, "step would hit", "steps would hit");
        count(out, &first, end->misses, "would run", "would run");
        count(out, &first, end->joined, "would join", "would join");
        if (first)
            sc_buf_add_str(out, "nothing to do");
        return;
    }
    count(out, &first, end->hits, "hit", "hits");
    count(out, &first, end->misses, "miss", "misses");
    count(out, &first, end->joined, "joined", "joined");
    count(out, &first, end->failed, "failed", "failed");
    count(out, &first, end->skipped, "skipped", "skipped");
    if (first)
        sc_buf_add_str(out, "no steps");
}

static void times(struct sc_buf *out, const struct sc_event_body *end)
{
    sc_buf_add_str(out, "; ran ");
    sc_text_duration(out, end->ran_ms);
    sc_buf_add_str(out, ", saved ");
    sc_text_duration(out, end->saved_ms);
    if (end->bytes_up || end->bytes_down) {
        sc_buf_add_str(out, "; ");
        sc_text_bytes(out, end->bytes_up);
        sc_buf_add_str(out, " stored, ");
        sc_text_bytes(out, end->bytes_down);
        sc_buf_add_str(out, " fetched");
    }
    sc_buf_add_str(out, "; ");
    sc_text_duration(out, end->wall_ms);
    sc_buf_add_str(out, " in all");
}

static void outputs(struct sc_buf *out, const struct sc_event_body *end)
{
    for (uint32_t i = 0; i < end->outputs.count; i++) {
        const struct sc_published *p = &end->outputs.items[i];
        sc_buf_add_str(out, "output ");
        sc_text_escape(out, p->name);
        sc_buf_add_str(out, ": ");
        sc_text_escape(out, p->uri);
        sc_buf_add_str(out, " (");
        sc_text_bytes(out, p->bytes);
        sc_buf_add_str(out, ")\n");
    }
}

void sc_report_summary(struct sc_buf *out, const struct sc_model *model,
                       const struct sc_report_options *options)
{
    const struct sc_event_body *end = &model->end;
    if (options->quiet || !model->finished)
        return;
    const char *state = options->dry                     ? "plan"
                        : end->state == SC_END_FAILED    ? "failed"
                        : end->state == SC_END_CANCELLED ? "cancelled"
                                                         : "done";
    const char *colour = end->state == SC_END_FAILED      ? "\033[31m"
                         : end->state == SC_END_CANCELLED ? "\033[33m"
                                                          : "\033[32m";
    if (options->colour)
        sc_buf_add_str(out, colour);
    sc_buf_add_str(out, state);
    if (options->colour)
        sc_buf_add_str(out, "\033[m");
    sc_buf_add_str(out, ": ");
    totals(out, model, options);
    if (!options->dry)
        times(out, end);
    sc_buf_add_byte(out, '\n');
    outputs(out, end);
}
