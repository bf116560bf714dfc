// ISO 8601 durations (clause 5.5.2.2) of fixed length: weeks, days, hours, minutes and seconds. Years and months are
// refused because they have none.
#pragma once

#include "base/slice.h"

enum sc_duration_rc {
    SC_DURATION_OK,
    SC_DURATION_MALFORMED,
    SC_DURATION_CALENDAR, // years or months
    SC_DURATION_TOO_LONG, // more than SC_DURATION_MOST_MS
};

#define SC_DURATION_MOST_MS (INT64_C(36525) * 86400 * 1000) // a hundred years

// "P1W", "PT30M", "P1DT12H", "PT0.5S" (a decimal fraction, of the last part only, point or comma; down to a millisecond).
enum sc_duration_rc sc_duration_parse(struct sc_slice text, int64_t *ret_ms);
