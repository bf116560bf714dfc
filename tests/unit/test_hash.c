#include "tests/unit/store_test.h"

#include "store/hash.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

// Hashes state's folder `name`; the tree lies in an arena that the test's end frees.
struct hashed {
    struct sc_arena arena;
    struct sc_tree tree;
    struct sc_error err;
    enum sc_rc rc;
};

static void hash_below(struct hashed *h, const char *scratch, const char *name,
                       const struct sc_hash_options *options)
{
    SC_AUTO_FREE char *path = sc_scratch_path(scratch, name);
    *h = (struct hashed){.err = SC_ERROR_INIT};
    sc_arena_init(&h->arena);
    h->rc = sc_hash_dir(path, options, &h->arena, &h->tree, &h->err);
}

static void done(struct hashed *h)
{
    sc_arena_done(&h->arena);
}

static struct sc_digest digest_of(const char *scratch, const char *name,
                                  const struct sc_hash_options *options)
{
    struct hashed h;
    hash_below(&h, scratch, name, options);
    if (h.rc != SC_OK)
        fail_msg("%s", h.err.message);
    struct sc_digest digest = h.tree.nodes.items[0].digest;
    done(&h);
    return digest;
}

static const struct sc_tree_entry *find(const struct hashed *h, uint32_t node, const char *name)
{
    const struct sc_tree_node *n = &h->tree.nodes.items[node];
    for (uint32_t i = 0; i < n->entries.count; i++)
        if (sc_slice_eq_str(n->entries.items[i].name, name))
            return &n->entries.items[i];
    return NULL;
}

static void assert_refused(const char *scratch, const char *name, enum sc_rc rc, const char *part,
                           const char *why)
{
    struct hashed h;
    hash_below(&h, scratch, name, NULL);
    assert_rc(h.rc, rc);
    assert_contains(h.err.message, part);
    assert_contains(h.err.message, why);
    done(&h);
}

