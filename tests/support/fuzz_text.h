/* Small damage to a text, for everything that reads text: each truncation, and at each byte a
 * deletion, a doubling, an exchange with the next byte and five other characters. Mutants are
 * numbered, so that a failure can be made again. */
#ifndef NNC_TESTS_FUZZ_TEXT_H
#define NNC_TESTS_FUZZ_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the mutant, in any way that ends. Returns false if something is wrong with how it ended. */
typedef bool FuzzTry(void *user, const char *text, size_t length);

typedef struct {
    uint64_t tried;
    uint64_t failed_mutant; /* valid if failed */
    double slowest_seconds;
    uint64_t slowest_mutant;
    bool failed;
} FuzzReport;

uint64_t fuzz_text_count(size_t length);
/* Writes mutant number `index` of the text to out (room for length + 1 bytes), returns its length.
 */
size_t fuzz_text_mutant(const char *text, size_t length, uint64_t index, uint64_t seed, char *out);
/* Tries `sample` mutants drawn by seed, or all of them if sample is 0; stops at the first failure.
 * With NNC_FUZZ_KEEP=FILE in the environment each mutant is first written to FILE, so that a crash
 * leaves it behind. */
FuzzReport fuzz_text(const char *text, size_t length, uint64_t seed, uint64_t sample, FuzzTry *try,
                     void *user);
/* What the tests should try of each file: 0 (all) with NNC_FUZZ_ALL in the environment, else
 * `usual`. */
uint64_t fuzz_text_sample(uint64_t usual);

#endif
