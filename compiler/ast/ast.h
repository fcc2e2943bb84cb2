/* The tree of a .nn file: what was written, before anything is known about it.
 *
 * Stage in: the tokens of one text (grammar/nn.l, filter.c). Stage out: an AstFile for
 * compiler/sema. Key idea: every node is a tagged union whose tag names the member of `as` that is
 * set, and every node has the Span of its text. The tree says nothing of names, types or shapes;
 * `f(x)` is a call whether f is a function, a module or a type.
 *
 *   fn double(x: f32[B]) -> f32[B] { x |> scale(2.0) }
 *
 * is an AstItem AST_ITEM_FN whose body holds one AST_STMT_EXPR with an AST_EXPR_PIPE of a name and
 * a call.
 *
 * Everything lives in the arena given to ast_parse. Names and strings are NUL-terminated copies;
 * equal names are different pointers (compare with strcmp). An absent name has text == NULL, an
 * absent node is NULL. Where the text was wrong the tree is partial: AST_EXPR_ERROR, AST_STMT_ERROR
 * and AST_TYPE_ERROR stand for what could not be read (an error was reported). */
#ifndef NNC_AST_AST_H
#define NNC_AST_AST_H
#include "runtime/base/arena.h"
#include "runtime/base/diag.h"
#include "runtime/base/vec.h"

typedef struct AstExpr AstExpr;
typedef struct AstStmt AstStmt;
typedef struct AstType AstType;
typedef struct AstPattern AstPattern;
typedef struct AstMember AstMember;

typedef struct {
    const char *text; /* NULL: none was written */
    Span span;
} AstName;

typedef VEC(AstName) AstNames;
typedef VEC(AstExpr *) AstExprs;
typedef VEC(AstStmt *) AstStmts;
typedef VEC(AstPattern *) AstPatterns;

/* A block's value is its last statement when that is an AST_STMT_EXPR; the analysis decides whether
 * it is wanted. */
typedef struct {
    AstStmts stmts;
    Span span; /* with the braces */
    uint16_t height;
} AstBlock;

/* ---- Types ---- */

#define AST_TYPE_TABLE(ROW)                                                                        \
    ROW(NAMED, "type")                                                                             \
    ROW(TUPLE, "tuple-type")                                                                       \
    ROW(ERROR, "error-type")

typedef enum {
#define ROW(e, text) AST_TYPE_##e,
    AST_TYPE_TABLE(ROW)
#undef ROW
} AstTypeKind;

typedef struct {
    AstName name; /* as in -> (x: f32[B], y: i32); often absent */
    AstType *type;
} AstTypeEntry;

typedef struct {
    AstName name; /* absent: positional */
    AstExpr *value;
    Span span;
} AstArgument;

typedef VEC(AstTypeEntry) AstTypeEntries;
typedef VEC(AstArgument) AstArguments;

struct AstType {
    AstTypeKind kind;
    uint16_t height;
    Span span;
    union {
        struct {
            AstNames path;      /* f32, schedule, Linear, nn.Linear */
            bool has_dims;      /* f32[] and f32[...] have brackets, f32 has none */
            AstExprs dims;      /* any expression, or AST_EXPR_ELLIPSIS */
            bool has_arguments; /* category("a", "b"): only in dataset fields */
            AstArguments arguments;
        } named;
        AstTypeEntries tuple;
    } as;
};

/* ---- Expressions ---- */