static void test_hash_file_is_what_sha256sum_prints(void **state)
{
    struct sc_artifact a;
    struct sc_error err = SC_ERROR_INIT;
    PATH(path, "data.tar.gz");
    write_text(path, "abc");
    assert_ok(sc_hash_file(path, NULL, &a, &err), err);
    assert_hex(&a.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(a.bytes, 3);
    assert_int_equal(a.files, 1);
    assert_false(a.exec);
    assert_slice(a.ext, ".tar.gz");
    write_text(path, "");
    assert_int_equal(chmod(path, 0755), 0);
    assert_ok(sc_hash_file(path, NULL, &a, &err), err);
    assert_hex(&a.digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_true(a.exec);
}

// By an implementation of the format that shares nothing with ours.
static void test_hash_dir_is_what_treecheck_computes(void **state)
{
    const char *source = getenv("STEPCACHE_SOURCE");
    PATH(root, "tree");
    static const char *const names[] = {"-rf",         "a b", "quote\"'", "new\nline", "\xc3\xa9t\xc3\xa9",
                                        "raw\xff\xfe", "~",   ".hidden",  "zz"};
    make_dir(root);
    for (size_t i = 0; i < SC_COUNT(names); i++)
        write_below(root, names[i], names[i]);
    SC_AUTO_FREE char *sub = sc_scratch_path(root, "sub");
    SC_AUTO_FREE char *empty = sc_scratch_path(root, "sub/empty");
    SC_AUTO_FREE char *link = sc_scratch_path(root, "sub/link");
    SC_AUTO_FREE char *run = sc_scratch_path(root, "sub/run");
    SC_AUTO_FREE char *large = sc_scratch_path(root, "sub/large");
    make_dir(sub);
    make_dir(empty);
    assert_int_equal(symlink("../a b", link), 0);
    write_text(run, "#!/bin/sh\n");
    assert_int_equal(chmod(run, 0700), 0);
    SC_AUTO_FREE char *bytes = sc_calloc(70000, 1);
    memset(bytes, 'x', 70000);
    write_bytes(large, bytes, 70000);
    SC_AUTO_FREE char *command =
        sc_asprintf("python3 '%s/tests/lib/treecheck.py' '%s'", source ? source : ".", root);
    FILE *pipe = popen(command, "r");
    char want[256] = "";
    assert_non_null(pipe);
    size_t len = fread(want, 1, sizeof want - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    assert_true(len == SC_DIGEST_HEX_BYTES && want[len - 1] == '\n');
    want[len - 1] = 0;
    struct sc_digest digest = digest_of(*state, "tree", NULL);
    assert_hex(&digest, want);
}

static void test_hash_dir_ignores_times_owners_and_other_mode_bits(void **state)
{
    PATH(root, "tree");
    PATH(file, "tree/f");
    make_dir(root);
    write_text(file, "abc");
    struct sc_digest before = digest_of(*state, "tree", NULL);
    assert_int_equal(chmod(file, 0466), 0);
    assert_int_equal(utimensat(AT_FDCWD, file, (struct timespec[]){{1, 0}, {1, 0}}, 0), 0);
    struct sc_digest after = digest_of(*state, "tree", NULL);
    assert_true(sc_digest_eq(&before, &after));
    assert_int_equal(chmod(file, 0544), 0);
    after = digest_of(*state, "tree", NULL);
    assert_false(sc_digest_eq(&before, &after));
}

static void test_hash_dir_gives_sums_kinds_and_the_root_first(void **state)
{
    struct hashed h;
    PATH(root, "tree");
    PATH(a, "tree/a");
    PATH(b, "tree/b");
    make_dir(root);
    make_dir(a);
    make_dir(b);
    write_below(a, "f", "same");
    write_below(b, "f", "same");
    write_below(root, "g", "12");
    hash_below(&h, *state, "tree", NULL);
    assert_rc(h.rc, SC_OK);
    assert_int_equal(h.tree.nodes.count, 2); // a and b are one node
    assert_int_equal(h.tree.files, 3);
    assert_int_equal(h.tree.bytes, 10);
    assert_int_equal(find(&h, 0, "a")->kind, SC_ENTRY_DIR);
    assert_int_equal(find(&h, 0, "g")->kind, SC_ENTRY_FILE);
    assert_int_equal(find(&h, 0, "g")->bytes, 2);
    struct sc_artifact artifact = sc_hash_dir_artifact(&h.tree);
    assert_int_equal(artifact.kind, SC_ARTIFACT_DIR);
    assert_int_equal(artifact.files, 3);
    assert_true(sc_digest_eq(&artifact.digest, &h.tree.nodes.items[0].digest));
    done(&h);
}

static void test_hash_dir_of_many_threads_is_that_of_one(void **state)
{
    PATH(root, "tree");
    make_dir(root);
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "d%02d", i);
        SC_AUTO_FREE char *folder = sc_scratch_path(root, name);
        make_dir(folder);
        for (int k = 0; k < 25; k++) {
            char text[32];
            snprintf(name, sizeof name, "f%d", k);
            snprintf(text, sizeof text, "%d %d", i, k);
            write_below(folder, name, text);
        }
    }
    SC_AUTO_FREE char *large = sc_scratch_path(root, "large");
    SC_AUTO_FREE char *bytes = sc_calloc(9 << 20, 1);
    memset(bytes, 'y', 9 << 20);
    write_bytes(large, bytes, 9 << 20);
    PATH(memo_path, "memo");
    struct sc_memo *memo = sc_memo_open(memo_path, 10000);
    struct sc_hash_options one = {.threads = 1}, many = {.threads = 8, .memo = memo};
    struct sc_digest want = digest_of(*state, "tree", &one);
    for (int i = 0; i < 4; i++) {
        struct sc_digest found = digest_of(*state, "tree", &many);
        assert_true(sc_digest_eq(&want, &found));
    }
    sc_memo_close(memo);
}

static struct sc_volume volume_of(const char *path)
{
    SC_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return sc_volume_of(fd);
}

// Makes files older than the memo's rule asks for, since a test does not sleep. ctime cannot be set: so the clock of the
// rule is the memo's caller's, and the walk is tried with a memo that was told a later moment.
static void remember_now(struct sc_memo *memo, const char *path, const char *content)
{
    struct stat st;
    struct sc_digest digest;
    digest_of_text(content, &digest);
    assert_int_equal(lstat(path, &st), 0);
    struct sc_volume volume = volume_of(path);
    sc_memo_remember(memo, &volume, &st, INT64_MAX, &digest);
}

static void test_hash_takes_an_unchanged_file_from_the_memo_and_reads_a_changed_one(void **state)
{
    struct hashed h;
    PATH(root, "tree");
    PATH(file, "tree/f");
    PATH(memo_path, "memo");
    make_dir(root);
    write_text(file, "real");
    struct sc_memo *memo = sc_memo_open(memo_path, 100);
    struct sc_hash_options options = {.memo = memo};
    struct sc_digest lie, real;
    digest_of_text("lie!", &lie);
    digest_of_text("real", &real);
    remember_now(memo, file, "lie!"); // a lie shows that the file was not read
    hash_below(&h, *state, "tree", &options);
    assert_true(sc_digest_eq(&find(&h, 0, "f")->digest, &lie));
    done(&h);
    struct sc_artifact a;
    struct sc_error err = SC_ERROR_INIT;
    assert_ok(sc_hash_file(file, &options, &a, &err), err);
    assert_true(sc_digest_eq(&a.digest, &lie));
    assert_int_equal(utimensat(AT_FDCWD, file, (struct timespec[]){{1, 0}, {1, 0}}, 0), 0);
    hash_below(&h, *state, "tree", &options);
    assert_true(sc_digest_eq(&find(&h, 0, "f")->digest, &real));
    done(&h);
    assert_ok(sc_hash_file(file, &options, &a, &err), err);
    assert_true(sc_digest_eq(&a.digest, &real));
    sc_memo_close(memo);
}

static void test_hash_does_not_remember_a_file_that_is_as_young_as_the_hashing(void **state)
{
    PATH(file, "f");
    PATH(memo_path, "memo");
    struct sc_memo *memo = sc_memo_open(memo_path, 100);
    struct sc_hash_options options = {.memo = memo};
    struct sc_artifact a;
    struct sc_error err = SC_ERROR_INIT;
    write_text(file, "new");
    // A ctime in the future of the hashing is what a file has that is written in the same tick.
    struct timespec future = {.tv_sec = 4000000000};
    assert_int_equal(utimensat(AT_FDCWD, file, (struct timespec[]){future, future}, 0), 0);
    assert_ok(sc_hash_file(file, &options, &a, &err), err);
    struct stat st;
    struct sc_digest digest;
    assert_int_equal(stat(file, &st), 0);
    struct sc_volume volume = volume_of(file);
    assert_false(sc_memo_find(memo, &volume, &st, &digest));
    sc_memo_close(memo);
}

// The memo's moment lies past what was written before this call.
static void let_the_clock_tick(const char *scratch, struct sc_memo *memo)
{
    struct sc_hash_options options = {.memo = memo};
    SC_AUTO_FREE char *control = sc_scratch_path(scratch, "control");
    write_text(control, "made last");
    SC_AUTO_CLOSE int fd = open(control, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    struct sc_volume volume = sc_volume_of(fd);
    bool known = sc_memo_moment(fd, &volume) == SC_MEMO_NEVER; // of nothing that lies here
    while (!known) {
        struct sc_artifact a;
        struct sc_error err = SC_ERROR_INIT;
        struct sc_digest digest;
        assert_ok(sc_hash_file(control, &options, &a, &err), err);
        known = sc_memo_find(memo, &volume, &st, &digest);
    }
}

// The first byte of a file, to be stored to as a program does that keeps an array in it.
static volatile char *map_writable(const char *path)
{
    SC_AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char *at = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

static void assert_hashed(const char *path, const struct sc_hash_options *options, const char *content)
{
    struct sc_artifact a;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_digest want;
    digest_of_text(content, &want);
    assert_ok(sc_hash_file(path, options, &a, &err), err);
    assert_true(sc_digest_eq(&a.digest, &want));
}

static void test_hash_sees_what_is_stored_through_a_mapping_that_was_there_before(void **state)
{
    PATH(root, "tree");
    PATH(file, "tree/f");
    PATH(memo_path, "memo");
    make_dir(root);
    write_text(file, "0");
    struct sc_memo *memo = sc_memo_open(memo_path, 100);
    struct sc_hash_options options = {.memo = memo};
    volatile char *byte = map_writable(file);
    *byte = '1'; // stamps the file; what is stored till the page is written back does not
    let_the_clock_tick(*state, memo);
    struct sc_digest one = digest_of(*state, "tree", &options);
    assert_hashed(file, &options, "1");
    *byte = '2';
    struct sc_digest two = digest_of(*state, "tree", &options);
    assert_false(sc_digest_eq(&one, &two));
    assert_hashed(file, &options, "2");
    munmap((void *)(uintptr_t)byte, 1);
    sc_memo_close(memo);
}

// tmpfs maps a page that is read writable at once: stores through it stamp nothing, ever.
static void test_hash_sees_what_is_stored_through_a_later_mapping_of_a_tmpfs_file(void **state)
{
    PATH(memo_path, "memo");
    char file[] = "/dev/shm/stepcache-hash-XXXXXX";
    int fd = mkostemp(file, O_CLOEXEC);
    if (fd < 0) {
        print_message("skipped: no /dev/shm\n");
        return;
    }
    sc_fd_close(fd);
    write_text(file, "1");
    struct sc_memo *memo = sc_memo_open(memo_path, 100);
    struct sc_hash_options options = {.memo = memo};
    let_the_clock_tick(*state, memo);
    assert_hashed(file, &options, "1");
    volatile char *byte = map_writable(file);
    if (*byte == '1')
        *byte = '2';
    assert_hashed(file, &options, "2");
    munmap((void *)(uintptr_t)byte, 1);
    unlink(file);
    sc_memo_close(memo);
}

static void test_hash_refuses_fifo_socket_and_device_by_name(void **state)
{
    PATH(root, "tree");
    PATH(fifo, "tree/pipe here");
    make_dir(root);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_refused(*state, "tree", SC_UNSUPPORTED, "tree/pipe here", "FIFO");
    struct sc_artifact a;
    struct sc_error err = SC_ERROR_INIT;
    assert_rc(sc_hash_file(fifo, NULL, &a, &err), SC_UNSUPPORTED);
    assert_contains(err.message, "FIFO");
    assert_int_equal(unlink(fifo), 0);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/tree/sock", (const char *)*state);
    SC_AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_refused(*state, "tree", SC_UNSUPPORTED, "tree/sock", "socket");
    assert_rc(sc_hash_file(address.sun_path, NULL, &a, &err), SC_UNSUPPORTED);
    assert_contains(err.message, "socket");
    assert_int_equal(unlink(address.sun_path), 0);

    assert_rc(sc_hash_file("/dev/null", NULL, &a, &err), SC_UNSUPPORTED);
    assert_contains(err.message, "device");
    assert_rc(sc_hash_file(root, NULL, &a, &err), SC_UNSUPPORTED);
    assert_contains(err.message, "folder");
}

static void test_hash_refuses_links_that_leave_and_keeps_those_that_stay(void **state)
{
    static const struct {
        const char *target;
        bool stays;
    } cases[] = {{"/etc/passwd", false}, {"../outside", false}, {"../../tree/f", false}, {"f", true},
                 {"sub/../../x", false}, {"nowhere", true}};
    PATH(root, "tree");
    PATH(link, "tree/the link");
    make_dir(root);
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        assert_int_equal(symlink(cases[i].target, link), 0);
        if (!cases[i].stays)
            assert_refused(*state, "tree", SC_UNSUPPORTED, "tree/the link", "link");
        else
            digest_of(*state, "tree", NULL);
        assert_int_equal(unlink(link), 0);
    }
}

static void test_hash_follows_a_root_that_is_a_link_only_when_asked(void **state)
{
    PATH(root, "tree");
    PATH(link, "link");
    PATH(file, "tree/f");
    PATH(file_link, "file-link");
    struct hashed h;
    struct sc_artifact a;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_hash_options follow = {.follow_root = true};
    make_dir(root);
    write_text(file, "abc");
    assert_int_equal(symlink("tree", link), 0);
    assert_int_equal(symlink("tree/f", file_link), 0);
    hash_below(&h, *state, "link", NULL);
    assert_rc(h.rc, SC_UNSUPPORTED);
    assert_contains(h.err.message, "link");
    done(&h);
    struct sc_digest one = digest_of(*state, "tree", NULL), other = digest_of(*state, "link", &follow);
    assert_true(sc_digest_eq(&one, &other));
    assert_rc(sc_hash_file(file_link, NULL, &a, &err), SC_UNSUPPORTED);
    assert_ok(sc_hash_file(file_link, &follow, &a, &err), err);
    assert_int_equal(a.bytes, 3);
}

static void test_hash_of_what_is_not_there_is_not_found(void **state)
{
    struct hashed h;
    PATH(path, "missing");
    struct sc_artifact a;
    struct sc_error err = SC_ERROR_INIT;
    hash_below(&h, *state, "missing", NULL);
    assert_rc(h.rc, SC_NOT_FOUND);
    done(&h);
    assert_rc(sc_hash_file(path, NULL, &a, &err), SC_NOT_FOUND);
    assert_contains(err.message, "missing");
    write_text(path, "a file");
    hash_below(&h, *state, "missing", NULL);
    assert_rc(h.rc, SC_UNSUPPORTED);
    done(&h);
}

static int hash_as_nobody(void *context)
{
    // From inside the folder: the way there may be closed to others.
    struct hashed h;
    if (chdir(context) || (geteuid() == 0 && (setgid(65534) || setuid(65534))))
        return 2;
    hash_below(&h, ".", "tree", NULL);
    bool named = strstr(h.err.message, "tree/secret") != NULL;
    if (h.rc != SC_DENIED || !named)
        fprintf(stderr, "%s: %s\n", sc_rc_name(h.rc), h.err.message);
    return h.rc == SC_DENIED && named ? 0 : 1;
}

static void test_hash_unreadable_file_or_folder_is_denied_by_name(void **state)
{
    PATH(root, "tree");
    PATH(secret, "tree/secret");
    make_dir(root);
    assert_int_equal(chmod(*state, 0755), 0);
    write_text(secret, "s");
    assert_int_equal(chmod(secret, 0), 0);
    assert_int_equal(wait_child(start_child(hash_as_nobody, *state)), 0);
    assert_int_equal(unlink(secret), 0);
    make_dir(secret);
    assert_int_equal(chmod(secret, 0), 0);
    assert_int_equal(wait_child(start_child(hash_as_nobody, *state)), 0);
}

struct meddler {
    const char *path;
    int seen;
    void (*meddle)(const char *path);
};

static void meddle_once(void *context, uint64_t bytes, uint64_t files)
{
    (void)files;
    struct meddler *m = context;
    if (bytes > 0 && m->seen++ == 0)
        m->meddle(m->path);
}

static void append_byte(const char *path)
{
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), 1);
}

