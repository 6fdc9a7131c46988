/* Headers of the C library that Swift's Glibc module leaves out, and the calls that it declares as GNU extensions only. */
#ifndef CKERNEL_H
#define CKERNEL_H

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

/* accept4(2); `address` is a sockaddr, `length` a socklen_t. Returns the descriptor, or -errno. */
int ckernel_accept4(int listener, void *address, unsigned int *length, int flags);

/* Gives the pages of the heap that hold nothing back to the kernel (malloc_trim(3)). */
void ckernel_trim_heap(void);

/* Pieces of 128 KiB and more always by mmap, however often such are freed (mallopt(3)). */
void ckernel_small_heap(void);

#endif
