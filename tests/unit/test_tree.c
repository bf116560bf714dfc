#include "tests/unit/store_test.h"

#include "store/compress.h"
#include "store/tree.h"

#include <zstd.h>

static void add_node(const struct sc_tree_entry *entries, uint32_t count, struct sc_buf *out,
                     struct sc_digest *ret_digest)
{
    sc_buf_clear(out);
    *ret_digest = sc_tree_node_encode(entries, count, out);
}

static struct sc_tree_entry entry(char kind, const char *name, const char *what)
{
    struct sc_tree_entry e = {.name = sc_slice_str(name), .kind = (enum sc_entry_kind)kind};
    if (kind == 'l')
        e.target = sc_slice_str(what);
    else
        digest_of_text(what, &e.digest);
    if (kind == 'f' || kind == 'x')
        e.bytes = strlen(what);
    return e;
}

static struct sc_tree_entry folder(const char *name, const struct sc_digest *digest)
{
    return (struct sc_tree_entry){.name = sc_slice_str(name), .kind = SC_ENTRY_DIR, .digest = *digest};
}

// Three nodes: the root, `sub` (which stands twice) and an empty folder in it.
struct sample {
    struct sc_buf nodes[3];
    struct sc_digest digests[3];
};

static void sample_init(struct sample *s)
{
    for (int i = 0; i < 3; i++)
        sc_buf_init(&s->nodes[i], 0);
    add_node(NULL, 0, &s->nodes[2], &s->digests[2]);
    struct sc_tree_entry sub[] = {folder("empty", &s->digests[2]), entry('l', "up", "../a.txt"),
                                  entry('x', "x", "#!/bin/sh\n")};
    add_node(sub, 3, &s->nodes[1], &s->digests[1]);
    struct sc_tree_entry root[] = {entry('f', "a.txt", "abc"), folder("sub", &s->digests[1]),
                                   folder("sub2", &s->digests[1])};
    add_node(root, 3, &s->nodes[0], &s->digests[0]);
}

static void sample_done(struct sample *s)
{
    for (int i = 0; i < 3; i++)
        sc_buf_done(&s->nodes[i]);
}

// ["stepcache.tree/1", nodes], compressed; by hand, so that the order and the number can be wrong.
static void pack(struct sc_buf *out, const struct sc_slice *nodes, uint32_t count)
{
    SC_AUTO_BUF struct sc_buf plain;
    sc_buf_init(&plain, 0);
    sc_mp_put_array(&plain, 2);
    sc_mp_put_cstr(&plain, "stepcache.tree/1");
    sc_mp_put_array(&plain, count);
    for (uint32_t i = 0; i < count; i++)
        sc_mp_put_bin(&plain, nodes[i]);
    sc_buf_clear(out);
    sc_compress(sc_buf_slice(&plain), out);
}

static enum sc_rc decode(const struct sc_buf *packed, const struct sc_digest *root, struct sc_arena *arena,
                         struct sc_tree *ret_tree)
{
    struct sc_error err = SC_ERROR_INIT;
    return sc_tree_decode(sc_buf_slice(packed), root, arena, ret_tree, &err);
}

static void test_tree_node_bytes_are_pinned(void **state)
{
    (void)state;
    struct sample s;
    sample_init(&s);
    assert_golden("tree/node-empty.hex", sc_buf_slice(&s.nodes[2]));
    assert_golden("tree/node-sub.hex", sc_buf_slice(&s.nodes[1]));
    assert_golden("tree/node-root.hex", sc_buf_slice(&s.nodes[0]));
    assert_hex(&s.digests[2], "b53e454b3729578a81fdb7e103abac392c7e8ad860016882facd6ebc040348ba");
    sample_done(&s);
}

