#include "stepctl/resolve.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "stepctl/say.h"
#include "stepctl/text.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

void sc_resolve_mistake(struct sc_resolve *resolve, uint32_t line, enum sc_rc rc, const char *hint,
                        const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct sc_diagnostic diagnostic = {
        .line = line, .rc = rc, .message = sc_slice_str(text), .hint = sc_slice_str(hint)};
    sc_say_diagnostic(resolve->json, resolve->file, &diagnostic);
    resolve->mistakes++;
}

// Says on a terminal how far a long hash has come, from half a second on.
struct progress {
    struct sc_slice name;
    int64_t began_ms, said_ms;
    bool terminal, said;
    pthread_mutex_t lock; // hashing threads report
};

static void progress_init(struct progress *progress, struct sc_slice name, bool json)
{
    int64_t now = sc_clock_mono_ms();
    *progress = (struct progress){
        .name = name, .began_ms = now, .said_ms = now, .terminal = !json && isatty(STDERR_FILENO)};
    pthread_mutex_init(&progress->lock, NULL);
}

static void progress_done(struct progress *progress)
{
    if (progress->said)
        fputs("\r\033[K", stderr);
    pthread_mutex_destroy(&progress->lock);
}

static void progress_say(void *context, uint64_t bytes, uint64_t files)
{
    struct progress *p = context;
    if (!p->terminal)
        return;
    pthread_mutex_lock(&p->lock);
    int64_t now = sc_clock_mono_ms();
    if (now - p->began_ms > 500 && now - p->said_ms > 100) {
        SC_AUTO_BUF struct sc_buf line;
        sc_buf_init(&line, 0);
        sc_buf_add_str(&line, "hashing ");
        sc_text_fit(&line, p->name, 40, false);
        sc_buf_add_str(&line, ": ");
        sc_text_bytes(&line, bytes);
        sc_buf_printf(&line, ", %llu files", (unsigned long long)files);
        fprintf(stderr, "\r%s\033[K", sc_buf_cstr(&line));
        p->said = true;
        p->said_ms = now;
    }
    pthread_mutex_unlock(&p->lock);
}

// ---- code

struct code_set { // steps with equal patterns have equal code
    const sc_text_list *patterns;
    struct sc_digest digest;
};

struct code_walk {
    const sc_text_list *patterns;
    bool *matched; // by pattern: some file is meant by it
};

static struct sc_slice without_dot(struct sc_slice pattern)
{
    while (sc_slice_starts(pattern, "./"))
        pattern = sc_slice_from(pattern, 2);
    return pattern;
}

static bool code_wants(void *context, struct sc_slice path, bool dir)
{
    struct code_walk *walk = context;
    if (dir) {
        if (path.len && path.ptr[path.len - 1] == '/')
            path.len--;
        return sc_code_may_contain(walk->patterns, path);
    }
    for (uint32_t i = 0; i < walk->patterns->count; i++) {
        sc_text_list one = {&walk->patterns->items[i], 1};
        if (!walk->matched[i] && sc_code_matches(&one, path))
            walk->matched[i] = true;
    }
    return sc_code_matches(walk->patterns, path);
}

static bool same_patterns(const sc_text_list *a, const sc_text_list *b)
{
    if (a == b || (a->items == b->items && a->count == b->count))
        return true;
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!sc_slice_eq(a->items[i], b->items[i]))
            return false;
    return true;
}

static const char *pattern_hint(struct sc_resolve *resolve, struct sc_slice pattern, char ret_hint[256])
{
    SC_AUTO_FREE char *path =
        sc_asprintf("%s/" SC_SLICE_FMT, resolve->folder, SC_SLICE_ARG(without_dot(pattern)));
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && pattern.ptr[pattern.len - 1] != '/')
        snprintf(ret_hint, 256, "it is a folder: write \"" SC_SLICE_FMT "/\"", SC_SLICE_ARG(pattern));
    else
        snprintf(ret_hint, 256, "patterns are relative to the document's folder");
    return ret_hint;
}

