#include "coordinator/shell/journal_file.h"

#include "base/memory.h"
#include "coordinator/shell/journal.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    PUT_FACT,
    DROP_SLOT,
    PUT_RUN,
    CLOSE_RUN,
    PUT_LATEST,
    PUT_COMMAND,
    KEEP_SEQ,
    DROP_FACTS,
    STATEMENTS
};
static const char *const statement_texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT_FACT] = "INSERT INTO facts(seq, slot, fact) VALUES(?, ?, ?)",
    [DROP_SLOT] = "DELETE FROM facts WHERE slot = ?",
    [PUT_RUN] = ("INSERT OR REPLACE INTO runs(run, namespace, pipeline, user, state, started_at, ended_at, "
                 "plan, hits, misses, joined, failed, "
                 "skipped, ran_ms, saved_ms, steps) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    [CLOSE_RUN] = "UPDATE runs SET state = 'failed', ended_at = started_at WHERE run = ? AND state = 'open'",
    [PUT_LATEST] = "INSERT OR REPLACE INTO latest(namespace, pipeline, step, key) VALUES(?, ?, ?, ?)",
    [PUT_COMMAND] = "INSERT OR REPLACE INTO latest_command(command, key) VALUES(?, ?)",
    [KEEP_SEQ] = ("INSERT OR REPLACE INTO meta(name, value) SELECT 'last_seq', max(seq) FROM facts HAVING "
                  "max(seq) IS NOT NULL"),
    [DROP_FACTS] = "DELETE FROM facts WHERE seq < ? AND slot IS NULL",
};

static const char tables[] =
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS facts(seq INTEGER PRIMARY KEY, slot TEXT, fact BLOB NOT NULL);"
    "CREATE UNIQUE INDEX IF NOT EXISTS facts_slot ON facts(slot) WHERE slot IS NOT NULL;"
    "CREATE TABLE IF NOT EXISTS runs(run TEXT PRIMARY KEY, namespace TEXT, pipeline TEXT, user TEXT, state "
    "TEXT, started_at INTEGER, ended_at INTEGER, "
    "plan BLOB, hits INTEGER, misses INTEGER, joined INTEGER, failed INTEGER, skipped INTEGER, ran_ms "
    "INTEGER, saved_ms INTEGER, steps INTEGER) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS runs_started ON runs(started_at);"
    "CREATE TABLE IF NOT EXISTS latest(namespace TEXT, pipeline TEXT, step TEXT, key BLOB NOT NULL, PRIMARY "
    "KEY(namespace, pipeline, step)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS latest_command(command BLOB PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;";

struct sc_journal_file {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *statements[STATEMENTS];
    uint64_t keep_from; // facts below are of closed runs; 0: nothing to take out
};

// ---- batches

struct sc_journal_batch *sc_journal_batch_new(void)
{
    struct sc_journal_batch *batch = sc_calloc(1, sizeof *batch);
    sc_arena_init(&batch->arena);
    batch->last = &batch->first;
    return batch;
}

void sc_journal_batch_free(struct sc_journal_batch *batch)
{
    if (!batch)
        return;
    sc_arena_done(&batch->arena);
    free(batch);
}

struct sc_journal_row *sc_journal_batch_add(struct sc_journal_batch *batch, enum sc_journal_row_kind kind,
                                            int64_t urgent_ns)
{
    struct sc_journal_row *row = SC_NEW(&batch->arena, struct sc_journal_row);
    row->kind = kind;
    if (!batch->since_ns) {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        batch->since_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
    }
    if (!batch->urgent_since_ns)
        batch->urgent_since_ns = urgent_ns;
    *batch->last = row;
    batch->last = &row->next;
    return row;
}

// ---- opening

static enum sc_rc failed(const struct sc_journal_file *file, const char *what, struct sc_error *err)
{
    int code = sqlite3_errcode(file->db) & 0xff;
    const char *text = sqlite3_errmsg(file->db);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
        sc_error_set(err, SC_CORRUPT, "the journal %s is damaged: %s: %s", file->path, what, text);
        sc_error_hint(err, "move it aside and start again: submit what was open anew, and what was done is "
                           "served from the cache");
        return SC_CORRUPT;
    }
    enum sc_rc rc = code == SQLITE_FULL                              ? SC_FULL
                    : code == SQLITE_BUSY                            ? SC_BUSY
                    : code == SQLITE_CANTOPEN || code == SQLITE_PERM ? SC_DENIED
                                                                     : SC_IO;
    return sc_error_set(err, rc, "journal %s: %s: %s", file->path, what, text);
}

