/* Reads the text form of compiler/ast/print.c back into a tree: text to nested lists (struct Node), lists to nodes of the
 * tree. The first thing that does not fit is reported and ends the reading. Nodes are made by build.c, so that the limits
 * of the parser hold here too. Spans of the tree point into the text that was read. */
#include "compiler/ast/parse.h"
#include "compiler/ast/parser.h"
#include "compiler/ast/print.h"
#include "runtime/base/bug.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LISTS = 4 * AST_MAX_DEPTH }; /* lists in one another: a block in an expression takes four */

typedef struct Node Node;
struct Node {
    enum { NODE_LIST, NODE_WORD, NODE_STRING } kind;
    Span span;
    const char *text; /* word or string */
    uint32_t length;
    VEC(Node *) items;
};

typedef struct {
    AstParser build; /* what build.c needs: arena, diag, file */
    uint32_t at;
    bool failed;
} Reader;

static void fail(Reader *reader, Span span, const char *what) {
    if (!reader->failed) {
        diag_error(reader->build.diag, ERR_E0001, span, NULL, "expected %s in the text form of a tree", what);
    }
    reader->failed = true;
}

/* ---- text to lists ---- */

static Span span_from(const Reader *reader, uint32_t begin) {
    return (Span){reader->build.file->file, begin, reader->at};
}

static void skip_blanks(Reader *reader) {
    while (reader->at < reader->build.length && strchr(" \n\t\r", reader->build.text[reader->at]) != NULL &&
           reader->build.text[reader->at] != '\0') {
        reader->at++;
    }
}

static Node *read_string_node(Reader *reader) {
    const char *text = reader->build.text;
    uint32_t begin = reader->at++;
    while (reader->at < reader->build.length && text[reader->at] != '"') {
        reader->at += text[reader->at] == '\\' ? 2 : 1;
    }
    Node *node = ARENA_NEW(reader->build.arena, Node);
    node->kind = NODE_STRING;
    if (reader->at >= reader->build.length) {
        reader->at = reader->build.length;
        fail(reader, span_from(reader, begin), "the end of this string");
        return node;
    }
    reader->at++;
    node->span = span_from(reader, begin);
    AstText value = ast_read_string(&reader->build, text + begin, reader->at - begin, node->span);
    node->text = value.text;
    node->length = value.length;
    return node;
}

static Node *read_word_node(Reader *reader) {
    uint32_t begin = reader->at;
    while (reader->at < reader->build.length && strchr(" \n\t\r()\"", reader->build.text[reader->at]) == NULL) {
        reader->at++;
    }
    Node *node = ARENA_NEW(reader->build.arena, Node);
    node->kind = NODE_WORD;
    node->span = span_from(reader, begin);
    node->length = reader->at - begin;
    node->text = arena_substring(reader->build.arena, reader->build.text + begin, node->length);
    if (node->length == 0) {
        reader->at++; /* a byte 0 */
        fail(reader, span_from(reader, begin), "a word");
    }
    return node;
}

/* The node at reader->at; NULL at a `)` or at the end. */
static Node *read_node(Reader *reader, uint32_t depth) {
    skip_blanks(reader);
    if (reader->at >= reader->build.length || reader->failed || reader->build.text[reader->at] == ')') {
        return NULL;
    }
    if (reader->build.text[reader->at] == '"') {
        return read_string_node(reader);
    }
    if (reader->build.text[reader->at] != '(') {
        return read_word_node(reader);
    }
    uint32_t begin = reader->at++;
    Node *node = ARENA_NEW(reader->build.arena, Node);
    node->kind = NODE_LIST;
    if (depth >= MAX_LISTS) {
        fail(reader, span_from(reader, begin), "fewer lists inside one another");
        return node;
    }
    for (Node *item = read_node(reader, depth + 1); item != NULL; item = read_node(reader, depth + 1)) {
        vec_push(reader->build.arena, &node->items, item);
    }
    if (reader->at >= reader->build.length || reader->build.text[reader->at] != ')') {
        fail(reader, span_from(reader, begin), "the `)` of this list");
        return node;
    }
    reader->at++;
    node->span = span_from(reader, begin);
    return node;
}

/* ---- parts of a list ---- */

static bool is_word(const Node *node, const char *text) {
    return node->kind == NODE_WORD && strcmp(node->text, text) == 0;
}

static bool is_head(const Node *node, const char *text) {
    return node->kind == NODE_LIST && node->items.count > 0 && is_word(node->items.data[0], text);
}

static bool is_absent(const Node *node) {
    return is_word(node, "-");
}

