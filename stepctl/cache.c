#include "stepctl/command.h"
#include "stepctl/say.h"

int sc_command_cache(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    sc_error_set(&err, SC_UNSUPPORTED, "cache is not built yet");
    return sc_say_error(options->json, &err);
}
