// The reading store thread's work: plans, look-ups, presence, voids.
#include "coordinator/shell/storage_parts.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/log.h"

// A record's lists are handed to the core as they are.
#define SAME_LAYOUT(a, a_second, b, b_second)                                                                \
    _Static_assert(sizeof(a) == sizeof(b) && offsetof(a, a_second) == offsetof(b, b_second), "equal "        \
                                                                                             "layouts")
SAME_LAYOUT(struct sc_record_field, value, struct sc_key_field, value);
SAME_LAYOUT(struct sc_record_output, artifact, struct sc_named_artifact, artifact);
SAME_LAYOUT(struct sc_record_value, json, struct sc_named_text, text);

static struct sc_core_record *core_record(const struct sc_record *record, struct sc_arena *arena)
{
    struct sc_core_record *r = SC_NEW(arena, struct sc_core_record);
    r->key = record->key;
    r->generation = record->generation;
    r->fields.items = (struct sc_key_field *)record->fields.items;
    r->fields.count = record->fields.count;
    r->outputs.items = (struct sc_named_artifact *)record->outputs.items;
    r->outputs.count = record->outputs.count;
    r->values.items = (struct sc_named_text *)record->values.items;
    r->values.count = record->values.count;
    r->stdout_ = record->logs.stdout_;
    r->stderr_ = record->logs.stderr_;
    r->ended_at = record->ended_at;
    r->wall_ms = record->wall_ms;
    r->cpu_ms = record->cpu_ms;
    r->max_rss_bytes = record->max_rss_bytes;
    r->namespace_ = record->namespace_;
    r->pipeline = record->pipeline;
    r->step = record->step;
    r->run = record->run;
    r->agent = record->agent;
    r->attempt = record->attempt;
    return r;
}

// ---- plans

static void load_segment(struct storage_reader *reader, const struct sc_digest *template_)
{
    uint32_t known_count;
    uint64_t known_marks;
    if (storage_knows_template(reader->storage, template_, &known_count, &known_marks))
        return; // what others made since is found key by key
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_slice *records;
    uint32_t count;
    uint64_t marks = 0;
    struct sc_error err = SC_ERROR_INIT;
    enum sc_rc rc = sc_records_get_segment(reader->store, reader->storage->config.domain, template_, &arena,
                                           &records, &count, &err);
    if (rc != SC_OK) {
        if (rc != SC_NOT_FOUND)
            sc_log(SC_LOG_WARN, "part=store ignoring a segment: %s", err.message);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct sc_digest key;
        marks += sc_index_mark(records[i]);
        // What is in the index already is as new or newer.
        if (sc_index_record_key(records[i], &key) &&
            !sc_index_mark_of(reader->storage->index, &key, &known_marks))
            sc_index_put(reader->storage->index, &key, records[i]);
    }
    if (count)
        storage_remember_template(reader->storage, template_, count, marks);
}

// A user's own coordinator starts while its client still reads the document, which mostly is that of the last run.
void storage_warm(struct storage_reader *reader)
{
    struct sc_digest digest;
    struct sc_loaded_plan *plan;
    if (!sc_latest_plan(reader->latest, &digest))
        return;
    storage_list_voids(reader);
    if (storage_load_plan(reader, &digest, &plan, NULL) == SC_OK)
        reader->warm = plan;
}

enum sc_rc storage_load_plan(struct storage_reader *reader, const struct sc_digest *digest,
                             struct sc_loaded_plan **ret_plan, struct sc_error *err)
{
    struct sc_loaded_plan *warm = SC_STEAL(reader->warm);
    if (warm && sc_digest_eq(&warm->digest, digest)) {
        *ret_plan = warm;
        return SC_OK;
    }
    sc_loaded_plan_free(warm);
    struct sc_loaded_plan *plan = sc_calloc(1, sizeof *plan);
    sc_arena_init(&plan->arena);
    sc_buf_init(&plan->bytes, SC_LIMIT_PLAN_BYTES);
    plan->digest = *digest;
    enum sc_rc rc = sc_objects_get_bytes(reader->objects, digest, SC_LIMIT_PLAN_BYTES, &plan->bytes, err);
    if (rc == SC_OK)
        rc = sc_plan_decode(sc_buf_slice(&plan->bytes), &plan->arena, &plan->plan, err);
    if (rc != SC_OK) {
        sc_loaded_plan_free(plan);
        return sc_error_wrap(err, rc, "load the plan");
    }
    plan->template_ = sc_plan_template(plan->plan);
    load_segment(reader, &plan->template_);
    *ret_plan = plan;
    return SC_OK;
}

