/* What the files of simplify share: its rules (simplify.def) and the questions they ask. */
#ifndef NNC_PASSES_SIMPLIFY_H
#define NNC_PASSES_SIMPLIFY_H
#include "compiler/graph/build.h"

enum { OP_ANY_OP = OP_COUNT };

#define RULE(op, name, doc) Node *simplify_##name(Graph *g, Node *n);
#include "compiler/passes/simplify.def"

bool is_const_value(const Node *node,
                    double value); /* a const of exactly that value; -0.0 is not 0.0 */
bool is_const_number(const Node *node, double *value);
bool axis_is_unit(const Type *type, int axis);
bool axes_are_unit(const Type *type, const Axes *axes);
bool simplify_same_dims(const Type *a, const Type *b);

#endif
