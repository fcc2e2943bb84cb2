/* Reads the text form of compiler/ast/print.c back into a tree: statements, members and items. The
 * first thing that does not fit is reported and ends the reading. Nodes are made by build.c, so
 * that the limits of the parser hold here too. Spans of the tree point into the text that was read.
 */
#include "compiler/ast/read.h"

#include "compiler/ast/parse.h"
#include "compiler/ast/print.h"

/* ---- statements ---- */

static AstLet read_let(AstReader *reader, const AstNode *node)
{
    AstLet let;
    let.pattern = ast_read_pattern(reader, ast_read_part(reader, node, 1));
    let.type = ast_read_optional_type(reader, ast_read_part(reader, node, 2));
    let.value = ast_read_expr(reader, ast_read_part(reader, node, 3));
    ast_read_at_most(reader, node, 4);
    return let;
}

static AstStmt *read_let_stmt(AstReader *reader, const AstNode *node)
{
    AstLet let = read_let(reader, node);
    uint32_t height = ast_max_height(let.value->height, let.type ? let.type->height : 0);
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_LET, node->span, height);
    stmt->as.let = let;
    return stmt;
}

static AstStmt *read_indexed(AstReader *reader, const AstNode *node)
{
    AstExpr *value = ast_read_expr(reader, ast_read_part(reader, node, 3));
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_INDEXED, node->span, value->height);
    stmt->as.indexed.name = ast_read_name(reader, ast_read_part(reader, node, 1));
    stmt->as.indexed.indices = ast_read_names(reader, ast_read_part(reader, node, 2));
    stmt->as.indexed.value = value;
    return stmt;
}

static AstAssign read_assign_op(AstReader *reader, const AstNode *node)
{
    for (int op = AST_ASSIGN_SET; op <= AST_ASSIGN_DIV; op++) {
        if (ast_node_is_word(node, ast_assign_text((AstAssign)op))) {
            return (AstAssign)op;
        }
    }
    ast_read_fail(reader, node->span, "=, +=, -=, *= or /=");
    return AST_ASSIGN_SET;
}

static AstStmt *read_assign(AstReader *reader, const AstNode *node)
{
    AstExpr *value = ast_read_expr(reader, ast_read_part(reader, node, 3));
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_ASSIGN, node->span, value->height);
    stmt->as.assign.op = read_assign_op(reader, ast_read_part(reader, node, 1));
    stmt->as.assign.targets = ast_read_names(reader, ast_read_part(reader, node, 2));
    stmt->as.assign.value = value;
    return stmt;
}

static AstStmt *read_value(AstReader *reader, const AstNode *node)
{
    bool bare =
        ast_node_is_head(node, "return") && ast_node_is_absent(ast_read_part(reader, node, 1));
    AstStmtKind kind = ast_node_is_head(node, "return")  ? AST_STMT_RETURN
                       : ast_node_is_head(node, "yield") ? AST_STMT_YIELD
                                                         : AST_STMT_EXPR;
    AstExpr *value = bare ? NULL : ast_read_expr(reader, ast_read_part(reader, node, 1));
    AstStmt *stmt = ast_new_stmt(&reader->build, kind, node->span, value ? value->height : 0);
    stmt->as.expr = value;
    return stmt;
}

static AstStmt *read_for(AstReader *reader, const AstNode *node)
{
    AstExpr *over = ast_read_expr(reader, ast_read_part(reader, node, 2));
    AstBlock body = ast_read_block(reader, ast_read_part(reader, node, 3));
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_FOR, node->span,
                                 ast_max_height(over->height, body.height));
    stmt->as.loop.pattern = ast_read_pattern(reader, ast_read_part(reader, node, 1));
    stmt->as.loop.over = over;
    stmt->as.loop.body = body;
    return stmt;
}

