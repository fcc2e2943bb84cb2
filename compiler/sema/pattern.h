/* Patterns in strings (einops.c, einsum.c): where in the text of the program a part of one stands.
 * Private to compiler/sema. */
#ifndef NNC_SEMA_PATTERN_H
#define NNC_SEMA_PATTERN_H
#include "compiler/sema/builtins.h"

typedef struct {
    Sema *s;
    const char *text; /* of the pattern */
    Span span;        /* of its argument */
    bool literal;     /* the argument is the string itself, without escapes */
} Pattern;

/* The string of an argument. False: it is none, reported. */
bool pattern_read(Sema *s, BuiltinCall *call, int index, Pattern *out);
/* `length` characters at `at`, which points into the pattern. */
Span pattern_span(const Pattern *p, const char *at, size_t length);
/* Reports E0205 there; false. */
bool pattern_complain(const Pattern *p, const char *at, size_t length, const char *text);

#endif
