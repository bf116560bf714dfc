#include "pipeline/plan_check.h"

#include "base/limits.h"
#include "base/memory.h"

enum { LOWER = 1, UPPER = 2, DIGIT = 4, UNDERSCORE = 8, DASH = 16, DOT_SLASH = 32 };

static bool is_one_of(uint8_t c, unsigned classes)
{
    if (c >= 'a' && c <= 'z')
        return classes & LOWER;
    if (c >= 'A' && c <= 'Z')
        return classes & UPPER;
    if (c >= '0' && c <= '9')
        return classes & DIGIT;
    return c == '_'   ? classes & UNDERSCORE
           : c == '-' ? classes & DASH
                      : (c == '.' || c == '/') && classes & DOT_SLASH;
}

static bool matches(struct sc_slice s, unsigned first, unsigned others, size_t most)
{
    if (s.len == 0 || s.len > most || !is_one_of(s.ptr[0], first))
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!is_one_of(s.ptr[i], others))
            return false;
    return true;
}

bool sc_plan_is_name(struct sc_slice s)
{
    unsigned word = LOWER | UPPER | DIGIT | UNDERSCORE;
    return matches(s, word, word | DASH, SC_LIMIT_NAME_BYTES);
}

bool sc_plan_is_pipeline_name(struct sc_slice s)
{
    return matches(s, LOWER | DIGIT, LOWER | DIGIT | DASH, SC_LIMIT_NAME_BYTES);
}

bool sc_plan_is_env_name(struct sc_slice s)
{
    unsigned word = LOWER | UPPER | UNDERSCORE;
    return matches(s, word, word | DIGIT, SC_PLAN_ENV_NAME_BYTES);
}

bool sc_plan_is_label_name(struct sc_slice s)
{
    unsigned word = LOWER | UPPER | DIGIT | UNDERSCORE;
    return matches(s, word, word | DASH | DOT_SLASH, SC_LIMIT_NAME_BYTES);
}

static bool is_part(struct sc_slice s)
{
    return s.len > 0 && s.len <= SC_LIMIT_FILENAME_BYTES && !sc_slice_eq_str(s, ".") &&
           !sc_slice_eq_str(s, "..");
}

bool sc_plan_is_path(struct sc_slice s)
{
    if (s.len == 0 || s.len > SC_LIMIT_PATH_BYTES || memchr(s.ptr, 0, s.len))
        return false;
    for (;;) {
        const uint8_t *slash = memchr(s.ptr, '/', s.len);
        if (!is_part(sc_slice(s.ptr, slash ? (size_t)(slash - s.ptr) : s.len)))
            return false;
        if (!slash)
            return true;
        s = sc_slice_from(s, (size_t)(slash - s.ptr) + 1);
    }
}

bool sc_plan_is_pointer(struct sc_slice s)
{
    if (s.len > 0 && s.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '~' && (i + 1 == s.len || (s.ptr[i + 1] != '0' && s.ptr[i + 1] != '1')))
            return false;
    return true;
}

struct path_entry {
    struct sc_slice path;
    uint32_t index;
};

// With the slash before all other bytes, what lies in a folder follows it at once.
static int compare_paths(const void *left, const void *right)
{
    const struct path_entry *l = left, *r = right;
    struct sc_slice a = l->path, b = r->path;
    for (size_t i = 0; i < a.len && i < b.len; i++)
        if (a.ptr[i] != b.ptr[i]) {
            int x = a.ptr[i] == '/' ? -1 : a.ptr[i], y = b.ptr[i] == '/' ? -1 : b.ptr[i];
            return x - y;
        }
    return a.len != b.len ? (a.len < b.len ? -1 : 1) : (l->index > r->index) - (l->index < r->index);
}

static bool contains(struct sc_slice folder, struct sc_slice path)
{
    return path.len >= folder.len && memcmp(path.ptr, folder.ptr, folder.len) == 0 &&
           (path.len == folder.len || path.ptr[folder.len] == '/');
}

bool sc_plan_outputs_clash(const struct sc_plan_output *outputs, uint32_t count, uint32_t *ret_first,
                           uint32_t *ret_second)
{
    struct path_entry few[16], *entries = few;
    SC_AUTO_FREE void *many = NULL;
    if (count < 2)
        return false;
    if (count > SC_COUNT(few))
        entries = many = sc_calloc(count, sizeof *entries);
    for (uint32_t i = 0; i < count; i++)
        entries[i] = (struct path_entry){outputs[i].path, i};
    qsort(entries, count, sizeof *entries, compare_paths);
    for (uint32_t i = 1; i < count; i++)
        if (contains(entries[i - 1].path, entries[i].path)) {
            *ret_first = entries[i - 1].index;
            *ret_second = entries[i].index;
            return true;
        }
    return false;
}