void storage_list_voids(struct storage_reader *reader)
{
    struct sc_index *index = reader->storage->index;
    struct sc_error err = SC_ERROR_INIT;
    reader->voids_listed_ms = sc_clock_mono_ms();
    if (storage_hear_voids(reader->storage, reader->store, &err) != SC_OK) {
        sc_index_set_voids_listed(index, false);
        sc_log(
            SC_LOG_WARN,
            "part=store what was withdrawn is not known, so records of segments and of memory do not count "
            "and each is read by itself until it is: %s",
            err.message);
        return;
    }
    sc_index_set_voids_listed(index, true);
    if (!sc_index_voids_known(index))
        sc_log(SC_LOG_WARN, "part=store more than %d keys were withdrawn, so each record is read by itself",
               SC_INDEX_VOIDS);
}

// ---- look-ups

// From the index, which segments fill. False: look in the store.
static bool from_index(struct storage_reader *reader, const struct sc_digest *key, struct sc_arena *arena,
                       struct sc_record *ret_record)
{
    struct sc_slice bytes;
    struct sc_index *index = reader->storage->index;
    if (!sc_index_voids_known(index) || !sc_index_get(index, key, arena, &bytes))
        return false;
    if (sc_record_decode(bytes, reader->storage->config.domain, key, arena, ret_record, NULL) == SC_OK &&
        ret_record->generation > sc_index_voided(index, key))
        return true;
    sc_index_remove(index, key); // rotten, or withdrawn: the store may have a newer one
    return false;
}

// What a reading of the key's own object tells.
static enum sc_found judge_read(struct storage_reader *reader, const struct sc_record_read *read)
{
    if (read->rc == SC_NOT_FOUND)
        return SC_FOUND_ABSENT;
    if (read->rc != SC_OK)
        return sc_records_is_unreadable(read->rc) ? SC_FOUND_CORRUPT : SC_FOUND_ERROR;
    if (read->record.generation <= sc_index_voided(reader->storage->index, &read->key))
        return SC_FOUND_VOIDED;
    sc_index_put(reader->storage->index, &read->key, read->bytes);
    return SC_FOUND;
}

static enum sc_found find_record(struct storage_reader *reader, const struct sc_digest *key,
                                 struct sc_arena *arena, struct sc_record *ret_record)
{
    if (from_index(reader, key, arena, ret_record))
        return SC_FOUND;
    struct sc_record_read read = {.key = *key};
    sc_records_get_all(reader->store, reader->storage->config.domain, &read, 1, arena);
    *ret_record = read.record;
    return judge_read(reader, &read);
}

// A record keeps a long value as its digest; what changed in it can only be said with the value itself, which is an object.
static void restore_long_fields(struct storage_reader *reader, struct sc_record *record,
                                struct sc_arena *arena)
{
    for (uint32_t i = 0; i < record->fields.count; i++) {
        struct sc_record_field *field = &record->fields.items[i];
        struct sc_mp_reader value = sc_mp_reader(field->value);
        if (sc_mp_peek(&value) != SC_MP_BIN || sc_slice_eq_str(field->label, "code"))
            continue;
        struct sc_digest digest = sc_mp_get_digest(&value);
        SC_AUTO_BUF struct sc_buf bytes;
        sc_buf_init(&bytes, SC_LIMIT_RECORD_BYTES);
        if (sc_objects_get_bytes(reader->objects, &digest, SC_LIMIT_RECORD_BYTES, &bytes, NULL) == SC_OK)
            field->value = sc_arena_copy(arena, sc_buf_slice(&bytes));
    }
}

static const struct sc_core_record *find_previous(struct storage_reader *reader,
                                                  const struct sc_lookup_item *item, struct sc_arena *arena)
{
    for (int by_command = 0; by_command < 2; by_command++) {
        struct sc_digest key;
        struct sc_record record;
        bool known = by_command ? sc_latest_of_command(reader->latest, &item->command, &key)
                                : sc_latest_of_step(reader->latest, item->namespace_, item->pipeline,
                                                    item->step, &key);
        if (known && !sc_digest_eq(&key, &item->key) &&
            find_record(reader, &key, arena, &record) == SC_FOUND) {
            restore_long_fields(reader, &record, arena);
            return core_record(&record, arena);
        }
    }
    return NULL;
}

