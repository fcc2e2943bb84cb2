/* Lists to types and expressions, one function per kind of expression; which one reads a list is
 * looked up by its head in a table beside the longest form it may have. */
#include "compiler/ast/read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static AstType *read_type(AstReader *reader, const AstNode *node);

AstExpr *ast_read_optional_expr(AstReader *reader, const AstNode *node)
{
    return ast_node_is_absent(node) ? NULL : ast_read_expr(reader, node);
}

AstExprs ast_read_exprs(AstReader *reader, const AstNode *node, uint32_t from)
{
    AstExprs list = {0};
    for (uint32_t i = from; i < ast_node_parts(node); i++) {
        vec_push(reader->build.arena, &list, ast_read_expr(reader, node->items.data[i]));
    }
    return list;
}

static AstArguments read_arguments(AstReader *reader, const AstNode *node, uint32_t from)
{
    AstArguments arguments = {0};
    for (uint32_t i = from; i < ast_node_parts(node); i++) {
        const AstNode *item = node->items.data[i];
        AstArgument argument = {.span = item->span};
        if (ast_node_is_head(item, "=")) {
            argument.name = ast_read_name(reader, ast_read_part(reader, item, 1));
            argument.value = ast_read_expr(reader, ast_read_part(reader, item, 2));
            ast_read_at_most(reader, item, 3);
        } else {
            argument.value = ast_read_expr(reader, item);
        }
        vec_push(reader->build.arena, &arguments, argument);
    }
    return arguments;
}

/* ---- types ---- */

static AstType *read_named_type(AstReader *reader, const AstNode *node)
{
    AstNames path = ast_read_path(reader, ast_read_part(reader, node, 1));
    AstExprs dims = {0};
    AstArguments arguments = {0};
    bool has_dims = false, has_arguments = false;
    for (uint32_t i = 2; i < ast_node_parts(node); i++) {
        const AstNode *item = node->items.data[i];
        if (ast_node_is_head(item, "dims") && !has_dims && !has_arguments) {
            has_dims = true;
            dims = ast_read_exprs(reader, item, 1);
        } else if (ast_node_is_head(item, "args") && !has_arguments) {
            has_arguments = true;
            arguments = read_arguments(reader, item, 1);
        } else {
            ast_read_fail(reader, item->span, "(dims ...) or (args ...)");
        }
    }
    uint32_t height =
        ast_max_height(ast_height_of_exprs(&dims), ast_height_of_arguments(&arguments));
    AstType *type = ast_new_type(&reader->build, AST_TYPE_NAMED, node->span, height);
    type->as.named.path = path;
    type->as.named.has_dims = has_dims;
    type->as.named.dims = dims;
    type->as.named.has_arguments = has_arguments;
    type->as.named.arguments = arguments;
    return type;
}

static AstType *read_tuple_type(AstReader *reader, const AstNode *node)
{
    AstTypeEntries entries = {0};
    uint32_t height = 0;
    for (uint32_t i = 1; i < ast_node_parts(node); i++) {
        const AstNode *item = node->items.data[i];
        AstTypeEntry entry = {{NULL, item->span}, NULL};
        if (ast_node_is_head(item, "=")) {
            entry.name = ast_read_name(reader, ast_read_part(reader, item, 1));
            entry.type = read_type(reader, ast_read_part(reader, item, 2));
            ast_read_at_most(reader, item, 3);
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

static AstType *read_type(AstReader *reader, const AstNode *node)
{
    if (ast_node_is_head(node, "type")) {
        return read_named_type(reader, node);
    }
    if (ast_node_is_head(node, "tuple-type")) {
        return read_tuple_type(reader, node);
    }
    if (!ast_node_is_head(node, "error-type")) {
        ast_read_fail(reader, node->span, "a type");
    }
    ast_read_at_most(reader, node, 1);
    return ast_new_type(&reader->build, AST_TYPE_ERROR, node->span, 0);
}

AstType *ast_read_optional_type(AstReader *reader, const AstNode *node)
{
    return ast_node_is_absent(node) ? NULL : read_type(reader, node);
}

/* ---- expressions: one function per kind ---- */

static AstExpr *read_int(AstReader *reader, const AstNode *node)
{
    const AstNode *word = ast_read_part(reader, node, 1);
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_INT, node->span, 0);
    char *end = NULL;
    errno = 0;
    expr->as.integer = strtoll(word->text, &end, 10);
    if (word->kind != NODE_WORD || end == word->text || *end != '\0' || errno != 0 ||
        word->text[0] == '-') {
        ast_read_fail(reader, node->span, "an integer");
    }
    return expr;
}

static AstExpr *read_float(AstReader *reader, const AstNode *node)
{
    const AstNode *word = ast_read_part(reader, node, 1);
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_FLOAT, node->span, 0);
    char *end = NULL;
    expr->as.real = strtod(word->text, &end);
    bool digit = word->text[0] >= '0' && word->text[0] <= '9';
    if (word->kind != NODE_WORD || !digit || *end != '\0' ||
        expr->as.real > 1.7976931348623157e308) {
        ast_read_fail(reader, node->span, "a decimal number");
    }
    return expr;
}

static AstExpr *read_text(AstReader *reader, const AstNode *node)
{
    const AstNode *string = ast_read_part(reader, node, 1);
    if (string->kind != NODE_STRING) {
        ast_read_fail(reader, node->span, "a string");
    }
    return ast_new_string(&reader->build, (AstText){string->text, string->length}, node->span);
}

static AstExpr *read_bool(AstReader *reader, const AstNode *node)
{
    const AstNode *word = ast_read_part(reader, node, 1);
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_BOOL, node->span, 0);
    expr->as.boolean = ast_node_is_word(word, "true");
    if (!expr->as.boolean && !ast_node_is_word(word, "false")) {
        ast_read_fail(reader, node->span, "true or false");
    }
    return expr;
}

