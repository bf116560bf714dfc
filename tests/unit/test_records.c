#include "tests/unit/store_test.h"

#include "base/limits.h"
#include "store/names.h"
#include "store/records.h"

#define MAIN sc_slice_str("main")
#define STR(text)                                                                                            \
    {                                                                                                        \
        (const uint8_t *)("" text), sizeof(text) - 1                                                         \
    }

struct world {
    struct sc_store *store;
    struct sc_arena arena;
    char *scratch, *url;
};

static int setup(void **state)
{
    struct world *w = sc_calloc(1, sizeof *w);
    struct sc_error err = SC_ERROR_INIT;
    w->scratch = sc_scratch_new();
    w->url = sc_store_place_new(w->scratch);
    sc_arena_init(&w->arena);
    *state = w;
    return sc_store_open(w->url, &w->store, &err) == SC_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sc_store_close(w->store);
    sc_arena_done(&w->arena);
    sc_store_place_remove(w->url);
    sc_scratch_remove(w->scratch);
    free(w);
    return 0;
}

static struct sc_record record_of(uint8_t key, struct sc_record_output *output, uint8_t result)
{
    *output = (struct sc_record_output){STR("out"), {.digest = {{result}}, .bytes = 1, .files = 1}};
    return (struct sc_record){
        .v = STR("stepcache.record/1"),
        .domain = STR("main"),
        .key = {{key}},
        .generation = 1,
        .outputs = {output, 1},
        .ended_at = 1000,
        .run = STR("r-1"),
    };
}

static enum sc_rc get(struct world *w, uint8_t key, struct sc_record *ret_record)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest digest = {{key}};
    struct sc_slice bytes;
    return sc_records_get(w->store, MAIN, &digest, &w->arena, &bytes, ret_record, &err);
}

static char *name_of(uint8_t key)
{
    SC_AUTO_BUF struct sc_buf name;
    struct sc_digest digest = {{key}};
    sc_buf_init(&name, 0);
    sc_name_key(&name, MAIN, &digest);
    return sc_strdup(sc_buf_cstr(&name));
}

static struct sc_record_write put_one(struct sc_store *store, const struct sc_record *record, uint64_t voided,
                                      struct sc_arena *arena)
{
    struct sc_record_write write = {.record = record, .voided = voided, .arena = arena};
    sc_records_put(store, &write, 1);
    return write;
}

static enum sc_record_put put(struct world *w, const struct sc_record *record, struct sc_slice *ret_bytes)
{
    struct sc_record_write write = put_one(w->store, record, 0, &w->arena);
    assert_ok(write.rc, write.err);
    *ret_bytes = write.bytes;
    return write.put;
}

static enum sc_rc put_rc(struct world *w, const struct sc_record *record, uint64_t voided)
{
    return put_one(w->store, record, voided, &w->arena).rc;
}

static void replace(struct world *w, const struct sc_record *record)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice bytes;
    struct sc_record found;
    assert_ok(sc_records_replace(w->store, record, &w->arena, &bytes, &err), err);
    assert_ok(sc_record_decode(bytes, MAIN, &record->key, &w->arena, &found, &err), err);
}

static void test_records_missing_is_not_found(void **state)
{
    struct sc_record found;
    assert_rc(get(*state, 1, &found), SC_NOT_FOUND);
}

static void test_records_first_put_wins_and_an_equal_result_is_the_same(void **state)
{
    struct sc_record_output a, b;
    struct sc_record first = record_of(1, &a, 5), second = record_of(1, &b, 5), found;
    struct sc_slice other;
    second.run = sc_slice_str("r-2");
    assert_int_equal(put(*state, &first, &other), SC_RECORD_WON);
    assert_int_equal(put(*state, &first, &other), SC_RECORD_SAME); // our own, retried
    assert_int_equal(put(*state, &second, &other), SC_RECORD_SAME);
    assert_rc(get(*state, 1, &found), SC_OK);
    assert_slice(found.run, "r-1");
}

static void test_records_put_of_another_result_loses_and_shows_the_first(void **state)
{
    struct world *w = *state;
    struct sc_record_output a, b;
    struct sc_record first = record_of(1, &a, 5), second = record_of(1, &b, 6), found;
    struct sc_slice other = {NULL, 0};
    struct sc_error err = SC_ERROR_INIT;
    second.run = sc_slice_str("r-2");
    put(w, &first, &other);
    assert_int_equal(put(w, &second, &other), SC_RECORD_LOST);
    assert_ok(sc_record_decode(other, MAIN, &first.key, &w->arena, &found, &err), err);
    assert_slice(found.run, "r-1");
}

