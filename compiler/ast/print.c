/* The tree as s-expressions, for --dump=ast and golden tests. Statements, members and items begin a
 * line, expressions stay on theirs. `-` stands for a part that was not written; spans, comments and
 * parentheses are left out.
 *
 *   fn double(x: f32[B]) { x |> scale(2.0, k=3) }
 *
 *   (fn double (params (param x (type f32 (dims (name B))) -)) -
 *     (block
 *       (expr (pipe (name x) (call (name scale) (float 2) (= k (int 3)))))))
 */
#include "compiler/ast/print.h"

typedef struct {
    StrBuf *out;
    uint32_t indent;
} Printer;

static void print_expr(Printer *printer, const AstExpr *expr);
static void print_block(Printer *printer, const AstBlock *block);

static void begin_line(Printer *printer)
{
    strbuf_add_char(printer->out, '\n');
    for (uint32_t i = 0; i < printer->indent; i++) {
        strbuf_add(printer->out, "  ");
    }
}

static void print_name(Printer *printer, AstName name)
{
    strbuf_add(printer->out, name.text ? name.text : "-");
}

static void print_names(Printer *printer, const AstNames *names)
{
    strbuf_add_char(printer->out, '(');
    for (uint32_t i = 0; i < names->count; i++) {
        strbuf_printf(printer->out, "%s%s", i ? " " : "", names->data[i].text);
    }
    strbuf_add_char(printer->out, ')');
}

static void print_path(Printer *printer, const AstNames *path)
{
    for (uint32_t i = 0; i < path->count; i++) {
        strbuf_printf(printer->out, "%s%s", i ? "." : "", path->data[i].text);
    }
}

static void print_string(Printer *printer, const char *text)
{
    strbuf_add_char(printer->out, '"');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            strbuf_printf(printer->out, "\\%c", *p);
        } else if (*p == '\n') {
            strbuf_add(printer->out, "\\n");
        } else if ((unsigned char)*p < 0x20 || *p == 0x7F) {
            strbuf_printf(printer->out, "\\u{%x}", (unsigned)*p);
        } else {
            strbuf_add_char(printer->out, *p);
        }
    }
    strbuf_add_char(printer->out, '"');
}

static void print_arguments(Printer *printer, const AstArguments *arguments)
{
    for (uint32_t i = 0; i < arguments->count; i++) {
        const AstArgument *argument = &arguments->data[i];
        strbuf_add_char(printer->out, ' ');
        if (argument->name.text != NULL) {
            strbuf_printf(printer->out, "(= %s ", argument->name.text);
        }
        print_expr(printer, argument->value);
        if (argument->name.text != NULL) {
            strbuf_add_char(printer->out, ')');
        }
    }
}

static void print_exprs(Printer *printer, const AstExprs *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        strbuf_add_char(printer->out, ' ');
        print_expr(printer, list->data[i]);
    }
}

static void print_optional(Printer *printer, const AstExpr *expr)
{
    strbuf_add_char(printer->out, ' ');
    if (expr != NULL) {
        print_expr(printer, expr);
    } else {
        strbuf_add_char(printer->out, '-');
    }
}

static void print_pattern(Printer *printer, const AstPattern *pattern)
{
    if (!pattern->is_tuple) {
        print_name(printer, pattern->name);
        return;
    }
    strbuf_add_char(printer->out, '(');
    for (uint32_t i = 0; i < pattern->entries.count; i++) {
        strbuf_add(printer->out, i ? " " : "");
        print_pattern(printer, pattern->entries.data[i]);
    }
    strbuf_add_char(printer->out, ')');
}

/* ---- types ---- */

static void print_type(Printer *printer, const AstType *type);

static void print_named_type(Printer *printer, const AstType *type)
{
    strbuf_add_char(printer->out, ' ');
    print_path(printer, &type->as.named.path);
    if (type->as.named.has_dims) {
        strbuf_add(printer->out, " (dims");
        print_exprs(printer, &type->as.named.dims);
        strbuf_add_char(printer->out, ')');
    }
    if (type->as.named.has_arguments) {
        strbuf_add(printer->out, " (args");
        print_arguments(printer, &type->as.named.arguments);
        strbuf_add_char(printer->out, ')');
    }
}

