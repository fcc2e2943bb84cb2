/* Lists of the text form of trees, and how they become nodes. Shared by read_list.c (text to
 * lists), read_expr.c (types and expressions) and read.c (statements, members, items). Private to
 * compiler/ast. */
#ifndef NNC_AST_READ_H
#define NNC_AST_READ_H
#include "compiler/ast/parser.h"

typedef struct AstNode AstNode;
struct AstNode {
    enum { NODE_LIST, NODE_WORD, NODE_STRING } kind;
    Span span;
    const char *text; /* word or string */
    uint32_t length;
    VEC(AstNode *) items;
};

typedef struct {
    AstParser build; /* what build.c needs: arena, diag, file, text */
    uint32_t at;
    bool failed;
} AstReader;

/* read_list.c. After the first failure nothing more is reported. */
void ast_read_fail(AstReader *reader, Span span, const char *wanted);
AstNode *ast_read_node(AstReader *reader,
                       uint32_t depth); /* NULL at a `)`, at the end and after a failure */
bool ast_node_is_word(const AstNode *node, const char *text);
bool ast_node_is_head(const AstNode *node, const char *text); /* a list that begins with the word */
bool ast_node_is_absent(const AstNode *node);                 /* - */
uint32_t ast_node_parts(const AstNode *list);                 /* with the head; 0 for a word */
const AstNode *ast_read_part(AstReader *reader, const AstNode *list,
                             uint32_t index); /* an absent one after a failure */
void ast_read_at_most(AstReader *reader, const AstNode *list, uint32_t count);
AstName ast_read_name(AstReader *reader, const AstNode *node);
AstName ast_read_optional_name(AstReader *reader, const AstNode *node);
AstNames ast_read_names(AstReader *reader, const AstNode *node);
AstNames ast_read_path(AstReader *reader, const AstNode *node);
AstPattern *ast_read_pattern(AstReader *reader, const AstNode *node);

/* read_expr.c; the optional ones give NULL for `-`. */
AstExpr *ast_read_expr(AstReader *reader, const AstNode *node);
AstExpr *ast_read_optional_expr(AstReader *reader, const AstNode *node);
AstExprs ast_read_exprs(AstReader *reader, const AstNode *node, uint32_t from);
AstType *ast_read_optional_type(AstReader *reader, const AstNode *node);

/* read.c */
AstBlock ast_read_block(AstReader *reader, const AstNode *node);

#endif
