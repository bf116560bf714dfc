#include "store/tree.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/compress.h"
#include "store/digestmap.h"

static const char node_version[] = "dir/1";
static const char tree_version[] = "stepcache.tree/1", packed_version[] = "stepcache.tree/2";

static bool is_name(struct sc_slice name)
{
    if (name.len == 0 || name.len > SC_LIMIT_FILENAME_BYTES || memchr(name.ptr, '/', name.len) ||
        memchr(name.ptr, 0, name.len))
        return false;
    return !sc_slice_eq_str(name, ".") && !sc_slice_eq_str(name, "..");
}

// How many folders up a target goes, or -1 when it is not allowed. ".." may only stand at the front: after a name it
// may go up from wherever a link of that name leads, and then text alone does not tell where it ends.
static int ups_of(struct sc_slice target)
{
    if (target.len == 0 || target.len >= SC_LIMIT_PATH_BYTES || target.ptr[0] == '/' ||
        memchr(target.ptr, 0, target.len))
        return -1;
    int ups = 0;
    bool named = false;
    while (target.len) {
        const uint8_t *slash = memchr(target.ptr, '/', target.len);
        size_t len = slash ? (size_t)(slash - target.ptr) : target.len;
        struct sc_slice part = sc_slice(target.ptr, len);
        target = sc_slice_from(target, slash ? len + 1 : len);
        if (len == 0 || sc_slice_eq_str(part, "."))
            continue;
        if (!sc_slice_eq_str(part, ".."))
            named = true;
        else if (named)
            return -1;
        else
            ups++;
    }
    return ups;
}

bool sc_tree_link_stays(struct sc_slice target, uint32_t depth)
{
    int ups = ups_of(target);
    return ups >= 0 && (uint32_t)ups <= depth;
}

static enum sc_rc decode_entry(struct sc_mp_reader *reader, struct sc_tree_entry *ret_entry,
                               struct sc_error *err)
{
    struct sc_tree_entry e = {0};
    uint32_t fields = sc_mp_get_array(reader);
    e.name = sc_mp_get_bin(reader);
    struct sc_slice kind = sc_mp_get_str(reader);
    if (reader->failed || fields != 4 || kind.len != 1)
        return sc_error_set(err, SC_MALFORMED, "folder node: an entry is not [name, kind, ref, bytes]");
    if (!is_name(e.name))
        return sc_error_set(err, SC_MALFORMED, "folder node: a name is not allowed");
    switch (kind.ptr[0]) {
    case SC_ENTRY_FILE:
    case SC_ENTRY_EXEC:
    case SC_ENTRY_DIR:
        e.digest = sc_mp_get_digest(reader);
        break;
    case SC_ENTRY_LINK:
        e.target = sc_mp_get_bin(reader);
        break;
    default:
        return sc_error_set(err, SC_MALFORMED, "folder node: unknown kind of entry");
    }
    e.kind = (enum sc_entry_kind)kind.ptr[0];
    e.bytes = sc_mp_get_uint(reader);
    if (reader->failed)
        return sc_error_set(err, SC_MALFORMED, "folder node: it ends early or is not in its shortest form");
    if ((e.kind == SC_ENTRY_DIR || e.kind == SC_ENTRY_LINK) && e.bytes != 0)
        return sc_error_set(err, SC_MALFORMED, "folder node: a folder or link with bytes");
    if (e.kind == SC_ENTRY_LINK ? ups_of(e.target) < 0 : sc_digest_is_zero(&e.digest))
        return sc_error_set(err, SC_MALFORMED, "folder node: a link that may leave, or an empty digest");
    *ret_entry = e;
    return SC_OK;
}

