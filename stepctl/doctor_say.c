#include "stepctl/doctor.h"

#include "stepctl/text.h"

#include <stdio.h>

void sc_doctor_say(struct sc_doctor *doctor, enum sc_doctor_state state, const char *check,
                   const char *advice, const char *format, ...)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    char text[1400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    doctor->warnings += state == SC_DOCTOR_WARN;
    doctor->failures += state == SC_DOCTOR_FAIL;
    struct sc_buf *out = &doctor->out.buf;
    if (doctor->json) {
        sc_buf_printf(out, "{\"check\":\"%s\",\"state\":\"%s\",\"message\":", check, words[state]);
        sc_text_json(out, sc_slice_str(text));
        sc_buf_add_str(out, ",\"advice\":");
        sc_text_json(out, sc_slice_str(advice));
        sc_buf_add_str(out, "}\n");
        return;
    }
    sc_buf_printf(out, "%-5s %-12s ", words[state], check);
    sc_text_escape(out, sc_slice_str(text));
    sc_buf_add_byte(out, '\n');
    if (state != SC_DOCTOR_OK && advice && *advice) {
        sc_buf_add_str(out, "                   ");
        sc_text_escape(out, sc_slice_str(advice));
        sc_buf_add_byte(out, '\n');
    }
}
