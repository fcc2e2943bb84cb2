/* Dimensions (dim.h): interning and arithmetic of integer polynomials. In: two dims of a table;
 * out: the one dim of that table that stands for the result. A polynomial is a sorted list of
 * terms, a term a coefficient and a sorted list of atoms.
 *
 *   (2*B + 1) * B     -> terms 2*[B, B], 1*[B]
 *   (5*B + 7) // 4    -> B + (B + 3)//4 + 1           whole multiples leave the floor
 *
 * Sorting is graded lexicographic over names, not over addresses: the same text gives the same
 * order in every table, and long division of polynomials terminates. Text is in dim_text.c. */
#include "compiler/graph/dim_table.h"
#include "runtime/base/bug.h"
#include "runtime/base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { ATOMS_MAX = 4096 }; /* quotients and maxima of one table */

DimTable *dim_table_new(Arena *arena)
{
    DimTable *table = ARENA_NEW(arena, DimTable);
    table->arena = arena;
    return table;
}

uint32_t dim_symbol_count(const DimTable *table)
{
    return table->symbols.count;
}

const char *dim_symbol_name(const DimTable *table, uint32_t symbol)
{
    NNC_ASSERT(symbol < table->symbols.count);
    return table->symbols.data[symbol];
}

/* Order: negative, zero, positive as for strcmp. Structure only, so that every table agrees. */

static int compare_dims(const DimTable *table, const Dim *a, const Dim *b);

static int compare_atoms(const DimTable *table, const DimAtom *a, const DimAtom *b)
{
    if (a == b)
        return 0;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == DIM_SYMBOL)
        return strcmp(dim_symbol_name(table, a->symbol), dim_symbol_name(table, b->symbol));
    int order = compare_dims(table, a->left, b->left);
    return order != 0 ? order : compare_dims(table, a->right, b->right);
}

static int compare_factors(const DimTable *table, const DimTerm *a, const DimTerm *b)
{
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    for (uint32_t i = 0; i < a->count; i++) {
        int order = compare_atoms(table, a->factors[i], b->factors[i]);
        if (order != 0)
            return order;
    }
    return 0;
}

static int compare_dims(const DimTable *table, const Dim *a, const Dim *b)
{
    for (uint32_t i = 0; i < a->count && i < b->count; i++) {
        int order = compare_factors(table, &a->terms[i], &b->terms[i]);
        if (order != 0)
            return order;
        if (a->terms[i].coefficient != b->terms[i].coefficient)
            return a->terms[i].coefficient < b->terms[i].coefficient ? -1 : 1;
    }
    return a->count == b->count ? 0 : a->count < b->count ? -1 : 1;
}

/* Interning */

static bool same_terms(const Dim *dim, const DimTerm *terms, uint32_t count)
{
    if (dim->count != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const DimTerm *a = &dim->terms[i], *b = &terms[i];
        size_t bytes = a->count * sizeof *a->factors;
        if (a->coefficient != b->coefficient || a->count != b->count ||
            (bytes != 0 && memcmp(a->factors, b->factors, bytes) != 0))
            return false;
    }
    return true;
}

static uint64_t hash_terms(const DimTerm *terms, uint32_t count)
{
    uint64_t hash = count;
    for (uint32_t i = 0; i < count; i++) {
        hash = rng_hash(&terms[i].coefficient, sizeof terms[i].coefficient, hash);
        if (terms[i].count > 0)
            hash = rng_hash(terms[i].factors, terms[i].count * sizeof *terms[i].factors, hash);
    }
    return hash;
}

static void grow_buckets(DimTable *table)
{
    uint32_t size = table->bucket_count == 0 ? 64 : table->bucket_count * 2;
    DimCell **buckets = ARENA_ARRAY(table->arena, DimCell *, size);
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        for (DimCell *cell = table->buckets[i], *next; cell != NULL; cell = next) {
            next = cell->next;
            cell->next = buckets[cell->hash & (size - 1)];
            buckets[cell->hash & (size - 1)] = cell;
        }
    }
    table->buckets = buckets;
    table->bucket_count = size;
}

static uint32_t size_of_terms(const DimTerm *terms, uint32_t count)
{
    uint64_t size = 1;
    for (uint32_t i = 0; i < count && size <= DIM_SIZE_MAX; i++) {
        size += 1 + terms[i].count;
        for (uint32_t j = 0; j < terms[i].count; j++)
            if (terms[i].factors[j]->kind != DIM_SYMBOL)
                size += terms[i].factors[j]->left->size + terms[i].factors[j]->right->size;
    }
    return size > DIM_SIZE_MAX ? DIM_SIZE_MAX + 1 : (uint32_t)size;
}

