/* The drawing of a model: boxes in layers, edges from layer to layer. picture_make.c finds the
 * boxes, picture_place.c places them, picture.c writes SVG and dot. */
#ifndef NNC_DRIVER_PICTURE_H
#define NNC_DRIVER_PICTURE_H
#include "compiler/sema/sema.h"

typedef enum {
    BOX_INPUT,
    BOX_LAYER,    /* an instance of a module */
    BOX_FUNCTION, /* a call of a plain function */
    BOX_JOIN,     /* arithmetic on what several boxes made: the + of a residual connection */
    BOX_OUTPUT,
    BOX_LANE /* where an edge passes through a layer between its ends */
} BoxKind;

typedef struct {
    int from;         /* box */
    const Type *type; /* of the value */
} PictureEdge;

typedef struct {
    BoxKind kind;
    const char *title, *detail; /* detail NULL: one line */
    bool trained;
    const Type *type; /* of what it makes; NULL: nothing, or several things */
    VEC(PictureEdge) from;
    int origin;       /* LANE: the box whose value passes */
    int layer, order; /* place in the layer */
    double x, y;      /* of the middle of the upper side */
    double width, height;
    double label; /* width of the shape that stands below it, left of the middle; 0: none */
} PictureBox;

typedef VEC(PictureBox) PictureBoxes;

typedef struct {
    Arena *arena;
    const SemaProgram *program;
    const TrainPlan *plan;
    PictureBoxes boxes;
    int layers;
    double width, height;
} Picture;

void picture_make(Picture *picture, const SemaProgram *program,
                  const TrainPlan *plan); /* boxes and edges */
/* Layers, lanes, places; the sizes of boxes are set. Afterwards every edge goes to the next layer.
 */
void picture_place(Picture *picture);
void picture_free(Picture *picture);

#endif
