#include "CKernel.h"

_Static_assert(sizeof(epoll_data_t) == 8, "an epoll tag is 64 bits");
