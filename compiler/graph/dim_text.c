/* Dimensions as text, as the language writes them: `4*B + 3`, `(B + 63)//64`, `2*(B//2)`,
 * `max(B, 1)`. Printing puts a term with a positive coefficient first (`T - K + 1`); reading
 * accepts any order, parentheses and products of sums, and gives the interned dim, so that
 * reading what was printed gives the same dim. A name is a letter or _ and then letters, digits,
 * _ and dots. */
#include "compiler/graph/dim_table.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* A side of a division: in parentheses unless it is a name, a maximum or a number. */
static void print_side(const DimTable *table, const Dim *dim, StrBuf *out)
{
    int64_t number;
    bool atom = dim->count == 1 && dim->terms[0].coefficient == 1 && dim->terms[0].count == 1 &&
                dim->terms[0].factors[0]->kind != DIM_FLOORDIV;
    bool plain = atom || (dim_is_const(dim, &number) && number >= 0);
    strbuf_add(out, plain ? "" : "(");
    dim_print(table, dim, out);
    strbuf_add(out, plain ? "" : ")");
}

/* `alone`: no other factor beside it. */
static void print_atom(const DimTable *table, const DimAtom *atom, bool alone, StrBuf *out)
{
    if (atom->kind == DIM_SYMBOL) {
        strbuf_add(out, dim_symbol_name(table, atom->symbol));
    } else if (atom->kind == DIM_MAX) {
        strbuf_add(out, "max(");
        dim_print(table, atom->left, out);
        strbuf_add(out, ", ");
        dim_print(table, atom->right, out);
        strbuf_add(out, ")");
    } else {
        strbuf_add(out, alone ? "" : "(");
        print_side(table, atom->left, out);
        strbuf_add(out, "//");
        print_side(table, atom->right, out);
        strbuf_add(out, alone ? "" : ")");
    }
}

static void print_term(const DimTable *table, const DimTerm *term, bool first, StrBuf *out)
{
    bool negative = term->coefficient < 0;
    int64_t size = negative ? -term->coefficient : term->coefficient;
    strbuf_add(out, first ? (negative ? "-" : "") : (negative ? " - " : " + "));
    if (size != 1 || term->count == 0)
        strbuf_printf(out, "%" PRId64 "%s", size, term->count > 0 ? "*" : "");
    for (uint32_t i = 0; i < term->count; i++) {
        if (i > 0)
            strbuf_add(out, "*");
        print_atom(table, term->factors[i], term->count == 1 && size == 1 && !negative, out);
    }
}

void dim_print(const DimTable *table, const Dim *dim, StrBuf *out)
{
    if (dim->count == 0) {
        strbuf_add(out, "0");
        return;
    }
    uint32_t first = 0;
    while (first + 1 < dim->count && dim->terms[first].coefficient < 0)
        first++;
    if (dim->terms[first].coefficient < 0)
        first = 0;
    print_term(table, &dim->terms[first], true, out);
    for (uint32_t i = 0; i < dim->count; i++)
        if (i != first)
            print_term(table, &dim->terms[i], false, out);
}

typedef struct {
    DimTable *table;
    const char *at;
    int depth;
} DimReader;

static bool accept(DimReader *reader, char c)
{
    while (*reader->at == ' ')
        reader->at++;
    if (*reader->at != c)
        return false;
    reader->at++;
    return true;
}

static const Dim *read_sum(DimReader *reader);

static const Dim *read_number(DimReader *reader)
{
    int64_t value = 0;
    while (isdigit((unsigned char)*reader->at))
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *reader->at++ - '0', &value))
            return NULL;
    return dim_const(reader->table, value);
}

static const Dim *read_max(DimReader *reader)
{
    const Dim *left = read_sum(reader);
    if (left == NULL || !accept(reader, ','))
        return NULL;
    const Dim *right = read_sum(reader);
    if (right == NULL || !accept(reader, ')'))
        return NULL;
    return dim_max(reader->table, left, right);
}

static const Dim *read_name(DimReader *reader)
{
    const char *begin = reader->at;
    if (!isalpha((unsigned char)*begin) && *begin != '_')
        return NULL;
    while (isalnum((unsigned char)*reader->at) || *reader->at == '_' || *reader->at == '.')
        reader->at++;
    size_t length = (size_t)(reader->at - begin);
    if (length == 3 && memcmp(begin, "max", 3) == 0 && accept(reader, '('))
        return read_max(reader);
    return dim_symbol(reader->table, arena_substring(reader->table->arena, begin, length));
}

static const Dim *read_factor(DimReader *reader)
{
    if (accept(reader, '(')) {
        const Dim *inner = read_sum(reader);
        return inner != NULL && accept(reader, ')') ? inner : NULL;
    }
    return isdigit((unsigned char)*reader->at) ? read_number(reader) : read_name(reader);
}

static bool accept_divide(DimReader *reader)
{
    if (!accept(reader, '/'))
        return false;
    if (*reader->at != '/') {
        reader->at--;
        return false;
    }
    reader->at++;
    return true;
}

static const Dim *read_product(DimReader *reader)
{
    const Dim *product = read_factor(reader);
    while (product != NULL) {
        bool times = accept(reader, '*');
        if (!times && !accept_divide(reader))
            break;
        const Dim *factor = read_factor(reader);
        product = factor == NULL
                      ? NULL
                      : (times ? dim_mul : dim_floordiv)(reader->table, product, factor);
    }
    return product;
}

static const Dim *read_sum(DimReader *reader)
{
    enum { DEPTH_LIMIT = 64 };
    if (++reader->depth > DEPTH_LIMIT)
        return NULL;
    bool minus = accept(reader, '-');
    const Dim *sum = read_product(reader);
    if (minus)
        sum = dim_sub(reader->table, dim_const(reader->table, 0), sum);
    while (sum != NULL) {
        const char *before = reader->at;
        bool plus = accept(reader, '+');
        if (!plus && !accept(reader, '-')) {
            reader->at = before;
            break;
        }
        const Dim *term = read_product(reader);
        sum = term == NULL ? NULL : (plus ? dim_add : dim_sub)(reader->table, sum, term);
    }
    reader->depth--;
    return sum;
}

const Dim *dim_read(DimTable *table, const char **text)
{
    DimReader reader = {table, *text, 0};
    const Dim *dim = read_sum(&reader);
    if (dim != NULL)
        *text = reader.at;
    return dim;
}
