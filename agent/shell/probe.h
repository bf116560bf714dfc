// What a key needs to know of this machine (proto/message.h, probe). A prober remembers classes by what was looked at to
// tell them; it may be shared by threads, and one that waits for a process keeps no other waiting. Only looks for the same
// sc_prober_question must not be made at once: its commands have one folder.
#pragma once

#include "agent/shell/task.h"
#include "store/object.h"

struct sc_prober;

struct sc_prober_config {
    const char *classes_path; // where classes are remembered; NULL: nowhere
    const char *folder;       // below it one is made and removed for each command of a probe
    const char *root;         // before /etc/os-release and /proc/driver; NULL but in tests
    int64_t timeout_ms;       // of one process
};
struct sc_prober *sc_prober_new(const struct sc_prober_config *config);
void sc_prober_free(struct sc_prober *prober);
// stop_fd of a call: a process that it waits for is ended once this is readable, and the call is SC_INTERRUPTED; 0: never.
// QUICK: SC_BUSY where a process would have to be started.
enum { SC_PROBER_QUICK = -1 };
// What is asked, apart from which parts of the answer count.
struct sc_digest sc_prober_question(const struct sc_msg_probe *probe, struct sc_slice path);
// The class of steps with this PATH. Starts a process only where something it rests on has changed. In the arena.
SC_MUST_USE enum sc_rc sc_prober_class(struct sc_prober *prober, struct sc_slice path, bool gpu, int stop_fd,
                                       struct sc_arena *arena, struct sc_class *ret_class,
                                       struct sc_error *err);
// The same from memory alone, else SC_BUSY; waits for nobody: for hello.
SC_MUST_USE enum sc_rc sc_prober_remembered(struct sc_prober *prober, struct sc_slice path, bool gpu,
                                            struct sc_arena *arena, struct sc_class *ret_class,
                                            struct sc_error *err);
// What commands print, as parts probe.0 …, beside arch and path. SC_INVALID, naming the command, when one fails or prints nothing.
SC_MUST_USE enum sc_rc sc_prober_commands(struct sc_prober *prober, struct sc_slice path,
                                          const sc_text_list *commands, int stop_fd, struct sc_arena *arena,
                                          struct sc_environment *ret_environment, struct sc_error *err);
// Whether a question still has the answer that a key was built with.
struct sc_held {
    const struct sc_msg_probe *probe;
    struct sc_slice path;                // PATH
    const struct sc_digest *environment; // the answer, of the parts that the probe does not ignore
    // The files that the last look of this step saw, zero at first; set. What was changed and put back is told by them, for
    // a class; commands cannot tell it.
    struct sc_digest *seen;
    char **
        changed; // set where it does not hold, as far as known: the file or folder that changed. The caller frees.
    // mono. A look that began after since_us serves (steps that ended together share one); one that began before asked_us,
    // when this was first asked, can only confirm, since the answer may be younger than it.
    int64_t since_us, asked_us;
};
// Errors but SC_BUSY and SC_INTERRUPTED are those of the question itself, which has no answer any more.
SC_MUST_USE enum sc_rc sc_prober_holds(struct sc_prober *prober, const struct sc_held *held, int stop_fd,
                                       bool *ret_holds, struct sc_error *err);
// How many processes it started, for tests.
uint32_t sc_prober_started(struct sc_prober *prober);

// A probe as a job: the message in, the answer out (in the arena).
struct sc_probe_job {
    struct sc_agent_job job;
    struct sc_agent_batch *batch;
    const struct sc_msg_probe *probe;
    struct sc_arena arena;
    struct sc_msg_probed probed;
    int64_t since_ms;                                       // mono: when it was asked
    _Atomic uint64_t shared_done_bytes, shared_total_bytes; // of a source that is read
    struct sc_probe_job *prev, *next;                       // of the loop
};
void sc_probe_job_fail(struct sc_probe_job *job, const struct sc_error *err);
struct sc_worker;
void sc_worker_probe(struct sc_worker *worker, struct sc_probe_job *job); // of a file