static void print_tuple_type(Printer *printer, const AstTypeEntries *entries)
{
    for (uint32_t i = 0; i < entries->count; i++) {
        strbuf_add_char(printer->out, ' ');
        if (entries->data[i].name.text != NULL) {
            strbuf_printf(printer->out, "(= %s ", entries->data[i].name.text);
        }
        print_type(printer, entries->data[i].type);
        if (entries->data[i].name.text != NULL) {
            strbuf_add_char(printer->out, ')');
        }
    }
}

static void print_type(Printer *printer, const AstType *type)
{
    if (type == NULL) {
        strbuf_add_char(printer->out, '-');
        return;
    }
    strbuf_printf(printer->out, "(%s", ast_type_kind_text(type->kind));
    if (type->kind == AST_TYPE_NAMED) {
        print_named_type(printer, type);
    } else if (type->kind == AST_TYPE_TUPLE) {
        print_tuple_type(printer, &type->as.tuple);
    }
    strbuf_add_char(printer->out, ')');
}

/* ---- expressions: what follows the head, one function per kind that has more than a value ---- */

static void print_call(Printer *printer, const AstExpr *expr)
{
    print_optional(printer, expr->as.call.callee);
    print_arguments(printer, &expr->as.call.arguments);
}

static void print_index(Printer *printer, const AstExpr *expr)
{
    print_optional(printer, expr->as.index.base);
    print_exprs(printer, &expr->as.index.items);
}

static void print_member_access(Printer *printer, const AstExpr *expr)
{
    print_optional(printer, expr->as.member.base);
    strbuf_printf(printer->out, " %s", expr->as.member.name.text);
}

static void print_list(Printer *printer, const AstExpr *expr)
{
    print_exprs(printer, &expr->as.list);
}

static void print_record(Printer *printer, const AstExpr *expr)
{
    for (uint32_t i = 0; i < expr->as.record.count; i++) {
        strbuf_printf(printer->out, " (= %s", expr->as.record.data[i].name.text);
        print_optional(printer, expr->as.record.data[i].value);
        strbuf_add_char(printer->out, ')');
    }
}

static void print_field(Printer *printer, const AstExpr *expr)
{
    strbuf_printf(printer->out, " %s ", expr->as.field.name.text);
    print_type(printer, expr->as.field.type);
}

static void print_comprehension(Printer *printer, const AstExpr *expr)
{
    strbuf_add_char(printer->out, ' ');
    print_pattern(printer, expr->as.comprehension.pattern);
    print_optional(printer, expr->as.comprehension.over);
    print_optional(printer, expr->as.comprehension.body);
}

static void print_branch(Printer *printer, const AstExpr *expr)
{
    print_optional(printer, expr->as.branch.condition);
    print_block(printer, &expr->as.branch.then);
    if (expr->as.branch.has_otherwise) {
        print_block(printer, &expr->as.branch.otherwise);
    }
}

static void print_operand(Printer *printer, const AstExpr *expr)
{
    print_optional(printer, expr->as.operand);
}

static void print_operands(Printer *printer, const AstExpr *expr)
{
    print_optional(printer, expr->as.binary.left);
    print_optional(printer, expr->as.binary.right);
}

static void print_range(Printer *printer, const AstExpr *expr)
{
    print_optional(printer, expr->as.range.low);
    print_optional(printer, expr->as.range.high);
    if (expr->as.range.step != NULL)
        print_optional(printer, expr->as.range.step);
}

static void print_lambda(Printer *printer, const AstExpr *expr)
{
    strbuf_add_char(printer->out, ' ');
    print_names(printer, &expr->as.lambda.parameters);
    print_optional(printer, expr->as.lambda.body);
}

static void print_bindings(Printer *printer, const AstBindings *bindings)
{
    strbuf_add(printer->out, " (with");
    for (uint32_t i = 0; i < bindings->count; i++) {
        strbuf_printf(printer->out, " (= %s", bindings->data[i].name.text);
        print_optional(printer, bindings->data[i].value);
        strbuf_add_char(printer->out, ')');
    }
    strbuf_add_char(printer->out, ')');
}

static void print_scan(Printer *printer, const AstExpr *expr)
{
    strbuf_add_char(printer->out, ' ');
    print_pattern(printer, expr->as.scan.pattern);
    print_optional(printer, expr->as.scan.source);
    strbuf_add(printer->out, " (options");
    print_arguments(printer, &expr->as.scan.options.settings);
    strbuf_add_char(printer->out, ')');
    print_bindings(printer, &expr->as.scan.options.state);
    print_block(printer, &expr->as.scan.body);
}

