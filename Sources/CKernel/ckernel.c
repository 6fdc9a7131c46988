#define _GNU_SOURCE
#include "CKernel.h"
#include <errno.h>
#include <malloc.h>
#include <sys/socket.h>

_Static_assert(sizeof(socklen_t) == sizeof(unsigned int), "a socklen_t is an unsigned int");
_Static_assert(sizeof(epoll_data_t) == 8, "an epoll tag is 64 bits");

int ckernel_accept4(int listener, void *address, unsigned int *length, int flags)
{
    int number = accept4(listener, address, length, flags);
    return number >= 0 ? number : -errno;
}

void ckernel_trim_heap(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void ckernel_small_heap(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
#endif
}
