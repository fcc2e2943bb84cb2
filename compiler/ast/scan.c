/* What the scanner does besides matching: positions, comments, and words about bytes that are no
 * token.
 *
 * A ## comment waits in parser->doc until the next token, whose place then names the declaration it
 * belongs to; an empty line in between breaks the tie, and the first comment broken off like that
 * is the one of the file.
 *
 *   ## Rectifier.            -> docs: { begin of `fn`, "Rectifier." }
 *   fn relu(x: f32[...]) ... */
#include "compiler/ast/scan.h"

#include "compiler/ast/parse.h"
#include "grammar/nn.tab.h"

#include <string.h>

void ast_scan_begin(AstParser *parser, AstToken *token, size_t length)
{
    uint32_t end = parser->offset + (uint32_t)length;
    token->span = (Span){parser->file->file, parser->offset, end};
    token->value.text = (AstText){NULL, 0};
    parser->offset = end;
}

static void drop_doc(AstParser *parser)
{
    if (parser->doc.length != 0 && parser->file->doc == NULL && parser->tokens == 0) {
        parser->file->doc = arena_string(parser->arena, parser->doc.text);
    }
    strbuf_clear(&parser->doc);
    parser->doc_open = false;
}

void ast_scan_newline(AstParser *parser)
{
    parser->line_has_token = false;
    parser->newlines++;
    if (parser->newlines > 1 && parser->doc_open) {
        drop_doc(parser);
    }
}

static void add_doc_line(AstParser *parser, const char *text, size_t length)
{
    size_t skip = length > 2 && text[2] == ' ' ? 3 : 2;
    while (length > skip &&
           (text[length - 1] == ' ' || text[length - 1] == '\t' || text[length - 1] == '\r')) {
        length--;
    }
    if (parser->doc_open) {
        strbuf_add_char(&parser->doc, '\n');
    }
    strbuf_add_bytes(&parser->doc, text + skip, length - skip);
    parser->doc_open = true;
}

void ast_scan_comment(AstParser *parser, Span span, const char *text, size_t length)
{
    bool doc = length > 1 && text[1] == '#' && !parser->line_has_token;
    vec_push(parser->arena, &parser->file->comments,
             (AstComment){span, doc, !parser->line_has_token});
    if (doc) {
        add_doc_line(parser, text, length);
    }
    parser->newlines = 0;
}

int ast_scan_word(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    token->value.text = (AstText){arena_substring(parser->arena, text, length), (uint32_t)length};
    return ast_keyword(text, length);
}

int ast_scan_integer(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    token->value.integer = ast_read_integer(parser, text, length, token->span);
    return TOK_INT;
}

int ast_scan_real(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    token->value.real = ast_read_real(parser, text, length, token->span);
    return TOK_FLOAT;
}

int ast_scan_string(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    token->value.text = ast_read_string(parser, text, length, token->span);
    return TOK_STRING;
}

int ast_scan_bare_fraction(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    DiagItem *item = diag_error(parser->diag, ERR_E0003, token->span, NULL,
                                "a number needs a digit before its point");
    diag_help(item, "write 0%.*s", (int)length, text);
    token->value.real = 0;
    return TOK_FLOAT;
}

int ast_scan_open_fraction(AstParser *parser, AstToken *token)
{
    DiagItem *item = diag_error(parser->diag, ERR_E0003, token->span, NULL,
                                "a number needs a digit after its point");
    diag_help(item, "write 1.0, or 1 where an integer is meant");
    token->value.real = 1;
    return TOK_FLOAT;
}

int ast_scan_bad_number(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    size_t digits = strspn(text, "0123456789_.");
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    DiagItem *item = diag_error(parser->diag, ERR_E0003, token->span, NULL,
                                "`%.*s` is neither a number nor a name", (int)length, text);
    if (hex) {
        diag_help(item, "0x is followed by the digits 0-9 and A-F");
    } else {
        diag_help(item, "a product is written %.*s*%.*s", (int)digits, text, (int)(length - digits),
                  text + digits);
    }
    token->value.integer = 0;
    return TOK_INT;
}

int ast_scan_open_string(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    DiagItem *item = diag_error(parser->diag, ERR_E0004, token->span, NULL,
                                "this string is not closed on its line");
    diag_help(item, "end it with \"; a line break inside a string is written \\n");
    token->value.text =
        (AstText){arena_substring(parser->arena, text + 1, length - 1), (uint32_t)length - 1};
    return TOK_STRING;
}

