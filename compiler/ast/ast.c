/* Names of the kinds of nodes, from the tables of ast.h, and which members a declaration may have.
 */
#include "compiler/ast/ast.h"

#define ROW(e, text) text,

const char *ast_type_kind_text(AstTypeKind kind)
{
    static const char *const texts[] = {AST_TYPE_TABLE(ROW)};
    return texts[kind];
}

const char *ast_expr_kind_text(AstExprKind kind)
{
    static const char *const texts[] = {AST_EXPR_TABLE(ROW)};
    return texts[kind];
}

const char *ast_stmt_kind_text(AstStmtKind kind)
{
    static const char *const texts[] = {AST_STMT_TABLE(ROW)};
    return texts[kind];
}

const char *ast_member_kind_text(AstMemberKind kind)
{
    static const char *const texts[] = {AST_MEMBER_TABLE(ROW)};
    return texts[kind];
}

const char *ast_item_kind_text(AstItemKind kind)
{
    static const char *const texts[] = {AST_ITEM_TABLE(ROW)};
    return texts[kind];
}

const char *ast_binary_text(AstBinary op)
{
    static const char *const texts[] = {AST_BINARY_TABLE(ROW)};
    return texts[op];
}

const char *ast_assign_text(AstAssign op)
{
    static const char *const texts[] = {AST_ASSIGN_TABLE(ROW)};
    return texts[op];
}

bool ast_member_allowed(AstItemKind item, AstMemberKind member)
{
    enum {
        PARAM = 1 << AST_MEMBER_PARAM,
        STATE = 1 << AST_MEMBER_STATE,
        LET = 1 << AST_MEMBER_LET,
        FN = 1 << AST_MEMBER_FN,
        KEY = 1 << AST_MEMBER_KEY,
        BLOCK = 1 << AST_MEMBER_BLOCK
    };
    static const unsigned allowed[AST_ITEM_COUNT] = {
        [AST_ITEM_MODULE] = PARAM | STATE | LET | FN, [AST_ITEM_OPTIMIZER] = STATE | LET | FN,
        [AST_ITEM_METRIC] = STATE | LET | FN | KEY,   [AST_ITEM_SCHEDULE] = STATE | LET | FN,
        [AST_ITEM_DATASET] = LET | FN | KEY | BLOCK,  [AST_ITEM_TRAIN] = LET | FN | KEY | BLOCK,
    };
    return (allowed[item] >> member & 1) != 0;
}