static void print_while(Printer *printer, const AstExpr *expr)
{
    print_optional(printer, expr->as.loop.condition);
    print_optional(printer, expr->as.loop.bound);
    print_bindings(printer, &expr->as.loop.state);
    print_block(printer, &expr->as.loop.body);
}

static void print_int(Printer *printer, const AstExpr *expr)
{
    strbuf_printf(printer->out, " %lld", (long long)expr->as.integer);
}

static void print_float(Printer *printer, const AstExpr *expr)
{
    strbuf_add_char(printer->out, ' ');
    strbuf_add_double(printer->out, expr->as.real);
}

static void print_text(Printer *printer, const AstExpr *expr)
{
    strbuf_add_char(printer->out, ' ');
    print_string(printer, expr->as.string.text);
}

static void print_bool(Printer *printer, const AstExpr *expr)
{
    strbuf_add(printer->out, expr->as.boolean ? " true" : " false");
}

static void print_name_use(Printer *printer, const AstExpr *expr)
{
    strbuf_printf(printer->out, " %s", expr->as.name);
}

static void print_param(Printer *printer, const AstExpr *expr)
{
    strbuf_add_char(printer->out, ' ');
    print_string(printer, expr->as.param->as.variable.computed->as.string.text);
    strbuf_add_char(printer->out, ' ');
    print_type(printer, expr->as.param->as.variable.type);
    print_optional(printer, expr->as.param->as.variable.value);
}

static void print_nothing(Printer *printer, const AstExpr *expr)
{
    (void)printer;
    (void)expr;
}

static void print_expr(Printer *printer, const AstExpr *expr)
{
    static void (*const rest[AST_EXPR_COUNT])(Printer *, const AstExpr *) = {
        [AST_EXPR_INT] = print_int,         [AST_EXPR_FLOAT] = print_float,
        [AST_EXPR_STRING] = print_text,     [AST_EXPR_BOOL] = print_bool,
        [AST_EXPR_NAME] = print_name_use,   [AST_EXPR_CALL] = print_call,
        [AST_EXPR_INDEX] = print_index,     [AST_EXPR_MEMBER] = print_member_access,
        [AST_EXPR_TUPLE] = print_list,      [AST_EXPR_ARRAY] = print_list,
        [AST_EXPR_FIELD] = print_field,     [AST_EXPR_COMPREHENSION] = print_comprehension,
        [AST_EXPR_IF] = print_branch,       [AST_EXPR_COND] = print_branch,
        [AST_EXPR_NEGATE] = print_operand,  [AST_EXPR_NOT] = print_operand,
        [AST_EXPR_BINARY] = print_operands, [AST_EXPR_PIPE] = print_operands,
        [AST_EXPR_RANGE] = print_range,     [AST_EXPR_ELLIPSIS] = print_nothing,
        [AST_EXPR_LAMBDA] = print_lambda,   [AST_EXPR_SCAN] = print_scan,
        [AST_EXPR_WHILE] = print_while,     [AST_EXPR_ERROR] = print_nothing,
        [AST_EXPR_RECORD] = print_record,   [AST_EXPR_PADDED] = print_operands,
        [AST_EXPR_PARAM] = print_param,
    };
    bool binary = expr->kind == AST_EXPR_BINARY;
    strbuf_printf(printer->out, "(%s",
                  binary ? ast_binary_text(expr->as.binary.op) : ast_expr_kind_text(expr->kind));
    rest[expr->kind](printer, expr);
    strbuf_add_char(printer->out, ')');
}

/* ---- statements ---- */

static void print_let(Printer *printer, const AstLet *let)
{
    strbuf_add_char(printer->out, ' ');
    print_pattern(printer, let->pattern);
    strbuf_add_char(printer->out, ' ');
    print_type(printer, let->type);
    print_optional(printer, let->value);
}

static void print_let_stmt(Printer *printer, const AstStmt *stmt)
{
    print_let(printer, &stmt->as.let);
}

static void print_indexed(Printer *printer, const AstStmt *stmt)
{
    strbuf_printf(printer->out, " %s ", stmt->as.indexed.name.text);
    print_names(printer, &stmt->as.indexed.indices);
    print_optional(printer, stmt->as.indexed.value);
}

