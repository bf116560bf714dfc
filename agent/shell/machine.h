// What this machine has for steps: processors and memory as its cgroup and affinity allow, GPUs, its name.
#pragma once

#include "base/arena.h"

struct sc_machine {
    uint32_t cpus_milli, gpus;
    uint64_t memory_bytes;
};
struct sc_machine sc_machine_look(void);
// Of the file system at the path; 0 when it cannot be told.
uint64_t sc_machine_disk_bytes(const char *path);
// The host's name, made fit for an agent's: letters, digits, '-', '.' and '_', at most 63.
struct sc_slice sc_machine_name(struct sc_arena *arena);
