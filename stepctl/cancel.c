// stepctl cancel: asks the coordinator to end a run.
#include "stepctl/client.h"
#include "stepctl/command.h"
#include "stepctl/say.h"

#include <stdio.h>

int sc_command_cancel(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_client client;
    struct sc_message message = {.type = SC_MESSAGE_CANCEL,
                                 .body.cancel.run = sc_slice_str(options->args[0])};
    enum sc_rc rc = sc_client_open(&client, options, false, &err);
    if (rc == SC_OK)
        rc = sc_client_ask(&client, &message, &(struct sc_answer){0}, &err);
    sc_client_done(&client);
    if (rc != SC_OK)
        return sc_say_error(options->json, &err);
    if (!options->json)
        printf("run %s is being cancelled\n", options->args[0]);
    return 0;
}