static enum sc_rc execute(struct sc_journal_file *file, const char *sql, const char *what,
                          struct sc_error *err)
{
    return sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK ? SC_OK : failed(file, what, err);
}

// Whether the file has our tables, and that their format is one we know; before anything is written to it.
static enum sc_rc check_format(struct sc_journal_file *file, bool *ret_new, struct sc_error *err)
{
    sqlite3_stmt *s = NULL;
    *ret_new = true;
    if (sqlite3_prepare_v2(file->db, "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", -1, &s,
                           NULL) != SQLITE_OK)
        return failed(file, "open", err);
    int step = sqlite3_step(s);
    bool there = step == SQLITE_ROW && sqlite3_column_int(s, 0) > 0;
    sqlite3_finalize(s);
    if (step != SQLITE_ROW)
        return failed(file, "open", err);
    if (!there)
        return SC_OK;
    if (sqlite3_prepare_v2(file->db, "SELECT value FROM meta WHERE name = 'format'", -1, &s, NULL) !=
        SQLITE_OK)
        return failed(file, "read its format", err);
    step = sqlite3_step(s);
    sqlite3_int64 format = step == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_finalize(s);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return failed(file, "read its format", err);
    if (format > SC_JOURNAL_FORMAT) {
        sc_error_set(err, SC_VERSION,
                     "the journal %s has format %lld, and this program knows %d: it is left as it is",
                     file->path, (long long)format, SC_JOURNAL_FORMAT);
        sc_error_hint(
            err,
            "start the newer step-coordinator that wrote it, or give this one a state folder of its own");
        return SC_VERSION;
    }
    *ret_new = format == 0;
    return SC_OK;
}

static enum sc_rc make_tables(struct sc_journal_file *file, struct sc_error *err)
{
    uint8_t random[8];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return sc_error_set(err, SC_IO, "no random bytes for the coordinator's id");
    char sql[200], hex[17];
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(hex + 2 * i, 3, "%02x", random[i]);
    snprintf(sql, sizeof sql, "INSERT INTO meta VALUES('format', %d), ('coordinator', '%s');",
             SC_JOURNAL_FORMAT, hex);
    enum sc_rc rc = execute(file, "BEGIN IMMEDIATE", "make its tables", err);
    if (rc == SC_OK)
        rc = execute(file, tables, "make its tables", err);
    if (rc == SC_OK)
        rc = execute(file, sql, "make its tables", err);
    return rc == SC_OK ? execute(file, "COMMIT", "make its tables", err) : rc;
}

static enum sc_rc read_id(struct sc_journal_file *file, char ret_id[17], struct sc_error *err)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(file->db, "SELECT value FROM meta WHERE name = 'coordinator'", -1, &s, NULL) !=
        SQLITE_OK)
        return failed(file, "read the coordinator's id", err);
    enum sc_rc rc = SC_OK;
    const unsigned char *text = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_text(s, 0) : NULL;
    if (text && strlen((const char *)text) == SC_JOURNAL_ID_BYTES)
        memcpy(ret_id, text, SC_JOURNAL_ID_BYTES + 1);
    else
        rc = sc_error_set(err, SC_CORRUPT, "the journal %s is damaged: it names no coordinator", file->path);
    sqlite3_finalize(s);
    return rc;
}

static enum sc_rc prepare(struct sc_journal_file *file, struct sc_error *err)
{
    for (int i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(file->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &file->statements[i], NULL) != SQLITE_OK)
            return failed(file, "prepare", err);
    return SC_OK;
}