static void test_tree_payload_bytes_are_pinned(void **state)
{
    (void)state;
    struct sample s;
    SC_AUTO_BUF struct sc_buf packed, plain;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_tree tree;
    sc_arena_init(&arena);
    sc_buf_init(&packed, 0);
    sc_buf_init(&plain, 0);
    sample_init(&s);
    struct sc_slice nodes[] = {sc_buf_slice(&s.nodes[0]), sc_buf_slice(&s.nodes[1]),
                               sc_buf_slice(&s.nodes[2])};
    pack(&packed, nodes, 3);
    assert_ok(sc_tree_decode(sc_buf_slice(&packed), &s.digests[0], &arena, &tree, &err), err);
    sc_buf_clear(&packed);
    sc_tree_encode(&tree, &packed);
    assert_ok(sc_decompress(sc_buf_slice(&packed), 1 << 20, &plain, &err), err);
    assert_golden("tree/payload.hex", sc_buf_slice(&plain));

    struct sc_pack_ref packs[] = {{{{1}}, 70000}, {{{2}}, 5}};
    tree.packs.items = packs;
    tree.packs.count = 2;
    sc_buf_clear(&packed);
    sc_buf_clear(&plain);
    sc_tree_encode(&tree, &packed);
    assert_ok(sc_decompress(sc_buf_slice(&packed), 1 << 20, &plain, &err), err);
    assert_golden("tree/payload-packs.hex", sc_buf_slice(&plain));
    struct sc_tree again;
    assert_ok(sc_tree_decode(sc_buf_slice(&packed), &s.digests[0], &arena, &again, &err), err);
    assert_int_equal(again.packs.count, 2);
    assert_true(sc_digest_eq(&again.packs.items[1].digest, &packs[1].digest));
    assert_int_equal(again.packs.items[1].bytes, 5);
    sample_done(&s);
}

static void test_tree_decode_gives_entries_and_sums_of_shared_folders(void **state)
{
    (void)state;
    struct sample s;
    SC_AUTO_BUF struct sc_buf packed;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_tree tree;
    sc_arena_init(&arena);
    sc_buf_init(&packed, 0);
    sample_init(&s);
    struct sc_slice nodes[] = {sc_buf_slice(&s.nodes[0]), sc_buf_slice(&s.nodes[1]),
                               sc_buf_slice(&s.nodes[2])};
    pack(&packed, nodes, 3);
    assert_rc(decode(&packed, &s.digests[0], &arena, &tree), SC_OK);
    assert_int_equal(tree.nodes.count, 3);
    assert_int_equal(tree.files, 3);
    assert_int_equal(tree.bytes, 3 + 10 + 10);
    const struct sc_tree_node *sub = sc_tree_find(&tree, &s.digests[1]);
    assert_non_null(sub);
    assert_int_equal(sub->entries.count, 3);
    assert_slice(sub->entries.items[1].target, "../a.txt");
    assert_int_equal(sub->entries.items[2].kind, SC_ENTRY_EXEC);
    assert_null(sc_tree_find(&tree, &(struct sc_digest){{1}}));
    sample_done(&s);
}

static void test_tree_wrong_nodes_are_refused(void **state)
{
    (void)state;
    struct sample s;
    sample_init(&s);
    struct sc_slice a = sc_buf_slice(&s.nodes[0]), b = sc_buf_slice(&s.nodes[1]),
                    c = sc_buf_slice(&s.nodes[2]);
    static const uint8_t other[] = {0x92, 0xa5, 'd', 'i', 'r', '/', '2', 0x90};
    struct sc_slice v2 = sc_slice(other, sizeof other);
    const struct {
        struct sc_slice nodes[4];
        uint32_t count;
        enum sc_rc rc;
    } cases[] = {
        {{a, b, c}, 3, SC_OK},           {{a, b}, 2, SC_CORRUPT}, // a folder is missing
        {{b, c}, 2, SC_CORRUPT},                                  // another root
        {{a, c, b}, 3, SC_MALFORMED},                             // not in the order of a first visit
        {{a, b, c, c}, 4, SC_MALFORMED},                          // one twice
        {{a, b, c, v2}, 4, SC_VERSION},                           // one of an unknown version
        {{a}, 0, SC_MALFORMED},                                   // none
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_BUF struct sc_buf packed;
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_tree tree;
        sc_arena_init(&arena);
        sc_buf_init(&packed, 0);
        pack(&packed, cases[i].nodes, cases[i].count);
        assert_rc(decode(&packed, &s.digests[0], &arena, &tree), cases[i].rc);
    }
    struct sc_tree_entry one[] = {entry('f', "f", "abc")};
    SC_AUTO_BUF struct sc_buf extra, packed;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_tree tree;
    struct sc_digest digest;
    sc_arena_init(&arena);
    sc_buf_init(&extra, 0);
    sc_buf_init(&packed, 0);
    add_node(one, 1, &extra, &digest);
    struct sc_slice nodes[] = {a, b, c, sc_buf_slice(&extra)};
    pack(&packed, nodes, 4); // a node that nothing names
    assert_rc(decode(&packed, &s.digests[0], &arena, &tree), SC_MALFORMED);
    sample_done(&s);
}

