/* What the files of a tokenizer share. Internal. Ownership: bytes of pieces and the list of
 * merges live in the tokenizer's arena. */
#ifndef NNC_DATA_TOKENIZER_PRIVATE_H
#define NNC_DATA_TOKENIZER_PRIVATE_H
#include "runtime/base/vec.h"
#include "runtime/data/tokenizer.h"

/* A map from pairs of pieces: to what they become and when (merges), or to how often they occur
 * (training). */
typedef struct {
    uint64_t key;
    int64_t count;   /* merges: the rank */
    int32_t number;  /* merges: the piece that the pair becomes */
    bool used;
} PairEntry;

typedef struct {
    PairEntry *entries;
    uint32_t capacity, count; /* capacity: a power of two */
} PairTable;

typedef struct {
    char *text;
    size_t length;
    bool special; /* no text produces it */
} Piece;

typedef struct {
    int32_t left, right;
} Merge;

struct Tokenizer {
    Arena *arena;
    bool bytes;      /* a word begins as its bytes, else as its characters */
    Piece *pieces;   /* by number */
    int64_t count, capacity;
    int32_t *slot;   /* hash table: numbers of pieces, -1: empty */
    uint32_t slots;  /* a power of two */
    PairTable merges;
    VEC(Merge) merge_list; /* by rank */
};

static inline uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

PairEntry *pairs_at(PairTable *table, uint64_t key);             /* made when there is none; NULL: no memory */
const PairEntry *pairs_find(const PairTable *table, uint64_t key); /* NULL: none */

Tokenizer *tokenizer_new(bool bytes); /* with the 256 bytes as pieces, or empty */
bool pieces_put(Tokenizer *t, int64_t number, const char *text, size_t length, bool special);
int64_t pieces_find(const Tokenizer *t, const char *text, size_t length); /* -1: none */
bool merges_put(Tokenizer *t, int32_t left, int32_t right, int32_t result);
/* Every place of a pair, from left to right, becomes `result`. Returns the new count. */
size_t replace_pair(int32_t *symbols, size_t count, uint64_t pair, int32_t result);
size_t merge_symbols(const Tokenizer *t, int32_t *symbols, size_t count);

#endif