static AstStmt *read_minimize(AstReader *reader, const AstNode *node)
{
    AstExpr *loss = ast_read_expr(reader, ast_read_part(reader, node, 1));
    const AstNode *list = ast_read_part(reader, node, 2);
    if (!ast_node_is_head(list, "wrt") || ast_node_parts(list) < 2) {
        ast_read_fail(reader, list->span, "(wrt ...)");
    }
    AstExprs wrt = ast_read_exprs(reader, list, 1);
    AstExpr *optimizer = ast_read_expr(reader, ast_read_part(reader, node, 3));
    uint32_t height =
        ast_max_height(loss->height, ast_max_height(ast_height_of_exprs(&wrt), optimizer->height));
    AstStmt *stmt = ast_new_stmt(&reader->build, AST_STMT_MINIMIZE, node->span, height);
    stmt->as.minimize.loss = loss;
    stmt->as.minimize.wrt = wrt;
    stmt->as.minimize.optimizer = optimizer;
    return stmt;
}

static AstStmt *read_no_stmt(AstReader *reader, const AstNode *node)
{
    return ast_new_stmt(&reader->build, AST_STMT_ERROR, node->span, 0);
}

static const struct {
    AstStmt *(*read)(AstReader *, const AstNode *);
    uint32_t most;
} stmt_forms[AST_STMT_COUNT] = {
    [AST_STMT_LET] = {read_let_stmt, 4},  [AST_STMT_INDEXED] = {read_indexed, 4},
    [AST_STMT_ASSIGN] = {read_assign, 4}, [AST_STMT_EXPR] = {read_value, 2},
    [AST_STMT_RETURN] = {read_value, 2},  [AST_STMT_YIELD] = {read_value, 2},
    [AST_STMT_FOR] = {read_for, 4},       [AST_STMT_MINIMIZE] = {read_minimize, 4},
    [AST_STMT_ERROR] = {read_no_stmt, 1},
};

static AstStmt *read_stmt(AstReader *reader, const AstNode *node)
{
    for (int kind = 0; kind < AST_STMT_COUNT && !reader->failed; kind++) {
        if (ast_node_is_head(node, ast_stmt_kind_text((AstStmtKind)kind))) {
            ast_read_at_most(reader, node, stmt_forms[kind].most);
            return stmt_forms[kind].read(reader, node);
        }
    }
    ast_read_fail(reader, node->span, "a statement");
    return read_no_stmt(reader, node);
}

AstBlock ast_read_block(AstReader *reader, const AstNode *node)
{
    AstBlock block = {.span = node->span};
    if (!ast_node_is_head(node, "block")) {
        ast_read_fail(reader, node->span, "(block ...)");
    }
    for (uint32_t i = 1; i < ast_node_parts(node) && !reader->failed; i++) {
        ast_block_add(&reader->build, &block, read_stmt(reader, node->items.data[i]));
    }
    return block;
}

/* ---- members and items ---- */

static AstParameters read_parameters(AstReader *reader, const AstNode *node)
{
    AstParameters parameters = {0};
    if (!ast_node_is_head(node, "params")) {
        ast_read_fail(reader, node->span, "(params ...)");
    }
    for (uint32_t i = 1; i < ast_node_parts(node); i++) {
        const AstNode *item = node->items.data[i];
        AstParameter parameter = {.span = item->span};
        if (!ast_node_is_head(item, "param")) {
            ast_read_fail(reader, item->span, "(param name type default)");
        }
        parameter.name = ast_read_name(reader, ast_read_part(reader, item, 1));
        parameter.type = ast_read_optional_type(reader, ast_read_part(reader, item, 2));
        parameter.value = ast_read_optional_expr(reader, ast_read_part(reader, item, 3));
        ast_read_at_most(reader, item, 4);
        vec_push(reader->build.arena, &parameters, parameter);
    }
    return parameters;
}

static AstFunction read_function(AstReader *reader, const AstNode *node)
{
    AstFunction function = {.header = node->span};
    function.name = ast_read_optional_name(reader, ast_read_part(reader, node, 1));
    function.parameters = read_parameters(reader, ast_read_part(reader, node, 2));
    function.result = ast_read_optional_type(reader, ast_read_part(reader, node, 3));
    function.body = ast_read_block(reader, ast_read_part(reader, node, 4));
    ast_read_at_most(reader, node, 5);
    return function;
}

/* (doc "text" thing) to thing and text. */
static const AstNode *open_doc(AstReader *reader, const AstNode *node, const char **doc)
{
    if (!ast_node_is_head(node, "doc")) {
        return node;
    }
    const AstNode *text = ast_read_part(reader, node, 1);
    if (text->kind != NODE_STRING) {
        ast_read_fail(reader, text->span, "the text of a comment");
    }
    *doc = text->text;
    ast_read_at_most(reader, node, 3);
    return ast_read_part(reader, node, 2);
}

