/* The grammar of .nn files: tokens (as compiler/ast/filter.c gives them) to the tree of
 * compiler/ast/ast.h.
 *
 * LALR(1) without conflicts. Statements, members and items are each followed by TOK_NEWLINE or `;`,
 * and brackets always balance; both are the filter's work. Lists recover from an error at their
 * next separator, so that every statement with an error is reported once and its neighbours are read as
 * usual. Soft keywords are names by the rule `name`. Nodes are made in compiler/ast/build.c. */
%require "3.8"
%define api.pure full
%define api.prefix {nn_}
%define api.token.prefix {TOK_}
%define api.value.type union
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%locations
%param {AstParser *parser}
%expect 0

%code requires {
#include "compiler/ast/parser.h"
}

%code {
static int nn_lex(NN_STYPE *value, Span *span, AstParser *parser);
static void nn_error(const Span *span, AstParser *parser, const char *message);

#define YYLLOC_DEFAULT(current, rhs, count) \
    do { \
        if (count) { \
            (current) = (Span){YYRHSLOC(rhs, 1).file, YYRHSLOC(rhs, 1).begin, \
                               YYRHSLOC(rhs, count).end}; \
        } else { \
            (current) = (Span){YYRHSLOC(rhs, 0).file, YYRHSLOC(rhs, 0).end, \
                               YYRHSLOC(rhs, 0).end}; \
        } \
    } while (0)

#define PUSH(list, ...) vec_push(parser->arena, &(list), __VA_ARGS__)

static Span join(Span first, Span last) {
    return (Span){first.file, first.begin, last.end};
}
}

%token <int64_t> INT
%token <double> FLOAT
%token <AstText> STRING
%token <AstText> NAME
%token NEWLINE
%token PIPE ARROW DOTDOT ELLIPSIS EQ NE LE GE FLOORDIV POW ADD_SET SUB_SET MUL_SET DIV_SET
%token AND OR NOT TRUE FALSE IF ELSE FOR COND SCAN WHILE FN LET RETURN YIELD MINIMIZE
%token <AstText> AS BOUND CHECKPOINT CONST DATASET EXTERN FROM IMPORT IN INIT LENGTHS METRIC MODULE ON
%token <AstText> OPTIMIZER OVER PARAM REVERSE SCHEDULE STATE TRAIN USING WITH WRT
%token END 0

%precedence IF_ALONE /* an else belongs to the if before it */
%precedence ELSE
%precedence LAMBDA
%left PIPE
%left OR
%left AND
%precedence NOT
%nonassoc EQ NE '<' '>' LE GE
%nonassoc DOTDOT
%left '+' '-'
%left '*' '/' '%' '@' FLOORDIV
%precedence NEGATE
%right POW

%type <AstText> soft
%type <AstName> name optional_name alias
%type <AstNames> names path
%type <AstItem *> item
%type <AstImportedNames> imported imported_list
%type <AstImported> imported_name
%type <AstType *> type result optional_type
%type <AstTypeEntries> type_entries
%type <AstTypeEntry> type_entry
%type <AstExprs> dims dim_list index_items exprs array_items
%type <AstExpr *> dim index_item slice array_item expr postfix primary else_if optional_bound
%type <AstParameters> parameters parameter_list
%type <AstParameter> parameter
%type <AstFunction> signature
%type <AstMembers> members member_block
%type <AstMember *> member
%type <AstBlock> block stmts
%type <AstStmt *> stmt
%type <AstLet> let
%type <AstPattern *> pattern pattern_part
%type <AstPatterns> pattern_list
%type <AstAssign> assign
%type <AstArguments> arguments argument_list
%type <AstArgument> argument
%type <AstBindings> bindings optional_with
%type <AstScanOptions> scan_options

%%
file: items ;

items: %empty
     | items item end     { if ($2) PUSH(parser->file->items, $2); }
     | items error end    { yyerrok; }
     ;

