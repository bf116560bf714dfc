#include "base/slice.h"

// How many continuation bytes follow, and the bounds of the first of them (RFC 3629, section 4).
static int sequence(uint8_t lead, uint8_t *ret_low, uint8_t *ret_high)
{
    *ret_low = 0x80;
    *ret_high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 1;
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (lead == 0xE0)
            *ret_low = 0xA0;
        if (lead == 0xED)
            *ret_high = 0x9F;
        return 2;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (lead == 0xF0)
            *ret_low = 0x90;
        if (lead == 0xF4)
            *ret_high = 0x8F;
        return 3;
    }
    return -1;
}

bool sc_slice_is_utf8(struct sc_slice s)
{
    for (size_t i = 0; i < s.len;) {
        if (s.ptr[i] < 0x80) {
            i++;
            continue;
        }
        uint8_t low, high;
        int more = sequence(s.ptr[i], &low, &high);
        if (more < 0 || s.len - i <= (size_t)more)
            return false;
        for (int k = 1; k <= more; k++) {
            uint8_t byte = s.ptr[i + (size_t)k];
            if (byte < (k == 1 ? low : 0x80) || byte > (k == 1 ? high : 0xBF))
                return false;
        }
        i += (size_t)more + 1;
    }
    return true;
}
