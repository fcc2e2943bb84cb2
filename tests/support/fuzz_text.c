/* Mutant i of a text of n bytes: i < n truncates it to i bytes; after that there are eight mutants
 * for each byte. The five other characters are drawn from those that matter to scanners: brackets,
 * quotes, line ends, zero and broken UTF-8. */
#include "tests/support/fuzz_text.h"

#include "runtime/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EDITS_PER_BYTE = 8 };

uint64_t fuzz_text_count(size_t length)
{
    return (uint64_t)length * (1 + EDITS_PER_BYTE);
}

static char other_character(uint64_t index, uint64_t seed, char old)
{
    static const char set[] = "{}()[]\"'#:=.,;\n \t0159eExa_BZ+-*/@|><!%&\\\0\xFF\xC3\xA9\x80";
    uint64_t key[2] = {index, seed};
    uint64_t draw = rng_hash(key, sizeof key, 7);
    char c = set[draw % (sizeof set - 1)];
    return c == old ? (char)(c ^ 1) : c;
}

size_t fuzz_text_mutant(const char *text, size_t length, uint64_t index, uint64_t seed, char *out)
{
    if (index < length) {
        memcpy(out, text, (size_t)index);
        return (size_t)index;
    }
    size_t at = (size_t)((index - length) / EDITS_PER_BYTE);
    unsigned edit = (unsigned)((index - length) % EDITS_PER_BYTE);
    memcpy(out, text, length);
    if (edit == 0) {
        memmove(out + at, out + at + 1, length - at - 1);
        return length - 1;
    }
    if (edit == 1) {
        memmove(out + at + 1, out + at, length - at);
        return length + 1;
    }
    if (edit == 2 && at + 1 < length) {
        out[at] = text[at + 1];
        out[at + 1] = text[at];
        return length;
    }
    out[at] = other_character(index, seed, text[at]);
    return length;
}

static void keep(const char *text, size_t length)
{
    const char *name = getenv("NNC_FUZZ_KEEP");
    FILE *file = name ? fopen(name, "wb") : NULL;
    if (file != NULL) {
        fwrite(text, 1, length, file);
        fclose(file);
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

FuzzReport fuzz_text(const char *text, size_t length, uint64_t seed, uint64_t sample, FuzzTry *try,
                     void *user)
{
    FuzzReport report = {0};
    uint64_t count = fuzz_text_count(length);
    uint64_t tries = sample == 0 || sample > count ? count : sample;
    char *mutant = malloc(length + 2);
    for (uint64_t i = 0; i < tries && !report.failed; i++) {
        uint64_t index = tries == count ? i : rng_permute(seed, 0, count, i);
        size_t mutant_length = fuzz_text_mutant(text, length, index, seed, mutant);
        keep(mutant, mutant_length);
        double before = seconds();
        if (!try(user, mutant, mutant_length)) {
            report.failed = true;
            report.failed_mutant = index;
        }
        double took = seconds() - before;
        if (took > report.slowest_seconds) {
            report.slowest_seconds = took;
            report.slowest_mutant = index;
        }
        report.tried++;
    }
    free(mutant);
    return report;
}

uint64_t fuzz_text_sample(uint64_t usual)
{
    return getenv("NNC_FUZZ_ALL") ? 0 : usual;
}
