/* Characters and words of a text. Words are cut as GPT-2 does, in this order of preference:
 *
 *   's 't 're 've 'm 'll 'd     ?letters     ?numbers     ?others     spaces
 *
 * where ? is an optional space in front. Of several spaces before a word the last one belongs to
 * the word: "a  b" is "a", " ", " b". Bytes that are not UTF-8 count as others. */
#include "runtime/data/tokenizer.h"

#include <string.h>

typedef struct {
    int32_t first, last;
} CodeRange;

#include "runtime/data/unicode_classes.inc"

#define COUNT(array) (sizeof(array) / sizeof *(array))

int32_t utf8_next(const char *text, size_t length, size_t *bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
    int more = at[0] < 0x80   ? 0
               : at[0] < 0xC2 ? -1
               : at[0] < 0xE0 ? 1
               : at[0] < 0xF0 ? 2
               : at[0] < 0xF5 ? 3
                              : -1;
    int32_t code = more <= 0 ? at[0] : at[0] & (0x3F >> more);
    *bytes = 1;
    if (more < 0 || (size_t)more >= length)
        return -1;
    for (int i = 1; i <= more; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return -1;
        code = code << 6 | (at[i] & 0x3F);
    }
    if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return -1;
    *bytes = (size_t)more + 1;
    return code;
}

void utf8_add(StrBuf *out, int32_t code)
{
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const int lead[] = {0, 0xC0, 0xE0, 0xF0};
    strbuf_add_char(out, (char)(lead[more] | code >> (6 * more)));
    while (more-- > 0)
        strbuf_add_char(out, (char)(0x80 | (code >> (6 * more) & 0x3F)));
}

static bool among(const CodeRange *ranges, size_t count, int32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low].first;
}

typedef enum { LETTER, NUMBER, SPACE, OTHER } CharClass;

static CharClass class_of(const char *text, size_t length, size_t *bytes)
{
    int32_t code = utf8_next(text, length, bytes);
    if (code < 0)
        return OTHER;
    if (among(letters, COUNT(letters), code))
        return LETTER;
    if (among(numbers, COUNT(numbers), code))
        return NUMBER;
    return among(spaces, COUNT(spaces), code) ? SPACE : OTHER;
}

/* Bytes of the characters of one class at the beginning; *last: of the last of them. */
static size_t run_of(CharClass wanted, const char *text, size_t length, size_t *last)
{
    size_t done = 0, bytes;
    while (done < length && class_of(text + done, length - done, &bytes) == wanted) {
        done += bytes;
        *last = bytes;
    }
    return done;
}

static size_t contraction(const char *text, size_t length)
{
    static const char *const known[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < COUNT(known); i++)
        if (length >= strlen(known[i]) && memcmp(text, known[i], strlen(known[i])) == 0)
            return strlen(known[i]);
    return 0;
}

size_t word_length(const char *text, size_t length)
{
    size_t bytes = 0, last = 0, found = length ? contraction(text, length) : 0;
    if (length == 0 || found)
        return found;
    size_t gap = text[0] == ' ' && length > 1 ? 1 : 0;
    CharClass first = class_of(text + gap, length - gap, &bytes);
    if (first != SPACE)
        return gap + run_of(first, text + gap, length - gap, &last);
    size_t blank = run_of(SPACE, text, length, &last);
    return blank == length || blank == last ? blank : blank - last;
}
