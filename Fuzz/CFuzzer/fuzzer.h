/* libFuzzer as a library (compiler-rt, FuzzerInterface.h): it parses the arguments and calls back with every input. */
#ifndef WEBTUN_FUZZER_H
#define WEBTUN_FUZZER_H
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerRunDriver(int *count, char ***arguments, int (*take)(const uint8_t *bytes, size_t count));
#endif
