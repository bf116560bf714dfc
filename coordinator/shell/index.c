#include "coordinator/shell/index.h"

#include "base/memory.h"
#include "store/digestmap.h"

#include <pthread.h>

struct entry {
    struct entry *chain;         // in the bucket
    struct entry *older, *newer; // by use
    struct sc_digest key;
    uint64_t mark;
    size_t len;
    uint8_t bytes[];
};

struct voided {
    uint64_t generation;
};

enum { FIRST_BUCKETS = 1024 };

struct sc_index {
    pthread_mutex_t lock;
    size_t max_bytes;
    struct entry **shared_buckets;
    uint32_t shared_bucket_count, shared_count; // the first a power of two
    size_t shared_bytes;
    struct entry *shared_oldest, *shared_newest;
    struct sc_digest_map shared_voids; // to struct voided, in the arena
    struct sc_arena shared_void_arena;
    int64_t shared_newest_void_ms;
    bool shared_voids_listed, shared_voids_cut;
};

struct sc_index *sc_index_new(size_t max_bytes)
{
    struct sc_index *index = sc_calloc(1, sizeof *index);
    pthread_mutex_init(&index->lock, NULL);
    index->max_bytes = max_bytes;
    index->shared_bucket_count = FIRST_BUCKETS;
    index->shared_buckets = sc_calloc(FIRST_BUCKETS, sizeof(struct entry *));
    sc_arena_init(&index->shared_void_arena);
    return index;
}

void sc_index_free(struct sc_index *index)
{
    if (!index)
        return;
    for (struct entry *e = index->shared_oldest, *newer; e; e = newer) {
        newer = e->newer;
        free(e);
    }
    sc_digest_map_done(&index->shared_voids);
    sc_arena_done(&index->shared_void_arena);
    free(index->shared_buckets);
    pthread_mutex_destroy(&index->lock);
    free(index);
}

// A key is a digest: any of its bytes are a good hash.
static uint64_t hash_of(const struct sc_digest *key)
{
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    return hash;
}

static struct entry **place_of(struct sc_index *index, const struct sc_digest *key)
{
    struct entry **at = &index->shared_buckets[hash_of(key) & (index->shared_bucket_count - 1)];
    while (*at && !sc_digest_eq(&(*at)->key, key))
        at = &(*at)->chain;
    return at;
}

static void unlink_use(struct sc_index *index, struct entry *e)
{
    *(e->older ? &e->older->newer : &index->shared_oldest) = e->newer;
    *(e->newer ? &e->newer->older : &index->shared_newest) = e->older;
}

static void link_newest(struct sc_index *index, struct entry *e)
{
    e->older = index->shared_newest;
    e->newer = NULL;
    *(e->older ? &e->older->newer : &index->shared_oldest) = e;
    index->shared_newest = e;
}

static void remove_at(struct sc_index *index, struct entry **at)
{
    struct entry *e = *at;
    *at = e->chain;
    unlink_use(index, e);
    index->shared_count--;
    index->shared_bytes -= sizeof *e + e->len;
    free(e);
}

static void grow(struct sc_index *index)
{
    uint32_t count = index->shared_bucket_count * 2;
    struct entry **buckets = sc_calloc(count, sizeof *buckets);
    for (struct entry *e = index->shared_oldest; e; e = e->newer) {
        struct entry **at = &buckets[hash_of(&e->key) & (count - 1)];
        e->chain = *at;
        *at = e;
    }
    free(index->shared_buckets);
    index->shared_buckets = buckets;
    index->shared_bucket_count = count;
}

// Eight bytes at a time, multiplied and mixed (splitmix64's finish): enough to tell two records of one key apart.
uint64_t sc_index_mark(struct sc_slice record)
{
    uint64_t mark = 0x9e3779b97f4a7c15u ^ record.len;
    while (record.len) {
        uint64_t part = 0;
        size_t n = record.len < sizeof part ? record.len : sizeof part;
        memcpy(&part, record.ptr, n);
        mark = (mark ^ part) * 0xbf58476d1ce4e5b9u;
        mark ^= mark >> 29;
        record = sc_slice_from(record, n);
    }
    mark = (mark ^ mark >> 30) * 0x94d049bb133111ebu;
    return mark ^ mark >> 31;
}

void sc_index_put(struct sc_index *index, const struct sc_digest *key, struct sc_slice record)
{
    struct entry *e = sc_calloc(1, sizeof *e + record.len);
    e->key = *key;
    e->len = record.len;
    e->mark = sc_index_mark(record);
    if (record.len)
        memcpy(e->bytes, record.ptr, record.len);
    pthread_mutex_lock(&index->lock);
    struct entry **at = place_of(index, key);
    if (*at)
        remove_at(index, at);
    if (index->shared_count >= index->shared_bucket_count)
        grow(index);
    at = place_of(index, key);
    e->chain = *at;
    *at = e;
    link_newest(index, e);
    index->shared_count++;
    index->shared_bytes += sizeof *e + e->len;
    while (index->shared_bytes > index->max_bytes && index->shared_oldest != e)
        remove_at(index, place_of(index, &index->shared_oldest->key));
    pthread_mutex_unlock(&index->lock);
}

