// A step's settings: environment, cache, resources, retry, key.
#include "pipeline/compile.h"

#include "pipeline/size.h"

#include "base/limits.h"
#include "base/memory.h"

// ---- environment

enum { ENVIRONMENT_PROBE };
static const struct sc_rule environment_rules[] = {
    [ENVIRONMENT_PROBE] = {"probe", NULL},
    {"lock", "use `environment: host`: it keys the interpreter and the installed distributions"},
    {"image", "use `environment: host`, or a probe that prints what matters"},
};

static void read_probes(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    if (!sc_want_list(c, node, "environment.probe", SC_PLAN_LIST_MOST))
        return;
    if (node->count == 0) {
        SC_WRONG(c, node, "write `environment: any` where nothing matters",
                 "environment.probe has no commands");
        return;
    }
    struct sc_slice *items = SC_NEW_ARRAY(c->arena, node->count, struct sc_slice);
    uint32_t n = 0;
    for (const struct sc_yaml_node *item = node->first; item; item = item->next) {
        if (!sc_want_text(c, item, "a probe", &items[n]))
            continue;
        if (items[n].len == 0)
            SC_WRONG(c, item, NULL, "a probe must be a command that prints something");
        n++;
    }
    step->environment = SC_ENVIRONMENT_PROBE;
    step->probes.items = items;
    step->probes.count = n;
}

void sc_read_environment(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    static const char *const names[] = {"host", "any"};
    uint32_t which;
    if (node->kind == SC_YAML_SCALAR) {
        if (!sc_want_choice(c, node, "environment", names, SC_COUNT(names), &which))
            return;
        step->environment = which == 0 ? SC_ENVIRONMENT_HOST : SC_ENVIRONMENT_ANY;
        step->probes.count = 0;
        step->probes.items = NULL;
        return;
    }
    if (!sc_want_map(c, node, "environment"))
        return;
    if (node->count != 1)
        SC_WRONG(c, node, "write host, any or {probe: [commands]}", "environment must be one of its kinds");
    for (const struct sc_yaml_node *key = node->first; key; key = key->next->next)
        if (sc_want_key(c, key, environment_rules, SC_COUNT(environment_rules), "environment") ==
            ENVIRONMENT_PROBE)
            read_probes(c, key->next, step);
}

// ---- cache

enum cache_key { CACHE_ENABLED, CACHE_EXPIRE_AFTER, CACHE_REFRESH };
static const struct sc_rule cache_rules[] = {
    [CACHE_ENABLED] = {"enabled", NULL},
    [CACHE_EXPIRE_AFTER] = {"expire_after", NULL},
    [CACHE_REFRESH] = {"refresh", NULL},
};

static void read_expiry(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    step->expires = true;
    if (node->kind == SC_YAML_SCALAR && sc_slice_eq_str(sc_yaml_text(node), "0"))
        step->expire_after_ms = 0;
    else
        sc_want_duration(c, node, "cache.expire_after", &step->expire_after_ms);
}

void sc_read_cache(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    bool value;
    if (!sc_want_map(c, node, "cache"))
        return;
    for (const struct sc_yaml_node *key = node->first; key; key = key->next->next) {
        int rule = sc_want_key(c, key, cache_rules, SC_COUNT(cache_rules), "cache");
        if (rule < 0)
            continue;
        switch ((enum cache_key)rule) {
        case CACHE_ENABLED:
            if (sc_want_bool(c, key->next, "cache.enabled", &value))
                step->cache_disabled = !value;
            break;
        case CACHE_EXPIRE_AFTER:
            read_expiry(c, key->next, step);
            break;
        case CACHE_REFRESH:
            if (sc_want_bool(c, key->next, "cache.refresh", &value))
                step->refresh = value;
            break;
        }
    }
}

// ---- resources

enum resource_key { RESOURCE_CPUS, RESOURCE_MEMORY, RESOURCE_DISK, RESOURCE_GPUS, RESOURCE_LABELS };
static const struct sc_rule resource_rules[] = {
    [RESOURCE_CPUS] = {"cpus", NULL}, [RESOURCE_MEMORY] = {"memory", NULL}, [RESOURCE_DISK] = {"disk", NULL},
    [RESOURCE_GPUS] = {"gpus", NULL}, [RESOURCE_LABELS] = {"labels", NULL},
};

static void read_cpus(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    struct sc_slice text;
    if (!sc_want_text(c, node, "resources.cpus", &text))
        return;
    if (!sc_milli_parse(text, &step->cpus_milli)) {
        SC_WRONG(c, node, "write 1, 0.5 or 2.25",
                 "resources.cpus: \"" SC_SLICE_FMT "\" is not a number of processors", SC_SLICE_ARG(text));
        step->cpus_milli = 1000;
    } else if (step->cpus_milli == 0 || step->cpus_milli > SC_PLAN_CPUS_MILLI_MOST) {
        SC_TOO_MUCH(c, node, "resources.cpus must be from 0.001 to %d", SC_PLAN_CPUS_MILLI_MOST / 1000);
        step->cpus_milli = 1000;
    }
}