static AstExpr *read_name_use(AstReader *reader, const AstNode *node)
{
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_NAME, node->span, 0);
    expr->as.name = ast_read_name(reader, ast_read_part(reader, node, 1)).text;
    return expr;
}

static AstExpr *read_call(AstReader *reader, const AstNode *node)
{
    AstExpr *callee = ast_read_expr(reader, ast_read_part(reader, node, 1));
    return ast_new_call(&reader->build, callee, read_arguments(reader, node, 2), node->span);
}

static AstExpr *read_index(AstReader *reader, const AstNode *node)
{
    AstExpr *base = ast_read_expr(reader, ast_read_part(reader, node, 1));
    return ast_new_index(&reader->build, base, ast_read_exprs(reader, node, 2), node->span);
}

static AstExpr *read_member_access(AstReader *reader, const AstNode *node)
{
    AstExpr *base = ast_read_expr(reader, ast_read_part(reader, node, 1));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_MEMBER, node->span, base->height);
    expr->as.member.base = base;
    expr->as.member.name = ast_read_name(reader, ast_read_part(reader, node, 2));
    return expr;
}

static AstExpr *read_tuple(AstReader *reader, const AstNode *node)
{
    return ast_new_list(&reader->build, AST_EXPR_TUPLE, ast_read_exprs(reader, node, 1),
                        node->span);
}

static AstExpr *read_array(AstReader *reader, const AstNode *node)
{
    return ast_new_list(&reader->build, AST_EXPR_ARRAY, ast_read_exprs(reader, node, 1),
                        node->span);
}

static AstExpr *read_field(AstReader *reader, const AstNode *node)
{
    AstType *type = read_type(reader, ast_read_part(reader, node, 2));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_FIELD, node->span, type->height);
    expr->as.field.name = ast_read_name(reader, ast_read_part(reader, node, 1));
    expr->as.field.type = type;
    return expr;
}

static AstExpr *read_comprehension(AstReader *reader, const AstNode *node)
{
    AstPattern *pattern = ast_read_pattern(reader, ast_read_part(reader, node, 1));
    AstExpr *over = ast_read_expr(reader, ast_read_part(reader, node, 2));
    AstExpr *body = ast_read_expr(reader, ast_read_part(reader, node, 3));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_COMPREHENSION, node->span,
                                 ast_max_height(over->height, body->height));
    expr->as.comprehension.pattern = pattern;
    expr->as.comprehension.over = over;
    expr->as.comprehension.body = body;
    return expr;
}

static AstExpr *read_branch(AstReader *reader, const AstNode *node)
{
    AstExprKind kind = ast_node_is_head(node, "if") ? AST_EXPR_IF : AST_EXPR_COND;
    AstExpr *condition = ast_read_expr(reader, ast_read_part(reader, node, 1));
    AstBlock then = ast_read_block(reader, ast_read_part(reader, node, 2));
    bool has_otherwise = ast_node_parts(node) > 3 || kind == AST_EXPR_COND;
    AstBlock otherwise = {0};
    if (has_otherwise) {
        otherwise = ast_read_block(reader, ast_read_part(reader, node, 3));
    }
    return ast_new_branch(&reader->build, kind, condition, then, has_otherwise ? &otherwise : NULL,
                          node->span);
}

