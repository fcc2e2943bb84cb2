/* The words of the language: which are keywords, which of them may be names all the same, and how a
 * token is called in an error.
 *
 * One table, one row per keyword. A soft keyword is a name wherever the grammar cannot take it for
 * the keyword, so that `train`, `state` or `from` stay usable as keys, arguments and variables
 * (rule 14 of the language). */
#include "compiler/ast/parser.h"
#include "grammar/nn.tab.h"

#include <string.h>

typedef struct {
    const char *text, *quoted;
    int token;
    bool soft;
    bool ends; /* may end a statement, as a name or by itself */
} Word;

static const Word words[] = {
    {"and", "`and`", TOK_AND, false, false},
    {"as", "`as`", TOK_AS, true, true},
    {"bound", "`bound`", TOK_BOUND, true, true},
    {"checkpoint", "`checkpoint`", TOK_CHECKPOINT, true, true},
    {"cond", "`cond`", TOK_COND, false, false},
    {"const", "`const`", TOK_CONST, true, true},
    {"dataset", "`dataset`", TOK_DATASET, true, true},
    {"else", "`else`", TOK_ELSE, false, false},
    {"extern", "`extern`", TOK_EXTERN, true, true},
    {"false", "`false`", TOK_FALSE, false, true},
    {"fn", "`fn`", TOK_FN, false, false},
    {"for", "`for`", TOK_FOR, false, false},
    {"from", "`from`", TOK_FROM, true, true},
    {"if", "`if`", TOK_IF, false, false},
    {"import", "`import`", TOK_IMPORT, true, false},
    {"in", "`in`", TOK_IN, true, true},
    {"init", "`init`", TOK_INIT, true, true},
    {"lengths", "`lengths`", TOK_LENGTHS, true, true},
    {"let", "`let`", TOK_LET, false, false},
    {"metric", "`metric`", TOK_METRIC, true, true},
    {"minimize", "`minimize`", TOK_MINIMIZE, false, false},
    {"module", "`module`", TOK_MODULE, true, true},
    {"not", "`not`", TOK_NOT, false, false},
    {"on", "`on`", TOK_ON, true, true},
    {"optimizer", "`optimizer`", TOK_OPTIMIZER, true, true},
    {"or", "`or`", TOK_OR, false, false},
    {"over", "`over`", TOK_OVER, true, true},
    {"param", "`param`", TOK_PARAM, true, true},
    {"return", "`return`", TOK_RETURN, false, true},
    {"reverse", "`reverse`", TOK_REVERSE, true, true},
    {"scan", "`scan`", TOK_SCAN, false, false},
    {"schedule", "`schedule`", TOK_SCHEDULE, true, true},
    {"state", "`state`", TOK_STATE, true, true},
    {"train", "`train`", TOK_TRAIN, true, true},
    {"true", "`true`", TOK_TRUE, false, true},
    {"using", "`using`", TOK_USING, true, true},
    {"while", "`while`", TOK_WHILE, false, false},
    {"with", "`with`", TOK_WITH, true, true},
    {"wrt", "`wrt`", TOK_WRT, true, true},
    {"yield", "`yield`", TOK_YIELD, false, false},
};

enum { WORD_COUNT = sizeof words / sizeof *words };

static const Word *find_token(int token)
{
    for (int i = 0; i < WORD_COUNT; i++) {
        if (words[i].token == token) {
            return &words[i];
        }
    }
    return NULL;
}

int ast_keyword(const char *text, size_t length)
{
    int low = 0, high = WORD_COUNT;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = strncmp(text, words[middle].text, length);
        if (order == 0 && words[middle].text[length] != '\0') {
            order = -1;
        }
        if (order == 0) {
            return words[middle].token;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return TOK_NAME;
}

bool ast_is_soft_keyword(int token)
{
    const Word *word = find_token(token);
    return word != NULL && word->soft;
}

bool ast_ends_statement(int token)
{
    switch (token) {
    case TOK_NAME:
    case TOK_INT:
    case TOK_FLOAT:
    case TOK_STRING:
    case ')':
    case ']':
    case '}':
        return true;
    default: {
        const Word *word = find_token(token);
        return word != NULL && word->ends;
    }
    }
}

const char *ast_token_words(int token)
{
    static const struct {
        int token;
        const char *words;
    } table[] = {
        {TOK_NAME, "a name"},
        {TOK_INT, "a number"},
        {TOK_FLOAT, "a number"},
        {TOK_STRING, "a string"},
        {TOK_NEWLINE, "the end of the line"},
        {TOK_END, "the end of the file"},
        {TOK_PIPE, "`|>`"},
        {TOK_ARROW, "`->`"},
        {TOK_DOTDOT, "`..`"},
        {TOK_ELLIPSIS, "`...`"},
        {TOK_EQ, "`==`"},
        {TOK_NE, "`!=`"},
        {TOK_LE, "`<=`"},
        {TOK_GE, "`>=`"},
        {TOK_ADD_SET, "`+=`"},
        {TOK_SUB_SET, "`-=`"},
        {TOK_MUL_SET, "`*=`"},
        {TOK_DIV_SET, "`/=`"},
        {TOK_FLOORDIV, "`//`"},
        {TOK_POW, "`**`"},
        {'+', "`+`"},
        {'-', "`-`"},
        {'*', "`*`"},
        {'/', "`/`"},
        {'%', "`%`"},
        {'@', "`@`"},
        {'<', "`<`"},
        {'>', "`>`"},
        {'=', "`=`"},
        {'.', "`.`"},
        {',', "`,`"},
        {':', "`:`"},
        {';', "`;`"},
        {'(', "`(`"},
        {')', "`)`"},
        {'{', "`{`"},
        {'}', "`}`"},
        {'[', "`[`"},
        {']', "`]`"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].token == token) {
            return table[i].words;
        }
    }
    const Word *word = find_token(token);
    return word != NULL ? word->quoted : "something else";
}
