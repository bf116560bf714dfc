#include "stepctl/render.h"

#include "stepctl/text.h"

static void verb(struct sc_buf *out, const char *word, struct sc_slice step)
{
    size_t n = strlen(word);
    sc_buf_add(out, word, n);
    sc_text_pad(out, n < 7 ? (uint32_t)(7 - n) : 1);
    sc_text_escape(out, step);
}

const char *sc_render_reason_text(enum sc_reason reason)
{
    switch (reason) {
    case SC_REASON_NONE:
        return "";
    case SC_REASON_CACHED:
        return "cached";
    case SC_REASON_FROM_RUN:
        return "taken from the newest run";
    case SC_REASON_IN_FLIGHT:
        return "an equal step is running";
    case SC_REASON_NEVER_SEEN:
        return "never seen";
    case SC_REASON_CHANGED:
        return "changed";
    case SC_REASON_EXPIRED:
        return "expired";
    case SC_REASON_REFRESH:
        return "refresh asked for";
    case SC_REASON_FORCED:
        return "forced";
    case SC_REASON_DISABLED:
        return "cache off";
    case SC_REASON_OBJECTS_LOST:
        return "its objects are gone";
    case SC_REASON_UNTRUSTED:
        return "untrusted record";
    case SC_REASON_RECORD_CORRUPT:
        return "corrupt record";
    case SC_REASON_VOIDED:
        return "withdrawn";
    case SC_REASON_UPSTREAM:
        return "what it needs runs first";
    case SC_REASON_COUNT:
        break;
    }
    return "";
}

enum { SHOWN_FIELDS = 3, SHOWN_VALUE_COLUMNS = 48, CONTEXT_BYTES = 16 };

// Where two long values differ: from a little before the first difference to a little after the last, at word
// boundaries where some are near.
static void excerpt(struct sc_slice a, struct sc_slice b, size_t *ret_head, size_t *ret_tail)
{
    size_t shorter = a.len < b.len ? a.len : b.len, head = 0, tail = 0;
    while (head < shorter && a.ptr[head] == b.ptr[head])
        head++;
    while (tail < shorter - head && a.ptr[a.len - 1 - tail] == b.ptr[b.len - 1 - tail])
        tail++;
    size_t back = head < CONTEXT_BYTES ? head : CONTEXT_BYTES;
    size_t from = head - back;
    for (size_t i = from; i && i < head; i++)
        if (a.ptr[i - 1] == ' ') {
            from = i;
            break;
        }
    while (from && from < a.len && (a.ptr[from] & 0xc0) == 0x80) // whole characters
        from--;
    size_t keep = tail < CONTEXT_BYTES / 2 ? tail : CONTEXT_BYTES / 2, end = tail - keep;
    for (size_t i = 0; i < keep; i++)
        if (a.ptr[a.len - tail + i] == ' ') {
            end = tail - i;
            break;
        }
    while (end && end < a.len && (a.ptr[a.len - end] & 0xc0) == 0x80)
        end--;
    *ret_head = from;
    *ret_tail = end;
}

static void value_part(struct sc_buf *out, struct sc_slice value, size_t head, size_t tail)
{
    if (value.len == 0) {
        sc_buf_add_str(out, "(none)");
        return;
    }
    sc_buf_add_str(out, head ? "…" : "");
    sc_text_fit(out, sc_slice(value.ptr + head, value.len - head - tail), SHOWN_VALUE_COLUMNS, false);
    bool marked = out->len >= 3 && memcmp(out->ptr + out->len - 3, "…", 3) == 0;
    sc_buf_add_str(out, tail && !marked ? "…" : "");
}

static void changed_field(struct sc_buf *out, const struct sc_changed_field *f)
{
    size_t head = 0, tail = 0;
    sc_text_escape(out, f->label);
    if (f->old_.len == 0 && f->new_.len == 0)
        return;
    if (f->old_.len && f->new_.len && f->old_.len + f->new_.len > SHOWN_VALUE_COLUMNS)
        excerpt(f->old_, f->new_, &head, &tail);
    sc_buf_add_byte(out, ' ');
    value_part(out, f->old_, head, tail);
    sc_buf_add_str(out, " → ");
    value_part(out, f->new_, head, tail);
}

void sc_render_changed(struct sc_buf *out, const struct sc_event_body *e)
{
    uint32_t shown = e->fields.count < SHOWN_FIELDS ? e->fields.count : SHOWN_FIELDS;
    for (uint32_t i = 0; i < shown; i++) {
        sc_buf_add_str(out, i ? ", " : "");
        changed_field(out, &e->fields.items[i]);
    }
    if (e->fields.count > shown)
        sc_buf_printf(out, " and %u more", e->fields.count - shown);
}

