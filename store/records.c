#include "store/records.h"

#include "base/limits.h"
#include "base/memory.h"
#include "store/names.h"

#include <stdio.h>

// A part of a segment beyond the first is named by the first's name, a dot and five digits. The first is written last,
// so that a segment is seen when it is whole.
enum { PART_DIGITS = 5, LIST_NAMES = 1000, AT_ONCE = 16 };

static enum sc_rc fetch(struct sc_store *store, struct sc_slice name, size_t max_bytes,
                        struct sc_arena *arena, struct sc_slice *ret_bytes, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_GET, name);
    op.max_bytes = max_bytes;
    enum sc_rc rc = sc_store_wait(store, &op);
    if (rc == SC_OK)
        *ret_bytes = sc_arena_copy(arena, sc_buf_slice(&op.data));
    else if (err)
        *err = op.err;
    sc_store_op_done(&op);
    return rc;
}

static enum sc_rc write(struct sc_store *store, struct sc_slice name, struct sc_slice body, bool if_absent,
                        struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_PUT, name);
    op.body = body;
    op.if_absent = if_absent;
    enum sc_rc rc = sc_store_wait(store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    sc_store_op_done(&op);
    return rc;
}

static enum sc_rc remove_name(struct sc_store *store, struct sc_slice name, struct sc_error *err)
{
    struct sc_store_op op;
    sc_store_op_init(&op, SC_STORE_REMOVE, name);
    enum sc_rc rc = sc_store_wait(store, &op);
    if (rc != SC_OK && err)
        *err = op.err;
    sc_store_op_done(&op);
    return rc;
}

bool sc_records_is_unreadable(enum sc_rc rc)
{
    return rc == SC_MALFORMED || rc == SC_VERSION || rc == SC_CORRUPT || rc == SC_LIMIT;
}

static void take_read(struct sc_store *store, struct sc_slice domain, struct sc_record_read *r,
                      struct sc_store_op *op, struct sc_arena *arena)
{
    r->rc = op->rc;
    if (r->rc == SC_OK) {
        r->bytes = sc_arena_copy(arena, sc_buf_slice(&op->data));
        r->rc = sc_record_decode(r->bytes, domain, &r->key, arena, &r->record, &r->err);
    } else {
        r->err = op->err;
    }
    if (sc_records_is_unreadable(r->rc)) {
        // Once more: what is read over a network may be damaged on the way.
        r->rc = fetch(store, op->name, SC_LIMIT_RECORD_BYTES, arena, &r->bytes, &r->err);
        if (r->rc == SC_OK)
            r->rc = sc_record_decode(r->bytes, domain, &r->key, arena, &r->record, &r->err);
    }
}

void sc_records_get_all(struct sc_store *store, struct sc_slice domain, struct sc_record_read *reads,
                        uint32_t count, struct sc_arena *arena)
{
    for (uint32_t from = 0; from < count; from += AT_ONCE) {
        struct sc_store_op ops[AT_ONCE];
        struct sc_buf names[AT_ONCE];
        uint32_t n = count - from < AT_ONCE ? count - from : AT_ONCE;
        for (uint32_t i = 0; i < n; i++) {
            reads[from + i].err = (struct sc_error)SC_ERROR_INIT;
            sc_buf_init(&names[i], SC_LIMIT_PATH_BYTES);
            sc_name_key(&names[i], domain, &reads[from + i].key);
            sc_store_op_init(&ops[i], SC_STORE_GET, sc_buf_slice(&names[i]));
            ops[i].max_bytes = SC_LIMIT_RECORD_BYTES;
        }
        sc_store_wait_all(store, ops, n, AT_ONCE);
        for (uint32_t i = 0; i < n; i++) {
            take_read(store, domain, &reads[from + i], &ops[i], arena);
            sc_store_op_done(&ops[i]);
            sc_buf_done(&names[i]);
        }
    }
}

enum sc_rc sc_records_get(struct sc_store *store, struct sc_slice domain, const struct sc_digest *key,
                          struct sc_arena *arena, struct sc_slice *ret_bytes, struct sc_record *ret_record,
                          struct sc_error *err)
{
    struct sc_record_read read = {.key = *key};
    sc_records_get_all(store, domain, &read, 1, arena);
    if (read.rc == SC_OK) {
        *ret_bytes = read.bytes;
        *ret_record = read.record;
    } else if (err) {
        *err = read.err;
    }
    return read.rc;
}