/* The item, or an absent one after an error. */
static const Node *part(Reader *reader, const Node *list, uint32_t index) {
    static const Node none = {.kind = NODE_WORD, .text = "-", .length = 1};
    if (list->kind != NODE_LIST || index >= list->items.count) {
        fail(reader, list->span, "a longer list");
        return &none;
    }
    return list->items.data[index];
}

static uint32_t parts(const Node *list) {
    return list->kind == NODE_LIST ? list->items.count : 0;
}

/* No more than count parts. */
static void check_count(Reader *reader, const Node *list, uint32_t count) {
    if (parts(list) > count) {
        fail(reader, list->span, "a shorter list");
    }
}

static bool is_name_text(const char *text) {
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return length > 0 && text[length] == '\0' && (text[0] < '0' || text[0] > '9');
}

static AstName read_name(Reader *reader, const Node *node) {
    if (node->kind != NODE_WORD || !is_name_text(node->text)) {
        fail(reader, node->span, "a name");
        return (AstName){"error", node->span};
    }
    return (AstName){node->text, node->span};
}

static AstName read_optional_name(Reader *reader, const Node *node) {
    return is_absent(node) ? (AstName){NULL, node->span} : read_name(reader, node);
}

static AstNames read_names(Reader *reader, const Node *node) {
    AstNames names = {0};
    if (parts(node) == 0) {
        fail(reader, node->span, "a list of names");
    }
    for (uint32_t i = 0; i < parts(node); i++) {
        vec_push(reader->build.arena, &names, read_name(reader, node->items.data[i]));
    }
    return names;
}

static AstNames read_path(Reader *reader, const Node *node) {
    AstNames path = {0};
    if (node->kind != NODE_WORD) {
        fail(reader, node->span, "a path of names");
        return path;
    }
    for (const char *p = node->text;; p++) {
        size_t length = strcspn(p, ".");
        Node word = {.kind = NODE_WORD, .span = node->span};
        word.text = arena_substring(reader->build.arena, p, length);
        vec_push(reader->build.arena, &path, read_name(reader, &word));
        p += length;
        if (*p == '\0') {
            return path;
        }
    }
}

static AstPattern *read_pattern(Reader *reader, const Node *node) {
    if (node->kind != NODE_LIST) {
        return ast_new_pattern(&reader->build, read_name(reader, node));
    }
    AstPatterns entries = {0};
    if (parts(node) == 0) {
        fail(reader, node->span, "a name");
    }
    for (uint32_t i = 0; i < parts(node); i++) {
        vec_push(reader->build.arena, &entries, read_pattern(reader, node->items.data[i]));
    }
    return ast_new_pattern_list(&reader->build, entries, node->span);
}

static AstExpr *read_expr(Reader *reader, const Node *node);
static AstType *read_type(Reader *reader, const Node *node);
static AstBlock read_block(Reader *reader, const Node *node);

static AstExpr *read_optional(Reader *reader, const Node *node) {
    return is_absent(node) ? NULL : read_expr(reader, node);
}

static AstExprs read_exprs(Reader *reader, const Node *node, uint32_t from) {
    AstExprs list = {0};
    for (uint32_t i = from; i < parts(node); i++) {
        vec_push(reader->build.arena, &list, read_expr(reader, node->items.data[i]));
    }
    return list;
}

static AstArguments read_arguments(Reader *reader, const Node *node, uint32_t from) {
    AstArguments arguments = {0};
    for (uint32_t i = from; i < parts(node); i++) {
        const Node *item = node->items.data[i];
        AstArgument argument = {.span = item->span};
        if (is_head(item, "=")) {
            argument.name = read_name(reader, part(reader, item, 1));
            argument.value = read_expr(reader, part(reader, item, 2));
            check_count(reader, item, 3);
        } else {
            argument.value = read_expr(reader, item);
        }
        vec_push(reader->build.arena, &arguments, argument);
    }
    return arguments;
}

/* ---- types ---- */

static AstType *read_named_type(Reader *reader, const Node *node) {
    AstNames path = read_path(reader, part(reader, node, 1));
    AstExprs dims = {0};
    AstArguments arguments = {0};
    bool has_dims = false, has_arguments = false;
    for (uint32_t i = 2; i < parts(node); i++) {
        const Node *item = node->items.data[i];
        if (is_head(item, "dims") && !has_dims && !has_arguments) {
            has_dims = true;
            dims = read_exprs(reader, item, 1);
        } else if (is_head(item, "args") && !has_arguments) {
            has_arguments = true;
            arguments = read_arguments(reader, item, 1);
        } else {
            fail(reader, item->span, "(dims ...) or (args ...)");
        }
    }
    uint32_t height = ast_max_height(ast_height_of_exprs(&dims), ast_height_of_arguments(&arguments));
    AstType *type = ast_new_type(&reader->build, AST_TYPE_NAMED, node->span, height);
    type->as.named.path = path;
    type->as.named.has_dims = has_dims;
    type->as.named.dims = dims;
    type->as.named.has_arguments = has_arguments;
    type->as.named.arguments = arguments;
    return type;
}

