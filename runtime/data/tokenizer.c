/* Tokenizers: pieces, their look-up, encoding. The merges of a word are found by a table from
 * pairs of pieces to the piece that they become; a merge made earlier has a smaller rank. Words
 * of up to some hundred symbols are merged by scanning: the earliest merge, then again. */
#include "runtime/data/tokenizer.h"

#include "runtime/base/rng.h"
#include "runtime/data/tokenizer_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- Pairs ---- */

static uint32_t pair_slot(const PairTable *table, uint64_t key)
{
    uint32_t slot = (uint32_t)rng_hash(&key, sizeof key, 0) & (table->capacity - 1);
    while (table->entries[slot].used && table->entries[slot].key != key)
        slot = (slot + 1) & (table->capacity - 1);
    return slot;
}

static bool pairs_grow(PairTable *table)
{
    PairTable larger = {.capacity = table->capacity ? table->capacity * 2 : 1024};
    larger.entries = calloc(larger.capacity, sizeof *larger.entries);
    if (!larger.entries)
        return false;
    for (uint32_t i = 0; i < table->capacity; i++)
        if (table->entries[i].used)
            larger.entries[pair_slot(&larger, table->entries[i].key)] = table->entries[i];
    larger.count = table->count;
    free(table->entries);
    *table = larger;
    return true;
}

PairEntry *pairs_at(PairTable *table, uint64_t key)
{
    if (table->count * 2 >= table->capacity && !pairs_grow(table))
        return NULL;
    PairEntry *entry = &table->entries[pair_slot(table, key)];
    if (!entry->used) {
        *entry = (PairEntry){.key = key, .used = true};
        table->count++;
    }
    return entry;
}

const PairEntry *pairs_find(const PairTable *table, uint64_t key)
{
    if (table->count == 0)
        return NULL;
    const PairEntry *entry = &table->entries[pair_slot(table, key)];
    return entry->used ? entry : NULL;
}

/* ---- Pieces ---- */

static uint64_t text_key(const char *text, size_t length)
{
    return rng_hash(text, length, 1);
}

/* The slot of a piece, or the empty one where it would be. */
static uint32_t piece_slot(const Tokenizer *t, const char *text, size_t length)
{
    uint32_t slot = (uint32_t)text_key(text, length) & (t->slots - 1);
    for (; t->slot[slot] >= 0; slot = (slot + 1) & (t->slots - 1)) {
        const Piece *piece = &t->pieces[t->slot[slot]];
        if (piece->length == length && memcmp(piece->text, text, length) == 0)
            break;
    }
    return slot;
}

static bool grow_slots(Tokenizer *t)
{
    uint32_t slots = t->slots ? t->slots * 2 : 1024;
    int32_t *slot = malloc(slots * sizeof *slot);
    if (!slot)
        return false;
    memset(slot, 0xFF, slots * sizeof *slot);
    free(t->slot);
    t->slot = slot;
    t->slots = slots;
    for (int64_t i = 0; i < t->count; i++)
        if (t->pieces[i].text && !t->pieces[i].special)
            t->slot[piece_slot(t, t->pieces[i].text, t->pieces[i].length)] = (int32_t)i;
    return true;
}

int64_t pieces_find(const Tokenizer *t, const char *text, size_t length)
{
    return t->slots ? t->slot[piece_slot(t, text, length)] : -1;
}

bool pieces_put(Tokenizer *t, int64_t number, const char *text, size_t length, bool special)
{
    if (number >= t->capacity) {
        int64_t capacity = t->capacity * 2 > number + 1 ? t->capacity * 2 : number + 257;
        Piece *pieces = realloc(t->pieces, (size_t)capacity * sizeof *pieces);
        if (!pieces)
            return false;
        memset(pieces + t->capacity, 0, (size_t)(capacity - t->capacity) * sizeof *pieces);
        t->pieces = pieces;
        t->capacity = capacity;
    }
    if (t->slots < 4 * (uint64_t)(t->count + 2) && !grow_slots(t))
        return false;
    char *copy = arena_copy(t->arena, text, length + (length == 0));
    t->pieces[number] = (Piece){.text = copy, .length = length, .special = special};
    t->count = number >= t->count ? number + 1 : t->count;
    if (!special)
        t->slot[piece_slot(t, copy, length)] = (int32_t)number;
    return true;
}

bool merges_put(Tokenizer *t, int32_t left, int32_t right, int32_t result)
{
    PairEntry *entry = pairs_at(&t->merges, pair_key(left, right));
    if (!entry)
        return false;
    *entry = (PairEntry){
        .key = entry->key, .used = true, .number = result, .count = t->merge_list.count};
    vec_push(t->arena, &t->merge_list, (Merge){left, right});
    return true;
}

