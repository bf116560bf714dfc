// Events as JSON lines, exactly as 3-FORMATS (Events) lists them. Pure.
#pragma once

#include "base/error.h"
#include "proto/message.h"

// One object and a newline.
void sc_json_event(struct sc_buf *out, const struct sc_event_body *event);
// An error event of the client's own. `file` may be NULL, line and column 0.
void sc_json_error(struct sc_buf *out, int64_t at_ms, enum sc_rc rc, struct sc_slice message,
                   struct sc_slice hint, const char *file, uint32_t line, uint32_t column);
