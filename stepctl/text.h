// Text for people: escaped, measured, cut to a width; durations, ages and sizes in few characters. Pure. Nothing that
// comes from a document, a step or a log reaches a terminal without sc_text_escape.
#pragma once

#include "base/buf.h"

// Appends text in which nothing can move the cursor or reorder the line: control bytes, bytes that are not UTF-8 and
// bidirectional controls stand as \n, \t, \x1b, \u202e …; all else as it is.
void sc_text_escape(struct sc_buf *out, struct sc_slice text);
// The same, and keeps newlines and tabs: for logs.
void sc_text_escape_log(struct sc_buf *out, struct sc_slice text);
// Columns that escaped text takes: wide characters count two, combining ones none. Needs a UTF-8 LC_CTYPE.
uint32_t sc_text_width(struct sc_slice text);
// Appends at most `width` columns of escaped text, cut with "…" (or ".." when ascii); returns the columns it took.
uint32_t sc_text_fit(struct sc_buf *out, struct sc_slice text, uint32_t width, bool ascii);
// "340ms", "2.1s", "45s", "20m", "3h 05m", "2d 3h".
void sc_text_duration(struct sc_buf *out, uint64_t ms);
// "just now", "5 minutes ago", "2 days ago".
void sc_text_ago(struct sc_buf *out, int64_t then_ms, int64_t now_ms);
// "512 B", "1.5 KiB", "3.2 GiB".
void sc_text_bytes(struct sc_buf *out, uint64_t bytes);
// "2026-01-02 03:04:05" in local time.
void sc_text_time(struct sc_buf *out, int64_t wall_ms);
// A JSON string with its quotes; what is not UTF-8 becomes U+FFFD.
void sc_text_json(struct sc_buf *out, struct sc_slice text);
// Decimal digits, cheaper than printf.
void sc_text_uint(struct sc_buf *out, uint64_t value);
void sc_text_pad(struct sc_buf *out, uint32_t columns);
// Decodes one character; returns its bytes, 0 when it is not UTF-8. text is not empty.
uint32_t sc_text_decode(struct sc_slice text, uint32_t *ret_char);