static void cut(const char *path)
{
    assert_int_equal(truncate(path, 1000), 0);
}

static void touch(const char *path)
{
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){{1, 0}, {1, 0}}, 0), 0);
}

static void test_hash_of_a_file_that_changes_meanwhile_is_busy_by_name(void **state)
{
    static void (*const meddles[])(const char *) = {append_byte, cut, touch};
    enum { BYTES = 3 << 20 };
    PATH(root, "tree");
    PATH(file, "tree/moving");
    make_dir(root);
    SC_AUTO_FREE char *bytes = sc_calloc(BYTES, 1);
    memset(bytes, 'z', BYTES);
    for (size_t i = 0; i < SC_COUNT(meddles); i++) {
        struct hashed h;
        write_bytes(file, bytes, BYTES);
        struct meddler m = {.path = file, .meddle = meddles[i]};
        struct sc_hash_options options = {.threads = 1, .progress = meddle_once, .context = &m};
        hash_below(&h, *state, "tree", &options);
        assert_rc(h.rc, SC_BUSY);
        assert_contains(h.err.message, "tree/moving");
        done(&h);
    }
}

static void vanish(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void test_hash_of_a_file_that_vanishes_is_busy_by_name(void **state)
{
    struct hashed h;
    PATH(root, "tree");
    PATH(last, "tree/z-last");
    make_dir(root);
    write_below(root, "first", "1");
    write_text(last, "2");
    struct meddler m = {.path = last, .meddle = vanish};
    struct sc_hash_options options = {.threads = 1, .progress = meddle_once, .context = &m};
    hash_below(&h, *state, "tree", &options);
    assert_rc(h.rc, SC_BUSY);
    assert_contains(h.err.message, "tree/z-last vanished");
    done(&h);
}

// A file as large as this is hashed where it lies in the page cache; who cuts it there must wait, and nothing may crash.
static void *cut_again_and_again(void *context)
{
    const char *path = context;
    for (int i = 0; i < 200; i++) {
        (void)!truncate(path, 1 << 20);
        (void)!truncate(path, 24 << 20);
    }
    return NULL;
}

static void test_hash_survives_a_large_file_that_is_cut_under_it(void **state)
{
    PATH(file, "large");
    struct sc_artifact a;
    pthread_t thread;
    SC_AUTO_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 24 << 20), 0);
    sc_close_fd(&fd);
    fd = -1;
    assert_int_equal(pthread_create(&thread, NULL, cut_again_and_again, file), 0);
    for (int i = 0; i < 50; i++) {
        struct sc_error err = SC_ERROR_INIT;
        enum sc_rc rc = sc_hash_file(file, NULL, &a, &err);
        assert_true(rc == SC_OK || rc == SC_BUSY);
    }
    pthread_join(thread, NULL);
}

