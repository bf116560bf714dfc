// A collection, what its files share: mark (gc_mark.c: what is reached), sweep (gc_sweep.c: what is not, and is older than
// the horizon, goes), the marker that keeps two apart (gc_marker.c), withdrawals that nobody needs any more (gc_voids.c).
// query_gc.c, above them, is the command.
//
// Why nothing is lost. A writer counts on what it finds in the store only while that is younger than half the horizon, and
// puts its record within a quarter (store/object_impl.h, sc_object_keep). An object that this collection removes is older
// than the horizon at t0, the store's own time when the collection began: whoever counted on it had put its record by
// then, and every record that was there at t0 is read. Private to coordinator/shell/gc_*.c and query_gc.c.
#pragma once

#include "coordinator/shell/gc_policy.h"
#include "coordinator/shell/query_parts.h"
#include "store/digestmap.h"
#include "store/marks.h"

struct gc_void {
    struct sc_digest key;
    uint64_t generation;
    int64_t wall_ms, mtime_ms; // wall_ms: of its name
    bool needed;               // a record of the key is there, or in a segment
};

struct gc_sum {
    uint64_t objects, bytes;
};

struct gc_namespace {
    struct sc_slice name;
    uint64_t records, bytes;
};

struct gc {
    struct sc_queries *queries;
    struct sc_gc_policy policy;
    struct sc_arena arena;
    struct sc_slice domain;
    int64_t t0_ms, cut_ms; // by the store's clock; only what is older than the cut goes
    int64_t open_ms;       // when the oldest open run began; INT64_MAX: none is open
    uint32_t open_runs;
    // withdrawals, sorted by key, of one key the newest generation first
    struct gc_void *voids;
    size_t void_count, void_room;
    struct sc_marks pins, drops;              // keys: of the pinned, and of those that the policy drops
    SC_LIST(struct sc_digest, dropped);       // the latter
    SC_LIST(struct gc_namespace, namespaces); // theirs
    SC_LIST(struct sc_digest, dead);          // keys whose record is withdrawn, and needed by nobody
    // what is reached: by what stays, and by what the policy drops alone
    struct sc_marks kept, later;
    struct sc_digest_map trees; // to one of the two
    uint64_t records, corrupt;  // how many there are; that could not be read
    // swept
    struct sc_marks removed;
    SC_LIST(struct sc_digest, lost); // keys of records that came meanwhile and reach what was removed
    struct gc_sum free_, young, later_sum, kept_sum;
    uint64_t dead_removed, voids_removed, segments_removed;
    // the marker
    bool marked;
    uint32_t first_shard, shard; // where one that died had come to; the one at hand
    int64_t marked_mono_ms;
    struct sc_slice mark_id; // random
};

enum { GC_SHARDS = 16 }; // an object's first digit

// Appends to one of the lists above, which grow by doubling in the arena.
#define GC_APPEND(gc, list, value)                                                                           \
    do {                                                                                                     \
        if (((list).count & ((list).count - 1)) == 0) {                                                      \
            void *items_ =                                                                                   \
                sc_arena_alloc(&(gc)->arena, ((list).count ? (list).count * 2 : 1) * sizeof *(list).items);  \
            if ((list).count)                                                                                \
                memcpy(items_, (list).items, (list).count * sizeof *(list).items);                           \
            (list).items = items_;                                                                           \
        }                                                                                                    \
        (list).items[(list).count++] = (value);                                                              \
    } while (0)

// gc_marker.c
// A name below v1/<domain>/, from the arena.
struct sc_slice gc_name(struct gc *gc, const char *below);
// SC_BUSY, naming it, when another collects; one that has said nothing for ten minutes is dead, as is one of our own name.
enum sc_rc gc_marker_take(struct gc *gc, struct sc_error *err);
// Says that we are alive, and have come to this shard. SC_BUSY when another has taken over.
enum sc_rc gc_marker_move(struct gc *gc, uint32_t shard, struct sc_error *err);
// Asked often: says each minute that we are alive. SC_CANCELLED when the coordinator stops.
enum sc_rc gc_marker_renew(struct gc *gc, struct sc_error *err);
void gc_marker_drop(struct gc *gc);

// gc_mark.c
enum sc_rc gc_mark(struct gc *gc, struct sc_error *err);
// The newest void of a key, or NULL.
struct gc_void *gc_find_void(const struct gc *gc, const struct sc_digest *key);
// Whether nobody can need any more what was withdrawn then.
bool gc_is_over(const struct gc *gc, const struct gc_void *voided);

// gc_sweep.c
// Removes it when it is older than the cut, after one more look. True: it is gone.
enum sc_rc gc_remove(struct gc *gc, struct sc_slice name, bool *ret_removed, struct sc_error *err);
enum sc_rc gc_sweep(struct gc *gc, struct sc_error *err);

// gc_voids.c: voids, and segments that hold what they withdraw
enum sc_rc gc_clear_voids(struct gc *gc, struct sc_error *err);
