/* Hand-made programs of several launches, for the tests of entries, threads and ahead-of-time
 * output. */
#ifndef NNC_TESTS_KERNEL_PROGRAMS_H
#define NNC_TESTS_KERNEL_PROGRAMS_H
#include "compiler/kernel/kir.h"

/* A small network with a free dimension B:  h = relu(x @ w + bias) in the arena, y = h * scale, and
 * the largest |h| of every row through a host function of rows when `with_extern`. buffers: 0 input
 * x f32[B, 5]   1 param w f32[5, 3]   2 param bias f32[3]   3 output y f32[B, 3]   (4 output m
 * f32[B]) then a constant scale f32[3] = {1, -2, 0.5} and h f32[B, 3] in the arena at table[2];
 * table[1] = B, table[3 .. 6) = B, 3, B */
KProgram *small_network(Arena *arena, const char *name, bool with_extern);

/* The same in C. */
void small_network_in_c(int64_t rows, const float *x, const float *w, const float *bias, float *y);

#endif
