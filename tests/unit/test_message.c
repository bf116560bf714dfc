#include "tests/lib/test.h"
#include "tests/lib/fill.h"
#include "tests/lib/scratch.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/os/file.h"
#include "proto/message.h"

#define MAX SC_LIMIT_MESSAGE_AGENT_BYTES

struct fixture {
    struct sc_arena arena;
    struct sc_buf buf;
    struct sc_error err;
    struct sc_message message;
};

static int setup(void **state)
{
    struct fixture *f = sc_calloc(1, sizeof *f);
    sc_arena_init(&f->arena);
    sc_buf_init(&f->buf, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sc_arena_done(&f->arena);
    sc_buf_done(&f->buf);
    free(f);
    return 0;
}

static enum sc_rc decode(struct fixture *f, struct sc_slice frame)
{
    return sc_message_decode(frame, MAX, &f->arena, &f->message, &f->err);
}

static struct sc_message filled(struct fixture *f, enum sc_message_type type)
{
    struct sc_message message = {.type = type, .id = 77};
    sc_fill(sc_message_schema(type), &f->arena, &message.body);
    return message;
}

// ---- tables

static void test_message_schemas_are_valid_and_forget_no_member(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < SC_MESSAGE_COUNT; i++) {
        const struct sc_schema *schema = sc_message_schema((enum sc_message_type)i);
        if (!sc_schema_is_valid(schema))
            fail_msg("%s is not valid", schema->name);
        if (!sc_fill_covers(schema, &f->err))
            fail_msg("%s", f->err.message);
        assert_string_equal(schema->name, sc_message_type_name((enum sc_message_type)i));
    }
}

static void test_message_names_are_those_of_the_design(void **state)
{
    (void)state;
    assert_string_equal(sc_message_type_name(SC_MESSAGE_HELLO), "hello");
    assert_string_equal(sc_message_type_name(SC_MESSAGE_ERROR), "error");
    assert_string_equal(sc_outcome_name(SC_OUTCOME_OUT_OF_MEMORY), "out-of-memory");
    assert_string_equal(sc_reason_name(SC_REASON_NEVER_SEEN), "never-seen");
    assert_string_equal(sc_event_type_name(SC_EV_RUN_STARTED), "run.started");
    assert_string_equal(sc_event_type_name(SC_EV_STEP_FINISHED), "step.finished");
    assert_string_equal(sc_end_state_name(SC_END_CANCELLED), "cancelled");
    for (int i = 0; i < SC_OUTCOME_COUNT; i++)
        assert_non_null(sc_outcome_name((enum sc_outcome)i));
    for (int i = 0; i < SC_REASON_COUNT; i++)
        assert_non_null(sc_reason_name((enum sc_reason)i));
    for (int i = 0; i < SC_EV_COUNT; i++)
        assert_non_null(sc_event_type_name((enum sc_event_type)i));
}

// ---- encodings

static char *golden_path(enum sc_message_type type)
{
    const char *source = getenv("STEPCACHE_SOURCE");
    return sc_asprintf("%s/tests/golden/message/%s.hex", source ? source : ".", sc_message_type_name(type));
}

// 32 bytes a line, so that a change is seen in a diff.
static void hex_lines(struct sc_slice bytes, struct sc_buf *out)
{
    for (size_t i = 0; i < bytes.len; i++)
        sc_buf_printf(out, "%02x%s", bytes.ptr[i], i % 32 == 31 || i + 1 == bytes.len ? "\n" : "");
}

// Every field of every message; STEPCACHE_GOLDEN=write writes them anew, for a field that was added.
static void test_message_encodings_are_golden(void **state)
{
    struct fixture *f = *state;
    const char *mode = getenv("STEPCACHE_GOLDEN");
    for (int i = 0; i < SC_MESSAGE_COUNT; i++) {
        SC_AUTO_FREE char *path = golden_path((enum sc_message_type)i);
        SC_AUTO_BUF struct sc_buf hex, want;
        sc_buf_init(&hex, 0);
        sc_buf_init(&want, 0);
        struct sc_message message = filled(f, (enum sc_message_type)i);
        sc_buf_clear(&f->buf);
        sc_message_encode(&message, &f->buf);
        hex_lines(sc_buf_slice(&f->buf), &hex);
        if (mode && strcmp(mode, "write") == 0)
            sc_scratch_write(path, sc_buf_slice(&hex), 0644);
        assert_ok(sc_file_read(path, 1 << 20, &want, &f->err), f->err);
        if (!sc_slice_eq(sc_buf_slice(&hex), sc_buf_slice(&want)))
            fail_msg("%s is encoded as\n%s", path, sc_buf_cstr(&hex));
    }
}

static void test_message_survives_with_every_field(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < SC_MESSAGE_COUNT; i++) {
        SC_AUTO_BUF struct sc_buf again;
        sc_buf_init(&again, 0);
        struct sc_message message = filled(f, (enum sc_message_type)i);
        sc_buf_clear(&f->buf);
        sc_message_encode(&message, &f->buf);
        assert_ok(decode(f, sc_buf_slice(&f->buf)), f->err);
        assert_int_equal(f->message.type, i);
        assert_true(f->message.id == 77);
        sc_message_encode(&f->message, &again);
        assert_true(sc_slice_eq(sc_buf_slice(&f->buf), sc_buf_slice(&again)));
    }
}

