/* Headers of the C library that Swift's Glibc module leaves out. No code. */
#ifndef CKERNEL_H
#define CKERNEL_H

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#endif