static void test_hash_sparse_file_is_hashed_as_its_zeros(void **state)
{
    PATH(sparse, "sparse");
    PATH(dense, "dense");
    enum { BYTES = 12 << 20 };
    struct sc_artifact a, b;
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *bytes = sc_calloc(BYTES, 1);
    memcpy(bytes + 5000000, "middle", 6);
    memcpy(bytes + BYTES - 4, "last", 4);
    write_bytes(dense, bytes, BYTES);
    SC_AUTO_CLOSE int fd = open(sparse, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < 3; i++) {
        // first all hole, then data between holes, then data at the end
        if (i == 1)
            assert_int_equal(pwrite(fd, "middle", 6, 5000000), 6);
        if (i == 2)
            assert_int_equal(pwrite(fd, "last", 4, BYTES - 4), 4);
        assert_int_equal(ftruncate(fd, BYTES), 0);
        assert_ok(sc_hash_file(sparse, NULL, &a, &err), err);
        assert_int_equal(a.bytes, BYTES);
    }
    assert_ok(sc_hash_file(dense, NULL, &b, &err), err);
    assert_true(sc_digest_eq(&a.digest, &b.digest));
}

static bool wants_python(void *context, struct sc_slice path, bool dir)
{
    struct sc_buf *asked = context;
    sc_buf_add_slice(asked, path);
    sc_buf_add_byte(asked, '\n');
    if (dir)
        return !sc_slice_eq_str(path, "skip/");
    return path.len > 3 && memcmp(path.ptr + path.len - 3, ".py", 3) == 0;
}