static void test_message_empty_is_four_small_values(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < SC_MESSAGE_COUNT; i++) {
        struct sc_message message = {.type = (enum sc_message_type)i};
        sc_buf_clear(&f->buf);
        sc_message_encode(&message, &f->buf);
        const char *name = sc_message_type_name(message.type);
        assert_int_equal(f->buf.len, 1 + 1 + 1 + strlen(name) + 1 + 1);
        assert_ok(decode(f, sc_buf_slice(&f->buf)), f->err);
    }
}

static void test_message_renew_by_hand(void **state)
{
    struct fixture *f = *state;
    static const char bytes[] = "\x94\x01\xa5renew\x00\x81\xa4held\x92\x05\xcd\x01\x00";
    uint64_t held[] = {5, 256};
    struct sc_message message = {.type = SC_MESSAGE_RENEW, .body.renew.held = {held, 2}};
    sc_message_encode(&message, &f->buf);
    assert_int_equal(f->buf.len, sizeof bytes - 1);
    assert_memory_equal(f->buf.ptr, bytes, f->buf.len);
}

static void test_message_log_text_may_be_any_bytes(void **state)
{
    struct fixture *f = *state;
    struct sc_message message = {.type = SC_MESSAGE_LOG,
                                 .body.log = {.attempt = 1, .text = SC_SLICE_LIT("\0\xff\x80")}};
    sc_message_encode(&message, &f->buf);
    assert_ok(decode(f, sc_buf_slice(&f->buf)), f->err);
    assert_int_equal(f->message.body.log.text.len, 3);
}

// ---- what is refused

static enum sc_rc decode_bytes(struct fixture *f, const char *bytes, size_t len)
{
    return decode(f, sc_slice(bytes, len));
}
#define DECODE(f, lit) decode_bytes(f, lit, sizeof(lit) - 1)

static void test_message_unknown_version_and_type_are_refused_by_name(void **state)
{
    struct fixture *f = *state;
    assert_rc(DECODE(f, "\x94\x02\xa5renew\x00\x80"), SC_VERSION);
    assert_contains(f->err.message, "version 2");
    assert_rc(DECODE(f, "\x92\xcc\xff\xa5later"), SC_VERSION); // of another shape, too
    assert_contains(f->err.message, "version 255");
    assert_rc(DECODE(f, "\x94\x01\xa6travel\x00\x80"), SC_VERSION);
    assert_contains(f->err.message, "\"travel\"");
    assert_rc(DECODE(f, "\x94\x01\xa2\xff\xfe\x00\x80"), SC_VERSION);
    assert_true(sc_slice_is_utf8(sc_slice_str(f->err.message)));
    assert_rc(DECODE(f, "\x94\x01\xa0\x00\x80"), SC_VERSION);
}

static void test_message_of_another_shape_is_malformed(void **state)
{
    struct fixture *f = *state;
    assert_rc(DECODE(f, ""), SC_MALFORMED);
    assert_rc(DECODE(f, "\xc0"), SC_MALFORMED);
    assert_rc(DECODE(f, "\x90"), SC_MALFORMED);
    assert_rc(DECODE(f, "\x81\x01\x01"), SC_MALFORMED);
    assert_rc(DECODE(f, "\x93\x01\xa5renew\x00"), SC_MALFORMED);
    assert_rc(DECODE(f, "\x95\x01\xa5renew\x00\x80\xc0"), SC_MALFORMED);
    assert_rc(DECODE(f, "\x94\x01\x05\x00\x80"), SC_MALFORMED);      // a type that is a number
    assert_rc(DECODE(f, "\x94\x01\xa5renew\xff\x80"), SC_MALFORMED); // a negative id
    assert_rc(DECODE(f, "\x94\x01\xa5renew\x00\x90"), SC_MALFORMED); // a body that is an array
    assert_rc(DECODE(f, "\x94\x01\xa5renew\x00\xc0"), SC_MALFORMED);
    assert_rc(DECODE(f, "\x94\x01\xa5renew\x00\x80\x80"), SC_MALFORMED); // bytes behind
    assert_rc(DECODE(f, "\x94\xcc\x01\xa5renew\x00\x80"), SC_MALFORMED); // a long form of 1
}

static void test_message_failure_leaves_the_result_alone(void **state)
{
    struct fixture *f = *state;
    f->message = (struct sc_message){.type = SC_MESSAGE_DRAIN, .id = 9};
    assert_rc(DECODE(f, "\x94\x01\xa5renew\x05\x81\xa4held\x01"), SC_MALFORMED);
    assert_contains(f->err.message, "held");
    assert_int_equal(f->message.type, SC_MESSAGE_DRAIN);
    assert_true(f->message.id == 9);
}

