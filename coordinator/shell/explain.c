// explain RUN STEP: why a step ran or did not, as rows of JSON objects. The first row is of kind "step"; then, as they apply,
// "changed" (a field that differs from the newest earlier record: old and new in full, the files that differ), "made_by" (of a
// result: who, when, how long), "failure", "input", "output", "value", "field" (all labelled fields of the key), "log".
#include "coordinator/shell/query_parts.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdio.h>

enum { VALUE_BYTES = 64 << 10, FILES_MOST = 1000, PACKAGES_MOST = 10000 };

struct explaining {
    struct sc_queries *queries;
    struct sc_job *job;
    const struct query_run *run;
    struct query_step step;
    bool has_record;
    struct sc_record record;
    json_t *rows;
};

static json_t *new_row(struct explaining *x, const char *kind)
{
    json_t *row = json_object();
    json_object_set_new(row, "row", json_string(kind));
    json_array_append_new(x->rows, row);
    return row;
}

static void set_text(json_t *row, const char *name, struct sc_slice text)
{
    if (text.len)
        json_object_set_new(row, name, query_text(text));
}

static void set_number(json_t *row, const char *name, uint64_t number)
{
    json_object_set_new(row, name, json_integer((json_int_t)number));
}

// ---- values in full

// A long value stands in the record as its digest, and as an object of its own in the store.
static struct sc_slice load_value(struct explaining *x, const struct sc_digest *digest)
{
    SC_AUTO_BUF struct sc_buf bytes;
    sc_buf_init(&bytes, 0);
    if (sc_objects_get_bytes(x->queries->objects, digest, SC_LIMIT_PLAN_BYTES, &bytes, NULL) != SC_OK)
        return sc_slice(NULL, 0);
    struct sc_mp_reader reader = sc_mp_reader(sc_buf_slice(&bytes));
    (void)sc_mp_skip(&reader, SC_LIMIT_MESSAGE_DEPTH);
    return sc_mp_finished(&reader) ? sc_arena_copy(&x->job->arena, sc_buf_slice(&bytes)) : sc_slice(NULL, 0);
}

static bool value_is_digest(struct sc_slice value, struct sc_digest *ret_digest)
{
    struct sc_mp_reader reader = sc_mp_reader(value);
    if (sc_mp_peek(&reader) != SC_MP_BIN)
        return false;
    *ret_digest = sc_mp_get_digest(&reader);
    return sc_mp_finished(&reader);
}

static struct sc_slice print_value(struct explaining *x, struct sc_slice value)
{
    SC_AUTO_BUF struct sc_buf text;
    sc_buf_init(&text, 0);
    sc_key_value_print(value, VALUE_BYTES, &text);
    return sc_arena_copy(&x->job->arena, sc_buf_slice(&text));
}

// The encoded value of a record's field, in full where it can be had. `code` is a digest by itself.
static struct sc_slice whole_value(struct explaining *x, struct sc_slice label, struct sc_slice value)
{
    struct sc_digest digest;
    if (sc_slice_eq_str(label, "code") || !value_is_digest(value, &digest))
        return value;
    struct sc_slice loaded = load_value(x, &digest);
    return loaded.len ? loaded : value;
}

// What an event printed, in full: the printed text of a digest leads to the value.
static struct sc_slice whole_print(struct explaining *x, struct sc_slice label, struct sc_slice printed,
                                   struct sc_slice *ret_value)
{
    struct sc_digest digest;
    *ret_value = sc_slice(NULL, 0);
    if (sc_slice_eq_str(label, "code") || !sc_digest_parse(printed, &digest))
        return printed;
    *ret_value = load_value(x, &digest);
    return ret_value->len ? print_value(x, *ret_value) : printed;
}

// ---- which files differ

static bool find_hex(struct sc_slice text, struct sc_digest *ret_digest)
{
    for (size_t i = 0; i + 64 <= text.len; i++)
        if (sc_digest_parse(sc_slice(text.ptr + i, 64), ret_digest))
            return true;
    return false;
}

static void add_file(void *context, char change, struct sc_slice path)
{
    json_t *files = context;
    if (json_array_size(files) >= FILES_MOST)
        return;
    const char text[2] = {change, 0};
    json_t *file = json_object();
    json_object_set_new(file, "change", json_string(text));
    json_object_set_new(file, "path", query_text(path));
    json_array_append_new(files, file);
}

static void set_files(struct explaining *x, json_t *row, struct sc_slice label, struct sc_slice old_text,
                      struct sc_slice new_text)
{
    bool code = sc_slice_eq_str(label, "code");
    if (!code && !(sc_slice_starts(label, "input.") &&
                   (sc_slice_starts(old_text, "[dir") || sc_slice_starts(new_text, "[dir"))))
        return;
    struct sc_digest digests[2];
    struct sc_tree trees[2] = {{.files = 0}, {.files = 0}};
    struct sc_slice texts[2] = {old_text, new_text};
    for (int i = 0; i < 2; i++) {
        struct sc_error err = SC_ERROR_INIT;
        if (!find_hex(texts[i], &digests[i]))
            return; // there was no folder
        if (sc_objects_get_tree(x->queries->objects, &digests[i], &x->job->arena, &trees[i], &err) != SC_OK) {
            json_object_set_new(row, "note",
                                json_string(i ? "the new folder is not in the store"
                                              : "the old folder is not in the store any more"));
            return;
        }
    }
    json_t *files = json_array();
    sc_tree_diff(&trees[0], &trees[1], add_file, files);
    json_object_set_new(row, "files", files);
}

