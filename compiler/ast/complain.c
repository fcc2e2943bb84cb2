/* The words of a syntax error: what was found, what could have stood there, and the likely slip.
 *
 *   a.nn:3:11: error[E0001]: unexpected `=`, expected `{` or the end of the line
 *    help: `==` compares
 *
 * The grammar gives the exact set of tokens that could follow (bison's LAC). A reader does not want
 * twenty operators, so the set is told by classes: an expression, a name, and the signs; operators
 * only when nothing else is left. */
#include "compiler/ast/parse.h"
#include "compiler/ast/parser.h"
#include "grammar/nn.tab.h"

#include <string.h>

enum { MAX_LISTED = 6 };

static bool contains(const int *tokens, int count, int token)
{
    for (int i = 0; i < count; i++) {
        if (tokens[i] == token) {
            return true;
        }
    }
    return false;
}

/* A token that only goes on with a complete expression: never the most helpful thing to suggest. */
static bool is_operator(int token)
{
    static const int operators[] = {TOK_PIPE,    TOK_OR,       TOK_AND,    TOK_EQ,      TOK_NE,
                                    TOK_LE,      TOK_GE,       TOK_POW,    '<',         '>',
                                    '+',         '-',          '*',        '/',         '%',
                                    '@',         TOK_FLOORDIV, TOK_DOTDOT, TOK_ADD_SET, TOK_SUB_SET,
                                    TOK_MUL_SET, TOK_DIV_SET};
    return contains(operators, sizeof operators / sizeof *operators, token);
}

static bool begins_expression(int token)
{
    static const int starts[] = {TOK_NAME,  TOK_INT,   TOK_FLOAT, TOK_STRING, TOK_TRUE,
                                 TOK_FALSE, TOK_NOT,   TOK_IF,    TOK_COND,   TOK_FN,
                                 TOK_SCAN,  TOK_WHILE, '(',       '[',        '-'};
    return contains(starts, sizeof starts / sizeof *starts, token) || ast_is_soft_keyword(token);
}

static bool begins_item(int token)
{
    static const int starts[] = {TOK_IMPORT,   TOK_FROM,   TOK_CONST,     TOK_FN,
                                 TOK_EXTERN,   TOK_MODULE, TOK_OPTIMIZER, TOK_METRIC,
                                 TOK_SCHEDULE, TOK_INIT,   TOK_DATASET,   TOK_TRAIN};
    return contains(starts, sizeof starts / sizeof *starts, token);
}

typedef struct {
    const char *words[MAX_LISTED];
    int count;
    bool overflow;
} Listed;

static void list(Listed *listed, const char *words)
{
    for (int i = 0; i < listed->count; i++) {
        if (strcmp(listed->words[i], words) == 0) {
            return;
        }
    }
    if (listed->count == MAX_LISTED) {
        listed->overflow = true;
        return;
    }
    listed->words[listed->count++] = words;
}

static Listed list_expected(const int *expected, int count)
{
    Listed listed = {0};
    bool expression = contains(expected, count, TOK_INT) && contains(expected, count, '(');
    bool named = contains(expected, count, TOK_NAME);
    bool item =
        contains(expected, count, TOK_DATASET) && contains(expected, count, TOK_CONST) && !named;
    bool statement = expression && contains(expected, count, TOK_LET);
    bool suffix = contains(expected, count, '.') && contains(expected, count, '(') && !expression;
    if (item) {
        list(&listed, "a declaration (import, const, fn, module, dataset, train, ...)");
    } else if (statement) {
        list(&listed, "a statement");
    } else if (expression) {
        list(&listed, "an expression");
    } else if (named) {
        list(&listed, "a name");
    }
    static const int in_statements[] = {TOK_LET, TOK_RETURN, TOK_YIELD, TOK_FOR, TOK_MINIMIZE};
    for (int pass = 0; pass < 2 && (pass == 0 || listed.count == 0); pass++) {
        for (int i = 0; i < count; i++) {
            int token = expected[i];
            bool covered = (expression && begins_expression(token)) ||
                           (item && begins_item(token)) || (named && ast_is_soft_keyword(token)) ||
                           (named && token == TOK_NAME) ||
                           (statement && contains(in_statements, 5, token)) ||
                           (token == ';' && contains(expected, count, TOK_NEWLINE)) ||
                           (item && token == TOK_END) ||
                           (suffix && pass == 0 && (token == '.' || token == '(' || token == '['));
            if (!covered && is_operator(token) == (pass == 1)) {
                list(&listed, ast_token_words(token));
            }
        }
    }
    return listed;
}

static void add_listed(StrBuf *out, const Listed *listed)
{
    for (int i = 0; i < listed->count && !listed->overflow; i++) {
        strbuf_add(out, i == 0 ? ", expected " : i + 1 == listed->count ? " or " : ", ");
        strbuf_add(out, listed->words[i]);
    }
}

static void add_token(AstParser *parser, StrBuf *out, const AstToken *token)
{
    uint32_t length = token->span.end - token->span.begin;
    if (token->kind == TOK_NEWLINE || token->kind == TOK_END || length == 0) {
        const char *words = ast_token_words(token->kind);
        strbuf_add(out, strncmp(words, "the ", 4) == 0 ? words + 4 : words);
    } else if (length <= 40) {
        strbuf_printf(out, "`%.*s`", (int)length, parser->text + token->span.begin);
    } else {
        strbuf_add(out, ast_token_words(token->kind));
    }
}