// As sc_tree_node_decode, with the digest known.
static enum sc_rc decode_node(struct sc_slice encoding, struct sc_arena *arena, struct sc_tree_node *ret_node,
                              struct sc_error *err)
{
    struct sc_mp_reader reader = sc_mp_reader(encoding);
    uint32_t fields = sc_mp_get_array(&reader);
    struct sc_slice version = sc_mp_get_str(&reader);
    uint32_t count = sc_mp_get_array(&reader);
    if (!reader.failed && !sc_slice_eq_str(version, node_version))
        return sc_error_set(err, SC_VERSION, "folder node of an unknown version");
    if (reader.failed || fields != 2 || count > encoding.len / 6) // an entry takes more than 6 bytes
        return sc_error_set(err, SC_MALFORMED, "folder node: not [\"%s\", entries]", node_version);
    struct sc_tree_entry *entries = SC_NEW_ARRAY(arena, count, struct sc_tree_entry);
    for (uint32_t i = 0; i < count; i++) {
        enum sc_rc rc = decode_entry(&reader, &entries[i], err);
        if (rc != SC_OK)
            return rc;
        if (i > 0 && sc_slice_cmp(entries[i - 1].name, entries[i].name) >= 0)
            return sc_error_set(err, SC_MALFORMED,
                                "folder node: its names are not sorted, or one stands twice");
    }
    if (!sc_mp_finished(&reader))
        return sc_error_set(err, SC_MALFORMED, "folder node: bytes follow its end");
    ret_node->encoding = encoding;
    ret_node->entries.items = entries;
    ret_node->entries.count = count;
    return SC_OK;
}

enum sc_rc sc_tree_node_decode(struct sc_slice encoding, struct sc_arena *arena,
                               struct sc_tree_node *ret_node, struct sc_error *err)
{
    struct sc_tree_node node = {.digest = sc_digest_of(encoding)};
    enum sc_rc rc = decode_node(encoding, arena, &node, err);
    if (rc == SC_OK)
        *ret_node = node;
    return rc;
}

void sc_tree_encode(const struct sc_tree *tree, struct sc_buf *out)
{
    SC_AUTO_BUF struct sc_buf plain;
    sc_buf_init(&plain, SC_LIMIT_TREE_BYTES);
    bool packed = tree->packs.count > 0;
    sc_mp_put_array(&plain, packed ? 3 : 2);
    sc_mp_put_cstr(&plain, packed ? packed_version : tree_version);
    sc_mp_put_array(&plain, tree->nodes.count);
    for (uint32_t i = 0; i < tree->nodes.count; i++)
        sc_mp_put_bin(&plain, tree->nodes.items[i].encoding);
    if (packed)
        sc_mp_put_array(&plain, tree->packs.count);
    for (uint32_t i = 0; i < tree->packs.count; i++) {
        sc_mp_put_array(&plain, 2);
        sc_mp_put_digest(&plain, &tree->packs.items[i].digest);
        sc_mp_put_uint(&plain, tree->packs.items[i].bytes);
    }
    if (plain.overflow)
        out->overflow = true;
    else
        sc_compress(sc_buf_slice(&plain), out);
}

// What is known of a node while a tree is checked. Sums are of the node with all below it, a folder that stands in
// two places counted twice: what a layout of it would hold.
struct seen {
    struct sc_tree_node *node;
    uint32_t min_depth; // the shallowest place where it stands: there its links may go up least
    uint32_t height;    // of folders below it
    uint64_t files, bytes, entries;
    bool visited, finished;
};