static void test_hash_wants_leaves_out_files_and_folders_of_which_nothing_stays(void **state)
{
    struct hashed h;
    PATH(root, "tree");
    PATH(fifo, "tree/pipe");
    static const char *const folders[] = {"tree/skip", "tree/lib", "tree/lib/deep", "tree/none"};
    static const char *const files[] = {"tree/a.py", "tree/b.txt", "tree/lib/deep/c.py", "tree/none/d.txt",
                                        "tree/skip/e.py"};
    SC_AUTO_BUF struct sc_buf asked;
    sc_buf_init(&asked, 0);
    make_dir(root);
    for (size_t i = 0; i < SC_COUNT(folders); i++) {
        PATH(path, folders[i]);
        make_dir(path);
    }
    for (size_t i = 0; i < SC_COUNT(files); i++)
        write_below(*state, files[i], files[i]);
    assert_int_equal(mkfifo(fifo, 0600), 0); // not wanted, so it does not matter
    struct sc_hash_options options = {.wants = wants_python, .context = &asked, .max_files = 2};
    hash_below(&h, *state, "tree", &options);
    assert_rc(h.rc, SC_OK);
    assert_int_equal(h.tree.files, 2);
    assert_int_equal(h.tree.nodes.items[0].entries.count, 2);
    assert_non_null(find(&h, 0, "a.py"));
    assert_non_null(find(&h, 0, "lib"));
    done(&h);
    const char *all = sc_buf_cstr(&asked);
    assert_contains(all, "lib/deep/\n");
    assert_contains(all, "lib/deep/c.py\n");
    if (strstr(all, "skip/e.py"))
        fail_msg("a folder that is not wanted was read");
    options.keep_empty_dirs = true;
    hash_below(&h, *state, "tree", &options);
    assert_rc(h.rc, SC_OK);
    assert_non_null(find(&h, 0, "none"));
    assert_null(find(&h, 0, "skip"));
    done(&h);
}

