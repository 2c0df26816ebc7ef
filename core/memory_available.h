// How much memory this process may still take.
#ifndef CORE_MEMORY_AVAILABLE_H
#define CORE_MEMORY_AVAILABLE_H

#include <stdint.h>

// What the system has available, or what the process's control groups (Linux's cgroup v1 and v2, with all that they are
// in) and its limit of address space (ulimit -v) leave of that; pages of files that could be given back count as
// available. UINT64_MAX where the system does not say.
uint64_t memory_available(void);

#endif