static void read_size(struct sc_compile *c, const struct sc_yaml_node *node, const char *what,
                      uint64_t *ret_bytes)
{
    struct sc_slice text;
    if (!sc_want_text(c, node, what, &text))
        return;
    if (!sc_size_parse(text, ret_bytes)) {
        SC_WRONG(c, node, "write bytes, or 512MiB, 4GiB, 10GB", "%s: \"" SC_SLICE_FMT "\" is not a size",
                 what, SC_SLICE_ARG(text));
        *ret_bytes = 0;
    } else if (*ret_bytes == 0 || *ret_bytes > SC_PLAN_BYTES_MOST) {
        SC_TOO_MUCH(c, node, "%s must be from 1 to 1024PiB", what);
        *ret_bytes = 0;
    }
}

// Labels of the step are added to those of the defaults.
static void read_labels(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    const struct sc_entry *entries;
    uint32_t count =
        sc_entries(c, (struct sc_maps){node, NULL}, "resources.labels", SC_PLAN_LIST_MOST, &entries);
    uint32_t old = step->labels.count, n = 0, o = 0;
    struct sc_plan_label *labels = SC_NEW_ARRAY(c->arena, count + old, struct sc_plan_label);
    for (uint32_t i = 0; i < count; i++) {
        struct sc_plan_label label = {.name = sc_yaml_text(entries[i].key)};
        if (!sc_plan_is_label_name(label.name)) {
            SC_WRONG(c, entries[i].key, "letters, digits and _ - . /, at most 63 bytes",
                     "resources.labels: \"" SC_SLICE_FMT "\" is not a label's name",
                     SC_SLICE_ARG(label.name));
            continue;
        }
        sc_want_text(c, entries[i].value, "a label", &label.value);
        while (o < old && sc_slice_cmp(step->labels.items[o].name, label.name) < 0)
            labels[n++] = step->labels.items[o++];
        if (o < old && sc_slice_eq(step->labels.items[o].name, label.name))
            o++;
        labels[n++] = label;
    }
    while (o < old)
        labels[n++] = step->labels.items[o++];
    if (n > SC_PLAN_LIST_MOST) {
        SC_TOO_MUCH(c, node, "resources.labels: %u are more than %d", n, SC_PLAN_LIST_MOST);
        return;
    }
    step->labels.items = labels;
    step->labels.count = n;
}

void sc_read_resources(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    if (!sc_want_map(c, node, "resources"))
        return;
    for (const struct sc_yaml_node *key = node->first; key; key = key->next->next) {
        int rule = sc_want_key(c, key, resource_rules, SC_COUNT(resource_rules), "resources");
        if (rule < 0)
            continue;
        switch ((enum resource_key)rule) {
        case RESOURCE_CPUS:
            read_cpus(c, key->next, step);
            break;
        case RESOURCE_MEMORY:
            read_size(c, key->next, "resources.memory", &step->memory_bytes);
            break;
        case RESOURCE_DISK:
            read_size(c, key->next, "resources.disk", &step->disk_bytes);
            break;
        case RESOURCE_GPUS:
            sc_want_uint(c, key->next, "resources.gpus", 0, SC_PLAN_GPUS_MOST, &step->gpus);
            break;
        case RESOURCE_LABELS:
            read_labels(c, key->next, step);
            break;
        }
    }
}

// ---- retry

enum retry_key { RETRY_MAX_ATTEMPTS, RETRY_ON, RETRY_BACKOFF };
static const struct sc_rule retry_rules[] = {
    [RETRY_MAX_ATTEMPTS] = {"max_attempts", NULL},
    [RETRY_ON] = {"on", NULL},
    [RETRY_BACKOFF] = {"backoff", NULL},
};

static void read_retry_on(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    // In the order of the bits of enum sc_retry_on.
    static const char *const names[] = {"agent-lost",     "out-of-memory", "exit",       "signal", "timeout",
                                        "output-missing", "disk-full",     "input-lost", "store"};
    uint32_t which;
    if (!sc_want_list(c, node, "retry.on", SC_PLAN_LIST_MOST))
        return;
    step->retry_on = 0;
    for (const struct sc_yaml_node *item = node->first; item; item = item->next)
        if (sc_want_choice(c, item, "retry.on", names, SC_COUNT(names), &which))
            step->retry_on |= 1u << which;
}

void sc_read_retry(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_plan_step *step)
{
    if (!sc_want_map(c, node, "retry"))
        return;
    for (const struct sc_yaml_node *key = node->first; key; key = key->next->next) {
        int rule = sc_want_key(c, key, retry_rules, SC_COUNT(retry_rules), "retry");
        if (rule < 0)
            continue;
        switch ((enum retry_key)rule) {
        case RETRY_MAX_ATTEMPTS:
            sc_want_uint(c, key->next, "retry.max_attempts", 1, SC_LIMIT_ATTEMPTS, &step->retry_attempts);
            break;
        case RETRY_ON:
            read_retry_on(c, key->next, step);
            break;
        case RETRY_BACKOFF:
            sc_want_duration(c, key->next, "retry.backoff", &step->retry_backoff_ms);
            break;
        }
    }
}

// ---- key