/* The dim of these terms, which are sorted, combined and without zeros. `terms` is copied when the
 * dim is new. NULL: it would be too large. */
static const Dim *intern(DimTable *table, const DimTerm *terms, uint32_t count)
{
    uint64_t hash = hash_terms(terms, count);
    if (table->dim_count >= table->bucket_count)
        grow_buckets(table);
    DimCell **bucket = &table->buckets[hash & (table->bucket_count - 1)];
    for (DimCell *cell = *bucket; cell != NULL; cell = cell->next)
        if (cell->hash == hash && same_terms(&cell->dim, terms, count))
            return &cell->dim;
    uint32_t size = size_of_terms(terms, count);
    if (size > DIM_SIZE_MAX)
        return NULL;
    DimCell *cell = ARENA_NEW(table->arena, DimCell);
    cell->hash = hash;
    cell->next = *bucket;
    cell->dim.count = count;
    cell->dim.terms = count > 0 ? arena_copy(table->arena, terms, count * sizeof *terms) : NULL;
    cell->dim.id = table->dim_count++;
    cell->dim.size = size;
    *bucket = cell;
    return &cell->dim;
}

/* NULL: the table has too many quotients and maxima. */
static const DimAtom *intern_atom(DimTable *table, DimAtom atom)
{
    for (uint32_t i = 0; i < table->atoms.count; i++) {
        const DimAtom *old = table->atoms.data[i];
        if (old->kind == atom.kind && old->symbol == atom.symbol && old->left == atom.left &&
            old->right == atom.right)
            return old;
    }
    if (atom.kind != DIM_SYMBOL && table->atoms.count >= table->symbols.count + ATOMS_MAX)
        return NULL;
    DimAtom *kept = arena_copy(table->arena, &atom, sizeof atom);
    vec_push(table->arena, &table->atoms, kept);
    return kept;
}

static const Dim *from_atom(DimTable *table, const DimAtom *atom)
{
    if (atom == NULL)
        return NULL;
    const DimAtom **factors = ARENA_ARRAY(table->arena, const DimAtom *, 1);
    factors[0] = atom;
    return intern(table, &(DimTerm){1, 1, factors}, 1);
}

const Dim *dim_const(DimTable *table, int64_t value)
{
    return intern(table, &(DimTerm){value, 0, NULL}, value != 0);
}

static const Dim *new_symbol(DimTable *table, const char *name)
{
    vec_push(table->arena, &table->symbols, arena_string(table->arena, name));
    return from_atom(
        table, intern_atom(table, (DimAtom){DIM_SYMBOL, table->symbols.count - 1, NULL, NULL}));
}

static bool find_symbol(const DimTable *table, const char *name, uint32_t *symbol)
{
    for (*symbol = 0; *symbol < table->symbols.count; ++*symbol)
        if (strcmp(table->symbols.data[*symbol], name) == 0)
            return true;
    return false;
}

const Dim *dim_symbol(DimTable *table, const char *name)
{
    uint32_t symbol;
    if (find_symbol(table, name, &symbol))
        return from_atom(table, intern_atom(table, (DimAtom){DIM_SYMBOL, symbol, NULL, NULL}));
    return new_symbol(table, name);
}

const Dim *dim_fresh(DimTable *table, const char *name)
{
    uint32_t symbol;
    const char *unique = name;
    for (int i = 1; find_symbol(table, unique, &symbol); i++)
        unique = arena_format(table->arena, "%s.%d", name, i);
    return new_symbol(table, unique);
}

/* Sums and products */

enum { FEW_TERMS = 8 }; /* for which there is room on the stack: most dims have one */

/* a + scale * b by merging two sorted lists. NULL: overflow. */
static const Dim *add_scaled(DimTable *table, const Dim *a, const Dim *b, int64_t scale)
{
    if (b->count == 0) {
        return a;
    }
    DimTerm few[FEW_TERMS];
    DimTerm *terms = a->count + b->count <= FEW_TERMS
                         ? few
                         : ARENA_ARRAY(table->arena, DimTerm, a->count + b->count);
    uint32_t count = 0, i = 0, j = 0;
    while (i < a->count || j < b->count) {
        int order = i == a->count   ? 1
                    : j == b->count ? -1
                                    : compare_factors(table, &a->terms[i], &b->terms[j]);
        DimTerm term = order <= 0 ? a->terms[i] : b->terms[j];
        if (order >= 0) {
            int64_t scaled, left = order == 0 ? term.coefficient : 0;
            if (__builtin_mul_overflow(b->terms[j].coefficient, scale, &scaled) ||
                __builtin_add_overflow(left, scaled, &term.coefficient) ||
                term.coefficient == INT64_MIN)
                return NULL;
        }
        i += order <= 0;
        j += order >= 0;
        if (term.coefficient != 0)
            terms[count++] = term;
    }
    return intern(table, terms, count);
}