uint32_t sc_plan_search(const void *items, uint32_t count, size_t size, struct sc_slice name)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = sc_slice_cmp(*(const struct sc_slice *)((const uint8_t *)items + middle * size), name);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return count;
}

bool sc_plan_has_part(const struct sc_plan_step *step, struct sc_slice part)
{
    static const char *const host[] = {"arch", "gpu", "libc", "os", "packages", "path", "python"};
    uint64_t number = 0;
    switch (step->environment) {
    case SC_ENVIRONMENT_HOST:
        for (size_t i = 0; i < SC_COUNT(host); i++)
            if (sc_slice_eq_str(part, host[i]))
                return true;
        return false;
    case SC_ENVIRONMENT_ANY:
        return sc_slice_eq_str(part, "arch");
    case SC_ENVIRONMENT_PROBE:
        if (sc_slice_eq_str(part, "arch") || sc_slice_eq_str(part, "path"))
            return true;
        if (!sc_slice_starts(part, "probe.") || part.len < 7 || part.len > 10 ||
            (part.ptr[6] == '0' && part.len > 7))
            return false;
        for (size_t i = 6; i < part.len; i++) {
            if (!is_one_of(part.ptr[i], DIGIT))
                return false;
            number = number * 10 + (uint64_t)(part.ptr[i] - '0');
        }
        return number < step->probes.count;
    }
    return false;
}

// ---- the check of a whole plan

struct check {
    const struct sc_plan *plan;
    const struct sc_plan_step *step; // NULL outside steps
    struct sc_error *err;
};

#define WRONG(c, rc, ...) wrong((c), sc_error_set((c)->err, (rc), __VA_ARGS__))

static enum sc_rc wrong(const struct check *c, enum sc_rc rc)
{
    if (c->step)
        return sc_error_wrap(c->err, rc, "plan: step " SC_SLICE_FMT, SC_SLICE_ARG(c->step->name));
    return sc_error_wrap(c->err, rc, "plan");
}

// Names of a list's elements, which begin with their name: well-formed, sorted, each once.
static enum sc_rc check_names(const struct check *c, const void *items, uint32_t count, size_t size,
                              bool (*is_name)(struct sc_slice), const char *what)
{
    const uint8_t *at = items;
    const struct sc_slice *previous = NULL;
    for (uint32_t i = 0; i < count; i++, at += size) {
        const struct sc_slice *name = (const struct sc_slice *)at;
        if (!is_name(*name))
            return WRONG(c, SC_MALFORMED, "%s: a malformed name", what);
        if (previous && sc_slice_cmp(*previous, *name) >= 0)
            return WRONG(c, SC_MALFORMED, "%s: not sorted, or one name twice", what);
        previous = name;
    }
    return SC_OK;
}
_Static_assert(offsetof(struct sc_plan_input, name) == 0 && offsetof(struct sc_plan_output, name) == 0 &&
                   offsetof(struct sc_plan_value, name) == 0 && offsetof(struct sc_plan_env, name) == 0 &&
                   offsetof(struct sc_plan_axis, name) == 0 && offsetof(struct sc_plan_label, name) == 0 &&
                   offsetof(struct sc_plan_source, name) == 0 && offsetof(struct sc_plan_publish, name) == 0,
               "check_names finds the name first");

static bool has_input(const struct sc_plan_step *step, struct sc_slice name)
{
    uint32_t count = step->inputs.count;
    return sc_plan_search(step->inputs.items, count, sizeof(struct sc_plan_input), name) < count;
}

static bool has_output(const struct sc_plan_step *step, struct sc_slice name)
{
    uint32_t count = step->outputs.count;
    return sc_plan_search(step->outputs.items, count, sizeof(struct sc_plan_output), name) < count;
}

static bool has_nul(struct sc_slice s)
{
    return s.len > 0 && memchr(s.ptr, 0, s.len) != NULL;
}