// A hit on what was made under another name is the newest of this step too.
static void note_names(struct storage_reader *reader, struct sc_job *job, const struct sc_lookup_item *item,
                       const struct sc_core_record *record)
{
    if (item->by_step ||
        (sc_slice_eq(record->step, item->step) && sc_slice_eq(record->pipeline, item->pipeline) &&
         sc_slice_eq(record->namespace_, item->namespace_)))
        return;
    struct sc_digest key;
    if (sc_latest_of_step(reader->latest, item->namespace_, item->pipeline, item->step, &key) &&
        sc_digest_eq(&key, &record->key))
        return;
    if (!job->u.look_up.latest)
        job->u.look_up.latest = SC_NEW_ARRAY(&job->arena, job->u.look_up.count, struct sc_job_latest);
    job->u.look_up.latest[job->u.look_up.latest_count++] =
        (struct sc_job_latest){.namespace_ = item->namespace_,
                               .pipeline = item->pipeline,
                               .step = item->step,
                               .command = item->command,
                               .key = record->key};
}

// err: why there is none, else NULL.
static void tell_found(struct storage_reader *reader, struct sc_job *job, uint32_t i, enum sc_found found,
                       const struct sc_record *record, const struct sc_error *err)
{
    const struct sc_lookup_item *item = &job->u.look_up.items[i];
    struct sc_looked_up *out = &job->u.look_up.found[i];
    out->found = found;
    if (found == SC_FOUND_CORRUPT || found == SC_FOUND_ERROR) {
        out->message = sc_arena_copy(&job->arena, sc_slice_str(err->message));
        out->may_pass = storage_may_pass(err->rc, err->sys_errno);
    }
    out->withdrawn = found == SC_FOUND_ABSENT && sc_index_voided(reader->storage->index, &item->key) > 0;
    if (found == SC_FOUND || found == SC_FOUND_VOIDED)
        out->record = core_record(record, &job->arena);
    if (found == SC_FOUND)
        note_names(reader, job, item, out->record);
    else if (item->want_previous && found != SC_FOUND_ERROR)
        out->previous = find_previous(reader, item, &job->arena);
}

enum { LOOKED_UP_TOGETHER = 64 };

// What the index does not have is read from the store, several at once.
static void look_up_some(struct storage_reader *reader, struct sc_job *job, uint32_t from, uint32_t count)
{
    SC_AUTO_FREE struct sc_record_read *reads = NULL;
    uint32_t items[LOOKED_UP_TOGETHER], read_count = 0;
    for (uint32_t i = from; i < from + count; i++) {
        const struct sc_lookup_item *item = &job->u.look_up.items[i];
        struct sc_digest key = item->key;
        struct sc_record record;
        job->u.look_up.found[i].found = SC_FOUND_ABSENT;
        if (item->by_step &&
            !sc_latest_of_step(reader->latest, item->namespace_, item->pipeline, item->step, &key))
            continue;
        if (from_index(reader, &key, &job->arena, &record)) {
            tell_found(reader, job, i, SC_FOUND, &record, NULL);
            continue;
        }
        if (!reads)
            reads = sc_calloc(count, sizeof *reads);
        items[read_count] = i;
        reads[read_count++].key = key;
    }
    sc_records_get_all(reader->store, reader->storage->config.domain, reads, read_count, &job->arena);
    for (uint32_t i = 0; i < read_count; i++)
        tell_found(reader, job, items[i], judge_read(reader, &reads[i]), &reads[i].record, &reads[i].err);
}

// ---- objects of the hits of one batch, each looked at once

struct seen {
    const struct sc_artifact **items;
    uint32_t count;
    uint32_t *slots; // index + 1; 0: free
    uint32_t mask;
};

static uint32_t seen_at(struct seen *seen, const struct sc_artifact *artifact)
{
    uint32_t at;
    memcpy(&at, artifact->digest.bytes, sizeof at);
    for (at &= seen->mask; seen->slots[at]; at = (at + 1) & seen->mask) {
        const struct sc_artifact *other = seen->items[seen->slots[at] - 1];
        if (other->kind == artifact->kind && sc_digest_eq(&other->digest, &artifact->digest))
            return seen->slots[at] - 1;
    }
    seen->items[seen->count++] = artifact;
    seen->slots[at] = seen->count;
    return seen->count - 1;
}

// What lies in the record itself, or has no bytes, cannot be lost.
static bool needs_object(const struct sc_artifact *artifact)
{
    return !artifact->has_inline && !sc_digest_is_zero(&artifact->digest);
}

static uint32_t count_objects(const struct sc_job *job)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < job->u.look_up.count; i++)
        if (job->u.look_up.found[i].found == SC_FOUND)
            for (uint32_t j = 0; j < job->u.look_up.found[i].record->outputs.count; j++)
                count += needs_object(&job->u.look_up.found[i].record->outputs.items[j].artifact);
    return count;
}

