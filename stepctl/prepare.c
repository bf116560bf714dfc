#include "stepctl/prepare.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/file.h"
#include "pipeline/suggest.h"
#include "stepctl/resolve.h"
#include "stepctl/say.h"

void sc_prepared_done(struct sc_prepared *prepared)
{
    sc_arena_done(&prepared->arena);
    sc_buf_done(&prepared->text);
}

static enum sc_rc told(enum sc_rc rc, struct sc_error *err)
{
    *err = (struct sc_error){.rc = rc};
    return rc;
}

static enum sc_rc compile(const char *file, const struct sc_options *options, struct sc_prepared *p,
                          struct sc_error *err)
{
    struct sc_diagnostics diagnostics = {0};
    enum sc_rc rc = sc_document_compile(sc_buf_slice(&p->text), options->params.items, options->params.count,
                                        &p->arena, &p->plan, &diagnostics);
    if (rc == SC_OK)
        return SC_OK;
    for (uint32_t i = 0; i < diagnostics.count; i++)
        sc_say_diagnostic(options->json, file, &diagnostics.items[i]);
    if (diagnostics.more)
        sc_say_diagnostic(
            options->json, file,
            &(struct sc_diagnostic){.rc = rc, .message = SC_SLICE_LIT("there are more mistakes")});
    return told(rc, err);
}

static enum sc_rc read_document(const char *file, struct sc_buf *text, struct sc_error *err)
{
    struct stat st;
    if (stat(file, &st) == 0 && S_ISDIR(st.st_mode)) {
        enum sc_rc rc = sc_error_set(err, SC_INVALID, "%s is a folder", file);
        sc_error_hint(err, "name the pipeline document in it");
        return rc;
    }
    enum sc_rc rc = sc_file_read(file, SC_LIMIT_DOCUMENT_BYTES, text, err);
    if (rc == SC_LIMIT)
        sc_error_set(err, rc, "%s: a document has at most 64 MiB", file);
    // Whatever kept us from it, the request named it: exit code 2.
    return rc == SC_IO || rc == SC_DENIED ? err->rc = SC_INVALID : rc;
}

static char *folder_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    if (!slash)
        return sc_strdup(".");
    return slash == file ? sc_strdup("/") : sc_asprintf("%.*s", (int)(slash - file), file);
}

static enum sc_rc resolve(const char *file, const struct sc_options *options, bool all,
                          struct sc_upload *upload, struct sc_prepared *p, struct sc_error *err)
{
    SC_AUTO_FREE char *folder = folder_of(file);
    struct sc_resolve context = {.file = file,
                                 .folder = folder,
                                 .json = options->json,
                                 .upload_files = all,
                                 .upload = upload,
                                 .arena = &p->arena};
    enum sc_rc rc = sc_resolve_sources(&context, p->plan, err);
    if (rc == SC_OK)
        rc = sc_resolve_code(&context, p->plan, err);
    if (rc == SC_OK && context.mistakes)
        return told(SC_DOCUMENT, err);
    return rc;
}

enum sc_rc sc_prepare_step(const struct sc_plan *plan, struct sc_slice name, const char *what,
                           struct sc_error *err)
{
    uint32_t step, instance;
    bool all;
    if (sc_plan_find(plan, name, &step, &instance, &all))
        return SC_OK;
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, name);
    for (uint32_t i = 0; i < plan->steps.count; i++)
        sc_suggest_try(&suggest, plan->steps.items[i].name);
    enum sc_rc rc =
        sc_error_set(err, SC_INVALID, "%s " SC_SLICE_FMT ": pipeline " SC_SLICE_FMT " has no such step", what,
                     SC_SLICE_ARG(name), SC_SLICE_ARG(plan->name));
    if (sc_suggest_found(&suggest))
        sc_error_hint(err, "did you mean " SC_SLICE_FMT "?", SC_SLICE_ARG(suggest.best));
    return rc;
}

static enum sc_rc check_list(const struct sc_plan *plan, const sc_text_list *names, const char *what,
                             struct sc_error *err)
{
    enum sc_rc rc = SC_OK;
    for (uint32_t i = 0; i < names->count && rc == SC_OK; i++)
        rc = sc_prepare_step(plan, names->items[i], what, err);
    return rc;
}

static enum sc_rc check_run_options(const struct sc_plan *plan, const struct sc_run_options *run,
                                    struct sc_error *err)
{
    enum sc_rc rc = check_list(plan, &run->refresh, "--refresh", err);
    if (rc == SC_OK)
        rc = check_list(plan, &run->force, "--force", err);
    if (rc == SC_OK)
        rc = check_list(plan, &run->only, "--only", err);
    if (rc == SC_OK && run->from.len)
        rc = sc_prepare_step(plan, run->from, "--from", err);
    return rc;
}

static enum sc_rc upload_plan(struct sc_upload *upload, struct sc_prepared *p, struct sc_error *err)
{
    SC_AUTO_BUF struct sc_buf encoding;
    sc_buf_init(&encoding, SC_LIMIT_PLAN_BYTES);
    sc_plan_encode(p->plan, &encoding);
    if (encoding.overflow)
        return sc_error_set(err, SC_LIMIT, "the plan is larger than 512 MiB");
    enum sc_rc rc = sc_upload_bytes(upload, sc_buf_slice(&encoding), &p->digest, err);
    return rc == SC_OK ? sc_upload_sync(upload, err) : rc;
}

enum sc_rc sc_prepare(const char *file, const struct sc_options *options, enum sc_prepare_what what,
                      struct sc_upload *upload, struct sc_prepared *prepared, struct sc_error *err)
{
    *prepared = (struct sc_prepared){0};
    sc_arena_init(&prepared->arena);
    sc_buf_init(&prepared->text, SC_LIMIT_DOCUMENT_BYTES + 65536);
    enum sc_rc rc = read_document(file, &prepared->text, err);
    if (rc == SC_OK)
        rc = compile(file, options, prepared, err);
    if (rc == SC_OK)
        rc = check_run_options(prepared->plan, &options->run, err);
    if (rc != SC_OK || what == SC_PREPARE_CHECK)
        return rc;
    rc = resolve(file, options, what == SC_PREPARE_ALL, upload, prepared, err);
    return rc == SC_OK ? upload_plan(upload, prepared, err) : rc;
}
