#include "stepctl/command.h"

#include "base/memory.h"

#define ANY_COORDINATOR (SC_OPTION_BIT(COORDINATOR) | SC_OPTION_BIT(OWN_STORE) | SC_OPTION_BIT(ENDPOINT_URL))
#define READS_STORE     (SC_OPTION_BIT(COORDINATOR) | SC_OPTION_BIT(STORE) | SC_OPTION_BIT(ENDPOINT_URL))
#define JSON            SC_OPTION_BIT(JSON)

const struct sc_command sc_commands[SC_COMMAND_COUNT] = {
    [SC_COMMAND_RUN] =
        {"run", "FILE", "run a pipeline to its end",
         "Steps whose result is known are not run. Ctrl-C cancels the run and waits for its steps to end; a "
         "second one kills them\n"
         "at once, a third leaves without waiting. On a terminal: a live view; else plain lines.",
         SC_OPTIONS_RUN | SC_OPTIONS_OUTPUT | ANY_COORDINATOR, 1, 1},
    [SC_COMMAND_PLAN] = {"plan", "FILE", "tell each step's verdict, and run nothing", NULL,
                         SC_OPTIONS_RUN | JSON | SC_OPTION_BIT(QUIET) | ANY_COORDINATOR, 1, 1},
    [SC_COMMAND_SUBMIT] =
        {"submit", "FILE", "start a run and leave it to the coordinator",
         "Prints the run's id. With --watch it follows the run; Ctrl-C then detaches, and the run goes on.",
         SC_OPTIONS_RUN | SC_OPTIONS_OUTPUT | SC_OPTION_BIT(WATCH) | ANY_COORDINATOR, 1, 1},
    [SC_COMMAND_STATUS] = {"status", "[RUN]", "show how a run stands (the newest)", NULL,
                           JSON | ANY_COORDINATOR, 0, 1},
    [SC_COMMAND_RUNS] = {"runs", "", "list runs, newest first", NULL,
                         JSON | SC_OPTION_BIT(LIMIT) | SC_OPTION_BIT(PIPELINE) | ANY_COORDINATOR, 0, 0},
    [SC_COMMAND_AGENTS] = {"agents", "", "list the agents that are alive", NULL, JSON | ANY_COORDINATOR, 0,
                           0},
    [SC_COMMAND_WATCH] = {"watch", "[RUN]", "follow a run to its end (the newest)",
                          "Ctrl-C detaches; the run goes on.", SC_OPTIONS_OUTPUT | ANY_COORDINATOR, 0, 1},
    [SC_COMMAND_LOGS] = {"logs", "RUN STEP", "print what a step wrote",
                         "Of a hit: what the execution that made the result wrote.",
                         JSON | SC_OPTION_BIT(FOLLOW) | SC_OPTION_BIT(ATTEMPT) | ANY_COORDINATOR, 2, 2},
    [SC_COMMAND_GET] = {"get", "RUN STEP.OUTPUT DEST", "copy an output to a file or folder",
                        "DEST must not exist. Every byte is checked against its digest.", JSON | READS_STORE,
                        3, 3},
    [SC_COMMAND_URI] = {"uri", "[RUN] OUTPUT|STEP.OUTPUT", "print the address of a published output",
                        "OUTPUT is a name below the document's `outputs`, of a matrix step with its "
                        "instance: 'report[lr=0.1]'. Without RUN:\nthe newest run that published it. What "
                        "lies at an address never changes.",
                        JSON | ANY_COORDINATOR, 1, 2},
    [SC_COMMAND_CANCEL] = {"cancel", "RUN", "cancel a run", NULL, JSON | ANY_COORDINATOR, 1, 1},
    [SC_COMMAND_KEY] =
        {"key", "FILE|RUN STEP", "print the labelled fields of a step's key",
         "Of a step of a document as it is now, or of one of a run. --json prints what is needed "
         "to compute the key by hand.",
         SC_OPTION_BIT(PARAM) | JSON | READS_STORE, 2, 2},
    [SC_COMMAND_EXPLAIN] =
        {"explain", "[RUN] STEP", "tell why a step ran, or did not",
         "For a miss: the very fields that differ, old value and new. For a hit: who made the "
         "result, when, how long it took,\n"
         "what it saved. STEP alone is looked up in the newest run.",
         JSON | READS_STORE, 1, 2},
    [SC_COMMAND_DIFF] = {"diff", "RUN RUN", "compare two runs: parameters, verdicts, values", NULL,
                         JSON | READS_STORE, 2, 2},
    [SC_COMMAND_CACHE] = {"cache", "ls|show KEY|rm KEY…|pin KEY…|unpin KEY…|gc|verify|stats",
                          "look at what is stored, or remove it",
                          "rm asks first, unless --yes is given. gc removes what no result, open run or pin "
                          "reaches and is older "
                          "than the store's\n"
                          "horizon (seven days); with --older-than, --keep-last, --namespace or --max-bytes "
                          "it withdraws results "
                          "first, whose\n"
                          "objects go when the withdrawal is as old. It only tells what it would do, unless "
                          "--delete is given.",
                          JSON | SC_OPTION_BIT(YES) | SC_OPTION_BIT(LIMIT) | SC_OPTION_BIT(OLDER_THAN) |
                              SC_OPTION_BIT(KEEP_LAST) | SC_OPTION_BIT(NAMESPACE) | SC_OPTION_BIT(MAX_BYTES) |
                              SC_OPTION_BIT(DRY_RUN) | SC_OPTION_BIT(DELETE) | SC_OPTION_BIT(SAMPLE) |
                              ANY_COORDINATOR,
                          1, 1000},
    [SC_COMMAND_GRAPH] = {"graph", "FILE", "print the pipeline as a graph (DOT)", NULL,
                          SC_OPTION_BIT(PARAM) | SC_OPTION_BIT(SVG), 1, 1},
    [SC_COMMAND_COMPLETION] = {"completion", "bash", "print the completion script of a shell",
                               "In ~/.bashrc:  source <(stepctl completion bash)", 0, 1, 1},
    [SC_COMMAND_DOCTOR] =
        {"doctor", "", "check store, clock, sockets, sandbox and environment",
         "--store: that one instead of your own; of a bucket, what its server must be able to do.",
         JSON | SC_OPTION_BIT(STORE) | SC_OPTION_BIT(ENDPOINT_URL), 0, 0},
    [SC_COMMAND_VERSION] = {"version", "", "print the version", NULL, JSON, 0, 0},
    [SC_COMMAND_HELP] = {"help", "[COMMAND]", "print help", NULL, 0, 0, 1},
};