struct checker {
    struct sc_digest_map by_digest; // -> struct seen
    struct seen *seen;
    uint32_t next; // index of the node that must be met next: the order is that of a first visit, depth first
};

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static enum sc_rc check_node(struct checker *c, struct seen *at, uint32_t depth, struct sc_error *err)
{
    if (depth > SC_LIMIT_TREE_DEPTH)
        return sc_error_set(err, SC_LIMIT, "tree: deeper than %d folders", SC_LIMIT_TREE_DEPTH);
    if (at != &c->seen[c->next])
        return sc_error_set(err, SC_MALFORMED, "tree: its nodes are not in order");
    c->next++;
    at->visited = true;
    for (uint32_t i = 0; i < at->node->entries.count; i++) {
        const struct sc_tree_entry *e = &at->node->entries.items[i];
        at->entries = add(at->entries, 1);
        if (e->kind == SC_ENTRY_FILE || e->kind == SC_ENTRY_EXEC) {
            at->files = add(at->files, 1);
            at->bytes = add(at->bytes, e->bytes);
        }
        if (e->kind != SC_ENTRY_DIR)
            continue;
        struct seen *below = sc_digest_map_get(&c->by_digest, &e->digest);
        if (!below)
            return sc_error_set(err, SC_CORRUPT,
                                "tree: the node of folder " SC_SLICE_FMT " is missing or damaged",
                                SC_SLICE_ARG(e->name));
        if (below->visited && !below->finished)
            return sc_error_set(err, SC_CORRUPT, "tree: a folder in itself"); // no digest can do that
        if (!below->visited) {
            enum sc_rc rc = check_node(c, below, depth + 1, err);
            if (rc != SC_OK)
                return rc;
        }
        if (below->height + 1 > at->height)
            at->height = below->height + 1;
        at->files = add(at->files, below->files);
        at->bytes = add(at->bytes, below->bytes);
        at->entries = add(at->entries, below->entries);
    }
    at->finished = true;
    return SC_OK;
}

// Level by level: the first level at which a node is met is its shallowest.
static enum sc_rc check_links(struct checker *c, uint32_t count, struct sc_error *err)
{
    SC_AUTO_FREE struct seen **queue = sc_calloc(count, sizeof(struct seen *));
    SC_AUTO_FREE bool *queued = sc_calloc(count, sizeof(bool));
    uint32_t head = 0, tail = 0;
    queue[tail++] = c->seen;
    queued[0] = true;
    while (head < tail) {
        const struct seen *at = queue[head++];
        for (uint32_t i = 0; i < at->node->entries.count; i++) {
            const struct sc_tree_entry *e = &at->node->entries.items[i];
            if (e->kind == SC_ENTRY_LINK && !sc_tree_link_stays(e->target, at->min_depth))
                return sc_error_set(err, SC_UNSUPPORTED, "tree: the link " SC_SLICE_FMT " leaves it",
                                    SC_SLICE_ARG(e->name));
            struct seen *below =
                e->kind == SC_ENTRY_DIR ? sc_digest_map_get(&c->by_digest, &e->digest) : NULL;
            if (!below || queued[below - c->seen])
                continue;
            queued[below - c->seen] = true;
            below->min_depth = at->min_depth + 1;
            queue[tail++] = below;
        }
    }
    return SC_OK;
}

static enum sc_rc check_tree(struct sc_tree *tree, struct checker *c, struct sc_error *err)
{
    for (uint32_t i = 0; i < tree->nodes.count; i++) {
        c->seen[i].node = &tree->nodes.items[i];
        if (sc_digest_map_get(&c->by_digest, &tree->nodes.items[i].digest))
            return sc_error_set(err, SC_MALFORMED, "tree: a node stands twice");
        sc_digest_map_put(&c->by_digest, &tree->nodes.items[i].digest, &c->seen[i]);
    }
    enum sc_rc rc = check_node(c, &c->seen[0], 0, err);
    if (rc != SC_OK)
        return rc;
    if (c->next != tree->nodes.count)
        return sc_error_set(err, SC_MALFORMED, "tree: it holds nodes that nothing names");
    if (c->seen[0].height > SC_LIMIT_TREE_DEPTH)
        return sc_error_set(err, SC_LIMIT, "tree: deeper than %d folders", SC_LIMIT_TREE_DEPTH);
    if (c->seen[0].entries > SC_LIMIT_TREE_ENTRIES || c->seen[0].bytes > INT64_MAX)
        return sc_error_set(err, SC_LIMIT, "tree: more than %d entries", SC_LIMIT_TREE_ENTRIES);
    tree->files = c->seen[0].files;
    tree->bytes = c->seen[0].bytes;
    return check_links(c, tree->nodes.count, err);
}

