// stepctl run, plan and submit: a document becomes a plan, the plan a run.
#include "base/memory.h"
#include "base/os/clock.h"
#include "stepctl/command.h"
#include "stepctl/follow.h"
#include "stepctl/json.h"
#include "stepctl/prepare.h"
#include "stepctl/say.h"

#include <stdio.h>
#include <unistd.h>

enum how { RUN, PLAN, SUBMIT };

static struct sc_slice user_name(struct sc_arena *arena)
{
    const char *user = getenv("USER");
    return user && *user ? sc_arena_copy(arena, sc_slice_str(user))
                         : sc_arena_printf(arena, "uid-%u", (unsigned)geteuid());
}

static struct sc_message submission(const struct sc_options *options, enum how how,
                                    const struct sc_digest *plan, struct sc_arena *arena)
{
    struct sc_message message = {.type = SC_MESSAGE_SUBMIT};
    struct sc_msg_submit *submit = &message.body.submit;
    submit->plan = *plan;
    submit->options = options->run;
    submit->options.dry = how == PLAN;
    submit->options.attached = how == RUN;
    submit->user = user_name(arena);
    submit->watch = how != SUBMIT || options->watch;
    submit->logs = options->logs;
    return message;
}

// Until the run has begun: what comes then is for nobody. The coordinator may have been leaving just when we came.
static enum sc_rc wait_started(struct sc_client *client, struct sc_message *submit, char ret_run[128],
                               struct sc_error *err)
{
    enum { TIMEOUT_MS = 60000, TRIES = 5 };
    enum sc_rc rc = sc_client_send(client, submit, err);
    int64_t until = sc_clock_mono_ms() + TIMEOUT_MS;
    for (int tries = 0; rc == SC_OK;) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        struct sc_message in;
        rc = sc_client_next(client, &arena, &in, err);
        if (rc == SC_OK && in.id == submit->id && in.type == SC_MESSAGE_STARTED) {
            snprintf(ret_run, 128, SC_SLICE_FMT, SC_SLICE_ARG(in.body.started.run));
            return SC_OK;
        }
        if (rc == SC_OK && in.id == submit->id && in.type == SC_MESSAGE_ERROR)
            return sc_client_error(&in.body.error, err);
        if (rc == SC_CLOSED && !client->endpoint && tries++ < TRIES) {
            rc = sc_client_again(client, err);
            if (rc == SC_OK)
                rc = sc_client_send(client, submit, err);
        } else if (rc == SC_NOT_FOUND) {
            if (sc_clock_mono_ms() > until)
                return sc_error_set(err, SC_TIMEOUT, "the coordinator did not answer within %d s",
                                    TIMEOUT_MS / 1000);
            sc_client_wait(client, -1, 1000);
            rc = SC_OK;
        }
    }
    return rc;
}

static void print_started(const struct sc_plan *plan, const char *run)
{
    struct sc_event_body event = {.type = SC_EV_RUN_STARTED,
                                  .at = sc_clock_wall_ms(),
                                  .run = sc_slice_str(run),
                                  .pipeline = plan->name,
                                  .namespace_ = plan->namespace_};
    for (uint32_t i = 0; i < plan->steps.count; i++)
        event.steps += sc_plan_instances(&plan->steps.items[i]);
    struct sc_out out;
    sc_out_init(&out, STDOUT_FILENO);
    sc_json_event(&out.buf, &event);
    sc_out_done(&out);
}

static int submit_only(struct sc_client *client, struct sc_message *submit, const struct sc_plan *plan,
                       const struct sc_options *options)
{
    struct sc_error err = SC_ERROR_INIT;
    char run[128];
    if (wait_started(client, submit, run, &err) != SC_OK)
        return sc_say_error(options->json, &err);
    if (options->json)
        print_started(plan, run);
    else
        printf("%s\n", run);
    if (!options->json && !options->quiet)
        sc_say("follow it: stepctl watch %s", run);
    return 0;
}

// Prepares while the processes that were started come up; with a coordinator started by hand, objects go up through it,
// so that it is connected to first.
static enum sc_rc prepare(struct sc_client *client, const struct sc_options *options, enum how how,
                          struct sc_prepared *prepared, struct sc_error *err)
{
    enum sc_rc rc = client->endpoint ? sc_client_connect(client, err) : SC_OK;
    if (rc != SC_OK)
        return rc;
    struct sc_upload upload;
    rc = sc_upload_open(&upload, &client->places, client->endpoint ? client : NULL, err);
    if (rc == SC_OK)
        rc = sc_prepare(options->args[0], options, how == PLAN ? SC_PREPARE_PLAN : SC_PREPARE_ALL, &upload,
                        prepared, err);
    sc_upload_done(&upload);
    if (rc == SC_OK && !client->endpoint)
        rc = sc_client_connect(client, err);
    return rc;
}

static int start(const struct sc_options *options, enum how how, struct sc_arena *arena)
{
    struct sc_error err = SC_ERROR_INIT;
    if (access(options->args[0], R_OK) != 0) { // before anything is started for nothing
        sc_error_set(&err, SC_INVALID, "%s: no such pipeline document, or not readable", options->args[0]);
        return sc_say_error(options->json, &err);
    }
    struct sc_client client;
    struct sc_prepared prepared = {0};
    int exit_code;
    enum sc_rc rc = sc_client_begin(&client, options, true, &err);
    if (rc == SC_OK)
        rc = prepare(&client, options, how, &prepared, &err);
    if (rc != SC_OK) {
        exit_code = sc_say_error(options->json, &err);
        sc_client_let_go(&client);
    } else {
        struct sc_follow follow = {.client = &client,
                                   .options = options,
                                   .request = submission(options, how, &prepared.digest, arena),
                                   .plan = prepared.plan,
                                   .owns = how == RUN,
                                   .dry = how == PLAN};
        exit_code = how == SUBMIT && !options->watch
                        ? submit_only(&client, &follow.request, prepared.plan, options)
                        : sc_follow(&follow);
    }
    sc_prepared_done(&prepared);
    sc_client_done(&client);
    return exit_code;
}

int sc_command_run(const struct sc_options *options, struct sc_arena *arena)
{
    return start(options, RUN, arena);
}

int sc_command_plan(const struct sc_options *options, struct sc_arena *arena)
{
    return start(options, PLAN, arena);
}

int sc_command_submit(const struct sc_options *options, struct sc_arena *arena)
{
    return start(options, SUBMIT, arena);
}