end: NEWLINE | ';' ;

/* ---- names ---- */

soft: AS | BOUND | CHECKPOINT | CONST | DATASET | EXTERN | FROM | IMPORT | IN | INIT | LENGTHS | METRIC
    | MODULE | ON | OPTIMIZER | OVER | PARAM | REVERSE | SCHEDULE | STATE | TRAIN | USING | WITH | WRT ;

name: NAME                { $$ = (AstName){$1.text, @1}; }
    | soft                { $$ = (AstName){$1.text, @1}; }
    ;

optional_name: %empty     { $$ = (AstName){NULL, @$}; }
             | name
             ;

names: name               { $$ = (AstNames){0}; PUSH($$, $1); }
     | names ',' name     { $$ = $1; PUSH($$, $3); }
     ;

path: name                { $$ = (AstNames){0}; PUSH($$, $1); }
    | path '.' name       { $$ = $1; PUSH($$, $3); }
    ;

/* ---- items ---- */

item: IMPORT path alias {
        $$ = ast_new_item(parser, AST_ITEM_IMPORT, (AstName){0}, @$);
        $$->as.import.path = $2;
        $$->as.import.alias = $3;
    }
    | IMPORT STRING AS name {
        $$ = ast_new_item(parser, AST_ITEM_IMPORT, (AstName){0}, @$);
        $$->as.import.file = ast_new_string(parser, $2, @2);
        $$->as.import.alias = $4;
    }
    | FROM path IMPORT imported {
        $$ = ast_new_item(parser, AST_ITEM_IMPORT, (AstName){0}, @$);
        $$->as.import.path = $2;
        $$->as.import.names = $4;
    }
    | FROM STRING IMPORT imported {
        $$ = ast_new_item(parser, AST_ITEM_IMPORT, (AstName){0}, @$);
        $$->as.import.file = ast_new_string(parser, $2, @2);
        $$->as.import.names = $4;
    }
    | CONST name optional_type '=' expr {
        $$ = ast_new_item(parser, AST_ITEM_CONST, $2, @$);
        $$->as.constant.type = $3;
        $$->as.constant.value = $5;
    }
    | FN name signature block {
        $$ = ast_new_item(parser, AST_ITEM_FN, $2, @$);
        $$->as.function = $3;
        $$->as.function.name = $2;
        $$->as.function.body = $4;
        $$->as.function.header = join(@1, @3);
    }
    | EXTERN FN name signature {
        $$ = ast_new_item(parser, AST_ITEM_EXTERN, $3, @$);
        $$->as.function = $4;
        $$->as.function.name = $3;
        $$->as.function.header = @$;
    }
    | INIT name '(' parameters ')' block {
        $$ = ast_new_item(parser, AST_ITEM_INIT, $2, @$);
        $$->as.function.name = $2;
        $$->as.function.parameters = $4;
        $$->as.function.body = $6;
        $$->as.function.header = join(@1, @5);
    }
    | MODULE name member_block {
        $$ = ast_new_declaration(parser, AST_ITEM_MODULE, $2, NULL, $3, join(@1, @2), @$);
    }
    | MODULE name '(' parameters ')' member_block
    {
        $$ = ast_new_declaration(parser, AST_ITEM_MODULE, $2, &$4, $6, join(@1, @5), @$);
    }
    | OPTIMIZER name '(' parameters ')' member_block
    {
        $$ = ast_new_declaration(parser, AST_ITEM_OPTIMIZER, $2, &$4, $6, join(@1, @5), @$);
    }
    | METRIC name '(' parameters ')' member_block
    {
        $$ = ast_new_declaration(parser, AST_ITEM_METRIC, $2, &$4, $6, join(@1, @5), @$);
    }
    | SCHEDULE name '(' parameters ')' member_block
    {
        $$ = ast_new_declaration(parser, AST_ITEM_SCHEDULE, $2, &$4, $6, join(@1, @5), @$);
    }
    | DATASET name member_block {
        $$ = ast_new_declaration(parser, AST_ITEM_DATASET, $2, NULL, $3, join(@1, @2), @$);
    }
    | TRAIN name ON expr member_block {
        $$ = ast_new_declaration(parser, AST_ITEM_TRAIN, $2, NULL, $5, join(@1, @4), @$);
        $$->as.declaration.on = $4;
    }
    ;

