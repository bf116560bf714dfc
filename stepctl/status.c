// stepctl status: how a run stands, a line a step.
#include "base/memory.h"
#include "base/os/clock.h"
#include "stepctl/client.h"
#include "stepctl/command.h"
#include "stepctl/json.h"
#include "stepctl/model.h"
#include "stepctl/report.h"
#include "stepctl/say.h"
#include "stepctl/view_model.h"

#include <locale.h>
#include <stdio.h>
#include <unistd.h>

struct shown {
    struct sc_model model;
    struct sc_out out;
    bool json;
};

static void take(void *context, const struct sc_event_body *event)
{
    struct shown *shown = context;
    if (shown->json) {
        sc_json_event(&shown->out.buf, event);
        sc_out_maybe_flush(&shown->out);
    } else
        sc_model_apply(&shown->model, event);
}

static void print(struct shown *shown)
{
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    setlocale(LC_CTYPE, "C.UTF-8");
    struct sc_buf *out = &shown->out.buf;
    const struct sc_model *model = &shown->model;
    const struct sc_view_style style = {.width = 200,
                                        .height = model->steps.count + 1,
                                        .final = true,
                                        .now_ms = model->finished ? model->end.at : sc_clock_wall_ms()};
    sc_buf_printf(out, "run " SC_SLICE_FMT " of " SC_SLICE_FMT "%s\n", SC_SLICE_ARG(model->run),
                  SC_SLICE_ARG(model->pipeline), model->finished ? "" : ", open");
    struct sc_view_lines lines = sc_view_layout(model, &style, &arena);
    for (uint32_t i = 0; i < lines.items.count; i++) {
        if (model->finished && i + 1 == lines.items.count)
            break; // the summary says more
        sc_buf_add_slice(out, lines.items.items[i].text);
        sc_buf_add_byte(out, '\n');
    }
    sc_report_failures(out, model);
    sc_report_summary(out, model, &(struct sc_report_options){0});
}

int sc_command_status(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_client client;
    bool named = options->arg_count > 0;
    struct shown shown = {.json = options->json};
    sc_model_init(&shown.model);
    sc_out_init(&shown.out, STDOUT_FILENO);
    struct sc_message message = {.type = SC_MESSAGE_SHOW,
                                 .body.show.run = sc_slice_str(named ? options->args[0] : "latest")};
    const struct sc_answer answer = {.event = take, .context = &shown};
    enum sc_rc rc = sc_client_open(&client, options, false, &err);
    if (rc == SC_OK)
        rc = sc_client_ask(&client, &message, &answer, &err);
    int exit_code = 0;
    if (rc == SC_NOT_FOUND && !named) {
        if (!options->json)
            sc_buf_add_str(&shown.out.buf, "no runs yet\n");
    } else if (rc != SC_OK)
        exit_code = sc_say_error(options->json, &err);
    else if (!options->json)
        print(&shown);
    sc_client_done(&client);
    sc_out_done(&shown.out);
    sc_model_done(&shown.model);
    return exit_code;
}