static void test_message_unknown_fields_are_passed_over(void **state)
{
    struct fixture *f = *state;
    assert_ok(DECODE(f, "\x94\x01\xa5renew\x03\x83\xa3"
                        "aaa\x92\x01\xa1x\xa4held\x91\x07\xa3zzz\x81\xa1x\xc0"),
              f->err);
    assert_int_equal(f->message.body.renew.held.count, 1);
    assert_true(f->message.body.renew.held.items[0] == 7);
}

static void test_message_larger_than_allowed_is_refused_before_it_is_read(void **state)
{
    struct fixture *f = *state;
    struct sc_message message = {.type = SC_MESSAGE_RENEW};
    sc_message_encode(&message, &f->buf);
    assert_rc(sc_message_decode(sc_buf_slice(&f->buf), f->buf.len - 1, &f->arena, &f->message, &f->err),
              SC_LIMIT);
    assert_int_equal(f->arena.total_bytes, 0);
    assert_ok(sc_message_decode(sc_buf_slice(&f->buf), f->buf.len, &f->arena, &f->message, &f->err), f->err);
}

static void test_message_deeper_than_allowed_is_refused(void **state)
{
    struct fixture *f = *state;
    sc_buf_add(&f->buf, "\x94\x01\xa5renew\x00\x81\xa1z", 11);
    for (int i = 0; i < 100; i++)
        sc_buf_add_byte(&f->buf, 0x91);
    sc_buf_add_byte(&f->buf, 0xc0);
    assert_rc(decode(f, sc_buf_slice(&f->buf)), SC_MALFORMED);
}

static void test_message_lists_beyond_their_bound_are_refused_by_name(void **state)
{
    struct fixture *f = *state;
    sc_buf_add(&f->buf,
               "\x94\x01\xa6"
               "assign\x00\x81\xab"
               "assignments\xdc\x00\x41",
               26);
    for (int i = 0; i < SC_LIMIT_BATCH_ASSIGN + 1; i++)
        sc_buf_add_byte(&f->buf, 0x80);
    assert_rc(decode(f, sc_buf_slice(&f->buf)), SC_LIMIT);
    assert_contains(f->err.message, "assignments");
}

// Empty maps are one byte on the wire and hundreds in memory: a large message made of them is refused before memory is
// taken for it.
static void test_message_dense_with_empty_structs_is_refused_before_it_is_read(void **state)
{
    struct fixture *f = *state;
    sc_buf_add(&f->buf,
               "\x94\x01\xa5"
               "event\x00\x81\xa6"
               "events\xdc\xff\xff",
               20);
    for (int i = 0; i < 0xffff; i++)
        sc_buf_add_byte(&f->buf, 0x80);
    assert_true(f->buf.len > 64 << 10);
    assert_rc(decode(f, sc_buf_slice(&f->buf)), SC_LIMIT);
    assert_int_equal(f->arena.total_bytes, 0);
}

static void test_message_large_and_well_meant_is_taken(void **state)
{
    struct fixture *f = *state;
    static struct sc_event_body events[10000];
    for (size_t i = 0; i < SC_COUNT(events); i++)
        events[i] = (struct sc_event_body){
            .type = SC_EV_STEP_VERDICT, .verdict = SC_VERDICT_HIT, .step = SC_SLICE_LIT("s")};
    struct sc_message message = {.type = SC_MESSAGE_EVENT, .body.event.events = {events, SC_COUNT(events)}};
    sc_message_encode(&message, &f->buf);
    assert_ok(decode(f, sc_buf_slice(&f->buf)), f->err);
    assert_int_equal(f->message.body.event.events.count, SC_COUNT(events));
}

static void test_message_peek_id_is_0_where_there_is_none(void **state)
{
    (void)state;
    assert_true(sc_message_peek_id(sc_slice("\x94\x02\xa5later\x07\xc1", 10)) == 7);
    assert_true(sc_message_peek_id(sc_slice("\x94\x01\xa5renew", 8)) == 0);
    assert_true(sc_message_peek_id(sc_slice("", 0)) == 0);
    assert_true(sc_message_peek_id(sc_slice("\x05\x05\x05\x05", 4)) == 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_message_schemas_are_valid_and_forget_no_member),
        TEST(test_message_names_are_those_of_the_design),
        TEST(test_message_encodings_are_golden),
        TEST(test_message_survives_with_every_field),
        TEST(test_message_empty_is_four_small_values),
        TEST(test_message_renew_by_hand),
        TEST(test_message_log_text_may_be_any_bytes),
        TEST(test_message_unknown_version_and_type_are_refused_by_name),
        TEST(test_message_of_another_shape_is_malformed),
        TEST(test_message_failure_leaves_the_result_alone),
        TEST(test_message_unknown_fields_are_passed_over),
        TEST(test_message_larger_than_allowed_is_refused_before_it_is_read),
        TEST(test_message_deeper_than_allowed_is_refused),
        TEST(test_message_lists_beyond_their_bound_are_refused_by_name),
        TEST(test_message_dense_with_empty_structs_is_refused_before_it_is_read),
        TEST(test_message_large_and_well_meant_is_taken),
        TEST(test_message_peek_id_is_0_where_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
