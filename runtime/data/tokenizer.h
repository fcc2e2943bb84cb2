/* Tokenizers: text to numbers and back. A tokenizer is a list of pieces (byte strings), numbered
 * from 0, and a list of merges:
 *
 *   bytes   256 pieces, piece i is the byte i
 *   chars   one piece per character (code point) of a text, in ascending order
 *   bpe     byte-pair encoding: the 256 bytes, then one piece per merge of two earlier pieces. A text is cut into words first
 *           (GPT-2's rule: "'s", " word", " 12", " ?!", spaces), and within a word the earliest merge of the list that
 *           applies is done first, from left to right, until none applies. Sennrich, Haddow, Birch, "Neural machine
 *           translation of rare words with subword units", ACL 2016; Radford et al., "Language models are unsupervised
 *           multitask learners", 2019.
 *
 * The text form (tokenizer_text, tokenizer_from_text) is Hugging Face's tokenizer.json with a
 * model of type BPE: what other tools wrote is read, what is written here can be read there.
 * Added (special) tokens of such a file are pieces that no text produces. */
#ifndef NNC_DATA_TOKENIZER_H
#define NNC_DATA_TOKENIZER_H
#include "runtime/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Tokenizer Tokenizer;

/* Numbers of a text. The caller frees data. */
typedef struct {
    int32_t *data;
    size_t count, capacity;
} Tokens;

/* All return NULL when memory was refused; tokenizer_free frees. */
Tokenizer *tokenizer_bytes(void);
/* First `special_count` pieces that no text produces, then the characters of a text of valid
 * UTF-8 (others: NULL). */
Tokenizer *tokenizer_chars(const char *const *special, int special_count, const char *text, size_t length);
/* Trains merges on a text until there are `size` pieces or no pair occurs twice. The most
 * frequent pair first, among equals the one of smaller numbers. size at least 256. */
Tokenizer *tokenizer_train(const char *text, size_t length, int64_t size);
/* NULL: *problem says why (static text). */
Tokenizer *tokenizer_from_text(const char *json, size_t length, const char **problem);
void tokenizer_free(Tokenizer *tokenizer); /* NULL is allowed */

int64_t tokenizer_size(const Tokenizer *tokenizer);
/* The bytes of a piece, not terminated; NULL: no such number. */
const char *tokenizer_piece(const Tokenizer *tokenizer, int64_t number, size_t *length);
/* Appends the numbers of a text. False: memory was refused (*unknown = SIZE_MAX), or the
 * character at byte *unknown is in no piece or is not UTF-8. */
bool tokenizer_encode(const Tokenizer *tokenizer, const char *text, size_t length, Tokens *tokens, size_t *unknown);
void tokenizer_text(const Tokenizer *tokenizer, StrBuf *out);

/* The next character of a text: its code point, or -1 when the bytes are not UTF-8; *bytes is
 * its length (1 to 4). */
int32_t utf8_next(const char *text, size_t length, size_t *bytes);
void utf8_add(StrBuf *out, int32_t code);
/* The length of the word at the beginning of a text (GPT-2's rule), at least 1 for a text that
 * is not empty. */
size_t word_length(const char *text, size_t length);

#endif
