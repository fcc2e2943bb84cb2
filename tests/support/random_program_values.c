/* Statements of random programs that compute a value from values: element by element,
 * reductions, moves, gathers, products. */
#include "tests/support/random_program_parts.h"

#include <string.h>

static bool made(Maker *m, const Value *v, const char *expression)
{
    define(m, v, expression);
    return true;
}

/* ---- element by element ---- */

typedef struct {
    const char *text;     /* %s is the operand */
    double slope, height; /* |f(x)| <= slope * |x| + height */
} Function;

static bool unary(Maker *m)
{
    static const Function floats[] = {{"tanh(%s)", 0, 1},
                                      {"sin(%s)", 0, 1},
                                      {"cos(%s * 0.7)", 0, 1},
                                      {"erf(%s)", 0, 1},
                                      {"exp(clamp(%s, low=-3.0, high=2.0))", 0, 8},
                                      {"sqrt(abs(%s) + 0.5)", 1, 1},
                                      {"log(abs(%s) + 0.5)", 1, 1},
                                      {"log1p(abs(%s))", 1, 0},
                                      {"expm1(minimum(%s, 1.5))", 0, 4},
                                      {"abs(%s)", 1, 0},
                                      {"sign(%s)", 0, 1},
                                      {"floor(%s)", 1, 1},
                                      {"ceil(%s)", 1, 1},
                                      {"round(%s)", 1, 1},
                                      {"-%s", 1, 0},
                                      {"relu(%s)", 1, 0},
                                      {"sigmoid(%s)", 0, 1},
                                      {"gelu(%s)", 1, 0},
                                      {"maximum(%s, 0.25)", 1, 1},
                                      {"clamp(%s, low=-1.0, high=1.5)", 0, 2},
                                      {"1.0 / (1.0 + %s ** 2.0)", 0, 1}};
    static const Function integers[] = {{"-%s", 1, 0},
                                        {"abs(%s)", 1, 0},
                                        {"sign(%s)", 0, 1},
                                        {"%s * 3 - 1", 3, 1},
                                        {"%s // 3", 1, 1},
                                        {"%s %% 5", 0, 5},
                                        {"maximum(%s, 2)", 1, 2},
                                        {"clamp(%s, low=1, high=6)", 0, 6}};
    const Value *x = pick(m, ANYTHING, 0, MOST_AXES);
    if (!x)
        return false;
    if (kind_of(x) == BOOLS)
        return made(m, x, say(m, "not %s", x->name));
    const Function *f = kind_of(x) == FLOATS
                            ? &floats[draw(m, sizeof floats / sizeof *floats)]
                            : &integers[draw(m, sizeof integers / sizeof *integers)];
    if (x->type == T_U8 && f == &integers[0])
        f++;
    const char *at = strstr(f->text, "%s"), *rest = at + 2;
    Value v = *x;
    v.bound = f->slope * x->bound + f->height;
    /* The only other use of % in a text is the remainder, which printf would write so. */
    const char *twice = strstr(rest, "%%");
    return made(m, &v,
                twice ? say(m, "%s %% 5", x->name)
                      : say(m, "%.*s%s%s", (int)(at - f->text), f->text, x->name, rest));
}

static Value *partner(Maker *m, const Value *x, int kinds, Value *out)
{
    for (int tries = 0; tries < 8; tries++) {
        Value *y = pick(m, kinds, 0, MOST_AXES);
        *out = *x;
        if (y && broadcast(x, y, out))
            return y;
    }
    return NULL;
}

static bool binary(Maker *m)
{
    static const char *const floats[] = {"%s + %s",
                                         "%s - %s",
                                         "%s * %s",
                                         "%s / (1.0 + abs(%s))",
                                         "maximum(%s, %s)",
                                         "minimum(%s, %s)",
                                         "(abs(%s) + 0.5) ** tanh(%s)",
                                         "%s %% (1.5 + abs(%s))",
                                         "%s // (1.5 + abs(%s))"};
    static const char *const integers[] = {"%s + %s",
                                           "%s - %s",
                                           "%s * %s",
                                           "maximum(%s, %s)",
                                           "minimum(%s, %s)",
                                           "%s // (1 + %s %% 3)",
                                           "%s %% (2 + %s %% 3)"};
    Value v;
    const Value *x = pick(m, NUMBERS, 0, MOST_AXES), *y = x ? partner(m, x, ANYTHING, &v) : NULL;
    if (!y)
        return false;
    const char *a = x->name, *b = as(m, y, x->type);
    bool floating = kind_of(x) == FLOATS;
    unsigned k = draw(m, floating ? 9 : 7);
    v.bound = k == 2 ? x->bound * y->bound : x->bound + y->bound + 8;
    const char *text = say(m, floating ? floats[k] : integers[k], a, b);
    return made(m, &v, text);
}

