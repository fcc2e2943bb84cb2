/* The text form of a tokenizer: Hugging Face's tokenizer.json, as far as a model of type BPE
 * goes.
 *
 *   {"pre_tokenizer": {"type": "ByteLevel", ..}, "added_tokens": [{"id": 3, "content": "<end>", ..}],
 *    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
 *
 * With ByteLevel a byte is written as one printable character: itself where it is printable in
 * Latin-1, else the next free one from U+0100 on. Without a pre-tokenizer a word begins as its
 * characters. Merges are "a b" or ["a", "b"]. */
#include "runtime/data/tokenizer_private.h"
#include "runtime/tensor/json.h"

#include <string.h>

/* ---- Bytes as characters ---- */

static bool is_plain(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

static int32_t byte_character(int byte)
{
    int32_t next = 256;
    for (int i = 0; i < byte; i++)
        next += !is_plain(i);
    return is_plain(byte) ? byte : next;
}

static int character_byte(int32_t code)
{
    int32_t next = 256;
    if (code < 256)
        return code >= 0 && is_plain(code) ? code : -1;
    for (int byte = 0; byte < 256; byte++)
        if (!is_plain(byte) && next++ == code)
            return byte;
    return -1;
}

/* The bytes that a piece of the file stands for, in place. False: a character stands for no
 * byte. */
static bool unmap_bytes(char *text, size_t *length)
{
    size_t kept = 0, bytes;
    for (size_t at = 0; at < *length; at += bytes) {
        int byte = character_byte(utf8_next(text + at, *length - at, &bytes));
        if (byte < 0)
            return false;
        text[kept++] = (char)byte;
    }
    *length = kept;
    return true;
}

/* ---- Writing ---- */

static void add_piece(const Tokenizer *t, int64_t number, StrBuf *out)
{
    StrBuf text = {0};
    const Piece *piece = &t->pieces[number];
    for (size_t i = 0; t->bytes && !piece->special && i < piece->length; i++)
        utf8_add(&text, byte_character((unsigned char)piece->text[i]));
    if (!t->bytes || piece->special)
        strbuf_add_bytes(&text, piece->text, piece->length);
    strbuf_add_json(out, text.text ? text.text : "");
    strbuf_free(&text);
}

static void add_special(const Tokenizer *t, StrBuf *out)
{
    const char *separator = "";
    for (int64_t i = 0; i < t->count; i++) {
        if (!t->pieces[i].special)
            continue;
        strbuf_printf(out, "%s{\"id\":%lld,\"content\":", separator, (long long)i);
        add_piece(t, i, out);
        strbuf_add(out, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                        "\"normalized\":false,\"special\":true}");
        separator = ",";
    }
}

void tokenizer_text(const Tokenizer *t, StrBuf *out)
{
    static const char level[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                                "\"trim_offsets\":true,\"use_regex\":true}";
    const char *around = t->bytes ? level : "null", *separator = "";
    strbuf_add(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[");
    add_special(t, out);
    strbuf_printf(out,
                  "],\"normalizer\":null,\"pre_tokenizer\":%s,\"post_processor\":null,"
                  "\"decoder\":%s,\"model\":{\"type\":\"BPE\",\"dropout\":null,"
                  "\"unk_token\":null,\"continuing_subword_prefix\":null,"
                  "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,"
                  "\"vocab\":{",
                  around, around);
    for (int64_t i = 0; i < t->count; i++) {
        if (!t->pieces[i].text || t->pieces[i].special)
            continue;
        strbuf_add(out, separator);
        add_piece(t, i, out);
        strbuf_printf(out, ":%lld", (long long)i);
        separator = ",";
    }
    strbuf_add(out, "},\"merges\":[");
    for (uint32_t i = 0; i < t->merge_list.count; i++) {
        strbuf_add(out, i ? ",[" : "[");
        add_piece(t, t->merge_list.data[i].left, out);
        strbuf_add_char(out, ',');
        add_piece(t, t->merge_list.data[i].right, out);
        strbuf_add_char(out, ']');
    }
    strbuf_add(out, "]}}");
}

/* ---- Reading ---- */

/* Where the parts of the file begin; `at` NULL: it has none. */
typedef struct {
    Json before_words, added, type, vocabulary, merges;
} Parts;

typedef struct {
    Tokenizer *tokenizer;
    Arena *arena;
    Parts parts;
    const char *problem;
} Reading;

static bool refuse(Reading *reading, const char *problem)
{
    if (!reading->problem)
        reading->problem = problem;
    return false;
}

typedef struct {
    const char *key;
    Json *place;
} Wanted;

/* The places of the wanted members of an object. */
static bool members_of(Json *json, const Wanted *wanted, int count)
{
    if (!json_expect(json, '{'))
        return false;
    if (json_take(json, '}'))
        return true;
    do {
        const char *key = json_string(json);
        if (!key || !json_expect(json, ':'))
            return false;
        for (int i = 0; i < count; i++)
            if (strcmp(key, wanted[i].key) == 0)
                *wanted[i].place = *json;
        if (!json_skip(json))
            return false;
    } while (json_take(json, ','));
    return json_expect(json, '}');
}

static bool find_parts(Reading *reading, Json json)
{
    Parts *parts = &reading->parts;
    Json model = {0};
    const Wanted outer[] = {{"pre_tokenizer", &parts->before_words},
                            {"added_tokens", &parts->added},
                            {"model", &model}};
    const Wanted inner[] = {
        {"type", &parts->type}, {"vocab", &parts->vocabulary}, {"merges", &parts->merges}};
    if (!members_of(&json, outer, 3) || !json_at_end(&json))
        return refuse(reading, "it is not the JSON of a tokenizer");
    if (!model.at || !members_of(&model, inner, 3) || !parts->vocabulary.at)
        return refuse(reading, "it has no model with a vocabulary");
    const char *type = parts->type.at ? json_string(&parts->type) : "BPE";
    return (type && strcmp(type, "BPE") == 0) ||
           refuse(reading, "its model is not byte-pair encoding");
}

/* ByteLevel, alone or as the only member of a sequence; or nothing. */
static bool read_words_rule(Reading *reading, bool *bytes)
{
    Json rule = reading->parts.before_words, type = {0}, list = {0};
    const Wanted wanted[] = {{"type", &type}, {"pretokenizers", &list}};
    *bytes = false;
    if (!rule.at || !json_take(&rule, '{'))
        return true; /* null */
    rule.at--;
    if (!members_of(&rule, wanted, 2) || !type.at)
        return refuse(reading, "its pre-tokenizer cannot be read");
    if (list.at && json_expect(&list, '[')) {
        type = (Json){0};
        if (!members_of(&list, wanted, 1) || !json_take(&list, ']') || !type.at)
            return refuse(reading, "its pre-tokenizer is not GPT-2's");
    }
    const char *name = json_string(&type);
    *bytes = name && strcmp(name, "ByteLevel") == 0;
    return *bytes || refuse(reading, "its pre-tokenizer is not GPT-2's");
}

enum { MOST_PIECES = 1 << 22 };

static bool read_vocabulary(Reading *reading)
{
    Json json = reading->parts.vocabulary;
    if (!json_expect(&json, '{') || json_take(&json, '}'))
        return refuse(reading, "its vocabulary is empty");
    do {
        int64_t number;
        char *text = (char *)json_string(&json);
        if (!text || !json_expect(&json, ':') || !json_integer(&json, &number))
            return refuse(reading, "its vocabulary cannot be read");
        size_t length = strlen(text);
        bool special = reading->tokenizer->bytes && !unmap_bytes(text, &length);
        if (number >= MOST_PIECES)
            return refuse(reading, "its vocabulary is too large");
        if (tokenizer_piece(reading->tokenizer, number, &(size_t){0}) ||
            pieces_find(reading->tokenizer, text, length) >= 0)
            return refuse(reading, "two entries of its vocabulary are the same");
        if (!pieces_put(reading->tokenizer, number, text, length, special))
            return refuse(reading, "memory was refused");
    } while (json_take(&json, ','));
    return true;
}

static bool piece_number(Reading *reading, char *text, size_t length, int64_t *number)
{
    if (reading->tokenizer->bytes && !unmap_bytes(text, &length))
        return false;
    *number = pieces_find(reading->tokenizer, text, length);
    return *number >= 0;
}

static bool add_merge(Reading *reading, char *left, char *right)
{
    int64_t a, b, result;
    char *whole = (char *)arena_format(reading->arena, "%s%s", left, right);
    if (!piece_number(reading, whole, strlen(whole), &result) ||
        !piece_number(reading, left, strlen(left), &a) ||
        !piece_number(reading, right, strlen(right), &b))
        return refuse(reading, "a merge is of pieces that its vocabulary does not have");
    return merges_put(reading->tokenizer, (int32_t)a, (int32_t)b, (int32_t)result) ||
           refuse(reading, "memory was refused");
}

static bool read_merge(Reading *reading, Json *json)
{
    char *left, *right;
    if (json_take(json, '[')) {
        left = (char *)json_string(json);
        right = left && json_expect(json, ',') ? (char *)json_string(json) : NULL;
        if (!right || !json_expect(json, ']'))
            return refuse(reading, "a merge cannot be read");
    } else {
        left = (char *)json_string(json);
        right = left ? strchr(left, ' ') : NULL;
        if (!right)
            return refuse(reading, "a merge cannot be read");
        *right++ = '\0';
    }
    return add_merge(reading, left, right);
}

static bool read_merges(Reading *reading)
{
    Json json = reading->parts.merges;
    if (!json.at)
        return true;
    if (!json_expect(&json, '['))
        return refuse(reading, "its merges are not a list");
    if (json_take(&json, ']'))
        return true;
    do {
        if (!read_merge(reading, &json))
            return false;
    } while (json_take(&json, ','));
    return json_expect(&json, ']') || refuse(reading, "a merge cannot be read");
}

static bool read_added(Reading *reading)
{
    Json json = reading->parts.added;
    if (!json.at || !json_expect(&json, '[') || json_take(&json, ']'))
        return true;
    do {
        Json id = {0}, content = {0};
        const Wanted wanted[] = {{"id", &id}, {"content", &content}};
        int64_t number;
        const char *text;
        if (!members_of(&json, wanted, 2) || !id.at || !content.at || !json_integer(&id, &number) ||
            !(text = json_string(&content)) || number >= MOST_PIECES)
            return refuse(reading, "its added tokens cannot be read");
        if (!pieces_put(reading->tokenizer, number, text, strlen(text), true))
            return refuse(reading, "memory was refused");
    } while (json_take(&json, ','));
    return true;
}

/* Every byte needs a piece, or a text could not be encoded. */
static bool has_all_bytes(Reading *reading)
{
    for (int i = 0; reading->tokenizer->bytes && i < 256; i++) {
        char byte = (char)i;
        if (pieces_find(reading->tokenizer, &byte, 1) < 0)
            return refuse(reading, "its vocabulary lacks a byte");
    }
    return true;
}

Tokenizer *tokenizer_from_text(const char *text, size_t length, const char **problem)
{
    Reading reading = {.arena = arena_new()};
    bool bytes;
    bool good =
        find_parts(&reading, (Json){.at = text, .end = text + length, .arena = reading.arena}) &&
        read_words_rule(&reading, &bytes);
    reading.tokenizer = good ? tokenizer_new(false) : NULL;
    if (reading.tokenizer) {
        reading.tokenizer->bytes = bytes;
        good = read_vocabulary(&reading) && read_merges(&reading) && read_added(&reading) &&
               has_all_bytes(&reading);
    }
    arena_free(reading.arena);
    if (good && reading.tokenizer)
        return reading.tokenizer;
    *problem = reading.problem ? reading.problem : "memory was refused";
    tokenizer_free(reading.tokenizer);
    return NULL;
}
