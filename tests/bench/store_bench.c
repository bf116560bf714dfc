// What a store costs its client: wall time, CPU time and requests, in a line each.
//   store_bench URL up FILES BYTES [AT_ONCE]    puts FILES files of BYTES bytes (random), AT_ONCE (16) under way
//   store_bench URL down FILES BYTES [AT_ONCE]  gets what `up` put into files, checked by digest
//   store_bench URL small COUNT BYTES [AT_ONCE] puts, heads and gets COUNT objects in memory
//   store_bench URL put NAME FILE · get NAME FILE · copy NAME FROM · head NAME · list PREFIX · remove NAME · sweep
// Files lie in a scratch folder below TMPDIR, which is removed.
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/random.h"
#include "store/hash.h"
#include "store/store.h"
#include "tests/lib/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

struct slot {
    struct sc_store_op op;
    char name[64];
    char *path;
    int fd;
    bool busy;
};

struct bench {
    struct sc_store *store;
    struct slot *slots;
    uint32_t at_once, done;
    char *scratch;
    uint64_t bytes;
    struct sc_digest *digests; // of the large files
};

static void must(enum sc_rc rc, const struct sc_error *err)
{
    if (rc == SC_OK)
        return;
    fprintf(stderr, "store_bench: %s (%s)%s%s\n", err->message, sc_rc_name(rc), err->hint[0] ? "; " : "",
            err->hint);
    exit(1);
}

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
    struct sc_random random;
    sc_random_init(&random, seed);
    for (size_t i = 0; i + 8 <= len; i += 8) {
        uint64_t value = sc_random_next(&random);
        memcpy(bytes + i, &value, 8);
    }
}

static char *file_path(const struct bench *b, uint32_t i)
{
    return sc_asprintf("%s/%u", b->scratch, i);
}

static void make_files(struct bench *b, uint32_t count, bool write)
{
    SC_AUTO_FREE uint8_t *bytes = sc_calloc(b->bytes, 1);
    b->digests = sc_calloc(count, sizeof *b->digests);
    for (uint32_t i = 0; i < count; i++) {
        struct sc_error err = SC_ERROR_INIT;
        SC_AUTO_FREE char *path = file_path(b, i);
        fill(bytes, b->bytes, i + 1);
        b->digests[i] = sc_digest_of(sc_slice(bytes, b->bytes));
        if (!write)
            continue;
        SC_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        SC_ASSERT(fd >= 0);
        must(sc_fd_write_all(fd, sc_slice(bytes, b->bytes), &err), &err);
    }
}

static void slot_done(struct sc_store_op *op)
{
    struct slot *slot = op->context;
    must(op->rc, &op->err);
    slot->busy = false;
    if (slot->fd >= 0)
        close(slot->fd);
    free(slot->path);
    sc_store_op_done(op);
}

typedef void (*fill_fn)(struct bench *b, struct slot *slot, uint32_t i);

static void run(struct bench *b, const char *what, enum sc_store_kind kind, const char *prefix,
                uint32_t count, fill_fn set)
{
    struct sc_store_counts before = sc_store_counts(b->store);
    double cpu = sc_clock_cpu_s();
    int64_t start_us = sc_clock_mono_us();
    uint32_t begun = 0, busy = 0;
    while (begun < count || busy) {
        busy = 0;
        for (uint32_t s = 0; s < b->at_once; s++) {
            struct slot *slot = &b->slots[s];
            if (!slot->busy && begun < count) {
                snprintf(slot->name, sizeof slot->name, "bench/%s/%u", prefix, begun);
                sc_store_op_init(&slot->op, kind, sc_slice_str(slot->name));
                slot->op.done = slot_done;
                slot->op.context = slot;
                slot->busy = true;
                slot->fd = -1;
                slot->path = NULL;
                if (set)
                    set(b, slot, begun);
                begun++;
                sc_store_submit(b->store, &slot->op);
            }
            busy += slot->busy;
        }
        sc_store_dispatch(b->store, -1);
    }
    double wall = (double)(sc_clock_mono_us() - start_us) / 1e6;
    cpu = sc_clock_cpu_s() - cpu;
    struct sc_store_counts after = sc_store_counts(b->store);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double gib = (double)b->bytes * count / (1 << 30);
    printf("%-5s %u x %llu bytes: %.2f s, %.0f/s, %.0f MiB/s; cpu %.2f s, %.2f s/GiB, %.0f us each; requests "
           "put %llu get "
           "%llu, retries %llu; peak %ld MiB\n",
           what, count, (unsigned long long)b->bytes, wall, count / wall, gib * 1024 / wall, cpu, cpu / gib,
           cpu * 1e6 / count, (unsigned long long)(after.requests_put - before.requests_put),
           (unsigned long long)(after.requests_get - before.requests_get),
           (unsigned long long)(after.retries - before.retries), usage.ru_maxrss >> 10);
}