static AstMembers read_members(AstReader *reader, const AstNode *node, uint32_t from);

static void read_variable(AstReader *reader, const AstNode *node, AstMember *member)
{
    const AstNode *name = ast_read_part(reader, node, 1);
    if (name->kind == NODE_STRING && member->kind == AST_MEMBER_PARAM) {
        AstText text = {name->text, name->length};
        member->as.variable.computed = ast_new_string(&reader->build, text, name->span);
    } else {
        member->as.variable.name = ast_read_name(reader, name);
    }
    member->as.variable.type = ast_read_optional_type(reader, ast_read_part(reader, node, 2));
    member->as.variable.value = ast_read_optional_expr(reader, ast_read_part(reader, node, 3));
    ast_read_at_most(reader, node, 4);
}

static void read_let_member(AstReader *reader, const AstNode *node, AstMember *member)
{
    member->as.let = read_let(reader, node);
}

static void read_fn_member(AstReader *reader, const AstNode *node, AstMember *member)
{
    member->as.function = read_function(reader, node);
}

static void read_key(AstReader *reader, const AstNode *node, AstMember *member)
{
    member->as.key.name = ast_read_name(reader, ast_read_part(reader, node, 1));
    member->as.key.value = ast_read_expr(reader, ast_read_part(reader, node, 2));
    ast_read_at_most(reader, node, 3);
}

static void read_block_member(AstReader *reader, const AstNode *node, AstMember *member)
{
    member->as.block.name = ast_read_name(reader, ast_read_part(reader, node, 1));
    member->as.block.members = read_members(reader, node, 2);
}

static AstMember *read_member(AstReader *reader, const AstNode *outer)
{
    static void (*const forms[AST_MEMBER_COUNT])(AstReader *, const AstNode *, AstMember *) = {
        [AST_MEMBER_PARAM] = read_variable, [AST_MEMBER_STATE] = read_variable,
        [AST_MEMBER_LET] = read_let_member, [AST_MEMBER_FN] = read_fn_member,
        [AST_MEMBER_KEY] = read_key,        [AST_MEMBER_BLOCK] = read_block_member,
    };
    const char *doc = NULL;
    const AstNode *node = open_doc(reader, outer, &doc);
    for (int kind = 0; kind < AST_MEMBER_COUNT && !reader->failed; kind++) {
        if (ast_node_is_head(node, ast_member_kind_text((AstMemberKind)kind))) {
            AstMember *member = ast_new_member(&reader->build, (AstMemberKind)kind, node->span);
            member->doc = doc;
            forms[kind](reader, node, member);
            return member;
        }
    }
    ast_read_fail(reader, node->span, "a member");
    return NULL;
}

static AstMembers read_members(AstReader *reader, const AstNode *node, uint32_t from)
{
    AstMembers members = {0};
    for (uint32_t i = from; i < ast_node_parts(node) && !reader->failed; i++) {
        AstMember *member = read_member(reader, node->items.data[i]);
        if (member != NULL) {
            vec_push(reader->build.arena, &members, member);
        }
    }
    return members;
}

static void read_import(AstReader *reader, const AstNode *node, AstItem *item)
{
    const AstNode *from = ast_read_part(reader, node, 1);
    if (from->kind == NODE_STRING) {
        item->as.import.file =
            ast_new_string(&reader->build, (AstText){from->text, from->length}, from->span);
    } else {
        item->as.import.path = ast_read_path(reader, from);
    }
    item->as.import.alias = ast_read_optional_name(reader, ast_read_part(reader, node, 2));
    for (uint32_t i = 3; i < ast_node_parts(node); i++) {
        const AstNode *entry = node->items.data[i];
        AstImported imported = {.alias = {NULL, entry->span}};
        if (ast_node_is_head(entry, "=")) {
            imported.name = ast_read_name(reader, ast_read_part(reader, entry, 1));
            imported.alias = ast_read_name(reader, ast_read_part(reader, entry, 2));
            ast_read_at_most(reader, entry, 3);
        } else {
            imported.name = ast_read_name(reader, entry);
        }
        vec_push(reader->build.arena, &item->as.import.names, imported);
    }
}