static AstType *read_tuple_type(Reader *reader, const Node *node) {
    AstTypeEntries entries = {0};
    uint32_t height = 0;
    for (uint32_t i = 1; i < parts(node); i++) {
        const Node *item = node->items.data[i];
        AstTypeEntry entry = {{NULL, item->span}, NULL};
        if (is_head(item, "=")) {
            entry.name = read_name(reader, part(reader, item, 1));
            entry.type = read_type(reader, part(reader, item, 2));
            check_count(reader, item, 3);
        } else {
            entry.type = read_type(reader, item);
        }
        height = ast_max_height(height, entry.type->height);
        vec_push(reader->build.arena, &entries, entry);
    }
    AstType *type = ast_new_type(&reader->build, AST_TYPE_TUPLE, node->span, height);
    type->as.tuple = entries;
    return type;
}

static AstType *read_type(Reader *reader, const Node *node) {
    if (is_head(node, "type")) {
        return read_named_type(reader, node);
    }
    if (is_head(node, "tuple-type")) {
        return read_tuple_type(reader, node);
    }
    if (!is_head(node, "error-type")) {
        fail(reader, node->span, "a type");
    }
    check_count(reader, node, 1);
    return ast_new_type(&reader->build, AST_TYPE_ERROR, node->span, 0);
}

static AstType *read_optional_type(Reader *reader, const Node *node) {
    return is_absent(node) ? NULL : read_type(reader, node);
}

/* ---- expressions: one function per kind ---- */

static AstExpr *read_int(Reader *reader, const Node *node) {
    const Node *word = part(reader, node, 1);
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_INT, node->span, 0);
    char *end = NULL;
    errno = 0;
    expr->as.integer = strtoll(word->text, &end, 10);
    if (word->kind != NODE_WORD || end == word->text || *end != '\0' || errno != 0 || word->text[0] == '-') {
        fail(reader, node->span, "an integer");
    }
    return expr;
}

static AstExpr *read_float(Reader *reader, const Node *node) {
    const Node *word = part(reader, node, 1);
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_FLOAT, node->span, 0);
    char *end = NULL;
    expr->as.real = strtod(word->text, &end);
    bool digit = word->text[0] >= '0' && word->text[0] <= '9';
    if (word->kind != NODE_WORD || !digit || *end != '\0' || expr->as.real > 1.7976931348623157e308) {
        fail(reader, node->span, "a decimal number");
    }
    return expr;
}

static AstExpr *read_text(Reader *reader, const Node *node) {
    const Node *string = part(reader, node, 1);
    if (string->kind != NODE_STRING) {
        fail(reader, node->span, "a string");
    }
    return ast_new_string(&reader->build, (AstText){string->text, string->length}, node->span);
}

static AstExpr *read_bool(Reader *reader, const Node *node) {
    const Node *word = part(reader, node, 1);
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_BOOL, node->span, 0);
    expr->as.boolean = is_word(word, "true");
    if (!expr->as.boolean && !is_word(word, "false")) {
        fail(reader, node->span, "true or false");
    }
    return expr;
}

static AstExpr *read_name_use(Reader *reader, const Node *node) {
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_NAME, node->span, 0);
    expr->as.name = read_name(reader, part(reader, node, 1)).text;
    return expr;
}

static AstExpr *read_call(Reader *reader, const Node *node) {
    AstExpr *callee = read_expr(reader, part(reader, node, 1));
    return ast_new_call(&reader->build, callee, read_arguments(reader, node, 2), node->span);
}

static AstExpr *read_index(Reader *reader, const Node *node) {
    AstExpr *base = read_expr(reader, part(reader, node, 1));
    return ast_new_index(&reader->build, base, read_exprs(reader, node, 2), node->span);
}

static AstExpr *read_member_access(Reader *reader, const Node *node) {
    AstExpr *base = read_expr(reader, part(reader, node, 1));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_MEMBER, node->span, base->height);
    expr->as.member.base = base;
    expr->as.member.name = read_name(reader, part(reader, node, 2));
    return expr;
}