static bool decode_packs(struct sc_mp_reader *reader, size_t most, struct sc_arena *arena,
                         struct sc_tree *tree)
{
    uint32_t count = sc_mp_get_array(reader);
    if (reader->failed || count == 0 || count > most / SC_DIGEST_BYTES)
        return false;
    tree->packs.items = SC_NEW_ARRAY(arena, count, struct sc_pack_ref);
    tree->packs.count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (sc_mp_get_array(reader) != 2)
            return false;
        tree->packs.items[i].digest = sc_mp_get_digest(reader);
        tree->packs.items[i].bytes = sc_mp_get_uint(reader);
    }
    return !reader->failed;
}

static enum sc_rc decode_plain(struct sc_slice bytes, const struct sc_digest *root, struct sc_arena *arena,
                               struct sc_tree *ret_tree, struct sc_error *err)
{
    enum { LEAST_NODE_BYTES = 10 }; // bin 8 with ["dir/1", []]
    struct sc_mp_reader reader = sc_mp_reader(bytes);
    uint32_t fields = sc_mp_get_array(&reader);
    struct sc_slice version = sc_mp_get_str(&reader);
    uint32_t count = sc_mp_get_array(&reader);
    bool packed = sc_slice_eq_str(version, packed_version);
    if (!reader.failed && !packed && !sc_slice_eq_str(version, tree_version) &&
        sc_slice_starts(version, "stepcache.tree/"))
        return sc_error_set(err, SC_VERSION, "tree of an unknown version");
    if (reader.failed || fields != (packed ? 3 : 2) || (!packed && !sc_slice_eq_str(version, tree_version)) ||
        count == 0 || count > bytes.len / LEAST_NODE_BYTES)
        return sc_error_set(err, SC_MALFORMED, "tree: not of the form of %s", tree_version);
    struct sc_tree tree = {0};
    tree.nodes.items = SC_NEW_ARRAY(arena, count, struct sc_tree_node);
    tree.nodes.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct sc_slice encoding = sc_mp_get_bin(&reader);
        if (reader.failed)
            break;
        tree.nodes.items[i].digest = sc_digest_of(encoding);
        if (i == 0 && !sc_digest_eq(&tree.nodes.items[0].digest, root))
            return sc_error_set(err, SC_CORRUPT, "tree: its root has another digest");
        enum sc_rc rc = decode_node(encoding, arena, &tree.nodes.items[i], err);
        if (rc != SC_OK)
            return rc;
    }
    if ((packed && !decode_packs(&reader, bytes.len, arena, &tree)) || !sc_mp_finished(&reader))
        return sc_error_set(err, SC_MALFORMED, "tree: it ends early or late");
    struct checker c = {.seen = sc_calloc(count, sizeof *c.seen)};
    enum sc_rc rc = check_tree(&tree, &c, err);
    free(c.seen);
    sc_digest_map_done(&c.by_digest);
    if (rc == SC_OK)
        *ret_tree = tree;
    return rc;
}

enum sc_rc sc_tree_decode(struct sc_slice compressed, const struct sc_digest *root, struct sc_arena *arena,
                          struct sc_tree *ret_tree, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf plain;
    sc_buf_init(&plain, SC_LIMIT_TREE_BYTES);
    enum sc_rc rc = sc_decompress(compressed, SC_LIMIT_TREE_BYTES, &plain, err);
    if (rc != SC_OK)
        return sc_error_wrap(err, rc, "tree");
    return decode_plain(sc_arena_copy(arena, sc_buf_slice(&plain)), root, arena, ret_tree, err);
}

const struct sc_tree_node *sc_tree_find(const struct sc_tree *tree, const struct sc_digest *digest)
{
    for (uint32_t i = 0; i < tree->nodes.count; i++)
        if (sc_digest_eq(&tree->nodes.items[i].digest, digest))
            return &tree->nodes.items[i];
    return NULL;
}