alias: %empty             { $$ = (AstName){0}; }
     | AS name            { $$ = $2; }
     ;

imported: imported_list
        | imported_list ','         { $$ = $1; }
        | '(' imported_list ')'     { $$ = $2; }
        | '(' imported_list ',' ')' { $$ = $2; }
        ;

imported_list: imported_name                   { $$ = (AstImportedNames){0}; PUSH($$, $1); }
             | imported_list ',' imported_name { $$ = $1; PUSH($$, $3); }
             ;

imported_name: name alias { $$ = (AstImported){$1, $2}; } ;

/* ---- functions ---- */

signature: '(' parameters ')' result { $$ = (AstFunction){.parameters = $2, .result = $4}; } ;

result: %empty            { $$ = NULL; }
      | ARROW type        { $$ = $2; }
      ;

parameters: %empty        { $$ = (AstParameters){0}; }
          | parameter_list
          | parameter_list ',' { $$ = $1; }
          ;

parameter_list: parameter                    { $$ = (AstParameters){0}; PUSH($$, $1); }
              | parameter_list ',' parameter { $$ = $1; PUSH($$, $3); }
              ;

parameter: name optional_type            { $$ = (AstParameter){$1, $2, NULL, @$}; }
         | name optional_type '=' expr   { $$ = (AstParameter){$1, $2, $4, @$}; }
         ;

/* ---- types ---- */

optional_type: %empty     { $$ = NULL; }
             | ':' type   { $$ = $2; }
             ;

type: path {
        $$ = ast_new_type(parser, AST_TYPE_NAMED, @$, 0);
        $$->as.named.path = $1;
    }
    | FN {
        AstNames path = {0};
        PUSH(path, (AstName){"fn", @1});
        $$ = ast_new_type(parser, AST_TYPE_NAMED, @$, 0);
        $$->as.named.path = path;
    }
    | path '[' dims ']' {
        $$ = ast_new_type(parser, AST_TYPE_NAMED, @$, ast_height_of_exprs(&$3));
        $$->as.named.path = $1;
        $$->as.named.has_dims = true;
        $$->as.named.dims = $3;
    }
    | path '(' arguments ')' {
        $$ = ast_new_type(parser, AST_TYPE_NAMED, @$, ast_height_of_arguments(&$3));
        $$->as.named.path = $1;
        $$->as.named.has_arguments = true;
        $$->as.named.arguments = $3;
    }
    | '(' type_entries ')' {
        uint32_t height = 0;
        for (uint32_t i = 0; i < $2.count; i++) {
            height = ast_max_height(height, $2.data[i].type->height);
        }
        $$ = ast_new_type(parser, AST_TYPE_TUPLE, @$, height);
        $$->as.tuple = $2;
    }
    ;

type_entries: type_entry                  { $$ = (AstTypeEntries){0}; PUSH($$, $1); }
            | type_entries ',' type_entry { $$ = $1; PUSH($$, $3); }
            ;

type_entry: type          { $$ = (AstTypeEntry){{0}, $1}; }
          | name ':' type { $$ = (AstTypeEntry){$1, $3}; }
          ;

dims: %empty              { $$ = (AstExprs){0}; }
    | dim_list
    | dim_list ','        { $$ = $1; }
    ;

dim_list: dim             { $$ = (AstExprs){0}; PUSH($$, $1); }
        | dim_list ',' dim { $$ = $1; PUSH($$, $3); }
        ;

