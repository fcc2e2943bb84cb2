/* The text form of a tree for --dump=ast and for golden tests: one s-expression per item, spans and
 * comments left out. ast_print after ast_read gives the same bytes back. */
#ifndef NNC_AST_PRINT_H
#define NNC_AST_PRINT_H
#include "compiler/ast/ast.h"

void ast_print(const AstFile *file, StrBuf *out);
/* NULL with one error in diag when the text is not such a form. */
AstFile *ast_read(Arena *arena, SourceMap *map, uint32_t file, Diag *diag);

#endif
