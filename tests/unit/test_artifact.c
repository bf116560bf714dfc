#include "tests/lib/test.h"

#include "base/artifact.h"

static void test_artifact_ext_table(void **state)
{
    (void)state;
    static const struct {
        const char *path, *ext;
    } cases[] = {
        {"train.csv", ".csv"},
        {"data/v1.0/train.csv", ".csv"},
        {"data/v1.0/train", ""},
        {"train", ""},
        {"", ""},
        {".hidden", ""},
        {"dir/.hidden", ""},
        {".hidden.txt", ".txt"},
        {"a.", ""},
        {"a..", ""},
        {"a..b", ".b"},
        {"a.tar.gz", ".tar.gz"},
        {"a.tar.bz2", ".tar.bz2"},
        {"a.tar.xz", ".tar.xz"},
        {"a.tar.zst", ".tar.zst"},
        {"a.tar.lz", ".lz"},
        {".tar.gz", ".gz"}, // the stem would be empty
        {"a.csv.gz", ".gz"},
        {"a.tgz", ".tgz"},
        {"star.gz", ".gz"},
        {"a.0123456789abcdef", ".0123456789abcdef"}, // 16
        {"a.0123456789abcdefg", ""},                 // 17
        {"a.b c", ""},
        {"a.\xc3\xa4", ""},
        {"a.C++", ""},
        {"a.Z_1-2", ".Z_1-2"},
        {"folder.d/", ".d"},
        {"folder/", ""},
        {"/", ""},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_slice ext = sc_artifact_ext(sc_slice_str(cases[i].path));
        if (!sc_slice_eq_str(ext, cases[i].ext))
            fail_msg("%s: \"" SC_SLICE_FMT "\" where \"%s\" is right", cases[i].path, SC_SLICE_ARG(ext),
                     cases[i].ext);
    }
}

static struct sc_artifact sample(void)
{
    static struct sc_pack_ref packs[] = {{.bytes = 9}, {.bytes = 10}};
    struct sc_artifact artifact = {
        .kind = SC_ARTIFACT_FILE,
        .exec = true,
        .has_inline = true,
        .ext = SC_SLICE_LIT(".csv"),
        .bytes = 3,
        .files = 1,
        .metadata = SC_SLICE_LIT("{\"rows\":1}"),
        .packs = {packs, 2},
        .inline_bytes = SC_SLICE_LIT("abc"),
    };
    artifact.digest = sc_digest_of(sc_slice_str("abc"));
    packs[0].digest = sc_digest_of(sc_slice_str("pack"));
    packs[1].digest = sc_digest_of(sc_slice_str("another"));
    return artifact;
}

static void test_artifact_same_is_kind_digest_and_a_files_exec_bit(void **state)
{
    (void)state;
    struct sc_artifact a = sample(), b = {.kind = SC_ARTIFACT_FILE, .exec = true, .digest = a.digest};
    assert_true(sc_artifact_same(&a, &b)); // where bytes lie does not matter
    b.exec = false;
    assert_false(sc_artifact_same(&a, &b));
    a.kind = b.kind = SC_ARTIFACT_DIR;
    assert_true(sc_artifact_same(&a, &b));
    b.digest.bytes[0] ^= 1;
    assert_false(sc_artifact_same(&a, &b));
}

static void test_artifact_copy_shares_nothing(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_artifact from = sample(), copy;
    sc_arena_init(&arena);
    sc_artifact_copy(&arena, &from, &copy);
    assert_true(sc_artifact_same(&from, &copy));
    assert_slice(copy.ext, ".csv");
    assert_slice(copy.metadata, "{\"rows\":1}");
    assert_slice(copy.inline_bytes, "abc");
    assert_int_equal(copy.packs.count, 2);
    assert_ptr_not_equal(copy.packs.items, from.packs.items);
    assert_true(sc_digest_eq(&copy.packs.items[1].digest, &from.packs.items[1].digest));
    assert_ptr_not_equal(copy.ext.ptr, from.ext.ptr);
}

static void test_artifact_survives_the_wire(void **state)
{
    (void)state;
    SC_AUTO_ARENA struct sc_arena arena;
    SC_AUTO_BUF struct sc_buf buf, again;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_artifact from = sample(), back = {0};
    sc_arena_init(&arena);
    sc_buf_init(&buf, 0);
    sc_buf_init(&again, 0);
    assert_true(sc_schema_is_valid(&sc_schema_artifact));
    sc_encode(&sc_schema_artifact, &from, &buf);
    assert_ok(sc_decode(&sc_schema_artifact, sc_buf_slice(&buf), SC_DECODE_STRICT, &arena, &back, &err), err);
    sc_encode(&sc_schema_artifact, &back, &again);
    assert_true(sc_slice_eq(sc_buf_slice(&buf), sc_buf_slice(&again)));
    assert_true(back.has_inline && back.exec);
    assert_int_equal(back.packs.items[1].bytes, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_artifact_ext_table),
        cmocka_unit_test(test_artifact_same_is_kind_digest_and_a_files_exec_bit),
        cmocka_unit_test(test_artifact_copy_shares_nothing),
        cmocka_unit_test(test_artifact_survives_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
