/* Names, numbers and values as text, for attributes. Readers move *text past what they read and
 * skip spaces first. */
#ifndef NNC_GRAPH_ATTR_VALUE_H
#define NNC_GRAPH_ATTR_VALUE_H
#include "runtime/base/arena.h"
#include "runtime/base/dtype.h"
#include "runtime/base/strbuf.h"

/* Letters, digits, _ and dots bare; anything else in quotes with \" \\ \n \xHH. */
void print_name(const char *name, StrBuf *out);
const char *read_name(Arena *arena, const char **text); /* NULL: no name */
bool read_integer(const char **text, int64_t *value);
/* One value; bits holds a double for float types (f32 values are exact in it) and an integer for
 * the others. Every bit survives: infinities are inf and -inf, a NaN other than the usual one is
 * nan:BITS. */
void print_value(DType dtype, int64_t bits, StrBuf *out);
bool read_value(DType dtype, const char **text, int64_t *bits);
/* Dense data, values with commas between. */
void print_values(DType dtype, const void *data, size_t bytes, StrBuf *out);
bool read_values(Arena *arena, DType dtype, const char **text, const void **data, size_t *bytes);

#endif
