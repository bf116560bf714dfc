#include "stepctl/follow.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/os/clock.h"
#include "base/os/file.h"
#include "stepctl/json.h"
#include "stepctl/render.h"
#include "stepctl/report.h"
#include "stepctl/say.h"
#include "stepctl/view.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { RESTARTS = 5, AWAY_MS = 60000 };

enum urge { URGE_NONE, URGE_CANCEL, URGE_KILL };

struct state {
    const struct sc_follow *follow;
    struct sc_client *client;
    const struct sc_options *options;
    struct sc_message request;
    struct sc_model model;
    struct sc_out out;
    struct sc_view *view; // NULL: plain lines or JSON
    struct sc_error err;
    enum sc_rc rc;  // what ended the following, if not the run's end
    char run[128];  // empty until it is known
    int signals;    // signalfd
    int64_t now_ms; // wall, read once a batch
    uint32_t restarts;
    bool again; // after a reconnection: only news is shown
    bool submitted, over;
    int stop_signal; // the first that asked to stop
    enum urge wanted, sent;
};

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT, SIGTSTP};
    for (size_t i = 0; i < SC_COUNT(wanted); i++)
        sigaddset(&set, wanted[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void note(struct state *s, const char *text)
{
    if (s->options->json)
        return;
    if (s->view)
        sc_view_clear(s->view);
    sc_say("%s", text);
}

static void tick(struct state *s)
{
    SC_AUTO_FREE char *news = sc_private_tick(&s->client->private, sc_clock_mono_ms());
    if (news)
        note(s, news);
}

// ---- events

static void show(struct state *s, const struct sc_event_body *e)
{
    bool news = sc_model_apply(&s->model, e);
    if (s->again && !news)
        return;
    if (s->options->json) {
        sc_json_event(&s->out.buf, e);
    } else if (s->view) {
        if (e->type == SC_EV_STEP_LOG || e->type == SC_EV_NOTE || e->type == SC_EV_ERROR) {
            sc_view_clear(s->view);
            sc_render_event(&s->out.buf, e, s->now_ms);
        }
    } else if (!s->options->quiet || e->type == SC_EV_ERROR || e->type == SC_EV_STEP_LOG) {
        sc_render_event(&s->out.buf, e, s->now_ms);
    }
    if (e->type == SC_EV_RUN_FINISHED && s->follow->once)
        s->over = true;
    sc_out_maybe_flush(&s->out);
}

static void take_run(struct state *s, struct sc_slice run)
{
    if (run.len && run.len < sizeof s->run && !s->run[0])
        memcpy(s->run, run.ptr, run.len);
}

static void take(struct state *s, const struct sc_message *in)
{
    if (in->id != s->request.id)
        return;
    if (in->type == SC_MESSAGE_STARTED) {
        take_run(s, in->body.started.run);
    } else if (in->type == SC_MESSAGE_EVENT) {
        const struct sc_msg_event *events = &in->body.event;
        for (uint32_t i = 0; i < events->events.count; i++) {
            take_run(s, events->events.items[i].run);
            show(s, &events->events.items[i]);
        }
    } else if (in->type == SC_MESSAGE_DONE) {
        s->over = true;
    } else if (in->type == SC_MESSAGE_ERROR) {
        s->rc = sc_client_error(&in->body.error, &s->err);
        s->over = true;
    }
}

static enum sc_rc drain(struct state *s)
{
    s->now_ms = sc_clock_wall_ms();
    for (;;) {
        SC_AUTO_ARENA struct sc_arena arena;
        sc_arena_init(&arena);
        struct sc_message in;
        enum sc_rc rc = sc_client_next(s->client, &arena, &in, &s->err);
        if (rc != SC_OK)
            return rc;
        take(s, &in);
        if (s->over)
            return SC_OK;
    }
}

// ---- signals

static void send_cancel(struct state *s)
{
    if (!s->run[0] || s->sent == s->wanted)
        return;
    struct sc_message cancel = {.type = SC_MESSAGE_CANCEL,
                                .body.cancel = {.run = sc_slice_str(s->run), .now = s->wanted == URGE_KILL}};
    struct sc_error ignored = SC_ERROR_INIT;
    if (sc_client_send(s->client, &cancel, &ignored) == SC_OK)
        s->sent = s->wanted;
}

static void leave(struct state *s, enum sc_rc rc)
{
    s->rc = rc;
    s->err = (struct sc_error){.rc = rc};
    s->over = true;
}

static void stop(struct state *s, int signal)
{
    char text[512];
    if (!s->follow->owns) {
        if (s->run[0] && !s->follow->dry) {
            snprintf(
                text, sizeof text,
                "detached; the run goes on. Follow it again: stepctl watch %s, end it: stepctl cancel %s",
                s->run, s->run);
            note(s, text);
        }
        leave(s, SC_INTERRUPTED);
        return;
    }
    if (s->stop_signal && signal == SIGHUP)
        return; // the terminal went on top of it
    if (s->wanted == URGE_KILL) {
        note(s, "leaving at once; what still runs is being ended");
        leave(s, SC_INTERRUPTED);
        return;
    }
    if (s->wanted == URGE_CANCEL) {
        s->wanted = URGE_KILL;
        note(s, "killing what still runs (once more leaves without waiting for its end)");
    } else {
        s->wanted = URGE_CANCEL;
        s->stop_signal = signal;
        snprintf(text, sizeof text,
                 "cancelling run %s: its steps are told to end, and killed after %d s; waiting for them%s",
                 s->run, SC_LIMIT_GRACE_MS / 1000, signal == SIGINT ? " (Ctrl-C again kills at once)" : "");
        note(s, text);
    }
    send_cancel(s);
}

// Stops as the shell asked, with the terminal as it was found, and goes on when it is continued.
static void suspend(struct state *s)
{
    if (s->view)
        sc_view_suspend(s->view);
    sc_out_flush(&s->out);
    raise(SIGSTOP);
    if (s->view)
        sc_view_resume(s->view);
}

static void take_signals(struct state *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGWINCH:
        case SIGCONT:
            if (s->view)
                sc_view_resize(s->view);
            break;
        case SIGTSTP:
            suspend(s);
            break;
        default:
            stop(s, (int)info.ssi_signo);
        }
        if (s->over)
            return;
    }
}

