// stepctl: the user's command. Finds the command, reads its options, runs it.
#include "base/memory.h"
#include "stepctl/command.h"
#include "stepctl/own_store.h"
#include "stepctl/say.h"

#include <stdio.h>

static int (*const functions[])(const struct sc_options *options, struct sc_arena *arena) = {
#define X(id, name) [SC_COMMAND_##id] = sc_command_##name,
    SC_COMMAND_TABLE(X)
#undef X
};

// Options that cannot be read may still have said how the error is wanted.
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        SC_AUTO_BUF struct sc_buf text;
        sc_buf_init(&text, 0);
        sc_command_help(NULL, &text);
        fputs(sc_buf_cstr(&text), stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return sc_command_print_help(NULL);
    const char *word = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    const struct sc_command *command = sc_command_find(sc_slice_str(word));
    if (!command)
        return sc_command_unknown(argv[1]);
    SC_AUTO_ARENA struct sc_arena arena;
    sc_arena_init(&arena);
    struct sc_options options;
    struct sc_error err = SC_ERROR_INIT;
    if (sc_options_parse(argc - 1, argv + 1, command->options, command->args_min, command->args_max, &arena,
                         &options, &err) != SC_OK ||
        sc_own_store_choose(&options, &arena, &err) != SC_OK)
        return sc_say_error(wants_json(argc, argv), &err);
    return options.help ? sc_command_print_help(command) : functions[command - sc_commands](&options, &arena);
}
