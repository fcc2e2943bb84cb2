/* Makes the nodes of the tree for the actions of the grammar. Key idea: every node knows the height
 * of the tree below it, and one that would be higher than AST_MAX_DEPTH is reported and replaced by
 * a leaf AST_EXPR_ERROR. So everything that walks the tree may recurse. */
#include "compiler/ast/parse.h"
#include "compiler/ast/parser.h"

#include <string.h>

static uint16_t height_above(AstParser *parser, uint32_t below, Span span, bool *too_high)
{
    *too_high = below >= AST_MAX_DEPTH;
    if (*too_high) {
        ast_report_depth(parser, span);
        return 1;
    }
    return (uint16_t)(below + 1);
}

AstExpr *ast_new_expr(AstParser *parser, AstExprKind kind, Span span, uint32_t height_below)
{
    AstExpr *expr = ARENA_NEW(parser->arena, AstExpr);
    bool too_high;
    expr->height = height_above(parser, height_below, span, &too_high);
    expr->kind = too_high ? AST_EXPR_ERROR : kind;
    expr->span = span;
    return expr;
}

uint32_t ast_height_of_exprs(const AstExprs *list)
{
    uint32_t height = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        height = ast_max_height(height, list->data[i]->height);
    }
    return height;
}

uint32_t ast_height_of_arguments(const AstArguments *list)
{
    uint32_t height = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        height = ast_max_height(height, list->data[i].value->height);
    }
    return height;
}

uint32_t ast_height_of_bindings(const AstBindings *list)
{
    uint32_t height = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        height = ast_max_height(height, list->data[i].value->height);
    }
    return height;
}

uint32_t ast_height_of_scan_options(const AstScanOptions *options)
{
    return ast_max_height(ast_height_of_arguments(&options->settings),
                          ast_height_of_bindings(&options->state));
}

AstExpr *ast_new_true(AstParser *parser, Span span)
{
    AstExpr *expr = ast_new_expr(parser, AST_EXPR_BOOL, span, 0);
    expr->as.boolean = true;
    return expr;
}

AstExpr *ast_new_string(AstParser *parser, AstText text, Span span)
{
    AstExpr *expr = ast_new_expr(parser, AST_EXPR_STRING, span, 0);
    expr->as.string.text = text.text;
    expr->as.string.length = text.length;
    return expr;
}

AstExpr *ast_new_binary(AstParser *parser, AstBinary op, AstExpr *left, AstExpr *right,
                        Span op_span, Span span)
{
    AstExprKind kind = op == AST_BINARY_COUNT ? AST_EXPR_PIPE : AST_EXPR_BINARY;
    AstExpr *expr = ast_new_expr(parser, kind, span, ast_max_height(left->height, right->height));
    expr->as.binary.op = kind == AST_EXPR_PIPE ? 0 : op;
    expr->as.binary.left = left;
    expr->as.binary.right = right;
    expr->as.binary.op_span = op_span;
    return expr;
}

AstExpr *ast_new_unary(AstParser *parser, AstExprKind kind, AstExpr *operand, Span span)
{
    AstExpr *expr = ast_new_expr(parser, kind, span, operand->height);
    expr->as.operand = operand;
    return expr;
}

AstExpr *ast_new_list(AstParser *parser, AstExprKind kind, AstExprs list, Span span)
{
    AstExpr *expr = ast_new_expr(parser, kind, span, ast_height_of_exprs(&list));
    expr->as.list = list;
    return expr;
}

AstExpr *ast_new_record(AstParser *parser, AstBindings entries, Span span)
{
    AstExpr *expr =
        ast_new_expr(parser, AST_EXPR_RECORD, span, ast_height_of_bindings(&entries));
    expr->as.record = entries;
    return expr;
}

AstExpr *ast_new_call(AstParser *parser, AstExpr *callee, AstArguments arguments, Span span)
{
    uint32_t height = ast_max_height(callee->height, ast_height_of_arguments(&arguments));
    AstExpr *expr = ast_new_expr(parser, AST_EXPR_CALL, span, height);
    expr->as.call.callee = callee;
    expr->as.call.arguments = arguments;
    return expr;
}

AstExpr *ast_new_index(AstParser *parser, AstExpr *base, AstExprs items, Span span)
{
    uint32_t height = ast_max_height(base->height, ast_height_of_exprs(&items));
    AstExpr *expr = ast_new_expr(parser, AST_EXPR_INDEX, span, height);
    expr->as.index.base = base;
    expr->as.index.items = items;
    return expr;
}

