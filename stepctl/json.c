#include "stepctl/json.h"

#include "stepctl/text.h"

static void put_digits(uint8_t *at, uint32_t value, uint32_t digits)
{
    while (digits--) {
        at[digits] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
}

// RFC 3339 with milliseconds, UTC. Days to civil date after Hinnant, "chrono-compatible low-level date algorithms":
// printf and gmtime would cost more than all else of an event.
static void put_time(struct sc_buf *out, int64_t wall_ms)
{
    if (wall_ms < 0 || wall_ms > INT64_C(253402300799999)) // 9999-12-31
        wall_ms = 0;
    uint32_t days = (uint32_t)(wall_ms / 86400000), ms = (uint32_t)(wall_ms % 86400000);
    uint32_t z = days + 719468, era = z / 146097, doe = z % 146097;
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    uint32_t month = mp < 10 ? mp + 3 : mp - 9;
    uint8_t text[] = "\"0000-00-00T00:00:00.000Z\"";
    put_digits(text + 1, yoe + era * 400 + (month <= 2), 4);
    put_digits(text + 6, month, 2);
    put_digits(text + 9, doy - (153 * mp + 2) / 5 + 1, 2);
    put_digits(text + 12, ms / 3600000, 2);
    put_digits(text + 15, ms / 60000 % 60, 2);
    put_digits(text + 18, ms / 1000 % 60, 2);
    put_digits(text + 21, ms % 1000, 3);
    sc_buf_add(out, text, sizeof text - 1);
}

static void key(struct sc_buf *out, const char *name)
{
    sc_buf_add(out, ",\"", 2);
    sc_buf_add_str(out, name);
    sc_buf_add(out, "\":", 2);
}

static void put_text(struct sc_buf *out, const char *name, struct sc_slice text)
{
    key(out, name);
    sc_text_json(out, text);
}

static void put_cstr(struct sc_buf *out, const char *name, const char *text)
{
    put_text(out, name, sc_slice_str(text));
}

static void put_uint(struct sc_buf *out, const char *name, uint64_t value)
{
    key(out, name);
    sc_text_uint(out, value);
}

static void put_digest(struct sc_buf *out, const char *name, const struct sc_digest *digest)
{
    char hex[SC_DIGEST_HEX_BYTES];
    if (sc_digest_is_zero(digest))
        return;
    sc_digest_hex(digest, hex);
    put_cstr(out, name, hex);
}

static void head(struct sc_buf *out, const struct sc_event_body *e)
{
    sc_buf_add_str(out, "{\"v\":1");
    put_cstr(out, "event", sc_event_type_name(e->type));
    key(out, "at");
    put_time(out, e->at);
    if (e->run.len)
        put_text(out, "run", e->run);
    if (e->step.len)
        put_text(out, "step", e->step);
}

static const char *verdict_name(enum sc_verdict verdict)
{
    switch (verdict) {
    case SC_VERDICT_HIT:
        return "hit";
    case SC_VERDICT_JOIN:
        return "join";
    case SC_VERDICT_MISS:
        return "miss";
    case SC_VERDICT_NONE:
        break;
    }
    return "none";
}

static void verdict(struct sc_buf *out, const struct sc_event_body *e)
{
    put_cstr(out, "verdict", verdict_name(e->verdict));
    put_cstr(out, "reason", sc_reason_name(e->reason));
    if (e->detail.len)
        put_text(out, "detail", e->detail);
    put_digest(out, "key", &e->key);
    if (e->fields.count) {
        sc_buf_add_str(out, ",\"fields\":[");
        for (uint32_t i = 0; i < e->fields.count; i++) {
            sc_buf_add_str(out, i ? ",{\"label\":" : "{\"label\":");
            sc_text_json(out, e->fields.items[i].label);
            put_text(out, "old", e->fields.items[i].old_);
            put_text(out, "new", e->fields.items[i].new_);
            sc_buf_add_byte(out, '}');
        }
        sc_buf_add_byte(out, ']');
    }
    if (e->verdict != SC_VERDICT_HIT)
        return;
    sc_buf_add_str(out, ",\"made_by\":{\"run\":");
    sc_text_json(out, e->made_by_run);
    put_text(out, "pipeline", e->made_by_pipeline);
    put_text(out, "step", e->made_by_step);
    put_text(out, "agent", e->made_by_agent);
    sc_buf_add_byte(out, '}');
    key(out, "ended_at");
    put_time(out, e->ended_at);
    put_uint(out, "saved_ms", e->saved_ms);
}

static void step_finished(struct sc_buf *out, const struct sc_event_body *e)
{
    put_cstr(out, "state", sc_end_state_name(e->state));
    sc_buf_add_str(out, e->cached ? ",\"cached\":true" : ",\"cached\":false");
    put_cstr(out, "outcome", sc_outcome_name(e->outcome));
    put_uint(out, "exit", e->exit_code);
    put_uint(out, "signal", e->signal);
    put_uint(out, "wall_ms", e->wall_ms);
    if (e->cpu_ms)
        put_uint(out, "cpu_ms", e->cpu_ms);
    if (e->max_rss_bytes)
        put_uint(out, "max_rss_bytes", e->max_rss_bytes);
    if (e->text.len)
        put_text(out, "message", e->text);
    if (e->state == SC_END_FAILED)
        put_text(out, "log_tail", e->log_tail);
}

static void run_finished(struct sc_buf *out, const struct sc_event_body *e)
{
    put_cstr(out, "state", sc_end_state_name(e->state));
    put_uint(out, "hits", e->hits);
    put_uint(out, "misses", e->misses);
    put_uint(out, "joined", e->joined);
    put_uint(out, "failed", e->failed);
    put_uint(out, "skipped", e->skipped);
    put_uint(out, "ran_ms", e->ran_ms);
    put_uint(out, "saved_ms", e->saved_ms);
    put_uint(out, "bytes_up", e->bytes_up);
    put_uint(out, "bytes_down", e->bytes_down);
    put_uint(out, "wall_ms", e->wall_ms);
    sc_buf_add_str(out, ",\"outputs\":{");
    for (uint32_t i = 0; i < e->outputs.count; i++) {
        const struct sc_published *p = &e->outputs.items[i];
        char hex[SC_DIGEST_HEX_BYTES];
        sc_digest_hex(&p->digest, hex);
        if (i)
            sc_buf_add_byte(out, ',');
        sc_text_json(out, p->name);
        sc_buf_printf(out, ":{\"digest\":\"%s\"", hex);
        put_uint(out, "bytes", p->bytes);
        put_text(out, "uri", p->uri);
        sc_buf_add_byte(out, '}');
    }
    sc_buf_add_byte(out, '}');
    if (e->code.len)
        put_text(out, "code", e->code);
    if (e->text.len)
        put_text(out, "message", e->text);
}

static const char *phase_name(enum sc_phase phase)
{
    switch (phase) {
    case SC_PHASE_QUEUED:
        return "queued";
    case SC_PHASE_FETCHING:
        return "fetching";
    case SC_PHASE_RUNNING:
        return "running";
    case SC_PHASE_CHECKING:
        return "checking";
    case SC_PHASE_STORING:
        return "storing";
    }
    return "unknown";
}

static void body(struct sc_buf *out, const struct sc_event_body *e)
{
    switch (e->type) {
    case SC_EV_RUN_STARTED:
        put_text(out, "pipeline", e->pipeline);
        put_text(out, "namespace", e->namespace_);
        put_uint(out, "steps", e->steps);
        return;
    case SC_EV_STEP_VERDICT:
        verdict(out, e);
        return;
    case SC_EV_STEP_STARTED:
        put_text(out, "agent", e->agent);
        put_uint(out, "attempt", e->attempt);
        return;
    case SC_EV_STEP_PROGRESS:
        put_uint(out, "attempt", e->attempt);
        put_cstr(out, "phase", phase_name(e->phase));
        put_uint(out, "done_bytes", e->done_bytes);
        put_uint(out, "total_bytes", e->total_bytes);
        if (e->text.len)
            put_text(out, "source", e->text);
        return;
    case SC_EV_STEP_LOG:
        put_uint(out, "attempt", e->attempt);
        put_cstr(out, "stream", e->stream == SC_STREAM_STDERR ? "stderr" : "stdout");
        put_text(out, "text", e->text);
        return;
    case SC_EV_STEP_RETRY:
        put_uint(out, "attempt", e->attempt);
        put_cstr(out, "outcome", sc_outcome_name(e->outcome));
        put_uint(out, "next_in_ms", e->next_in_ms);
        return;
    case SC_EV_STEP_FINISHED:
        step_finished(out, e);
        return;
    case SC_EV_RUN_FINISHED:
        run_finished(out, e);
        return;
    case SC_EV_ERROR:
    case SC_EV_NOTE:
        if (e->code.len || e->type == SC_EV_ERROR)
            put_text(out, "code", e->code);
        put_text(out, "message", e->text);
        if (e->hint.len)
            put_text(out, "hint", e->hint);
        return;
    case SC_EV_COUNT:
        return;
    }
}

void sc_json_event(struct sc_buf *out, const struct sc_event_body *event)
{
    head(out, event);
    body(out, event);
    sc_buf_add(out, "}\n", 2);
}

void sc_json_error(struct sc_buf *out, int64_t at_ms, enum sc_rc rc, struct sc_slice text,
                   struct sc_slice hint, const char *file, uint32_t line, uint32_t column)
{
    sc_buf_add_str(out, "{\"v\":1,\"event\":\"error\"");
    key(out, "at");
    put_time(out, at_ms);
    put_cstr(out, "code", sc_rc_name(rc));
    put_text(out, "message", text);
    if (file)
        put_cstr(out, "file", file);
    if (line)
        put_uint(out, "line", line);
    if (column)
        put_uint(out, "column", column);
    if (hint.len)
        put_text(out, "hint", hint);
    sc_buf_add(out, "}\n", 2);
}