static AstExpr *read_unary(AstReader *reader, const AstNode *node)
{
    AstExprKind kind = ast_node_is_head(node, "neg") ? AST_EXPR_NEGATE : AST_EXPR_NOT;
    return ast_new_unary(&reader->build, kind,
                         ast_read_expr(reader, ast_read_part(reader, node, 1)), node->span);
}

static AstExpr *read_pipe(AstReader *reader, const AstNode *node)
{
    AstExpr *left = ast_read_expr(reader, ast_read_part(reader, node, 1));
    AstExpr *right = ast_read_expr(reader, ast_read_part(reader, node, 2));
    return ast_new_binary(&reader->build, AST_BINARY_COUNT, left, right, node->span, node->span);
}

static AstExpr *read_padded(AstReader *reader, const AstNode *node)
{
    AstExpr *expr = read_pipe(reader, node);
    expr->kind = AST_EXPR_PADDED;
    return expr;
}

static AstExpr *read_range(AstReader *reader, const AstNode *node)
{
    AstExpr *low = ast_read_optional_expr(reader, ast_read_part(reader, node, 1));
    AstExpr *high = ast_read_optional_expr(reader, ast_read_part(reader, node, 2));
    AstExpr *range = ast_new_range(&reader->build, low, high, node->span);
    if (ast_node_parts(node) < 4)
        return range;
    AstExpr *step = ast_read_expr(reader, ast_read_part(reader, node, 3));
    return ast_new_slice(&reader->build, range, step, node->span);
}

static AstExpr *read_ellipsis(AstReader *reader, const AstNode *node)
{
    return ast_new_expr(&reader->build, AST_EXPR_ELLIPSIS, node->span, 0);
}

static AstExpr *read_error(AstReader *reader, const AstNode *node)
{
    return ast_new_expr(&reader->build, AST_EXPR_ERROR, node->span, 0);
}

static AstExpr *read_lambda(AstReader *reader, const AstNode *node)
{
    AstExpr *body = ast_read_expr(reader, ast_read_part(reader, node, 2));
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_LAMBDA, node->span, body->height);
    expr->as.lambda.parameters = ast_read_names(reader, ast_read_part(reader, node, 1));
    expr->as.lambda.body = body;
    return expr;
}

static AstExpr *read_param(AstReader *reader, const AstNode *node)
{
    const AstNode *name = ast_read_part(reader, node, 1);
    AstText text = {name->text, name->length};
    AstExpr *computed = ast_new_string(&reader->build, text, name->span);
    AstType *type = read_type(reader, ast_read_part(reader, node, 2));
    AstExpr *value = ast_read_expr(reader, ast_read_part(reader, node, 3));
    if (name->kind != NODE_STRING)
        ast_read_fail(reader, name->span, "a string");
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_PARAM, node->span,
                                 ast_max_height(type->height, value->height));
    expr->as.param = ast_new_variable(&reader->build, AST_MEMBER_PARAM, (AstName){0}, computed,
                                      type, value, node->span);
    return expr;
}

static AstBindings read_named_values(AstReader *reader, const AstNode *node)
{
    AstBindings bindings = {0};
    AstArguments arguments = read_arguments(reader, node, 1);
    for (uint32_t i = 0; i < arguments.count; i++) {
        if (arguments.data[i].name.text == NULL) {
            ast_read_fail(reader, node->span, "(= name value)");
        }
        vec_push(reader->build.arena, &bindings,
                 (AstBinding){arguments.data[i].name, arguments.data[i].value});
    }
    return bindings;
}

static AstBindings read_bindings(AstReader *reader, const AstNode *node)
{
    if (!ast_node_is_head(node, "with")) {
        ast_read_fail(reader, node->span, "(with ...)");
    }
    return read_named_values(reader, node);
}

static AstExpr *read_record(AstReader *reader, const AstNode *node)
{
    return ast_new_record(&reader->build, read_named_values(reader, node), node->span);
}

static AstExpr *read_scan(AstReader *reader, const AstNode *node)
{
    AstExpr *source = ast_read_expr(reader, ast_read_part(reader, node, 2));
    const AstNode *settings = ast_read_part(reader, node, 3);
    if (!ast_node_is_head(settings, "options"))
        ast_read_fail(reader, node->span, "(options ...)");
    AstScanOptions options = {.settings = read_arguments(reader, settings, 1),
                              .state = read_bindings(reader, ast_read_part(reader, node, 4))};
    AstBlock body = ast_read_block(reader, ast_read_part(reader, node, 5));
    uint32_t height = ast_max_height(source->height, body.height);
    AstExpr *expr =
        ast_new_expr(&reader->build, AST_EXPR_SCAN, node->span,
                     ast_max_height(height, ast_height_of_scan_options(&options)));
    expr->as.scan.pattern = ast_read_pattern(reader, ast_read_part(reader, node, 1));
    expr->as.scan.source = source;
    expr->as.scan.options = options;
    expr->as.scan.body = body;
    return expr;
}