static void test_records_unreadable_one_is_told_and_to_be_replaced(void **state)
{
    struct world *w = *state;
    struct sc_record_output a;
    struct sc_record record = record_of(1, &a, 5), found;
    struct sc_slice other;
    SC_AUTO_FREE char *name = name_of(1);
    put(w, &record, &other);
    flip_object(w->store, name, 3, false);
    assert_rc(get(w, 1, &found), SC_CORRUPT);
    assert_rc(put_rc(w, &record, 0), SC_EXISTS);
    replace(w, &record);
    assert_rc(get(w, 1, &found), SC_OK);
    cut_object(w->store, name, 10);
    assert_rc(get(w, 1, &found), SC_CORRUPT);
    assert_rc(put_rc(w, &record, 0), SC_EXISTS);
    replace(w, &record);
    // another's record under this key: a copy that went wrong
    struct sc_record second = record_of(2, &a, 5);
    put(w, &second, &other);
    SC_AUTO_FREE char *elsewhere = name_of(2);
    struct sc_store_op copy;
    sc_store_op_init(&copy, SC_STORE_COPY, sc_slice_str(name));
    copy.from = sc_slice_str(elsewhere);
    assert_ok(sc_store_wait(w->store, &copy), copy.err);
    sc_store_op_done(&copy);
    assert_rc(get(w, 1, &found), SC_CORRUPT);
    assert_rc(put_rc(w, &record, 0), SC_EXISTS);
}

static void test_records_put_does_not_take_a_withdrawn_one_for_a_result(void **state)
{
    struct world *w = *state;
    struct sc_record_output a, b;
    struct sc_record first = record_of(1, &a, 5), second = record_of(1, &b, 5);
    struct sc_slice bytes;
    second.run = sc_slice_str("r-2");
    second.generation = 2;
    put(w, &first, &bytes);
    assert_rc(put_rc(w, &second, 1), SC_EXISTS);
    assert_rc(put_rc(w, &second, 0), SC_OK); // the same result, and not withdrawn
}

static void test_records_what_could_not_be_read_again_is_not_written(void **state)
{
    struct world *w = *state;
    struct sc_record_output a;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice bytes;
    struct sc_record found, record = record_of(1, &a, 5);
    record.logs.stdout_ = (struct sc_artifact){.has_inline = true, .bytes = 7}; // as no agent of ours says it
    record.step = sc_slice_str("train");
    struct sc_record_write write = put_one(w->store, &record, 0, &w->arena);
    assert_rc(write.rc, SC_INVALID);
    assert_contains(write.err.message, "the record of step train could not be read again");
    assert_rc(get(w, 1, &found), SC_NOT_FOUND);
    record = record_of(1, &a, 5);
    record.generation = SC_LIMIT_GENERATION + 1;
    assert_rc(sc_records_replace(w->store, &record, &w->arena, &bytes, &err), SC_INVALID);
    assert_rc(get(w, 1, &found), SC_NOT_FOUND);
}

static void test_records_replace_and_remove(void **state)
{
    struct world *w = *state;
    struct sc_record_output a;
    struct sc_record record = record_of(1, &a, 5), found;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_slice other;
    put(w, &record, &other);
    record = record_of(1, &a, 6);
    record.generation = 2;
    record.supersedes = 1;
    replace(w, &record);
    assert_rc(get(w, 1, &found), SC_OK);
    assert_int_equal(found.generation, 2);
    assert_ok(sc_records_remove(w->store, MAIN, &record.key, &err), err);
    assert_rc(get(w, 1, &found), SC_NOT_FOUND);
    assert_ok(sc_records_remove(w->store, MAIN, &record.key, &err), err); // absent is good
}

static void test_records_voids_come_newest_first_and_not_older_than_asked(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_void *voids;
    uint32_t count;
    assert_ok(sc_records_voids(w->store, MAIN, 0, &w->arena, &voids, &count, &err), err);
    assert_int_equal(count, 0);
    for (uint8_t i = 1; i <= 5; i++) {
        struct sc_void voided = {{{i}}, i + 10u, 1700000000000 + i};
        assert_ok(sc_records_void(w->store, MAIN, &voided, sc_slice_str("refresh"), &err), err);
    }
    assert_ok(sc_records_voids(w->store, MAIN, 1700000000003, &w->arena, &voids, &count, &err), err);
    assert_int_equal(count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(voids[i].wall_ms, 1700000000005 - i);
        assert_int_equal(voids[i].key.bytes[0], 5 - i);
        assert_int_equal(voids[i].generation, 15 - i);
    }
    assert_ok(sc_records_voids(w->store, sc_slice_str("other"), 0, &w->arena, &voids, &count, &err), err);
    assert_int_equal(count, 0);
}

