/* Tokenizers and texts: pieces, merges, words, the form of tokenizer.json, windows, every
 * refusal. */
#include "runtime/data/data.h"
#include "runtime/data/tokenizer.h"
#include "runtime/tensor/safetensors.h"

#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Tokens encode(const Tokenizer *tokenizer, const char *text)
{
    Tokens tokens = {0};
    size_t unknown;
    cr_assert(tokenizer_encode(tokenizer, text, strlen(text), &tokens, &unknown));
    return tokens;
}

/* The pieces of a text, a bar after each. */
static void expect_pieces(const Tokenizer *tokenizer, const char *text, const char *expected)
{
    Tokens tokens = encode(tokenizer, text);
    StrBuf out = {0};
    for (size_t i = 0; i < tokens.count; i++) {
        size_t length;
        const char *piece = tokenizer_piece(tokenizer, tokens.data[i], &length);
        strbuf_add_bytes(&out, piece, length);
        strbuf_add_char(&out, '|');
    }
    cr_assert_str_eq(out.text ? out.text : "", expected);
    strbuf_free(&out);
    free(tokens.data);
}

Test(tokenizer, words_are_cut_as_gpt2_does)
{
    static const char text[] = "I'll  go, 12 Zoë's\n\n  ½ x ";
    static const char *const words[] = {"I",           "'ll", " ",     " go",       ",",  " 12",
                                        " Zo\xC3\xAB", "'s",  "\n\n ", " \xC2\xBD", " x", " "};
    size_t at = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = word_length(text + at, sizeof text - 1 - at);
        cr_assert_eq(length, strlen(words[i]), "word %zu has %zu bytes", i, length);
        cr_assert_eq(memcmp(text + at, words[i], length), 0, "word %zu", i);
        at += length;
    }
    cr_assert_eq(at, sizeof text - 1);
    cr_assert_eq(word_length("", 0), 0);
}

Test(tokenizer, broken_utf8_is_told_from_characters)
{
    size_t bytes;
    cr_assert_eq(utf8_next("\xE2\x82\xAC", 3, &bytes), 0x20AC);
    cr_assert_eq(bytes, 3);
    static const char *const broken[] = {"\x80",         "\xC0\x80",         "\xE2\x82",
                                         "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        cr_assert_eq(utf8_next(broken[i], strlen(broken[i]), &bytes), -1, "text %zu", i);
        cr_assert_eq(bytes, 1);
    }
}

Test(tokenizer, characters_are_numbered_in_order)
{
    static const char text[] = "hello w\xC3\xB6rld";
    Tokenizer *tokenizer = tokenizer_chars(NULL, 0, text, sizeof text - 1);
    cr_assert_eq(tokenizer_size(tokenizer), 9);
    Tokens tokens = encode(tokenizer, "\xC3\xB6 d");
    cr_assert_eq(tokens.count, 3);
    cr_assert_eq(tokens.data[0], 8);
    cr_assert_eq(tokens.data[1], 0);
    cr_assert_eq(tokens.data[2], 1);
    size_t unknown;
    cr_assert_not(tokenizer_encode(tokenizer, "hex", 3, &tokens, &unknown));
    cr_assert_eq(unknown, 2);
    free(tokens.data);
    tokenizer_free(tokenizer);
}

/* Worked out by hand: "lo" occurs 3 times; then " e", " lo", "lo w" and "er" twice each, and "
 * e" has the smallest numbers, then " lo". */
Test(tokenizer, training_merges_the_most_frequent_pair)
{
    static const char text[] = "low low lot er er";
    Tokenizer *tokenizer = tokenizer_train(text, sizeof text - 1, 259);
    cr_assert_eq(tokenizer_size(tokenizer), 259);
    expect_pieces(tokenizer, "low slow", "lo|w| |s|lo|w|");
    expect_pieces(tokenizer, " er lo", " e|r| lo|");
    tokenizer_free(tokenizer);
    tokenizer = tokenizer_train(text, sizeof text - 1, 100000);
    cr_assert_lt(tokenizer_size(tokenizer), 270, "no pair occurs twice any more");
    tokenizer_free(tokenizer);
}

