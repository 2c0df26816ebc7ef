#include "core/threads.h"

#include <omp.h>

void threads_set(int n) {
    omp_set_dynamic(0);
    omp_set_num_threads(n > 0 ? n : omp_get_num_procs());
}

int threads_count(void) { return omp_get_max_threads(); }
