#ifndef CALLOCATIONS_H
#define CALLOCATIONS_H

/// Heap allocations the calling thread has made since it started: malloc, calloc, realloc, memalign and their kin.
unsigned long allocations_of_this_thread(void);

#endif
