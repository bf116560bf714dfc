#include "stepctl/doctor.h"

#include "base/memory.h"
#include "base/os/clock.h"
#include "store/store.h"

#include <stdio.h>
#include <sys/random.h>

struct trial {
    struct sc_doctor *doctor;
    struct sc_store *store;
    char name[64];  // of the object that is put and removed
    int64_t put_ms; // wall, of its put
};

static const struct sc_slice first = SC_SLICE_LIT("stepctl doctor was here\n"),
                             second = SC_SLICE_LIT("and must not be here\n");

static enum sc_rc put(struct trial *t, struct sc_slice body, struct sc_store_op *op)
{
    sc_store_op_init(op, SC_STORE_PUT, sc_slice_str(t->name));
    op->body = body;
    op->if_absent = true;
    return sc_store_wait(t->store, op);
}

static const char *hint_of(const struct sc_store_op *op, const char *otherwise)
{
    return op->err.hint[0] ? op->err.hint : otherwise;
}

static bool try_put(struct trial *t)
{
    int64_t before_ms = sc_clock_mono_ms();
    struct sc_store_op op;
    t->put_ms = sc_clock_wall_ms();
    bool good = put(t, first, &op) == SC_OK;
    if (!good)
        sc_doctor_say(t->doctor, SC_DOCTOR_FAIL, "store",
                      hint_of(&op, "the credentials need s3:PutObject below the prefix"), "%s",
                      op.err.message);
    else
        sc_doctor_say(t->doctor, SC_DOCTOR_OK, "store", NULL, "%s: an object was written in %lld ms",
                      sc_store_url(t->store), (long long)(sc_clock_mono_ms() - before_ms));
    if (good && op.version.len)
        sc_doctor_say(t->doctor, SC_DOCTOR_WARN, "versions",
                      "well on AWS; on a Ceph gateway a conditional PUT then has more than one winner: use a "
                      "bucket without",
                      "the bucket keeps versions");
    sc_store_op_done(&op);
    return good;
}

static void try_condition(struct trial *t)
{
    struct sc_store_op op;
    enum sc_rc rc = put(t, second, &op);
    if (rc == SC_EXISTS && sc_store_is_for_one_writer(t->store))
        sc_doctor_say(t->doctor, SC_DOCTOR_WARN, "conditions",
                      "let one coordinator alone use this store: of two that end the same step at once both "
                      "may believe "
                      "that their result is the one that counts",
                      "client=libs3 looks whether an object is there, and cannot make its PUT depend on it");
    else if (rc == SC_EXISTS)
        sc_doctor_say(t->doctor, SC_DOCTOR_OK, "conditions", NULL,
                      "an object that is there is not put again: If-None-Match holds");
    else if (rc == SC_OK)
        sc_doctor_say(t->doctor, SC_DOCTOR_FAIL, "conditions",
                      "use a server that knows `If-None-Match: *`: results of two coordinators would replace "
                      "each other",
                      "the server put an object again that was to be put only if absent");
    else
        sc_doctor_say(t->doctor, SC_DOCTOR_FAIL, "conditions", hint_of(&op, NULL), "%s", op.err.message);
    sc_store_op_done(&op);
}

static void try_get(struct trial *t)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, sc_slice_str(t->name));
    op.max_bytes = 1024;
    op.sha256 = sc_digest_of(first);
    if (sc_store_wait(t->store, &op) == SC_OK)
        sc_doctor_say(t->doctor, SC_DOCTOR_OK, "checksums", NULL,
                      "what was written came back, by its SHA-256");
    else
        sc_doctor_say(t->doctor, SC_DOCTOR_FAIL, "checksums",
                      hint_of(&op, "the credentials need s3:GetObject below the prefix"), "%s",
                      op.err.message);
    sc_store_op_done(&op);
}

// By the server's own time of the object; what a request takes and the second that S3 rounds to are not called wrong.
static void try_clock(struct trial *t)
{
    enum { SLACK_MS = 3000, REFUSED_MS = 15 * 60 * 1000 };
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_HEAD, sc_slice_str(t->name));
    if (sc_store_wait(t->store, &op) == SC_OK && op.mtime_ms > 0) {
        int64_t off_ms = op.mtime_ms - t->put_ms, far_ms = off_ms < 0 ? -off_ms : off_ms;
        sc_doctor_say(
            t->doctor, far_ms > SLACK_MS ? SC_DOCTOR_WARN : SC_DOCTOR_OK, "clock",
            far_ms >= REFUSED_MS
                ? "set it: S3 refuses signatures a quarter of an hour off; requests go by the server's clock"
                : "set it: results would count as expired too early or too late",
            far_ms > SLACK_MS ? "this machine's clock and the server's are %lld s apart"
                              : "this machine's clock and the server's are at most %lld s apart",
            (long long)(far_ms > SLACK_MS ? far_ms / 1000 : SLACK_MS / 1000));
    }
    sc_store_op_done(&op);
}

static void try_list(struct trial *t)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_LIST, sc_slice_str(t->name));
    op.max_entries = 2;
    if (sc_store_wait(t->store, &op) == SC_OK && op.entry_count == 1)
        sc_doctor_say(t->doctor, SC_DOCTOR_OK, "list", NULL, "what lies below the prefix can be listed");
    else
        sc_doctor_say(t->doctor, SC_DOCTOR_WARN, "list",
                      "grant s3:ListBucket: without, a run reads each step's record by itself", "%s",
                      op.rc == SC_OK ? "an object that was just written is not listed" : op.err.message);
    sc_store_op_done(&op);
}

static void try_remove(struct trial *t)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_REMOVE, sc_slice_str(t->name));
    if (sc_store_wait(t->store, &op) == SC_OK)
        sc_doctor_say(t->doctor, SC_DOCTOR_OK, "remove", NULL, "objects can be removed");
    else
        sc_doctor_say(t->doctor, SC_DOCTOR_WARN, "remove",
                      "grant s3:DeleteObject below the prefix if `cache rm` is to work from here",
                      "%s; the object %s is left there", op.err.message, t->name);
    sc_store_op_done(&op);
}

void sc_doctor_bucket(struct sc_doctor *doctor, const char *url)
{
    struct trial t = {.doctor = doctor};
    struct sc_error err = SC_ERROR_INIT;
    uint64_t draw;
    if (getrandom(&draw, sizeof draw, 0) != sizeof draw || sc_store_open(url, &t.store, &err) != SC_OK) {
        sc_doctor_say(doctor, SC_DOCTOR_FAIL, "store", err.hint[0] ? err.hint : NULL, "%s", err.message);
        return;
    }
    snprintf(t.name, sizeof t.name, "v1/doctor/%016llx", (unsigned long long)draw);
    if (try_put(&t)) {
        try_condition(&t);
        try_get(&t);
        try_clock(&t);
        try_list(&t);
        try_remove(&t);
    }
    sc_store_close(t.store);
}
