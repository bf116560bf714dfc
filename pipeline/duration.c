#include "pipeline/duration.h"

#include "base/memory.h"

// The designators in the order in which they may follow each other.
static const struct {
    char designator;
    bool time; // behind the T
    int64_t ms;
} units[] = {
    {'Y', false, 0},      {'M', false, 0},    {'W', false, 604800000}, {'D', false, 86400000},
    {'H', true, 3600000}, {'M', true, 60000}, {'S', true, 1000},
};

struct number {
    uint64_t whole, fraction, scale; // fraction / scale
    bool decimal;
};

static bool read_number(struct sc_slice s, size_t *at, struct number *ret)
{
    struct number n = {.scale = 1};
    size_t start = *at, i = start;
    for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) {
        if (n.whole > UINT64_MAX / 20)
            return false;
        n.whole = n.whole * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    if (i == start)
        return false;
    if (i < s.len && (s.ptr[i] == '.' || s.ptr[i] == ',')) {
        size_t point = i++;
        for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9' && n.scale < 1000000000; i++) {
            n.fraction = n.fraction * 10 + (uint64_t)(s.ptr[i] - '0');
            n.scale *= 10;
        }
        if (i == point + 1)
            return false;
        n.decimal = true;
    }
    *at = i;
    *ret = n;
    return true;
}

static enum sc_duration_rc add(int64_t *total_ms, struct number n, int64_t unit_ms)
{
    if (n.whole > (uint64_t)(SC_DURATION_MOST_MS / unit_ms))
        return SC_DURATION_TOO_LONG;
    *total_ms += (int64_t)n.whole * unit_ms;
    uint64_t fraction = n.fraction * (uint64_t)unit_ms; // below 10^9 * 604,800,000: it fits
    if (fraction % n.scale != 0)
        return SC_DURATION_MALFORMED; // finer than a millisecond
    *total_ms += (int64_t)(fraction / n.scale);
    return *total_ms > SC_DURATION_MOST_MS ? SC_DURATION_TOO_LONG : SC_DURATION_OK;
}

enum sc_duration_rc sc_duration_parse(struct sc_slice s, int64_t *ret_ms)
{
    int64_t total = 0;
    size_t next = 0; // the first unit that may still come
    bool time = false, any = false, decimal = false;
    if (s.len < 3 || s.ptr[0] != 'P')
        return SC_DURATION_MALFORMED;
    for (size_t at = 1; at < s.len; any = true) {
        if (s.ptr[at] == 'T') {
            if (time || ++at == s.len)
                return SC_DURATION_MALFORMED;
            time = true;
        }
        struct number n;
        if (decimal || !read_number(s, &at, &n) || at == s.len)
            return SC_DURATION_MALFORMED;
        size_t unit = next;
        while (unit < SC_COUNT(units) &&
               (units[unit].time != time || units[unit].designator != (char)s.ptr[at]))
            unit++;
        if (unit == SC_COUNT(units))
            return SC_DURATION_MALFORMED;
        if (units[unit].ms == 0)
            return SC_DURATION_CALENDAR;
        enum sc_duration_rc rc = add(&total, n, units[unit].ms);
        if (rc != SC_DURATION_OK)
            return rc;
        decimal = n.decimal;
        next = unit + 1;
        at++;
    }
    if (!any)
        return SC_DURATION_MALFORMED;
    *ret_ms = total;
    return SC_DURATION_OK;
}
