// What a key needs to know of this machine (proto/message.h, probe). A prober remembers classes by what was looked at to
// tell them; it may be shared by threads.
#pragma once

#include "agent/shell/task.h"
#include "store/object.h"

struct sc_prober;

struct sc_prober_config {
    const char *classes_path; // where classes are remembered; NULL: nowhere
    const char *folder;       // made and removed for each command of a probe
    const char *root;         // before /etc/os-release and /proc/driver; NULL but in tests
    int64_t timeout_ms;       // of one process
};
struct sc_prober *sc_prober_new(const struct sc_prober_config *config);
void sc_prober_free(struct sc_prober *prober);
// The class of steps with this PATH. Starts a process only where something it rests on has changed. In the arena.
SC_MUST_USE enum sc_rc sc_prober_class(struct sc_prober *prober, struct sc_slice path, bool gpu,
                                       struct sc_arena *arena, struct sc_class *ret_class,
                                       struct sc_error *err);
// The same, but SC_BUSY where a process would have to be started: for hello.
SC_MUST_USE enum sc_rc sc_prober_remembered(struct sc_prober *prober, struct sc_slice path, bool gpu,
                                            struct sc_arena *arena, struct sc_class *ret_class,
                                            struct sc_error *err);
// What commands print, as parts probe.0 …, beside arch and path. SC_INVALID, naming the command, when one fails or prints nothing.
SC_MUST_USE enum sc_rc sc_prober_commands(struct sc_prober *prober, struct sc_slice path,
                                          const sc_text_list *commands, struct sc_arena *arena,
                                          struct sc_environment *ret_environment, struct sc_error *err);
// Whether the question still has the answer of this digest, which is of the parts that the probe does not ignore. It is looked at anew unless that was done after since_us (mono):
// steps that ended together share one look. An older look can only confirm: the answer may be younger than it, so what
// differs is looked at in this call before it is said. seen: the files that the last look of this step saw, zero at first:
// what was changed and put back is told by them, for a class; commands cannot tell it. quick: SC_BUSY where a process would have to be started. Other errors are
// those of the question itself, which has no answer any more.
SC_MUST_USE enum sc_rc sc_prober_holds(struct sc_prober *prober, const struct sc_msg_probe *probe,
                                       struct sc_slice path, const struct sc_digest *environment,
                                       struct sc_digest *seen, int64_t since_us, bool quick, bool *ret_holds,
                                       struct sc_error *err);
// How many processes it started, for tests.
uint32_t sc_prober_started(struct sc_prober *prober);

// A probe as a job: the message in, the answer out (in the arena).
struct sc_probe_job {
    struct sc_agent_job job;
    struct sc_agent_batch *batch;
    const struct sc_msg_probe *probe;
    struct sc_slice default_path;
    struct sc_arena arena;
    struct sc_msg_probed probed;
};
struct sc_worker;
void sc_worker_probe(struct sc_worker *worker, struct sc_probe_job *job);
