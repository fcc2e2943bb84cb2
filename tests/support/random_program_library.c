/* Statements of random programs that use the library and the language around values: order along
 * an axis, activations that look at a whole axis, padding, rows of an Embedding, functions and
 * arrays of functions as arguments, records, fors that are unrolled, and debug. What
 * random_program_values.c is to the operations, this is to what is built of them. */
#include "tests/support/random_program_parts.h"

#include <string.h>

static bool made(Maker *m, const Value *v, const char *expression)
{
    define(m, v, expression);
    return true;
}

/* An axis of x whose size is a number from `least` up, or -1. */
static int numbered_axis(Maker *m, const Value *x, int least)
{
    int first = x->rank ? (int)draw(m, (unsigned)x->rank) : 0;
    for (int i = 0; i < x->rank; i++) {
        int axis = (first + i) % x->rank;
        if (!x->size[axis].rows && x->size[axis].number >= least)
            return axis;
    }
    return -1;
}

static bool is_small(const Value *x)
{
    return x->type == T_U8 || x->type == T_I8;
}

/* ---- order ---- */

static bool sorted(Maker *m)
{
    const Value *x = pick(m, NUMBERS, 1, MOST_AXES);
    if (!x)
        return false;
    unsigned axis = draw(m, (unsigned)x->rank);
    Value v = *x, places = *x;
    const char *order = chance(m, 40) ? ", descending=true" : "";
    if (chance(m, 60))
        return made(m, &v, say(m, "sort(%s, axis=%u%s).values", x->name, axis, order));
    int id = m->program->names;
    m->program->names += 2;
    line(m, "let v%d, v%d = sort(%s, axis=%u%s)", id, id + 1, x->name, axis, order);
    declare(m, &v, say(m, "v%d", id));
    places.type = T_I32;
    places.bound = elements_bound(x);
    declare(m, &places, say(m, "v%d", id + 1));
    return true;
}

static bool largest(Maker *m)
{
    const Value *x = pick(m, NUMBERS, 1, MOST_AXES);
    int axis = x ? numbered_axis(m, x, 1) : -1;
    if (axis < 0)
        return false;
    Value v = *x;
    int n = x->size[axis].number, k = (int)draw(m, (unsigned)n + 1);
    v.size[axis].number = k;
    const char *side = chance(m, 30) ? ", largest=false" : "";
    return made(m, &v, say(m, "topk(%s, %d, axis=%d%s).values", x->name, k, axis, side));
}

/* The middle of an axis, and running products. */
static bool middle_or_products(Maker *m)
{
    const Value *x = pick(m, FLOATS, 1, MOST_AXES);
    int axis = x ? (int)draw(m, (unsigned)x->rank) : 0;
    if (!x)
        return false;
    Value v = *x;
    if (chance(m, 50)) {
        axis = numbered_axis(m, x, 1);
        if (axis < 0)
            return false;
        drop_axis(&v, axis);
        return made(m, &v, say(m, "median(%s, axis=%d)", x->name, axis));
    }
    v.bound = 1e3;
    return made(m, &v,
                say(m, "cumprod(clamp(%s, low=-1.25, high=1.25), axis=%d)", x->name, axis));
}

/* Entries along an axis, taken and put, by places that sort another value of that shape. */
static bool along_axis(Maker *m)
{
    const Value *x = pick(m, FLOATS, 1, 4), *y = x ? pick_like(m, x, same_shape) : NULL;
    if (!y || has_nothing(x))
        return false;
    Value v = *x;
    int axis = (int)draw(m, (unsigned)x->rank);
    const char *order = say(m, "argsort(%s, axis=%d)", y->name, axis), *values = as(m, y, x->type);
    v.bound = x->bound + y->bound;
    switch (draw(m, 3)) {
    case 0:
        return made(m, &v, say(m, "take_along_axis(%s, %s, axis=%d)", x->name, order, axis));
    case 1:
        return made(
            m, &v, say(m, "put_along_axis(%s, %s, %s, axis=%d)", x->name, order, values, axis));
    default:
        return made(m, &v,
                    say(m, "scatter_add(%s, %s, %s, axis=%d)", x->name, order, values, axis));
    }
}

/* ---- a whole axis ---- */