Test(tokenizer, text_form_is_read_back)
{
    static const char text[] = "the cat \x01\xFF the dog, the end";
    Tokenizer *made = tokenizer_train(text, sizeof text - 1, 264);
    StrBuf first = {0}, second = {0};
    const char *problem = NULL;
    tokenizer_text(made, &first);
    Tokenizer *read = tokenizer_from_text(first.text, first.length, &problem);
    cr_assert_not_null(read, "%s", problem);
    tokenizer_text(read, &second);
    cr_assert_str_eq(first.text, second.text);
    Tokens a = encode(made, text), b = encode(read, text);
    cr_assert_eq(a.count, b.count);
    cr_assert_eq(memcmp(a.data, b.data, a.count * sizeof *a.data), 0);
    cr_assert_lt(a.count, sizeof text - 1, "some pair was merged");
    free(a.data);
    free(b.data);
    strbuf_free(&first);
    strbuf_free(&second);
    tokenizer_free(made);
    tokenizer_free(read);
}

Test(tokenizer, files_of_other_tools_are_read)
{
    static const char json[] =
        "{\"added_tokens\": [{\"id\": 4, \"content\": \"<end>\", \"special\": true}], "
        "\"pre_tokenizer\": null,"
        " \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"aba\": 3},"
        " \"merges\": [\"a b\", [\"ab\", \"a\"]], \"dropout\": null}}";
    const char *problem = NULL;
    size_t length;
    Tokenizer *tokenizer = tokenizer_from_text(json, sizeof json - 1, &problem);
    cr_assert_not_null(tokenizer, "%s", problem);
    cr_assert_eq(tokenizer_size(tokenizer), 5);
    cr_assert_eq(memcmp(tokenizer_piece(tokenizer, 4, &length), "<end>", 5), 0);
    cr_assert_null(tokenizer_piece(tokenizer, 5, &length));
    expect_pieces(tokenizer, "abaab", "aba|ab|");
    tokenizer_free(tokenizer);
}