static void check_matched(struct sc_resolve *resolve, const struct sc_plan_step *step, const bool *matched)
{
    for (uint32_t i = 0; i < step->code_patterns->count; i++) {
        struct sc_slice pattern = step->code_patterns->items[i];
        char hint[256];
        if (matched[i] || sc_slice_starts(pattern, "!"))
            continue;
        sc_resolve_mistake(resolve, step->line, SC_NOT_FOUND, pattern_hint(resolve, pattern, hint),
                           "step " SC_SLICE_FMT ": code: \"" SC_SLICE_FMT "\" matches no file",
                           SC_SLICE_ARG(step->name), SC_SLICE_ARG(pattern));
    }
}

static enum sc_rc hash_code(struct sc_resolve *resolve, const struct sc_plan_step *step,
                            struct sc_digest *ret_digest, struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct code_walk walk = {step->code_patterns, SC_NEW_ARRAY(&arena, step->code_patterns->count + 1, bool)};
    struct sc_hash_options options = {
        .memo = resolve->upload->memo,
        .wants = code_wants,
        .context = &walk,
        .threads = 1, // the filter above keeps what it saw
        .max_bytes = SC_LIMIT_CODE_BYTES,
        .max_files = SC_LIMIT_CODE_FILES,
        .follow_root = true,
    };
    struct sc_tree tree;
    enum sc_rc rc = sc_hash_dir(resolve->folder, &options, &arena, &tree, err);
    if (rc == SC_LIMIT) {
        sc_resolve_mistake(resolve, step->line, rc,
                           "at most 100 MiB and 10,000 files of code a step; data belongs in sources, "
                           "exclusions begin with \"!\"",
                           "step " SC_SLICE_FMT ": code: %s", SC_SLICE_ARG(step->name), err->message);
        return SC_OK;
    }
    if (rc != SC_OK)
        return sc_error_wrap(err, rc, "step " SC_SLICE_FMT ": code", SC_SLICE_ARG(step->name));
    uint32_t before = resolve->mistakes;
    check_matched(resolve, step, walk.matched);
    if (resolve->mistakes != before)
        return SC_OK;
    *ret_digest = tree.nodes.items[0].digest;
    return resolve->upload_files ? sc_upload_tree(resolve->upload, resolve->folder, &tree, err) : SC_OK;
}

static uint32_t hash_patterns(const sc_text_list *patterns)
{
    uint32_t h = 2166136261u;
    for (uint32_t i = 0; i < patterns->count; i++) {
        for (size_t j = 0; j < patterns->items[i].len; j++)
            h = (h ^ patterns->items[i].ptr[j]) * 16777619u;
        h = (h ^ '\n') * 16777619u;
    }
    return h;
}

enum sc_rc sc_resolve_code(struct sc_resolve *resolve, struct sc_plan *plan, struct sc_error *err)
{
    uint32_t size = 16;
    while (size < plan->steps.count * 2)
        size *= 2;
    SC_AUTO_FREE struct code_set *sets = sc_calloc(size, sizeof *sets);
    for (uint32_t i = 0; i < plan->steps.count && resolve->mistakes < SC_LIMIT_DOCUMENT_ERRORS; i++) {
        struct sc_plan_step *step = &plan->steps.items[i];
        if (!step->code_patterns)
            continue;
        uint32_t at = hash_patterns(step->code_patterns) & (size - 1);
        while (sets[at].patterns && !same_patterns(sets[at].patterns, step->code_patterns))
            at = (at + 1) & (size - 1);
        if (!sets[at].patterns) {
            enum sc_rc rc = hash_code(resolve, step, &sets[at].digest, err);
            if (rc != SC_OK)
                return rc;
            sets[at].patterns = step->code_patterns;
        }
        step->code = sets[at].digest;
    }
    return SC_OK;
}

// ---- sources

static enum sc_rc hash_source_dir(struct sc_resolve *resolve, const char *path,
                                  const struct sc_hash_options *options, struct sc_plan_source *source,
                                  struct sc_error *err)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_tree tree;
    enum sc_rc rc = sc_hash_dir(path, options, &arena, &tree, err);
    if (rc != SC_OK)
        return rc;
    struct sc_artifact artifact = sc_hash_dir_artifact(&tree);
    sc_artifact_copy(resolve->arena, &artifact, &source->artifact);
    return resolve->upload_files ? sc_upload_tree(resolve->upload, path, &tree, err) : SC_OK;
}

