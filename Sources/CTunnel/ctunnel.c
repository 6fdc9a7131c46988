#include "CTunnel.h"