static bool segment_is_right(const struct sc_plan_step *step, const struct sc_segment *segment, bool script,
                             const struct sc_segment *previous)
{
    if (segment->kind != SC_SEGMENT_MATRIX && segment->index != 0)
        return false;
    switch (segment->kind) {
    case SC_SEGMENT_TEXT:
        return segment->text.len > 0 && !has_nul(segment->text) &&
               !(previous && previous->kind == SC_SEGMENT_TEXT);
    case SC_SEGMENT_IN:
        return has_input(step, segment->text);
    case SC_SEGMENT_OUT:
        return has_output(step, segment->text);
    case SC_SEGMENT_VALUE:
        return script && !has_nul(segment->text);
    case SC_SEGMENT_MATRIX:
        return segment->index < step->matrix.count && segment->text.len == 0;
    case SC_SEGMENT_RUN:
        return step->cache_disabled &&
               (sc_slice_eq_str(segment->text, "id") || sc_slice_eq_str(segment->text, "name") ||
                sc_slice_eq_str(segment->text, "status"));
    }
    return false;
}

static enum sc_rc check_word(const struct check *c, const struct sc_word *word, bool script, const char *what)
{
    const struct sc_segment *items = word->segments.items;
    for (uint32_t i = 0; i < word->segments.count; i++)
        if (!segment_is_right(c->step, &items[i], script, i > 0 ? &items[i - 1] : NULL))
            return WRONG(c, SC_MALFORMED,
                         "%s: segment %u is not allowed here, or names what the step does not have", what, i);
    return SC_OK;
}

static enum sc_rc check_texts(const struct check *c)
{
    const struct sc_plan_step *step = c->step;
    if (step->command.count == 0 || (step->script && step->command.count != 1))
        return WRONG(c, SC_MALFORMED, "command: not one script, nor a program with arguments");
    for (uint32_t i = 0; i < step->command.count; i++) {
        enum sc_rc rc = check_word(c, &step->command.items[i], step->script, "command");
        if (rc != SC_OK)
            return rc;
    }
    for (uint32_t i = 0; i < step->env.count; i++) {
        enum sc_rc rc = check_word(c, &step->env.items[i].value, false, "env");
        if (rc != SC_OK)
            return rc;
    }
    if (has_nul(step->salt))
        return WRONG(c, SC_MALFORMED, "salt: NUL in a text");
    if ((step->environment == SC_ENVIRONMENT_PROBE) != (step->probes.count > 0))
        return WRONG(c, SC_MALFORMED, "environment: probe commands where there is no probe, or none");
    for (uint32_t i = 0; i < step->probes.count; i++)
        if (step->probes.items[i].len == 0 || has_nul(step->probes.items[i]))
            return WRONG(c, SC_MALFORMED, "environment: an empty probe, or NUL in it");
    return SC_OK;
}

static enum sc_rc check_inputs(const struct check *c, uint32_t index)
{
    const struct sc_plan *plan = c->plan;
    enum sc_rc rc = check_names(c, c->step->inputs.items, c->step->inputs.count, sizeof(struct sc_plan_input),
                                sc_plan_is_name, "inputs");
    if (rc != SC_OK)
        return rc;
    for (uint32_t i = 0; i < c->step->inputs.count; i++) {
        const struct sc_plan_input *input = &c->step->inputs.items[i];
        bool good = false;
        switch (input->from) {
        case SC_FROM_SOURCE:
            good = input->node < plan->sources.count && input->port == 0;
            break;
        case SC_FROM_OUTPUT:
            good = input->node < index && input->port < plan->steps.items[input->node].outputs.count;
            break;
        case SC_FROM_VALUE:
            good = input->node < index && input->port < plan->steps.items[input->node].values.count;
            break;
        }
        if (!good)
            return WRONG(c, SC_MALFORMED, "inputs: " SC_SLICE_FMT " comes from what is not before it",
                         SC_SLICE_ARG(input->name));
    }
    for (uint32_t i = 0; i < c->step->after.count; i++)
        if (c->step->after.items[i] >= index ||
            (i > 0 && c->step->after.items[i] <= c->step->after.items[i - 1]))
            return WRONG(c, SC_MALFORMED, "after: not steps before it, sorted");
    return SC_OK;
}

