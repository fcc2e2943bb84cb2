/* Names, numbers and values of attributes as text (attr_value.h). The rule is that reading what was
 * printed gives the same bits: floats are printed with the fewest digits that do, NaNs that are not
 * the usual one with their bits.
 *
 *   0.1   -0   inf   nan   nan:fff8000000000001   true   "a name with spaces" */
#include "compiler/graph/attr_value.h"
#include "runtime/base/scalar.h"
#include "runtime/base/vec.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void skip_spaces(const char **text)
{
    while (**text == ' ')
        ++*text;
}

static bool is_bare(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

void print_name(const char *name, StrBuf *out)
{
    const char *c = name;
    while (is_bare(*c))
        c++;
    if (*c == 0 && c != name) {
        strbuf_add(out, name);
        return;
    }
    strbuf_add_char(out, '"');
    for (c = name; *c != 0; c++) {
        if (*c == '"' || *c == '\\')
            strbuf_printf(out, "\\%c", *c);
        else if (*c == '\n')
            strbuf_add(out, "\\n");
        else if (iscntrl((unsigned char)*c))
            strbuf_printf(out, "\\x%02x", (unsigned)(unsigned char)*c);
        else
            strbuf_add_char(out, *c);
    }
    strbuf_add_char(out, '"');
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape at **text (after the backslash) stands for; 0: none. */
static char read_escape(const char **text)
{
    char c = *(*text)++;
    if (c == 'n')
        return '\n';
    if (c == '"' || c == '\\')
        return c;
    if (c != 'x' || hex_digit((*text)[0]) < 0 || hex_digit((*text)[1]) < 0) {
        --*text;
        return 0;
    }
    char byte = (char)(hex_digit((*text)[0]) * 16 + hex_digit((*text)[1]));
    *text += 2;
    return byte;
}

static const char *read_quoted(Arena *arena, const char **text)
{
    char *name = arena_alloc(arena, strlen(*text) + 1);
    size_t length = 0;
    while (**text != '"') {
        char c = **text;
        if (c == 0 || c == '\n')
            return NULL;
        ++*text;
        if (c == '\\')
            c = read_escape(text);
        if (c == 0)
            return NULL;
        name[length++] = c;
    }
    ++*text;
    name[length] = 0;
    return name;
}

const char *read_name(Arena *arena, const char **text)
{
    skip_spaces(text);
    if (**text == '"') {
        ++*text;
        return read_quoted(arena, text);
    }
    const char *begin = *text;
    while (is_bare(**text))
        ++*text;
    return *text == begin ? NULL : arena_substring(arena, begin, (size_t)(*text - begin));
}

bool read_integer(const char **text, int64_t *value)
{
    skip_spaces(text);
    const char *digits = *text + (**text == '-');
    if (!isdigit((unsigned char)*digits))
        return false;
    char *end;
    errno = 0;
    *value = strtoll(*text, &end, 10);
    *text = end;
    return errno == 0;
}

static const uint64_t usual_nan = 0x7ff8000000000000u;

static void print_float(DType dtype, double value, StrBuf *out)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value) && bits == usual_nan)
        strbuf_add(out, "nan");
    else if (isnan(value))
        strbuf_printf(out, "nan:%016" PRIx64, bits);
    else if (isinf(value))
        strbuf_add(out, value < 0 ? "-inf" : "inf");
    else if (value == 0)
        strbuf_add(out, signbit(value) ? "-0" : "0");
    else if (dtype != DT_F64)
        strbuf_add_float(out, (float)value);
    else
        strbuf_add_double(out, value);
}

static bool read_float(DType dtype, const char **text, double *value)
{
    uint64_t bits = usual_nan;
    char *end;
    if (strncmp(*text, "nan", 3) == 0) {
        *text += 3;
        if (**text == ':') {
            bits = strtoull(*text + 1, &end, 16);
            *text = end;
        }
        memcpy(value, &bits, sizeof bits);
        return isnan(*value);
    }
    if (!isdigit((unsigned char)**text) && strchr("-.i", **text) == NULL)
        return false;
    *value =
        dtype != DT_F64 ? dtype_round(dtype, (double)strtof(*text, &end)) : strtod(*text, &end);
    bool moved = end != *text;
    *text = end;
    return moved;
}

void print_value(DType dtype, int64_t bits, StrBuf *out)
{
    if (dtype_is_float(dtype)) {
        double value;
        memcpy(&value, &bits, sizeof value);
        print_float(dtype, value, out);
    } else if (dtype == DT_BOOL) {
        strbuf_add(out, bits != 0 ? "true" : "false");
    } else {
        strbuf_printf(out, "%" PRId64, bits);
    }
}

static bool in_range(DType dtype, int64_t value)
{
    return value >= dtype_least(dtype) && value <= dtype_largest(dtype);
}

bool read_value(DType dtype, const char **text, int64_t *bits)
{
    skip_spaces(text);
    if (dtype_is_float(dtype)) {
        double value;
        bool good = read_float(dtype, text, &value);
        memcpy(bits, &value, sizeof value);
        return good;
    }
    if (dtype == DT_BOOL) {
        *bits = strncmp(*text, "true", 4) == 0;
        if (*bits == 0 && strncmp(*text, "false", 5) != 0)
            return false;
        *text += *bits ? 4 : 5;
        return true;
    }
    return read_integer(text, bits) && in_range(dtype, *bits);
}

/* A value in the memory of a tensor, widened to 64 bits (a double for floats), and back. */

static int64_t load_value(DType dtype, const void *data)
{
    int64_t bits = 0;
    scalar_convert(dtype, dtype_is_float(dtype) ? DT_F64 : DT_I64, data, &bits, 1);
    return bits;
}

static void store_value(DType dtype, int64_t bits, void *data)
{
    scalar_convert(dtype_is_float(dtype) ? DT_F64 : DT_I64, dtype, &bits, data, 1);
}

void print_values(DType dtype, const void *data, size_t bytes, StrBuf *out)
{
    size_t size = dtype_bytes(dtype);
    for (size_t i = 0; i < bytes / size; i++) {
        if (i > 0)
            strbuf_add(out, ", ");
        print_value(dtype, load_value(dtype, (const char *)data + i * size), out);
    }
}

bool read_values(Arena *arena, DType dtype, const char **text, const void **data, size_t *bytes)
{
    size_t size = dtype_bytes(dtype);
    VEC(int64_t) values = {0};
    *data = NULL;
    *bytes = 0;
    skip_spaces(text);
    for (bool more = **text != '}'; more;) {
        int64_t bits;
        if (!read_value(dtype, text, &bits))
            return false;
        vec_push(arena, &values, bits);
        skip_spaces(text);
        more = **text == ',';
        *text += more;
    }
    char *dense = arena_alloc(arena, values.count * size + 1);
    for (uint32_t i = 0; i < values.count; i++)
        store_value(dtype, values.data[i], dense + i * size);
    *data = dense;
    *bytes = values.count * size;
    return true;
}