static bool compare(Maker *m)
{
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="}, *const words[] = {"and",
                                                                                             "or"};
    Value v;
    const Value *x = pick(m, ANYTHING, 0, MOST_AXES), *y = x ? partner(m, x, ANYTHING, &v) : NULL;
    if (!y)
        return false;
    v.type = T_BOOL;
    const char *b = as(m, y, x->type);
    if (kind_of(x) != BOOLS)
        return made(m, &v, say(m, "%s %s %s", x->name, signs[draw(m, 6)], b));
    return made(m, &v,
                chance(m, 30) ? say(m, "xor(%s, %s)", x->name, b)
                              : say(m, "%s %s %s", x->name, words[draw(m, 2)], b));
}

static bool choose(Maker *m)
{
    Value v, w;
    const Value *c = pick(m, BOOLS, 0, MOST_AXES), *x = c ? partner(m, c, NUMBERS, &v) : NULL,
                *y = x ? partner(m, &v, ANYTHING, &w) : NULL;
    if (!y)
        return false;
    w.type = x->type;
    w.bound = x->bound + y->bound;
    return made(m, &w, say(m, "where(%s, %s, %s)", c->name, x->name, as(m, y, x->type)));
}

static bool convert(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 0, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    v.type = draw_type(m, ANYTHING);
    if (v.type == T_U8 || v.type == T_I8)
        v.bound = 255;
    return v.type != x->type && made(m, &v, as(m, x, v.type));
}

/* ---- reductions ---- */

/* A few axes of x as text; what is left in *v, with sizes 1 if `keep`. */
static const char *some_axes(Maker *m, const Value *x, bool keep, Value *v)
{
    const char *text = "";
    int rank = 0;
    for (int i = 0; i < x->rank; i++) {
        bool goes = chance(m, 50) || (i == x->rank - 1 && !*text);
        if (goes)
            text = say(m, "%s%s%d", text, *text ? ", " : "", chance(m, 30) ? i - x->rank : i);
        if (!goes || keep)
            v->size[rank++] = goes ? (Size){0, 1} : x->size[i];
    }
    v->rank = rank;
    return text;
}