static enum sc_rc open_steps(struct sc_journal_file *file, char ret_id[17], struct sc_error *err)
{
    // Checkpoints cost two syncs: rarer than by default, since a batch is small. The lock file has made sure of one writer.
    static const char pragmas[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA "
                                  "wal_autocheckpoint=4000; PRAGMA cache_size=-2000; "
                                  "PRAGMA journal_size_limit=33554432;";
    bool is_new;
    sqlite3_busy_timeout(file->db, 5000);
    enum sc_rc rc = check_format(file, &is_new, err);
    if (rc == SC_OK)
        rc = execute(file, pragmas, "open", err);
    if (rc == SC_OK && is_new)
        rc = make_tables(file, err);
    if (rc == SC_OK)
        rc = read_id(file, ret_id, err);
    return rc == SC_OK ? prepare(file, err) : rc;
}

enum sc_rc sc_journal_file_open(const char *path, struct sc_journal_file **ret_file, char ret_id[17],
                                struct sc_error *err)
{
    struct sc_journal_file *file = sc_calloc(1, sizeof *file);
    file->path = sc_strdup(path);
    enum sc_rc rc;
    if (sqlite3_open_v2(path, &file->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        rc = failed(file, "open", err);
    else
        rc = open_steps(file, ret_id, err);
    if (rc != SC_OK) {
        sc_journal_file_close(file);
        return rc;
    }
    *ret_file = file;
    return SC_OK;
}

void sc_journal_file_close(struct sc_journal_file *file)
{
    if (!file)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(file->statements[i]);
    sqlite3_close(file->db);
    free(file->path);
    free(file);
}

enum sc_rc sc_journal_file_facts(struct sc_journal_file *file,
                                 void (*visit)(void *context, uint64_t seq, struct sc_slice fact),
                                 void *context, uint64_t *ret_last_seq, struct sc_error *err)
{
    sqlite3_stmt *s = NULL;
    uint64_t last = 0;
    int step;
    if (sqlite3_prepare_v2(file->db, "SELECT coalesce((SELECT value FROM meta WHERE name = 'last_seq'), 0)",
                           -1, &s, NULL) != SQLITE_OK)
        return failed(file, "read the facts", err);
    if (sqlite3_step(s) == SQLITE_ROW)
        last = (uint64_t)sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    if (sqlite3_prepare_v2(file->db, "SELECT seq, fact FROM facts ORDER BY seq", -1, &s, NULL) != SQLITE_OK)
        return failed(file, "read the facts", err);
    while ((step = sqlite3_step(s)) == SQLITE_ROW) {
        uint64_t seq = (uint64_t)sqlite3_column_int64(s, 0);
        const void *bytes = sqlite3_column_blob(s, 1);
        if (visit)
            visit(context, seq, sc_slice(bytes, (size_t)sqlite3_column_bytes(s, 1)));
        if (seq > last)
            last = seq;
    }
    enum sc_rc rc = step == SQLITE_DONE ? SC_OK : failed(file, "read the facts", err);
    sqlite3_finalize(s);
    if (rc == SC_OK)
        *ret_last_seq = last;
    return rc;
}

static void bind_text(sqlite3_stmt *s, int at, struct sc_slice text)
{
    sqlite3_bind_text(s, at, text.len ? (const char *)text.ptr : "", (int)text.len, SQLITE_STATIC);
}

enum sc_rc sc_journal_file_find_run(struct sc_journal_file *file, struct sc_slice run, bool *ret_known,
                                    bool *ret_closed, struct sc_error *err)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(file->db, "SELECT state <> 'open' FROM runs WHERE run = ?", -1, &s, NULL) !=
        SQLITE_OK)
        return failed(file, "look for a run", err);
    bind_text(s, 1, run);
    int step = sqlite3_step(s);
    *ret_known = step == SQLITE_ROW;
    *ret_closed = step == SQLITE_ROW && sqlite3_column_int(s, 0) != 0;
    enum sc_rc rc = step == SQLITE_ROW || step == SQLITE_DONE ? SC_OK : failed(file, "look for a run", err);
    sqlite3_finalize(s);
    return rc;
}

// ---- committing

static bool run(struct sc_journal_file *file, enum statement which)
{
    sqlite3_stmt *s = file->statements[which];
    int step = sqlite3_step(s);
    sqlite3_reset(s);
    return step == SQLITE_DONE;
}

static bool put_fact(struct sc_journal_file *file, const struct sc_journal_row *row)
{
    if (row->slot.len) {
        bind_text(file->statements[DROP_SLOT], 1, row->slot);
        if (!run(file, DROP_SLOT))
            return false;
    }
    sqlite3_stmt *s = file->statements[PUT_FACT];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)row->seq);
    if (row->slot.len)
        bind_text(s, 2, row->slot);
    else
        sqlite3_bind_null(s, 2);
    sqlite3_bind_blob(s, 3, row->fact.len ? (const void *)row->fact.ptr : "", (int)row->fact.len,
                      SQLITE_STATIC);
    return run(file, PUT_FACT);
}

