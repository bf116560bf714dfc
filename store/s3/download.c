// An object comes down. The first request asks for the first part and tells the size; the others follow, several at
// once. A part that breaks off goes on where it stopped, on the same etag. Every byte below the lowest unfinished part is
// there, and is hashed from the stream where it comes in order, else read back.
#include "store/s3/transfer_impl.h"

#include "base/memory.h"

#include <errno.h>
#include <unistd.h>

struct part {
    struct sc_s3_call call;
    struct download *download;
    struct part *next;
    uint64_t start, bytes, have;
    bool busy, whole; // whole: asked without a range
    uint8_t *held;    // the last of what we have, not in the file yet
    size_t held_len;
};

// curl hands over 16 KiB at a time; a file system takes longer writes at half the cost.
enum { HELD_BYTES = 128 << 10 };

struct download {
    struct sc_s3_transfer *transfer;
    struct part *parts; // busy ones and free ones
    uint32_t in_flight;
    bool known; // the size
    uint64_t total;
    uint64_t next;        // where the next part begins
    struct sc_slice etag; // that all requests but the first must meet
    enum sc_rc rc;        // the first failure
    bool hashes;
    struct sc_digest want; // the digest that it must have, where that is known
    struct sc_hasher *hasher;
    uint64_t hashed; // up to here
    uint32_t wrong;  // how often all came and was not what its digest says
};

static void end(struct download *d, enum sc_rc rc)
{
    struct sc_s3_transfer *t = d->transfer;
    while (d->parts) {
        struct part *part = d->parts;
        d->parts = part->next;
        sc_s3_call_done(&part->call);
        free(part->held);
        free(part);
    }
    sc_hasher_free(d->hasher);
    free(d);
    t->state = NULL;
    sc_s3_mover_ended(t, rc);
}

static void fail(struct download *d, enum sc_rc rc, const struct sc_error *err)
{
    if (d->rc != SC_OK)
        return;
    d->rc = rc;
    d->transfer->err = *err;
}

// ---- bytes

// Below it all is there.
static uint64_t contiguous(const struct download *d)
{
    uint64_t end = d->next;
    for (const struct part *part = d->parts; part; part = part->next) {
        uint64_t there = part->start + part->have - part->held_len;
        if (part->busy && there < end)
            end = there;
    }
    return end;
}

