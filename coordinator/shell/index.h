// The index: records in memory by key, as encoded bytes, bounded; the least recently used leave. What it holds was in the
// store once; whether it still counts (voids, objects, expiry) is judged by those who ask. As long as not all voids are
// known, nothing in it counts. Any thread.
#pragma once

#include "store/records.h"

struct sc_index;

enum { SC_INDEX_BYTES = 256 << 20, SC_INDEX_VOIDS = 1000000 };

struct sc_index *sc_index_new(size_t max_bytes);
void sc_index_free(struct sc_index *index);
// Copies the bytes in; replaces what is there.
void sc_index_put(struct sc_index *index, const struct sc_digest *key, struct sc_slice record);
// Copies the record's bytes into the arena; false when it is not there.
bool sc_index_get(struct sc_index *index, const struct sc_digest *key, struct sc_arena *arena,
                  struct sc_slice *ret_record);
// The mark of a key's record, without copying it.
bool sc_index_mark_of(struct sc_index *index, const struct sc_digest *key, uint64_t *ret_mark);
void sc_index_remove(struct sc_index *index, const struct sc_digest *key);
// All records; the voids stay.
void sc_index_forget(struct sc_index *index);
uint32_t sc_index_count(struct sc_index *index);
size_t sc_index_bytes(struct sc_index *index);
// A number for a record's bytes, equal for equal bytes; not for secrets.
uint64_t sc_index_mark(struct sc_slice record);

// Voids: up to which generation a key's records are withdrawn.
void sc_index_void(struct sc_index *index, const struct sc_void *voided);
// The newest generation of the key that is withdrawn; 0: none.
uint64_t sc_index_voided(struct sc_index *index, const struct sc_digest *key);
// The newest time of a void. Voids are listed from a little before it on, so a new one must not stand behind it.
int64_t sc_index_newest_void_ms(struct sc_index *index);
// Whether the last listing of the voids succeeded.
void sc_index_set_voids_listed(struct sc_index *index, bool listed);
// Whether every void is known: they were listed, and were not more than SC_INDEX_VOIDS.
bool sc_index_voids_known(struct sc_index *index);

// The key that an encoded record says it is for; false when it cannot be read. For records of segments.
bool sc_index_record_key(struct sc_slice record, struct sc_digest *ret_key);