static AstExpr *read_tuple(Reader *reader, const Node *node) {
    return ast_new_list(&reader->build, AST_EXPR_TUPLE, read_exprs(reader, node, 1), node->span);
}

static AstExpr *read_array(Reader *reader, const Node *node) {
    return ast_new_list(&reader->build, AST_EXPR_ARRAY, read_exprs(reader, node, 1), node->span);
}

static AstExpr *read_field(Reader *reader, const Node *node) {
    AstType *type = read_type(reader, part(reader, node, 2));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_FIELD, node->span, type->height);
    expr->as.field.name = read_name(reader, part(reader, node, 1));
    expr->as.field.type = type;
    return expr;
}

static AstExpr *read_comprehension(Reader *reader, const Node *node) {
    AstPattern *pattern = read_pattern(reader, part(reader, node, 1));
    AstExpr *over = read_expr(reader, part(reader, node, 2));
    AstExpr *body = read_expr(reader, part(reader, node, 3));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_COMPREHENSION, node->span,
                                 ast_max_height(over->height, body->height));
    expr->as.comprehension.pattern = pattern;
    expr->as.comprehension.over = over;
    expr->as.comprehension.body = body;
    return expr;
}

static AstExpr *read_branch(Reader *reader, const Node *node) {
    AstExprKind kind = is_head(node, "if") ? AST_EXPR_IF : AST_EXPR_COND;
    AstExpr *condition = read_expr(reader, part(reader, node, 1));
    AstBlock then = read_block(reader, part(reader, node, 2));
    bool has_otherwise = parts(node) > 3 || kind == AST_EXPR_COND;
    AstBlock otherwise = {0};
    if (has_otherwise) {
        otherwise = read_block(reader, part(reader, node, 3));
    }
    return ast_new_branch(&reader->build, kind, condition, then, has_otherwise ? &otherwise : NULL, node->span);
}

static AstExpr *read_unary(Reader *reader, const Node *node) {
    AstExprKind kind = is_head(node, "neg") ? AST_EXPR_NEGATE : AST_EXPR_NOT;
    return ast_new_unary(&reader->build, kind, read_expr(reader, part(reader, node, 1)), node->span);
}

static AstExpr *read_pipe(Reader *reader, const Node *node) {
    AstExpr *left = read_expr(reader, part(reader, node, 1));
    AstExpr *right = read_expr(reader, part(reader, node, 2));
    return ast_new_binary(&reader->build, AST_BINARY_COUNT, left, right, node->span, node->span);
}

static AstExpr *read_range(Reader *reader, const Node *node) {
    AstExpr *low = read_optional(reader, part(reader, node, 1));
    AstExpr *high = read_optional(reader, part(reader, node, 2));
    return ast_new_range(&reader->build, low, high, node->span);
}

static AstExpr *read_ellipsis(Reader *reader, const Node *node) {
    return ast_new_expr(&reader->build, AST_EXPR_ELLIPSIS, node->span, 0);
}

static AstExpr *read_error(Reader *reader, const Node *node) {
    return ast_new_expr(&reader->build, AST_EXPR_ERROR, node->span, 0);
}

static AstExpr *read_lambda(Reader *reader, const Node *node) {
    AstExpr *body = read_expr(reader, part(reader, node, 2));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_LAMBDA, node->span, body->height);
    expr->as.lambda.parameters = read_names(reader, part(reader, node, 1));
    expr->as.lambda.body = body;
    return expr;
}

static AstBindings read_bindings(Reader *reader, const Node *node) {
    AstBindings bindings = {0};
    if (!is_head(node, "with")) {
        fail(reader, node->span, "(with ...)");
    }
    AstArguments arguments = read_arguments(reader, node, 1);
    for (uint32_t i = 0; i < arguments.count; i++) {
        if (arguments.data[i].name.text == NULL) {
            fail(reader, node->span, "(= name value)");
        }
        vec_push(reader->build.arena, &bindings, (AstBinding){arguments.data[i].name, arguments.data[i].value});
    }
    return bindings;
}

static AstExpr *read_scan(Reader *reader, const Node *node) {
    AstExpr *source = read_expr(reader, part(reader, node, 2));
    AstExpr *length = read_optional(reader, part(reader, node, 3));
    AstBindings state = read_bindings(reader, part(reader, node, 4));
    AstBlock body = read_block(reader, part(reader, node, 5));
    uint32_t height = ast_max_height(source->height, ast_max_height(length ? length->height : 0, body.height));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_SCAN, node->span,
                                 ast_max_height(height, ast_height_of_bindings(&state)));
    expr->as.scan.pattern = read_pattern(reader, part(reader, node, 1));
    expr->as.scan.source = source;
    expr->as.scan.length = length;
    expr->as.scan.state = state;
    expr->as.scan.body = body;
    return expr;
}