#define AST_EXPR_TABLE(ROW)                                                                        \
    ROW(INT, "int")            /* as.integer */                                                    \
    ROW(FLOAT, "float")        /* as.real */                                                       \
    ROW(STRING, "string")      /* as.string, escapes resolved */                                   \
    ROW(BOOL, "bool")          /* as.boolean */                                                    \
    ROW(NAME, "name")          /* as.name */                                                       \
    ROW(CALL, "call")          /* as.call */                                                       \
    ROW(INDEX, "index")        /* as.index: x[0..T, :, 1] */                                       \
    ROW(MEMBER, "member")      /* as.member: x.name */                                             \
    ROW(TUPLE, "tuple")        /* as.list: (), (a,), (a, b) */                                     \
    ROW(RECORD, "record")      /* as.record: (mean=m, std=s) */                                    \
    ROW(ARRAY, "array")        /* as.list: [], [a, b], [image: u8[28, 28]] */                      \
    ROW(FIELD, "field")        /* as.field: an entry name: type of an array */                     \
    ROW(COMPREHENSION, "each") /* as.comprehension: [for i in 0..L: Block(i)] */                   \
    ROW(IF, "if")              /* as.branch, decided when compiling */                             \
    ROW(COND, "cond")          /* as.branch, decided when running */                               \
    ROW(NEGATE, "neg")         /* as.operand */                                                    \
    ROW(NOT, "not")            /* as.operand */                                                    \
    ROW(BINARY, "binary")      /* as.binary */                                                     \
    ROW(PIPE, "pipe")          /* as.binary, op unused: left |> right */                           \
    ROW(RANGE, "range")        /* as.range: a..b; in an index also a.., ..b, .., :, a..b:step */   \
    ROW(PADDED, "padded")      /* as.binary, op unused: x[t-1 else 0.0] */                         \
    ROW(ELLIPSIS, "ellipsis")  /* ... in an index or in a type */                                  \
    ROW(LAMBDA, "lambda")      /* as.lambda: fn (x) -> x + 1 */                                    \
    ROW(SCAN, "scan")          /* as.scan */                                                       \
    ROW(WHILE, "while")        /* as.loop */                                                       \
    ROW(PARAM, "param")        /* as.param: param "w{i}": f32[3] = 0, in a let of a module */      \
    ROW(ERROR, "error")        /* something unreadable stood here */

typedef enum {
#define ROW(e, text) AST_EXPR_##e,
    AST_EXPR_TABLE(ROW)
#undef ROW
        AST_EXPR_COUNT
} AstExprKind;

#define AST_BINARY_TABLE(ROW)                                                                      \
    ROW(OR, "or")                                                                                  \
    ROW(AND, "and")                                                                                \
    ROW(EQ, "==")                                                                                  \
    ROW(NE, "!=")                                                                                  \
    ROW(LT, "<")                                                                                   \
    ROW(GT, ">")                                                                                   \
    ROW(LE, "<=")                                                                                  \
    ROW(GE, ">=")                                                                                  \
    ROW(ADD, "+")                                                                                  \
    ROW(SUB, "-")                                                                                  \
    ROW(MUL, "*")                                                                                  \
    ROW(DIV, "/")                                                                                  \
    ROW(FLOORDIV, "//")                                                                            \
    ROW(MOD, "%")                                                                                  \
    ROW(MATMUL, "@")                                                                               \
    ROW(POW, "**")

typedef enum {
#define ROW(e, text) AST_##e,
    AST_BINARY_TABLE(ROW)
#undef ROW
        AST_BINARY_COUNT
} AstBinary;

typedef struct {
    AstName name;
    AstExpr *value;
} AstBinding; /* h = zeros(B, H) after `with` */

typedef VEC(AstBinding) AstBindings;

/* What stands between the source of a scan and its body. */
typedef struct {
    AstArguments settings; /* over T, axis = 1, lengths n, reverse, checkpoint: by name, in order */
    AstBindings state;
} AstScanOptions;

struct AstExpr {
    AstExprKind kind;
    bool parenthesised; /* (a + b); for the formatter and for hints */
    uint16_t height; /* of the tree, at most AST_MAX_DEPTH: recursion is safe */
    Span span;
    union {
        int64_t integer;
        double real;
        bool boolean;
        struct {
            const char *text;
            uint32_t length;
        } string;
        const char *name;
        struct {
            AstExpr *callee;
            AstArguments arguments;
        } call;
        struct {
            AstExpr *base;
            AstExprs items; /* expressions, AST_EXPR_RANGE, AST_EXPR_ELLIPSIS */
        } index;
        struct {
            AstExpr *base;
            AstName name;
        } member;
        AstExprs list;
        AstBindings record;
        struct {
            AstName name;
            AstType *type;
        } field;
        struct {
            AstPattern *pattern;
            AstExpr *over, *body;
        } comprehension;
        struct {
            AstExpr *condition;
            AstBlock then;
            bool has_otherwise;
            AstBlock otherwise; /* `else if` is a block of that one AST_EXPR_IF */
        } branch;
        AstExpr *operand;
        struct {
            AstBinary op;
            AstExpr *left, *right;
            Span op_span;
        } binary;
        struct {
            AstExpr *low, *high, *step; /* NULL: open, step 1; only inside an index */
        } range;
        struct {
            AstNames parameters;
            AstExpr *body;
        } lambda;
        AstMember *param; /* as.variable, `computed` set */
        struct { /* scan pattern in source over T reverse with state { body } */
            AstPattern *pattern;
            AstExpr *source;
            AstScanOptions options;
            AstBlock body;
        } scan;
        struct { /* while condition bound N with state { body } */
            AstExpr *condition;
            AstExpr *bound; /* NULL: not written */
            AstBindings state;
            AstBlock body;
        } loop;
    } as;
};

