// What a step left, while it is taken: between taker.c, which makes the result, and outputs.c.
#pragma once

#include "agent/shell/worker.h"

#include "base/limits.h"

#include <sys/types.h>

struct output {
    char
        path[SC_LIMIT_PATH_BYTES]; // where it lies, without links on the way; empty: read already, and inline
    struct sc_tree *tree;
    dev_t dev;
    ino_t ino;
    bool settled; // it had no writer when it was hashed
};

struct taking {
    struct sc_worker *worker;
    struct sc_agent_task *task;
    const struct sc_assignment *assignment;
    char *work;  // the step's folder
    char *taken; // where its out/ lies
    int taken_fd;
    bool moved; // it was moved there
    struct output *outputs;
    bool shared; // one output lies in another: nothing may be moved away
};

// Finds, reads, hashes and puts the outputs and values that are declared, into the task's result. False when it has
// failed the task, naming what and why.
bool sc_outputs_take(struct taking *t);
