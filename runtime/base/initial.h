/* Initial values of a tensor, as data: what the analysis decides and the runtime carries out. */
#ifndef NNC_BASE_INITIAL_H
#define NNC_BASE_INITIAL_H

typedef enum {
    INIT_CONSTANT,     /* a */
    INIT_UNIFORM,      /* [a, b) */
    INIT_NORMAL,       /* mean a, standard deviation b */
    INIT_TRUNC_NORMAL, /* mean a, standard deviation b, drawn again outside of a +- 2b */
    INIT_ORTHOGONAL,   /* gain a; the tensor as a matrix [first axis, product of the rest] */
    INIT_EYE           /* a on the main diagonal of a matrix, 0 elsewhere */
} InitKind;

typedef struct {
    InitKind kind;
    double a, b;
} InitSpec;

#endif
