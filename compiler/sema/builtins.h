/* The functions of builtins.def and what they share. Private to compiler/sema. */
#ifndef NNC_SEMA_BUILTINS_H
#define NNC_SEMA_BUILTINS_H
#include "compiler/sema/internal.h"

#define BUILTIN(name, parameters, function, op, doc)                                               \
    Value builtin_##function(Sema *s, BuiltinCall *call);
#include "compiler/sema/builtins.def"

/* Like want_dims, and the sizes must be at least 0 and their product within reach. */
bool want_sizes(Sema *s, const Value *values, uint32_t count, Span span, const Dim **dims,
                int *rank);
/* The axis argument at `index`, or the last axis when it is not given. */
bool axis_or_last(Sema *s, const BuiltinCall *call, int index, int rank, int *axis);
/* The dtype argument at `index`, or fallback when it is not given. */
bool want_dtype(Sema *s, const BuiltinCall *call, int index, DType fallback, DType *out);

#endif