static void print_assign(Printer *printer, const AstStmt *stmt)
{
    strbuf_printf(printer->out, " %s ", ast_assign_text(stmt->as.assign.op));
    print_names(printer, &stmt->as.assign.targets);
    print_optional(printer, stmt->as.assign.value);
}

static void print_value(Printer *printer, const AstStmt *stmt)
{
    print_optional(printer, stmt->as.expr);
}

static void print_for(Printer *printer, const AstStmt *stmt)
{
    strbuf_add_char(printer->out, ' ');
    print_pattern(printer, stmt->as.loop.pattern);
    print_optional(printer, stmt->as.loop.over);
    print_block(printer, &stmt->as.loop.body);
}

static void print_minimize(Printer *printer, const AstStmt *stmt)
{
    print_optional(printer, stmt->as.minimize.loss);
    strbuf_add(printer->out, " (wrt");
    print_exprs(printer, &stmt->as.minimize.wrt);
    strbuf_add_char(printer->out, ')');
    print_optional(printer, stmt->as.minimize.optimizer);
}

static void print_no_stmt(Printer *printer, const AstStmt *stmt)
{
    (void)printer;
    (void)stmt;
}

static void print_stmt(Printer *printer, const AstStmt *stmt)
{
    static void (*const rest[AST_STMT_COUNT])(Printer *, const AstStmt *) = {
        [AST_STMT_LET] = print_let_stmt,  [AST_STMT_INDEXED] = print_indexed,
        [AST_STMT_ASSIGN] = print_assign, [AST_STMT_EXPR] = print_value,
        [AST_STMT_RETURN] = print_value,  [AST_STMT_YIELD] = print_value,
        [AST_STMT_FOR] = print_for,       [AST_STMT_MINIMIZE] = print_minimize,
        [AST_STMT_ERROR] = print_no_stmt,
    };
    begin_line(printer);
    strbuf_printf(printer->out, "(%s", ast_stmt_kind_text(stmt->kind));
    rest[stmt->kind](printer, stmt);
    strbuf_add_char(printer->out, ')');
}

static void print_block(Printer *printer, const AstBlock *block)
{
    printer->indent++;
    begin_line(printer);
    strbuf_add(printer->out, "(block");
    printer->indent++;
    for (uint32_t i = 0; i < block->stmts.count; i++) {
        print_stmt(printer, block->stmts.data[i]);
    }
    printer->indent -= 2;
    strbuf_add_char(printer->out, ')');
}

/* ---- members and items ---- */

static void print_parameters(Printer *printer, const AstParameters *parameters)
{
    strbuf_add(printer->out, " (params");
    for (uint32_t i = 0; i < parameters->count; i++) {
        const AstParameter *parameter = &parameters->data[i];
        strbuf_printf(printer->out, " (param %s ", parameter->name.text);
        print_type(printer, parameter->type);
        print_optional(printer, parameter->value);
        strbuf_add_char(printer->out, ')');
    }
    strbuf_add_char(printer->out, ')');
}

static void print_function(Printer *printer, const AstFunction *function)
{
    strbuf_add_char(printer->out, ' ');
    print_name(printer, function->name);
    print_parameters(printer, &function->parameters);
    strbuf_add_char(printer->out, ' ');
    print_type(printer, function->result);
    print_block(printer, &function->body);
}

static void begin_doc(Printer *printer, const char *doc)
{
    if (doc != NULL) {
        strbuf_add(printer->out, "(doc ");
        print_string(printer, doc);
        printer->indent++;
        begin_line(printer);
    }
}

static void end_doc(Printer *printer, const char *doc)
{
    if (doc != NULL) {
        printer->indent--;
        strbuf_add_char(printer->out, ')');
    }
}

static void print_members(Printer *printer, const AstMembers *members);

static void print_variable(Printer *printer, const AstMember *member)
{
    strbuf_add_char(printer->out, ' ');
    if (member->as.variable.computed != NULL) {
        print_string(printer, member->as.variable.computed->as.string.text);
    } else {
        print_name(printer, member->as.variable.name);
    }
    strbuf_add_char(printer->out, ' ');
    print_type(printer, member->as.variable.type);
    print_optional(printer, member->as.variable.value);
}

static void print_let_member(Printer *printer, const AstMember *member)
{
    print_let(printer, &member->as.let);
}

static void print_fn_member(Printer *printer, const AstMember *member)
{
    print_function(printer, &member->as.function);
}

