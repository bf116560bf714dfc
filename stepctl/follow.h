// Following a run from its submission, or from now, to its end: the loop that takes events from the coordinator, shows
// them (live view, plain lines, JSON), minds signals, and starts the coordinator again when it dies in the middle.
#pragma once

#include "stepctl/client.h"
#include "stepctl/model.h"

struct sc_follow {
    struct sc_client *client; // connected
    const struct sc_options *options;
    struct sc_message request;  // submit or watch
    const struct sc_plan *plan; // names the steps before they are heard of; may be NULL
    bool owns;                  // `run`: Ctrl-C cancels the run and waits for its steps; else it detaches
    bool dry;                   // `plan`
    bool once;                  // `status`: what is known, then the end
};

// Returns the exit code. Ctrl-C: 130; TERM and HUP cancel an own run: 4.
int sc_follow(struct sc_follow *follow);