dim: expr
   | ELLIPSIS             { $$ = ast_new_expr(parser, AST_EXPR_ELLIPSIS, @$, 0); }
   ;

/* ---- members of declarations ---- */

member_block: '{' members '}'       { $$ = $2; }
            | '{' members error '}' { $$ = $2; yyerrok; }
            ;

members: %empty                { $$ = (AstMembers){0}; }
       | members member end    { $$ = $1; if ($2) PUSH($$, $2); }
       | members error end     { $$ = $1; yyerrok; }
       ;

member: PARAM name ':' type {
          $$ = ast_new_variable(parser, AST_MEMBER_PARAM, $2, NULL, $4, NULL, @$);
      }
      | PARAM name ':' type '=' expr {
          $$ = ast_new_variable(parser, AST_MEMBER_PARAM, $2, NULL, $4, $6, @$);
      }
      | PARAM STRING ':' type {
          AstExpr *computed = ast_new_string(parser, $2, @2);
          $$ = ast_new_variable(parser, AST_MEMBER_PARAM, (AstName){0}, computed, $4, NULL, @$);
      }
      | PARAM STRING ':' type '=' expr {
          AstExpr *computed = ast_new_string(parser, $2, @2);
          $$ = ast_new_variable(parser, AST_MEMBER_PARAM, (AstName){0}, computed, $4, $6, @$);
      }
      | STATE name optional_type {
          $$ = ast_new_variable(parser, AST_MEMBER_STATE, $2, NULL, $3, NULL, @$);
      }
      | STATE name optional_type '=' expr {
          $$ = ast_new_variable(parser, AST_MEMBER_STATE, $2, NULL, $3, $5, @$);
      }
      | let {
          $$ = ast_new_member(parser, AST_MEMBER_LET, @$);
          $$->as.let = $1;
      }
      | FN optional_name signature block {
          $$ = ast_new_member(parser, AST_MEMBER_FN, @$);
          $$->as.function = $3;
          $$->as.function.name = $2;
          $$->as.function.body = $4;
          $$->as.function.header = join(@1, @3);
      }
      | name '=' expr {
          $$ = ast_new_member(parser, AST_MEMBER_KEY, @$);
          $$->as.key.name = $1;
          $$->as.key.value = $3;
      }
      | name member_block {
          $$ = ast_new_member(parser, AST_MEMBER_BLOCK, @$);
          $$->as.block.name = $1;
          $$->as.block.members = $2;
      }
      ;

/* ---- statements ---- */

block: '{' stmts '}'       { $$ = $2; $$.span = @$; }
     | '{' stmts error '}' { $$ = $2; $$.span = @$; yyerrok; }
     ;

stmts: %empty              { $$ = (AstBlock){0}; }
     | stmts stmt end      { $$ = $1; ast_block_add(parser, &$$, $2); }
     | stmts error end     { $$ = $1; yyerrok; }
     ;