/* ---- likely slips ---- */

static const char *foreign_word(const AstToken *token)
{
    static const struct {
        const char *word, *help;
    } table[] = {
        {"elif", "write `else if`"},
        {"elsif", "write `else if`"},
        {"def", "a function is written `fn name(x: f32[B]) -> f32[B] { ... }`"},
        {"func", "a function is written `fn name(x: f32[B]) -> f32[B] { ... }`"},
        {"function", "a function is written `fn name(x: f32[B]) -> f32[B] { ... }`"},
        {"class", "a network or a layer is written `module Name(arguments) { ... }`"},
        {"model", "a network is written `module Name(arguments) { ... }`"},
        {"layer", "a layer is written `module Name(arguments) { ... }`"},
        {"struct", "a network or a layer is written `module Name(arguments) { ... }`"},
        {"var", "a name is introduced by `let`"},
        {"val", "a name is introduced by `let`"},
        {"lambda", "a function without a name is written `fn (x) -> x + 1`"},
        {"loss", "a loss is a `fn` with one value per example, or a key of a train block"},
        {"data", "data is declared in `dataset NAME { source = ... }`"},
    };
    for (size_t i = 0; token->kind == TOK_NAME && i < sizeof table / sizeof *table; i++) {
        if (strcmp(token->value.text.text, table[i].word) == 0) {
            return table[i].help;
        }
    }
    return NULL;
}

static bool is_binary_sign(int token)
{
    return is_operator(token) && token != '-' && token != TOK_PIPE;
}

static bool is_comparison(int token)
{
    static const int signs[] = {TOK_EQ, TOK_NE, TOK_LE, TOK_GE, '<', '>'};
    return contains(signs, sizeof signs / sizeof *signs, token);
}

/* "K = 4" */
static bool gives_value(const AstParser *parser, const AstToken *token)
{
    uint32_t at = token->span.end;
    while (at < parser->length && parser->text[at] == ' ')
        at++;
    return token->kind == TOK_NAME && at + 1 < parser->length && parser->text[at] == '=' &&
           parser->text[at + 1] != '=';
}

static const char *likely_slip(AstParser *parser, const AstToken *token, const int *expected,
                               int count)
{
    const AstToken *last = &parser->before_last;
    const char *help = foreign_word(last);
    if (help == NULL) {
        help = foreign_word(token);
    }
    if (help != NULL) {
        return help;
    }
    bool at_item = contains(expected, count, TOK_DATASET) && contains(expected, count, TOK_CONST);
    bool binary_follows = contains(expected, count, TOK_EQ);
    if (token->kind == '=' && binary_follows) {
        return "`==` compares, `=` gives a value to a name at the beginning of a statement";
    }
    if (token->kind == ':' && contains(expected, count, '=')) {
        return "a key, an argument and a value are joined by `=`";
    }
    if (at_item && (token->kind == TOK_LET || gives_value(parser, token))) {
        return "at the top of a file a value is written `const NAME = ...`";
    }
    if (token->kind == ',' && contains(expected, count, ';')) {
        return "the entries of a block are separated by `;` or a new line";
    }
    if (is_comparison(token->kind) && contains(expected, count, '+')) {
        return "comparisons do not chain: write a < b and b < c";
    }
    if (is_binary_sign(token->kind) && last->kind == TOK_NEWLINE) {
        return "a statement ends with its line: put the operator at the end of the line before, or "
               "use parentheses";
    }
    if (token->kind == TOK_EQ && contains(expected, count, '=')) {
        return "`=` gives a value, `==` compares";
    }
    if (last->kind == '.' && !contains(expected, count, TOK_INT)) {
        return "a decimal number has a digit after its point: 1.0";
    }
    if (binary_follows && contains(expected, count, ',') && begins_expression(token->kind)) {
        return "a comma or an operator may be missing before it";
    }
    return NULL;
}

void ast_report_unexpected(AstParser *parser, const AstToken *token, const int *expected, int count)
{
    bool excused =
        parser->unknown_end > parser->statement_begin && parser->unknown_end <= token->span.begin;
    if (parser->stopped || excused) {
        return; /* what is wrong was said already */
    }
    StrBuf words = {0};
    strbuf_add(&words, "unexpected ");
    add_token(parser, &words, token);
    Listed listed = list_expected(expected, count);
    add_listed(&words, &listed);
    const char *help = likely_slip(parser, token, expected, count);
    DiagItem *item = diag_error(parser->diag, ERR_E0001, token->span, NULL, "%s", words.text);
    if (help != NULL) {
        diag_help(item, "%s", help);
    }
    strbuf_free(&words);
}

void ast_report_depth(AstParser *parser, Span span)
{
    if (!parser->depth_reported) {
        DiagItem *item = diag_error(parser->diag, ERR_E0005, span, NULL,
                                    "this is nested more than %d levels deep", AST_MAX_DEPTH);
        diag_help(item, "give the parts names with `let`");
    }
    parser->depth_reported = true;
}