/* ---- Statements ---- */

/* a   or   a, (b, c): the names that a let, a for or a scan binds. */
struct AstPattern {
    Span span;
    bool is_tuple;
    AstName name;        /* when !is_tuple */
    AstPatterns entries; /* when is_tuple */
};

#define AST_STMT_TABLE(ROW)                                                                        \
    ROW(LET, "let")           /* as.let */                                                         \
    ROW(INDEXED, "let-index") /* as.indexed: let s[b, t] = a[b] * c[t] */                          \
    ROW(ASSIGN, "assign")     /* as.assign: x = v, a, b = v, hit += v */                           \
    ROW(EXPR, "expr")         /* as.expr */                                                        \
    ROW(RETURN, "return")     /* as.expr, NULL for a bare return */                                \
    ROW(YIELD, "yield")       /* as.expr */                                                        \
    ROW(FOR, "for")           /* as.loop */                                                        \
    ROW(MINIMIZE, "minimize") /* as.minimize */                                                    \
    ROW(ERROR, "error")       /* something unreadable stood here */

typedef enum {
#define ROW(e, text) AST_STMT_##e,
    AST_STMT_TABLE(ROW)
#undef ROW
        AST_STMT_COUNT
} AstStmtKind;

#define AST_ASSIGN_TABLE(ROW)                                                                      \
    ROW(SET, "=")                                                                                  \
    ROW(ADD, "+=")                                                                                 \
    ROW(SUB, "-=")                                                                                 \
    ROW(MUL, "*=")                                                                                 \
    ROW(DIV, "/=")

typedef enum {
#define ROW(e, text) AST_ASSIGN_##e,
    AST_ASSIGN_TABLE(ROW)
#undef ROW
        AST_ASSIGN_COUNT
} AstAssign;

typedef struct {
    AstPattern *pattern;
    AstType *type; /* NULL: not written */
    AstExpr *value;
} AstLet;

struct AstStmt {
    AstStmtKind kind;
    uint16_t height;
    Span span;
    union {
        AstLet let;
        struct {
            AstName name;
            AstNames indices;
            AstExpr *value;
        } indexed;
        struct {
            AstNames targets; /* one name unless op is AST_ASSIGN_SET */
            AstAssign op;
            AstExpr *value;
        } assign;
        AstExpr *expr;
        struct {
            AstPattern *pattern;
            AstExpr *over;
            AstBlock body;
        } loop;
        struct {
            AstExpr *loss;
            AstExprs wrt;
            AstExpr *optimizer;
        } minimize;
    } as;
};

/* ---- Declarations ---- */

typedef struct {
    AstName name;
    AstType *type;  /* NULL: not written */
    AstExpr *value; /* the default; NULL: required */
    Span span;
} AstParameter;

typedef VEC(AstParameter) AstParameters;

typedef struct {
    AstName name; /* absent: the anonymous fn of a module */
    AstParameters parameters;
    AstType *result; /* NULL: not written */
    AstBlock body;
    Span header; /* from `fn` to before the body */
} AstFunction;

/* What stands between the braces of a declaration. Which kinds a declaration may have:
 * ast_member_allowed. */
#define AST_MEMBER_TABLE(ROW)                                                                      \
    ROW(PARAM, "param") /* as.variable */                                                          \
    ROW(STATE, "state") /* as.variable */                                                          \
    ROW(LET, "let")     /* as.let */                                                               \
    ROW(FN, "fn")       /* as.function */                                                          \
    ROW(KEY, "key")     /* as.key: batch = 128 */                                                  \
    ROW(BLOCK, "block") /* as.block: split { valid = 0.1 } */