static enum sc_rc hash_source_file(struct sc_resolve *resolve, const char *path,
                                   const struct sc_hash_options *options, struct sc_plan_source *source,
                                   struct sc_error *err)
{
    struct sc_artifact artifact = {0};
    enum sc_rc rc = sc_hash_file(path, options, &artifact, err);
    if (rc != SC_OK)
        return rc;
    artifact.ext =
        sc_artifact_ext(source->path); // the name that is written, not that of what a link leads to
    sc_artifact_copy(resolve->arena, &artifact, &source->artifact);
    return resolve->upload_files ? sc_upload_file(resolve->upload, path, &artifact, err) : SC_OK;
}

// What can be told before anything is read.
static bool source_is_there(struct sc_resolve *resolve, const char *path, const struct sc_plan_source *source)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        char reason[128];
        sc_resolve_mistake(resolve, source->line, sc_rc_of_errno(errno),
                           "sources are relative to the document's folder",
                           "source " SC_SLICE_FMT ": " SC_SLICE_FMT ": %s", SC_SLICE_ARG(source->name),
                           SC_SLICE_ARG(source->path), strerror_r(errno, reason, sizeof reason));
        return false;
    }
    if (source->dir && !S_ISDIR(st.st_mode)) {
        sc_resolve_mistake(resolve, source->line, SC_DOCUMENT,
                           "a trailing slash makes it a folder: leave it out",
                           "source " SC_SLICE_FMT ": " SC_SLICE_FMT " is no folder",
                           SC_SLICE_ARG(source->name), SC_SLICE_ARG(source->path));
        return false;
    }
    if (!source->dir && S_ISDIR(st.st_mode)) {
        sc_resolve_mistake(resolve, source->line, SC_DOCUMENT, "write it with a trailing slash",
                           "source " SC_SLICE_FMT ": " SC_SLICE_FMT " is a folder",
                           SC_SLICE_ARG(source->name), SC_SLICE_ARG(source->path));
        return false;
    }
    return true;
}

static enum sc_rc resolve_source(struct sc_resolve *resolve, struct sc_plan_source *source,
                                 struct sc_error *err)
{
    SC_AUTO_FREE char *path = sc_asprintf("%s/" SC_SLICE_FMT, resolve->folder, SC_SLICE_ARG(source->path));
    if (!source_is_there(resolve, path, source))
        return SC_OK;
    struct progress progress;
    progress_init(&progress, source->name, resolve->json);
    struct sc_hash_options options = {
        .memo = resolve->upload->memo, .progress = progress_say, .context = &progress, .follow_root = true};
    enum sc_rc rc = source->dir ? hash_source_dir(resolve, path, &options, source, err)
                                : hash_source_file(resolve, path, &options, source, err);
    progress_done(&progress);
    if (rc == SC_OK)
        return SC_OK;
    bool theirs =
        rc == SC_NOT_FOUND || rc == SC_DENIED || rc == SC_BUSY || rc == SC_UNSUPPORTED || rc == SC_LIMIT;
    if (!theirs)
        return sc_error_wrap(err, rc, "source " SC_SLICE_FMT, SC_SLICE_ARG(source->name));
    sc_resolve_mistake(resolve, source->line, rc, err->hint, "source " SC_SLICE_FMT ": %s",
                       SC_SLICE_ARG(source->name), err->message);
    return SC_OK;
}

enum sc_rc sc_resolve_sources(struct sc_resolve *resolve, struct sc_plan *plan, struct sc_error *err)
{
    for (uint32_t i = 0; i < plan->sources.count && resolve->mistakes < SC_LIMIT_DOCUMENT_ERRORS; i++) {
        if (plan->sources.items[i].kind != SC_SOURCE_LOCAL)
            continue;
        enum sc_rc rc = resolve_source(resolve, &plan->sources.items[i], err);
        if (rc != SC_OK)
            return rc;
    }
    return SC_OK;
}