static void judge_objects(struct storage_reader *reader, struct sc_job *job, struct sc_looked_up *out,
                          struct seen *seen, const enum sc_rc *rets)
{
    for (uint32_t j = 0; j < out->record->outputs.count; j++) {
        const struct sc_artifact *artifact = &out->record->outputs.items[j].artifact;
        if (!needs_object(artifact))
            continue;
        enum sc_rc rc = rets[seen_at(seen, artifact)];
        if (rc == SC_NOT_FOUND) {
            out->objects_lost = true;
            storage_tell_loss(reader->storage);
        } else if (rc != SC_OK && out->found == SC_FOUND) {
            out->found = SC_FOUND_ERROR;
            out->may_pass = storage_may_pass(rc, 0);
            char hex[SC_DIGEST_HEX_BYTES];
            sc_digest_hex(&artifact->digest, hex);
            out->message = sc_arena_printf(&job->arena, "look for object %s: %s", hex, sc_rc_text(rc));
        }
    }
}

static void check_objects(struct storage_reader *reader, struct sc_job *job)
{
    uint32_t most = count_objects(job), slots = 16;
    if (most == 0)
        return;
    while (slots < most * 2)
        slots *= 2;
    struct seen seen = {.items = SC_NEW_ARRAY(&job->arena, most, const struct sc_artifact *),
                        .slots = SC_NEW_ARRAY(&job->arena, slots, uint32_t),
                        .mask = slots - 1};
    for (uint32_t i = 0; i < job->u.look_up.count; i++) {
        const struct sc_looked_up *out = &job->u.look_up.found[i];
        for (uint32_t j = 0; out->found == SC_FOUND && j < out->record->outputs.count; j++)
            if (needs_object(&out->record->outputs.items[j].artifact))
                (void)seen_at(&seen, &out->record->outputs.items[j].artifact);
    }
    enum sc_rc *rets = SC_NEW_ARRAY(&job->arena, seen.count, enum sc_rc);
    sc_objects_presence(reader->objects, seen.items, seen.count, false, rets);
    for (uint32_t i = 0; i < job->u.look_up.count; i++)
        if (job->u.look_up.found[i].found == SC_FOUND)
            judge_objects(reader, job, &job->u.look_up.found[i], &seen, rets);
}

static void look_up(struct storage_reader *reader, struct sc_job *job)
{
    uint32_t count = job->u.look_up.count;
    job->u.look_up.found = SC_NEW_ARRAY(&job->arena, count, struct sc_looked_up);
    for (uint32_t i = 0; i < count; i += LOOKED_UP_TOGETHER)
        look_up_some(reader, job, i, count - i < LOOKED_UP_TOGETHER ? count - i : LOOKED_UP_TOGETHER);
    check_objects(reader, job);
}

static void presence(struct storage_reader *reader, struct sc_job *job)
{
    uint32_t count = job->u.presence.count;
    const struct sc_artifact **items = SC_NEW_ARRAY(&job->arena, count, const struct sc_artifact *);
    job->u.presence.rets = SC_NEW_ARRAY(&job->arena, count, enum sc_rc);
    for (uint32_t i = 0; i < count; i++)
        items[i] = &job->u.presence.items[i];
    sc_objects_presence(reader->objects, items, count, true, job->u.presence.rets);
    for (uint32_t i = 0; i < count; i++)
        if (job->u.presence.rets[i] == SC_NOT_FOUND)
            storage_tell_loss(reader->storage);
}

void storage_read_job(struct storage_reader *reader, struct sc_job *job)
{
    switch (job->kind) {
    case SC_JOB_LOAD_PLAN:
        storage_list_voids(reader);
        job->rc = storage_load_plan(reader, &job->u.load_plan.digest, &job->u.load_plan.plan, &job->err);
        if (job->rc == SC_OK && job->u.load_plan.open) // durable before its client hears of it
            job->rc = storage_put_open_run(reader, job->u.load_plan.open, &job->err);
        if (job->rc != SC_OK)
            sc_loaded_plan_free(SC_STEAL(job->u.load_plan.plan));
        return;
    case SC_JOB_LOOK_UP:
        if (sc_clock_mono_ms() - reader->voids_listed_ms >= STORAGE_VOIDS_EVERY_MS)
            storage_list_voids(reader);
        look_up(reader, job);
        return;
    case SC_JOB_PRESENCE:
        presence(reader, job);
        return;
    case SC_JOB_WRITE_RECORD:
    case SC_JOB_WRITE_VOID:
    case SC_JOB_CLOSE_OUT:
    case SC_JOB_OPEN_RUN:
    case SC_JOB_PUT:
    case SC_JOB_PUT_DROP:
    case SC_JOB_HURRY:
    case SC_JOB_QUERY:
    case SC_JOB_ANSWER:
    case SC_JOB_TROUBLE:
        break;
    }
    SC_ASSERT(false);
}