static void test_hash_more_files_or_bytes_than_allowed_is_a_limit(void **state)
{
    struct hashed h;
    PATH(root, "tree");
    make_dir(root);
    write_below(root, "a", "12345");
    write_below(root, "b", "12345");
    struct sc_hash_options files = {.max_files = 1}, bytes = {.max_bytes = 9},
                           good = {.max_files = 2, .max_bytes = 10};
    hash_below(&h, *state, "tree", &files);
    assert_rc(h.rc, SC_LIMIT);
    done(&h);
    hash_below(&h, *state, "tree", &bytes);
    assert_rc(h.rc, SC_LIMIT);
    done(&h);
    digest_of(*state, "tree", &good);
}

static void test_hash_folder_deeper_than_the_limit_is_refused_by_name(void **state)
{
    struct hashed h;
    PATH(root, "tree");
    make_dir(root);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    close(fd);
    hash_below(&h, *state, "tree", NULL);
    assert_rc(h.rc, SC_LIMIT);
    assert_contains(h.err.message, "tree/d/d/d");
    done(&h);
}

static void test_hash_empty_folders_count(void **state)
{
    PATH(root, "tree");
    PATH(sub, "tree/sub");
    make_dir(root);
    struct sc_digest without = digest_of(*state, "tree", NULL);
    make_dir(sub);
    struct sc_digest with = digest_of(*state, "tree", NULL);
    assert_false(sc_digest_eq(&without, &with));
}