// ---- which distributions differ: "name==version" lists, sorted

static struct sc_slice next_package(struct sc_mp_reader *reader, uint32_t *left)
{
    if (*left == 0 || reader->failed)
        return sc_slice(NULL, 0);
    (*left)--;
    return sc_mp_get_str(reader);
}

static struct sc_slice package_name(struct sc_slice package)
{
    for (size_t i = 0; i + 1 < package.len; i++)
        if (package.ptr[i] == '=' && package.ptr[i + 1] == '=')
            return sc_slice(package.ptr, i);
    return package;
}

static struct sc_slice package_version(struct sc_slice package)
{
    size_t name = package_name(package).len;
    return name + 2 <= package.len ? sc_slice_from(package, name + 2) : sc_slice(NULL, 0);
}

static void add_package(json_t *list, struct sc_slice old_package, struct sc_slice new_package)
{
    json_t *row = json_object();
    json_object_set_new(row, "name", query_text(package_name(old_package.len ? old_package : new_package)));
    set_text(row, "old", package_version(old_package));
    set_text(row, "new", package_version(new_package));
    json_array_append_new(list, row);
}

static void set_packages(json_t *row, struct sc_slice label, struct sc_slice old_value,
                         struct sc_slice new_value)
{
    if (!sc_slice_eq_str(label, "environment.packages") || !old_value.len || !new_value.len)
        return;
    struct sc_mp_reader a = sc_mp_reader(old_value), b = sc_mp_reader(new_value);
    uint32_t a_left = sc_mp_get_array(&a), b_left = sc_mp_get_array(&b);
    struct sc_slice old_package = next_package(&a, &a_left), new_package = next_package(&b, &b_left);
    json_t *list = json_array();
    while ((old_package.len || new_package.len) && json_array_size(list) < PACKAGES_MOST) {
        int order = !old_package.len   ? 1
                    : !new_package.len ? -1
                                       : sc_slice_cmp(package_name(old_package), package_name(new_package));
        if (order < 0)
            add_package(list, old_package, sc_slice(NULL, 0));
        else if (order > 0)
            add_package(list, sc_slice(NULL, 0), new_package);
        else if (!sc_slice_eq(old_package, new_package))
            add_package(list, old_package, new_package);
        if (order <= 0)
            old_package = next_package(&a, &a_left);
        if (order >= 0)
            new_package = next_package(&b, &b_left);
    }
    json_object_set_new(row, "packages", list);
}

// ---- rows

static void step_row(struct explaining *x)
{
    const struct sc_event_body *v = &x->step.verdict, *end = &x->step.end;
    json_t *row = new_row(x, "step");
    set_text(row, "run", x->run->run);
    set_text(row, "step", x->step.name);
    set_text(row, "pipeline", x->has_record ? x->record.pipeline : sc_slice(NULL, 0));
    if (x->step.has_verdict) {
        static const char *const verdicts[] = {"none", "hit", "join", "miss"};
        json_object_set_new(row, "verdict", json_string(verdicts[v->verdict]));
        json_object_set_new(row, "reason", json_string(sc_reason_name(v->reason)));
        set_text(row, "detail", v->detail);
        if (!sc_digest_is_zero(&v->key))
            json_object_set_new(row, "key", query_hex(&v->key));
    }
    json_object_set_new(row, "state", json_string(x->step.finished ? sc_end_state_name(end->state) : "open"));
    if (x->step.finished && !end->cached && end->attempt)
        set_number(row, "attempt", end->attempt);
    if (x->step.finished && !end->cached)
        set_number(row, "wall_ms", end->wall_ms);
}

static void failure_row(struct explaining *x)
{
    const struct sc_event_body *end = &x->step.end;
    if (!x->step.finished || end->state != SC_END_FAILED)
        return;
    json_t *row = new_row(x, "failure");
    json_object_set_new(row, "outcome", json_string(sc_outcome_name(end->outcome)));
    if (end->outcome == SC_OUTCOME_EXIT)
        set_number(row, "exit", end->exit_code);
    if (end->signal)
        set_number(row, "signal", end->signal);
    set_text(row, "message", end->text);
    set_text(row, "log_tail", end->log_tail);
}

static struct sc_slice encoding_of_print(struct explaining *x, struct sc_slice label, bool new_side,
                                         struct sc_slice loaded)
{
    if (loaded.len || !new_side || !x->has_record)
        return loaded;
    for (uint32_t i = 0; i < x->record.fields.count; i++)
        if (sc_slice_eq(x->record.fields.items[i].label, label))
            return whole_value(x, label, x->record.fields.items[i].value);
    return loaded;
}

