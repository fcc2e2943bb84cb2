/* What the scanner, the token filter, the grammar and the builders of nodes share while one file is
 * parsed. Private to compiler/ast and grammar.
 *
 *   nn.l (raw tokens) -> filter.c (ends of statements, brackets, recovery) -> nn.y -> build.c
 * (nodes)
 *
 * Key idea: brackets always balance by the time the grammar sees them. The filter reports a missing
 * or a stray bracket and mends it, so that one slip does not swallow the rest of the file. */
#ifndef NNC_AST_PARSER_H
#define NNC_AST_PARSER_H
#include "compiler/ast/ast.h"

typedef struct {
    const char *text; /* NUL-terminated, may hold further NULs */
    uint32_t length;
} AstText;

typedef struct {
    int kind; /* a TOK_ of grammar/nn.tab.h */
    Span span;
    union {
        int64_t integer;
        double real;
        AstText text; /* names, keywords and strings */
    } value;
} AstToken;

typedef struct {
    int closer; /* the token that closes it */
    Span span;
} AstBracket;

typedef struct {
    uint32_t begin; /* of the declaration the comment belongs to */
    const char *text;
} AstDoc;

enum { AST_LOOKAHEAD = 3 };

typedef struct AstParser {
    Arena *arena;
    SourceMap *map;
    Diag *diag;
    AstFile *file;
    const char *text;
    uint32_t length;

    /* scanner */
    void *scanner;
    uint32_t offset; /* of the next byte to scan */
    uint32_t tokens; /* scanned so far */
    bool line_has_token;
    uint32_t newlines; /* since the last token or comment */
    StrBuf doc;        /* ## lines waiting for their declaration; freed with the parser */
    bool doc_open;
    VEC(AstDoc) docs;

    /* filter */
    AstToken ahead[AST_LOOKAHEAD];
    uint32_t ahead_count;
    AstToken last; /* given to the grammar */
    AstToken before_last;
    VEC(AstBracket) brackets;
    uint32_t height_before; /* open brackets before `last` */
    bool recovering;        /* drop tokens up to the end of the statement in which the error is */
    uint32_t recover_height;
    bool stopped; /* nothing more is read */
    bool depth_reported;
    uint32_t statement_begin; /* about where the statement of `last` begins */
    uint32_t unknown_end;     /* of the last unknown character; 0: none */
} AstParser;

/* filter.c */
AstToken ast_filter_next(AstParser *parser);
/* After a syntax error at `last`: the next token will be the end of its statement or of its block.
 */
void ast_filter_recover(AstParser *parser);
/* The raw token after `last`, line ends skipped. */
AstToken ast_filter_peek(AstParser *parser);

/* words.c */
int ast_keyword(const char *text, size_t length); /* a TOK_, TOK_NAME for an ordinary word */
bool ast_is_soft_keyword(int token);
bool ast_ends_statement(int token); /* may a line end after it? */

/* literal.c: texts of tokens to values; each reports what is wrong and returns something usable. */
int64_t ast_read_integer(AstParser *parser, const char *text, size_t length, Span span);
double ast_read_real(AstParser *parser, const char *text, size_t length, Span span);
AstText ast_read_string(AstParser *parser, const char *text, size_t length, Span span);

/* complain.c: the words of a syntax error. `expected` are TOK_ kinds. */
void ast_report_unexpected(AstParser *parser, const AstToken *token, const int *expected,
                           int count);
void ast_report_depth(AstParser *parser, Span span);
const char *ast_token_words(int token); /* "a name", "`)`", "the end of the line" */

/* build.c: nodes with their heights checked. */
AstExpr *ast_new_expr(AstParser *parser, AstExprKind kind, Span span, uint32_t height_below);
AstExpr *ast_new_binary(AstParser *parser, AstBinary op, AstExpr *left, AstExpr *right,
                        Span op_span, Span span);
AstExpr *ast_new_unary(AstParser *parser, AstExprKind kind, AstExpr *operand, Span span);
AstExpr *ast_new_list(AstParser *parser, AstExprKind kind, AstExprs list, Span span);
AstExpr *ast_new_record(AstParser *parser, AstBindings entries, Span span);
AstExpr *ast_new_call(AstParser *parser, AstExpr *callee, AstArguments arguments, Span span);
AstExpr *ast_new_index(AstParser *parser, AstExpr *base, AstExprs items, Span span);
AstExpr *ast_new_range(AstParser *parser, AstExpr *low, AstExpr *high, Span span);
/* The elements of a range that are `step` apart. */
AstExpr *ast_new_slice(AstParser *parser, AstExpr *range, AstExpr *step, Span span);
AstExpr *ast_new_branch(AstParser *parser, AstExprKind kind, AstExpr *condition, AstBlock then,
                        const AstBlock *otherwise, Span span);
AstType *ast_new_type(AstParser *parser, AstTypeKind kind, Span span, uint32_t height_below);
AstStmt *ast_new_stmt(AstParser *parser, AstStmtKind kind, Span span, uint32_t height_below);
AstStmt *ast_new_assign(AstParser *parser, AstExpr *target, AstAssign op, AstExpr *value,
                        Span span);
AstBlock ast_block_of(AstParser *parser, AstExpr *expr);
void ast_block_add(AstParser *parser, AstBlock *block, AstStmt *stmt);
AstPattern *ast_new_pattern(AstParser *parser, AstName name);
AstPattern *ast_new_pattern_list(AstParser *parser, AstPatterns entries, Span span);
AstExpr *ast_new_string(AstParser *parser, AstText text, Span span);
AstMember *ast_new_variable(AstParser *parser, AstMemberKind kind, AstName name, AstExpr *computed,
                            AstType *type, AstExpr *value, Span span);
AstItem *ast_new_declaration(AstParser *parser, AstItemKind kind, AstName name,
                             const AstParameters *parameters, AstMembers members, Span header,
                             Span span);
AstMember *ast_new_member(AstParser *parser, AstMemberKind kind, Span span);
AstItem *ast_new_item(AstParser *parser, AstItemKind kind, AstName name, Span span);
/* Drops, with an error each, the members that such a declaration cannot have. */
void ast_check_members(AstParser *parser, AstItemKind kind, AstMembers *members);
/* The ## comment that stands before the token at `begin`, or NULL. */
const char *ast_doc_at(const AstParser *parser, uint32_t begin);
uint32_t ast_height_of_exprs(const AstExprs *list);
uint32_t ast_height_of_arguments(const AstArguments *list);
uint32_t ast_height_of_bindings(const AstBindings *list);
uint32_t ast_height_of_scan_options(const AstScanOptions *options);
AstExpr *ast_new_true(AstParser *parser, Span span);

static inline uint32_t ast_max_height(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

#endif