Test(tokenizer, broken_files_are_refused)
{
    static const struct {
        const char *json, *problem;
    } cases[] = {
        {"", "it is not the JSON of a tokenizer"},
        {"{\"model\": 3}", "it has no model with a vocabulary"},
        {"{\"model\": {\"type\": \"WordPiece\", \"vocab\": {}}}",
         "its model is not byte-pair encoding"},
        {"{\"model\": {\"vocab\": {\"a\": 99999999}}}", "its vocabulary is too large"},
        {"{\"model\": {\"vocab\": {\"a\": 0, \"b\": 0}}}",
         "two entries of its vocabulary are the same"},
        {"{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}",
         "a merge is of pieces that its vocabulary does not have"},
        {"{\"model\": {\"vocab\": {\"a\": 0}}, \"pre_tokenizer\": {\"type\": \"Metaspace\"}}",
         "its pre-tokenizer is not GPT-2's"},
        {"{\"model\": {\"vocab\": {\"a\": 0}}, \"pre_tokenizer\": {\"type\": \"ByteLevel\"}}",
         "its vocabulary lacks a byte"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *problem = NULL;
        cr_assert_null(tokenizer_from_text(cases[i].json, strlen(cases[i].json), &problem),
                       "case %zu", i);
        cr_assert_str_eq(problem, cases[i].problem);
    }
}

/* Read whole or refused with words; what is read takes any text. */
static void read_damaged(const char *path, void *user)
{
    static const char text[] = "abaab <end> \xC3\xA9\xFF";
    size_t length, unknown;
    char *json = files_read(path, &length);
    const char *problem = NULL;
    Tokenizer *tokenizer = tokenizer_from_text(json, length, &problem);
    Tokens tokens = {0};
    (void)user;
    cr_assert_eq(tokenizer == NULL, problem != NULL);
    if (tokenizer != NULL && !tokenizer_encode(tokenizer, text, sizeof text - 1, &tokens, &unknown))
        cr_assert_lt(unknown, sizeof text - 1);
    for (size_t i = 0; i < tokens.count; i++)
        cr_assert_not_null(tokenizer_piece(tokenizer, tokens.data[i], &length));
    free(tokens.data);
    tokenizer_free(tokenizer);
    free(json);
}

Test(tokenizer, damaged_files, .timeout = 40000)
{
    static const char foreign[] =
        "{\"added_tokens\": [{\"id\": 4, \"content\": \"<end>\"}], \"model\": {\"vocab\": {\"a\": "
        "0, \"b\": 1,"
        " \"ab\": 2, \"aba\": 3}, \"merges\": [\"a b\", [\"ab\", \"a\"]], \"unk\": null}}";
    char *folder = files_folder(), *path = files_path(folder, "tokenizer.json");
    files_write(path, foreign, sizeof foreign - 1);
    files_damage(path, 2000, read_damaged, NULL);
    Tokenizer *made = tokenizer_train("the cat the dog, the end", 24, 260);
    StrBuf text = {0};
    tokenizer_text(made, &text);
    files_write(path, text.text, text.length);
    files_damage(path, 500, read_damaged, NULL);
    strbuf_free(&text);
    tokenizer_free(made);
    files_remove(folder);
    free(path);
}

/* ---- Texts as windows ---- */

typedef struct {
    SourceMap *map;
    Diag *diag;
    char *folder, *path;
    DataTable *parts[3];
} Place;

static Place make_place(const char *text)
{
    Place place = {.map = source_map_new(), .folder = files_folder()};
    place.diag = diag_new(place.map);
    place.path = files_path(place.folder, "a.txt");
    files_write(place.path, text, strlen(text));
    return place;
}

static void drop_place(Place place)
{
    for (int part = 2; part >= 0; part--)
        table_free(place.parts[part]);
    diag_free(place.diag);
    source_map_free(place.map);
    files_remove(place.folder);
    free(place.path);
}

static void expect_row(const DataTable *table, const char *column, int64_t row,
                       const int32_t *expected, int64_t count)
{
    const DataColumn *found = table_column(table, column);
    cr_assert_eq(found->sizes[0], count);
    cr_assert_eq(memcmp(column_row(found, row), expected, (size_t)count * sizeof *expected), 0,
                 "%s row %lld", column, (long long)row);
}

Test(text, windows_overlap_in_training_and_lie_end_to_end_after)
{
    Place place = make_place("abcdefghijabcdefghij");
    TextOptions options = {
        .tokens = TEXT_CHARS, .vocabulary = 10, .window = 3, .stride = 2, .valid = 0.5};
    cr_assert(text_read((DataFile){.path = place.path}, &options, NULL, place.parts, place.diag));
    cr_assert_eq(place.parts[0]->rows, 4);
    cr_assert_eq(place.parts[1]->rows, 3);
    cr_assert_null(place.parts[2]);
    expect_row(place.parts[0], "token", 3, (int32_t[]){6, 7, 8}, 3);
    expect_row(place.parts[0], "next", 3, (int32_t[]){7, 8, 9}, 3);
    expect_row(place.parts[1], "token", 2, (int32_t[]){6, 7, 8}, 3);
    expect_row(place.parts[1], "next", 0, (int32_t[]){1, 2, 3}, 3);
    drop_place(place);
}

static void expect_refusal(const char *text, TextOptions options, ErrorCode code, const char *part)
{
    Place place = make_place(text);
    StrBuf out = {0};
    cr_assert_not(
        text_read((DataFile){.path = place.path}, &options, NULL, place.parts, place.diag));
    diag_render_text(place.diag, &out, false);
    cr_assert_eq(diag_error_count(place.diag), 1);
    cr_assert_not_null(strstr(out.text, error_code_text(code)), "%s", out.text);
    cr_assert_not_null(strstr(out.text, part), "%s lacks %s", out.text, part);
    strbuf_free(&out);
    drop_place(place);
}

Test(text, refusals_name_the_place)
{
    TextOptions chars = {.tokens = TEXT_CHARS, .window = 2, .stride = 1};
    expect_refusal("ab", chars, ERR_E0612, "the training part has 2 tokens, and a window needs 3");
    expect_refusal("ab\ncd\xFF", chars, ERR_E0618, "line 2, column 3: this is not UTF-8");
    chars.vocabulary = 2;
    expect_refusal("abcabc", chars, ERR_E0618, "has 3 different characters, and vocab is 2");
    chars.vocabulary = 0;
    chars.valid = 0.5;
    expect_refusal("ab\nabx",
                   (TextOptions){.tokens = TEXT_CHARS, .window = 1, .stride = 1, .valid = 0.5},
                   ERR_E0618, "line 2, column 3: the character 'x' is not");
    expect_refusal("abc\na\n",
                   (TextOptions){.tokens = TEXT_CHARS, .window = 1, .stride = 1, .valid = 0.5},
                   ERR_E0618, "line 1, column 4: the character U+000A is not");
    expect_refusal("abcd", (TextOptions){.tokenizer = "/nowhere.json", .window = 1, .stride = 1},
                   ERR_E0600, "/nowhere.json");
}

Test(text, weights_bring_their_tokenizer)
{
    Place place = make_place("cab");
    char *path = files_path(place.folder, "w.safetensors");
    Tokenizer *saved = tokenizer_chars(NULL, 0, "abcd", 4);
    StrBuf json = {0};
    tokenizer_text(saved, &json);
    float one = 1;
    SafeEntry entry = {.name = "w", .dtype = DT_F32, .data = &one};
    SafeMetadata notes[] = {{"tokenizer.token", json.text}};
    TextOptions options = {.tokenizer = path, .window = 2, .stride = 1};
    cr_assert(safetensors_write(path, &entry, 1, notes, 1, place.diag, (Span){0}));
    cr_assert(text_read((DataFile){.path = place.path}, &options, NULL, place.parts, place.diag));
    expect_row(place.parts[0], "token", 0, (int32_t[]){2, 0}, 2);
    cr_assert(safetensors_write(path, &entry, 1, NULL, 0, place.diag, (Span){0}));
    expect_refusal("cab", options, ERR_E0618, "these weights have no tokenizer of a text");
    strbuf_free(&json);
    tokenizer_free(saved);
    free(path);
    drop_place(place);
}

/* ---- Columns of text ---- */

static DataTable *read_column(Place *place, const char *csv, const Tokenizer *known,
                              int64_t vocabulary)
{
    DataField field = {.name = "word",
                       .dtype = DT_I32,
                       .rank = 1,
                       .sizes = {5},
                       .sequence = true,
                       .tokenizer = known,
                       .vocabulary = vocabulary};
    return csv_read_text("rows", (Span){0}, csv, strlen(csv), (CsvOptions){.header = true}, &field,
                         1, place->diag);
}

Test(text, cells_become_padded_sequences)
{
    Place place = make_place("");
    place.parts[0] = read_column(&place,
                                 "word\nb\xC3\xA4"
                                 "b\nabba\n\"\"\n",
                                 NULL, 6);
    cr_assert_eq(place.parts[0]->rows, 3);
    expect_row(place.parts[0], "word", 0, (int32_t[]){4, 5, 4, 2, 0}, 5);
    expect_row(place.parts[0], "word", 1, (int32_t[]){3, 4, 4, 3, 2}, 5);
    expect_row(place.parts[0], "word", 2, (int32_t[]){2, 0, 0, 0, 0}, 5);
    place.parts[1] = read_column(&place, "word\nba\n", place.parts[0]->columns[0].tokenizer, 6);
    expect_row(place.parts[1], "word", 0, (int32_t[]){4, 3, 2, 0, 0}, 5);
    drop_place(place);
}

static void expect_bad_column(const char *csv, bool known, const char *part)
{
    Place place = make_place("");
    StrBuf out = {0};
    place.parts[0] = read_column(&place, "word\nab\n", NULL, 0);
    cr_assert_null(
        read_column(&place, csv, known ? place.parts[0]->columns[0].tokenizer : NULL, 6));
    diag_render_text(place.diag, &out, false);
    cr_assert_eq(diag_error_count(place.diag), 1);
    cr_assert_not_null(strstr(out.text, part), "%s lacks %s", out.text, part);
    strbuf_free(&out);
    drop_place(place);
}

Test(text, cells_that_do_not_fit_are_refused)
{
    expect_bad_column("word\na\nabcab\n", false,
                      "line 3, column 1 (word): \"abcab\" has more than 4 characters, and one "
                      "place is for the end");
    expect_bad_column("word\nabcab\n", true,
                      "the character 'c', which the training data does not have");
    expect_bad_column("word\naaaaaa\n", true, "has more than 4 characters");
    expect_bad_column("word\na\xFF\n", false, "is not UTF-8");
    expect_bad_column("word\nabcd\n", false,
                      "word has 4 different characters, which makes 7 tokens with padding, start "
                      "and end, and vocab is 6");
}