static AstExpr *read_while(Reader *reader, const Node *node) {
    AstExpr *condition = read_expr(reader, part(reader, node, 1));
    AstBindings state = read_bindings(reader, part(reader, node, 2));
    AstBlock body = read_block(reader, part(reader, node, 3));
    uint32_t height = ast_max_height(condition->height, ast_max_height(ast_height_of_bindings(&state), body.height));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_WHILE, node->span, height);
    expr->as.loop.condition = condition;
    expr->as.loop.state = state;
    expr->as.loop.body = body;
    return expr;
}

static AstExpr *read_binary(Reader *reader, const Node *node, AstBinary op) {
    AstExpr *left = read_expr(reader, part(reader, node, 1));
    AstExpr *right = read_expr(reader, part(reader, node, 2));
    check_count(reader, node, 3);
    return ast_new_binary(&reader->build, op, left, right, node->span, node->span);
}

typedef struct {
    AstExpr *(*read)(Reader *, const Node *);
    uint32_t most; /* parts with the head; 0: any number */
} ExprForm;

static const ExprForm expr_forms[AST_EXPR_COUNT] = {
    [AST_EXPR_INT] = {read_int, 2},
    [AST_EXPR_FLOAT] = {read_float, 2},
    [AST_EXPR_STRING] = {read_text, 2},
    [AST_EXPR_BOOL] = {read_bool, 2},
    [AST_EXPR_NAME] = {read_name_use, 2},
    [AST_EXPR_CALL] = {read_call, 0},
    [AST_EXPR_INDEX] = {read_index, 0},
    [AST_EXPR_MEMBER] = {read_member_access, 3},
    [AST_EXPR_TUPLE] = {read_tuple, 0},
    [AST_EXPR_ARRAY] = {read_array, 0},
    [AST_EXPR_FIELD] = {read_field, 3},
    [AST_EXPR_COMPREHENSION] = {read_comprehension, 4},
    [AST_EXPR_IF] = {read_branch, 4},
    [AST_EXPR_COND] = {read_branch, 4},
    [AST_EXPR_NEGATE] = {read_unary, 2},
    [AST_EXPR_NOT] = {read_unary, 2},
    [AST_EXPR_PIPE] = {read_pipe, 3},
    [AST_EXPR_RANGE] = {read_range, 3},
    [AST_EXPR_ELLIPSIS] = {read_ellipsis, 1},
    [AST_EXPR_LAMBDA] = {read_lambda, 3},
    [AST_EXPR_SCAN] = {read_scan, 6},
    [AST_EXPR_WHILE] = {read_while, 4},
    [AST_EXPR_ERROR] = {read_error, 1},
};

static AstExpr *read_expr(Reader *reader, const Node *node) {
    for (int op = 0; op < AST_BINARY_COUNT && !reader->failed; op++) {
        if (is_head(node, ast_binary_text((AstBinary)op))) {
            return read_binary(reader, node, (AstBinary)op);
        }
    }
    for (int kind = 0; kind < AST_EXPR_COUNT && !reader->failed; kind++) {
        if (expr_forms[kind].read != NULL && is_head(node, ast_expr_kind_text((AstExprKind)kind))) {
            if (expr_forms[kind].most != 0) {
                check_count(reader, node, expr_forms[kind].most);
            }
            return expr_forms[kind].read(reader, node);
        }
    }
    fail(reader, node->span, "an expression");
    return read_error(reader, node);
}

/* ---- statements ---- */

static AstLet read_let(Reader *reader, const Node *node) {
    AstLet let;
    let.pattern = read_pattern(reader, part(reader, node, 1));
    let.type = read_optional_type(reader, part(reader, node, 2));
    let.value = read_expr(reader, part(reader, node, 3));
    check_count(reader, node, 4);
    return let;
}

static AstStmt *read_let_stmt(Reader *reader, const Node *node) {
    AstLet let = read_let(reader, node);
    uint32_t height = ast_max_height(let.value->height, let.type ? let.type->height : 0);
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_LET, node->span, height);
    stmt->as.let = let;
    return stmt;
}

static AstStmt *read_indexed(Reader *reader, const Node *node) {
    AstExpr *value = read_expr(reader, part(reader, node, 3));
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_INDEXED, node->span, value->height);
    stmt->as.indexed.name = read_name(reader, part(reader, node, 1));
    stmt->as.indexed.indices = read_names(reader, part(reader, node, 2));
    stmt->as.indexed.value = value;
    return stmt;
}