static enum sc_rc check_outputs(const struct check *c)
{
    const struct sc_plan_step *step = c->step;
    enum sc_rc rc = check_names(c, step->outputs.items, step->outputs.count, sizeof(struct sc_plan_output),
                                sc_plan_is_name, "outputs");
    if (rc == SC_OK)
        rc = check_names(c, step->values.items, step->values.count, sizeof(struct sc_plan_value),
                         sc_plan_is_name, "values");
    if (rc != SC_OK)
        return rc;
    for (uint32_t i = 0; i < step->outputs.count; i++)
        if (!sc_plan_is_path(step->outputs.items[i].path))
            return WRONG(c, SC_MALFORMED, "outputs: not a path below out/");
    uint32_t first, second;
    if (sc_plan_outputs_clash(step->outputs.items, step->outputs.count, &first, &second))
        return WRONG(c, SC_MALFORMED, "outputs: one lies in the other");
    for (uint32_t i = 0; i < step->values.count; i++) {
        const struct sc_plan_value *value = &step->values.items[i];
        if (value->output >= step->outputs.count || step->outputs.items[value->output].dir ||
            !sc_plan_is_pointer(value->pointer) || has_nul(value->pointer) || has_output(step, value->name))
            return WRONG(c, SC_MALFORMED, "values: not a JSON pointer into an output, or named like one");
    }
    return SC_OK;
}

static enum sc_rc check_matrix(const struct check *c)
{
    const struct sc_plan_step *step = c->step;
    enum sc_rc rc = check_names(c, step->matrix.items, step->matrix.count, sizeof(struct sc_plan_axis),
                                sc_plan_is_name, "matrix");
    if (rc != SC_OK)
        return rc;
    for (uint32_t i = 0; i < step->matrix.count; i++)
        for (uint32_t k = 0; k < step->matrix.items[i].values.count; k++)
            if (has_nul(step->matrix.items[i].values.items[k]))
                return WRONG(c, SC_MALFORMED, "matrix: NUL in a value");
    uint64_t count = sc_plan_combinations(step);
    if (count == 0 || count > SC_LIMIT_MATRIX_INSTANCES)
        return WRONG(c, SC_LIMIT, "matrix: no instances, or more than %d", SC_LIMIT_MATRIX_INSTANCES);
    if (sc_plan_label_bytes(step) > SC_LIMIT_FILENAME_BYTES)
        return WRONG(c, SC_LIMIT, "matrix: an instance's label is longer than %d bytes",
                     SC_LIMIT_FILENAME_BYTES);
    return SC_OK;
}

// The list is sorted, and "<prefix><name>" looked for in it.
static bool is_ignored(const struct sc_plan_step *step, const char *prefix, struct sc_slice name)
{
    uint8_t entry[16 + SC_PLAN_ENV_NAME_BYTES];
    size_t n = strlen(prefix);
    uint32_t count = step->ignored.count;
    SC_ASSERT(n + name.len <= sizeof entry);
    memcpy(entry, prefix, n);
    memcpy(entry + n, name.ptr, name.len);
    return sc_plan_search(step->ignored.items, count, sizeof(struct sc_slice),
                          sc_slice(entry, n + name.len)) < count;
}

static enum sc_rc check_ignored(const struct check *c)
{
    const struct sc_plan_step *step = c->step;
    uint32_t marked = 0;
    for (uint32_t i = 1; i < step->ignored.count; i++)
        if (sc_slice_cmp(step->ignored.items[i - 1], step->ignored.items[i]) >= 0)
            return WRONG(c, SC_MALFORMED, "key.ignore: not sorted, or one name twice");
    for (uint32_t i = 0; i < step->inputs.count; i++) {
        if (step->inputs.items[i].ignored && !is_ignored(step, "inputs.", step->inputs.items[i].name))
            return WRONG(c, SC_MALFORMED, "key.ignore: an input is ignored that is not in the list");
        marked += step->inputs.items[i].ignored;
    }
    for (uint32_t i = 0; i < step->env.count; i++) {
        if (step->env.items[i].ignored && (!is_ignored(step, "env.", step->env.items[i].name) ||
                                           sc_slice_starts(step->env.items[i].name, "LD_")))
            return WRONG(c, SC_MALFORMED,
                         "key.ignore: a variable is ignored that is not in the list, or may not be");
        marked += step->env.items[i].ignored;
    }
    for (uint32_t i = 0; i < step->ignored.count; i++) {
        struct sc_slice entry = step->ignored.items[i];
        if (!sc_slice_starts(entry, "environment."))
            continue;
        if (!sc_plan_has_part(step, sc_slice_from(entry, strlen("environment."))))
            return WRONG(c, SC_MALFORMED, "key.ignore: a part that the environment does not have");
        marked++;
    }
    // Each mark has its entry, entries are distinct: as many of both means each entry has its mark.
    if (marked != step->ignored.count)
        return WRONG(c, SC_MALFORMED, "key.ignore: an entry that takes nothing out");
    return SC_OK;
}

