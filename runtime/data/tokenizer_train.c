/* Training of byte-pair encoding. The text becomes its different words with their counts; then
 * the most frequent pair of neighbouring pieces, weighted by the counts, becomes a new piece,
 * again and again. Counts of pairs are kept between merges: a merge takes the pairs of the words
 * that it changes out and puts their new pairs in. */
#include "runtime/data/tokenizer_private.h"

#include "runtime/base/rng.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *text;
    size_t length;
    int64_t count;
    int32_t *symbols;
    size_t symbol_count;
} Word;

typedef struct {
    Arena *arena;
    Word *words; /* hash table while the text is read, then the used entries */
    uint32_t capacity, count;
    PairTable pairs;
} Training;

static Word *word_at(Word *words, uint32_t capacity, const char *text, size_t length)
{
    uint32_t slot = (uint32_t)rng_hash(text, length, 2) & (capacity - 1);
    while (words[slot].text &&
           (words[slot].length != length || memcmp(words[slot].text, text, length) != 0))
        slot = (slot + 1) & (capacity - 1);
    return &words[slot];
}

static bool words_grow(Training *training)
{
    uint32_t capacity = training->capacity ? training->capacity * 2 : 4096;
    Word *words = calloc(capacity, sizeof *words);
    if (!words)
        return false;
    for (uint32_t i = 0; i < training->capacity; i++)
        if (training->words[i].text)
            *word_at(words, capacity, training->words[i].text, training->words[i].length) =
                training->words[i];
    free(training->words);
    training->words = words;
    training->capacity = capacity;
    return true;
}

/* The order of words is that of their first places in the hash table: a function of the text. */
static bool collect_words(Training *training, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t size = word_length(text + at, length - at);
        if (training->count * 2 >= training->capacity && !words_grow(training))
            return false;
        Word *word = word_at(training->words, training->capacity, text + at, size);
        training->count += word->text == NULL;
        word->text = text + at;
        word->length = size;
        word->count++;
        at += size;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < training->capacity; i++)
        if (training->words[i].text)
            training->words[kept++] = training->words[i];
    return true;
}

static bool count_pairs(Training *training, const Word *word, int64_t sign)
{
    for (size_t i = 0; i + 1 < word->symbol_count; i++) {
        PairEntry *pair =
            pairs_at(&training->pairs, pair_key(word->symbols[i], word->symbols[i + 1]));
        if (!pair)
            return false;
        pair->count += sign * word->count;
    }
    return true;
}

static bool first_pairs(Training *training)
{
    for (uint32_t i = 0; i < training->count; i++) {
        Word *word = &training->words[i];
        word->symbols = ARENA_ARRAY(training->arena, int32_t, word->length + 1);
        word->symbol_count = word->length;
        for (size_t k = 0; k < word->length; k++)
            word->symbols[k] = (unsigned char)word->text[k];
        if (!count_pairs(training, word, 1))
            return false;
    }
    return true;
}

/* NULL: no pair occurs twice. */
static const PairEntry *most_frequent(const PairTable *pairs)
{
    const PairEntry *best = NULL;
    for (uint32_t i = 0; i < pairs->capacity; i++) {
        const PairEntry *pair = &pairs->entries[i];
        if (pair->used && pair->count > 1 &&
            (!best || pair->count > best->count ||
             (pair->count == best->count && pair->key < best->key)))
            best = pair;
    }
    return best;
}

static bool has_pair(const Word *word, uint64_t pair)
{
    for (size_t i = 0; i + 1 < word->symbol_count; i++)
        if (pair_key(word->symbols[i], word->symbols[i + 1]) == pair)
            return true;
    return false;
}

static bool merge_everywhere(Training *training, uint64_t pair, int32_t result)
{
    for (uint32_t i = 0; i < training->count; i++) {
        Word *word = &training->words[i];
        if (!has_pair(word, pair))
            continue;
        bool good = count_pairs(training, word, -1);
        word->symbol_count = replace_pair(word->symbols, word->symbol_count, pair, result);
        if (!good || !count_pairs(training, word, 1))
            return false;
    }
    return true;
}

static bool add_merge(Tokenizer *t, Training *training, uint64_t pair)
{
    int32_t left = (int32_t)(pair >> 32), right = (int32_t)(uint32_t)pair;
    const Piece a = t->pieces[left], b = t->pieces[right];
    char *text = arena_alloc(training->arena, a.length + b.length + 1);
    memcpy(text, a.text, a.length);
    memcpy(text + a.length, b.text, b.length);
    int64_t known = pieces_find(t, text, a.length + b.length); /* "a" "bc" after "ab" "c" */
    int32_t number = (int32_t)(known >= 0 ? known : t->count);
    return (known >= 0 || pieces_put(t, number, text, a.length + b.length, false)) &&
           merges_put(t, left, right, number) && merge_everywhere(training, pair, number);
}

Tokenizer *tokenizer_train(const char *text, size_t length, int64_t size)
{
    Tokenizer *t = tokenizer_new(true);
    Training training = {.arena = arena_new()};
    bool good = t && collect_words(&training, text, length) && first_pairs(&training);
    while (good && t->count < size) {
        const PairEntry *pair = most_frequent(&training.pairs);
        if (!pair)
            break;
        good = add_merge(t, &training, pair->key);
    }
    free(training.words);
    free(training.pairs.entries);
    arena_free(training.arena);
    if (good)
        return t;
    tokenizer_free(t);
    return NULL;
}
