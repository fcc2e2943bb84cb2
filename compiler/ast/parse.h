/* Text to tree. Errors go to diag, each at its place; what could be read is in the tree all the
 * same, so that the analysis may be run on a file with errors when its caller wants more of them in
 * one go. */
#ifndef NNC_AST_PARSE_H
#define NNC_AST_PARSE_H
#include "compiler/ast/ast.h"

#define AST_MAX_SOURCE (16u << 20) /* bytes in one file */
#define AST_MAX_TOKENS (1u << 20)
#define AST_MAX_DEPTH 200 /* brackets, braces and operators inside one another */

/* Never NULL. The tree lives in `arena`; `map` must own `file`. */
AstFile *ast_parse(Arena *arena, SourceMap *map, uint32_t file, Diag *diag);

#endif
