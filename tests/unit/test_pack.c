#include "tests/unit/store_test.h"
#include "base/memory.h"
#include "store/compress.h"
#include "store/pack.h"

// Some packs, as sc_pack_close made them.
struct packs {
    struct sc_buf bytes[64];
    uint32_t count;
};

static void close_pack(struct sc_pack_writer *writer, struct packs *packs)
{
    assert_in_range(packs->count, 0, 63);
    sc_buf_init(&packs->bytes[packs->count], 0);
    sc_pack_close(writer, &packs->bytes[packs->count++]);
}

// File i of a folder: text that no other has, of some length.
static void make_file(uint32_t i, uint32_t version, size_t bytes, struct sc_buf *out)
{
    sc_buf_clear(out);
    uint64_t draw = i * UINT64_C(0x9e3779b97f4a7c15) + version;
    while (out->len < bytes) {
        draw = draw * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        sc_buf_add_byte(out, (uint8_t)(draw >> 56));
    }
}

// Files 0 to count - 1, of which `changed` has other content.
static void pack_all(uint32_t count, size_t bytes, uint32_t changed, struct packs *packs)
{
    struct sc_pack_writer writer;
    sc_pack_writer_init(&writer);
    SC_AUTO_BUF struct sc_buf file;
    sc_buf_init(&file, 0);
    packs->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        make_file(i, i == changed, bytes, &file);
        struct sc_digest digest = sc_digest_of(sc_buf_slice(&file));
        if (sc_pack_add(&writer, &digest, sc_buf_slice(&file)))
            close_pack(&writer, packs);
    }
    if (!sc_pack_is_empty(&writer))
        close_pack(&writer, packs);
    sc_pack_writer_done(&writer);
}

static void free_packs(struct packs *packs)
{
    for (uint32_t i = 0; i < packs->count; i++)
        sc_buf_done(&packs->bytes[i]);
}

static void test_pack_gives_back_every_file(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, SC_PACK_FILE_BYTES};
    for (size_t s = 0; s < SC_COUNT(sizes); s++) {
        struct packs packs;
        pack_all(300, sizes[s], UINT32_MAX, &packs);
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        SC_AUTO_BUF struct sc_buf plain, want;
        sc_buf_init(&plain, 0);
        sc_buf_init(&want, 0);
        uint32_t i = 0;
        for (uint32_t p = 0; p < packs.count; p++) {
            struct sc_slice pack = sc_buf_slice(&packs.bytes[p]);
            struct sc_pack_index index;
            struct sc_error err = SC_ERROR_INIT;
            assert_in_range(pack.len, 1, SC_PACK_BYTES);
            assert_ok(sc_pack_read_index(pack, &arena, &index, &err), err);
            for (uint32_t k = 0; k < index.entries.count; k++, i++) {
                const struct sc_pack_entry *e = &index.entries.items[k];
                assert_ok(sc_pack_read_frame(pack, &index.frames.items[e->frame], &plain, &err), err);
                make_file(i, 0, sizes[s], &want);
                assert_int_equal(e->bytes, want.len);
                assert_in_range(e->offset + e->bytes, 0, plain.len);
                if (want.len)
                    assert_memory_equal(plain.ptr + e->offset, want.ptr, want.len);
                struct sc_digest digest = sc_digest_of(sc_buf_slice(&want));
                assert_true(sc_digest_eq(&digest, &e->digest));
            }
        }
        assert_int_equal(i, 300);
        free_packs(&packs);
    }
}

static void test_pack_of_equal_files_is_equal_and_a_changed_file_changes_few(void **state)
{
    (void)state;
    struct packs before, after;
    enum { FILES = 8000, BYTES = 4000 };
    pack_all(FILES, BYTES, UINT32_MAX, &before);
    pack_all(FILES, BYTES, FILES / 2, &after);
    assert_in_range(before.count, 5, 30);
    uint32_t same = 0;
    for (uint32_t i = 0; i < before.count; i++)
        for (uint32_t k = 0; k < after.count; k++)
            same += sc_slice_eq(sc_buf_slice(&before.bytes[i]), sc_buf_slice(&after.bytes[k]));
    assert_in_range(same, before.count - 2, before.count - 1);
    free_packs(&before);
    free_packs(&after);
}

static void test_pack_cut_or_changed_anywhere_is_refused_or_still_whole(void **state)
{
    (void)state;
    struct packs packs;
    pack_all(20, 100, UINT32_MAX, &packs);
    struct sc_slice pack = sc_buf_slice(&packs.bytes[0]);
    SC_AUTO_FREE uint8_t *copy = sc_calloc(pack.len, 1);
    SC_AUTO_BUF struct sc_buf plain;
    sc_buf_init(&plain, 0);
    uint32_t refused = 0;
    for (size_t at = 0; at < 2 * pack.len; at++) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        struct sc_pack_index index;
        struct sc_error err = SC_ERROR_INIT;
        memcpy(copy, pack.ptr, pack.len);
        bool cut = at >= pack.len;
        if (!cut)
            copy[at] ^= 0x41;
        struct sc_slice bad = sc_slice(copy, cut ? at - pack.len : pack.len);
        enum sc_rc rc = sc_pack_read_index(bad, &arena, &index, &err);
        assert_true(rc == SC_OK || rc == SC_CORRUPT || rc == SC_VERSION);
        assert_true(!cut || rc != SC_OK);
        for (uint32_t i = 0; rc == SC_OK && i < index.frames.count; i++)
            rc = sc_pack_read_frame(bad, &index.frames.items[i], &plain, &err);
        for (uint32_t i = 0; rc == SC_OK && i < index.entries.count; i++)
            assert_in_range(index.entries.items[i].offset + index.entries.items[i].bytes, 0, plain.len);
        refused += rc != SC_OK;
    }
    assert_in_range(refused, pack.len, 2 * pack.len);
    free_packs(&packs);
}

static void test_pack_bytes_are_pinned(void **state)
{
    (void)state;
    struct packs packs;
    pack_all(3, 40, UINT32_MAX, &packs);
    struct sc_slice pack = sc_buf_slice(&packs.bytes[0]);
    SC_AUTO_BUF struct sc_buf plain;
    sc_buf_init(&plain, 0);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_pack_index index;
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_pack_read_index(pack, &arena, &index, &err), err);
    assert_ok(sc_pack_read_frame(pack, &index.frames.items[0], &plain, &err), err);
    assert_golden("pack/frame.hex", sc_buf_slice(&plain));
    size_t at = index.frames.items[0].packed; // zstd's bytes are its release's own; what they hold is pinned
    size_t index_bytes = pack.ptr[pack.len - 8] | (size_t)pack.ptr[pack.len - 7] << 8;
    assert_int_equal(at + index_bytes + 8, pack.len);
    sc_buf_clear(&plain);
    assert_ok(sc_decompress(sc_slice(pack.ptr + at, index_bytes), 1 << 20, &plain, &err), err);
    assert_golden("pack/index.hex", sc_buf_slice(&plain));
    free_packs(&packs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_bytes_are_pinned),
        cmocka_unit_test(test_pack_gives_back_every_file),
        cmocka_unit_test(test_pack_of_equal_files_is_equal_and_a_changed_file_changes_few),
        cmocka_unit_test(test_pack_cut_or_changed_anywhere_is_refused_or_still_whole),
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