// ---- the coordinator died

// The user's own is started again; one that was started by hand is its operator's to start, and is waited for.
static enum sc_rc reconnect(struct state *s)
{
    if (!s->client->endpoint)
        return sc_client_again(s->client, &s->err);
    int64_t until = sc_clock_mono_ms() + AWAY_MS;
    note(s, "the coordinator is gone; waiting for it to come back");
    for (;;) {
        enum sc_rc rc = sc_client_again(s->client, &s->err);
        if (rc == SC_OK)
            return rc;
        if (sc_clock_mono_ms() > until) {
            sc_error_hint(&s->err,
                          "the run goes on when it is started again; follow it then: stepctl watch %s",
                          s->run);
            return rc;
        }
        struct pollfd fd = {.fd = s->signals, .events = POLLIN};
        if (poll(&fd, 1, 200) > 0) {
            take_signals(s);
            if (s->over)
                return s->rc;
        }
    }
}

static enum sc_rc recover(struct state *s)
{
    if (s->restarts++ >= RESTARTS) {
        sc_error_set(&s->err, SC_UNREACHABLE, "run %s: the coordinator died %d times", s->run, RESTARTS + 1);
        sc_error_hint(&s->err, "its log is %s/coordinator.log; the same command goes on where it was",
                      s->client->places.logs);
        return SC_UNREACHABLE;
    }
    enum sc_rc rc = reconnect(s);
    if (rc != SC_OK || s->over)
        return rc;
    if (s->run[0]) {
        s->request = (struct sc_message){
            .type = SC_MESSAGE_WATCH,
            .body.watch = {.run = sc_slice_str(s->run), .logs = s->options->logs, .own = s->follow->owns}};
        s->again = true;
        note(s, "the coordinator was lost and is back; the run goes on");
    }
    s->sent = URGE_NONE;
    rc = sc_client_send(s->client, &s->request, &s->err);
    if (rc == SC_OK && s->stop_signal)
        send_cancel(s);
    return rc;
}

