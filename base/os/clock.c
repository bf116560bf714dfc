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