static void test_tree_any_flipped_byte_is_noticed(void **state)
{
    (void)state;
    struct sample s;
    SC_AUTO_BUF struct sc_buf packed;
    sc_buf_init(&packed, 0);
    sample_init(&s);
    struct sc_slice nodes[] = {sc_buf_slice(&s.nodes[0]), sc_buf_slice(&s.nodes[1]),
                               sc_buf_slice(&s.nodes[2])};
    pack(&packed, nodes, 3);
    for (size_t i = 0; i < packed.len; i++) {
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_tree tree = {0};
        sc_arena_init(&arena);
        packed.ptr[i] ^= 0x10;
        // A bit of the frame's header may say the same in another way; then the content is as it was.
        if (decode(&packed, &s.digests[0], &arena, &tree) == SC_OK)
            assert_true(tree.nodes.count == 3 && sc_digest_eq(&tree.nodes.items[0].digest, &s.digests[0]));
        packed.ptr[i] ^= 0x10;
    }
    for (size_t len = 0; len < packed.len; len++) {
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_tree tree;
        struct sc_error err = SC_ERROR_INIT;
        sc_arena_init(&arena);
        assert_rc(sc_tree_decode(sc_slice(packed.ptr, len), &s.digests[0], &arena, &tree, &err), SC_CORRUPT);
    }
    sample_done(&s);
}

// A node by hand: entries as [name, kind, ref, bytes], whatever they are.
static void put_entry(struct sc_buf *out, struct sc_slice name, const char *kind, struct sc_slice ref,
                      uint64_t bytes)
{
    sc_mp_put_array(out, 4);
    sc_mp_put_bin(out, name);
    sc_mp_put_cstr(out, kind);
    sc_mp_put_bin(out, ref);
    sc_mp_put_uint(out, bytes);
}

static enum sc_rc decode_entries(const struct sc_buf *entries, uint32_t count)
{
    SC_AUTO_BUF struct sc_buf node;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_tree_node found;
    sc_buf_init(&node, 0);
    sc_arena_init(&arena);
    sc_mp_put_array(&node, 2);
    sc_mp_put_cstr(&node, "dir/1");
    sc_mp_put_array(&node, count);
    sc_buf_add_slice(&node, sc_buf_slice(entries));
    return sc_tree_node_decode(sc_buf_slice(&node), &arena, &found, NULL);
}