static bool put_run(struct sc_journal_file *file, const struct sc_job_run *row)
{
    sqlite3_stmt *s = file->statements[PUT_RUN];
    bind_text(s, 1, row->run);
    bind_text(s, 2, row->namespace_);
    bind_text(s, 3, row->pipeline);
    bind_text(s, 4, row->user);
    bind_text(s, 5, sc_slice_str(row->state == SC_END_NONE ? "open" : sc_end_state_name(row->state)));
    sqlite3_bind_blob(s, 8, row->plan.bytes, SC_DIGEST_BYTES, SQLITE_STATIC);
    const struct {
        int at;
        int64_t value;
    } numbers[] = {
        {6, row->started_at},        {7, row->ended_at},         {9, (int64_t)row->hits},
        {10, (int64_t)row->misses},  {11, (int64_t)row->joined}, {12, (int64_t)row->failed},
        {13, (int64_t)row->skipped}, {14, (int64_t)row->ran_ms}, {15, (int64_t)row->saved_ms},
        {16, (int64_t)row->steps},
    };
    for (size_t i = 0; i < SC_COUNT(numbers); i++)
        sqlite3_bind_int64(s, numbers[i].at, numbers[i].value);
    return run(file, PUT_RUN);
}

static bool put_latest(struct sc_journal_file *file, const struct sc_job_latest *latest)
{
    sqlite3_stmt *s = file->statements[PUT_LATEST];
    bind_text(s, 1, latest->namespace_);
    bind_text(s, 2, latest->pipeline);
    bind_text(s, 3, latest->step);
    sqlite3_bind_blob(s, 4, latest->key.bytes, SC_DIGEST_BYTES, SQLITE_STATIC);
    if (!run(file, PUT_LATEST))
        return false;
    if (sc_digest_is_zero(&latest->command))
        return true;
    s = file->statements[PUT_COMMAND];
    sqlite3_bind_blob(s, 1, latest->command.bytes, SC_DIGEST_BYTES, SQLITE_STATIC);
    sqlite3_bind_blob(s, 2, latest->key.bytes, SC_DIGEST_BYTES, SQLITE_STATIC);
    return run(file, PUT_COMMAND);
}

static bool put_row(struct sc_journal_file *file, const struct sc_journal_row *row)
{
    switch (row->kind) {
    case SC_ROW_FACT:
        return put_fact(file, row);
    case SC_ROW_RUN:
        return put_run(file, row->run);
    case SC_ROW_CLOSED:
        bind_text(file->statements[CLOSE_RUN], 1, row->slot);
        return run(file, CLOSE_RUN);
    case SC_ROW_LATEST:
        return put_latest(file, row->latest);
    }
    SC_ASSERT(false);
    return false;
}

enum sc_rc sc_journal_file_commit(struct sc_journal_file *file, const struct sc_journal_batch *batches,
                                  struct sc_journal_commit *ret_done, struct sc_error *err)
{
    struct sc_journal_commit done = {0};
    uint64_t keep_from = file->keep_from;
    bool good = run(file, BEGIN);
    for (const struct sc_journal_batch *batch = batches; batch && good; batch = batch->next) {
        for (const struct sc_journal_row *row = batch->first; row && good; row = row->next) {
            good = put_row(file, row);
            if (row->kind == SC_ROW_CLOSED && row->seq > keep_from)
                keep_from = row->seq;
        }
        if (batch->last_seq)
            done.last_seq = batch->last_seq;
        if (batch->last_latest)
            done.last_latest = batch->last_latest;
    }
    if (!good || !run(file, COMMIT)) {
        enum sc_rc rc = failed(file, "commit", err);
        (void)run(file, ROLLBACK);
        return rc;
    }
    file->keep_from = keep_from;
    *ret_done = done;
    return SC_OK;
}

bool sc_journal_file_untidy(const struct sc_journal_file *file)
{
    return file->keep_from != 0;
}

enum sc_rc sc_journal_file_tidy(struct sc_journal_file *file)
{
    if (!file->keep_from)
        return SC_OK;
    sqlite3_bind_int64(file->statements[DROP_FACTS], 1, (sqlite3_int64)file->keep_from);
    file->keep_from = 0;
    if (run(file, BEGIN) && run(file, KEEP_SEQ) && run(file, DROP_FACTS) && run(file, COMMIT))
        return SC_OK;
    // Nothing rests on it: the facts that stay are of runs that are closed, and go another time.
    if (!sqlite3_get_autocommit(file->db))
        (void)run(file, ROLLBACK);
    return SC_OK;
}
