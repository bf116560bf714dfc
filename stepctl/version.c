// stepctl version
#include "stepctl/command.h"

#include <stdio.h>

int sc_command_version(const struct sc_options *options, struct sc_arena *arena)
{
    (void)arena;
    if (options->json)
        printf("{\"version\":\"%s\",\"protocol\":%d,\"document\":1,\"key\":\"stepcache.key/"
               "1\",\"record\":\"stepcache.record/1\"}\n",
               SC_RELEASE, SC_PROTO_VERSION);
    else
        printf("stepctl %s\n", SC_RELEASE);
    return 0;
}
