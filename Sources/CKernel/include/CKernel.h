/* Headers of the C library that Swift's Glibc module leaves out, and the calls that it declares as GNU extensions only. */
#ifndef CKERNEL_H
#define CKERNEL_H

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

/* accept4(2). Returns the descriptor, or -errno. */
int ckernel_accept4(int listener, struct sockaddr *address, socklen_t *length, int flags);

#endif
