#include "tests/lib/test.h"

#include "base/os/clock.h"

static void test_clock_reads_every_form_of_rfc3339(void **state)
{
    static const struct {
        const char *text;
        int64_t wall_ms;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-02T03:04:05Z", INT64_C(1767323045000)},
        {"2026-01-02t03:04:05z", INT64_C(1767323045000)},
        {"2026-01-02T03:04:05.6Z", INT64_C(1767323045600)},
        {"2026-01-02T03:04:05.678Z", INT64_C(1767323045678)},
        {"2026-01-02T03:04:05.678999999Z", INT64_C(1767323045678)}, // RADOS Gateway says nanoseconds
        {"2026-01-02T04:34:05+01:30", INT64_C(1767323045000)},
        {"2026-01-01T22:04:05-05:00", INT64_C(1767323045000)},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
        {"2000-02-29T23:59:60Z", INT64_C(951868800000)},
        {"1969-12-31T23:59:59.999Z", -1},
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        int64_t wall_ms = 42;
        if (!sc_clock_of_rfc3339(sc_slice_str(rows[i].text), &wall_ms) || wall_ms != rows[i].wall_ms)
            fail_msg("%s: %lld", rows[i].text, (long long)wall_ms);
    }
}

static void test_clock_refuses_what_is_no_rfc3339(void **state)
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-01-02",
        "2026-01-02T03:04:05", // without an offset it is no instant
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04Z",
        "2026-1-2T03:04:05Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05,5Z",
        "2026-01-02T03:04:05Z ",
        " 2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05+01:60",
        "2026-00-02T03:04:05Z",
        "2026-13-02T03:04:05Z",
        "2026-01-00T03:04:05Z",
        "2026-01-32T03:04:05Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:60:00Z",
        "2026-01-02T03:04:61Z",
        "+026-01-02T03:04:05Z",
        "1767323045",
    };
    (void)state;
    for (size_t i = 0; i < SC_COUNT(texts); i++) {
        int64_t wall_ms = 42;
        if (sc_clock_of_rfc3339(sc_slice_str(texts[i]), &wall_ms) || wall_ms != 42)
            fail_msg("%s was taken for %lld", texts[i], (long long)wall_ms);
    }
}

static void test_clock_reads_what_it_writes(void **state)
{
    static const int64_t times[] = {0, 1, 999, -1, INT64_C(1767323045678), INT64_C(253402300799999)};
    (void)state;
    for (size_t i = 0; i < SC_COUNT(times); i++) {
        char text[32];
        int64_t wall_ms = 42;
        sc_clock_rfc3339(times[i], text);
        assert_true(sc_clock_of_rfc3339(sc_slice_str(text), &wall_ms));
        assert_int_equal(wall_ms, times[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_reads_every_form_of_rfc3339),
        cmocka_unit_test(test_clock_refuses_what_is_no_rfc3339),
        cmocka_unit_test(test_clock_reads_what_it_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
