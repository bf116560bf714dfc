// stepctl completion: the script by which bash completes commands, options and files, made from the table of commands.
#include "stepctl/command.h"
#include "stepctl/say.h"

#include <unistd.h>

static void words_of(struct sc_buf *out, const struct sc_command *command)
{
    sc_buf_printf(out, "        %s) words=\"", command->name);
    uint64_t mask = command->options | SC_OPTION_BIT(HELP);
    for (int i = 0; i < SC_OPTION_COUNT; i++)
        if (mask >> i & 1)
            sc_buf_printf(out, "--%s ", sc_option_info((enum sc_option)i)->name);
    if (strcmp(command->name, "cache") == 0)
        sc_buf_add_str(out, "ls show rm pin unpin gc verify stats ");
    if (strcmp(command->name, "completion") == 0)
        sc_buf_add_str(out, "bash ");
    sc_buf_add_str(out, "\";;\n");
}

static void script(struct sc_buf *out)
{
    sc_buf_add_str(out,
                   "_stepctl() {\n    local word=\"${COMP_WORDS[COMP_CWORD]}\" words=\"\"\n    COMPREPLY=()\n"
                   "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words=\"");
    for (uint32_t i = 0; i < SC_COMMAND_COUNT; i++)
        sc_buf_printf(out, "%s ", sc_commands[i].name);
    sc_buf_add_str(out,
                   "\"\n        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n        return\n    fi\n"
                   "    case \"${COMP_WORDS[1]}\" in\n");
    for (uint32_t i = 0; i < SC_COMMAND_COUNT; i++)
        words_of(out, &sc_commands[i]);
    sc_buf_add_str(
        out,
        "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
        "    case \"$word\" in\n    -*) ;;\n"
        "    *) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- \"$word\"));;\n    esac\n}\n"
        "complete -F _stepctl stepctl\n");
}

int sc_command_completion(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    struct sc_error err = SC_ERROR_INIT;
    if (strcmp(options->args[0], "bash") != 0) {
        sc_error_set(&err, SC_UNSUPPORTED, "completion for %s is not built yet", options->args[0]);
        sc_error_hint(&err, "bash is: stepctl completion bash");
        return sc_say_error(false, &err);
    }
    struct sc_out out;
    sc_out_init(&out, STDOUT_FILENO);
    script(&out.buf);
    sc_out_done(&out);
    return 0;
}