static void test_records_more_voids_than_one_listing_holds_all_come(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_void *voids;
    uint32_t count;
    enum { VOIDS = 2100 };
    for (uint32_t i = 0; i < VOIDS; i++) {
        struct sc_void voided = {sc_digest_of(sc_slice(&i, sizeof i)), 1, 1700000000000 + i / 7};
        assert_ok(sc_records_void(w->store, MAIN, &voided, sc_slice_str(""), &err), err);
    }
    assert_ok(sc_records_voids(w->store, MAIN, 0, &w->arena, &voids, &count, &err), err);
    assert_int_equal(count, VOIDS);
    for (uint32_t i = 1; i < count; i++)
        assert_true(voids[i - 1].wall_ms >= voids[i].wall_ms);
}

static void test_records_a_void_that_cannot_be_read_fails_the_listing(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_void voided = {{{1}}, 1, 1700000000000}, *voids;
    uint32_t count;
    assert_ok(sc_records_void(w->store, MAIN, &voided, sc_slice_str(""), &err), err);
    assert_rc(store_put(w->store, "v1/main/void/98299999999999-of-a-later-version", sc_slice_str(""), false),
              SC_OK);
    assert_rc(sc_records_voids(w->store, MAIN, 0, &w->arena, &voids, &count, &err), SC_MALFORMED);
    assert_contains(err.message, "v1/main/void/98299999999999-of-a-later-version");
    assert_contains(err.message, "remove it");
}

static void put_segment(struct world *w, int64_t wall_ms, const char *record)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest template_ = {{9}};
    struct sc_slice records[] = {sc_slice_str(record)};
    assert_ok(
        sc_records_put_segment(w->store, MAIN, &template_, wall_ms, sc_slice_str("c1"), records, 1, 2, &err),
        err);
}

static uint32_t get_segment(struct world *w, struct sc_slice **ret_records)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest template_ = {{9}};
    uint32_t count;
    assert_ok(sc_records_get_segment(w->store, MAIN, &template_, &w->arena, ret_records, &count, &err), err);
    return count;
}

static uint32_t list(struct world *w, const char *prefix, struct sc_store_op *op)
{
    sc_store_op_init(op, SC_STORE_LIST, sc_slice_str(prefix));
    op->max_entries = 100;
    assert_rc(sc_store_wait(w->store, op), SC_OK);
    return op->entry_count;
}

static void test_records_newest_segment_is_read_and_two_are_kept(void **state)
{
    struct world *w = *state;
    struct sc_slice *records;
    struct sc_store_op op;
    assert_int_equal(get_segment(w, &records), 0);
    put_segment(w, 1000, "one");
    put_segment(w, 3000, "three");
    put_segment(w, 2000, "two");
    put_segment(w, 4000, "four");
    assert_int_equal(get_segment(w, &records), 1);
    assert_slice(records[0], "four");
    assert_int_equal(list(w, "v1/main/seg/", &op), 2);
    sc_store_op_done(&op);
}

static void test_records_a_segment_is_the_newest_though_a_clock_was_hours_ahead(void **state)
{
    struct world *w = *state;
    struct sc_slice *records;
    struct sc_store_op op;
    enum { HOURS = 3 * 3600 * 1000 };
    put_segment(w, 1700000000000 + HOURS, "by a clock that is ahead");
    put_segment(w, 1700000000000, "written after it");
    assert_int_equal(get_segment(w, &records), 1);
    assert_slice(records[0], "written after it");
    put_segment(w, 1700000000000 - HOURS, "and after that");
    get_segment(w, &records);
    assert_slice(records[0], "and after that");
    assert_int_equal(list(w, "v1/main/seg/", &op), 2);
    sc_store_op_done(&op);
    put_segment(w, INT64_MAX, "at the end of time");
    get_segment(w, &records);
    assert_slice(records[0], "at the end of time");
}

static void test_records_damaged_segment_gives_way_to_the_older(void **state)
{
    struct world *w = *state;
    struct sc_slice *records;
    struct sc_store_op op;
    put_segment(w, 1000, "one");
    put_segment(w, 2000, "two");
    assert_int_equal(list(w, "v1/main/seg/", &op), 2);
    for (uint32_t i = 0; i < 2; i++) {
        SC_AUTO_FREE char *name = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(op.entries[i].name));
        flip_object(w->store, name, 1, false);
        assert_int_equal(get_segment(w, &records), 1 - i);
        if (i == 0)
            assert_slice(records[0], "one");
    }
    sc_store_op_done(&op);
}

