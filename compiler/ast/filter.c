/* Between scanner and grammar: where statements end, and brackets that always balance.
 *
 * 1. A line end becomes a TOK_NEWLINE when the last token can end a statement, the innermost open
 * bracket is a brace (or none), and the next line does not begin with `|>`, `.` or `else`. The same
 * token is put before a `}`.
 *
 *      let y = f(x,        (inside the parentheses: no token)
 *                z)        NEWLINE
 *      y |> relu           (the next line begins with |>: no token)
 *        |> g }            NEWLINE before the }
 *
 * 2. A bracket that is never closed, closed by another kind, or closing nothing is reported and
 * mended here. The signs of a missing closer: a closer of an outer bracket, the end of the file,
 * `let` or `return` inside of parentheses, and a declaration at the first column while something is
 * open.
 * 3. After a syntax error the rest of the statement is skipped here, brackets and all, so that the
 * grammar goes on with the next statement of the same block. */
#include "compiler/ast/parse.h"
#include "compiler/ast/scan.h"
#include "grammar/nn.tab.h"
#include "runtime/base/bug.h"

static AstToken *look(AstParser *parser, uint32_t index)
{
    while (parser->ahead_count <= index) {
        parser->ahead[parser->ahead_count++] = ast_scan_token(parser);
    }
    return &parser->ahead[index];
}

static AstToken take(AstParser *parser)
{
    AstToken token = *look(parser, 0);
    parser->ahead_count--;
    for (uint32_t i = 0; i < parser->ahead_count; i++) {
        parser->ahead[i] = parser->ahead[i + 1];
    }
    return token;
}

static void push_back(AstParser *parser, AstToken token)
{
    NNC_ASSERT(parser->ahead_count < AST_LOOKAHEAD);
    for (uint32_t i = parser->ahead_count; i > 0; i--) {
        parser->ahead[i] = parser->ahead[i - 1];
    }
    parser->ahead[0] = token;
    parser->ahead_count++;
}

/* Leaves at most one line end before the next token, and none of the comments between. */
static void join_newlines(AstParser *parser)
{
    while (look(parser, 0)->kind == TOK_NEWLINE && look(parser, 1)->kind == TOK_NEWLINE) {
        take(parser);
    }
}

AstToken ast_filter_peek(AstParser *parser)
{
    join_newlines(parser);
    return look(parser, 0)->kind == TOK_NEWLINE ? *look(parser, 1) : *look(parser, 0);
}

static AstToken made_token(AstParser *parser, int kind, uint32_t at)
{
    return (AstToken){.kind = kind, .span = {parser->file->file, at, at}};
}

static int innermost(const AstParser *parser)
{
    return parser->brackets.count == 0 ? 0
                                       : parser->brackets.data[parser->brackets.count - 1].closer;
}

static bool newline_counts(const AstParser *parser)
{
    int closer = innermost(parser);
    return (closer == 0 || closer == '}') && ast_ends_statement(parser->last.kind);
}

static bool continues_line(int token)
{
    return token == TOK_PIPE || token == '.' || token == TOK_ELSE;
}

static bool is_closer(int token)
{
    return token == ')' || token == ']' || token == '}';
}

static bool is_open(const AstParser *parser, int closer)
{
    for (uint32_t i = 0; i < parser->brackets.count; i++) {
        if (parser->brackets.data[i].closer == closer) {
            return true;
        }
    }
    return false;
}

static const char *opener_text(int closer)
{
    return closer == ')' ? "(" : closer == ']' ? "[" : "{";
}

static bool begins_declaration(const AstParser *parser, const AstToken *token,
                               const AstToken *after)
{
    switch (token->kind) {
    case TOK_CONST:
    case TOK_DATASET:
    case TOK_EXTERN:
    case TOK_FROM:
    case TOK_IMPORT:
    case TOK_INIT:
    case TOK_METRIC:
    case TOK_MODULE:
    case TOK_OPTIMIZER:
    case TOK_SCHEDULE:
    case TOK_TRAIN:
        break;
    default:
        return false;
    }
    bool first_column = token->span.begin == 0 || parser->text[token->span.begin - 1] == '\n';
    bool named = after->kind == TOK_NAME || after->kind == TOK_STRING || after->kind == TOK_FN ||
                 ast_is_soft_keyword(after->kind);
    return first_column && named;
}

/* A statement that can stand in no parenthesis: the open one was forgotten. */
static bool begins_statement(int token)
{
    return token == TOK_LET || token == TOK_RETURN || token == TOK_YIELD || token == TOK_MINIMIZE;
}

/* Is the innermost bracket certainly missing its closer, seeing this token? */
static bool lacks_closer(AstParser *parser, const AstToken *token)
{
    int closer = innermost(parser);
    if (closer == 0) {
        return false;
    }
    if (token->kind == TOK_END) {
        return true;
    }
    if (is_closer(token->kind)) { /* a ) inside of a block is more likely one too many than the
                                     block's end */
        return token->kind != closer && closer != '}' && is_open(parser, token->kind);
    }
    if (closer != '}' && begins_statement(token->kind)) {
        return true;
    }
    return begins_declaration(parser, token, look(parser, 0));
}