void sc_render_reason(struct sc_buf *out, const struct sc_event_body *e)
{
    sc_buf_add_str(out, sc_render_reason_text(e->reason));
    if (e->reason == SC_REASON_CHANGED && e->fields.count) {
        sc_buf_add_str(out, ": ");
        sc_render_changed(out, e);
    } else if (e->detail.len) {
        sc_buf_add_str(out, ": ");
        sc_text_escape(out, e->detail);
    }
}

static void hit(struct sc_buf *out, const struct sc_event_body *e, int64_t now_ms)
{
    verb(out, "hit", e->step);
    sc_buf_add_str(out, "  ");
    if (e->reason != SC_REASON_CACHED && e->reason != SC_REASON_NONE) {
        sc_buf_add_str(out, sc_render_reason_text(e->reason));
        sc_buf_add_str(out, ", ");
    }
    sc_buf_add_str(out, "made by run ");
    sc_text_escape(out, e->made_by_run);
    if (e->ended_at) {
        sc_buf_add_byte(out, ' ');
        sc_text_ago(out, e->ended_at, now_ms);
    }
    sc_buf_add_str(out, ", saved ");
    sc_text_duration(out, e->saved_ms);
    sc_buf_add_byte(out, '\n');
}

static const char *signal_name(uint32_t signal)
{
    const char *name = sigabbrev_np((int)signal);
    return name ? name : "unknown";
}

void sc_render_outcome(struct sc_buf *out, enum sc_outcome outcome, uint32_t exit_code, uint32_t signal)
{
    switch (outcome) {
    case SC_OUTCOME_EXIT:
        sc_buf_printf(out, "exit code %u", exit_code);
        return;
    case SC_OUTCOME_SIGNAL:
        sc_buf_printf(out, "killed by signal %u (%s)", signal, signal_name(signal));
        return;
    case SC_OUTCOME_OUT_OF_MEMORY:
        sc_buf_add_str(out, "out of memory");
        return;
    case SC_OUTCOME_TIMEOUT:
        sc_buf_add_str(out, "timed out");
        return;
    case SC_OUTCOME_OUTPUT_MISSING:
        sc_buf_add_str(out, "a declared output is missing");
        return;
    case SC_OUTCOME_OUTPUT_NOT_ALLOWED:
        sc_buf_add_str(out, "an output is of a kind that is not allowed");
        return;
    case SC_OUTCOME_DISK_FULL:
        sc_buf_add_str(out, "the disk is full");
        return;
    case SC_OUTCOME_INPUT_LOST:
        sc_buf_add_str(out, "an input is gone from the store");
        return;
    case SC_OUTCOME_STORE:
        sc_buf_add_str(out, "the store could not be used");
        return;
    case SC_OUTCOME_START:
        sc_buf_add_str(out, "the command could not be started");
        return;
    case SC_OUTCOME_VALUE:
        sc_buf_add_str(out, "a declared value could not be read");
        return;
    case SC_OUTCOME_AGENT_LOST:
        sc_buf_add_str(out, "the agent was lost");
        return;
    case SC_OUTCOME_CANCELLED:
        sc_buf_add_str(out, "cancelled");
        return;
    case SC_OUTCOME_NOT_CACHED:
        sc_buf_add_str(out, "no result to serve, and it may not run here");
        return;
    case SC_OUTCOME_UPSTREAM:
        sc_buf_add_str(out, "what it needs failed");
        return;
    case SC_OUTCOME_PROBE:
        sc_buf_add_str(out, "what its key needs could not be told");
        return;
    case SC_OUTCOME_ENVIRONMENT:
        sc_buf_add_str(out, "the environment changed while it ran");
        return;
    case SC_OUTCOME_OK:
    case SC_OUTCOME_INTERNAL:
    case SC_OUTCOME_COUNT:
        break;
    }
    sc_buf_add_str(out, sc_outcome_name(outcome));
}

void sc_render_indented(struct sc_buf *out, const char *prefix, struct sc_slice text)
{
    while (text.len) {
        const uint8_t *newline = memchr(text.ptr, '\n', text.len);
        size_t n = newline ? (size_t)(newline - text.ptr) : text.len;
        sc_buf_add_str(out, prefix);
        sc_text_escape_log(out, sc_slice(text.ptr, n && text.ptr[n - 1] == '\r' ? n - 1 : n));
        sc_buf_add_byte(out, '\n');
        text = sc_slice_from(text, newline ? n + 1 : n);
    }
}

