// stepctl help, and what is said of a command that there is not.
#include "pipeline/suggest.h"
#include "stepctl/command.h"
#include "stepctl/say.h"

#include <unistd.h>

int sc_command_print_help(const struct sc_command *command)
{
    struct sc_out out;
    sc_out_init(&out, STDOUT_FILENO);
    sc_command_help(command, &out.buf);
    sc_out_done(&out);
    return 0;
}

int sc_command_unknown(const char *word)
{
    struct sc_error err = SC_ERROR_INIT;
    struct sc_suggest suggest;
    sc_suggest_begin(&suggest, sc_slice_str(word));
    for (uint32_t i = 0; i < SC_COMMAND_COUNT; i++)
        sc_suggest_try(&suggest, sc_slice_str(sc_commands[i].name));
    sc_error_set(&err, SC_INVALID, "there is no command \"%s\"", word);
    if (sc_suggest_found(&suggest))
        sc_error_hint(&err, "did you mean " SC_SLICE_FMT "? `stepctl help` lists them all",
                      SC_SLICE_ARG(suggest.best));
    else
        sc_error_hint(&err, "`stepctl help` lists them");
    return sc_say_error(false, &err);
}

int sc_command_help_(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    if (options->arg_count == 0)
        return sc_command_print_help(NULL);
    const struct sc_command *command = sc_command_find(sc_slice_str(options->args[0]));
    return command ? sc_command_print_help(command) : sc_command_unknown(options->args[0]);
}
