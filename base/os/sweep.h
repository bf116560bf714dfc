// A process between a caller and a child of the caller's, which leaves nothing behind: what descends from it comes to it when
// its parents are gone (PR_SET_CHILD_SUBREAPER), in whatever session or group, and is killed when the child has ended.
// Runs in a process that was forked and becomes no other program: async-signal-safe calls alone, no memory of its own.
#pragma once

#include <sys/types.h>

// First of all in it. It ends when the thread that forked it does, or on SIGTERM, having swept.
void sc_sweep_begin(void);
// Starts the child that is to be waited for; as fork(2).
pid_t sc_sweep_fork(void);
// Waits for it, kills what is left, writes how it ended (an int as of wait(2)) to the descriptor, and exits. Closes all others.
_Noreturn void sc_sweep_end(pid_t child, int ended);