static AstExpr *read_while(AstReader *reader, const AstNode *node)
{
    AstExpr *condition = ast_read_expr(reader, ast_read_part(reader, node, 1));
    AstExpr *bound = ast_read_optional_expr(reader, ast_read_part(reader, node, 2));
    AstBindings state = read_bindings(reader, ast_read_part(reader, node, 3));
    AstBlock body = ast_read_block(reader, ast_read_part(reader, node, 4));
    uint32_t height = ast_max_height(condition->height,
                                     ast_max_height(ast_height_of_bindings(&state), body.height));
    height = ast_max_height(height, bound ? bound->height : 0);
    AstExpr *expr = ast_new_expr(&reader->build, AST_EXPR_WHILE, node->span, height);
    expr->as.loop.condition = condition;
    expr->as.loop.bound = bound;
    expr->as.loop.state = state;
    expr->as.loop.body = body;
    return expr;
}

static AstExpr *read_binary(AstReader *reader, const AstNode *node, AstBinary op)
{
    AstExpr *left = ast_read_expr(reader, ast_read_part(reader, node, 1));
    AstExpr *right = ast_read_expr(reader, ast_read_part(reader, node, 2));
    ast_read_at_most(reader, node, 3);
    return ast_new_binary(&reader->build, op, left, right, node->span, node->span);
}

typedef struct {
    AstExpr *(*read)(AstReader *, const AstNode *);
    uint32_t most; /* ast_node_parts with the head; 0: any number */
} ExprForm;

static const ExprForm expr_forms[AST_EXPR_COUNT] = {
    [AST_EXPR_INT] = {read_int, 2},           [AST_EXPR_FLOAT] = {read_float, 2},
    [AST_EXPR_STRING] = {read_text, 2},       [AST_EXPR_BOOL] = {read_bool, 2},
    [AST_EXPR_NAME] = {read_name_use, 2},     [AST_EXPR_CALL] = {read_call, 0},
    [AST_EXPR_INDEX] = {read_index, 0},       [AST_EXPR_MEMBER] = {read_member_access, 3},
    [AST_EXPR_TUPLE] = {read_tuple, 0},       [AST_EXPR_ARRAY] = {read_array, 0},
    [AST_EXPR_FIELD] = {read_field, 3},       [AST_EXPR_COMPREHENSION] = {read_comprehension, 4},
    [AST_EXPR_IF] = {read_branch, 4},         [AST_EXPR_COND] = {read_branch, 4},
    [AST_EXPR_NEGATE] = {read_unary, 2},      [AST_EXPR_NOT] = {read_unary, 2},
    [AST_EXPR_PIPE] = {read_pipe, 3},         [AST_EXPR_RANGE] = {read_range, 4},
    [AST_EXPR_ELLIPSIS] = {read_ellipsis, 1}, [AST_EXPR_LAMBDA] = {read_lambda, 3},
    [AST_EXPR_SCAN] = {read_scan, 6},         [AST_EXPR_WHILE] = {read_while, 5},
    [AST_EXPR_ERROR] = {read_error, 1},       [AST_EXPR_RECORD] = {read_record, 0},
    [AST_EXPR_PADDED] = {read_padded, 3},     [AST_EXPR_PARAM] = {read_param, 4},
};

AstExpr *ast_read_expr(AstReader *reader, const AstNode *node)
{
    for (int op = 0; op < AST_BINARY_COUNT && !reader->failed; op++) {
        if (ast_node_is_head(node, ast_binary_text((AstBinary)op))) {
            return read_binary(reader, node, (AstBinary)op);
        }
    }
    for (int kind = 0; kind < AST_EXPR_COUNT && !reader->failed; kind++) {
        if (expr_forms[kind].read != NULL &&
            ast_node_is_head(node, ast_expr_kind_text((AstExprKind)kind))) {
            if (expr_forms[kind].most != 0) {
                ast_read_at_most(reader, node, expr_forms[kind].most);
            }
            return expr_forms[kind].read(reader, node);
        }
    }
    ast_read_fail(reader, node->span, "an expression");
    return read_error(reader, node);
}
