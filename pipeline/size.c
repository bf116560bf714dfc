#include "pipeline/size.h"

#include "base/memory.h"

static const struct {
    const char *name;
    uint64_t bytes;
} units[] = {
    {"", 1},
    {"B", 1},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", UINT64_C(1000000)},
    {"GB", UINT64_C(1000000000)},
    {"TB", UINT64_C(1000000000000)},
    {"PB", UINT64_C(1000000000000000)},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
    {"PiB", UINT64_C(1) << 50},
};

// digits [ "." digits ]: value = digits / scale. Returns how many bytes were read, 0 for none.
static size_t read_decimal(struct sc_slice s, uint64_t *ret_digits, uint64_t *ret_scale)
{
    uint64_t value = 0, scale = 1;
    bool point = false;
    size_t i = 0;
    for (; i < s.len; i++) {
        if (s.ptr[i] == '.' && !point && i > 0) {
            point = true;
            continue;
        }
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            break;
        if (value > UINT64_MAX / 20 || (point && scale > UINT64_MAX / 20))
            return 0;
        value = value * 10 + (uint64_t)(s.ptr[i] - '0');
        if (point)
            scale *= 10;
    }
    if (i == 0 || s.ptr[i - 1] == '.')
        return 0;
    *ret_digits = value;
    *ret_scale = scale;
    return i;
}

bool sc_size_parse(struct sc_slice s, uint64_t *ret_bytes)
{
    uint64_t digits, scale;
    size_t n = read_decimal(s, &digits, &scale);
    if (n == 0)
        return false;
    for (size_t i = 0; i < SC_COUNT(units); i++) {
        if (!sc_slice_eq_str(sc_slice_from(s, n), units[i].name))
            continue;
        uint64_t bytes;
        if (__builtin_mul_overflow(digits, units[i].bytes, &bytes) || bytes % scale != 0 ||
            bytes / scale > INT64_MAX)
            return false;
        *ret_bytes = bytes / scale;
        return true;
    }
    return false;
}

bool sc_milli_parse(struct sc_slice s, uint32_t *ret_milli)
{
    uint64_t digits, scale, milli;
    if (s.len == 0 || read_decimal(s, &digits, &scale) != s.len)
        return false;
    if (scale > 1000 || __builtin_mul_overflow(digits, 1000 / scale, &milli) || milli > UINT32_MAX)
        return false;
    *ret_milli = (uint32_t)milli;
    return true;
}