static void test_records_segment_of_several_parts_is_read_whole_and_removed_whole(void **state)
{
    struct world *w = *state;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest template_ = {{9}};
    struct sc_slice *found, records[20];
    struct sc_store_op op;
    enum { BYTES = 1 << 20 };
    SC_AUTO_FREE uint64_t *random = sc_calloc(20, BYTES);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < (size_t)20 * BYTES / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        random[i] = x;
    }
    for (uint32_t i = 0; i < 20; i++)
        records[i] = sc_slice(random + (size_t)i * BYTES / 8, BYTES);
    assert_ok(
        sc_records_put_segment(w->store, MAIN, &template_, 1000, sc_slice_str("c1"), records, 20, 2, &err),
        err);
    assert_int_equal(get_segment(w, &found), 20);
    for (uint32_t i = 0; i < 20; i++)
        assert_true(sc_slice_eq(found[i], records[i]));
    uint32_t parts = list(w, "v1/main/seg/", &op);
    assert_true(parts >= 3);
    // without one of its parts it is none
    SC_AUTO_FREE char *name = sc_asprintf(SC_SLICE_FMT, SC_SLICE_ARG(op.entries[1].name));
    assert_rc(object_op(w->store, SC_STORE_REMOVE, name), SC_OK);
    sc_store_op_done(&op);
    assert_int_equal(get_segment(w, &found), 0);
    put_segment(w, 2000, "two");
    put_segment(w, 3000, "three");
    assert_int_equal(list(w, "v1/main/seg/", &op), 2);
    sc_store_op_done(&op);
}

static int race_one(void *context)
{
    // Each child opens the store for itself; all start when the pipe is closed.
    struct {
        const char *url;
        int wait_fd, index;
    } *race = context;
    struct sc_store *store;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_record_output output;
    struct sc_arena arena;
    char byte;
    sc_arena_init(&arena);
    struct sc_record record = record_of(1, &output, (uint8_t)(race->index + 1));
    record.attempt = (uint64_t)race->index + 1;
    if (sc_store_open(race->url, &store, &err) != SC_OK || read(race->wait_fd, &byte, 1) != 0)
        return 3;
    struct sc_record_write write = put_one(store, &record, 0, &arena);
    sc_store_close(store);
    sc_arena_done(&arena);
    return write.rc == SC_OK ? (int)write.put : 4;
}

static void test_records_of_twenty_racers_exactly_one_wins(void **state)
{
    struct world *w = *state;
    enum { RACERS = 20 };
    for (int round = 0; round < 5; round++) {
        int fds[2], count[5] = {0};
        pid_t pids[RACERS];
        struct sc_error err = SC_ERROR_INIT;
        struct sc_digest key = {{1}};
        assert_ok(sc_records_remove(w->store, MAIN, &key, &err), err);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        for (int i = 0; i < RACERS; i++) {
            struct {
                const char *url;
                int wait_fd, index;
            } race = {w->url, fds[0], i};
            fflush(NULL);
            pids[i] = fork();
            assert_true(pids[i] >= 0);
            if (pids[i] == 0) {
                close(fds[1]);
                _exit(race_one(&race));
            }
        }
        close(fds[0]);
        close(fds[1]);
        for (int i = 0; i < RACERS; i++)
            count[wait_child(pids[i])]++;
        assert_int_equal(count[SC_RECORD_WON] + count[SC_RECORD_LOST], RACERS);
        if (sc_store_place_is_libs3()) // which has no conditions: several may believe that they won
            assert_true(count[SC_RECORD_WON] >= 1);
        else
            assert_int_equal(count[SC_RECORD_WON], 1);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv)
{
    if (!sc_store_place_choose(argc, argv))
        return 77;
    const struct CMUnitTest tests[] = {
        T(test_records_missing_is_not_found),
        T(test_records_first_put_wins_and_an_equal_result_is_the_same),
        T(test_records_put_of_another_result_loses_and_shows_the_first),
        T(test_records_unreadable_one_is_told_and_to_be_replaced),
        T(test_records_put_does_not_take_a_withdrawn_one_for_a_result),
        T(test_records_what_could_not_be_read_again_is_not_written),
        T(test_records_replace_and_remove),
        T(test_records_voids_come_newest_first_and_not_older_than_asked),
        T(test_records_more_voids_than_one_listing_holds_all_come),
        T(test_records_a_void_that_cannot_be_read_fails_the_listing),
        T(test_records_newest_segment_is_read_and_two_are_kept),
        T(test_records_a_segment_is_the_newest_though_a_clock_was_hours_ahead),
        T(test_records_damaged_segment_gives_way_to_the_older),
        T(test_records_segment_of_several_parts_is_read_whole_and_removed_whole),
        T(test_records_of_twenty_racers_exactly_one_wins),
    };
    return cmocka_run_group_tests_name("records", tests, NULL, NULL);
}
