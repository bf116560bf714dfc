// Records, segments and voids in the store: what the coordinator's store thread calls. Blocking, batch-wise.
#pragma once

#include "store/segment.h"
#include "store/store.h"

// Reads and checks the record of a key. SC_NOT_FOUND; SC_CORRUPT, SC_MALFORMED, SC_VERSION with the story. Bytes and
// record lie in the arena.
SC_MUST_USE enum sc_rc sc_records_get(struct sc_store *store, struct sc_slice domain,
                                      const struct sc_digest *key, struct sc_arena *arena,
                                      struct sc_slice *ret_bytes, struct sc_record *ret_record,
                                      struct sc_error *err);
// The same of many, several at once.
struct sc_record_read {
    struct sc_digest key;
    // out
    enum sc_rc rc;
    struct sc_error err;
    struct sc_slice bytes;
    struct sc_record record;
};
void sc_records_get_all(struct sc_store *store, struct sc_slice domain, struct sc_record_read *reads,
                        uint32_t count, struct sc_arena *arena);
// What could not be read again is not written: SC_INVALID, or SC_LIMIT for its size.
enum sc_record_put { SC_RECORD_WON, SC_RECORD_SAME, SC_RECORD_LOST };
// Puts records of different keys if absent, several at once; each tells what came of it. When one is there: SAME if its
// result is equal (or it is our own, retried), else LOST. `bytes` is the encoded record that is there now, in the arena.
// SC_EXISTS when what is there does not count, being unreadable or of a generation of at most `voided`: it is to be
// replaced.
struct sc_record_write {
    const struct sc_record *record;
    uint64_t voided;
    struct sc_arena *arena;
    // out
    enum sc_rc rc;
    struct sc_error err;
    enum sc_record_put put;
    struct sc_slice bytes;
};
void sc_records_put(struct sc_store *store, struct sc_record_write *writes, uint32_t count);
// Writes the record, whatever is there. What is there must have been voided before.
SC_MUST_USE enum sc_rc sc_records_replace(struct sc_store *store, const struct sc_record *record,
                                          struct sc_arena *arena, struct sc_slice *ret_bytes,
                                          struct sc_error *err);
SC_MUST_USE enum sc_rc sc_records_remove(struct sc_store *store, struct sc_slice domain,
                                         const struct sc_digest *key, struct sc_error *err);
// Whether the bytes themselves are to blame, so that another record may take their place.
bool sc_records_is_unreadable(enum sc_rc rc);

// A void withdraws a key's records up to a generation, wherever copies of them lie. Its time only says where in the
// listing it stands; no clock decides what is withdrawn. A replacement is voided for before it is written, so no record
// has a generation beyond its key's newest void by more than one.
struct sc_void {
    struct sc_digest key;
    uint64_t generation;
    int64_t wall_ms;
};
SC_MUST_USE enum sc_rc sc_records_void(struct sc_store *store, struct sc_slice domain,
                                       const struct sc_void *voided, struct sc_slice reason,
                                       struct sc_error *err);
// Voids from since_ms on, newest first. SC_MALFORMED, which names it, when there is one that cannot be read: what it
// withdraws is not known.
SC_MUST_USE enum sc_rc sc_records_voids(struct sc_store *store, struct sc_slice domain, int64_t since_ms,
                                        struct sc_arena *arena, struct sc_void **ret_voids,
                                        uint32_t *ret_count, struct sc_error *err);
// Writes a segment for a run, its first part last, so that it is seen when it is whole (further parts: the first's name,
// a dot, five digits). It becomes the newest of its template, though the clocks of others be ahead; those beyond the
// newest `keep` are removed.
SC_MUST_USE enum sc_rc sc_records_put_segment(struct sc_store *store, struct sc_slice domain,
                                              const struct sc_digest *template_, int64_t wall_ms,
                                              struct sc_slice coordinator, const struct sc_slice *records,
                                              uint32_t count, uint32_t keep, struct sc_error *err);
// The encoded records of the newest segment of a template that is whole (all its parts), in the arena; count 0 when there
// is none.
SC_MUST_USE enum sc_rc sc_records_get_segment(struct sc_store *store, struct sc_slice domain,
                                              const struct sc_digest *template_, struct sc_arena *arena,
                                              struct sc_slice **ret_records, uint32_t *ret_count,
                                              struct sc_error *err);