stmt: let {
        uint32_t height = ast_max_height($1.value->height, $1.type ? $1.type->height : 0);
        $$ = ast_new_stmt(parser, AST_STMT_LET, @$, height);
        $$->as.let = $1;
    }
    | LET name '[' names ']' '=' expr {
        $$ = ast_new_stmt(parser, AST_STMT_INDEXED, @$, $7->height);
        $$->as.indexed.name = $2;
        $$->as.indexed.indices = $4;
        $$->as.indexed.value = $7;
    }
    | expr {
        $$ = ast_new_stmt(parser, AST_STMT_EXPR, @$, $1->height);
        $$->as.expr = $1;
    }
    | expr assign expr     { $$ = ast_new_assign(parser, $1, $2, $3, @$); }
    | exprs ',' expr '=' expr {
        AstExprs targets = $1;
        PUSH(targets, $3);
        AstExpr *list = ast_new_list(parser, AST_EXPR_TUPLE, targets, join(@1, @3));
        $$ = ast_new_assign(parser, list, AST_ASSIGN_SET, $5, @$);
    }
    | RETURN {
        $$ = ast_new_stmt(parser, AST_STMT_RETURN, @$, 0);
    }
    | RETURN expr {
        $$ = ast_new_stmt(parser, AST_STMT_RETURN, @$, $2->height);
        $$->as.expr = $2;
    }
    | YIELD expr {
        $$ = ast_new_stmt(parser, AST_STMT_YIELD, @$, $2->height);
        $$->as.expr = $2;
    }
    | FOR pattern IN expr block {
        $$ = ast_new_stmt(parser, AST_STMT_FOR, @$, ast_max_height($4->height, $5.height));
        $$->as.loop.pattern = $2;
        $$->as.loop.over = $4;
        $$->as.loop.body = $5;
    }
    | MINIMIZE expr WRT exprs USING expr {
        uint32_t height = ast_max_height(ast_height_of_exprs(&$4), $6->height);
        $$ = ast_new_stmt(parser, AST_STMT_MINIMIZE, @$, ast_max_height($2->height, height));
        $$->as.minimize.loss = $2;
        $$->as.minimize.wrt = $4;
        $$->as.minimize.optimizer = $6;
    }
    ;

assign: '='                { $$ = AST_ASSIGN_SET; }
      | ADD_SET            { $$ = AST_ASSIGN_ADD; }
      | SUB_SET            { $$ = AST_ASSIGN_SUB; }
      | MUL_SET            { $$ = AST_ASSIGN_MUL; }
      | DIV_SET            { $$ = AST_ASSIGN_DIV; }
      ;

let: LET pattern optional_type '=' expr { $$ = (AstLet){$2, $3, $5}; } ;

pattern: pattern_part
       | pattern_list ',' pattern_part {
           PUSH($1, $3);
           $$ = ast_new_pattern_list(parser, $1, @$);
       }
       ;

pattern_list: pattern_part                  { $$ = (AstPatterns){0}; PUSH($$, $1); }
            | pattern_list ',' pattern_part { $$ = $1; PUSH($$, $3); }
            ;

pattern_part: name                          { $$ = ast_new_pattern(parser, $1); }
            | '(' pattern_list ')'          { $$ = ast_new_pattern_list(parser, $2, @$); }
            ;

/* ---- expressions ---- */

exprs: expr                { $$ = (AstExprs){0}; PUSH($$, $1); }
     | exprs ',' expr      { $$ = $1; PUSH($$, $3); }
     ;

