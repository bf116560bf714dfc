// Events as plain lines: one a step event, short, escaped. Pure.
#pragma once

#include "proto/message.h"

// Appends the event's line, or nothing where a plain reader needs none (progress, the start of a hit). `now_ms`: the
// wall clock, for ages.
void sc_render_event(struct sc_buf *out, const struct sc_event_body *event, int64_t now_ms);
// Of a verdict that is no hit: "changed: command: 5 → 6", "never seen".
void sc_render_reason(struct sc_buf *out, const struct sc_event_body *event);
// The fields of a changed verdict, of long values what differs: "command …--depth 5 → …--depth 6 and 2 more".
void sc_render_changed(struct sc_buf *out, const struct sc_event_body *event);
// "never seen", "changed", "objects lost": a reason for people.
const char *sc_render_reason_text(enum sc_reason reason);
// An outcome in words: "exit code 3", "killed by signal 9 (KILL)", "out of memory".
void sc_render_outcome(struct sc_buf *out, enum sc_outcome outcome, uint32_t exit_code, uint32_t signal);
// A log's text with each line led by `prefix`; ends with a newline.
void sc_render_indented(struct sc_buf *out, const char *prefix, struct sc_slice text);