enum key_key { KEY_SALT, KEY_IGNORE, KEY_RESOURCES };
static const struct sc_rule key_rules[] = {
    [KEY_SALT] = {"salt", NULL},
    [KEY_IGNORE] = {"ignore", NULL},
    [KEY_RESOURCES] = {"resources", NULL},
};

void sc_read_key(struct sc_compile *c, const struct sc_yaml_node *node, struct sc_draft *draft, bool base)
{
    if (!sc_want_map(c, node, "key"))
        return;
    for (const struct sc_yaml_node *key = node->first; key; key = key->next->next) {
        int rule = sc_want_key(c, key, key_rules, SC_COUNT(key_rules), "key");
        if (rule < 0)
            continue;
        switch ((enum key_key)rule) {
        case KEY_SALT:
            sc_want_text(c, key->next, "key.salt", &draft->step->salt);
            break;
        case KEY_IGNORE:
            draft->ignore = sc_want_list(c, key->next, "key.ignore", SC_PLAN_IGNORED_MOST) ? key->next : NULL;
            draft->ignore_base = base;
            break;
        case KEY_RESOURCES:
            sc_want_bool(c, key->next, "key.resources", &draft->step->resources_keyed);
            break;
        }
    }
}

// ---- key.ignore, when inputs, env and environment are known

enum ignored { IGNORED, IGNORED_NOT_THERE, IGNORED_FORBIDDEN, IGNORED_UNKNOWN };

static enum ignored ignore_one(struct sc_plan_step *step, struct sc_slice entry)
{
    const uint8_t *dot = entry.len ? memchr(entry.ptr, '.', entry.len) : NULL;
    struct sc_slice kind = dot ? sc_slice(entry.ptr, (size_t)(dot - entry.ptr)) : entry;
    struct sc_slice name = dot ? sc_slice_from(entry, kind.len + 1) : sc_slice(NULL, 0);
    uint32_t at;
    if (sc_slice_eq_str(kind, "command") || sc_slice_eq_str(kind, "code"))
        return IGNORED_FORBIDDEN;
    if (sc_slice_eq_str(kind, "environment"))
        return sc_plan_has_part(step, name) ? IGNORED : IGNORED_NOT_THERE;
    if (sc_slice_eq_str(kind, "inputs")) {
        at = sc_plan_search(step->inputs.items, step->inputs.count, sizeof(struct sc_plan_input), name);
        if (at == step->inputs.count)
            return IGNORED_NOT_THERE;
        step->inputs.items[at].ignored = true;
        return IGNORED;
    }
    if (!sc_slice_eq_str(kind, "env"))
        return IGNORED_UNKNOWN;
    if (sc_slice_starts(name, "LD_"))
        return IGNORED_FORBIDDEN; // what the loader loads is part of the program
    at = sc_plan_search(step->env.items, step->env.count, sizeof(struct sc_plan_env), name);
    if (at == step->env.count)
        return IGNORED_NOT_THERE;
    step->env.items[at].ignored = true;
    return IGNORED;
}

static int compare_texts(const void *a, const void *b)
{
    return sc_slice_cmp(*(const struct sc_slice *)a, *(const struct sc_slice *)b);
}

static void report_ignored(struct sc_compile *c, const struct sc_yaml_node *item, enum ignored verdict)
{
    struct sc_slice entry = sc_yaml_text(item);
    switch (verdict) {
    case IGNORED:
        return;
    case IGNORED_NOT_THERE:
        SC_WRONG(c, item, NULL, "key.ignore: the step has no \"" SC_SLICE_FMT "\"", SC_SLICE_ARG(entry));
        return;
    case IGNORED_FORBIDDEN:
        SC_WRONG(c, item, NULL, "key.ignore: \"" SC_SLICE_FMT "\" can not be left out of the key",
                 SC_SLICE_ARG(entry));
        return;
    case IGNORED_UNKNOWN:
        SC_WRONG(c, item, "write inputs.<name>, env.<NAME> or environment.<part>",
                 "key.ignore: \"" SC_SLICE_FMT "\" names no part of the key", SC_SLICE_ARG(entry));
        return;
    }
}

void sc_read_ignored(struct sc_compile *c, struct sc_draft *draft)
{
    if (!draft->ignore || draft->ignore->count == 0)
        return;
    struct sc_slice *items = SC_NEW_ARRAY(c->arena, draft->ignore->count, struct sc_slice);
    uint32_t n = 0, kept = 0;
    for (const struct sc_yaml_node *item = draft->ignore->first; item; item = item->next) {
        if (!sc_want_text(c, item, "key.ignore", &items[n]))
            continue;
        enum ignored verdict = ignore_one(draft->step, items[n]);
        // A default is for the steps that have the input or the variable.
        if (verdict == IGNORED_NOT_THERE && draft->ignore_base)
            continue;
        report_ignored(c, item, verdict);
        n += verdict == IGNORED;
    }
    qsort(items, n, sizeof *items, compare_texts);
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || !sc_slice_eq(items[kept - 1], items[i]))
            items[kept++] = items[i];
    draft->step->ignored.items = items;
    draft->step->ignored.count = kept;
}