static bool reduce(Maker *m)
{
    static const char *const floats[] = {"mean", "sum", "max", "min", "var", "prod", "mean", "sum"},
                             *const integers[] = {"sum", "max", "min"},
                             *const bools[] = {"all", "any"};
    const Value *x = pick(m, ANYTHING, 1, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    bool keep = chance(m, 40), whole = chance(m, 15);
    const char *axes = some_axes(m, x, keep, &v), *operand = x->name;
    if (whole)
        v.rank = keep ? x->rank : 0;
    for (int i = 0; whole && i < v.rank; i++)
        v.size[i] = (Size){0, 1};
    const char *how = kind_of(x) == FLOATS     ? floats[draw(m, 8)]
                      : kind_of(x) == INTEGERS ? integers[draw(m, 3)]
                                               : bools[draw(m, 2)];
    if (strcmp(how, "sum") == 0)
        v.bound = x->bound * elements_bound(x);
    if (strcmp(how, "var") == 0)
        v.bound = x->bound * x->bound;
    if (strcmp(how, "prod") == 0) {
        operand = say(m, "clamp(%s, low=-1.25, high=1.25)", x->name);
        v.bound = 1e3;
    }
    const char *text =
        whole ? say(m, "%s(%s%s)", how, operand, keep ? ", keep=true" : "")
              : say(m, "%s(%s, axis=[%s]%s)", how, operand, axes, keep ? ", keep=true" : "");
    if (x->type == T_U8 || x->type == T_I8) /* whose sum may be of another type */
        text = say(m, "%s(%s)", random_types[x->type].name, text), v.bound = 255;
    return made(m, &v, text);
}

static bool along(Maker *m)
{
    static const char *const how[] = {"cumsum", "argsort", "argmax", "argmin"};
    const Value *x = pick(m, NUMBERS, 1, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    unsigned k = draw(m, 4), axis = draw(m, (unsigned)x->rank);
    if (k >= 1) {
        v.type = T_I32;
        v.bound = elements_bound(x);
    } else
        v.bound = x->bound * elements_bound(x);
    if (k >= 2) {
        memmove(&v.size[axis], &v.size[axis + 1], (MOST_AXES - 1 - axis) * sizeof *v.size);
        v.rank--;
    }
    const char *more = k == 1 && chance(m, 40) ? ", descending=true" : "";
    bool small = x->type == T_U8 || x->type == T_I8;
    const char *operand = small ? say(m, "i32(%s)", x->name) : x->name;
    if (small && !k)
        v.type = T_I32;
    return made(m, &v, say(m, "%s(%s, axis=%u%s)", how[k], operand, axis, more));
}

/* ---- moves ---- */

static bool permuted(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 2, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    int order[MOST_AXES];
    const char *axes = "";
    for (int i = 0; i < x->rank; i++) {
        int k = (int)draw(m, (unsigned)i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    for (int i = 0; i < x->rank; i++) {
        v.size[i] = x->size[order[i]];
        axes = say(m, "%s, %d", axes, order[i]);
    }
    if (chance(m, 70))
        return made(m, &v, say(m, "permute(%s%s)", x->name, axes));
    v = *x;
    v.size[x->rank - 1] = x->size[x->rank - 2];
    v.size[x->rank - 2] = x->size[x->rank - 1];
    return made(m, &v, say(m, "transpose(%s)", x->name));
}

static bool reversed(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 1, MOST_AXES);
    return x && made(m, x, say(m, "reverse(%s, %u)", x->name, draw(m, (unsigned)x->rank)));
}

void put_axis(Value *v, int at, Size size)
{
    memmove(&v->size[at + 1], &v->size[at], (size_t)(MOST_AXES - 1 - at) * sizeof *v->size);
    v->size[at] = size;
    v->rank++;
}

void drop_axis(Value *v, int at)
{
    memmove(&v->size[at], &v->size[at + 1], (size_t)(MOST_AXES - 1 - at) * sizeof *v->size);
    v->rank--;
}

/* Axes merged, split, added and removed. */
static bool reshaped(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 1, MOST_AXES - 1);
    if (!x)
        return false;
    Value v = *x;
    int axis = (int)draw(m, (unsigned)x->rank), size = x->size[axis].number;
    if (chance(m, 30)) {
        put_axis(&v, axis, (Size){0, 1});
        return made(m, &v, say(m, "unsqueeze(%s, %d)", x->name, axis));
    }
    if (is_number(x->size[axis], 1) && chance(m, 60)) {
        drop_axis(&v, axis);
        return made(m, &v, say(m, "squeeze(%s, %d)", x->name, axis));
    }
    if (!x->size[axis].rows && size % 2 == 0 && chance(m, 60)) {
        v.size[axis] = (Size){0, 2};
        put_axis(&v, axis, (Size){0, size / 2});
        return made(m, &v,
                    chance(m, 50) ? say(m, "split_axis(%s, %d, %d, 2)", x->name, axis, size / 2)
                                  : say(m, "reshape(%s, %s)", x->name, axes_text(m, &v)));
    }
    if (axis + 1 >= x->rank || (x->size[axis].rows && x->size[axis + 1].rows))
        return false;
    Size a = x->size[axis], b = x->size[axis + 1];
    v.size[axis] = (Size){a.rows * b.number + b.rows * a.number, a.number * b.number};
    drop_axis(&v, axis + 1);
    if (v.size[axis].rows * FEW_ROWS + v.size[axis].number > 300)
        return false;
    return made(m, &v,
                chance(m, 60) ? say(m, "merge_axes(%s, %d, %d)", x->name, axis, axis + 1)
                              : say(m, "reshape(%s, %s)", x->name, axes_text(m, &v)));
}

/* rearrange, with an axis of two parts where one can be divided, and repeat. */
static bool patterned(Maker *m)
{
    static const char letters[] = "abcde";
    const Value *x = pick(m, ANYTHING, 1, MOST_AXES - 1);
    if (!x)
        return false;
    Value v = *x;
    const char *left = "", *right = "", *sizes = "";
    int divided = -1, turn = (int)draw(m, (unsigned)x->rank);
    for (int i = 0; i < x->rank; i++) {
        bool parts =
            divided < 0 && !x->size[i].rows && x->size[i].number % 2 == 0 && x->size[i].number > 0;
        left = say(m, parts ? "%s%s(p %c)" : "%s%s%c", left, i ? " " : "", letters[i]);
        divided = parts ? i : divided;
    }
    v.rank = 0;
    for (int i = 0; i < x->rank; i++) {
        int from = (i + turn) % x->rank;
        right = say(m, "%s%s%c", right, i ? " " : "", letters[from]);
        v.size[v.rank++] = from == divided ? (Size){0, x->size[from].number / 2} : x->size[from];
    }
    if (divided >= 0) {
        right = say(m, "%s p", right);
        sizes = ", p=2";
        v.size[v.rank++] = (Size){0, 2};
    } else if (chance(m, 50)) {
        v.size[v.rank++] = (Size){0, 2};
        return made(m, &v, say(m, "repeat(%s, \"%s -> %s r\", r=2)", x->name, left, right));
    }
    return made(m, &v, say(m, "rearrange(%s, \"%s -> %s\"%s)", x->name, left, right, sizes));
}

static bool reduced_by_pattern(Maker *m)
{
    static const char *const how[] = {"max", "min", "sum", "mean", "prod"};
    const Value *x = pick(m, FLOATS, 2, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    const char *left = "", *right = "";
    int gone = (int)draw(m, (unsigned)x->rank);
    v.rank = 0;
    for (int i = 0; i < x->rank; i++) {
        left = say(m, "%s %c", left, 'a' + i);
        if (i != gone)
            right = say(m, "%s %c", right, 'a' + i), v.size[v.rank++] = x->size[i];
    }
    v.bound = 100;
    return made(
        m, &v,
        say(m, "reduce(tanh(%s), \"%s ->%s\", \"%s\")", x->name, left + 1, right, how[draw(m, 5)]));
}

static bool expanded(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 0, MOST_AXES - 1);
    if (!x)
        return false;
    Value v = *x;
    put_axis(&v, 0, (Size){0, 1 + (int)draw(m, 3)});
    for (int i = 1; i < v.rank; i++)
        if (is_number(v.size[i], 1))
            v.size[i].number = 1 + (int)draw(m, 3);
    return made(m, &v, say(m, "expand(%s, %s)", x->name, axes_text(m, &v)));
}

static bool sliced(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 1, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    const char *text = "";
    v.rank = 0;
    for (int i = 0; i < x->rank; i++) {
        int n = x->size[i].number, a = n > 0 ? (int)draw(m, (unsigned)n) : 0,
            way = (int)draw(m, 10);
        const char *item = ":";
        Size size = x->size[i];
        if (x->size[i].rows || way > 5) {
            v.size[v.rank++] = size;
        } else if (way < 2) {
            item = say(m, "%d", way ? a : a - n);
        } else {
            int b = way == 5 && chance(m, 20)
                        ? a
                        : a + 1 + (int)draw(m, (unsigned)(n - a)); /* empty at times */
            item = way == 2   ? say(m, "%d..", a)
                   : way == 3 ? say(m, "..%d", b)
                              : say(m, "%d..%d", a, b);
            v.size[v.rank++] = (Size){0, way == 2 ? n - a : way == 3 ? b : b - a};
        }
        text = say(m, "%s%s%s", text, i ? ", " : "", item);
    }
    return made(m, &v, say(m, "%s[%s]", x->name, text));
}

static bool joined(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 0, MOST_AXES), *y = NULL;
    for (int i = 0; x && i < m->count; i++)
        if (same_shape(&m->values[i], x) && (!y || chance(m, 50)))
            y = &m->values[i];
    if (!x || !y)
        return false;
    Value v = *x;
    v.bound = x->bound + y->bound;
    int axis = (int)draw(m, (unsigned)x->rank + 1);
    const char *other = as(m, y, x->type);
    if (chance(m, 40) && x->rank < MOST_AXES) {
        put_axis(&v, axis, (Size){0, 2});
        return made(m, &v, say(m, "stack([%s, %s], axis=%d)", x->name, other, axis));
    }
    if (axis == x->rank)
        return false;
    v.size[axis] = (Size){2 * x->size[axis].rows, 2 * x->size[axis].number};
    if (v.size[axis].rows > 4)
        return false;
    return made(m, &v, say(m, "concat([%s, %s], axis=%d)", x->name, other, axis));
}

static bool parted(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 1, MOST_AXES);
    int axis = x ? (int)draw(m, (unsigned)x->rank) : 0, n = x ? x->size[axis].number : 0;
    if (!x || x->size[axis].rows || n < 2)
        return false;
    int first = 1 + (int)draw(m, (unsigned)n - 1), id = m->program->names;
    Value a = *x, b = *x;
    a.size[axis].number = first;
    b.size[axis].number = n - first;
    m->program->names += 2;
    line(m, "let v%d, v%d = split(%s, [%d, %d], axis=%d)", id, id + 1, x->name, first, n - first,
         axis);
    declare(m, &a, say(m, "v%d", id));
    declare(m, &b, say(m, "v%d", id + 1));
    return true;
}