static void set_up(struct bench *b, struct slot *slot, uint32_t i)
{
    slot->path = file_path(b, i);
    slot->op.body_path = slot->path;
    slot->op.move_body = getenv("STORE_BENCH_MOVE") != NULL;
}

static void set_down(struct bench *b, struct slot *slot, uint32_t i)
{
    slot->path = sc_asprintf("%s/out-%u", b->scratch, i);
    slot->fd = open(slot->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    SC_ASSERT(slot->fd >= 0);
    slot->op.to_fd = slot->fd;
    slot->op.sha256 = b->digests[i];
}

static uint8_t *small;

static void set_put(struct bench *b, struct slot *slot, uint32_t i)
{
    (void)i;
    slot->op.body = sc_slice(small, b->bytes);
    slot->op.sha256 = sc_digest_of(slot->op.body);
}

static void set_get(struct bench *b, struct slot *slot, uint32_t i)
{
    (void)i;
    slot->op.max_bytes = b->bytes;
}

static int one(struct bench *b, int argc, char **argv)
{
    static const struct {
        const char *word;
        enum sc_store_kind kind;
        int args;
    } words[] = {{"put", SC_STORE_PUT, 2},    {"get", SC_STORE_GET, 2},   {"copy", SC_STORE_COPY, 2},
                 {"head", SC_STORE_HEAD, 1},  {"list", SC_STORE_LIST, 1}, {"remove", SC_STORE_REMOVE, 1},
                 {"sweep", SC_STORE_SWEEP, 0}};
    for (size_t i = 0; i < SC_COUNT(words); i++) {
        if (strcmp(argv[2], words[i].word) != 0 || argc != 3 + words[i].args)
            continue;
        struct sc_store_op op;
        sc_store_op_init(&op, words[i].kind, sc_slice_str(argc > 3 ? argv[3] : ""));
        op.before_ms = INT64_MAX;
        op.max_entries = UINT32_MAX;
        if (op.kind == SC_STORE_PUT)
            op.body_path = argv[4];
        if (op.kind == SC_STORE_COPY)
            op.from = sc_slice_str(argv[4]);
        if (op.kind == SC_STORE_GET)
            op.to_fd = open(argv[4], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        must(sc_store_wait(b->store, &op), &op.err);
        for (uint32_t k = 0; k < op.entry_count; k++)
            printf("%12llu " SC_SLICE_FMT "\n", (unsigned long long)op.entries[k].bytes,
                   SC_SLICE_ARG(op.entries[k].name));
        struct sc_store_counts counts = sc_store_counts(b->store);
        printf("bytes %llu etag " SC_SLICE_FMT
               " mtime %lld; requests put %llu get %llu delete %llu, retries %llu\n",
               (unsigned long long)op.bytes, SC_SLICE_ARG(op.etag), (long long)op.mtime_ms,
               (unsigned long long)counts.requests_put, (unsigned long long)counts.requests_get,
               (unsigned long long)counts.requests_delete, (unsigned long long)counts.retries);
        sc_store_op_done(&op);
        return 0;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct bench b = {.at_once = 16};
    struct sc_error err = SC_ERROR_INIT;
    if (argc < 3) {
        fprintf(stderr, "usage: store_bench URL up|down|small COUNT BYTES [AT_ONCE]\n");
        return 2;
    }
    must(sc_store_open(argv[1], &b.store, &err), &err);
    int rc = one(&b, argc, argv);
    if (rc < 0 && argc >= 5) {
        uint32_t count = (uint32_t)strtoul(argv[3], NULL, 10);
        b.bytes = strtoull(argv[4], NULL, 10);
        b.at_once = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 16;
        b.slots = sc_calloc(b.at_once, sizeof *b.slots);
        b.scratch = sc_scratch_new();
        small = sc_calloc(b.bytes + 8, 1);
        rc = 0;
        if (strcmp(argv[2], "up") == 0) {
            make_files(&b, count, true);
            run(&b, "up", SC_STORE_PUT, "large", count, set_up);
        } else if (strcmp(argv[2], "down") == 0) {
            make_files(&b, count, false);
            run(&b, "down", SC_STORE_GET, "large", count, set_down);
        } else {
            run(&b, "put", SC_STORE_PUT, "small", count, set_put);
            run(&b, "head", SC_STORE_HEAD, "small", count, NULL);
            run(&b, "get", SC_STORE_GET, "small", count, set_get);
        }
        sc_scratch_remove(b.scratch);
        free(b.slots);
        free(b.digests);
        free(small);
    }
    sc_store_close(b.store);
    return rc < 0 ? 2 : rc;
}
