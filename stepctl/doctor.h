// What the files of stepctl doctor share: lines of a check, ok, warn or fail, with what to do.
#pragma once

#include "stepctl/say.h"

enum sc_doctor_state { SC_DOCTOR_OK, SC_DOCTOR_WARN, SC_DOCTOR_FAIL };

struct sc_doctor {
    struct sc_out out;
    bool json;
    uint32_t warnings, failures;
};

// `advice` is shown where all is not well; may be NULL then.
void sc_doctor_say(struct sc_doctor *doctor, enum sc_doctor_state state, const char *check,
                   const char *advice, const char *format, ...) __attribute__((format(printf, 5, 6)));
// What a bucket's server must be able to do, tried on objects that are removed again.
void sc_doctor_bucket(struct sc_doctor *doctor, const char *url);