const Dim *dim_add(DimTable *table, const Dim *a, const Dim *b)
{
    return a == NULL || b == NULL ? NULL : add_scaled(table, a, b, 1);
}

const Dim *dim_sub(DimTable *table, const Dim *a, const Dim *b)
{
    return a == NULL || b == NULL ? NULL : add_scaled(table, a, b, -1);
}

static bool multiply_terms(DimTable *table, const DimTerm *a, const DimTerm *b, DimTerm *out)
{
    if (a->count + b->count > DIM_SIZE_MAX)
        return false;
    if (a->count == 0 || b->count == 0) {
        *out = (DimTerm){0, a->count + b->count, b->count == 0 ? a->factors : b->factors};
    } else {
        const DimAtom **factors = ARENA_ARRAY(table->arena, const DimAtom *, a->count + b->count);
        uint32_t count = 0, i = 0, j = 0;
        while (i < a->count || j < b->count) {
            bool left = j == b->count ||
                        (i < a->count && compare_atoms(table, a->factors[i], b->factors[j]) <= 0);
            factors[count++] = left ? a->factors[i++] : b->factors[j++];
        }
        *out = (DimTerm){0, count, factors};
    }
    return !__builtin_mul_overflow(a->coefficient, b->coefficient, &out->coefficient) &&
           out->coefficient != INT64_MIN;
}

const Dim *dim_mul(DimTable *table, const Dim *a, const Dim *b)
{
    if (a == NULL || b == NULL)
        return NULL;
    if (dim_is(a, 1) || b->count == 0)
        return b;
    if (dim_is(b, 1))
        return a;
    if ((uint64_t)a->count * b->count > DIM_SIZE_MAX)
        return NULL;
    const Dim *sum = dim_const(table, 0);
    DimTerm few[FEW_TERMS];
    DimTerm *row = b->count <= FEW_TERMS ? few : ARENA_ARRAY(table->arena, DimTerm, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        for (uint32_t j = 0; j < b->count; j++)
            if (!multiply_terms(table, &a->terms[i], &b->terms[j], &row[j]))
                return NULL;
        /* One term times a sorted list is sorted: the order is compatible with products. */
        const Dim *product = intern(table, row, b->count);
        sum = i == 0 ? product : dim_add(table, sum, product);
        if (sum == NULL)
            return NULL;
    }
    return sum;
}

const Dim *dim_product(DimTable *table, const Dim *const *dims, int count)
{
    const Dim *product = dim_const(table, 1);
    for (int i = 0; i < count; i++)
        product = dim_mul(table, product, dims[i]);
    return product;
}

/* Division */

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t quotient = a / b;
    return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

/* a / b when the coefficient and every factor of b are in a. */
static bool divide_terms(DimTable *table, const DimTerm *a, const DimTerm *b, DimTerm *out)
{
    if (a->count < b->count || a->coefficient % b->coefficient != 0)
        return false;
    const DimAtom **factors = ARENA_ARRAY(table->arena, const DimAtom *, a->count + 1);
    uint32_t count = 0, j = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        if (j < b->count && a->factors[i] == b->factors[j])
            j++;
        else
            factors[count++] = a->factors[i];
    }
    *out = (DimTerm){a->coefficient / b->coefficient, count, factors};
    return j == b->count;
}

bool dim_divides_exactly(DimTable *table, const Dim *a, const Dim *b, const Dim **quotient)
{
    const Dim *result = dim_const(table, 0), *rest = a;
    if (a == NULL || b == NULL || b->count == 0)
        return false;
    while (rest->count > 0) {
        DimTerm term;
        if (!divide_terms(table, &rest->terms[0], &b->terms[0], &term))
            return false;
        const Dim *step = intern(table, &term, 1);
        result = dim_add(table, result, step);
        rest = dim_sub(table, rest, dim_mul(table, step, b));
        if (result == NULL || rest == NULL)
            return false;
    }
    if (quotient != NULL)
        *quotient = result;
    return true;
}

static int64_t greatest_common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