expr: postfix
    | expr PIPE expr       { $$ = ast_new_binary(parser, AST_BINARY_COUNT, $1, $3, @2, @$); }
    | expr OR expr         { $$ = ast_new_binary(parser, AST_OR, $1, $3, @2, @$); }
    | expr AND expr        { $$ = ast_new_binary(parser, AST_AND, $1, $3, @2, @$); }
    | expr EQ expr         { $$ = ast_new_binary(parser, AST_EQ, $1, $3, @2, @$); }
    | expr NE expr         { $$ = ast_new_binary(parser, AST_NE, $1, $3, @2, @$); }
    | expr '<' expr        { $$ = ast_new_binary(parser, AST_LT, $1, $3, @2, @$); }
    | expr '>' expr        { $$ = ast_new_binary(parser, AST_GT, $1, $3, @2, @$); }
    | expr LE expr         { $$ = ast_new_binary(parser, AST_LE, $1, $3, @2, @$); }
    | expr GE expr         { $$ = ast_new_binary(parser, AST_GE, $1, $3, @2, @$); }
    | expr '+' expr        { $$ = ast_new_binary(parser, AST_ADD, $1, $3, @2, @$); }
    | expr '-' expr        { $$ = ast_new_binary(parser, AST_SUB, $1, $3, @2, @$); }
    | expr '*' expr        { $$ = ast_new_binary(parser, AST_MUL, $1, $3, @2, @$); }
    | expr '/' expr        { $$ = ast_new_binary(parser, AST_DIV, $1, $3, @2, @$); }
    | expr FLOORDIV expr   { $$ = ast_new_binary(parser, AST_FLOORDIV, $1, $3, @2, @$); }
    | expr '%' expr        { $$ = ast_new_binary(parser, AST_MOD, $1, $3, @2, @$); }
    | expr '@' expr        { $$ = ast_new_binary(parser, AST_MATMUL, $1, $3, @2, @$); }
    | expr POW expr        { $$ = ast_new_binary(parser, AST_POW, $1, $3, @2, @$); }
    | expr DOTDOT expr     { $$ = ast_new_range(parser, $1, $3, @$); }
    | '-' expr %prec NEGATE { $$ = ast_new_unary(parser, AST_EXPR_NEGATE, $2, @$); }
    | NOT expr             { $$ = ast_new_unary(parser, AST_EXPR_NOT, $2, @$); }
    | PARAM STRING ':' type '=' expr %prec LAMBDA {
        AstExpr *computed = ast_new_string(parser, $2, @2);
        $$ = ast_new_expr(parser, AST_EXPR_PARAM, @$, ast_max_height($4->height, $6->height));
        $$->as.param = ast_new_variable(parser, AST_MEMBER_PARAM, (AstName){0}, computed, $4, $6, @$);
    }
    | FN '(' names ')' ARROW expr %prec LAMBDA {
        $$ = ast_new_expr(parser, AST_EXPR_LAMBDA, @$, $6->height);
        $$->as.lambda.parameters = $3;
        $$->as.lambda.body = $6;
    }
    ;

postfix: primary
       | postfix '(' arguments ')'   { $$ = ast_new_call(parser, $1, $3, @$); }
       | postfix '[' index_items ']' { $$ = ast_new_index(parser, $1, $3, @$); }
       | postfix '.' name {
           $$ = ast_new_expr(parser, AST_EXPR_MEMBER, @$, $1->height);
           $$->as.member.base = $1;
           $$->as.member.name = $3;
       }
       ;