static bool padded(Maker *m)
{
    const Value *x = pick(m, NUMBERS, 1, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    int axis = (int)draw(m, (unsigned)x->rank), low = (int)draw(m, 3), high = (int)draw(m, 3);
    v.size[axis].number += low + high;
    const char *filling = chance(m, 30) ? kind_of(x) == FLOATS ? ", value=0.5" : ", value=2" : "";
    v.bound += 2;
    return made(m, &v, say(m, "pad(%s, %d, %d, %d%s)", x->name, axis, low, high, filling));
}

/* ---- indices ---- */

/* A new value of integers in [0, n); NULL: none. */
static Value *index_below(Maker *m, int n, int low, int high)
{
    const Value *i = pick(m, INTEGERS, low, high);
    if (!i || n < 1)
        return NULL;
    Value v = *i;
    v.bound = n;
    v.type = i->type == T_I64 ? T_I64 : T_I32;
    Value *made_index = define(m, &v, say(m, "%s %% %d", as(m, i, v.type), n));
    made_index->used = true;
    return made_index;
}

static bool gathered(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 1, 3);
    int axis = x ? (int)draw(m, (unsigned)x->rank) : 0;
    if (!x || x->size[axis].rows)
        return false;
    Value from = *x;
    const Value *index = index_below(m, from.size[axis].number, 0, 2);
    if (!index)
        return false;
    Value v = from;
    drop_axis(&v, axis);
    for (int i = 0; i < index->rank; i++)
        put_axis(&v, axis + i, index->size[i]);
    if (axis == 0 && chance(m, 40) && index->rank > 0)
        return made(m, &v, say(m, "%s[%s]", from.name, index->name));
    return made(m, &v, say(m, "take(%s, %s, axis=%d)", from.name, index->name, axis));
}