static void changed_rows(struct explaining *x)
{
    for (uint32_t i = 0; i < x->step.verdict.fields.count; i++) {
        const struct sc_changed_field *field = &x->step.verdict.fields.items[i];
        struct sc_slice old_value, new_value;
        json_t *row = new_row(x, "changed");
        struct sc_slice old_text = whole_print(x, field->label, field->old_, &old_value);
        struct sc_slice new_text = whole_print(x, field->label, field->new_, &new_value);
        set_text(row, "label", field->label);
        set_text(row, "old", old_text);
        set_text(row, "new", new_text);
        set_files(x, row, field->label, old_text, new_text);
        set_packages(row, field->label, old_value, encoding_of_print(x, field->label, true, new_value));
    }
}

static void made_by_row(struct explaining *x)
{
    const struct sc_record *r = &x->record;
    json_t *row = new_row(x, "made_by");
    set_text(row, "run", r->run);
    set_text(row, "namespace", r->namespace_);
    set_text(row, "pipeline", r->pipeline);
    set_text(row, "step", r->step);
    set_text(row, "agent", r->agent);
    set_number(row, "attempt", r->attempt);
    json_object_set_new(row, "ended_at", json_integer(r->ended_at));
    set_number(row, "wall_ms", r->wall_ms);
    set_number(row, "cpu_ms", r->cpu_ms);
    set_number(row, "max_rss_bytes", r->max_rss_bytes);
    if (x->step.verdict.verdict == SC_VERDICT_HIT)
        set_number(row, "saved_ms", x->step.verdict.saved_ms ? x->step.verdict.saved_ms : r->wall_ms);
    set_text(row, "sandbox", r->assurance.sandbox);
    set_text(row, "network", r->assurance.network);
    set_number(row, "generation", r->generation);
}

static void artifact_fields(json_t *row, const struct sc_artifact *artifact)
{
    json_object_set_new(row, "kind", json_string(artifact->kind == SC_ARTIFACT_DIR ? "dir" : "file"));
    json_object_set_new(row, "digest", query_hex(&artifact->digest));
    set_number(row, "bytes", artifact->bytes);
    set_number(row, "files", artifact->files);
}

static void record_rows(struct explaining *x)
{
    const struct sc_record *r = &x->record;
    for (uint32_t i = 0; i < r->inputs_from.count; i++) {
        json_t *row = new_row(x, "input");
        set_text(row, "name", r->inputs_from.items[i].name);
        json_object_set_new(row, "from_key", query_hex(&r->inputs_from.items[i].key));
    }
    for (uint32_t i = 0; i < r->outputs.count; i++) {
        json_t *row = new_row(x, "output");
        set_text(row, "name", r->outputs.items[i].name);
        artifact_fields(row, &r->outputs.items[i].artifact);
    }
    for (uint32_t i = 0; i < r->values.count; i++) {
        json_t *row = new_row(x, "value");
        set_text(row, "name", r->values.items[i].name);
        set_text(row, "value", r->values.items[i].json);
    }
    for (uint32_t i = 0; i < r->fields.count; i++) {
        json_t *row = new_row(x, "field");
        set_text(row, "label", r->fields.items[i].label);
        json_object_set_new(
            row, "value",
            query_text(print_value(x, whole_value(x, r->fields.items[i].label, r->fields.items[i].value))));
    }
}

static void log_rows(struct explaining *x)
{
    static const char *const names[] = {"stdout", "stderr"};
    if (!x->step.finished && !x->has_record)
        return;
    for (int i = 0; i < 2; i++) {
        struct sc_slice tail = query_log_tail(x->queries, x->job, x->run, &x->step, (enum sc_stream)i);
        if (!tail.len)
            continue;
        json_t *row = new_row(x, "log");
        json_object_set_new(row, "stream", json_string(names[i]));
        json_object_set_new(row, "tail", query_text(tail));
    }
}

enum sc_rc query_explain(struct sc_queries *queries, struct sc_job *job, const struct query_run *run,
                         struct sc_error *err)
{
    struct explaining x = {.queries = queries, .job = job, .run = run};
    enum sc_rc rc = query_step(queries, job, run, job->u.query.message.body.explain.step, &x.step, err);
    if (rc != SC_OK)
        return rc;
    if (x.step.has_verdict && !sc_digest_is_zero(&x.step.verdict.key))
        x.has_record = query_record(queries, &x.step.verdict.key, &job->arena, &x.record, NULL) == SC_OK;
    x.rows = json_array();
    step_row(&x);
    failure_row(&x);
    changed_rows(&x);
    if (x.has_record) {
        made_by_row(&x);
        record_rows(&x);
    }
    log_rows(&x);
    query_send_rows(queries, job, x.rows);
    json_decref(x.rows);
    return SC_OK;
}
