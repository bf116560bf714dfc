// stepctl watch: follows a run to its end. Ctrl-C detaches.
#include "stepctl/command.h"
#include "stepctl/follow.h"
#include "stepctl/say.h"

int sc_command_watch(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    struct sc_client client;
    int exit_code;
    if (sc_client_open(&client, options, true, &err) != SC_OK) {
        exit_code = sc_say_error(options->json, &err);
    } else {
        struct sc_follow follow = {
            .client = &client,
            .options = options,
            .request = {.type = SC_MESSAGE_WATCH,
                        .body.watch = {.run = sc_slice_str(options->arg_count ? options->args[0] : "latest"),
                                       .logs = options->logs}}};
        exit_code = sc_follow(&follow);
    }
    sc_client_done(&client);
    return exit_code;
}
