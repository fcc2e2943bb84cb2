/* Random sound kernels over one buffer of every element type, for round trips through text and
 * through code generation. */
#ifndef NNC_TESTS_KERNEL_RANDOM_H
#define NNC_TESTS_KERNEL_RANDOM_H
#include "compiler/kernel/kir.h"

/* Touches elements [0, 64) of the buffers only. `size`: about how many instructions. */
Kernel *kernel_random(Arena *arena, uint64_t seed, int size);

#endif