static bool activation(Maker *m)
{
    static const char *const same[] = {"softmax(%s, axis=%d)", "log_softmax(tanh(%s), axis=%d)",
                                       "softmin(%s, axis=%d)", "normalize(%s + 0.5, axis=%d)"};
    const Value *x = pick(m, FLOATS, 1, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    int axis = (int)draw(m, (unsigned)x->rank), n = x->size[axis].number;
    if (chance(m, 25)) {
        drop_axis(&v, axis);
        v.bound = x->bound + 4;
        return made(m, &v, say(m, "logsumexp(%s, axis=%d)", x->name, axis));
    }
    if (!x->size[axis].rows && n % 2 == 0 && chance(m, 50)) {
        v.size[axis].number = n / 2;
        v.bound = x->bound * (1 + x->bound);
        const char *how = (const char *[]){"glu", "swiglu", "geglu", "reglu"}[draw(m, 4)];
        return made(m, &v, say(m, "%s(%s, axis=%d)", how, x->name, axis));
    }
    v.bound = 8;
    unsigned k = draw(m, 4);
    return made(m, &v,
                k == 0   ? say(m, same[0], x->name, axis)
                : k == 1 ? say(m, same[1], x->name, axis)
                : k == 2 ? say(m, same[2], x->name, axis)
                         : say(m, same[3], x->name, axis));
}

static bool moved(Maker *m)
{
    const Value *x = pick(m, NUMBERS, 1, MOST_AXES);
    int axis = x ? numbered_axis(m, x, 2) : -1;
    if (axis < 0 || is_small(x))
        return false;
    Value v = *x;
    int n = x->size[axis].number, by = 1 + (int)draw(m, 2);
    if (chance(m, 40))
        return made(m, &v, say(m, "roll(%s, %d, axis=%d)", x->name, by, axis));
    if (x->rank >= 2 && chance(m, 30))
        return made(m, &v, say(m, "tri%c(%s, %d)", chance(m, 50) ? 'l' : 'u', x->name, by - 2));
    by = by < n ? by : 1;
    v.size[axis].number = n + 2 * by;
    const char *how = (const char *[]){"reflect", "replicate", "circular"}[draw(m, 3)];
    return made(m, &v, say(m, "pad_%s(%s, %d, %d)", how, x->name, axis, by));
}

static bool embedded(Maker *m)
{
    const Value *index = pick(m, INTEGERS, 1, 3);
    if (!index || !m->members || m->loop || m->decision)
        return false;
    Value v = *index;
    int rows = 2 + (int)draw(m, 4), width = 1 + (int)draw(m, 3);
    bool bag = v.rank == 2 && v.size[0].rows == 1 && !v.size[0].number && chance(m, 50);
    const char *name = say(m, "e%d", m->program->names++), *mode = "";
    if (bag)
        mode = (const char *[]){"", ", mode=\"sum\"", ", mode=\"max\""}[draw(m, 3)];
    strbuf_printf(m->members, "    let %s = %s(%d, %d%s)\n", name,
                  bag ? "EmbeddingBag" : "Embedding", rows, width, mode);
    add_param(m, say(m, "%s.weight", name));
    if (bag)
        v.rank = 1;
    put_axis(&v, v.rank, (Size){0, width});
    v.type = T_F32;
    v.bound = 4.0 * rows;
    return made(m, &v, say(m, "%s(i32(%s) %% %d)", name, index->name, rows));
}

/* ---- functions, records, fors ---- */

/* A function of one float that keeps its shape; a lambda may see a number of the scope. */
static const char *function(Maker *m, const Value *x)
{
    static const char *const names[] = {"tanh", "sigmoid", "relu", "gelu", "sin",
                                        "fn (u) -> 0.5 * u * u"};
    const Value *near = pick_like(m, x, broadcasts_to);
    if (near && near->type == x->type && chance(m, 40))
        return say(m, "fn (u) -> tanh(u * %s)", near->name);
    return names[draw(m, 6)];
}

static bool function_argument(Maker *m)
{
    static const char *const bodies[] = {"f(f(x))", "f(x) + 0.5 * f(0.5 * x)", "x - f(x)",
                                         "f(x) |> fn (y) -> 0.5 * f(y)"};
    const Value *x = pick(m, FLOATS, 0, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    v.bound = 1;
    int id = m->program->names++;
    strbuf_printf(&m->program->declarations, "fn h%d(f: fn, x) { tanh(%s) }\n", id,
                  bodies[draw(m, 4)]);
    return made(m, &v, say(m, "h%d(%s, %s)", id, function(m, &v), x->name));
}

/* let y = x; for f in [tanh, relu] { y = f(y) } */
static bool unrolled(Maker *m)
{
    const Value *x = pick(m, FLOATS, 0, MOST_AXES);
    if (!x)
        return false;
    Value v = *x;
    const char *name = say(m, "v%d", m->program->names++);
    const char *one = function(m, &v), *other = function(m, &v);
    v.bound = 1;
    line(m, "let %s = %s", name, x->name);
    if (chance(m, 50)) {
        line(m, "for f in [%s, %s] {", one, other);
        line(m, "    %s = tanh(0.5 * f(%s))", name, name);
    } else {
        line(m, "for i in 0..%u {", 1 + draw(m, 3));
        line(m, "    %s = tanh(%s * (i + 1) - 0.25 * i)", name, name);
    }
    line(m, "}");
    declare(m, &v, name);
    return true;
}

static bool listed(Maker *m)
{
    const Value *x = pick(m, FLOATS, 0, MOST_AXES - 1);
    if (!x)
        return false;
    Value v = *x;
    int n = 1 + (int)draw(m, 3);
    put_axis(&v, 0, (Size){0, n});
    v.bound = x->bound * n;
    return made(m, &v, say(m, "stack([for i in 0..%d: %s * (i + 1)])", n, x->name));
}

/* A record that a fn gives, taken apart by a pattern or by names. */
static bool record(Maker *m)
{
    const Value *x = pick(m, FLOATS, 0, 4), *y = pick(m, ANYTHING, 0, 4);
    if (!x || !y)
        return false;
    Value a = *x, b = *y, c = *x;
    int id = m->program->names++;
    strbuf_printf(&m->program->declarations,
                  "fn r%d(x, y) { (bent=tanh(x), rest=(same=y, all=[x * 0.5, mean(x)])) }\n", id);
    a.bound = 1;
    c.rank = 0;
    line(m, "let t%d = r%d(%s, %s)", id, id, x->name, y->name);
    if (chance(m, 50)) {
        line(m, "let p%da, (p%db, p%dc) = t%d", id, id, id, id);
        declare(m, &b, say(m, "p%db", id));
        declare(m, &a, say(m, "p%da", id));
        return made(m, &c, say(m, "p%dc[1]", id));
    }
    define(m, &b, say(m, "t%d.rest.same", id));
    define(m, &c, say(m, "t%d.rest.all[1]", id));
    return made(m, &a, say(m, "t%d.bent", id));
}

static bool looked_at(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 0, MOST_AXES);
    return x && made(m, x, say(m, "debug(%s)", x->name));
}

/* ---- nothing ---- */

static const Value *an_empty(Maker *m, int low, int high)
{
    const Value *x = NULL;
    for (int i = 0; i < m->count; i++) {
        const Value *v = &m->values[i];
        if (has_nothing(v) && v->rank >= low && v->rank <= high && (!x || chance(m, 60)))
            x = v;
    }
    return x;
}

/* Loops of no turns, products of no terms, rows that nothing asks for. */
static bool around_nothing(Maker *m)
{
    const Value *x = an_empty(m, 1, 4);
    if (!x || kind_of(x) != FLOATS)
        return false;
    Value v = *x;
    int axis = 0;
    while (!is_number(x->size[axis], 0))
        axis++;
    switch (draw(m, 6)) {
    case 0: {
        const Value *y = pick(m, FLOATS, 0, 3);
        if (!y)
            return false;
        Value carried = *y;
        carried.bound += 1;
        return made(m, &carried,
                    say(m, "scan s in %s over axis=%d with c = %s { c = c + sum(%s(s)) }", x->name,
                        axis, y->name, random_types[y->type].name));
    }
    case 1: {
        const Value *y = pick(m, FLOATS, 1, 3);
        int from = y ? numbered_axis(m, y, 1) : -1;
        if (from < 0)
            return false;
        v = *y;
        v.size[from].number = 0;
        return made(m, &v, say(m, "take(%s, zeros(0, dtype=i32), axis=%d)", y->name, from));
    }
    case 2:
        drop_axis(&v, axis);
        v.bound = 1;
        return made(m, &v, say(m, "%s(%s, axis=%d)", chance(m, 50) ? "prod" : "sum", x->name, axis));
    case 3:
        return made(m, &v, say(m, "tanh(%s) * 2.0", x->name));
    case 4:
        return made(m, &v, say(m, "%s(%s, axis=%d)", chance(m, 50) ? "cumsum" : "reverse", x->name, axis));
    default:
        v.size[axis].number = 2;
        return made(m, &v, say(m, "pad(%s, %d, 1, 1, value=0.5)", x->name, axis));
    }
}

const Statement random_library_statements[] = {
    {4, sorted},   {4, largest},           {4, middle_or_products}, {4, along_axis}, {6, activation},
    {5, moved},    {4, embedded},          {5, function_argument},  {4, unrolled},   {3, listed},
    {4, record},   {3, looked_at},         {5, around_nothing},     {0, NULL}};
