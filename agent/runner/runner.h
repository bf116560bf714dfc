// The conversation between an agent and its runner, the small process that starts, contains, limits and reaps steps.
// Shared by the program (main.c) and its client (client.h); plain structs, encoded by base/codec, one message a packet
// over a SOCK_SEQPACKET socket that the runner inherits as descriptor 3. A body too large for a packet goes in a memfd.
//
//     agent                               runner
//       | -- config -------------------------> |   once, first
//       | <------------------- capabilities -- |   once, before all other events
//       | -- launch {task}, [stdout, stderr] > |   waits, when it says so, until another task is over
//       | -- go {task} ----------------------> |   a launch that waits does so no longer
//       | -- signal {task} ------------------> |   any number; withdraws a launch that waits
//       | <-------------------- started {task} |   of a step that stays for SC_RUNNER_STAYS_MS: most are shorter
//       | <- ended | failed | withdrawn {task} |   exactly one of the three for every launch
//
// go and signal pass over a task that is not there. A launch that waits starts as soon as the runner has seen the end of
// the other, without a word of the agent, and that end is told before anything that becomes of the one that waited: so
// whoever hears the end while he has not heard `withdrawn` knows that the launch has taken the place. When the agent is
// gone, what waits never starts.
//
// What a step sees ("namespaces"): the host's files as they are, with the same rights, except that the hidden folders
// are empty wherever a mount shows them; /dev is a minimal one of its own; /sys is read-only; /work is its work folder
// and its current folder, with its inputs bound read-only at /work/in/<name>; its processes are alone in their pid and
// ipc namespaces, under an init that ends with the step and takes all that is left along. A step that runs as root has
// no capability to mount, unmount, trace, make device nodes or open files by handle, and finds /proc/sys read-only
// (core_pattern and kin would run programs outside). Not contained: the network, and programs outside that do what a
// step asks of them (cron, systemd, dockerd), for `sandbox: none` shows the host.
//
// Where the kernel refuses namespaces ("none"): the work folder is the current folder under its own path, inputs are
// not bound (the agent copies them; a launch with inputs fails), leftovers are found by their ancestry and killed,
// Landlock denies writes below the hidden folders where it can.
#pragma once

#include "base/codec.h"

// A test seam: the environment variable STEPCACHE_RUNNER_FORCE=plain makes a runner behave as if the kernel refused
// namespaces.
#define SC_RUNNER_FORCE_ENV "STEPCACHE_RUNNER_FORCE"
#define SC_RUNNER_SOCKET_FD 3
#define SC_RUNNER_WORK_PATH "/work"
#define SC_RUNNER_UMASK     022

#define SC_RUNNER_STAYS_MS 4
#define SC_RUNNER_BODY_BYTES                                                                                 \
    (16u << 20) // of one message; argv and env of a step are at most 6 MiB (execve(2))
#define SC_RUNNER_PACKET_BYTES                                                                               \
    (32u << 10)                      // a longer body goes in a memfd, so that any socket buffer takes it
#define SC_RUNNER_ARG_BYTES  131071u // of one argument or variable: MAX_ARG_STRLEN without its NUL
#define SC_RUNNER_ARGS       262144u
#define SC_RUNNER_INPUTS     1000u
#define SC_RUNNER_HIDDEN     64u
#define SC_RUNNER_TASKS      4096u // at once
#define SC_RUNNER_PACKET_FDS 3u
#define SC_RUNNER_TEXT_BYTES 512u // of a failure's or a reason's text

enum sc_runner_kind {
    SC_RUNNER_CONFIG,
    SC_RUNNER_LAUNCH,
    SC_RUNNER_GO,
    SC_RUNNER_SIGNAL,
    SC_RUNNER_EVENT,
};

// Sent once. Folders that no step may reach: the store, the caches, state and sockets of Stepcache itself, the folder
// that holds all work folders. They must exist. A work folder or an input below one of them is still bound.
struct sc_runner_config {
    SC_LIST(struct sc_slice, hidden);
};

enum sc_runner_network { SC_RUNNER_NETWORK_HOST, SC_RUNNER_NETWORK_NONE }; // none: reserved, refused by name

struct sc_runner_input {
    struct sc_slice name;   // one path component: bound at /work/in/<name>
    struct sc_slice source; // absolute host path of a file or folder; not followed when it is a symbolic link
};

