/* Small damage to a text, for everything that reads text: each truncation, and at each byte a
 * deletion, a doubling, an exchange with the next byte and five other characters. Mutants are
 * numbered, so that a failure can be made again. */
#ifndef NNC_TESTS_FUZZ_TEXT_H
#define NNC_TESTS_FUZZ_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the mutant, in any way that ends. Returns false if something is wrong with how it ended. */
typedef bool FuzzTry(void *user, const char *name, const char *text, size_t length);
/* Sees each file as it is, before its mutants. */
typedef void FuzzBegin(void *user, const char *text, size_t length);

typedef struct {
    const char *folder, *suffix; /* files of the source tree, those of the folders below it, too */
    uint64_t seed;
    uint64_t sample;        /* mutants of each file, of every kind */
    uint64_t most;          /* the same with NNC_FUZZ_ALL in the environment; 0: all there are */
    double slowest_seconds; /* of the processor, that one mutant may take */
    FuzzTry *try;
    void *user;
    FuzzBegin *begin; /* or NULL */
} FuzzFolder;

uint64_t fuzz_text_count(size_t length);
/* Writes mutant number `index` of the text to out (room for length + 1 bytes), returns its length.
 */
size_t fuzz_text_mutant(const char *text, size_t length, uint64_t index, uint64_t seed, char *out);
/* Tries the mutants of every file; a file ends at its first failure, which fails the running
 * test. In the environment: NNC_FUZZ_ALL makes it a long campaign, which says how far it is;
 * NNC_FUZZ_SHARE=K/N takes every Nth mutant from the Kth on, so that N processes share one
 * campaign; NNC_FUZZ_KEEP=FILE has each mutant written to FILE first, so that a crash leaves it
 * behind. */
void fuzz_folder(const FuzzFolder *folder);

#endif