static enum sc_rc check_numbers(const struct check *c)
{
    const struct sc_plan_step *s = c->step;
    if (s->cpus_milli == 0 || s->cpus_milli > SC_PLAN_CPUS_MILLI_MOST ||
        s->memory_bytes > SC_PLAN_BYTES_MOST || s->disk_bytes > SC_PLAN_BYTES_MOST ||
        s->gpus > SC_PLAN_GPUS_MOST)
        return WRONG(c, SC_MALFORMED, "resources: out of range");
    if (s->retry_attempts == 0 || s->retry_attempts > SC_LIMIT_ATTEMPTS ||
        (s->retry_on & ~(uint32_t)SC_PLAN_RETRY_ALL) || s->retry_backoff_ms < 0)
        return WRONG(c, SC_MALFORMED, "retry: out of range");
    if (s->timeout_ms < 0 || s->expire_after_ms < 0 || (!s->expires && s->expire_after_ms != 0))
        return WRONG(c, SC_MALFORMED, "timeout or expire_after: out of range");
    return check_names(c, s->labels.items, s->labels.count, sizeof(struct sc_plan_label),
                       sc_plan_is_label_name, "resources.labels");
}

static enum sc_rc check_step(const struct sc_plan *plan, uint32_t index, struct sc_error *err)
{
    const struct check c = {plan, &plan->steps.items[index], err};
    if (!sc_plan_is_name(c.step->name))
        return sc_error_set(err, SC_MALFORMED, "plan: step %u: a malformed name", index);
    enum sc_rc rc = check_inputs(&c, index);
    if (rc == SC_OK)
        rc = check_outputs(&c);
    if (rc == SC_OK)
        rc = check_names(&c, c.step->env.items, c.step->env.count, sizeof(struct sc_plan_env),
                         sc_plan_is_env_name, "env");
    if (rc == SC_OK)
        rc = check_matrix(&c);
    if (rc == SC_OK)
        rc = check_texts(&c);
    if (rc == SC_OK)
        rc = check_ignored(&c);
    return rc == SC_OK ? check_numbers(&c) : rc;
}

static int compare_texts(const void *a, const void *b)
{
    return sc_slice_cmp(*(const struct sc_slice *)a, *(const struct sc_slice *)b);
}

static enum sc_rc check_step_names(const struct sc_plan *plan, struct sc_error *err)
{
    SC_AUTO_FREE struct sc_slice *names = sc_calloc(plan->steps.count, sizeof *names);
    for (uint32_t i = 0; i < plan->steps.count; i++)
        names[i] = plan->steps.items[i].name;
    qsort(names, plan->steps.count, sizeof *names, compare_texts);
    for (uint32_t i = 1; i < plan->steps.count; i++)
        if (sc_slice_eq(names[i - 1], names[i]))
            return sc_error_set(err, SC_MALFORMED, "plan: two steps are named " SC_SLICE_FMT,
                                SC_SLICE_ARG(names[i]));
    return SC_OK;
}

bool sc_plan_path_stays(struct sc_slice path)
{
    for (size_t i = 0; i + 1 < path.len; i++)
        if (path.ptr[i] == '.' && path.ptr[i + 1] == '.' && (i == 0 || path.ptr[i - 1] == '/') &&
            (i + 2 == path.len || path.ptr[i + 2] == '/'))
            return false;
    return true;
}