// ---- the loop

static int timeout_of(const struct state *s)
{
    int timeout = s->view ? sc_view_timeout(s->view) : 1000;
    bool early = s->client->private.wants_agent && sc_clock_mono_ms() - s->client->private.started_ms < 3000;
    return early && timeout > 50 ? 50 : timeout;
}

static void loop(struct state *s)
{
    s->rc = sc_client_send(s->client, &s->request, &s->err);
    while (s->rc == SC_OK && !s->over) {
        enum sc_rc rc = drain(s);
        if (rc == SC_CLOSED)
            rc = recover(s);
        if (rc != SC_OK && rc != SC_NOT_FOUND) {
            s->rc = rc;
            return;
        }
        if (s->over)
            return;
        sc_out_flush(&s->out);
        if (s->stop_signal)
            send_cancel(s);
        if (s->view)
            sc_view_draw(s->view, &s->model, false);
        if (sc_client_wait(s->client, s->signals, timeout_of(s)))
            take_signals(s);
        if (!s->client->endpoint)
            tick(s);
    }
}

static void expect_steps(struct sc_model *model, const struct sc_plan *plan)
{
    SC_AUTO_BUF struct sc_buf name;
    sc_buf_init(&name, 0);
    for (uint32_t i = 0; i < plan->steps.count; i++) {
        uint32_t instances = sc_plan_instances(&plan->steps.items[i]);
        for (uint32_t j = 0; j < instances; j++) {
            sc_buf_clear(&name);
            sc_plan_instance_name(&plan->steps.items[i], j, &name);
            sc_model_expect(model, sc_buf_slice(&name));
        }
    }
}

static int finish(struct state *s)
{
    if (s->view)
        sc_view_finish(s->view, &s->model);
    if (!s->options->json && s->model.finished) {
        sc_report_failures(&s->out.buf, &s->model);
        const struct sc_report_options report = {
            .dry = s->follow->dry, .quiet = s->options->quiet, .colour = s->view && sc_view_colour(s->view)};
        sc_report_summary(&s->out.buf, &s->model, &report);
    }
    sc_out_flush(&s->out);
    if (s->rc != SC_OK) {
        if (s->rc == SC_CLOSED)
            s->err.rc = SC_UNREACHABLE;
        return sc_say_error(s->options->json, &s->err);
    }
    if (s->stop_signal)
        return sc_rc_exit_code(s->stop_signal == SIGINT ? SC_INTERRUPTED : SC_CANCELLED);
    if (s->follow->once ||
        (s->follow->dry && s->model.end.failed == 0)) // a plan fails by what it could not tell
        return 0;
    return sc_model_exit_code(&s->model);
}

// The run is over, and the terminal's size is nobody's business any more: only who asks to stop is heard.
static void see_off(struct state *s)
{
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    if (signalfd(s->signals, &stops, 0) >= 0)
        sc_client_see_off(s->client, s->signals);
}

int sc_follow(struct sc_follow *follow)
{
    struct state s = {
        .follow = follow, .client = follow->client, .options = follow->options, .request = follow->request};
    sc_model_init(&s.model);
    sc_out_init(&s.out, STDOUT_FILENO);
    s.signals = open_signals();
    // A reader that left early must not end the run that it no longer reads.
    if (follow->owns)
        signal(SIGPIPE, SIG_IGN);
    bool plain = s.options->json || s.options->plain || s.options->quiet || follow->dry || follow->once;
    s.view = plain ? NULL : sc_view_open(STDOUT_FILENO);
    if (s.view && follow->plan)
        expect_steps(&s.model, follow->plan);
    loop(&s);
    int exit_code = finish(&s);
    if (s.stop_signal && s.rc == SC_OK)
        see_off(&s);
    sc_view_close(s.view);
    if (s.signals >= 0)
        sc_fd_close(s.signals);
    sc_out_done(&s.out);
    sc_model_done(&s.model);
    return exit_code;
}