/* x = floor(y, b) + c with constant b and c: floor(x, d) is floor(y + c*b, b*d). */
static const Dim *merge_nested(DimTable *table, const Dim *a, int64_t divisor)
{
    if (a->count == 0 || a->count > 2 || a->terms[0].count != 1 || a->terms[0].coefficient != 1 ||
        a->terms[0].factors[0]->kind != DIM_FLOORDIV || (a->count == 2 && a->terms[1].count != 0))
        return NULL;
    const DimAtom *inner = a->terms[0].factors[0];
    if (!dim_is_const(inner->right, NULL))
        return NULL;
    const Dim *shift = dim_const(table, a->count == 2 ? a->terms[1].coefficient : 0);
    const Dim *left = dim_add(table, inner->left, dim_mul(table, shift, inner->right));
    const Dim *right = dim_mul(table, inner->right, dim_const(table, divisor));
    return left == NULL || right == NULL ? NULL : dim_floordiv(table, left, right);
}

/* floor(a, b) as an atom, after the constant divisor and the coefficients of a lost their common
 * factor. */
static const Dim *floor_atom(DimTable *table, const Dim *a, const Dim *b)
{
    int64_t divisor = 0, common, ignored;
    if (dim_is_const(b, &divisor)) {
        const Dim *merged = merge_nested(table, a, divisor);
        if (merged != NULL)
            return merged;
        common = divisor;
        for (uint32_t i = 0; i < a->count; i++)
            if (a->terms[i].count > 0)
                common = greatest_common_divisor(common, a->terms[i].coefficient);
        if (common > 1) {
            DimTerm *terms = arena_copy(table->arena, a->terms, a->count * sizeof *terms);
            uint32_t count = 0;
            for (uint32_t i = 0; i < a->count; i++) {
                terms[count] = a->terms[i];
                terms[count].coefficient = floor_div(a->terms[i].coefficient, common);
                count += terms[count].coefficient != 0;
            }
            return dim_floordiv(table, intern(table, terms, count),
                                dim_const(table, divisor / common));
        }
    }
    if (dim_is_const(a, &ignored) && ignored == 0)
        return a;
    return from_atom(table, intern_atom(table, (DimAtom){DIM_FLOORDIV, 0, a, b}));
}

/* Whole multiples of a one-term divisor leave the floor: a = q*b + r gives q + floor(r, b). For a
 * constant divisor r has coefficients from 0 to b - 1, so equal values get equal forms. */
static const Dim *take_whole(DimTable *table, const Dim *a, const Dim *b)
{
    const Dim *whole = dim_const(table, 0);
    for (uint32_t i = 0; i < a->count; i++) {
        DimTerm term = a->terms[i], quotient;
        if (b->terms[0].count == 0) {
            term.coefficient = floor_div(term.coefficient, b->terms[0].coefficient);
            if (term.coefficient != 0)
                whole = dim_add(table, whole, intern(table, &term, 1));
        } else if (divide_terms(table, &term, &b->terms[0], &quotient)) {
            whole = dim_add(table, whole, intern(table, &quotient, 1));
        }
    }
    return whole;
}

const Dim *dim_floordiv(DimTable *table, const Dim *a, const Dim *b)
{
    const Dim *quotient;
    int64_t divisor;
    if (a == NULL || b == NULL || b->count == 0)
        return NULL;
    if (dim_divides_exactly(table, a, b, &quotient))
        return quotient;
    if (dim_is_const(b, &divisor) && divisor < 0)
        return dim_floordiv(table, dim_sub(table, dim_const(table, 0), a),
                            dim_const(table, -divisor));
    if (b->count > 1)
        return floor_atom(table, a, b);
    const Dim *whole = take_whole(table, a, b);
    const Dim *rest = dim_sub(table, a, dim_mul(table, whole, b));
    if (rest == NULL)
        return NULL;
    return rest->count == 0 ? whole
           : dim_is_const(rest, NULL) && dim_is_const(b, NULL)
               ? whole /* 0 <= rest < b */
               : dim_add(table, whole, floor_atom(table, rest, b));
}

const Dim *dim_ceildiv(DimTable *table, const Dim *a, const Dim *b)
{
    return dim_floordiv(table, dim_sub(table, dim_add(table, a, b), dim_const(table, 1)), b);
}

const Dim *dim_mod(DimTable *table, const Dim *a, const Dim *b)
{
    return dim_sub(table, a, dim_mul(table, b, dim_floordiv(table, a, b)));
}

/* Maximum */