int ast_scan_quoted(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    DiagItem *item = diag_error(parser->diag, ERR_E0004, token->span, NULL,
                                "strings are written between double quotes");
    diag_help(item, "write \"%.*s\"", (int)(length - 2), text + 1);
    token->value.text =
        (AstText){arena_substring(parser->arena, text + 1, length - 2), (uint32_t)length - 2};
    return TOK_STRING;
}

int ast_scan_foreign(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    static const struct {
        const char *text, *ours;
        int token;
    } table[] = {
        {"&&", "and", TOK_AND},  {"||", "or", TOK_OR}, {"!", "not", TOK_NOT}, {"^", "**", TOK_POW},
        {"=>", "->", TOK_ARROW}, {":=", "=", '='},     {"===", "==", TOK_EQ},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strlen(table[i].text) == length && memcmp(table[i].text, text, length) == 0) {
            diag_error(parser->diag, ERR_E0001, token->span, NULL, "`%s` is written `%s` here",
                       table[i].text, table[i].ours);
            return table[i].token;
        }
    }
    return TOK_NEWLINE;
}

/* A name with letters outside ASCII, or signs such as curly quotes: one error for the run of them.
 */
int ast_scan_foreign_word(AstParser *parser, AstToken *token, const char *text, size_t length)
{
    DiagItem *item = diag_error(parser->diag, ERR_E0002, token->span, NULL,
                                "`%.*s` may stand in strings and comments only", (int)length, text);
    if (length > 2 && (unsigned char)text[0] == 0xE2 && (unsigned char)text[1] == 0x80) {
        diag_help(item, "quotes are written \" and a minus is written -");
    } else {
        diag_help(item, "names are made of a-z, A-Z, 0-9 and _");
    }
    token->value.text = (AstText){arena_substring(parser->arena, text, length), (uint32_t)length};
    return TOK_NAME;
}

void ast_scan_unknown(AstParser *parser, Span span, const char *text, size_t length)
{
    unsigned char first = (unsigned char)text[0];
    (void)length;
    parser->unknown_end = span.end;
    if (first >= 0x20 && first < 0x7F) {
        diag_error(parser->diag, ERR_E0002, span, NULL, "`%c` has no meaning in the language",
                   first);
    } else if (first < 0x80) {
        diag_error(parser->diag, ERR_E0002, span, NULL, "an unprintable character (byte 0x%02X)",
                   first);
    } /* a lone high byte was reported by ast_scan_check_utf8 */
}

void ast_scan_end(AstParser *parser, AstToken *token)
{
    if (parser->doc_open) {
        drop_doc(parser);
    }
    token->span = (Span){parser->file->file, parser->length, parser->length};
}

/* The length of the well-formed sequence at p, 0 if there is none (RFC 3629: no overlong forms, no
 * surrogates). */
static uint32_t utf8_length(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) {
        return 1;
    }
    uint32_t length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || length > left) {
        return 0;
    }
    for (uint32_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool outside = (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF4 && p[1] > 0x8F);
    return overlong || outside ? 0 : length;
}

void ast_scan_check_utf8(AstParser *parser)
{
    const unsigned char *bytes = (const unsigned char *)parser->text;
    for (uint32_t i = 0; i < parser->length;) {
        uint32_t length = utf8_length(bytes + i, parser->length - i);
        if (length == 0) {
            Span span = {parser->file->file, i, i + 1};
            diag_error(parser->diag, ERR_E0002, span, NULL, "byte 0x%02X is not UTF-8", bytes[i]);
            length = 1;
        }
        i += length;
    }
}

AstToken ast_scan_token(AstParser *parser)
{
    AstToken token = {0};
    token.kind = nn_scan(&token, parser->scanner);
    if (token.kind == TOK_NEWLINE || token.kind == TOK_END) {
        return token;
    }
    if (parser->doc_open) {
        const char *text = arena_substring(parser->arena, parser->doc.text ? parser->doc.text : "",
                                           parser->doc.length);
        vec_push(parser->arena, &parser->docs, (AstDoc){token.span.begin, text});
        strbuf_clear(&parser->doc);
        parser->doc_open = false;
    }
    parser->newlines = 0;
    parser->line_has_token = true;
    if (++parser->tokens > AST_MAX_TOKENS) {
        if (!parser->stopped) {
            diag_error(parser->diag, ERR_E0007, token.span, NULL,
                       "a file may have %u words and signs at most", AST_MAX_TOKENS);
        }
        parser->stopped = true;
    }
    return token;
}