Tokenizer *tokenizer_new(bool bytes)
{
    Tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->arena = arena_new();
    t->bytes = bytes;
    for (int i = 0; bytes && i < 256; i++) {
        char byte = (char)i;
        if (!pieces_put(t, i, &byte, 1, false)) {
            tokenizer_free(t);
            return NULL;
        }
    }
    return t;
}

Tokenizer *tokenizer_bytes(void)
{
    return tokenizer_new(true);
}

Tokenizer *tokenizer_chars(const char *const *special, int special_count, const char *text,
                           size_t length)
{
    enum { CODES = 0x110000 };
    uint8_t *seen = calloc(CODES, 1);
    Tokenizer *t = tokenizer_new(false);
    bool good = seen && t;
    size_t bytes;
    for (int i = 0; good && i < special_count; i++)
        good = pieces_put(t, i, special[i], strlen(special[i]), true);
    for (size_t at = 0; good && at < length; at += bytes) {
        int32_t code = utf8_next(text + at, length - at, &bytes);
        good = code >= 0;
        if (good)
            seen[code] = 1;
    }
    for (int32_t code = 0; good && code < CODES; code++) {
        StrBuf piece = {0};
        if (!seen[code])
            continue;
        utf8_add(&piece, code);
        good = pieces_put(t, t->count, piece.text, piece.length, false);
        strbuf_free(&piece);
    }
    free(seen);
    if (good)
        return t;
    tokenizer_free(t);
    return NULL;
}

void tokenizer_free(Tokenizer *t)
{
    if (!t)
        return;
    free(t->pieces);
    free(t->slot);
    free(t->merges.entries);
    arena_free(t->arena);
    free(t);
}

int64_t tokenizer_size(const Tokenizer *t)
{
    return t->count;
}

const char *tokenizer_piece(const Tokenizer *t, int64_t number, size_t *length)
{
    if (number < 0 || number >= t->count || !t->pieces[number].text)
        return NULL;
    *length = t->pieces[number].length;
    return t->pieces[number].text;
}

/* ---- Encoding ---- */

static bool tokens_room(Tokens *tokens, size_t more)
{
    if (tokens->count + more <= tokens->capacity)
        return true;
    size_t capacity = (tokens->count + more) * 2 + 64;
    int32_t *data = realloc(tokens->data, capacity * sizeof *data);
    if (!data)
        return false;
    tokens->data = data;
    tokens->capacity = capacity;
    return true;
}

size_t merge_symbols(const Tokenizer *t, int32_t *symbols, size_t count)
{
    for (;;) {
        int64_t best = INT64_MAX;
        int32_t result = 0;
        uint64_t pair = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            const PairEntry *merge = pairs_find(&t->merges, pair_key(symbols[i], symbols[i + 1]));
            if (merge && merge->count < best) {
                best = merge->count;
                result = merge->number;
                pair = merge->key;
            }
        }
        if (best == INT64_MAX)
            return count;
        count = replace_pair(symbols, count, pair, result);
    }
}

size_t replace_pair(int32_t *symbols, size_t count, uint64_t pair, int32_t result)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool here = i + 1 < count && pair_key(symbols[i], symbols[i + 1]) == pair;
        symbols[kept++] = here ? result : symbols[i];
        i += here;
    }
    return kept;
}

/* The symbols that a word begins with: its bytes or its characters. */
static bool first_symbols(const Tokenizer *t, const char *text, size_t length, Tokens *tokens,
                          size_t *unknown)
{
    *unknown = SIZE_MAX;
    if (!tokens_room(tokens, length))
        return false;
    for (size_t at = 0, bytes = 1; at < length; at += bytes) {
        if (!t->bytes)
            utf8_next(text + at, length - at, &bytes);
        int64_t number = pieces_find(t, text + at, bytes);
        if (number < 0) {
            *unknown = at;
            return false;
        }
        tokens->data[tokens->count++] = (int32_t)number;
    }
    return true;
}

bool tokenizer_encode(const Tokenizer *t, const char *text, size_t length, Tokens *tokens,
                      size_t *unknown)
{
    if (t->merge_list.count == 0)
        return first_symbols(t, text, length, tokens, unknown);
    for (size_t at = 0; at < length;) {
        size_t word = word_length(text + at, length - at), begin = tokens->count;
        if (!first_symbols(t, text + at, word, tokens, unknown)) {
            *unknown = *unknown == SIZE_MAX ? SIZE_MAX : at + *unknown;
            return false;
        }
        tokens->count = begin + merge_symbols(t, tokens->data + begin, tokens->count - begin);
        at += word;
    }
    return true;
}