primary: name {
           $$ = ast_new_expr(parser, AST_EXPR_NAME, @$, 0);
           $$->as.name = $1.text;
       }
       | INT {
           $$ = ast_new_expr(parser, AST_EXPR_INT, @$, 0);
           $$->as.integer = $1;
       }
       | FLOAT {
           $$ = ast_new_expr(parser, AST_EXPR_FLOAT, @$, 0);
           $$->as.real = $1;
       }
       | STRING            { $$ = ast_new_string(parser, $1, @$); }
       | TRUE {
           $$ = ast_new_expr(parser, AST_EXPR_BOOL, @$, 0);
           $$->as.boolean = true;
       }
       | FALSE             { $$ = ast_new_expr(parser, AST_EXPR_BOOL, @$, 0); }
       | '(' expr ')' {
           $$ = $2;
           $$->parenthesised = true;
       }
       | '(' ')'           { $$ = ast_new_list(parser, AST_EXPR_TUPLE, (AstExprs){0}, @$); }
       | '(' exprs ',' ')' { $$ = ast_new_list(parser, AST_EXPR_TUPLE, $2, @$); }
       | '(' exprs ',' expr ')' {
           PUSH($2, $4);
           $$ = ast_new_list(parser, AST_EXPR_TUPLE, $2, @$);
       }
       | '(' bindings ')'  { $$ = ast_new_record(parser, $2, @$); }
       | '(' bindings ',' ')' { $$ = ast_new_record(parser, $2, @$); }
       | '[' ']'           { $$ = ast_new_list(parser, AST_EXPR_ARRAY, (AstExprs){0}, @$); }
       | '[' array_items ']' { $$ = ast_new_list(parser, AST_EXPR_ARRAY, $2, @$); }
       | '[' array_items ',' ']' { $$ = ast_new_list(parser, AST_EXPR_ARRAY, $2, @$); }
       | '[' FOR pattern IN expr ':' expr ']' {
           uint32_t height = ast_max_height($5->height, $7->height);
           $$ = ast_new_expr(parser, AST_EXPR_COMPREHENSION, @$, height);
           $$->as.comprehension.pattern = $3;
           $$->as.comprehension.over = $5;
           $$->as.comprehension.body = $7;
       }
       | IF expr block %prec IF_ALONE { $$ = ast_new_branch(parser, AST_EXPR_IF, $2, $3, NULL, @$); }
       | IF expr block ELSE block { $$ = ast_new_branch(parser, AST_EXPR_IF, $2, $3, &$5, @$); }
       | IF expr block ELSE else_if {
           AstBlock otherwise = ast_block_of(parser, $5);
           $$ = ast_new_branch(parser, AST_EXPR_IF, $2, $3, &otherwise, @$);
       }
       | COND expr block ELSE block { $$ = ast_new_branch(parser, AST_EXPR_COND, $2, $3, &$5, @$); }
       | SCAN pattern IN expr scan_options block {
           uint32_t height = ast_max_height($4->height, $6.height);
           height = ast_max_height(height, ast_height_of_scan_options(&$5));
           $$ = ast_new_expr(parser, AST_EXPR_SCAN, @$, height);
           $$->as.scan.pattern = $2;
           $$->as.scan.source = $4;
           $$->as.scan.options = $5;
           $$->as.scan.body = $6;
       }
       | WHILE expr optional_bound optional_with block {
           uint32_t height = ast_max_height($2->height, $5.height);
           height = ast_max_height(height, $3 ? $3->height : 0);
           height = ast_max_height(height, ast_height_of_bindings(&$4));
           $$ = ast_new_expr(parser, AST_EXPR_WHILE, @$, height);
           $$->as.loop.condition = $2;
           $$->as.loop.bound = $3;
           $$->as.loop.state = $4;
           $$->as.loop.body = $5;
       }
       ;

else_if: IF expr block %prec IF_ALONE { $$ = ast_new_branch(parser, AST_EXPR_IF, $2, $3, NULL, @$); }
       | IF expr block ELSE block { $$ = ast_new_branch(parser, AST_EXPR_IF, $2, $3, &$5, @$); }
       | IF expr block ELSE else_if {
           AstBlock otherwise = ast_block_of(parser, $5);
           $$ = ast_new_branch(parser, AST_EXPR_IF, $2, $3, &otherwise, @$);
       }
       ;

scan_options: %empty                   { $$ = (AstScanOptions){0}; }
            | scan_options OVER expr {
                $$ = $1;
                PUSH($$.settings, (AstArgument){{"over", @2}, $3, @3});
            }
            | scan_options OVER name '=' expr {
                $$ = $1;
                PUSH($$.settings, (AstArgument){$3, $5, join(@3, @5)});
            }
            | scan_options LENGTHS expr {
                $$ = $1;
                PUSH($$.settings, (AstArgument){{"lengths", @2}, $3, @3});
            }
            | scan_options REVERSE {
                $$ = $1;
                PUSH($$.settings, (AstArgument){{"reverse", @2}, ast_new_true(parser, @2), @2});
            }
            | scan_options CHECKPOINT {
                $$ = $1;
                PUSH($$.settings, (AstArgument){{"checkpoint", @2}, ast_new_true(parser, @2), @2});
            }
            | scan_options WITH bindings {
                $$ = $1;
                for (uint32_t i = 0; i < $3.count; i++) {
                    PUSH($$.state, $3.data[i]);
                }
            }
            ;

optional_bound: %empty     { $$ = NULL; }
              | BOUND expr { $$ = $2; }
              ;

optional_with: %empty      { $$ = (AstBindings){0}; }
             | WITH bindings { $$ = $2; }
             ;

