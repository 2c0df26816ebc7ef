// How many threads the program uses: OpenMP's, set once by the command line.
#ifndef CORE_THREADS_H
#define CORE_THREADS_H

void threads_set(int n); // 0: one for each CPU that this process may run on
int threads_count(void); // how many a parallel region will have

#endif