struct diff {
    struct sc_digest_map a, b; // nodes by digest
    sc_tree_diff_fn report;
    void *context;
    struct sc_buf path;
};

static void index_nodes(struct sc_digest_map *map, const struct sc_tree *tree)
{
    for (uint32_t i = 0; i < tree->nodes.count; i++)
        sc_digest_map_put(map, &tree->nodes.items[i].digest, &tree->nodes.items[i]);
}

static void diff_folders(struct diff *d, const struct sc_digest *a, const struct sc_digest *b);

// Reports one entry that stands on one side only, with all below it.
static void diff_side(struct diff *d, char change, const struct sc_tree_entry *e)
{
    size_t len = d->path.len;
    sc_buf_add_slice(&d->path, e->name);
    if (e->kind == SC_ENTRY_DIR) {
        const struct sc_tree_node *node = sc_digest_map_get(change == '-' ? &d->a : &d->b, &e->digest);
        sc_buf_add_byte(&d->path, '/');
        if (node && node->entries.count)
            diff_folders(d, change == '-' ? &e->digest : NULL, change == '-' ? NULL : &e->digest);
        else
            d->report(d->context, change, sc_buf_slice(&d->path)); // an empty folder is told by its own path
    } else {
        d->report(d->context, change, sc_buf_slice(&d->path));
    }
    d->path.len = len;
}

static bool is_same(const struct sc_tree_entry *a, const struct sc_tree_entry *b)
{
    return a->kind == b->kind && (a->kind == SC_ENTRY_LINK ? sc_slice_eq(a->target, b->target)
                                                           : sc_digest_eq(&a->digest, &b->digest));
}

static void diff_both(struct diff *d, const struct sc_tree_entry *a, const struct sc_tree_entry *b)
{
    if (is_same(a, b))
        return;
    size_t len = d->path.len;
    if (a->kind == SC_ENTRY_DIR && b->kind == SC_ENTRY_DIR) {
        sc_buf_add_slice(&d->path, a->name);
        sc_buf_add_byte(&d->path, '/');
        diff_folders(d, &a->digest, &b->digest);
    } else if (a->kind == SC_ENTRY_DIR || b->kind == SC_ENTRY_DIR) {
        diff_side(d, '-', a);
        diff_side(d, '+', b);
    } else {
        sc_buf_add_slice(&d->path, a->name);
        d->report(d->context, '~', sc_buf_slice(&d->path));
    }
    d->path.len = len;
}

static void diff_folders(struct diff *d, const struct sc_digest *a, const struct sc_digest *b)
{
    const struct sc_tree_node *left = a ? sc_digest_map_get(&d->a, a) : NULL;
    const struct sc_tree_node *right = b ? sc_digest_map_get(&d->b, b) : NULL;
    uint32_t i = 0, k = 0, left_count = left ? left->entries.count : 0,
             right_count = right ? right->entries.count : 0;
    while (i < left_count || k < right_count) {
        int order = i == left_count ? 1
                    : k == right_count
                        ? -1
                        : sc_slice_cmp(left->entries.items[i].name, right->entries.items[k].name);
        if (order < 0)
            diff_side(d, '-', &left->entries.items[i++]);
        else if (order > 0)
            diff_side(d, '+', &right->entries.items[k++]);
        else
            diff_both(d, &left->entries.items[i++], &right->entries.items[k++]);
    }
}

void sc_tree_diff(const struct sc_tree *a, const struct sc_tree *b, sc_tree_diff_fn report, void *context)
{
    struct diff d = {.report = report, .context = context};
    sc_buf_init(&d.path, 0);
    index_nodes(&d.a, a);
    index_nodes(&d.b, b);
    if (a->nodes.count && b->nodes.count &&
        !sc_digest_eq(&a->nodes.items[0].digest, &b->nodes.items[0].digest))
        diff_folders(&d, &a->nodes.items[0].digest, &b->nodes.items[0].digest);
    sc_buf_done(&d.path);
    sc_digest_map_done(&d.a);
    sc_digest_map_done(&d.b);
}
