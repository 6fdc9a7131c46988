#ifndef CTUNNEL_H
#define CTUNNEL_H
#endif