static AstAssign read_assign_op(Reader *reader, const Node *node) {
    for (int op = AST_ASSIGN_SET; op <= AST_ASSIGN_DIV; op++) {
        if (is_word(node, ast_assign_text((AstAssign)op))) {
            return (AstAssign)op;
        }
    }
    fail(reader, node->span, "=, +=, -=, *= or /=");
    return AST_ASSIGN_SET;
}

static AstStmt *read_assign(Reader *reader, const Node *node) {
    AstExpr *value = read_expr(reader, part(reader, node, 3));
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_ASSIGN, node->span, value->height);
    stmt->as.assign.op = read_assign_op(reader, part(reader, node, 1));
    stmt->as.assign.targets = read_names(reader, part(reader, node, 2));
    stmt->as.assign.value = value;
    return stmt;
}

static AstStmt *read_value(Reader *reader, const Node *node) {
    bool bare = is_head(node, "return") && is_absent(part(reader, node, 1));
    AstStmtKind kind = is_head(node, "return") ? AST_STMT_RETURN : is_head(node, "yield") ? AST_STMT_YIELD : AST_STMT_EXPR;
    AstExpr *value = bare ? NULL : read_expr(reader, part(reader, node, 1));
    AstStmt *stmt = ast_new_stmt(&reader->build, kind, node->span, value ? value->height : 0);
    stmt->as.expr = value;
    return stmt;
}

static AstStmt *read_for(Reader *reader, const Node *node) {
    AstExpr *over = read_expr(reader, part(reader, node, 2));
    AstBlock body = read_block(reader, part(reader, node, 3));
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_FOR, node->span, ast_max_height(over->height, body.height));
    stmt->as.loop.pattern = read_pattern(reader, part(reader, node, 1));
    stmt->as.loop.over = over;
    stmt->as.loop.body = body;
    return stmt;
}

static AstStmt *read_minimize(Reader *reader, const Node *node) {
    AstExpr *loss = read_expr(reader, part(reader, node, 1));
    const Node *list = part(reader, node, 2);
    if (!is_head(list, "wrt") || parts(list) < 2) {
        fail(reader, list->span, "(wrt ...)");
    }
    AstExprs wrt = read_exprs(reader, list, 1);
    AstExpr *optimizer = read_expr(reader, part(reader, node, 3));
    uint32_t height = ast_max_height(loss->height, ast_max_height(ast_height_of_exprs(&wrt), optimizer->height));
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_MINIMIZE, node->span, height);
    stmt->as.minimize.loss = loss;
    stmt->as.minimize.wrt = wrt;
    stmt->as.minimize.optimizer = optimizer;
    return stmt;
}

static AstStmt *read_no_stmt(Reader *reader, const Node *node) {
    return ast_new_stmt(&reader->build, AST_STMT_ERROR, node->span, 0);
}

static const struct {
    AstStmt *(*read)(Reader *, const Node *);
    uint32_t most;
} stmt_forms[AST_STMT_COUNT] = {
    [AST_STMT_LET] = {read_let_stmt, 4}, [AST_STMT_INDEXED] = {read_indexed, 4},   [AST_STMT_ASSIGN] = {read_assign, 4},
    [AST_STMT_EXPR] = {read_value, 2},   [AST_STMT_RETURN] = {read_value, 2},      [AST_STMT_YIELD] = {read_value, 2},
    [AST_STMT_FOR] = {read_for, 4},      [AST_STMT_MINIMIZE] = {read_minimize, 4}, [AST_STMT_ERROR] = {read_no_stmt, 1},
};

static AstStmt *read_stmt(Reader *reader, const Node *node) {
    for (int kind = 0; kind < AST_STMT_COUNT && !reader->failed; kind++) {
        if (is_head(node, ast_stmt_kind_text((AstStmtKind)kind))) {
            check_count(reader, node, stmt_forms[kind].most);
            return stmt_forms[kind].read(reader, node);
        }
    }
    fail(reader, node->span, "a statement");
    return read_no_stmt(reader, node);
}

static AstBlock read_block(Reader *reader, const Node *node) {
    AstBlock block = {.span = node->span};
    if (!is_head(node, "block")) {
        fail(reader, node->span, "(block ...)");
    }
    for (uint32_t i = 1; i < parts(node) && !reader->failed; i++) {
        ast_block_add(&reader->build, &block, read_stmt(reader, node->items.data[i]));
    }
    return block;
}

/* ---- members and items ---- */

