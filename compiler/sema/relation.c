/* Sizes that may turn out equal. What cannot be proved and cannot be refuted becomes one
 * DimCheck, made with the sizes of every call before it runs, and the value is cut to the other
 * size, so that the graph sees one polynomial:
 *
 *   x: f32[B, 4]   reshape(x, B//2, 8)      the check 4*B = 8*(B//2), and the first 8*(B//2) elements
 *   x: f32[B]      x * zeros(B//2*2)        the check B = 2*(B//2); the second is cut to B
 *   x: f32[B]      x * zeros(B + 1)         never equal: an error, as 2*B with 7
 *
 * A cut that the check has let pass takes everything, so it changes no bit. */
#include "compiler/sema/internal.h"

/* Does the constant of the sum leave a remainder by what divides all its other coefficients? */
static bool leaves_remainder(const Dim *dim)
{
    int64_t constant = 0, divisor = 0;
    for (uint32_t i = 0; i < dim->count; i++) {
        int64_t a = dim->terms[i].coefficient, b = divisor;
        for (; dim->terms[i].count > 0 && b != 0;) {
            int64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (dim->terms[i].count == 0)
            constant = a;
        else
            divisor = a < 0 ? -a : a;
    }
    return divisor > 1 && constant % divisor != 0;
}

/* Sizes that only an empty batch makes equal, as 5*B and 4*B, differ. */
SizeRelation relate_sizes(Sema *s, const Dim *a, const Dim *b)
{
    const Dim *more = dim_sub(s->dims, a, b), *less = dim_sub(s->dims, b, a);
    if (a == b)
        return SIZES_EQUAL;
    bool differ = !more || !less || dim_never_negative(more) || dim_never_negative(less);
    return differ || leaves_remainder(more) ? SIZES_DIFFER : SIZES_OPEN;
}

/* Sizes that no text relates, as operands have them, are only compared when they are made of the
 * same names: [B] with [T] or [3] is an accident, [B] with [B//2*2] is arithmetic. */
static SizeRelation relate_operands(Sema *s, const Dim *a, const Dim *b)
{
    SizeRelation relation = relate_sizes(s, a, b);
    for (uint32_t i = 0; relation == SIZES_OPEN && i < dim_symbol_count(s->dims); i++)
        if (dim_uses_symbol(a, i) != dim_uses_symbol(b, i))
            relation = SIZES_DIFFER;
    return relation;
}

static Node *cut_axis(Sema *s, Node *x, int axis, const Dim *size)
{
    return build_slice_axis(s->elab->graph, x, axis, dim_const(s->dims, 0), size, 1);
}

static void must_be(Sema *s, const Dim *wanted, const Dim *given, Span span, const char *what)
{
    const char *text =
        arena_format(s->arena, "%s: %s must be %s", what, dim_text(s, given), dim_text(s, wanted));
    elab_check_dims(s, wanted, given, sema_user_span(s, span), text);
}

bool settle_size(Sema *s, Node **x, int axis, const Dim *wanted, Span span, const char *what)
{
    const Dim *given = (*x)->type.dims[axis];
    SizeRelation relation = relate_sizes(s, wanted, given);
    if (relation != SIZES_OPEN)
        return relation == SIZES_EQUAL;
    must_be(s, wanted, given, span, what);
    Node *cut = cut_axis(s, *x, axis, wanted);
    *x = cut ? cut : *x;
    return cut != NULL;
}

bool settle_elements(Sema *s, Node **x, const Dim *wanted, Span span, const char *what)
{
    const Dim *given = type_elements(s->dims, &(*x)->type);
    SizeRelation relation = given ? relate_sizes(s, wanted, given) : SIZES_DIFFER;
    if (relation != SIZES_OPEN)
        return relation == SIZES_EQUAL;
    Node *flat = build_reshape(s->elab->graph, *x, 1, &given);
    if (!flat || !settle_size(s, &flat, 0, wanted, span, what))
        return false;
    *x = flat;
    return true;
}

/* The axis of x that a size of rank `rank` at `axis` meets, counted from the last; -1: none. */
static int facing(const Node *x, int axis, int rank)
{
    return axis - rank + x->type.rank;
}

bool settle_shape(Sema *s, Node **x, const Type *wanted, Span span, const char *what)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < wanted->rank; i++) {
            int axis = facing(*x, i, wanted->rank);
            if (axis < 0 || dim_is((*x)->type.dims[axis], 1))
                continue;
            if (pass == 0 &&
                relate_sizes(s, wanted->dims[i], (*x)->type.dims[axis]) == SIZES_DIFFER)
                return false;
            if (pass == 1 && !settle_size(s, x, axis, wanted->dims[i], span, what))
                return false;
        }
    return (*x)->type.rank <= wanted->rank;
}

static bool is_one(const Dim *dim)
{
    return dim_is(dim, 1);
}

/* One axis of x against one of y, not equal: the longer polynomial is cut to the shorter. */
static bool settle_axis(Sema *s, Node **x, int i, Node **y, int j, Span span, const char *sign)
{
    const Dim *a = (*x)->type.dims[i], *b = (*y)->type.dims[j];
    const char *what = arena_format(s->arena, "%s of %s and %s", sign, type_text(s, &(*x)->type),
                                    type_text(s, &(*y)->type));
    return a->size > b->size ? settle_size(s, x, i, b, span, what)
                             : settle_size(s, y, j, a, span, what);
}

bool settle_operands(Sema *s, Node **x, Node **y, int skip, Span span, const char *sign)
{
    int rank = (*x)->type.rank < (*y)->type.rank ? (*x)->type.rank : (*y)->type.rank;
    for (int pass = 0; pass < 2; pass++)
        for (int i = skip; i < rank; i++) {
            int p = (*x)->type.rank - 1 - i, q = (*y)->type.rank - 1 - i;
            const Dim *a = (*x)->type.dims[p], *b = (*y)->type.dims[q];
            if (a == b || is_one(a) || is_one(b))
                continue;
            if (pass == 0 && relate_operands(s, a, b) == SIZES_DIFFER)
                return false;
            if (pass == 1 && !settle_axis(s, x, p, y, q, span, sign))
                return false;
        }
    return true;
}

bool settle_alike(Sema *s, Node **x, int axis, const Dim *wanted, Span span, const char *what)
{
    return relate_operands(s, wanted, (*x)->type.dims[axis]) != SIZES_DIFFER &&
           settle_size(s, x, axis, wanted, span, what);
}