typedef enum {
#define ROW(e, text) AST_MEMBER_##e,
    AST_MEMBER_TABLE(ROW)
#undef ROW
        AST_MEMBER_COUNT
} AstMemberKind;

typedef VEC(AstMember *) AstMembers;

struct AstMember {
    AstMemberKind kind;
    Span span;
    const char *doc; /* the ## comment before it, NULL if none */
    union {
        struct {
            AstName name;      /* absent when `computed` is set */
            AstExpr *computed; /* param "weight_ih_l{i}": an AST_EXPR_STRING; else NULL */
            AstType *type;     /* NULL: not written (state only) */
            AstExpr *value;    /* NULL: not written */
        } variable;
        AstLet let;
        AstFunction function;
        struct {
            AstName name;
            AstExpr *value;
        } key;
        struct {
            AstName name;
            AstMembers members; /* KEY, BLOCK, LET, FN */
        } block;
    } as;
};

#define AST_ITEM_TABLE(ROW)                                                                        \
    ROW(IMPORT, "import")       /* as.import */                                                    \
    ROW(CONST, "const")         /* as.constant */                                                  \
    ROW(FN, "fn")               /* as.function */                                                  \
    ROW(EXTERN, "extern")       /* as.function, body empty */                                      \
    ROW(MODULE, "module")       /* as.declaration */                                               \
    ROW(OPTIMIZER, "optimizer") /* as.declaration */                                               \
    ROW(METRIC, "metric")       /* as.declaration */                                               \
    ROW(SCHEDULE, "schedule")   /* as.declaration */                                               \
    ROW(INIT, "init")           /* as.function: a body that sees fan_in and fan_out */             \
    ROW(DATASET, "dataset")     /* as.declaration, no parameters */                                \
    ROW(TRAIN, "train")         /* as.declaration, no parameters; `on` is set */

typedef enum {
#define ROW(e, text) AST_ITEM_##e,
    AST_ITEM_TABLE(ROW)
#undef ROW
        AST_ITEM_COUNT
} AstItemKind;

typedef struct {
    AstName name;
    AstName alias; /* absent unless `as` was written */
} AstImported;

typedef VEC(AstImported) AstImportedNames;

typedef struct {
    AstItemKind kind;
    Span span;
    const char *doc; /* the ## comment before it, NULL if none */
    AstName name;    /* absent for an import */
    union {
        struct {                    /* from a.b import x as y, z   or   import a.b as c */
            AstNames path;          /* empty when `file` is set */
            AstExpr *file;          /* from "other/file.nn" import x; else NULL */
            AstImportedNames names; /* empty: the module itself is imported */
            AstName alias;
        } import;
        struct {
            AstType *type; /* NULL: not written */
            AstExpr *value;
        } constant;
        AstFunction function;
        struct {
            bool has_parameters; /* module M { } has none, module M() { } an empty list */
            AstParameters parameters;
            AstExpr *on; /* train NAME on DATASET; NULL elsewhere */
            AstMembers members;
            Span header; /* up to before the brace */
        } declaration;
    } as;
} AstItem;

typedef VEC(AstItem *) AstItems;

/* Every comment of the file in order, so that a formatter can put it back. */
typedef struct {
    Span span;     /* with the #, without the newline */
    bool doc;      /* begins with ## */
    bool own_line; /* nothing but blanks before it */
} AstComment;

typedef struct {
    uint32_t file;   /* in the SourceMap */
    const char *doc; /* a ## comment at the top that is followed by an empty line; NULL if none */
    AstItems items;
    VEC(AstComment) comments;
} AstFile;

const char *ast_type_kind_text(AstTypeKind kind);
const char *ast_expr_kind_text(AstExprKind kind);
const char *ast_stmt_kind_text(AstStmtKind kind);
const char *ast_member_kind_text(AstMemberKind kind);
const char *ast_item_kind_text(AstItemKind kind);
const char *ast_binary_text(AstBinary op);
const char *ast_assign_text(AstAssign op);
/* May a declaration of this kind hold such a member? (A dataset has no param, a module no key.) */
bool ast_member_allowed(AstItemKind item, AstMemberKind member);

#endif
