/* Whole programs drawn at random, valid by construction: every statement takes values that the
 * text before it made, and the maker knows their types and shapes. So the text can be given to
 * the public API and what it trains compared between engines.
 *
 *     module Net { param w1: f32[3, 2] = normal(0.0, 0.5)
 *         fn (x: f32[B, 3], k: i32[B]) { let v2 = x @ w1 ... } }
 *     dataset rows { source = arrays(x=randn(7, 3, seed=1), ...) }
 *     train t on rows { model = Net()  loss = model(x, k)  ... }
 *
 * Numbers stay small (every value carries a bound, and what could grow goes through tanh or a
 * remainder), and functions are kept away from their poles; kinks and jumps may occur. */
#ifndef NNC_TESTS_RANDOM_PROGRAM_H
#define NNC_TESTS_RANDOM_PROGRAM_H
#include "runtime/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool
        gradient; /* for central differences: all rows in one step of sgd(lr=1), nothing random, no stop, no states */
    int statements; /* about so many in the network, those of its functions and bodies not counted */
} RandomProgramOptions;

/* The text of the program of this seed. */
char *random_program(Arena *arena, uint64_t seed, const RandomProgramOptions *options);

#endif