static AstParameters read_parameters(Reader *reader, const Node *node) {
    AstParameters parameters = {0};
    if (!is_head(node, "params")) {
        fail(reader, node->span, "(params ...)");
    }
    for (uint32_t i = 1; i < parts(node); i++) {
        const Node *item = node->items.data[i];
        AstParameter parameter = {.span = item->span};
        if (!is_head(item, "param")) {
            fail(reader, item->span, "(param name type default)");
        }
        parameter.name = read_name(reader, part(reader, item, 1));
        parameter.type = read_optional_type(reader, part(reader, item, 2));
        parameter.value = read_optional(reader, part(reader, item, 3));
        check_count(reader, item, 4);
        vec_push(reader->build.arena, &parameters, parameter);
    }
    return parameters;
}

static AstFunction read_function(Reader *reader, const Node *node) {
    AstFunction function = {.header = node->span};
    function.name = read_optional_name(reader, part(reader, node, 1));
    function.parameters = read_parameters(reader, part(reader, node, 2));
    function.result = read_optional_type(reader, part(reader, node, 3));
    function.body = read_block(reader, part(reader, node, 4));
    check_count(reader, node, 5);
    return function;
}

/* (doc "text" thing) to thing and text. */
static const Node *open_doc(Reader *reader, const Node *node, const char **doc) {
    if (!is_head(node, "doc")) {
        return node;
    }
    const Node *text = part(reader, node, 1);
    if (text->kind != NODE_STRING) {
        fail(reader, text->span, "the text of a comment");
    }
    *doc = text->text;
    check_count(reader, node, 3);
    return part(reader, node, 2);
}

static AstMembers read_members(Reader *reader, const Node *node, uint32_t from);

static void read_variable(Reader *reader, const Node *node, AstMember *member) {
    const Node *name = part(reader, node, 1);
    if (name->kind == NODE_STRING && member->kind == AST_MEMBER_PARAM) {
        AstText text = {name->text, name->length};
        member->as.variable.computed = ast_new_string(&reader->build, text, name->span);
    } else {
        member->as.variable.name = read_name(reader, name);
    }
    member->as.variable.type = read_optional_type(reader, part(reader, node, 2));
    member->as.variable.value = read_optional(reader, part(reader, node, 3));
    check_count(reader, node, 4);
}

static void read_let_member(Reader *reader, const Node *node, AstMember *member) {
    member->as.let = read_let(reader, node);
}

static void read_fn_member(Reader *reader, const Node *node, AstMember *member) {
    member->as.function = read_function(reader, node);
}

static void read_key(Reader *reader, const Node *node, AstMember *member) {
    member->as.key.name = read_name(reader, part(reader, node, 1));
    member->as.key.value = read_expr(reader, part(reader, node, 2));
    check_count(reader, node, 3);
}

static void read_block_member(Reader *reader, const Node *node, AstMember *member) {
    member->as.block.name = read_name(reader, part(reader, node, 1));
    member->as.block.members = read_members(reader, node, 2);
}

static AstMember *read_member(Reader *reader, const Node *outer) {
    static void (*const forms[AST_MEMBER_COUNT])(Reader *, const Node *, AstMember *) = {
        [AST_MEMBER_PARAM] = read_variable, [AST_MEMBER_STATE] = read_variable, [AST_MEMBER_LET] = read_let_member,
        [AST_MEMBER_FN] = read_fn_member,   [AST_MEMBER_KEY] = read_key,        [AST_MEMBER_BLOCK] = read_block_member,
    };
    const char *doc = NULL;
    const Node *node = open_doc(reader, outer, &doc);
    for (int kind = 0; kind < AST_MEMBER_COUNT && !reader->failed; kind++) {
        if (is_head(node, ast_member_kind_text((AstMemberKind)kind))) {
            AstMember *member = ast_new_member(&reader->build, (AstMemberKind)kind, node->span);
            member->doc = doc;
            forms[kind](reader, node, member);
            return member;
        }
    }
    fail(reader, node->span, "a member");
    return NULL;
}

static AstMembers read_members(Reader *reader, const Node *node, uint32_t from) {
    AstMembers members = {0};
    for (uint32_t i = from; i < parts(node) && !reader->failed; i++) {
        AstMember *member = read_member(reader, node->items.data[i]);
        if (member != NULL) {
            vec_push(reader->build.arena, &members, member);
        }
    }
    return members;
}