static void test_tree_node_refuses_names_kinds_and_refs_that_are_not_allowed(void **state)
{
    (void)state;
    static const uint8_t digest_bytes[32] = {1}, zero_bytes[32];
    struct sc_slice digest = sc_slice(digest_bytes, 32), zero = sc_slice(zero_bytes, 32);
    char long_name[256];
    memset(long_name, 'n', sizeof long_name);
    const struct {
        struct sc_slice name;
        const char *kind;
        struct sc_slice ref;
        uint64_t bytes;
        enum sc_rc rc;
    } cases[] = {
        {sc_slice_str("good"), "f", digest, 5, SC_OK},
        {sc_slice_str("-rf"), "x", digest, 5, SC_OK},
        {sc_slice_str("a b\"\n\t\xff\xfe"), "f", digest, 5, SC_OK},
        {sc_slice(long_name, 255), "f", digest, 5, SC_OK},
        {sc_slice(long_name, 256), "f", digest, 5, SC_MALFORMED},
        {sc_slice_str(""), "f", digest, 5, SC_MALFORMED},
        {sc_slice_str("."), "f", digest, 5, SC_MALFORMED},
        {sc_slice_str(".."), "d", digest, 0, SC_MALFORMED},
        {sc_slice_str("a/b"), "f", digest, 5, SC_MALFORMED},
        {sc_slice("a\0b", 3), "f", digest, 5, SC_MALFORMED},
        {sc_slice_str("a"), "p", digest, 5, SC_MALFORMED},
        {sc_slice_str("a"), "", digest, 5, SC_MALFORMED},
        {sc_slice_str("a"), "ff", digest, 5, SC_MALFORMED},
        {sc_slice_str("a"), "f", zero, 5, SC_MALFORMED},
        {sc_slice_str("a"), "f", sc_slice(digest_bytes, 31), 5, SC_MALFORMED},
        {sc_slice_str("a"), "d", digest, 5, SC_MALFORMED},
        {sc_slice_str("a"), "d", digest, 0, SC_OK},
        {sc_slice_str("a"), "l", sc_slice_str("../b"), 0, SC_OK},
        {sc_slice_str("a"), "l", sc_slice_str("../b"), 4, SC_MALFORMED},
        {sc_slice_str("a"), "l", sc_slice_str(""), 0, SC_MALFORMED},
        {sc_slice_str("a"), "l", sc_slice_str("/etc/passwd"), 0, SC_MALFORMED},
        {sc_slice_str("a"), "l", sc_slice("b\0c", 3), 0, SC_MALFORMED},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_BUF struct sc_buf entries;
        sc_buf_init(&entries, 0);
        put_entry(&entries, cases[i].name, cases[i].kind, cases[i].ref, cases[i].bytes);
        assert_rc(decode_entries(&entries, 1), cases[i].rc);
    }
}

static void test_tree_node_refuses_names_unsorted_or_twice(void **state)
{
    (void)state;
    static const uint8_t digest_bytes[32] = {1};
    struct sc_slice digest = sc_slice(digest_bytes, 32);
    static const struct {
        const char *first, *second;
        enum sc_rc rc;
    } cases[] = {{"a", "b", SC_OK},
                 {"b", "a", SC_MALFORMED},
                 {"a", "a", SC_MALFORMED},
                 {"a", "ab", SC_OK},
                 {"ab", "a", SC_MALFORMED}};
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        SC_AUTO_BUF struct sc_buf entries;
        sc_buf_init(&entries, 0);
        put_entry(&entries, sc_slice_str(cases[i].first), "f", digest, 1);
        put_entry(&entries, sc_slice_str(cases[i].second), "f", digest, 1);
        assert_rc(decode_entries(&entries, 2), cases[i].rc);
        assert_rc(decode_entries(&entries, 1), SC_MALFORMED); // bytes follow
        assert_rc(decode_entries(&entries, 3), SC_MALFORMED); // it ends early
    }
}

static void test_tree_link_stays_inside_or_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        uint32_t depth;
        bool stays;
    } cases[] = {
        {"a", 0, true},          {"./a/b", 0, true},    {"..", 0, false},     {"..", 1, true},
        {"../a", 1, true},       {"../../a", 1, false}, {"../../a", 2, true}, {"/a", 5, false},
        {"", 5, false},          {".", 0, true},        {"a//b/", 0, true},   {"./../a", 0, false},
        {"a/../../b", 1, false}, // through a link `a` it could lead anywhere
        {"a/../b", 1, false},    {"..a", 0, true},      {"...", 0, true},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        if (sc_tree_link_stays(sc_slice_str(cases[i].target), cases[i].depth) != cases[i].stays)
            fail_msg("%s from depth %u", cases[i].target, cases[i].depth);
}