static bool one_hot(Maker *m)
{
    int n = 2 + (int)draw(m, 4);
    const Value *index = index_below(m, n, 0, MOST_AXES - 1);
    if (!index)
        return false;
    Value v = *index;
    put_axis(&v, v.rank, (Size){0, n});
    v.type = T_F32;
    v.bound = 1;
    return made(m, &v, say(m, "one_hot(%s, %d)", index->name, n));
}

static bool scattered(Maker *m)
{
    const Value *x = pick(m, FLOATS, 1, 3);
    if (!x || x->size[0].rows)
        return false;
    Value to = *x, updates = *x;
    const Value *index = index_below(m, to.size[0].number, 1, 1);
    if (!index)
        return false;
    updates.size[0] = index->size[0];
    Value *from = pick(m, FLOATS, 0, 3);
    if (!from)
        return false;
    const char *text =
        broadcasts_to(from, &updates) ? as(m, from, to.type) : toward(m, from, &updates);
    to.bound += from->bound * elements_bound(index);
    return made(m, &to,
                say(m, "scatter_add(%s, %s, expand(%s, %s))", x->name, index->name, text,
                    axes_text(m, &updates)));
}

/* ---- products and windows ---- */

static bool product(Maker *m)
{
    const Value *x = pick(m, FLOATS, 2, 4);
    if (!x)
        return false;
    Value left = *x, right = {.type = x->type,
                              .rank = 2,
                              .size = {left.size[left.rank - 1], {0, 1 + (int)draw(m, 4)}}};
    const Value *y = NULL;
    for (int i = 0; i < m->count; i++) {
        const Value *w = &m->values[i];
        if (w->type == left.type && w->rank == 2 && same_size(w->size[0], right.size[0]) &&
            (!y || chance(m, 50)))
            y = w;
    }
    y = y && chance(m, 60) ? y : new_param(m, &right);
    if (!y || has_nothing(y))
        return false;
    Value v = left;
    v.size[v.rank - 1] = y->size[1];
    v.bound = left.bound * y->bound * elements_bound(&right);
    return made(m, &v, say(m, "%s @ %s", left.name, y->name));
}