bool dim_never_negative(const Dim *dim)
{
    for (uint32_t i = 0; i < dim->count; i++) {
        if (dim->terms[i].coefficient < 0)
            return false;
        for (uint32_t j = 0; j < dim->terms[i].count; j++) {
            const DimAtom *atom = dim->terms[i].factors[j];
            if (atom->kind == DIM_FLOORDIV && !dim_never_negative(atom->left))
                return false;
            if (atom->kind == DIM_MAX && !dim_never_negative(atom->left) &&
                !dim_never_negative(atom->right))
                return false;
        }
    }
    return true;
}

const Dim *dim_max(DimTable *table, const Dim *a, const Dim *b)
{
    const Dim *difference = dim_sub(table, a, b), *opposite = dim_sub(table, b, a);
    if (difference == NULL || opposite == NULL)
        return NULL;
    if (dim_never_negative(difference))
        return a;
    if (dim_never_negative(opposite))
        return b;
    bool swap = compare_dims(table, a, b) > 0;
    return from_atom(table, intern_atom(table, (DimAtom){DIM_MAX, 0, swap ? b : a, swap ? a : b}));
}

/* Questions */

bool dim_is_const(const Dim *dim, int64_t *value)
{
    if (dim == NULL || dim->count > 1 || (dim->count == 1 && dim->terms[0].count > 0))
        return false;
    if (value != NULL)
        *value = dim->count == 0 ? 0 : dim->terms[0].coefficient;
    return true;
}

bool dim_is(const Dim *dim, int64_t value)
{
    int64_t known;
    return dim_is_const(dim, &known) && known == value;
}

bool dim_uses_symbol(const Dim *dim, uint32_t symbol)
{
    for (uint32_t i = 0; i < dim->count; i++) {
        for (uint32_t j = 0; j < dim->terms[i].count; j++) {
            const DimAtom *atom = dim->terms[i].factors[j];
            if (atom->kind == DIM_SYMBOL
                    ? atom->symbol == symbol
                    : dim_uses_symbol(atom->left, symbol) || dim_uses_symbol(atom->right, symbol))
                return true;
        }
    }
    return false;
}

static const Dim *substitute_atom(DimTable *table, const DimAtom *atom, uint32_t symbol,
                                  const Dim *by)
{
    if (atom->kind == DIM_SYMBOL)
        return atom->symbol == symbol ? by : from_atom(table, atom);
    const Dim *left = dim_substitute(table, atom->left, symbol, by);
    const Dim *right = dim_substitute(table, atom->right, symbol, by);
    return (atom->kind == DIM_FLOORDIV ? dim_floordiv : dim_max)(table, left, right);
}

const Dim *dim_substitute(DimTable *table, const Dim *dim, uint32_t symbol, const Dim *by)
{
    if (dim == NULL || !dim_uses_symbol(dim, symbol))
        return dim;
    const Dim *sum = dim_const(table, 0);
    for (uint32_t i = 0; i < dim->count; i++) {
        const Dim *product = dim_const(table, dim->terms[i].coefficient);
        for (uint32_t j = 0; j < dim->terms[i].count; j++)
            product = dim_mul(table, product,
                              substitute_atom(table, dim->terms[i].factors[j], symbol, by));
        sum = dim_add(table, sum, product);
    }
    return sum;
}

/* False: overflow, or a division by something not above 0. */
static bool evaluate(const Dim *dim, const int64_t *values, int64_t *out)
{
    *out = 0;
    for (uint32_t i = 0; i < dim->count; i++) {
        int64_t product = dim->terms[i].coefficient;
        for (uint32_t j = 0; j < dim->terms[i].count; j++) {
            const DimAtom *atom = dim->terms[i].factors[j];
            int64_t value, right = 0;
            if (atom->kind == DIM_SYMBOL)
                value = values[atom->symbol];
            else if (!evaluate(atom->left, values, &value) ||
                     !evaluate(atom->right, values, &right))
                return false;
            if (atom->kind == DIM_FLOORDIV && right <= 0)
                return false;
            if (atom->kind != DIM_SYMBOL)
                value = atom->kind == DIM_FLOORDIV ? floor_div(value, right)
                        : value > right            ? value
                                                   : right;
            if (__builtin_mul_overflow(product, value, &product))
                return false;
        }
        if (__builtin_add_overflow(*out, product, out))
            return false;
    }
    return true;
}

int64_t dim_eval(const Dim *dim, const int64_t *values)
{
    int64_t value;
    return evaluate(dim, values, &value) ? value : INT64_MIN;
}