#define T(name) cmocka_unit_test_setup_teardown(name, sc_scratch_setup, sc_scratch_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_hash_file_is_what_sha256sum_prints),
        T(test_hash_dir_is_what_treecheck_computes),
        T(test_hash_dir_ignores_times_owners_and_other_mode_bits),
        T(test_hash_dir_gives_sums_kinds_and_the_root_first),
        T(test_hash_dir_of_many_threads_is_that_of_one),
        T(test_hash_takes_an_unchanged_file_from_the_memo_and_reads_a_changed_one),
        T(test_hash_does_not_remember_a_file_that_is_as_young_as_the_hashing),
        T(test_hash_sees_what_is_stored_through_a_mapping_that_was_there_before),
        T(test_hash_sees_what_is_stored_through_a_later_mapping_of_a_tmpfs_file),
        T(test_hash_refuses_fifo_socket_and_device_by_name),
        T(test_hash_refuses_links_that_leave_and_keeps_those_that_stay),
        T(test_hash_follows_a_root_that_is_a_link_only_when_asked),
        T(test_hash_of_what_is_not_there_is_not_found),
        T(test_hash_unreadable_file_or_folder_is_denied_by_name),
        T(test_hash_of_a_file_that_changes_meanwhile_is_busy_by_name),
        T(test_hash_of_a_file_that_vanishes_is_busy_by_name),
        T(test_hash_survives_a_large_file_that_is_cut_under_it),
        T(test_hash_sparse_file_is_hashed_as_its_zeros),
        T(test_hash_wants_leaves_out_files_and_folders_of_which_nothing_stays),
        T(test_hash_more_files_or_bytes_than_allowed_is_a_limit),
        T(test_hash_folder_deeper_than_the_limit_is_refused_by_name),
        T(test_hash_empty_folders_count),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