static bool window(Maker *m)
{
    const Value *x = pick(m, FLOATS, 1, 4);
    int n = x ? x->size[x->rank - 1].number : 0;
    if (!x || x->size[x->rank - 1].rows || n < 2)
        return false;
    int k = 2 + (int)draw(m, (unsigned)(n < 3 ? 1 : 2)), stride = 1 + (int)draw(m, 2),
        low = (int)draw(m, 2);
    Value v = *x;
    v.size[v.rank - 1].number = (n + 2 * low - k) / stride + 1;
    v.bound = 3 * x->bound;
    return made(m, &v,
                say(m, "window_%s(%s, [%d], stride=%d, pad=%d)", chance(m, 50) ? "max" : "sum",
                    x->name, k, stride, low));
}

static bool convolution(Maker *m)
{
    const Value *found = pick(m, FLOATS, 3, 4);
    if (!found || found->size[1].rows || found->size[2].rows || found->size[found->rank - 1].rows)
        return false;
    Value x = *found,
          w = {.type = x.type, .rank = x.rank, .size = {{0, 1 + (int)draw(m, 3)}, x.size[1]}},
          v = x;
    int stride = 1 + (int)draw(m, 2), pad = (int)draw(m, 2);
    v.size[1] = w.size[0];
    for (int i = 2; i < x.rank; i++) {
        int n = x.size[i].number + 2 * pad, k = 1 + (int)draw(m, n < 3 ? (unsigned)n : 3);
        w.size[i] = (Size){0, k};
        v.size[i] = (Size){0, (n - k) / stride + 1};
    }
    const Value *weight = new_param(m, &w);
    v.bound = x.bound * 3 * elements_bound(&w);
    return weight &&
           made(m, &v,
                say(m, "conv(%s, %s, stride=%d, pad=%d)", x.name, weight->name, stride, pad));
}

static bool created(Maker *m)
{
    static const char *const ways[] = {
        "zeros(%s)", "ones(%s)", "full([%s], 0.75)", "arange(%d)", "linspace(-1.0, 1.0, %d)",
        "eye(%d)"};
    unsigned k = draw(m, 6);
    int n = 1 + (int)draw(m, 4);
    Value v = {.type = k == 3 ? T_I32 : T_F32,
               .rank = k == 5 ? 2 : 1,
               .size = {{0, n}, {0, n}},
               .bound = k == 3 ? n : 1};
    if (k < 3 && m->rows && chance(m, 40))
        put_axis(&v, 0, (Size){1, 0});
    if (k < 3 && chance(m, 15))
        put_axis(&v, v.rank, (Size){0, 0});
    return made(m, &v, k < 3 ? say(m, ways[k], axes_text(m, &v)) : say(m, ways[k], n));
}

/* What is empty may only be moved and summed. */
static bool of_nothing(Maker *m)
{
    const Value *x = NULL;
    for (int i = 0; i < m->count; i++)
        if (has_nothing(&m->values[i]) && m->values[i].rank < MOST_AXES)
            x = &m->values[i];
    if (!x)
        return false;
    Value v = *x;
    unsigned k = draw(m, 4);
    if (k == 0)
        return made(m, x,
                    kind_of(x) == BOOLS ? say(m, "not %s", x->name)
                                        : say(m, "%s + %s", x->name, x->name));
    if (k == 1) {
        put_axis(&v, 0, (Size){0, 2});
        return made(m, &v, say(m, "stack([%s, %s])", x->name, x->name));
    }
    if (k == 2 && kind_of(x) == FLOATS) {
        v.rank--;
        return made(m, &v, say(m, "sum(%s, axis=-1)", x->name));
    }
    v.size[0] = (Size){2 * v.size[0].rows, 2 * v.size[0].number};
    return v.size[0].rows < 5 && made(m, &v, say(m, "concat([%s, %s])", x->name, x->name));
}

const Statement random_value_statements[] = {
    {10, unary},     {12, binary},  {4, compare},     {4, choose},
    {4, convert},    {8, reduce},   {4, along},       {3, permuted},
    {2, reversed},   {5, reshaped}, {4, patterned},   {2, reduced_by_pattern},
    {2, expanded},   {5, sliced},   {4, joined},      {3, parted},
    {3, padded},     {4, gathered}, {2, one_hot},     {3, scattered},
    {7, product},    {3, window},   {3, convolution}, {2, created},
    {3, of_nothing}, {0, NULL}};