static void test_tree_link_is_judged_at_the_shallowest_place_of_its_folder(void **state)
{
    (void)state;
    // `up -> ../../x` is good two levels down, and leaves the tree where the same folder stands one level down.
    struct sc_buf nodes[3];
    struct sc_digest digests[3];
    for (int i = 0; i < 3; i++)
        sc_buf_init(&nodes[i], 0);
    struct sc_tree_entry leaf[] = {entry('l', "up", "../../x")};
    add_node(leaf, 1, &nodes[2], &digests[2]);
    struct sc_tree_entry middle[] = {folder("leaf", &digests[2])};
    add_node(middle, 1, &nodes[1], &digests[1]);
    struct sc_tree_entry deep[] = {folder("middle", &digests[1])};
    struct sc_tree_entry both[] = {folder("middle", &digests[1]), folder("second", &digests[2])};
    for (int i = 0; i < 2; i++) {
        SC_AUTO_BUF struct sc_buf packed;
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_tree tree;
        sc_buf_init(&packed, 0);
        sc_arena_init(&arena);
        add_node(i ? both : deep, i ? 2 : 1, &nodes[0], &digests[0]);
        struct sc_slice slices[] = {sc_buf_slice(&nodes[0]), sc_buf_slice(&nodes[1]),
                                    sc_buf_slice(&nodes[2])};
        pack(&packed, slices, 3);
        assert_rc(decode(&packed, &digests[0], &arena, &tree), i ? SC_UNSUPPORTED : SC_OK);
    }
    for (int i = 0; i < 3; i++)
        sc_buf_done(&nodes[i]);
}

static void test_tree_that_unfolds_without_end_is_refused(void **state)
{
    (void)state;
    // 40 nodes, each naming the next twice: 2^40 folders when laid out.
    enum { NODES = 40 };
    struct sc_buf nodes[NODES];
    struct sc_slice slices[NODES];
    struct sc_digest below = {{0}}, digest;
    for (int i = NODES - 1; i >= 0; i--) {
        sc_buf_init(&nodes[i], 0);
        struct sc_tree_entry entries[] = {folder("a", &below), folder("b", &below)};
        add_node(entries, i == NODES - 1 ? 0 : 2, &nodes[i], &digest);
        slices[i] = sc_buf_slice(&nodes[i]);
        below = digest;
    }
    SC_AUTO_BUF struct sc_buf packed;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_tree tree;
    sc_buf_init(&packed, 0);
    sc_arena_init(&arena);
    pack(&packed, slices, NODES);
    assert_rc(decode(&packed, &digest, &arena, &tree), SC_LIMIT);
    for (int i = 0; i < NODES; i++)
        sc_buf_done(&nodes[i]);
}

static void test_tree_deeper_than_the_limit_is_refused(void **state)
{
    (void)state;
    enum { NODES = 258 };
    static struct sc_buf nodes[NODES];
    static struct sc_slice slices[NODES];
    struct sc_digest below = {{0}}, digest;
    for (int i = NODES - 1; i >= 0; i--) {
        sc_buf_init(&nodes[i], 0);
        struct sc_tree_entry entries[] = {folder("a", &below)};
        add_node(entries, i == NODES - 1 ? 0 : 1, &nodes[i], &digest);
        slices[i] = sc_buf_slice(&nodes[i]);
        SC_AUTO_ARENA struct sc_arena arena;
        SC_AUTO_BUF struct sc_buf packed;
        struct sc_tree tree;
        sc_arena_init(&arena);
        sc_buf_init(&packed, 0);
        pack(&packed, slices + i, (uint32_t)(NODES - i));
        if (i < 3)
            assert_rc(decode(&packed, &digest, &arena, &tree), i == 0 ? SC_LIMIT : SC_OK);
        below = digest;
    }
    for (int i = 0; i < NODES; i++)
        sc_buf_done(&nodes[i]);
}

static void test_tree_bomb_is_not_unpacked(void **state)
{
    (void)state;
    // A frame that claims, and holds, 2 GiB of zeros in a few hundred kilobytes.
    SC_AUTO_BUF struct sc_buf plain;
    struct sc_error err = SC_ERROR_INIT;
    sc_buf_init(&plain, 0);
    size_t room = 1 << 20;
    SC_AUTO_FREE uint8_t *bomb = sc_calloc(room, 1);
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    assert_non_null(ctx);
    ZSTD_CCtx_setPledgedSrcSize(ctx, (unsigned long long)2 << 30);
    static const uint8_t zeros[1 << 20];
    ZSTD_outBuffer out = {bomb, room, 0};
    for (int i = 0; i < 2048; i++) {
        ZSTD_inBuffer in = {zeros, sizeof zeros, 0};
        while (in.pos < in.size)
            assert_false(
                ZSTD_isError(ZSTD_compressStream2(ctx, &out, &in, i == 2047 ? ZSTD_e_end : ZSTD_e_continue)));
    }
    ZSTD_inBuffer none = {zeros, 0, 0};
    ZSTD_compressStream2(ctx, &out, &none, ZSTD_e_end);
    ZSTD_freeCCtx(ctx);
    assert_rc(sc_decompress(sc_slice(bomb, out.pos), 1024u << 20, &plain, &err), SC_CORRUPT);
    assert_int_equal(plain.capacity, 0);
}