static bool is_own(const struct sc_record *a, const struct sc_record *b)
{
    return a->ended_at == b->ended_at && a->attempt == b->attempt && sc_slice_eq(a->run, b->run) &&
           sc_slice_eq(a->agent, b->agent);
}

// What agents and plans say stands in a record, so it is read before it is written.
static enum sc_rc encode(const struct sc_record *record, struct sc_arena *arena, struct sc_buf *ret_name,
                         struct sc_slice *ret_body, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf body;
    struct sc_record again;
    sc_buf_init(&body, SC_LIMIT_RECORD_BYTES);
    sc_record_encode(record, &body);
    if (body.overflow)
        return sc_error_set(err, SC_LIMIT, "the record of step " SC_SLICE_FMT " is larger than %u bytes",
                            SC_SLICE_ARG(record->step), SC_LIMIT_RECORD_BYTES);
    struct sc_slice bytes = sc_arena_copy(arena, sc_buf_slice(&body));
    if (sc_record_decode(bytes, record->domain, &record->key, arena, &again, err) != SC_OK) {
        sc_error_wrap(err, SC_INVALID, "the record of step " SC_SLICE_FMT " could not be read again",
                      SC_SLICE_ARG(record->step));
        return SC_INVALID;
    }
    sc_name_key(ret_name, record->domain, &record->key);
    *ret_body = bytes;
    return SC_OK;
}

// A record is there already, or was just now: what is it?
static enum sc_rc meet(struct sc_store *store, struct sc_record_write *w, const struct sc_store_op *op)
{
    enum { TRIES = 4 };
    for (int i = 0; i < TRIES; i++) {
        struct sc_record other;
        struct sc_slice bytes;
        enum sc_rc rc =
            sc_records_get(store, w->record->domain, &w->record->key, w->arena, &bytes, &other, &w->err);
        if (sc_records_is_unreadable(rc))
            return SC_EXISTS;
        if (rc == SC_OK && other.generation <= w->voided)
            return sc_error_set(&w->err, SC_EXISTS, "a record that was withdrawn is still there");
        if (rc == SC_OK) {
            bool same = sc_record_same_result(w->record, &other) || is_own(w->record, &other);
            w->put = same ? SC_RECORD_SAME : SC_RECORD_LOST;
            w->bytes = bytes;
            return SC_OK;
        }
        if (rc == SC_NOT_FOUND) // removed meanwhile: the name is free again
            rc = write(store, op->name, op->body, true, &w->err);
        if (rc == SC_OK) {
            w->put = SC_RECORD_WON;
            w->bytes = op->body;
        }
        if (rc != SC_EXISTS)
            return rc;
    }
    return sc_error_set(&w->err, SC_BUSY, "a record is written and removed again and again by others");
}

void sc_records_put(struct sc_store *store, struct sc_record_write *writes, uint32_t count)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_store_op *ops = SC_NEW_ARRAY(&arena, count, struct sc_store_op);
    struct sc_record_write **sent = SC_NEW_ARRAY(&arena, count, struct sc_record_write *);
    uint32_t sent_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct sc_record_write *w = &writes[i];
        SC_AUTO_BUF struct sc_buf name;
        struct sc_slice body;
        sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
        w->err = (struct sc_error)SC_ERROR_INIT;
        w->rc = encode(w->record, w->arena, &name, &body, &w->err);
        if (w->rc != SC_OK)
            continue;
        struct sc_store_op *op = &ops[sent_count];
        sc_store_op_init(op, SC_STORE_PUT, sc_arena_copy(&arena, sc_buf_slice(&name)));
        op->body = body;
        op->if_absent = true;
        sent[sent_count++] = w;
    }
    sc_store_wait_all(store, ops, sent_count, AT_ONCE);
    for (uint32_t i = 0; i < sent_count; i++) {
        struct sc_record_write *w = sent[i];
        w->rc = ops[i].rc;
        w->err = ops[i].err;
        w->put = SC_RECORD_WON;
        w->bytes = ops[i].body;
        if (w->rc == SC_EXISTS)
            w->rc = meet(store, w, &ops[i]);
        sc_store_op_done(&ops[i]);
    }
}