// 0 means no limit, or (open_files) the agent's own.
struct sc_runner_limits {
    uint64_t cpus_milli; // thousandths of a processor
    uint64_t memory_bytes;
    uint64_t open_files;
    uint64_t processes; // and threads
};

struct sc_launch {
    uint64_t task;  // the agent's name for it; not in use
    uint64_t after; // the task that must be over before; 0, or one that is not there: none
    struct sc_slice work;
    SC_LIST(struct sc_slice, argv); // argv[0] is looked up in the PATH of env when it has no slash
    SC_LIST(struct sc_slice,
            env); // all of it; only HOME is added, pointing at the work folder, when it is not there
    SC_LIST(struct sc_runner_input, inputs);
    struct sc_runner_limits limits;
    enum sc_runner_network network;
};

struct sc_runner_go {
    uint64_t task;
};

struct sc_runner_signal {
    uint32_t signal; // KILL ends the step with all it started; others are sent to every process of the step
    uint64_t task;
};

enum sc_runner_assurance { SC_RUNNER_ASSURANCE_NONE, SC_RUNNER_ASSURANCE_NAMESPACES };
enum sc_runner_cgroup { SC_RUNNER_CGROUP_NONE, SC_RUNNER_CGROUP_V1, SC_RUNNER_CGROUP_V2 };

struct sc_runner_capabilities {
    enum sc_runner_assurance assurance;
    bool binds_inputs; // else the agent copies them into the work folder
    enum sc_runner_cgroup cgroup;
    bool limits_cpu, limits_memory, limits_processes; // by cgroup; without, memory is limited by RLIMIT_DATA
    uint32_t landlock_abi;                            // 0: none
    struct sc_slice reason; // why it is weaker than it could be; empty when it is not
};

enum sc_runner_event_kind {
    SC_RUNNER_NOTHING, // no event is waiting
    SC_RUNNER_CAPABILITIES,
    SC_RUNNER_STARTED,
    SC_RUNNER_ENDED,
    SC_RUNNER_FAILED,
    SC_RUNNER_WITHDRAWN, // it waited, and never started
};

struct sc_runner_event {
    enum sc_runner_event_kind kind;
    uint64_t task;
    // started: the process that carries the step's name on the host (its init), and when that was started.
    uint32_t pid;
    int64_t started_mono_ms;
    // ended: a signal, or an exit code when signal is 0, of the step's own process; all it started is gone.
    uint32_t exit_code, signal;
    bool oom; // the kernel's counter said so; always false without a cgroup
    uint64_t cpu_us, max_rss_bytes;
    int64_t started_ms, ended_ms; // wall clock
    // failed: what could not be done, "exec python4: No such file or directory"; errno, or 0.
    uint32_t sys_errno;
    struct sc_slice text;
    struct sc_runner_capabilities capabilities;
};

extern const struct sc_schema sc_schema_runner_config, sc_schema_runner_launch, sc_schema_runner_go,
    sc_schema_runner_signal, sc_schema_runner_event;

// "namespaces" or "none", as records carry it; "v2", "v1", "none".
const char *sc_runner_assurance_name(enum sc_runner_assurance assurance);
const char *sc_runner_cgroup_name(enum sc_runner_cgroup cgroup);

// A packet as it came in. The body lies in the buffer it was received with; the descriptors are the packet's own.
struct sc_runner_packet {
    enum sc_runner_kind kind;
    struct sc_slice body;
    int fds[SC_RUNNER_PACKET_FDS];
    uint32_t fd_count;
};

// Sends one message and at most two descriptors, which stay the caller's. SC_BUSY when a socket that does not block is
// full, SC_CLOSED when nobody is there.
SC_MUST_USE enum sc_rc sc_runner_send(int socket, enum sc_runner_kind kind, const struct sc_schema *schema,
                                      const void *object, const int *fds, uint32_t fd_count,
                                      struct sc_error *err);
// Receives one into the buffer, with the flags of recvmsg(2). SC_BUSY when none is there and neither they nor the socket
// block, SC_CLOSED at the end.
SC_MUST_USE enum sc_rc sc_runner_receive(int socket, int flags, struct sc_buf *buffer,
                                         struct sc_runner_packet *ret_packet, struct sc_error *err);
// Closes the descriptors that are left.
void sc_runner_packet_done(struct sc_runner_packet *packet);