struct seen {
    char text[1000];
};

static void see(void *context, char change, struct sc_slice path)
{
    struct seen *seen = context;
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof seen->text - len, "%c" SC_SLICE_FMT "\n", change, SC_SLICE_ARG(path));
}

static void test_tree_diff_tells_each_path_that_differs(void **state)
{
    (void)state;
    struct sc_buf nodes[5];
    struct sc_digest digests[5];
    struct sc_tree_node made[5];
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_error err = SC_ERROR_INIT;
    sc_arena_init(&arena);
    for (int i = 0; i < 5; i++)
        sc_buf_init(&nodes[i], 0);
    add_node(NULL, 0, &nodes[4], &digests[4]);
    struct sc_tree_entry old_sub[] = {entry('f', "gone", "1"), entry('f', "kept", "2"),
                                      entry('f', "run", "3")};
    struct sc_tree_entry new_sub[] = {folder("empty", &digests[4]), entry('f', "kept", "2"),
                                      entry('x', "run", "3")};
    add_node(old_sub, 3, &nodes[1], &digests[1]);
    add_node(new_sub, 3, &nodes[2], &digests[2]);
    struct sc_tree_entry old_root[] = {entry('f', "a", "old"), folder("dir", &digests[1]),
                                       entry('l', "l", "a"), folder("was", &digests[1])};
    struct sc_tree_entry new_root[] = {entry('f', "a", "new"), folder("dir", &digests[2]),
                                       entry('l', "l", "b"), entry('f', "was", "")};
    add_node(old_root, 4, &nodes[0], &digests[0]);
    add_node(new_root, 4, &nodes[3], &digests[3]);
    for (int i = 0; i < 5; i++)
        assert_ok(sc_tree_node_decode(sc_buf_slice(&nodes[i]), &arena, &made[i], &err), err);
    struct sc_tree_node old_nodes[] = {made[0], made[1]}, new_nodes[] = {made[3], made[2], made[4]};
    struct sc_tree old = {.nodes = {old_nodes, 2}}, new = {.nodes = {new_nodes, 3}};
    struct seen seen = {""};
    sc_tree_diff(&old, &new, see, &seen);
    assert_string_equal(seen.text,
                        "~a\n+dir/empty/\n-dir/gone\n~dir/run\n~l\n-was/gone\n-was/kept\n-was/run\n+was\n");
    seen.text[0] = 0;
    sc_tree_diff(&old, &old, see, &seen);
    assert_string_equal(seen.text, "");
    for (int i = 0; i < 5; i++)
        sc_buf_done(&nodes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_node_bytes_are_pinned),
        cmocka_unit_test(test_tree_payload_bytes_are_pinned),
        cmocka_unit_test(test_tree_decode_gives_entries_and_sums_of_shared_folders),
        cmocka_unit_test(test_tree_wrong_nodes_are_refused),
        cmocka_unit_test(test_tree_any_flipped_byte_is_noticed),
        cmocka_unit_test(test_tree_node_refuses_names_kinds_and_refs_that_are_not_allowed),
        cmocka_unit_test(test_tree_node_refuses_names_unsorted_or_twice),
        cmocka_unit_test(test_tree_link_stays_inside_or_is_told),
        cmocka_unit_test(test_tree_link_is_judged_at_the_shallowest_place_of_its_folder),
        cmocka_unit_test(test_tree_that_unfolds_without_end_is_refused),
        cmocka_unit_test(test_tree_deeper_than_the_limit_is_refused),
        cmocka_unit_test(test_tree_bomb_is_not_unpacked),
        cmocka_unit_test(test_tree_diff_tells_each_path_that_differs),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