static enum sc_rc write_fd(int fd, struct sc_slice bytes, uint64_t at, struct sc_error *err)
{
    while (bytes.len) {
        ssize_t n = pwrite(fd, bytes.ptr, bytes.len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sc_error_errno(err, errno, "write");
        at += (uint64_t)n;
        bytes = sc_slice_from(bytes, (size_t)n);
    }
    return SC_OK;
}

static enum sc_rc write_memory(struct sc_s3_transfer *t, struct sc_slice bytes, uint64_t at,
                               struct sc_error *err)
{
    struct sc_buf *into = t->into;
    uint64_t end = at + bytes.len;
    bool fits = end <= t->max_bytes;
    if (fits && end > into->len) {
        fits = sc_buf_reserve(into, (size_t)end - into->len) != NULL;
        into->len = fits ? (size_t)end : into->len;
    }
    if (!fits)
        return sc_error_set(err, SC_LIMIT, "more than %zu bytes", t->max_bytes);
    memcpy(into->ptr + at, bytes.ptr, bytes.len);
    return SC_OK;
}

static void hash_in_order(struct download *d, struct sc_slice bytes, uint64_t at)
{
    if (!d->hashes || at > d->hashed || d->hashed >= at + bytes.len)
        return;
    sc_hasher_add(d->hasher, bytes.ptr + (d->hashed - at), (size_t)(at + bytes.len - d->hashed));
    d->hashed = at + bytes.len;
}

static enum sc_rc write_held(struct part *part, struct sc_error *err)
{
    struct sc_slice bytes = {part->held, part->held_len};
    uint64_t at = part->start + part->have - part->held_len;
    if (bytes.len == 0)
        return SC_OK;
    enum sc_rc rc = write_fd(part->download->transfer->to_fd, bytes, at, err);
    if (rc != SC_OK)
        return rc;
    part->held_len = 0;
    hash_in_order(part->download, bytes, at);
    return SC_OK;
}

static enum sc_rc hold(struct part *part, struct sc_slice bytes, struct sc_error *err)
{
    if (!part->held)
        part->held = sc_calloc(HELD_BYTES, 1);
    while (bytes.len) {
        size_t room = HELD_BYTES - part->held_len, take = bytes.len < room ? bytes.len : room;
        memcpy(part->held + part->held_len, bytes.ptr, take);
        part->held_len += take;
        part->have += take;
        bytes = sc_slice_from(bytes, take);
        enum sc_rc rc = part->held_len == HELD_BYTES ? write_held(part, err) : SC_OK;
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

static enum sc_rc take(void *context, struct sc_slice bytes, struct sc_error *err)
{
    struct part *part = context;
    struct sc_s3_transfer *t = part->download->transfer;
    if (bytes.len > part->bytes - part->have)
        return sc_error_set(err, SC_MALFORMED, "more bytes than were asked for");
    enum sc_rc rc;
    if (t->to_fd >= 0) {
        rc = hold(part, bytes, err);
    } else {
        rc = write_memory(t, bytes, part->start + part->have, err);
        if (rc == SC_OK) {
            hash_in_order(part->download, bytes, part->start + part->have);
            part->have += bytes.len;
        }
    }
    if (rc == SC_OK)
        sc_s3_transfer_moved(t, (int64_t)bytes.len);
    return rc;
}

// What came of a part does not count.
static void forget(struct part *part)
{
    sc_s3_transfer_moved(part->download->transfer, -(int64_t)part->have);
    part->have = part->held_len = 0;
}

// ---- answers

static void expect(struct download *d, const struct sc_digest *digest)
{
    d->want = *digest;
    d->hashes = true;
    if (!d->hasher)
        d->hasher = sc_hasher_new();
    sc_hasher_begin(d->hasher);
}

static enum sc_rc learn(struct part *part, const struct sc_s3_answer *answer, uint64_t total,
                        struct sc_error *err)
{
    struct download *d = part->download;
    struct sc_s3_transfer *t = d->transfer;
    if (d->known && d->total != total)
        return sc_error_set(err, SC_BUSY, "the object was overwritten while it was read");
    if (d->known)
        return SC_OK;
    if (t->to_fd < 0 && total > t->max_bytes)
        return sc_error_set(err, SC_LIMIT, "%llu bytes are more than %zu", (unsigned long long)total,
                            t->max_bytes);
    if (t->to_fd < 0 && total && !sc_buf_reserve(t->into, (size_t)total))
        return sc_error_set(err, SC_LIMIT, "%llu bytes are too many", (unsigned long long)total);
    struct sc_digest said;
    if (!d->hashes && sc_digest_parse(answer->sha256, &said))
        expect(d, &said);
    d->known = true;
    d->total = t->bytes = total;
    t->mtime_ms = answer->mtime_ms;
    t->etag = sc_arena_copy(&t->arena, answer->etag);
    t->version = sc_arena_copy(&t->arena, answer->version);
    d->etag = t->etag;
    if (part->whole || part->bytes > total)
        part->bytes = total;
    d->next = part->bytes;
    return SC_OK;
}

static void schedule(struct download *d);

static enum sc_rc begin(void *context, const struct sc_s3_answer *answer, struct sc_error *err)
{
    struct part *part = context;
    struct download *d = part->download;
    bool ranged = answer->status == 206;
    uint64_t at = part->start + part->have;
    if (ranged && (answer->range_first < 0 || (uint64_t)answer->range_first != at || answer->range_total < 0))
        return sc_error_set(err, SC_MALFORMED, "another range than was asked for");
    if (!ranged && part->start)
        return sc_error_set(err, SC_MALFORMED, "this server ignores ranges");
    if (!ranged) { // all of it, from the start
        forget(part);
        part->whole = true;
        if (answer->length < 0) {
            part->bytes = UINT64_MAX; // its end tells
            return SC_OK;
        }
    }
    enum sc_rc rc = learn(part, answer, (uint64_t)(ranged ? answer->range_total : answer->length), err);
    if (rc == SC_OK)
        schedule(d);
    return rc;
}

static void prepare(struct sc_s3_call *call)
{
    struct part *part = call->context;
    struct download *d = part->download;
    // Whole, and yet its end broke: a range cannot be empty. Of unknown size: it has no range.
    if (part->have && (part->have >= part->bytes || part->bytes == UINT64_MAX))
        forget(part);
    bool from_start = part->whole && part->have == 0;
    call->range_first = part->start + part->have;
    call->range_bytes = from_start ? 0 : part->bytes - part->have;
    call->if_match = d->etag.len ? d->etag : d->transfer->place.etag;
}

static enum sc_rc check(struct sc_s3_call *call, struct sc_error *err)
{
    struct part *part = call->context;
    struct download *d = part->download;
    const struct sc_s3_answer *answer = &call->exchange.answer;
    if (!call->exchange.begun || (!d->known && answer->length == 0)) { // without a body: it is empty
        enum sc_rc rc = learn(part, answer, 0, err);
        if (rc != SC_OK)
            return rc;
    }
    if (!d->known) { // its end told
        enum sc_rc rc = learn(part, answer, part->have, err);
        if (rc != SC_OK)
            return rc;
    }
    return part->have == part->bytes ? SC_OK
                                     : sc_error_set(err, SC_MALFORMED, "fewer bytes than were asked for");
}

// ---- going on

static void part_done(struct sc_s3_call *call);

static struct part *free_part(struct download *d)
{
    struct part *part = d->parts;
    while (part && part->busy)
        part = part->next;
    if (part) {
        sc_s3_call_done(&part->call);
        return part;
    }
    part = sc_calloc(1, sizeof *part);
    part->download = d;
    part->next = d->parts;
    d->parts = part;
    return part;
}

static void submit(struct download *d, uint64_t start, uint64_t bytes, bool whole)
{
    struct part *part = free_part(d);
    struct sc_s3_call *call = &part->call;
    part->start = start;
    part->bytes = bytes;
    part->have = part->held_len = 0;
    part->whole = whole;
    part->busy = true;
    sc_s3_call_init(call, SC_S3_GET);
    call->bucket = d->transfer->place.bucket;
    call->key = d->transfer->place.key;
    call->version = d->transfer->place.version;
    call->sink = (struct sc_s3_sink){begin, take, part};
    call->prepare = prepare;
    call->check = check;
    call->done = part_done;
    call->context = part;
    d->in_flight++;
    sc_s3_client_submit(d->transfer->mover->client, call);
}

static void schedule(struct download *d)
{
    uint32_t share = sc_s3_mover_share(d->transfer->mover);
    // Among many transfers one request each keeps the connections busy, and a longer one is cheaper.
    uint64_t part = d->transfer->mover->sizes.part, size = share == 1 ? 4 * part : part;
    while (d->rc == SC_OK && d->known && d->next < d->total && d->in_flight < share) {
        uint64_t left = d->total - d->next, bytes = left < size ? left : size;
        submit(d, d->next, bytes, false);
        d->next += bytes;
    }
}

static bool is_small(const struct sc_s3_transfer *t)
{
    if (t->mover->sizes.part == 0)
        return true;
    return t->to_fd < 0 && t->max_bytes <= t->mover->sizes.part;
}

// All came, and is not what its digest says: what retry.c says of that is asked for the last request, and the object is
// read anew from its start.
static void read_again(struct download *d)
{
    struct sc_s3_transfer *t = d->transfer;
    struct part *part = d->parts;
    enum sc_rc rc = sc_s3_client_wrong_bytes(t->mover->client, &part->call, ++d->wrong);
    if (rc != SC_OK) {
        t->err = part->call.err;
        end(d, rc);
        return;
    }
    d->known = false;
    d->next = d->hashed = 0;
    d->etag = (struct sc_slice){NULL, 0};
    if (t->into)
        sc_buf_clear(t->into);
    if (sc_digest_is_zero(&t->sha256))
        d->hashes = false; // what the next answer says holds
    else
        expect(d, &t->sha256);
    sc_s3_transfer_moved(t, -(int64_t)t->moved_bytes);
    part->start = part->have = part->held_len = 0;
    part->whole = is_small(t);
    part->bytes = part->whole ? UINT64_MAX : t->mover->sizes.part;
    part->busy = true;
    d->in_flight++;
}

// All is there, and hashed where that was wanted.
static void finish(struct download *d)
{
    struct sc_s3_transfer *t = d->transfer;
    if (d->hashes) {
        struct sc_digest found = sc_hasher_end(d->hasher);
        if (!sc_digest_eq(&found, &d->want)) {
            read_again(d);
            return;
        }
    }
    if (t->to_fd >= 0 && ftruncate(t->to_fd, (off_t)d->total) && errno != EINVAL) {
        end(d, sc_error_errno(&t->err, errno, "set the size of the file that is written"));
        return;
    }
    end(d, SC_OK);
}

bool sc_s3_download_work(struct sc_s3_transfer *t)
{
    struct download *d = t->state;
    struct sc_error err = SC_ERROR_INIT;
    uint64_t there = contiguous(d), done = 0;
    while (d->rc == SC_OK && d->hashed < there && done < SC_S3_TURN_BYTES) {
        uint64_t left = there - d->hashed;
        size_t len = left < SC_S3_CHUNK_BYTES ? (size_t)left : SC_S3_CHUNK_BYTES;
        const uint8_t *bytes = t->to_fd >= 0 ? t->mover->chunk : t->into->ptr + d->hashed;
        enum sc_rc rc =
            t->to_fd >= 0 ? sc_s3_read_at(t->to_fd, t->mover->chunk, len, d->hashed, &err) : SC_OK;
        if (rc != SC_OK) {
            fail(d, rc, &err);
            break;
        }
        sc_hasher_add(d->hasher, bytes, len);
        d->hashed += len;
        done += len;
    }
    if (d->rc == SC_OK && d->hashed < there)
        return true;
    if (d->in_flight == 0) {
        if (d->rc != SC_OK)
            end(d, d->rc);
        else
            finish(d);
    }
    return false;
}

static void go_on(struct download *d)
{
    if (d->rc != SC_OK) {
        if (d->in_flight == 0)
            end(d, d->rc);
        return;
    }
    schedule(d);
    if (d->hashes && d->hashed < contiguous(d))
        sc_s3_mover_wants_work(d->transfer);
    else if (d->in_flight == 0)
        finish(d);
}

static void part_done(struct sc_s3_call *call)
{
    struct part *part = call->context;
    struct download *d = part->download;
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = call->rc;
    d->in_flight--;
    if (rc == SC_OK && call->empty) // a range of nothing: the object has no bytes
        rc = part->start + part->have == 0 ? learn(part, &call->exchange.answer, 0, &err)
                                           : sc_error_set(&err, SC_BUSY, "the object became shorter");
    else if (rc == SC_OK)
        rc = write_held(part, &err);
    else
        err = call->err;
    part->busy = false;
    if (rc != SC_OK) {
        d->transfer->archived = call->archived;
        fail(d, rc, &err);
    }
    go_on(d);
}

void sc_s3_download_start(struct sc_s3_transfer *t)
{
    struct download *d = sc_calloc(1, sizeof *d);
    d->transfer = t;
    t->state = d;
    if (!sc_digest_is_zero(&t->sha256))
        expect(d, &t->sha256);
    if (t->into)
        sc_buf_clear(t->into);
    // What fits into one part anyway is asked for without a range, which the empty object does not have.
    submit(d, 0, is_small(t) ? UINT64_MAX : t->mover->sizes.part, is_small(t));
}