static struct entry *use(struct sc_index *index, const struct sc_digest *key)
{
    struct entry *e = *place_of(index, key);
    if (e && index->shared_newest != e) {
        unlink_use(index, e);
        link_newest(index, e);
    }
    return e;
}

bool sc_index_get(struct sc_index *index, const struct sc_digest *key, struct sc_arena *arena,
                  struct sc_slice *ret_record)
{
    pthread_mutex_lock(&index->lock);
    const struct entry *e = use(index, key);
    if (e)
        *ret_record = sc_arena_copy(arena, sc_slice(e->bytes, e->len));
    pthread_mutex_unlock(&index->lock);
    return e != NULL;
}

bool sc_index_mark_of(struct sc_index *index, const struct sc_digest *key, uint64_t *ret_mark)
{
    pthread_mutex_lock(&index->lock);
    const struct entry *e = use(index, key);
    if (e)
        *ret_mark = e->mark;
    pthread_mutex_unlock(&index->lock);
    return e != NULL;
}

void sc_index_remove(struct sc_index *index, const struct sc_digest *key)
{
    pthread_mutex_lock(&index->lock);
    struct entry **at = place_of(index, key);
    if (*at)
        remove_at(index, at);
    pthread_mutex_unlock(&index->lock);
}

void sc_index_forget(struct sc_index *index)
{
    pthread_mutex_lock(&index->lock);
    for (uint32_t i = 0; i < index->shared_bucket_count; i++)
        while (index->shared_buckets[i])
            remove_at(index, &index->shared_buckets[i]);
    pthread_mutex_unlock(&index->lock);
}

uint32_t sc_index_count(struct sc_index *index)
{
    pthread_mutex_lock(&index->lock);
    uint32_t count = index->shared_count;
    pthread_mutex_unlock(&index->lock);
    return count;
}

size_t sc_index_bytes(struct sc_index *index)
{
    pthread_mutex_lock(&index->lock);
    size_t bytes = index->shared_bytes;
    pthread_mutex_unlock(&index->lock);
    return bytes;
}

// ---- voids

void sc_index_void(struct sc_index *index, const struct sc_void *voided)
{
    pthread_mutex_lock(&index->lock);
    struct voided *v = sc_digest_map_get(&index->shared_voids, &voided->key);
    if (!v && index->shared_voids.count < SC_INDEX_VOIDS) {
        v = SC_NEW(&index->shared_void_arena, struct voided);
        sc_digest_map_put(&index->shared_voids, &voided->key, v);
    }
    if (!v)
        index->shared_voids_cut = true;
    else if (v->generation < voided->generation)
        v->generation = voided->generation;
    if (index->shared_newest_void_ms < voided->wall_ms)
        index->shared_newest_void_ms = voided->wall_ms;
    pthread_mutex_unlock(&index->lock);
}

uint64_t sc_index_voided(struct sc_index *index, const struct sc_digest *key)
{
    pthread_mutex_lock(&index->lock);
    const struct voided *v = sc_digest_map_get(&index->shared_voids, key);
    uint64_t generation = v ? v->generation : 0;
    pthread_mutex_unlock(&index->lock);
    return generation;
}

int64_t sc_index_newest_void_ms(struct sc_index *index)
{
    pthread_mutex_lock(&index->lock);
    int64_t wall_ms = index->shared_newest_void_ms;
    pthread_mutex_unlock(&index->lock);
    return wall_ms;
}

void sc_index_set_voids_listed(struct sc_index *index, bool listed)
{
    pthread_mutex_lock(&index->lock);
    index->shared_voids_listed = listed;
    pthread_mutex_unlock(&index->lock);
}

bool sc_index_voids_known(struct sc_index *index)
{
    pthread_mutex_lock(&index->lock);
    bool known = index->shared_voids_listed && !index->shared_voids_cut;
    pthread_mutex_unlock(&index->lock);
    return known;
}

bool sc_index_record_key(struct sc_slice record, struct sc_digest *ret_key)
{
    struct sc_mp_reader reader = sc_mp_reader(record);
    uint32_t count = sc_mp_get_map(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        struct sc_slice name = sc_mp_get_str(&reader);
        if (sc_slice_eq_str(name, "key")) {
            *ret_key = sc_mp_get_digest(&reader);
            return !reader.failed;
        }
        (void)sc_mp_skip(&reader, 16);
    }
    return false;
}
