// stepctl logs: what a step wrote, as it wrote it; with -f as it writes it. Bytes go out as they came, unless they go to a
// terminal, where control bytes are escaped.
#include "base/memory.h"
#include "stepctl/client.h"
#include "stepctl/command.h"
#include "stepctl/json.h"
#include "stepctl/say.h"
#include "stepctl/text.h"

#include <stdlib.h>
#include <unistd.h>

struct printer {
    struct sc_out out;
    bool json, escape, follow;
};

static void take(void *context, const struct sc_event_body *event)
{
    struct printer *p = context;
    if (p->json)
        sc_json_event(&p->out.buf, event);
    else if (event->type == SC_EV_STEP_LOG && p->escape)
        sc_text_escape_log(&p->out.buf, event->text);
    else if (event->type == SC_EV_STEP_LOG)
        sc_buf_add_slice(&p->out.buf, event->text);
    else if (event->type == SC_EV_NOTE)
        sc_say(SC_SLICE_FMT, SC_SLICE_ARG(event->text));
    if (p->follow)
        sc_out_flush(&p->out);
    sc_out_maybe_flush(&p->out);
}

int sc_command_logs(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_client client;
    struct printer printer = {
        .json = options->json, .escape = isatty(STDOUT_FILENO), .follow = options->follow};
    struct sc_message message = {.type = SC_MESSAGE_LOGS,
                                 .body.logs = {.run = sc_slice_str(options->args[0]),
                                               .step = sc_slice_str(options->args[1]),
                                               .attempt = options->attempt,
                                               .follow = options->follow}};
    const struct sc_answer answer = {.event = take, .context = &printer, .patient = options->follow};
    sc_out_init(&printer.out, STDOUT_FILENO);
    enum sc_rc rc = sc_client_open(&client, options, false, &err);
    if (rc == SC_OK)
        rc = sc_client_ask(&client, &message, &answer, &err);
    sc_out_done(&printer.out);
    sc_client_done(&client);
    return rc == SC_OK ? 0 : sc_say_error(options->json, &err);
}