// As store/s3/url.c wants it.
static bool is_bucket(struct sc_slice name)
{
    bool good =
        name.len >= 3 && name.len <= SC_LIMIT_FILENAME_BYTES && name.ptr[0] != '.' && name.ptr[0] != '-';
    for (size_t i = 0; good && i < name.len; i++) {
        uint8_t c = name.ptr[i], letter = c | 32;
        good = (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    }
    return good;
}

static bool is_file_name(struct sc_slice part)
{
    return part.len > 0 && part.len <= SC_LIMIT_FILENAME_BYTES && !sc_slice_eq_str(part, ".") &&
           !sc_slice_eq_str(part, "..");
}

bool sc_plan_s3_place(struct sc_slice path, struct sc_slice *ret_bucket, struct sc_slice *ret_key)
{
    if (!sc_slice_starts(path, "s3://"))
        return false;
    struct sc_slice rest = sc_slice_from(path, strlen("s3://"));
    const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
    *ret_bucket = sc_slice(rest.ptr, slash ? (size_t)(slash - rest.ptr) : rest.len);
    *ret_key = slash ? sc_slice_from(rest, ret_bucket->len + 1) : sc_slice(NULL, 0);
    if (!is_bucket(*ret_bucket) || (slash && ret_key->len == 0) || ret_key->len >= SC_LIMIT_KEY_BYTES ||
        !sc_slice_is_utf8(*ret_key) || has_nul(*ret_key))
        return false;
    for (size_t at = 0; slash && at <= ret_key->len;) {
        struct sc_slice part = sc_slice_from(*ret_key, at);
        const uint8_t *end = part.len ? memchr(part.ptr, '/', part.len) : NULL;
        part.len = end ? (size_t)(end - part.ptr) : part.len;
        if (!is_file_name(part))
            return false;
        at += part.len + 1;
    }
    return true;
}

static bool source_has_path(const struct sc_plan_source *source)
{
    struct sc_slice bucket, key;
    if (source->path.len == 0 || has_nul(source->path) ||
        (source->version.len && (source->kind != SC_SOURCE_S3 || source->dir)) ||
        (source->by_version && source->kind != SC_SOURCE_S3))
        return false;
    switch (source->kind) {
    case SC_SOURCE_LOCAL:
        return source->path.ptr[0] != '/';
    case SC_SOURCE_FILE:
        return source->path.ptr[0] == '/' && sc_plan_path_stays(source->path);
    case SC_SOURCE_S3:
        return sc_plan_s3_place(source->path, &bucket, &key) && (source->dir || key.len > 0);
    }
    return false;
}

static enum sc_rc check_frame(const struct sc_plan *plan, struct sc_error *err)
{
    const struct check c = {plan, NULL, err};
    if (plan->version != 1)
        return WRONG(&c, SC_VERSION, "version %u where 1 is known", plan->version);
    if (!sc_plan_is_pipeline_name(plan->name) || !sc_plan_is_pipeline_name(plan->namespace_))
        return WRONG(&c, SC_MALFORMED, "a malformed name or namespace");
    enum sc_rc rc = check_names(&c, plan->params.items, plan->params.count, sizeof(struct sc_plan_label),
                                sc_plan_is_name, "params");
    if (rc == SC_OK)
        rc = check_names(&c, plan->sources.items, plan->sources.count, sizeof(struct sc_plan_source),
                         sc_plan_is_name, "sources");
    if (rc == SC_OK)
        rc = check_names(&c, plan->outputs.items, plan->outputs.count, sizeof(struct sc_plan_publish),
                         sc_plan_is_name, "outputs");
    if (rc != SC_OK)
        return rc;
    for (uint32_t i = 0; i < plan->sources.count; i++)
        if (!source_has_path(&plan->sources.items[i]))
            return WRONG(&c, SC_MALFORMED, "sources: " SC_SLICE_FMT " has no path of its kind",
                         SC_SLICE_ARG(plan->sources.items[i].name));
    for (uint32_t i = 0; i < plan->outputs.count; i++)
        if (plan->outputs.items[i].step >= plan->steps.count ||
            plan->outputs.items[i].output >= plan->steps.items[plan->outputs.items[i].step].outputs.count)
            return WRONG(&c, SC_MALFORMED, "outputs: of no step");
    return SC_OK;
}

enum sc_rc sc_plan_check(const struct sc_plan *plan, struct sc_error *err)
{
    enum sc_rc rc = check_frame(plan, err);
    if (rc != SC_OK)
        return rc;
    if (plan->steps.count == 0)
        return sc_error_set(err, SC_MALFORMED, "plan: no steps");
    uint64_t instances = 0;
    for (uint32_t i = 0; i < plan->steps.count; i++) {
        rc = check_step(plan, i, err);
        if (rc != SC_OK)
            return rc;
        instances += sc_plan_instances(&plan->steps.items[i]);
    }
    if (instances > SC_LIMIT_STEP_INSTANCES)
        return sc_error_set(err, SC_LIMIT, "plan: %ju step instances are more than %d", (uintmax_t)instances,
                            SC_LIMIT_STEP_INSTANCES);
    return check_step_names(plan, err);
}
