// A runner with a hidden folder, inputs and a work folder, for tests: each starts real processes. Waits on descriptors
// only; a test that hangs is ended by the harness.
#pragma once

#include "agent/runner/client.h"

#include "base/memory.h"

struct runner_fixture {
    struct sc_runner *runner;
    struct sc_runner_capabilities capabilities; // reason is not kept
    char reason[SC_RUNNER_TEXT_BYTES];
    char *base;    // /tmp/…, of the test's own
    char *hidden;  // base/hidden: what no step may see; config.hidden
    char *store;   // hidden/store: input `data` (a file, "cached\n") and `tree` (a folder with a file `leaf`)
    char *work;    // hidden/work/1
    uint64_t task; // of the last launch
};

// What a step came to.
struct outcome {
    struct sc_runner_event event;    // ended or failed
    char text[SC_RUNNER_TEXT_BYTES]; // failed
    char out[65536], err[65536];     // NUL-terminated
};

// The program of this build (STEPCACHE_BUILD); skips the test when that is not set.
const char *fixture_program(void);
// A folder that every user may enter, so that the same fixture serves an ordinary user.
void fixture_make(struct runner_fixture *f);
// Starts the runner and takes its first event.
void fixture_start(struct runner_fixture *f);
// Ends the runner, removes the folder.
void fixture_done(struct runner_fixture *f);

// A launch of `sh -c script` with PATH only and, where inputs can be bound, both inputs; texts live as long as the
// arguments. The next task id.
struct sc_launch fixture_launch(struct runner_fixture *f, const char *script);
// Launches and waits for the end. The same with a script.
void fixture_run(struct runner_fixture *f, const struct sc_launch *launch, struct outcome *ret_outcome);
void fixture_sh(struct runner_fixture *f, const char *script, struct outcome *ret_outcome);
// Launches with a pipe for standard output and error; gives its reading end.
int fixture_begin(struct runner_fixture *f, const struct sc_launch *launch);
// The next event, or the next that is not `started`, waited for; SC_CLOSED when the runner is gone.
enum sc_rc fixture_any_event(struct runner_fixture *f, struct sc_runner_event *ret_event);
enum sc_rc fixture_event(struct runner_fixture *f, struct sc_runner_event *ret_event);
// Reads one line, or up to the end, from a descriptor.
void fixture_line(int fd, char *ret_line, size_t size);
// Reads until the end: then no process has the other end open.
void fixture_until_end(int fd);
// Whether the other end of the pipe is closed by all, now.
bool fixture_is_at_end(int fd);
// Runs this program once more as an ordinary user, with the argument "user"; 0 when it ended with 0.
int fixture_as_ordinary_user(const char *name);