static void read_import(Reader *reader, const Node *node, AstItem *item) {
    const Node *from = part(reader, node, 1);
    if (from->kind == NODE_STRING) {
        item->as.import.file = ast_new_string(&reader->build, (AstText){from->text, from->length}, from->span);
    } else {
        item->as.import.path = read_path(reader, from);
    }
    item->as.import.alias = read_optional_name(reader, part(reader, node, 2));
    for (uint32_t i = 3; i < parts(node); i++) {
        const Node *entry = node->items.data[i];
        AstImported imported = {.alias = {NULL, entry->span}};
        if (is_head(entry, "=")) {
            imported.name = read_name(reader, part(reader, entry, 1));
            imported.alias = read_name(reader, part(reader, entry, 2));
            check_count(reader, entry, 3);
        } else {
            imported.name = read_name(reader, entry);
        }
        vec_push(reader->build.arena, &item->as.import.names, imported);
    }
}

static void read_const(Reader *reader, const Node *node, AstItem *item) {
    item->name = read_name(reader, part(reader, node, 1));
    item->as.constant.type = read_optional_type(reader, part(reader, node, 2));
    item->as.constant.value = read_expr(reader, part(reader, node, 3));
    check_count(reader, node, 4);
}

static void read_fn_item(Reader *reader, const Node *node, AstItem *item) {
    item->as.function = read_function(reader, node);
    item->name = item->as.function.name;
    if (item->name.text == NULL) {
        fail(reader, node->span, "a name");
    }
}

static void read_declaration(Reader *reader, const Node *node, AstItem *item) {
    item->name = read_name(reader, part(reader, node, 1));
    const Node *parameters = part(reader, node, 2);
    item->as.declaration.has_parameters = !is_absent(parameters);
    if (item->as.declaration.has_parameters) {
        item->as.declaration.parameters = read_parameters(reader, parameters);
    }
    item->as.declaration.on = read_optional(reader, part(reader, node, 3));
    item->as.declaration.members = read_members(reader, node, 4);
    item->as.declaration.header = node->span;
    ast_check_members(&reader->build, item->kind, &item->as.declaration.members);
}

static void read_item(Reader *reader, const Node *outer) {
    static void (*const forms[AST_ITEM_COUNT])(Reader *, const Node *, AstItem *) = {
        [AST_ITEM_IMPORT] = read_import,        [AST_ITEM_CONST] = read_const,
        [AST_ITEM_FN] = read_fn_item,           [AST_ITEM_EXTERN] = read_fn_item,
        [AST_ITEM_MODULE] = read_declaration,   [AST_ITEM_OPTIMIZER] = read_declaration,
        [AST_ITEM_METRIC] = read_declaration,   [AST_ITEM_SCHEDULE] = read_declaration,
        [AST_ITEM_INIT] = read_fn_item,         [AST_ITEM_DATASET] = read_declaration,
        [AST_ITEM_TRAIN] = read_declaration,
    };
    const char *doc = NULL;
    const Node *node = open_doc(reader, outer, &doc);
    for (int kind = 0; kind < AST_ITEM_COUNT && !reader->failed; kind++) {
        if (is_head(node, ast_item_kind_text((AstItemKind)kind))) {
            AstItem *item = ast_new_item(&reader->build, (AstItemKind)kind, (AstName){NULL, node->span}, node->span);
            item->doc = doc;
            forms[kind](reader, node, item);
            vec_push(reader->build.arena, &reader->build.file->items, item);
            return;
        }
    }
    fail(reader, node->span, "a declaration");
}

AstFile *ast_read(Arena *arena, SourceMap *map, uint32_t file, Diag *diag) {
    AstFile *tree = ARENA_NEW(arena, AstFile);
    tree->file = file;
    size_t length = 0;
    const char *text = source_text(map, file, &length);
    Reader reader = {.build = {.arena = arena, .map = map, .diag = diag, .file = tree, .text = text}};
    if (length > AST_MAX_SOURCE) {
        diag_error(diag, ERR_E0007, (Span){file, 0, 0}, NULL, "a file may have %u bytes at most", AST_MAX_SOURCE);
        return NULL;
    }
    uint32_t errors = diag_error_count(diag);
    reader.build.length = (uint32_t)length;
    for (Node *node = read_node(&reader, 0); node != NULL && !reader.failed; node = read_node(&reader, 0)) {
        if (is_head(node, "file-doc") && tree->items.count == 0 && parts(node) == 2) {
            tree->doc = part(&reader, node, 1)->text;
        } else {
            read_item(&reader, node);
        }
    }
    if (reader.at < reader.build.length) {
        fail(&reader, (Span){file, reader.at, reader.at + 1}, "a declaration");
    }
    return reader.failed || diag_error_count(diag) != errors ? NULL : tree;
}