AstExpr *ast_new_range(AstParser *parser, AstExpr *low, AstExpr *high, Span span)
{
    uint32_t height = ast_max_height(low ? low->height : 0, high ? high->height : 0);
    AstExpr *expr = ast_new_expr(parser, AST_EXPR_RANGE, span, height);
    expr->as.range.low = low;
    expr->as.range.high = high;
    return expr;
}

AstExpr *ast_new_slice(AstParser *parser, AstExpr *range, AstExpr *step, Span span)
{
    uint32_t height = ast_max_height(range->height, step->height);
    AstExpr *expr = ast_new_expr(parser, AST_EXPR_RANGE, span, height);
    expr->as.range = range->as.range;
    expr->as.range.step = step;
    if (range->as.range.step != NULL)
        diag_error(parser->diag, ERR_E0305, step->span, NULL, "a slice has one step");
    return expr;
}

AstExpr *ast_new_branch(AstParser *parser, AstExprKind kind, AstExpr *condition, AstBlock then,
                        const AstBlock *otherwise, Span span)
{
    uint32_t height = ast_max_height(condition->height, then.height);
    height = ast_max_height(height, otherwise ? otherwise->height : 0);
    AstExpr *expr = ast_new_expr(parser, kind, span, height);
    expr->as.branch.condition = condition;
    expr->as.branch.then = then;
    expr->as.branch.has_otherwise = otherwise != NULL;
    if (otherwise != NULL) {
        expr->as.branch.otherwise = *otherwise;
    }
    return expr;
}

AstType *ast_new_type(AstParser *parser, AstTypeKind kind, Span span, uint32_t height_below)
{
    AstType *type = ARENA_NEW(parser->arena, AstType);
    bool too_high;
    type->height = height_above(parser, height_below, span, &too_high);
    type->kind = too_high ? AST_TYPE_ERROR : kind;
    type->span = span;
    return type;
}

AstStmt *ast_new_stmt(AstParser *parser, AstStmtKind kind, Span span, uint32_t height_below)
{
    AstStmt *stmt = ARENA_NEW(parser->arena, AstStmt);
    bool too_high;
    stmt->height = height_above(parser, height_below, span, &too_high);
    stmt->kind = too_high ? AST_STMT_ERROR : kind;
    stmt->span = span;
    return stmt;
}

static void report_target(AstParser *parser, const AstExpr *target, AstAssign op)
{
    DiagItem *item =
        diag_error(parser->diag, ERR_E0106, target->span, NULL, "only a name can be assigned to");
    if (target->kind == AST_EXPR_INDEX) {
        diag_help(
            item,
            "tensors have no elements that change; build the new tensor and give it the name");
    } else if (op != AST_ASSIGN_SET && target->kind == AST_EXPR_TUPLE) {
        diag_help(item, "write one assignment for each name");
    } else if (target->kind == AST_EXPR_BINARY) {
        diag_help(item, "`==` compares");
    }
}

static bool add_target(AstParser *parser, AstNames *targets, const AstExpr *expr)
{
    if (expr->kind != AST_EXPR_NAME || expr->parenthesised) {
        return false;
    }
    vec_push(parser->arena, targets, (AstName){expr->as.name, expr->span});
    return true;
}

AstStmt *ast_new_assign(AstParser *parser, AstExpr *target, AstAssign op, AstExpr *value, Span span)
{
    AstNames targets = {0};
    bool good = add_target(parser, &targets, target);
    if (target->kind == AST_EXPR_TUPLE && op == AST_ASSIGN_SET) {
        good = target->as.list.count > 0;
        for (uint32_t i = 0; i < target->as.list.count && good; i++) {
            good = add_target(parser, &targets, target->as.list.data[i]);
        }
    }
    if (!good) {
        report_target(parser, target, op);
        AstStmt *stmt = ast_new_stmt(parser, AST_STMT_EXPR, span, value->height);
        stmt->as.expr = value;
        return stmt;
    }
    AstStmt *stmt = ast_new_stmt(parser, AST_STMT_ASSIGN, span, value->height);
    stmt->as.assign.targets = targets;
    stmt->as.assign.op = op;
    stmt->as.assign.value = value;
    return stmt;
}

