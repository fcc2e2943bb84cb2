/* Counter-based random numbers (Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). A number is a function of (seed, step, site, element)
 * and of nothing else.
 *
 * key = (seed low, seed high); counter = (block low, block high ^ step high, site, step low),
 * where elements are laid out so that 16 neighbours share a word of 16 neighbouring counters,
 * which vector code produces four vectors at a time:
 *   block = (element >> 6) * 16 + (element & 15),  word = (element >> 4) & 3.
 * f32 uniform: (word >> 8) * 2^-24. f64 uniform: ((word << 32 | word of the counter with site ^
 * 0x80000000) >> 11) * 2^-53. compiler/lower emits the same operations; runtime/base/philox.inc
 * holds the one definition of the rounds. */
#ifndef NNC_BASE_RNG_H
#define NNC_BASE_RNG_H
#include <stdint.h>

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
uint32_t rng_word(uint64_t seed, uint64_t step, uint32_t site, uint64_t element);
float rng_uniform_f32(uint64_t seed, uint64_t step, uint32_t site, uint64_t element);
double rng_uniform_f64(uint64_t seed, uint64_t step, uint32_t site, uint64_t element);
uint64_t rng_hash(const void *data, uint64_t bytes, uint64_t seed); /* xxhash64-like mixing, for site names and hash tables */
/* Stateless permutation of [0, n): image of index under (seed, epoch). A Feistel network over
 * the next power of four (at least 64), walked until the value falls below n. */
uint64_t rng_permute(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t index);

#endif
