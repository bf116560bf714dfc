// The two clocks. Shells read them and put the readings into events; cores never call these.
#pragma once

#include "base/slice.h"

int64_t sc_clock_mono_ms(void);
int64_t sc_clock_mono_us(void);
int64_t sc_clock_wall_ms(void); // since 1970, UTC
// "2026-01-02T03:04:05.678Z" (RFC 3339, UTC); the buffer takes 32 bytes.
void sc_clock_rfc3339(int64_t wall_ms, char ret_text[32]);
// The way back: any date-time of RFC 3339, section 5.6, with any fraction (cut to ms) and offset, and nothing else before
// or behind it. False, and ret_wall_ms untouched, for all other text, dates that do not exist included.
bool sc_clock_of_rfc3339(struct sc_slice text, int64_t *ret_wall_ms);
// Seconds of CPU that this process and its waited-for children took, for benches.
double sc_clock_cpu_s(void);