enum sc_rc sc_records_replace(struct sc_store *store, const struct sc_record *record, struct sc_arena *arena,
                              struct sc_slice *ret_bytes, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
    struct sc_slice body;
    enum sc_rc rc = encode(record, arena, &name, &body, err);
    if (rc == SC_OK)
        rc = write(store, sc_buf_slice(&name), body, false, err);
    if (rc == SC_OK)
        *ret_bytes = body;
    return rc;
}

enum sc_rc sc_records_remove(struct sc_store *store, struct sc_slice domain, const struct sc_digest *key,
                             struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
    sc_name_key(&name, domain, key);
    return remove_name(store, sc_buf_slice(&name), err);
}

enum sc_rc sc_records_void(struct sc_store *store, struct sc_slice domain, const struct sc_void *voided,
                           struct sc_slice reason, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf name, body;
    sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
    sc_buf_init(&body, SC_LIMIT_RECORD_BYTES);
    sc_name_void(&name, domain, voided->wall_ms, &voided->key, voided->generation);
    sc_mp_put_array(&body, 5);
    sc_mp_put_cstr(&body, "stepcache.void/1");
    sc_mp_put_digest(&body, &voided->key);
    sc_mp_put_uint(&body, voided->generation);
    sc_mp_put_int(&body, voided->wall_ms);
    sc_mp_put_str(&body, reason);
    if (body.overflow)
        return sc_error_set(err, SC_LIMIT, "a reason of more than %u bytes", SC_LIMIT_RECORD_BYTES);
    return write(store, sc_buf_slice(&name), sc_buf_slice(&body), false, err);
}

