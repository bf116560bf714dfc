#include "store/send.h"

#include "base/limits.h"
#include "base/memory.h"

#include <utlist.h>

enum { AT_ONCE = 8 }; // a pack in memory each, at most

struct send {
    struct sc_store_op op;
    struct sc_sends *sends;
    enum sc_object_area area;
    struct sc_digest digest;
    struct sc_buf name, body;
    char *path; // or NULL: body
    bool asking, asked;
    bool over;                // it is there, and too old to count on, or cannot be read
    struct send *prev, *next; // in the list of those that were answered
};

struct sc_sends {
    struct sc_objects *objects;
    bool force;
    uint32_t open;
    struct send *answered;
    enum sc_rc rc;
    struct sc_error err;
};

struct sc_sends *sc_sends_new(struct sc_objects *objects, bool force)
{
    struct sc_sends *sends = sc_calloc(1, sizeof *sends);
    sends->objects = objects;
    sends->force = force;
    return sends;
}

static void answered(struct sc_store_op *op)
{
    struct send *send = op->context;
    DL_APPEND(send->sends->answered, send);
}

static void submit(struct send *send, bool asking)
{
    struct sc_store_op *op = &send->op;
    sc_store_op_init(op, asking ? SC_STORE_HEAD : SC_STORE_PUT, sc_buf_slice(&send->name));
    send->asking = asking;
    send->asked |= asking;
    op->done = answered;
    op->context = send;
    if (!asking) {
        op->body = sc_buf_slice(&send->body);
        op->body_path = send->path;
        op->if_absent = send->asked && !send->sends->force && !send->over;
        op->sha256 = send->digest;
    }
    sc_store_submit(send->sends->objects->store, op);
}

static void free_send(struct send *send)
{
    send->sends->open--;
    sc_buf_done(&send->name);
    sc_buf_done(&send->body);
    free(send->path);
    free(send);
}

static void fail(struct sc_sends *sends, struct send *send, enum sc_rc rc)
{
    if (sends->rc != SC_OK)
        return;
    char hex[SC_DIGEST_HEX_BYTES];
    sc_digest_hex(&send->digest, hex);
    sends->err = send->op.err;
    sends->rc = rc == SC_BUSY && send->path
                    ? sc_error_set(&sends->err, SC_BUSY, "%s changed between hashing and storing", send->path)
                    : sc_error_wrap(&sends->err, rc, "object %s", hex);
}

static void take_answer(struct sc_sends *sends, struct send *send)
{
    enum sc_rc rc = send->op.rc;
    bool archived = send->asking && rc == SC_OK && send->op.archived;
    bool absent = archived || (send->asking && rc == SC_NOT_FOUND);
    send->over |= archived;
    if (!send->asking && rc == SC_EXISTS)
        rc = SC_OK; // another was faster
    if (rc == SC_OK && !absent && send->asking)
        send->over = !sc_object_set_seen(sends->objects, send->area, &send->digest, &send->op);
    else if (rc == SC_OK && !absent)
        sc_object_set_put(sends->objects, send->area, &send->digest);
    else if (!absent)
        fail(sends, send, rc);
    bool wanted = send->asking && (absent || send->over);
    sc_store_op_done(&send->op);
    if (wanted && sends->rc == SC_OK)
        submit(send, false);
    else
        free_send(send);
}

// Until at most so many are open.
static void wait(struct sc_sends *sends, uint32_t most)
{
    for (;;) {
        struct send *send;
        while ((send = sends->answered)) {
            DL_DELETE(sends->answered, send);
            take_answer(sends, send);
        }
        if (sends->open <= most)
            return;
        sc_store_dispatch(sends->objects->store, -1);
    }
}

static struct send *new_send(struct sc_sends *sends, enum sc_object_area area, const struct sc_digest *digest)
{
    if (!sends->force && sc_object_is_kept(sends->objects, area, digest))
        return NULL;
    wait(sends, AT_ONCE - 1);
    if (sends->rc != SC_OK)
        return NULL;
    struct send *send = sc_calloc(1, sizeof *send);
    send->sends = sends;
    send->area = area;
    send->digest = *digest;
    sc_buf_init(&send->name, SC_LIMIT_PATH_BYTES);
    sc_buf_add_slice(&send->name, sc_object_name(sends->objects, area, digest));
    sends->open++;
    return send;
}

void sc_sends_file(struct sc_sends *sends, const struct sc_digest *digest, const char *path)
{
    struct send *send = new_send(sends, SC_AREA_CAS, digest);
    if (!send)
        return;
    send->path = sc_strdup(path);
    submit(send, !sends->force);
}

void sc_sends_pack(struct sc_sends *sends, const struct sc_digest *digest, struct sc_buf *bytes)
{
    struct send *send = new_send(sends, SC_AREA_PACK, digest);
    if (send) {
        send->body = *bytes;
        *bytes = (struct sc_buf){.max_bytes = bytes->max_bytes};
        submit(send, !sends->force && !sc_object_goes_unasked(sends->objects, send->body.len));
    }
    sc_buf_clear(bytes);
}

enum sc_rc sc_sends_finish(struct sc_sends *sends, struct sc_error *err)
{
    wait(sends, 0);
    enum sc_rc rc = sends->rc;
    if (rc != SC_OK && err)
        *err = sends->err;
    free(sends);
    return rc;
}
