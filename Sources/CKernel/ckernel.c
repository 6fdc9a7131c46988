#define _GNU_SOURCE
#include "CKernel.h"
#include <errno.h>

_Static_assert(sizeof(epoll_data_t) == 8, "an epoll tag is 64 bits");

int ckernel_accept4(int listener, struct sockaddr *address, socklen_t *length, int flags)
{
    int number = accept4(listener, address, length, flags);
    return number >= 0 ? number : -errno;
}