static void finished(struct sc_buf *out, const struct sc_event_body *e)
{
    switch (e->state) {
    case SC_END_NONE:
    case SC_END_DONE:
        if (e->cached)
            return;
        verb(out, "done", e->step);
        sc_buf_add_str(out, "  ");
        sc_text_duration(out, e->wall_ms);
        sc_buf_add_byte(out, '\n');
        return;
    case SC_END_FAILED:
        verb(out, "fail", e->step);
        sc_buf_add_str(out, "  ");
        sc_render_outcome(out, e->outcome, e->exit_code, e->signal);
        if (e->wall_ms) {
            sc_buf_add_str(out, " after ");
            sc_text_duration(out, e->wall_ms);
        }
        sc_buf_add_byte(out, '\n');
        return;
    case SC_END_CANCELLED:
        verb(out, "cancel", e->step);
        sc_buf_add_byte(out, '\n');
        return;
    case SC_END_SKIPPED:
        verb(out, "skip", e->step);
        if (e->outcome == SC_OUTCOME_UPSTREAM)
            sc_buf_add_str(out, "  what it needs failed");
        else if (e->text.len) {
            sc_buf_add_str(out, "  ");
            sc_text_escape(out, e->text);
        }
        sc_buf_add_byte(out, '\n');
        return;
    }
}

static void log_lines(struct sc_buf *out, const struct sc_event_body *e)
{
    struct sc_slice text = e->text;
    while (text.len) {
        const uint8_t *newline = memchr(text.ptr, '\n', text.len);
        size_t n = newline ? (size_t)(newline - text.ptr) : text.len;
        sc_text_escape(out, e->step);
        sc_buf_add_str(out, e->stream == SC_STREAM_STDERR ? " ! " : " | ");
        sc_text_escape_log(out, sc_slice(text.ptr, n && text.ptr[n - 1] == '\r' ? n - 1 : n));
        sc_buf_add_byte(out, '\n');
        text = sc_slice_from(text, newline ? n + 1 : n);
    }
}

static void verdict(struct sc_buf *out, const struct sc_event_body *e, int64_t now_ms)
{
    switch (e->verdict) {
    case SC_VERDICT_HIT:
        hit(out, e, now_ms);
        return;
    case SC_VERDICT_JOIN:
    case SC_VERDICT_MISS:
        verb(out, e->verdict == SC_VERDICT_JOIN ? "join" : "miss", e->step);
        sc_buf_add_str(out, "  ");
        sc_render_reason(out, e);
        sc_buf_add_byte(out, '\n');
        return;
    case SC_VERDICT_NONE:
        return;
    }
}

static void retry(struct sc_buf *out, const struct sc_event_body *e)
{
    verb(out, "retry", e->step);
    sc_buf_add_str(out, "  ");
    sc_render_outcome(out, e->outcome, e->exit_code, e->signal);
    sc_buf_printf(out, "; attempt %llu in ", (unsigned long long)e->attempt + 1);
    sc_text_duration(out, e->next_in_ms);
    sc_buf_add_byte(out, '\n');
}

static void started(struct sc_buf *out, const struct sc_event_body *e)
{
    verb(out, "run", e->step);
    if (e->attempt > 1)
        sc_buf_printf(out, "  attempt %llu", (unsigned long long)e->attempt);
    if (e->agent.len) {
        sc_buf_add_str(out, "  on ");
        sc_text_escape(out, e->agent);
    }
    sc_buf_add_byte(out, '\n');
}

static void message(struct sc_buf *out, const char *word, const struct sc_event_body *e)
{
    verb(out, word, e->step);
    sc_buf_add_str(out, e->step.len ? ": " : "");
    sc_text_escape(out, e->text);
    if (e->hint.len) {
        sc_buf_add_str(out, " (");
        sc_text_escape(out, e->hint);
        sc_buf_add_byte(out, ')');
    }
    sc_buf_add_byte(out, '\n');
}

void sc_render_event(struct sc_buf *out, const struct sc_event_body *e, int64_t now_ms)
{
    switch (e->type) {
    case SC_EV_RUN_STARTED:
        sc_buf_add_str(out, "run ");
        sc_text_escape(out, e->run);
        sc_buf_add_str(out, " of ");
        sc_text_escape(out, e->pipeline);
        sc_buf_printf(out, ": %llu step%s\n", (unsigned long long)e->steps, e->steps == 1 ? "" : "s");
        return;
    case SC_EV_STEP_VERDICT:
        verdict(out, e, now_ms);
        return;
    case SC_EV_STEP_STARTED:
        started(out, e);
        return;
    case SC_EV_STEP_LOG:
        log_lines(out, e);
        return;
    case SC_EV_STEP_RETRY:
        retry(out, e);
        return;
    case SC_EV_STEP_FINISHED:
        finished(out, e);
        return;
    case SC_EV_ERROR:
        message(out, "error", e);
        return;
    case SC_EV_NOTE:
        message(out, "note", e);
        return;
    case SC_EV_STEP_PROGRESS:
    case SC_EV_RUN_FINISHED: // report.c
    case SC_EV_COUNT:
        return;
    }
}