const struct sc_command *sc_command_find(struct sc_slice name)
{
    for (uint32_t i = 0; i < SC_COMMAND_COUNT; i++)
        if (sc_slice_eq_str(name, sc_commands[i].name))
            return &sc_commands[i];
    return NULL;
}

static void overview(struct sc_buf *out)
{
    sc_buf_add_str(out, "usage: stepctl COMMAND [options] …\n\n"
                        "Runs pipelines of steps, and never runs a step whose result is already known.\n\n");
    for (uint32_t i = 0; i < SC_COMMAND_COUNT; i++)
        sc_buf_printf(out, "  %-12s%s\n", sc_commands[i].name, sc_commands[i].summary);
    sc_buf_add_str(out, "\n`stepctl help COMMAND` tells more.\n"
                        "Exit codes: 0 all done, 1 a step failed, 2 the request was wrong, 3 coordinator or "
                        "store could not be\n"
                        "reached, 4 cancelled, 130 interrupted.\n");
}

void sc_command_help(const struct sc_command *command, struct sc_buf *out)
{
    if (!command) {
        overview(out);
        return;
    }
    sc_buf_printf(out, "usage: stepctl %s%s%s%s\n\n  %s\n", command->name,
                  command->options ? " [options]" : "", *command->arguments ? " " : "", command->arguments,
                  command->summary);
    if (command->more)
        sc_buf_printf(out, "\n%s\n", command->more);
    sc_buf_add_str(out, "\noptions:\n");
    sc_options_help(command->options, out);
}
