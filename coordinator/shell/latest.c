#include "coordinator/shell/latest.h"

#include "base/memory.h"

#include <pthread.h>
#include <sqlite3.h>

struct row {
    struct row *chain; // in its bucket
    struct row *newer; // in the order of numbers
    struct sc_digest name;
    struct sc_digest key;
    uint64_t number;
};

enum { BUCKETS = 1024 };

struct sc_latest {
    pthread_mutex_t lock;
    struct row *shared_buckets[BUCKETS];
    struct row *shared_oldest, **shared_newest;
    uint64_t shared_number;
};

struct sc_latest *sc_latest_new(void)
{
    struct sc_latest *latest = sc_calloc(1, sizeof *latest);
    pthread_mutex_init(&latest->lock, NULL);
    latest->shared_newest = &latest->shared_oldest;
    return latest;
}

void sc_latest_free(struct sc_latest *latest)
{
    if (!latest)
        return;
    for (struct row *r = latest->shared_oldest, *newer; r; r = newer) {
        newer = r->newer;
        free(r);
    }
    pthread_mutex_destroy(&latest->lock);
    free(latest);
}

static struct sc_digest step_name(struct sc_slice namespace_, struct sc_slice pipeline, struct sc_slice step)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_mp_put_str(&text, namespace_);
    sc_mp_put_str(&text, pipeline);
    sc_mp_put_str(&text, step);
    return sc_digest_of(sc_buf_slice(&text));
}

static uint32_t bucket_of(const struct sc_digest *name)
{
    return (uint32_t)(name->bytes[0] | name->bytes[1] << 8) % BUCKETS;
}

static void put(struct sc_latest *latest, const struct sc_digest *name, const struct sc_digest *key,
                uint64_t number)
{
    struct row *r = sc_calloc(1, sizeof *r);
    struct row **bucket = &latest->shared_buckets[bucket_of(name)];
    *r = (struct row){.chain = *bucket, .name = *name, .key = *key, .number = number};
    *bucket = r; // before older rows of its name
    *latest->shared_newest = r;
    latest->shared_newest = &r->newer;
}

void sc_latest_note(struct sc_latest *latest, struct sc_job_latest *row)
{
    struct sc_digest name = step_name(row->namespace_, row->pipeline, row->step);
    pthread_mutex_lock(&latest->lock);
    row->number = ++latest->shared_number;
    put(latest, &name, &row->key, row->number);
    if (!sc_digest_is_zero(&row->command))
        put(latest, &row->command, &row->key, row->number);
    pthread_mutex_unlock(&latest->lock);
}

void sc_latest_committed(struct sc_latest *latest, uint64_t number)
{
    pthread_mutex_lock(&latest->lock);
    for (struct row *r; (r = latest->shared_oldest) && r->number <= number;) {
        struct row **at = &latest->shared_buckets[bucket_of(&r->name)];
        while (*at != r)
            at = &(*at)->chain;
        *at = r->chain;
        latest->shared_oldest = r->newer;
        if (!latest->shared_oldest)
            latest->shared_newest = &latest->shared_oldest;
        free(r);
    }
    pthread_mutex_unlock(&latest->lock);
}

static bool find(struct sc_latest *latest, const struct sc_digest *name, struct sc_digest *ret_key)
{
    pthread_mutex_lock(&latest->lock);
    const struct row *r = latest->shared_buckets[bucket_of(name)];
    while (r && !sc_digest_eq(&r->name, name))
        r = r->chain;
    if (r)
        *ret_key = r->key;
    pthread_mutex_unlock(&latest->lock);
    return r != NULL;
}

// ---- readers

struct sc_latest_reader {
    struct sc_latest *latest;
    sqlite3 *db;
    sqlite3_stmt *of_step, *of_command;
};

enum sc_rc sc_latest_reader_open(struct sc_latest *latest, const char *journal_path,
                                 struct sc_latest_reader **ret_reader, struct sc_error *err)
{
    struct sc_latest_reader *reader = sc_calloc(1, sizeof *reader);
    reader->latest = latest;
    int rc = sqlite3_open_v2(journal_path, &reader->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(reader->db, 5000);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v3(reader->db,
                                "SELECT key FROM latest WHERE namespace = ? AND pipeline = ? AND step = ?",
                                -1, SQLITE_PREPARE_PERSISTENT, &reader->of_step, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v3(reader->db, "SELECT key FROM latest_command WHERE command = ?", -1,
                                SQLITE_PREPARE_PERSISTENT, &reader->of_command, NULL);
    if (rc != SQLITE_OK) {
        sc_error_set(err, SC_IO, "read %s: %s", journal_path, sqlite3_errmsg(reader->db));
        sc_latest_reader_close(reader);
        return SC_IO;
    }
    *ret_reader = reader;
    return SC_OK;
}

void sc_latest_reader_close(struct sc_latest_reader *reader)
{
    if (!reader)
        return;
    sqlite3_finalize(reader->of_step);
    sqlite3_finalize(reader->of_command);
    sqlite3_close(reader->db);
    free(reader);
}

static bool take_key(sqlite3_stmt *s, struct sc_digest *ret_key)
{
    bool found = sqlite3_step(s) == SQLITE_ROW && sqlite3_column_bytes(s, 0) == SC_DIGEST_BYTES;
    if (found)
        memcpy(ret_key->bytes, sqlite3_column_blob(s, 0), SC_DIGEST_BYTES);
    sqlite3_reset(s);
    return found;
}

static void bind_text(sqlite3_stmt *s, int at, struct sc_slice text)
{
    sqlite3_bind_text(s, at, text.len ? (const char *)text.ptr : "", (int)text.len, SQLITE_STATIC);
}

bool sc_latest_of_step(struct sc_latest_reader *reader, struct sc_slice namespace_, struct sc_slice pipeline,
                       struct sc_slice step, struct sc_digest *ret_key)
{
    struct sc_digest name = step_name(namespace_, pipeline, step);
    if (find(reader->latest, &name, ret_key))
        return true;
    bind_text(reader->of_step, 1, namespace_);
    bind_text(reader->of_step, 2, pipeline);
    bind_text(reader->of_step, 3, step);
    return take_key(reader->of_step, ret_key);
}

bool sc_latest_of_command(struct sc_latest_reader *reader, const struct sc_digest *command,
                          struct sc_digest *ret_key)
{
    if (sc_digest_is_zero(command))
        return false;
    if (find(reader->latest, command, ret_key))
        return true;
    sqlite3_bind_blob(reader->of_command, 1, command->bytes, SC_DIGEST_BYTES, SQLITE_STATIC);
    return take_key(reader->of_command, ret_key);
}

bool sc_latest_plan(struct sc_latest_reader *reader, struct sc_digest *ret_plan)
{
    sqlite3_stmt *statement = NULL;
    bool found = false;
    if (sqlite3_prepare_v2(reader->db, "SELECT plan FROM runs ORDER BY started_at DESC LIMIT 1", -1,
                           &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_bytes(statement, 0) == SC_DIGEST_BYTES) {
        memcpy(ret_plan->bytes, sqlite3_column_blob(statement, 0), SC_DIGEST_BYTES);
        found = true;
    }
    sqlite3_finalize(statement);
    return found;
}
