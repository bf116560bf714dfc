// How fast what lies on disk is hashed, each figure beside its peer, measured in the same run:
//   hash_bench large [GIB]   GIB (4) GiB in files of 64 MiB, warm: against `openssl speed -evp sha256` x cores
//   hash_bench again [FILES] FILES (100,000) files of 64 bytes in folders of 100, unchanged: against `git status`, A B A B
//   hash_bench layout        a folder of 10,000 files as an input: laid out once, then used 100 times
// Works in a scratch folder below TMPDIR and removes it.
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "store/object.h"
#include "tests/lib/scratch.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void must(enum sc_rc rc, const struct sc_error *err)
{
    if (rc == SC_OK)
        return;
    fprintf(stderr, "hash_bench: %s\n", err->message);
    exit(1);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    SC_ASSERT(fd >= 0);
    must(sc_fd_write_all(fd, sc_slice(bytes, len), &err), &err);
}

static void make_small(const char *folder, uint32_t files)
{
    for (uint32_t i = 0; i < files; i++) {
        char path[4096], text[65];
        snprintf(path, sizeof path, "%s/d%04u", folder, i / 100);
        if (i % 100 == 0)
            SC_ASSERT(mkdir(path, 0755) == 0);
        snprintf(path, sizeof path, "%s/d%04u/f%02u", folder, i / 100, i % 100);
        snprintf(text, sizeof text, "%-63u\n", i);
        write_file(path, text, 64);
    }
}

// Bytes a second of one core by OpenSSL's own measure, of the clock on the wall like ours.
static double openssl_speed(void)
{
    FILE *pipe = popen("openssl speed -evp sha256 -elapsed -bytes 262144 -seconds 2 -mr 2>/dev/null", "r");
    char line[512];
    double rate = 0;
    while (pipe && fgets(line, sizeof line, pipe))
        if (strncmp(line, "+F:", 3) == 0 && strrchr(line, ':'))
            rate = strtod(strrchr(line, ':') + 1, NULL);
    if (pipe)
        pclose(pipe);
    return rate;
}

static void bench_large(const char *scratch, uint32_t gib)
{
    enum { FILE_BYTES = 64 << 20 };
    SC_AUTO_FREE char *folder = sc_scratch_path(scratch, "large");
    SC_ASSERT(mkdir(folder, 0755) == 0);
    SC_AUTO_FREE uint64_t *bytes = sc_calloc(FILE_BYTES, 1);
    uint64_t x = 88172645463325252u;
    for (uint32_t i = 0; i < gib * 16; i++) {
        char path[4096];
        for (size_t k = 0; k < FILE_BYTES / 8; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes[k] = x;
        }
        snprintf(path, sizeof path, "%s/f%03u", folder, i);
        write_file(path, bytes, FILE_BYTES);
    }
    sync();
    for (int round = 0; round < 3; round++) {
        double peer = openssl_speed() * processors();
        SC_AUTO_ARENA struct sc_arena arena;
        struct sc_tree tree;
        struct sc_error err = SC_ERROR_INIT;
        sc_arena_init(&arena);
        double start = now_s(), cpu = sc_clock_cpu_s();
        must(sc_hash_dir(folder, NULL, &arena, &tree, &err), &err);
        double rate = (double)tree.bytes / (now_s() - start);
        double cpu_rate =
            (double)tree.bytes / (sc_clock_cpu_s() - cpu); // what it would be were the cores ours alone
        printf("hash_large gib=%u cores=%d rate_mb_s=%.0f cpu_rate_mb_s=%.0f openssl_x_cores_mb_s=%.0f "
               "ratio=%.2f limit=0.90\n",
               gib, processors(), rate / 1e6, cpu_rate / 1e6, peer / 1e6, rate / peer);
    }
}

