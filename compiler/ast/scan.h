/* The actions of the scanner's rules (grammar/nn.l), and the scanner as the filter calls it.
 * Private to compiler/ast. */
#ifndef NNC_AST_SCAN_H
#define NNC_AST_SCAN_H
#include "compiler/ast/parser.h"

int nn_scan(AstToken *token, void *scanner); /* generated; returns the kind, fills span and value */

void ast_scan_begin(AstParser *parser, AstToken *token, size_t length);
void ast_scan_newline(AstParser *parser);
void ast_scan_comment(AstParser *parser, Span span, const char *text, size_t length);
int ast_scan_word(AstParser *parser, AstToken *token, const char *text, size_t length);
int ast_scan_integer(AstParser *parser, AstToken *token, const char *text, size_t length);
int ast_scan_real(AstParser *parser, AstToken *token, const char *text, size_t length);
int ast_scan_string(AstParser *parser, AstToken *token, const char *text, size_t length);
int ast_scan_bare_fraction(AstParser *parser, AstToken *token, const char *text, size_t length);
int ast_scan_open_fraction(AstParser *parser, AstToken *token);
int ast_scan_foreign_word(AstParser *parser, AstToken *token, const char *text, size_t length);
int ast_scan_bad_number(AstParser *parser, AstToken *token, const char *text, size_t length);
int ast_scan_open_string(AstParser *parser, AstToken *token, const char *text, size_t length);
int ast_scan_quoted(AstParser *parser, AstToken *token, const char *text, size_t length);
int ast_scan_foreign(AstParser *parser, AstToken *token, const char *text, size_t length);
void ast_scan_unknown(AstParser *parser, Span span, const char *text, size_t length);
void ast_scan_end(AstParser *parser, AstToken *token);

/* Once, before scanning: an error per byte that is not UTF-8. */
void ast_scan_check_utf8(AstParser *parser);
/* One raw token. */
AstToken ast_scan_token(AstParser *parser);

#endif