bindings: name '=' expr              { $$ = (AstBindings){0}; PUSH($$, (AstBinding){$1, $3}); }
        | bindings ',' name '=' expr { $$ = $1; PUSH($$, (AstBinding){$3, $5}); }
        ;

arguments: %empty          { $$ = (AstArguments){0}; }
         | argument_list
         | argument_list ',' { $$ = $1; }
         ;

argument_list: argument                   { $$ = (AstArguments){0}; PUSH($$, $1); }
             | argument_list ',' argument { $$ = $1; PUSH($$, $3); }
             ;

argument: expr             { $$ = (AstArgument){{0}, $1, @$}; }
        | name '=' expr { $$ = (AstArgument){$1, $3, @$}; }
        ;

index_items: index_item                 { $$ = (AstExprs){0}; PUSH($$, $1); }
           | index_items ',' index_item { $$ = $1; PUSH($$, $3); }
           ;

index_item: expr
          | expr ELSE expr {
              $$ = ast_new_binary(parser, AST_BINARY_COUNT, $1, $3, @2, @$);
              $$->kind = AST_EXPR_PADDED;
          }
          | slice
          | slice ':' expr { $$ = ast_new_slice(parser, $1, $3, @$); }
          | ELLIPSIS       { $$ = ast_new_expr(parser, AST_EXPR_ELLIPSIS, @$, 0); }
          ;

slice: expr DOTDOT    { $$ = ast_new_range(parser, $1, NULL, @$); }
     | DOTDOT expr    { $$ = ast_new_range(parser, NULL, $2, @$); }
     | DOTDOT         { $$ = ast_new_range(parser, NULL, NULL, @$); }
     | expr ':'       { $$ = ast_new_range(parser, $1, NULL, @$); }
     | ':' expr       { $$ = ast_new_range(parser, NULL, $2, @$); }
     | ':'            { $$ = ast_new_range(parser, NULL, NULL, @$); }
     | expr ':' expr  {
         $$ = $1->kind == AST_EXPR_RANGE ? ast_new_slice(parser, $1, $3, @$)
                                         : ast_new_range(parser, $1, $3, @$);
     }
     ;

array_items: array_item                 { $$ = (AstExprs){0}; PUSH($$, $1); }
           | array_items ',' array_item { $$ = $1; PUSH($$, $3); }
           ;

array_item: expr
          | name ':' type {
              $$ = ast_new_expr(parser, AST_EXPR_FIELD, @$, $3->height);
              $$->as.field.name = $1;
              $$->as.field.type = $3;
          }
          ;
%%

static int nn_lex(NN_STYPE *value, Span *span, AstParser *parser) {
    AstToken token = ast_filter_next(parser);
    *span = token.span;
    switch (token.kind) {
    case TOK_INT:
        value->TOK_INT = token.value.integer;
        break;
    case TOK_FLOAT:
        value->TOK_FLOAT = token.value.real;
        break;
    default:
        value->TOK_NAME = token.value.text;
        break;
    }
    return token.kind;
}

static int token_of_symbol(yysymbol_kind_t symbol) {
    for (int token = 0; token <= YYMAXUTOK; token++) {
        if (YYTRANSLATE(token) == symbol) {
            return token;
        }
    }
    return TOK_NN_UNDEF;
}

static int yyreport_syntax_error(const yypcontext_t *context, AstParser *parser) {
    yysymbol_kind_t symbols[YYNTOKENS];
    int expected[YYNTOKENS];
    int count = yypcontext_expected_tokens(context, symbols, YYNTOKENS);
    int kept = 0;
    for (int i = 0; i < count; i++) {
        expected[kept++] = token_of_symbol(symbols[i]);
    }
    ast_report_unexpected(parser, &parser->last, expected, kept);
    ast_filter_recover(parser);
    return 0;
}

/* Only called when the parser's stack is full. */
static void nn_error(const Span *span, AstParser *parser, const char *message) {
    (void)message;
    ast_report_depth(parser, *span);
    parser->stopped = true;
}
