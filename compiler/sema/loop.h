/* A loop while its body is evaluated; for scan.c and loop.c. */
#ifndef NNC_SEMA_LOOP_H
#define NNC_SEMA_LOOP_H
#include "compiler/sema/internal.h"

typedef struct Loop {
    Repeat repeat;
    LoopAttr attr;
    const AstExpr *expr;
    const AstBindings *bindings;
    const AstBlock *body;
    const AstExpr *condition; /* of a while, NULL: a scan */
    Value source;             /* of a scan: its sequences as a tree */
    Nodes sequences;          /* the leaves, the axis of time in front */
    Node *lengths;            /* per row, i32; NULL: none */
    Value *begins;            /* per binding */
    Nodes inits, nexts;       /* condition, leaves of the bindings, states */
    VEC(const char *) states;
    Nodes state_inits;
} Loop;

/* The sequences of a scan, its axis, length and settings. False: an error was reported. */
bool scan_source(Sema *s, Loop *loop);

#endif