static void run(const char *folder, const char *const *argv)
{
    pid_t pid = fork();
    SC_ASSERT(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (chdir(folder) || null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
            _exit(127);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status;
    SC_ASSERT(waitpid(pid, &status, 0) == pid);
    if (status != 0) {
        fprintf(stderr, "hash_bench: %s %s failed\n", argv[0], argv[1]);
        exit(1);
    }
}

static double hash_again(const char *folder, const char *memo_path, bool save)
{
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_tree tree;
    sc_arena_init(&arena);
    double start = now_s();
    struct sc_memo *memo = sc_memo_open(memo_path, 1000000);
    struct sc_hash_options options = {.memo = memo};
    must(sc_hash_dir(folder, &options, &arena, &tree, &err), &err);
    double took = now_s() - start;
    if (save)
        must(sc_memo_save(memo, &err), &err);
    sc_memo_close(memo);
    return took;
}

static void bench_again(const char *scratch, uint32_t files)
{
    static const char *const init[] = {"git", "init", "-q", NULL};
    static const char *const add[] = {"git", "add", "-A", NULL};
    static const char *const commit[] = {"git",    "-c",  "user.name=b", "-c", "user.email=b@example.org",
                                         "commit", "-qm", "b",           NULL};
    static const char *const status[] = {"git", "status", "--porcelain", NULL};
    SC_AUTO_FREE char *folder = sc_scratch_path(scratch, "small");
    SC_AUTO_FREE char *memo = sc_scratch_path(scratch, "memo");
    SC_AUTO_FREE char *git = sc_scratch_path(scratch, "small/.git");
    SC_AUTO_FREE char *aside = sc_scratch_path(scratch, "git");
    SC_ASSERT(mkdir(folder, 0755) == 0);
    make_small(folder, files);
    printf("hash_first files=%u ms=%.1f\n", files, hash_again(folder, memo, true) * 1e3);
    hash_again(folder, memo, true); // what was too young to be remembered is old enough now
    run(folder, init);
    run(folder, add);
    run(folder, commit);
    run(folder, status);
    double best = 1e9, best_git = 1e9;
    for (int round = 0; round < 7; round++) {
        SC_ASSERT(rename(git, aside) == 0);
        double cpu = sc_clock_cpu_s();
        double took = hash_again(folder, memo, false);
        cpu = sc_clock_cpu_s() - cpu;
        SC_ASSERT(rename(aside, git) == 0);
        double start = now_s(), cpu_git = sc_clock_cpu_s();
        run(folder, status);
        double took_git = now_s() - start;
        cpu_git = sc_clock_cpu_s() - cpu_git;
        printf("hash_again files=%u ms=%.1f git_status_ms=%.1f cpu_ms=%.1f git_status_cpu_ms=%.1f\n", files,
               took * 1e3, took_git * 1e3, cpu * 1e3, cpu_git * 1e3);
        best = took < best ? took : best;
        best_git = took_git < best_git ? took_git : best_git;
    }
    printf("hash_again_best ms=%.1f git_status_ms=%.1f ratio=%.2f limit=1.00\n", best * 1e3, best_git * 1e3,
           best / best_git);
}

static void bench_layout(const char *scratch)
{
    enum { FILES = 10000, USES = 100 };
    struct sc_error err = SC_ERROR_INIT;
    SC_AUTO_FREE char *folder = sc_scratch_path(scratch, "input");
    SC_AUTO_FREE char *root = sc_scratch_path(scratch, "store");
    SC_AUTO_FREE char *layout = sc_scratch_path(scratch, "layout");
    SC_AUTO_FREE char *memo_path = sc_scratch_path(scratch, "layout-memo");
    SC_AUTO_ARENA struct sc_arena arena;
    struct sc_store *store;
    struct sc_objects *objects;
    struct sc_tree tree;
    sc_arena_init(&arena);
    SC_ASSERT(mkdir(folder, 0755) == 0);
    make_small(folder, FILES);
    must(sc_store_open(root, &store, &err), &err);
    for (int life = 0; life < 3; life++) {
        struct sc_memo *memo = sc_memo_open(memo_path, 1000000);
        struct sc_objects_config config = {
            .store = store, .domain = sc_slice_str("main"), .memo = memo, .layout_folder = layout};
        must(sc_objects_new(&config, &objects, &err), &err);
        struct sc_hash_options options = {.memo = memo};
        must(sc_hash_dir(folder, &options, &arena, &tree, &err), &err);
        double start = now_s();
        must(sc_objects_put_tree(objects, folder, &tree, false, false, &err), &err);
        double put = now_s() - start;
        start = now_s();
        must(sc_objects_sync(objects, &err), &err);
        double synced = now_s() - start;
        struct sc_artifact artifact = sc_hash_dir_artifact(&tree);
        SC_AUTO_BUF struct sc_buf path;
        sc_buf_init(&path, 0);
        double first = 0, rest = 0;
        for (int i = 0; i < USES; i++) {
            start = now_s();
            must(sc_objects_local(objects, &artifact, &path, NULL, &err), &err);
            *(i ? &rest : &first) += now_s() - start;
            sc_objects_unpin(objects, &artifact);
        }
        must(sc_objects_sync(objects, &err), &err);
        printf("layout life=%d files=%d put_ms=%.1f sync_ms=%.1f first_use_ms=%.1f later_use_us=%.1f "
               "limit_us=50\n",
               life, FILES, put * 1e3, synced * 1e3, first * 1e3, rest * 1e6 / (USES - 1));
        sc_objects_free(objects);
        must(sc_memo_save(memo, &err), &err);
        sc_memo_close(memo);
    }
    sc_store_close(store);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    uint32_t number = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    char *scratch = sc_scratch_new();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(what, "large") == 0)
        bench_large(scratch, number ? number : 4);
    else if (strcmp(what, "again") == 0)
        bench_again(scratch, number ? number : 100000);
    else if (strcmp(what, "layout") == 0)
        bench_layout(scratch);
    else
        fprintf(stderr, "hash_bench large [GIB] | again [FILES] | layout\n");
    sc_scratch_remove(scratch);
    return 0;
}
