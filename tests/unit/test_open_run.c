// What lies in the store of an open run: its bytes are pinned, and what is damaged, another's or of another version is told.
#include "tests/unit/store_test.h"

#include "base/seal.h"
#include "coordinator/shell/open_run.h"
#include "store/names.h"

static const char name[] = "v1/main/open/herd/r-1";
static struct sc_slice refresh[] = {SC_SLICE_LIT("train")};

static struct sc_open_run sample(void)
{
    return (struct sc_open_run){
        .domain = SC_SLICE_LIT("main"),
        .coordinator = SC_SLICE_LIT("herd"),
        .run = SC_SLICE_LIT("r-1"),
        .user = SC_SLICE_LIT("ada"),
        .plan = {{0xab, 0xcd}},
        .options = {.fail_fast = true, .refresh = {refresh, 1}, .from = SC_SLICE_LIT("report")},
        .started_at = 1700000000123,
        .cancelled = true,
    };
}

static enum sc_rc decode(const struct sc_buf *bytes, const char *under, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_open_run open;
    sc_arena_init(&arena);
    return sc_open_run_decode(sc_buf_slice(bytes), sc_slice_str(under), &arena, &open, err);
}

static void test_open_run_bytes_are_pinned_and_come_back(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes, again;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_open_run open = sample(), found;
    sc_buf_init(&bytes, 0);
    sc_buf_init(&again, 0);
    sc_arena_init(&arena);
    assert_true(sc_schema_is_valid(&sc_schema_open_run));
    sc_open_run_encode(&open, &bytes);
    assert_golden("open/full.hex", sc_buf_slice(&bytes));
    assert_ok(sc_open_run_decode(sc_buf_slice(&bytes), sc_slice_str(name), &arena, &found, &err), err);
    assert_slice(found.user, "ada");
    assert_slice(found.options.refresh.items[0], "train");
    assert_true(found.cancelled);
    sc_open_run_encode(&found, &again);
    assert_true(sc_slice_eq(sc_buf_slice(&bytes), sc_buf_slice(&again)));
}

static void test_open_run_of_another_name_or_with_a_flipped_bit_is_corrupt(void **state)
{
    (void)state;
    SC_AUTO_BUF struct sc_buf bytes;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_open_run open = sample();
    sc_buf_init(&bytes, 0);
    sc_open_run_encode(&open, &bytes);
    assert_rc(decode(&bytes, "v1/main/open/herd/r-2", &err), SC_CORRUPT);
    assert_rc(decode(&bytes, "v1/main/open/other/r-1", &err), SC_CORRUPT);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.ptr[i] ^= 1;
        assert_rc(decode(&bytes, name, &err), SC_CORRUPT);
        bytes.ptr[i] ^= 1;
    }
    bytes.len--;
    assert_rc(decode(&bytes, name, &err), SC_CORRUPT);
    bytes.len = 3;
    assert_rc(decode(&bytes, name, &err), SC_CORRUPT);
}

// A body as somebody else would have written it: with its seal.
static enum sc_rc decode_body(const char *body, size_t len, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    sc_buf_add(&bytes, body, len);
    sc_seal(&bytes, 0);
    return decode(&bytes, name, err);
}
#define BODY(text) decode_body(text, sizeof(text) - 1, &err)

static void test_open_run_of_another_version_or_with_more_is_told(void **state)
{
    (void)state;
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(BODY("\x82\xa3new\xc3\xa1v\xb0stepcache.open/2"), SC_VERSION);
    assert_contains(err.message, "stepcache.open/2");
    assert_rc(BODY("\x82\xa3new\xc3\xa1v\xb0stepcache.open/1"), SC_VERSION);
    assert_contains(err.message, "new");
    assert_rc(BODY("\x81\xa1v\xb0stepcache.open/1"), SC_MALFORMED);
    assert_rc(BODY("\x82\xa6"
                   "domain\xa2..\xa1v\xb0stepcache.open/1"),
              SC_MALFORMED);
    assert_rc(BODY("\xc0"), SC_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_run_bytes_are_pinned_and_come_back),
        cmocka_unit_test(test_open_run_of_another_name_or_with_a_flipped_bit_is_corrupt),
        cmocka_unit_test(test_open_run_of_another_version_or_with_more_is_told),
    };
    return cmocka_run_group_tests_name("open_run", tests, NULL, NULL);
}
