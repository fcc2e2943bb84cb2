/* The text form of trees to nested lists, and the parts of a list that are names: the lower half of
 * the reader.
 *
 *   (let (a b) - (name x))  ->  list { word let, list { word a, word b }, word -, list { word name,
 * word x } } */
#include "compiler/ast/parse.h"
#include "compiler/ast/read.h"

#include <ctype.h>
#include <string.h>

enum {
    MAX_LISTS = 4 * AST_MAX_DEPTH
}; /* lists in one another: a block in an expression takes four */

void ast_read_fail(AstReader *reader, Span span, const char *what)
{
    if (!reader->failed) {
        diag_error(reader->build.diag, ERR_E0001, span, NULL,
                   "expected %s in the text form of a tree", what);
    }
    reader->failed = true;
}

/* ---- text to lists ---- */

static Span span_from(const AstReader *reader, uint32_t begin)
{
    return (Span){reader->build.file->file, begin, reader->at};
}

static void skip_blanks(AstReader *reader)
{
    while (reader->at < reader->build.length &&
           strchr(" \n\t\r", reader->build.text[reader->at]) != NULL &&
           reader->build.text[reader->at] != '\0') {
        reader->at++;
    }
}

static AstNode *read_string_node(AstReader *reader)
{
    const char *text = reader->build.text;
    uint32_t begin = reader->at++;
    while (reader->at < reader->build.length && text[reader->at] != '"') {
        reader->at += text[reader->at] == '\\' ? 2 : 1;
    }
    AstNode *node = ARENA_NEW(reader->build.arena, AstNode);
    node->kind = NODE_STRING;
    if (reader->at >= reader->build.length) {
        reader->at = reader->build.length;
        ast_read_fail(reader, span_from(reader, begin), "the end of this string");
        return node;
    }
    reader->at++;
    node->span = span_from(reader, begin);
    AstText value = ast_read_string(&reader->build, text + begin, reader->at - begin, node->span);
    node->text = value.text;
    node->length = value.length;
    return node;
}

static AstNode *read_word_node(AstReader *reader)
{
    uint32_t begin = reader->at;
    while (reader->at < reader->build.length &&
           strchr(" \n\t\r()\"", reader->build.text[reader->at]) == NULL) {
        reader->at++;
    }
    AstNode *node = ARENA_NEW(reader->build.arena, AstNode);
    node->kind = NODE_WORD;
    node->span = span_from(reader, begin);
    node->length = reader->at - begin;
    node->text = arena_substring(reader->build.arena, reader->build.text + begin, node->length);
    if (node->length == 0) {
        reader->at++; /* a byte 0 */
        ast_read_fail(reader, span_from(reader, begin), "a word");
    }
    return node;
}

/* The node at reader->at; NULL at a `)` or at the end. */
AstNode *ast_read_node(AstReader *reader, uint32_t depth)
{
    skip_blanks(reader);
    if (reader->at >= reader->build.length || reader->failed ||
        reader->build.text[reader->at] == ')') {
        return NULL;
    }
    if (reader->build.text[reader->at] == '"') {
        return read_string_node(reader);
    }
    if (reader->build.text[reader->at] != '(') {
        return read_word_node(reader);
    }
    uint32_t begin = reader->at++;
    AstNode *node = ARENA_NEW(reader->build.arena, AstNode);
    node->kind = NODE_LIST;
    if (depth >= MAX_LISTS) {
        ast_read_fail(reader, span_from(reader, begin), "fewer lists inside one another");
        return node;
    }
    for (AstNode *item = ast_read_node(reader, depth + 1); item != NULL;
         item = ast_read_node(reader, depth + 1)) {
        vec_push(reader->build.arena, &node->items, item);
    }
    if (reader->at >= reader->build.length || reader->build.text[reader->at] != ')') {
        ast_read_fail(reader, span_from(reader, begin), "the `)` of this list");
        return node;
    }
    reader->at++;
    node->span = span_from(reader, begin);
    return node;
}