// Calls `each` for the names below a prefix, in order, until it says false.
typedef bool (*name_fn)(void *context, struct sc_slice name);
static enum sc_rc for_each_name(struct sc_store *store, struct sc_slice prefix, name_fn each, void *context,
                                struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf after;
    sc_buf_init(&after, SC_LIMIT_PATH_BYTES);
    for (bool more = true; more;) {
        struct sc_store_op op;
        sc_store_op_init(&op, SC_STORE_LIST, prefix);
        op.after = sc_buf_slice(&after);
        op.max_entries = LIST_NAMES;
        enum sc_rc rc = sc_store_wait(store, &op);
        if (rc != SC_OK && err)
            *err = op.err;
        more = rc == SC_OK && op.entry_count == LIST_NAMES;
        for (uint32_t i = 0; rc == SC_OK && i < op.entry_count; i++) {
            if (!each(context, op.entries[i].name)) {
                more = false;
                break;
            }
        }
        sc_buf_clear(&after);
        if (more)
            sc_buf_add_slice(&after, op.entries[op.entry_count - 1].name);
        sc_store_op_done(&op);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}

struct voids {
    struct sc_slice prefix;
    int64_t since_ms;
    struct sc_void *items;
    uint32_t count, room;
    bool failed;
    struct sc_error *err;
};

static bool add_void(void *context, struct sc_slice name)
{
    struct voids *voids = context;
    struct sc_void found;
    if (sc_slice_eq(name, voids->prefix)) // a folder's marker, as some tools of S3 leave them
        return true;
    if (!sc_name_void_parse(name, &found.wall_ms, &found.key, &found.generation)) {
        voids->failed = true;
        sc_error_set(voids->err, SC_MALFORMED,
                     SC_SLICE_FMT
                     ": not the name of a void; remove it, unless a newer version of Stepcache wrote it",
                     SC_SLICE_ARG(name));
        return false;
    }
    if (found.wall_ms < voids->since_ms)
        return false;
    if (voids->count == voids->room) {
        voids->room = voids->room ? voids->room * 2 : 64;
        voids->items = sc_realloc(voids->items, voids->room, sizeof *voids->items);
    }
    voids->items[voids->count++] = found;
    return true;
}

enum sc_rc sc_records_voids(struct sc_store *store, struct sc_slice domain, int64_t since_ms,
                            struct sc_arena *arena, struct sc_void **ret_voids, uint32_t *ret_count,
                            struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf prefix;
    sc_buf_init(&prefix, SC_LIMIT_PATH_BYTES);
    sc_name_void_prefix(&prefix, domain);
    struct voids voids = {.prefix = sc_buf_slice(&prefix), .since_ms = since_ms, .err = err};
    enum sc_rc rc = for_each_name(store, sc_buf_slice(&prefix), add_void, &voids, err);
    if (voids.failed)
        rc = SC_MALFORMED;
    if (rc == SC_OK) {
        *ret_voids = SC_NEW_ARRAY(arena, voids.count, struct sc_void);
        if (voids.count)
            memcpy(*ret_voids, voids.items, voids.count * sizeof *voids.items);
        *ret_count = voids.count;
    }
    free(voids.items);
    return rc;
}

// Segments of a template: the names of their first parts, newest first; `parts` are the further ones.
struct segments {
    struct sc_arena *arena;
    struct sc_slice *names;
    uint32_t count, room;
};

static bool add_name(void *context, struct sc_slice name)
{
    struct segments *segments = context;
    if (segments->count == segments->room) {
        segments->room = segments->room ? segments->room * 2 : 16;
        segments->names = sc_realloc(segments->names, segments->room, sizeof *segments->names);
    }
    segments->names[segments->count++] = sc_arena_copy(segments->arena, name);
    return true;
}

static bool is_part(struct sc_slice name)
{
    return name.len > PART_DIGITS + 1 && name.ptr[name.len - PART_DIGITS - 1] == '.';
}

static struct sc_slice first_part(struct sc_slice name)
{
    return is_part(name) ? sc_slice(name.ptr, name.len - PART_DIGITS - 1) : name;
}

// Names without a time are none of ours: they sort behind all that have one, or are passed over.
static int64_t newest_ms(const struct segments *segments, size_t prefix_len)
{
    int64_t wall_ms;
    for (uint32_t i = 0; i < segments->count; i++) {
        struct sc_slice rest = sc_slice_from(segments->names[i], prefix_len);
        if (sc_name_take_time(&rest, &wall_ms))
            return wall_ms;
    }
    return -1;
}

// Further parts sort behind their first part, so a removal that stops half-way leaves a segment that is not seen.
static enum sc_rc remove_beyond(struct sc_store *store, const struct segments *segments, uint32_t keep,
                                struct sc_error *err)
{
    enum sc_rc rc = SC_OK;
    uint32_t seen = 0;
    struct sc_slice current = {NULL, 0};
    for (uint32_t i = 0; rc == SC_OK && i < segments->count; i++) {
        struct sc_slice name = segments->names[i], first = first_part(name);
        if (!sc_slice_eq(first, current)) {
            current = first;
            // A first part that is missing: another's segment that is being written, or a dead one's. It counts as
            // none, and goes when it is older than what is kept.
            seen += !is_part(name);
        }
        if (seen > keep)
            rc = remove_name(store, name, err);
    }
    return rc;
}

struct writing {
    struct sc_store *store;
    struct sc_slice name;
    struct sc_buf first; // the first part's bytes, kept back
};

static enum sc_rc write_part(void *context, uint32_t part, struct sc_slice compressed, struct sc_error *err)
{
    struct writing *writing = context;
    if (part == 0) {
        sc_buf_add_slice(&writing->first, compressed);
        return SC_OK;
    }
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
    sc_buf_add_slice(&name, writing->name);
    sc_buf_printf(&name, ".%0*u", PART_DIGITS, part);
    return write(writing->store, sc_buf_slice(&name), compressed, false, err);
}

enum sc_rc sc_records_put_segment(struct sc_store *store, struct sc_slice domain,
                                  const struct sc_digest *template_, int64_t wall_ms,
                                  struct sc_slice coordinator, const struct sc_slice *records, uint32_t count,
                                  uint32_t keep, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    SC_AUTO_BUF struct sc_buf name, prefix;
    sc_arena_init(&arena);
    sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
    sc_buf_init(&prefix, SC_LIMIT_PATH_BYTES);
    sc_name_segment_prefix(&prefix, domain, template_);
    struct segments older = {.arena = &arena};
    enum sc_rc rc = for_each_name(store, sc_buf_slice(&prefix), add_name, &older, err);
    int64_t newest = newest_ms(&older, prefix.len);
    sc_name_segment(&name, domain, template_, wall_ms > newest ? wall_ms : newest + 1, coordinator);
    struct writing writing = {.store = store, .name = sc_buf_slice(&name)};
    sc_buf_init(&writing.first, 0);
    if (rc == SC_OK)
        rc = sc_segment_encode(domain, records, count, write_part, &writing, err);
    if (rc == SC_OK)
        rc = write(store, writing.name, sc_buf_slice(&writing.first), false, err);
    if (rc == SC_OK)
        rc = remove_beyond(store, &older, keep - 1, err);
    sc_buf_done(&writing.first);
    free(older.names);
    return rc;
}

static enum sc_rc read_part(struct sc_store *store, struct sc_slice domain, struct sc_slice name,
                            struct sc_arena *arena, struct sc_segment_part *ret_segment, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena scratch;
    sc_arena_init(&scratch);
    struct sc_slice bytes;
    enum sc_rc rc = fetch(store, name, SC_LIMIT_SEGMENT_BYTES, &scratch, &bytes, err);
    return rc == SC_OK ? sc_segment_decode(bytes, domain, arena, ret_segment, err) : rc;
}

static enum sc_rc read_segment(struct sc_store *store, struct sc_slice domain, struct sc_slice first,
                               struct sc_arena *arena, struct sc_slice **ret_records, uint32_t *ret_count,
                               struct sc_error *err)
{
    struct sc_segment_part segment;
    enum sc_rc rc = read_part(store, domain, first, arena, &segment, err);
    if (rc != SC_OK)
        return rc;
    if (segment.part != 0)
        return sc_error_set(err, SC_CORRUPT, "segment: a part lies under another's name");
    uint32_t parts = segment.parts, count = segment.records.count;
    SC_AUTO_FREE struct sc_segment_part *all = sc_calloc(parts, sizeof *all);
    all[0] = segment;
    for (uint32_t i = 1; i < parts; i++) {
        SC_AUTO_BUF struct sc_buf name;
        sc_buf_init(&name, SC_LIMIT_PATH_BYTES);
        sc_buf_add_slice(&name, first);
        sc_buf_printf(&name, ".%0*u", PART_DIGITS, i);
        rc = read_part(store, domain, sc_buf_slice(&name), arena, &all[i], err);
        if (rc != SC_OK)
            return rc;
        if (all[i].part != i || all[i].parts != parts)
            return sc_error_set(err, SC_CORRUPT, "segment: a part lies under another's name");
        count += all[i].records.count;
    }
    struct sc_slice *records =
        parts == 1 ? segment.records.items : SC_NEW_ARRAY(arena, count, struct sc_slice);
    for (uint32_t i = 0, at = 0; parts > 1 && i < parts; i++) {
        if (all[i].records.count)
            memcpy(records + at, all[i].records.items, all[i].records.count * sizeof *records);
        at += all[i].records.count;
    }
    *ret_records = records;
    *ret_count = count;
    return SC_OK;
}

enum sc_rc sc_records_get_segment(struct sc_store *store, struct sc_slice domain,
                                  const struct sc_digest *template_, struct sc_arena *arena,
                                  struct sc_slice **ret_records, uint32_t *ret_count, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena names;
    sc_arena_init(&names);
    SC_AUTO_BUF struct sc_buf prefix;
    sc_buf_init(&prefix, SC_LIMIT_PATH_BYTES);
    sc_name_segment_prefix(&prefix, domain, template_);
    struct segments segments = {.arena = &names};
    enum sc_rc rc = for_each_name(store, sc_buf_slice(&prefix), add_name, &segments, err);
    bool found = false;
    // One that is damaged or being removed gives way to the next older: a segment only saves reading single records.
    for (uint32_t i = 0; rc == SC_OK && !found && i < segments.count; i++) {
        if (is_part(segments.names[i]))
            continue;
        rc = read_segment(store, domain, segments.names[i], arena, ret_records, ret_count, err);
        found = rc == SC_OK;
        if (sc_records_is_unreadable(rc) || rc == SC_NOT_FOUND)
            rc = SC_OK;
    }
    free(segments.names);
    if (rc == SC_OK && !found) {
        *ret_records = NULL;
        *ret_count = 0;
    }
    return rc;
}