static void print_key(Printer *printer, const AstMember *member)
{
    strbuf_printf(printer->out, " %s", member->as.key.name.text);
    print_optional(printer, member->as.key.value);
}

static void print_block_member(Printer *printer, const AstMember *member)
{
    strbuf_printf(printer->out, " %s", member->as.block.name.text);
    print_members(printer, &member->as.block.members);
}

static void print_member(Printer *printer, const AstMember *member)
{
    static void (*const rest[AST_MEMBER_COUNT])(Printer *, const AstMember *) = {
        [AST_MEMBER_PARAM] = print_variable, [AST_MEMBER_STATE] = print_variable,
        [AST_MEMBER_LET] = print_let_member, [AST_MEMBER_FN] = print_fn_member,
        [AST_MEMBER_KEY] = print_key,        [AST_MEMBER_BLOCK] = print_block_member,
    };
    begin_line(printer);
    begin_doc(printer, member->doc);
    strbuf_printf(printer->out, "(%s", ast_member_kind_text(member->kind));
    rest[member->kind](printer, member);
    strbuf_add_char(printer->out, ')');
    end_doc(printer, member->doc);
}

static void print_members(Printer *printer, const AstMembers *members)
{
    printer->indent++;
    for (uint32_t i = 0; i < members->count; i++) {
        print_member(printer, members->data[i]);
    }
    printer->indent--;
}

static void print_import(Printer *printer, const AstItem *item)
{
    strbuf_add_char(printer->out, ' ');
    if (item->as.import.file != NULL) {
        print_string(printer, item->as.import.file->as.string.text);
    } else {
        print_path(printer, &item->as.import.path);
    }
    strbuf_add_char(printer->out, ' ');
    print_name(printer, item->as.import.alias);
    for (uint32_t i = 0; i < item->as.import.names.count; i++) {
        const AstImported *imported = &item->as.import.names.data[i];
        strbuf_printf(printer->out, imported->alias.text ? " (= %s" : " %s", imported->name.text);
        if (imported->alias.text != NULL) {
            strbuf_printf(printer->out, " %s)", imported->alias.text);
        }
    }
}

static void print_const(Printer *printer, const AstItem *item)
{
    strbuf_printf(printer->out, " %s ", item->name.text);
    print_type(printer, item->as.constant.type);
    print_optional(printer, item->as.constant.value);
}

static void print_fn_item(Printer *printer, const AstItem *item)
{
    print_function(printer, &item->as.function);
}

static void print_declaration(Printer *printer, const AstItem *item)
{
    strbuf_printf(printer->out, " %s", item->name.text);
    if (item->as.declaration.has_parameters) {
        print_parameters(printer, &item->as.declaration.parameters);
    } else {
        strbuf_add(printer->out, " -");
    }
    print_optional(printer, item->as.declaration.on);
    print_members(printer, &item->as.declaration.members);
}

static void print_item(Printer *printer, const AstItem *item)
{
    static void (*const rest[AST_ITEM_COUNT])(Printer *, const AstItem *) = {
        [AST_ITEM_IMPORT] = print_import,      [AST_ITEM_CONST] = print_const,
        [AST_ITEM_FN] = print_fn_item,         [AST_ITEM_EXTERN] = print_fn_item,
        [AST_ITEM_MODULE] = print_declaration, [AST_ITEM_OPTIMIZER] = print_declaration,
        [AST_ITEM_METRIC] = print_declaration, [AST_ITEM_SCHEDULE] = print_declaration,
        [AST_ITEM_INIT] = print_fn_item,       [AST_ITEM_DATASET] = print_declaration,
        [AST_ITEM_TRAIN] = print_declaration,
    };
    begin_doc(printer, item->doc);
    strbuf_printf(printer->out, "(%s", ast_item_kind_text(item->kind));
    rest[item->kind](printer, item);
    strbuf_add_char(printer->out, ')');
    end_doc(printer, item->doc);
    strbuf_add_char(printer->out, '\n');
}

void ast_print(const AstFile *file, StrBuf *out)
{
    Printer printer = {out, 0};
    if (file->doc != NULL) {
        strbuf_add(out, "(file-doc ");
        print_string(&printer, file->doc);
        strbuf_add(out, ")\n");
    }
    for (uint32_t i = 0; i < file->items.count; i++) {
        print_item(&printer, file->items.data[i]);
    }
}
