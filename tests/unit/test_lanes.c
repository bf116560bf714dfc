// What waits for the journal keeps its order, and peers keep their numbers.
#include "tests/lib/test.h"

#include "base/limits.h"
#include "coordinator/shell/lanes.h"
#include "coordinator/shell/peers.h"

static void hold(struct sc_lanes *lanes, enum sc_lane lane, uint64_t after_seq, uint64_t mark)
{
    struct sc_held *held = sc_lanes_hold(lanes, lane, SC_HELD_REPLY, after_seq);
    held->peer = mark;
    sc_lanes_account(lanes, held);
}

static uint64_t take(struct sc_lanes *lanes, enum sc_lane lane, uint64_t durable)
{
    struct sc_held *held = sc_lanes_take(lanes, lane, durable);
    uint64_t mark = held ? held->peer : 0;
    sc_held_free(held);
    return mark;
}

static void test_lanes_nothing_overtakes_within_a_lane(void **state)
{
    (void)state;
    struct sc_lanes lanes;
    sc_lanes_init(&lanes);
    hold(&lanes, SC_LANE_CLIENTS, 10, 1);
    assert_false(sc_lanes_clear(&lanes, SC_LANE_CLIENTS, 0, 5)); // though it waits for nothing itself
    hold(&lanes, SC_LANE_CLIENTS, 0, 2);
    assert_int_equal(take(&lanes, SC_LANE_CLIENTS, 9), 0);
    assert_int_equal(take(&lanes, SC_LANE_CLIENTS, 10), 1);
    assert_int_equal(take(&lanes, SC_LANE_CLIENTS, 10), 2);
    assert_int_equal(take(&lanes, SC_LANE_CLIENTS, 10), 0);
    assert_int_equal(lanes.count, 0);
    sc_lanes_done(&lanes);
}

static void test_lanes_do_not_hinder_each_other_and_reads_wait_for_none(void **state)
{
    (void)state;
    struct sc_lanes lanes;
    sc_lanes_init(&lanes);
    hold(&lanes, SC_LANE_AGENTS, 10, 1);
    hold(&lanes, SC_LANE_READS, 10, 2);
    assert_true(sc_lanes_clear(&lanes, SC_LANE_WRITES, 5, 5));
    assert_true(sc_lanes_clear(&lanes, SC_LANE_READS, 0, 5));
    assert_false(sc_lanes_clear(&lanes, SC_LANE_READS, 6, 5));
    assert_int_equal(sc_lanes_wanted(&lanes), 10);
    sc_lanes_done(&lanes); // frees what still waits
    assert_int_equal(sc_lanes_wanted(&lanes), 0);
}

static struct sc_peer_id id_of(uint32_t number)
{
    struct sc_peer_id id = {.len = sizeof number + 1};
    id.bytes[0] = 'p';
    memcpy(id.bytes + 1, &number, sizeof number);
    return id;
}

static void test_peers_one_that_comes_again_is_a_new_one(void **state)
{
    (void)state;
    struct sc_peers peers = {0};
    struct sc_peer_id id = id_of(1);
    struct sc_peer *first = sc_peers_get(&peers, &id);
    uint64_t number = first->number;
    assert_ptr_equal(sc_peers_find(&peers, &id), first);
    sc_peers_mark_gone(&peers, first);
    sc_peers_mark_gone(&peers, first);
    assert_null(sc_peers_find(&peers, &id));
    assert_null(sc_peers_by_number(&peers, number));
    assert_true(sc_peers_get(&peers, &id)->number != number);
    struct sc_peer *gone = sc_peers_take_gone(&peers);
    assert_int_equal(gone->number, number);
    free(gone);
    assert_null(sc_peers_take_gone(&peers));
    sc_peers_done(&peers);
}

static void test_peers_are_bounded_and_the_silent_one_leaves(void **state)
{
    (void)state;
    struct sc_peers peers = {0};
    for (uint32_t i = 0; i < SC_LIMIT_PEERS; i++) {
        struct sc_peer_id id = id_of(i);
        sc_peers_get(&peers, &id)->tethers = i < 10; // the first ten are alive for sure
    }
    struct sc_peer_id eleventh = id_of(10), more = id_of(SC_LIMIT_PEERS);
    uint64_t silent =
        sc_peers_find(&peers, &eleventh)->number + 1; // the eleventh was heard just now, the next was not
    assert_non_null(sc_peers_get(&peers, &more));
    struct sc_peer *gone = sc_peers_take_gone(&peers);
    assert_int_equal(gone->number, silent);
    free(gone);
    assert_int_equal(sc_peers_count(&peers), SC_LIMIT_PEERS);
    sc_peers_done(&peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_nothing_overtakes_within_a_lane),
        cmocka_unit_test(test_lanes_do_not_hinder_each_other_and_reads_wait_for_none),
        cmocka_unit_test(test_peers_one_that_comes_again_is_a_new_one),
        cmocka_unit_test(test_peers_are_bounded_and_the_silent_one_leaves),
    };
    return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
