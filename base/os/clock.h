// The two clocks. Shells read them and put the readings into events; cores never call these.
#pragma once

#include <stdint.h>

int64_t sc_clock_mono_ms(void);
int64_t sc_clock_mono_us(void);
int64_t sc_clock_wall_ms(void); // since 1970, UTC
// "2026-01-02T03:04:05.678Z" (RFC 3339, UTC); the buffer takes 32 bytes.
void sc_clock_rfc3339(int64_t wall_ms, char ret_text[32]);
// Seconds of CPU that this process and its waited-for children took, for benches.
double sc_clock_cpu_s(void);