/* ---- parts of a list ---- */

bool ast_node_is_word(const AstNode *node, const char *text)
{
    return node->kind == NODE_WORD && strcmp(node->text, text) == 0;
}

bool ast_node_is_head(const AstNode *node, const char *text)
{
    return node->kind == NODE_LIST && node->items.count > 0 &&
           ast_node_is_word(node->items.data[0], text);
}

bool ast_node_is_absent(const AstNode *node)
{
    return ast_node_is_word(node, "-");
}

/* The item, or an absent one after an error. */
const AstNode *ast_read_part(AstReader *reader, const AstNode *list, uint32_t index)
{
    static const AstNode none = {.kind = NODE_WORD, .text = "-", .length = 1};
    if (list->kind != NODE_LIST || index >= list->items.count) {
        ast_read_fail(reader, list->span, "a longer list");
        return &none;
    }
    return list->items.data[index];
}

uint32_t ast_node_parts(const AstNode *list)
{
    return list->kind == NODE_LIST ? list->items.count : 0;
}

/* No more than count ast_node_parts. */
void ast_read_at_most(AstReader *reader, const AstNode *list, uint32_t count)
{
    if (ast_node_parts(list) > count) {
        ast_read_fail(reader, list->span, "a shorter list");
    }
}

/* Letters of other scripts are reported by the scanner and kept in the tree. */
static bool is_name_byte(unsigned char c)
{
    return c >= 0x80 || isalnum(c) || c == '_';
}

static bool is_name_text(const char *text)
{
    size_t length = 0;
    while (is_name_byte((unsigned char)text[length])) {
        length++;
    }
    return length > 0 && text[length] == '\0' && !isdigit((unsigned char)text[0]);
}

AstName ast_read_name(AstReader *reader, const AstNode *node)
{
    if (node->kind != NODE_WORD || !is_name_text(node->text)) {
        ast_read_fail(reader, node->span, "a name");
        return (AstName){"error", node->span};
    }
    return (AstName){node->text, node->span};
}

AstName ast_read_optional_name(AstReader *reader, const AstNode *node)
{
    return ast_node_is_absent(node) ? (AstName){NULL, node->span} : ast_read_name(reader, node);
}

AstNames ast_read_names(AstReader *reader, const AstNode *node)
{
    AstNames names = {0};
    if (ast_node_parts(node) == 0) {
        ast_read_fail(reader, node->span, "a list of names");
    }
    for (uint32_t i = 0; i < ast_node_parts(node); i++) {
        vec_push(reader->build.arena, &names, ast_read_name(reader, node->items.data[i]));
    }
    return names;
}

AstNames ast_read_path(AstReader *reader, const AstNode *node)
{
    AstNames path = {0};
    if (node->kind != NODE_WORD) {
        ast_read_fail(reader, node->span, "a path of names");
        return path;
    }
    for (const char *p = node->text;; p++) {
        size_t length = strcspn(p, ".");
        AstNode word = {.kind = NODE_WORD, .span = node->span};
        word.text = arena_substring(reader->build.arena, p, length);
        vec_push(reader->build.arena, &path, ast_read_name(reader, &word));
        p += length;
        if (*p == '\0') {
            return path;
        }
    }
}

AstPattern *ast_read_pattern(AstReader *reader, const AstNode *node)
{
    if (node->kind != NODE_LIST) {
        return ast_new_pattern(&reader->build, ast_read_name(reader, node));
    }
    AstPatterns entries = {0};
    if (ast_node_parts(node) == 0) {
        ast_read_fail(reader, node->span, "a name");
    }
    for (uint32_t i = 0; i < ast_node_parts(node); i++) {
        vec_push(reader->build.arena, &entries, ast_read_pattern(reader, node->items.data[i]));
    }
    return ast_new_pattern_list(&reader->build, entries, node->span);
}
