/* Mutant i of a text of n bytes: i < n truncates it to i bytes; after that there are eight mutants
 * for each byte. The five other characters are drawn from those that matter to scanners: brackets,
 * quotes, line ends, zero and broken UTF-8. */
#include "tests/support/fuzz_text.h"

#include "runtime/base/rng.h"
#include "tests/support/golden.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EDITS_PER_BYTE = 8, SAY_EVERY = 60 };

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

/* Of this thread on the processor: the same on a busy machine. */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* One file on its way through its mutants. */
typedef struct {
    const char *name, *text; /* name: below the source folder */
    size_t length;
    uint64_t tries, tried, slowest_mutant;
    double begin, said, slowest_seconds;
    bool aloud, failed;
} Campaign;

static void say(Campaign *c, bool last)
{
    double now = seconds();
    if (!c->aloud || (!last && now - c->said < SAY_EVERY)) {
        return;
    }
    c->said = now;
    fprintf(stderr, "fuzz: %s: %llu mutants of %llu in %.0f s, the slowest in %.3f s%s\n", c->name,
            (unsigned long long)c->tried, (unsigned long long)c->tries, now - c->begin,
            c->slowest_seconds, last ? "" : " ...");
}

static void try_mutant(Campaign *c, const FuzzFolder *folder, uint64_t index, char *mutant)
{
    size_t length = fuzz_text_mutant(c->text, c->length, index, folder->seed, mutant);
    keep(mutant, length);
    double before = seconds();
    c->failed = !folder->try(folder->user, c->name, mutant, length);
    double took = seconds() - before;
    if (took > c->slowest_seconds) {
        c->slowest_seconds = took;
        c->slowest_mutant = index;
    }
    c->tried++;
    cr_expect(!c->failed, "%s: mutant %llu", c->name, (unsigned long long)index);
}

/* Which of how many processes this is: NNC_FUZZ_SHARE=0/2. */
static void share(uint64_t *first, uint64_t *step)
{
    unsigned long long mine = 0, all = 1;
    const char *text = getenv("NNC_FUZZ_SHARE");
    if (text != NULL && (sscanf(text, "%llu/%llu", &mine, &all) != 2 || mine >= all)) {
        cr_assert_fail("NNC_FUZZ_SHARE=%s is not of the form 0/2", text);
    }
    *first = mine;
    *step = all;
}

static void fuzz_file(const FuzzFolder *folder, const char *path)
{
    Campaign c = {.name = path + strlen(NNC_SOURCE_DIR) + 1,
                  .aloud = getenv("NNC_FUZZ_ALL") != NULL};
    char *text = test_read_file(path, &c.length);
    cr_assert_not_null(text, "%s", path);
    uint64_t count = fuzz_text_count(c.length), first, step;
    uint64_t wanted = c.aloud ? folder->most : folder->sample;
    share(&first, &step);
    if (folder->begin != NULL) {
        folder->begin(folder->user, text, c.length);
    }
    c.text = text;
    c.tries = wanted == 0 || wanted > count ? count : wanted;
    c.begin = c.said = seconds();
    char *mutant = malloc(c.length + 2);
    for (uint64_t i = first; i < c.tries && !c.failed; i += step) {
        uint64_t index = c.tries == count ? i : rng_permute(folder->seed, 0, count, i);
        try_mutant(&c, folder, index, mutant);
        say(&c, false);
    }
    say(&c, true);
    cr_expect_lt(c.slowest_seconds, folder->slowest_seconds, "%s: mutant %llu took %.3f s", path,
                 (unsigned long long)c.slowest_mutant, c.slowest_seconds);
    free(mutant);
    free(text);
}

void fuzz_folder(const FuzzFolder *folder)
{
    size_t count;
    char **paths = test_list_tree(folder->folder, folder->suffix, &count);
    cr_assert_gt(count, 0, "%s", folder->folder);
    for (size_t i = 0; i < count; i++) {
        fuzz_file(folder, paths[i]);
    }
    test_free_list(paths, count);
}