void ast_block_add(AstParser *parser, AstBlock *block, AstStmt *stmt)
{
    vec_push(parser->arena, &block->stmts, stmt);
    block->height = (uint16_t)ast_max_height(block->height, stmt->height);
}

AstBlock ast_block_of(AstParser *parser, AstExpr *expr)
{
    AstBlock block = {.span = expr->span};
    AstStmt *stmt = ast_new_stmt(parser, AST_STMT_EXPR, expr->span, expr->height);
    stmt->as.expr = expr;
    ast_block_add(parser, &block, stmt);
    return block;
}

AstPattern *ast_new_pattern(AstParser *parser, AstName name)
{
    AstPattern *pattern = ARENA_NEW(parser->arena, AstPattern);
    pattern->span = name.span;
    pattern->name = name;
    return pattern;
}

AstPattern *ast_new_pattern_list(AstParser *parser, AstPatterns entries, Span span)
{
    AstPattern *pattern = ARENA_NEW(parser->arena, AstPattern);
    pattern->span = span;
    pattern->is_tuple = true;
    pattern->entries = entries;
    return pattern;
}

AstMember *ast_new_member(AstParser *parser, AstMemberKind kind, Span span)
{
    AstMember *member = ARENA_NEW(parser->arena, AstMember);
    member->kind = kind;
    member->span = span;
    member->doc = ast_doc_at(parser, span.begin);
    return member;
}

AstItem *ast_new_item(AstParser *parser, AstItemKind kind, AstName name, Span span)
{
    AstItem *item = ARENA_NEW(parser->arena, AstItem);
    item->kind = kind;
    item->name = name;
    item->span = span;
    item->doc = ast_doc_at(parser, span.begin);
    return item;
}

AstMember *ast_new_variable(AstParser *parser, AstMemberKind kind, AstName name, AstExpr *computed,
                            AstType *type, AstExpr *value, Span span)
{
    AstMember *member = ast_new_member(parser, kind, span);
    member->as.variable.name = name;
    member->as.variable.computed = computed;
    member->as.variable.type = type;
    member->as.variable.value = value;
    return member;
}

AstItem *ast_new_declaration(AstParser *parser, AstItemKind kind, AstName name,
                             const AstParameters *parameters, AstMembers members, Span header,
                             Span span)
{
    AstItem *item = ast_new_item(parser, kind, name, span);
    ast_check_members(parser, kind, &members);
    item->as.declaration.has_parameters = parameters != NULL;
    if (parameters != NULL) {
        item->as.declaration.parameters = *parameters;
    }
    item->as.declaration.members = members;
    item->as.declaration.header = header;
    return item;
}

static void report_member(AstParser *parser, AstItemKind kind, const AstMember *member)
{
    const char *what = member->kind == AST_MEMBER_KEY     ? "key = value"
                       : member->kind == AST_MEMBER_BLOCK ? "name { ... }"
                                                          : ast_member_kind_text(member->kind);
    const char *where = ast_item_kind_text(kind);
    DiagItem *item =
        diag_error(parser->diag, ERR_E0403, member->span, NULL, "`%s` cannot stand in %s %s%s",
                   what, strchr("aeiou", where[0]) ? "an" : "a", where,
                   kind == AST_ITEM_DATASET || kind == AST_ITEM_TRAIN ? " block" : "");
    if (member->kind == AST_MEMBER_KEY) {
        diag_help(item, "a value with a name is written `let %s = ...`", member->as.key.name.text);
    } else if (member->kind == AST_MEMBER_PARAM) {
        diag_help(item, "parameters belong into a module");
    }
}

void ast_check_members(AstParser *parser, AstItemKind kind, AstMembers *members)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        AstMember *member = members->data[i];
        if (!ast_member_allowed(kind, member->kind)) {
            report_member(parser, kind, member);
            continue;
        }
        if (member->kind == AST_MEMBER_BLOCK) {
            ast_check_members(parser, kind, &member->as.block.members);
        }
        members->data[kept++] = member;
    }
    members->count = kept;
}

const char *ast_doc_at(const AstParser *parser, uint32_t begin)
{
    uint32_t low = 0, high = parser->docs.count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (parser->docs.data[middle].begin < begin) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < parser->docs.count && parser->docs.data[low].begin == begin;
    return found ? parser->docs.data[low].text : NULL;
}