static void read_const(AstReader *reader, const AstNode *node, AstItem *item)
{
    item->name = ast_read_name(reader, ast_read_part(reader, node, 1));
    item->as.constant.type = ast_read_optional_type(reader, ast_read_part(reader, node, 2));
    item->as.constant.value = ast_read_expr(reader, ast_read_part(reader, node, 3));
    ast_read_at_most(reader, node, 4);
}

static void read_fn_item(AstReader *reader, const AstNode *node, AstItem *item)
{
    item->as.function = read_function(reader, node);
    item->name = item->as.function.name;
    if (item->name.text == NULL) {
        ast_read_fail(reader, node->span, "a name");
    }
}

static void read_declaration(AstReader *reader, const AstNode *node, AstItem *item)
{
    item->name = ast_read_name(reader, ast_read_part(reader, node, 1));
    const AstNode *parameters = ast_read_part(reader, node, 2);
    item->as.declaration.has_parameters = !ast_node_is_absent(parameters);
    if (item->as.declaration.has_parameters) {
        item->as.declaration.parameters = read_parameters(reader, parameters);
    }
    item->as.declaration.on = ast_read_optional_expr(reader, ast_read_part(reader, node, 3));
    item->as.declaration.members = read_members(reader, node, 4);
    item->as.declaration.header = node->span;
    ast_check_members(&reader->build, item->kind, &item->as.declaration.members);
}

static void read_item(AstReader *reader, const AstNode *outer)
{
    static void (*const forms[AST_ITEM_COUNT])(AstReader *, const AstNode *, AstItem *) = {
        [AST_ITEM_IMPORT] = read_import,      [AST_ITEM_CONST] = read_const,
        [AST_ITEM_FN] = read_fn_item,         [AST_ITEM_EXTERN] = read_fn_item,
        [AST_ITEM_MODULE] = read_declaration, [AST_ITEM_OPTIMIZER] = read_declaration,
        [AST_ITEM_METRIC] = read_declaration, [AST_ITEM_SCHEDULE] = read_declaration,
        [AST_ITEM_INIT] = read_fn_item,       [AST_ITEM_DATASET] = read_declaration,
        [AST_ITEM_TRAIN] = read_declaration,
    };
    const char *doc = NULL;
    const AstNode *node = open_doc(reader, outer, &doc);
    for (int kind = 0; kind < AST_ITEM_COUNT && !reader->failed; kind++) {
        if (ast_node_is_head(node, ast_item_kind_text((AstItemKind)kind))) {
            AstItem *item = ast_new_item(&reader->build, (AstItemKind)kind,
                                         (AstName){NULL, node->span}, node->span);
            item->doc = doc;
            forms[kind](reader, node, item);
            vec_push(reader->build.arena, &reader->build.file->items, item);
            return;
        }
    }
    ast_read_fail(reader, node->span, "a declaration");
}

AstFile *ast_read(Arena *arena, SourceMap *map, uint32_t file, Diag *diag)
{
    AstFile *tree = ARENA_NEW(arena, AstFile);
    tree->file = file;
    size_t length = 0;
    const char *text = source_text(map, file, &length);
    AstReader reader = {
        .build = {.arena = arena, .map = map, .diag = diag, .file = tree, .text = text}};
    if (length > AST_MAX_SOURCE) {
        diag_error(diag, ERR_E0007, (Span){file, 0, 0}, NULL, "a file may have %u bytes at most",
                   AST_MAX_SOURCE);
        return NULL;
    }
    uint32_t errors = diag_error_count(diag);
    reader.build.length = (uint32_t)length;
    for (AstNode *node = ast_read_node(&reader, 0); node != NULL && !reader.failed;
         node = ast_read_node(&reader, 0)) {
        if (ast_node_is_head(node, "file-doc") && tree->items.count == 0 &&
            ast_node_parts(node) == 2) {
            tree->doc = ast_read_part(&reader, node, 1)->text;
        } else {
            read_item(&reader, node);
        }
    }
    if (reader.at < reader.build.length) {
        ast_read_fail(&reader, (Span){file, reader.at, reader.at + 1}, "a declaration");
    }
    return reader.failed || diag_error_count(diag) != errors ? NULL : tree;
}
