// Objects placed several at once: all of them when it is finished, none that is there, and the first failure.
#include "tests/unit/store_test.h"

#include "coordinator/shell/placing.h"
#include "tests/lib/scratch.h"

#include <stdio.h>

enum { MANY = 100 };

struct place {
    struct sc_store *store;
    char *folder;
    uint32_t asked;
    bool fails;
};

static enum sc_rc give(void *context, const struct sc_artifact *artifact, struct sc_slice *ret_bytes,
                       struct sc_error *err)
{
    struct place *p = context;
    (void)artifact;
    if (++p->asked > 20 && p->fails)
        return sc_error_set(err, SC_CORRUPT, "no bytes for the %uth", p->asked);
    *ret_bytes = sc_slice_str("some");
    return SC_OK;
}

static int setup(void **state)
{
    struct sc_error err = SC_ERROR_INIT;
    struct place *p = sc_calloc(1, sizeof *p);
    p->folder = sc_scratch_new();
    assert_ok(sc_store_open(p->folder, &p->store, &err), err);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    sc_store_close(p->store);
    sc_scratch_remove(p->folder);
    free(p);
    return 0;
}

static void add(struct placing *placing, uint32_t i, const char *from, bool ask)
{
    char name[32];
    struct sc_artifact artifact = {.bytes = 4};
    snprintf(name, sizeof name, "v1/out/%u", i);
    placing_add(placing, sc_slice_str(name), &artifact, sc_slice_str(from), ask);
}

static uint32_t count_there(struct place *p)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        char name[32];
        uint64_t bytes;
        snprintf(name, sizeof name, "v1/out/%u", i);
        count += storage_has_named(p->store, sc_slice_str(name), &bytes) && bytes == 4;
    }
    return count;
}

static void test_placing_is_finished_when_all_are_there_and_leaves_what_is(void **state)
{
    struct place *p = *state;
    struct sc_error err = SC_ERROR_INIT;
    uint64_t written;
    struct placing *placing = placing_new(p->store, give, p);
    for (uint32_t i = 0; i < MANY; i++)
        add(placing, i, i % 2 && i > 1 ? "v1/out/0" : "", false);
    assert_ok(placing_finish(placing, &written, &err), err);
    assert_int_equal(written, MANY);
    assert_int_equal(count_there(p), MANY);
    assert_int_equal(p->asked, MANY / 2 + 1);
    assert_ok(storage_put_named(p->store, sc_slice_str("v1/out/7"), sc_slice_str("longer"), &err), err);
    assert_ok(storage_remove_named(p->store, sc_slice_str("v1/out/8"), &err), err);
    placing = placing_new(p->store, give, p);
    for (uint32_t i = 0; i < MANY; i++)
        add(placing, i, "", true);
    assert_ok(placing_finish(placing, &written, &err), err);
    assert_int_equal(written, 2);
    assert_int_equal(count_there(p), MANY);
}

static void test_placing_keeps_the_first_failure_and_passes_over_the_rest(void **state)
{
    struct place *p = *state;
    struct sc_error err = SC_ERROR_INIT;
    uint64_t written;
    p->fails = true;
    struct placing *placing = placing_new(p->store, give, p);
    for (uint32_t i = 0; i < MANY; i++)
        add(placing, i, "", false);
    assert_rc(placing_finish(placing, &written, &err), SC_CORRUPT);
    assert_contains(err.message, "21th");
    assert_int_equal(written, 20);
    assert_int_equal(p->asked, 21);
    p->fails = false;
    placing = placing_new(p->store, give, p);
    add(placing, 0, "v1/out/nothing", false); // a copy of what is not there
    assert_rc(placing_finish(placing, &written, &err), SC_NOT_FOUND);
    assert_int_equal(written, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_placing_is_finished_when_all_are_there_and_leaves_what_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_placing_keeps_the_first_failure_and_passes_over_the_rest, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("placing", tests, NULL, NULL);
}