static void report_unclosed(AstParser *parser, const AstToken *token)
{
    AstBracket bracket = parser->brackets.data[parser->brackets.count - 1];
    DiagItem *item = diag_error(parser->diag, ERR_E0006, bracket.span, "opened here",
                                "`%s` is not closed", opener_text(bracket.closer));
    if (token->kind != TOK_END) {
        diag_note(item, token->span, "`%c` is missing before this", bracket.closer);
    }
}

/* A closer is put in, with the end of the statement before a brace; the token itself comes again
 * afterwards. */
static AstToken mend(AstParser *parser, AstToken token)
{
    int closer = innermost(parser);
    uint32_t at = parser->last.span.end;
    if (closer == '}' && ast_ends_statement(parser->last.kind)) {
        push_back(parser, token);
        return made_token(parser, TOK_NEWLINE, at);
    }
    report_unclosed(parser, &token);
    parser->brackets.count--;
    push_back(parser, token);
    bool in_block = innermost(parser) == 0 || innermost(parser) == '}';
    if (in_block && !is_closer(token.kind) &&
        token.kind != TOK_END) { /* the line end that was taken to be inside */
        push_back(parser, made_token(parser, TOK_NEWLINE, at));
    }
    return made_token(parser, closer, at);
}

static void open_bracket(AstParser *parser, const AstToken *token)
{
    int closer = token->kind == '(' ? ')' : token->kind == '[' ? ']' : '}';
    vec_push(parser->arena, &parser->brackets, (AstBracket){closer, token->span});
    if (parser->brackets.count > AST_MAX_DEPTH) {
        ast_report_depth(parser, token->span);
        parser->stopped = true;
    }
}

/* No statement begins with a brace, so a brace on a line of its own was meant to go on. */
static bool brace_on_new_line(AstParser *parser)
{
    AstToken next = ast_filter_peek(parser);
    if (next.kind != '{' || (parser->last.kind != ')' && parser->last.kind != TOK_NAME)) {
        return false;
    }
    diag_error(parser->diag, ERR_E0001, next.span, NULL,
               "the `{` belongs at the end of the line before");
    return true;
}

/* A ) where a ] is due, or the other way round. */
static bool closes_wrongly(const AstParser *parser)
{
    return innermost(parser) == ')' || innermost(parser) == ']';
}

/* The next token with brackets mended and line ends decided; nothing is skipped for recovery. */
static AstToken next_balanced(AstParser *parser)
{
    for (;;) {
        if (parser->stopped) {
            return made_token(parser, TOK_END, parser->last.span.end);
        }
        AstToken token = take(parser);
        if (token.kind == TOK_NEWLINE) {
            if (newline_counts(parser) && !continues_line(ast_filter_peek(parser).kind) &&
                !brace_on_new_line(parser)) {
                return token;
            }
            continue;
        }
        if (lacks_closer(parser, &token)) {
            return mend(parser, token);
        }
        if (is_closer(token.kind)) {
            if (innermost(parser) != token.kind && token.kind != '}' && closes_wrongly(parser)) {
                report_unclosed(parser, &token);
                token.kind = innermost(parser);
            } else if (innermost(parser) != token.kind) {
                diag_error(parser->diag, ERR_E0006, token.span, NULL, "`%c` closes nothing",
                           token.kind);
                continue;
            }
            if (token.kind == '}' && ast_ends_statement(parser->last.kind)) {
                push_back(parser, token);
                return made_token(parser, TOK_NEWLINE, parser->last.span.end);
            }
            parser->brackets.count--;
        } else if (token.kind == '(' || token.kind == '[' || token.kind == '{') {
            open_bracket(parser, &token);
        } else if (token.kind == TOK_END && ast_ends_statement(parser->last.kind)) {
            push_back(parser, token);
            return made_token(parser, TOK_NEWLINE, parser->last.span.end);
        }
        return token;
    }
}

static AstToken advance(AstParser *parser)
{
    parser->height_before = parser->brackets.count;
    if (parser->last.kind == TOK_NEWLINE) {
        parser->statement_begin = parser->last.span.end;
    }
    AstToken token = next_balanced(parser);
    parser->before_last = parser->last;
    parser->last = token;
    return token;
}

/* Height of the innermost open brace among the first `height` brackets: parentheses inside it are
 * given up. */
static uint32_t brace_height(const AstParser *parser, uint32_t height)
{
    while (height > 0 && parser->brackets.data[height - 1].closer != '}') {
        height--;
    }
    return height;
}

void ast_filter_recover(AstParser *parser)
{
    int kind = parser->last.kind;
    if (kind == TOK_END) {
        return;
    }
    uint32_t height = parser->height_before < parser->brackets.count ? parser->height_before
                                                                     : parser->brackets.count;
    if (kind ==
        '}') { /* it was popped when it was read: the grammar takes it as the end of its block */
        return;
    }
    parser->recover_height = brace_height(parser, height);
    bool ended =
        (kind == TOK_NEWLINE || kind == ';') && parser->recover_height == parser->brackets.count;
    parser->recovering = !ended;
}

AstToken ast_filter_next(AstParser *parser)
{
    AstToken token = advance(parser);
    while (parser->recovering) {
        bool level = parser->brackets.count == parser->recover_height;
        bool ends = token.kind == TOK_NEWLINE || token.kind == ';';
        bool left = parser->brackets.count < parser->recover_height;
        if (token.kind == TOK_END || left || (level && ends)) {
            parser->recovering = false;
            break;
        }
        token = advance(parser);
    }
    return token;
}
