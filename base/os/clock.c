#include "base/os/clock.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

int64_t sc_clock_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t read_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t sc_clock_mono_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t sc_clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

void sc_clock_rfc3339(int64_t wall_ms, char ret_text[32])
{
    int64_t s = wall_ms / 1000, ms = wall_ms % 1000;
    if (ms < 0) {
        ms += 1000;
        s -= 1;
    }
    time_t t = (time_t)s;
    struct tm utc;
    gmtime_r(&t, &utc);
    size_t used = strftime(ret_text, 24, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(ret_text + used, 32 - used, ".%03dZ", (int)ms);
}

// Takes `count` digits off the front as a number between low and high.
static bool take_number(struct sc_slice *rest, size_t count, int low, int high, int *ret_number)
{
    int number = 0;
    if (rest->len < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (rest->ptr[i] < '0' || rest->ptr[i] > '9')
            return false;
        number = number * 10 + (rest->ptr[i] - '0');
    }
    *rest = sc_slice_from(*rest, count);
    *ret_number = number;
    return number >= low && number <= high;
}

static bool take_one(struct sc_slice *rest, const char *any_of)
{
    if (rest->len == 0 || !rest->ptr[0] || !strchr(any_of, rest->ptr[0]))
        return false;
    *rest = sc_slice_from(*rest, 1);
    return true;
}

static bool take_fraction(struct sc_slice *rest, int *ret_ms)
{
    static const int weights[] = {100, 10, 1};
    size_t count = 0;
    int ms = 0;
    for (; count < rest->len && rest->ptr[count] >= '0' && rest->ptr[count] <= '9'; count++)
        ms += count < 3 ? weights[count] * (rest->ptr[count] - '0') : 0;
    *rest = sc_slice_from(*rest, count);
    *ret_ms = ms;
    return count > 0;
}

static bool take_offset(struct sc_slice *rest, int *ret_minutes)
{
    int hours, minutes, sign = rest->len && rest->ptr[0] == '-' ? -1 : 1;
    *ret_minutes = 0;
    if (take_one(rest, "Zz"))
        return true;
    if (!take_one(rest, "+-") || !take_number(rest, 2, 0, 23, &hours) || !take_one(rest, ":") ||
        !take_number(rest, 2, 0, 59, &minutes))
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return true;
}

bool sc_clock_of_rfc3339(struct sc_slice text, int64_t *ret_wall_ms)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, ms = 0, offset;
    struct tm tm = {0};
    if (!take_number(&text, 4, 0, 9999, &year) || !take_one(&text, "-") ||
        !take_number(&text, 2, 1, 12, &month) || !take_one(&text, "-") ||
        !take_number(&text, 2, 1, 31, &tm.tm_mday) || !take_one(&text, "Tt") ||
        !take_number(&text, 2, 0, 23, &tm.tm_hour) || !take_one(&text, ":") ||
        !take_number(&text, 2, 0, 59, &tm.tm_min) || !take_one(&text, ":") ||
        !take_number(&text, 2, 0, 60, &tm.tm_sec)) // 60: a leap second, counted as the second after it
        return false;
    if (take_one(&text, ".") && !take_fraction(&text, &ms))
        return false;
    if (!take_offset(&text, &offset) || text.len)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (tm.tm_mday > days[month - 1] + (month == 2 && leap))
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    *ret_wall_ms = ((int64_t)timegm(&tm) - (int64_t)offset * 60) * 1000 + ms;
    return true;
}

double sc_clock_cpu_s(void)
{
    double total = 0;
    const int who[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (int i = 0; i < 2; i++) {
        struct rusage r;
        getrusage(who[i], &r);
        total += (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec +
                 (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
    }
    return total;
}
