/* Index statements of random programs, and einsum: sums over missing indices, shifts, gathers,
 * functions of an index. */
#include "tests/support/random_program_parts.h"

typedef struct {
    Size size[12];
    int count;
} Letters;

/* An index for an axis: one of this size that is there already, or a new one. */
static int letter_of(Maker *m, Letters *letters, Size size, unsigned used)
{
    for (int i = 0; i < letters->count; i++)
        if (same_size(letters->size[i], size) && !(used >> i & 1) && chance(m, 60))
            return i;
    if (letters->count == 12)
        return -1;
    letters->size[letters->count] = size;
    return letters->count++;
}

/* The axes of one factor: "a, c, 0", or with `bare` "ac". */
static const char *axes_of(Maker *m, const Value *v, Letters *letters, unsigned *all, bool bare)
{
    const char *text = "";
    unsigned used = 0;
    for (int i = 0; i < v->rank; i++) {
        if (!bare && !v->size[i].rows && chance(m, 8)) {
            text = say(m, "%s%s%u", text, i ? ", " : "", draw(m, (unsigned)v->size[i].number));
            continue;
        }
        int letter = letter_of(m, letters, v->size[i], !bare && chance(m, 8) ? 0 : used);
        if (letter < 0)
            return NULL;
        used |= 1u << letter;
        text = say(m, "%s%s%c", text, i && !bare ? ", " : "", 'a' + letter);
    }
    *all |= used;
    return text;
}

/* Some of the letters in some order, as an array of sizes. */
static const char *left_side(Maker *m, const Letters *letters, unsigned all, bool bare, Value *v,
                             double *summed)
{
    const char *text = "";
    int start = (int)draw(m, 12);
    v->rank = 0;
    for (int k = 0; k < 12; k++) {
        int i = (k + start) % 12;
        if (i >= letters->count || !(all >> i & 1))
            continue;
        Value one = {.rank = 1, .size = {letters->size[i]}};
        if (v->rank == MOST_AXES - 1 || chance(m, 35)) {
            *summed *= elements_bound(&one);
            continue;
        }
        text = say(m, "%s%s%c", text, v->rank && !bare ? ", " : "", 'a' + i);
        v->size[v->rank++] = letters->size[i];
    }
    return text;
}

static bool contraction(Maker *m)
{
    Letters letters = {.count = 0};
    bool bare = chance(m, 30);
    int count = 1 + (int)draw(m, 3), made = 0, type = -1;
    unsigned all = 0;
    const char *right = "", *operands = "";
    double bound = 1, summed = 1;
    for (int i = 0; i < count; i++) {
        const Value *x = pick(m, FLOATS, 1, 3);
        const char *axes = x ? axes_of(m, x, &letters, &all, bare) : NULL;
        if (!axes)
            continue;
        type = type < 0 ? x->type : type;
        const char *operand = as(m, x, type);
        if (x->type != type)
            operand = define(m,
                             &(Value){.type = type,
                                      .rank = x->rank,
                                      .bound = x->bound,
                                      .size = {x->size[0], x->size[1], x->size[2]}},
                             operand)
                          ->name;
        right = bare ? say(m, "%s%s%s", right, made ? "," : "", axes)
                     : say(m, "%s%s%s[%s]", right, made ? " * " : "", operand, axes);
        operands = say(m, "%s, %s", operands, operand);
        bound *= x->bound;
        made++;
    }
    Value v = {.type = type};
    const char *left = left_side(m, &letters, all, bare, &v, &summed);
    if (!made || !all || (!bare && !v.rank) || (bare && made == 1 && !v.rank))
        return false;
    v.bound = bound * summed;
    if (summed > 4000)
        return false;
    if (bare) {
        define(m, &v, say(m, "einsum(\"%s->%s\"%s)", right, left, operands));
        return true;
    }
    const char *name = say(m, "v%d", m->program->names++);
    line(m, "let %s[%s] = %s%s", name, left, right,
         chance(m, 30) ? say(m, " * %.2f", draw_number(m)) : "");
    declare(m, &v, name);
    if (v.bound > 48)
        v.bound = 1, define(m, &v, say(m, "tanh(%s)", name));
    return true;
}

/* Axes of x as letters, with `special` at one of them. */
static const char *with_special(Maker *m, const Value *x, int axis, const char *special)
{
    const char *text = "";
    for (int i = 0; i < x->rank; i++)
        text = i == axis ? say(m, "%s%s%s", text, i ? ", " : "", special)
                         : say(m, "%s%s%c", text, i ? ", " : "", 'a' + i);
    return text;
}

static bool shifted(Maker *m)
{
    const Value *x = pick(m, FLOATS, 1, 4);
    int axis = x ? (int)draw(m, (unsigned)x->rank) : 0, n = x ? x->size[axis].number : 0;
    if (!x)
        return false;
    Value v = *x;
    char t = (char)('a' + axis);
    const char *place, *more = "";
    const Value *w = pick(m, FLOATS, 1, 1);
    unsigned way = draw(m, 6);
    bool rows = x->size[axis].rows > 0;
    if (way == 0 || rows)
        place =
            say(m, "%c - %u else %.2f", t, 1 + draw(m, 2), chance(m, 50) ? 0.0 : draw_number(m));
    else if (way == 1 && n > 1)
        place = say(m, "%c + 1", t), v.size[axis].number = n - 1;
    else if (way == 2 && n > 1)
        place = say(m, "2*%c + 1", t), v.size[axis].number = n / 2;
    else if (way == 3)
        place = say(m, "2*%c - 1 else 0.0", t), v.size[axis].number = (n + 1) / 2;
    else if (w && w->type == x->type && !w->size[0].rows) {
        place = say(m, "%c - k else 0.0", t), more = say(m, " * %s[k]", w->name);
        v.bound *= w->bound * w->size[0].number;
    } else
        place = say(m, "%d - %c", n - 1, t),
        more = say(m, " * %s[%s]", x->name, with_special(m, x, axis, say(m, "%c", t))),
        v.bound *= v.bound;
    const char *name = say(m, "v%d", m->program->names++);
    line(m, "let %s[%s] = %s[%s]%s", name, with_special(m, x, axis, say(m, "%c", t)), x->name,
         with_special(m, x, axis, place), more);
    declare(m, &v, name);
    if (v.bound > 48)
        v.bound = 1, define(m, &v, say(m, "tanh(%s)", name));
    return true;
}

/* x[a, i[a, u], c]: entries that an integer tensor names, the first axis followed in step where
 * both have it. */
static bool looked_up(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 1, 3), *i = pick(m, INTEGERS, 1, 2);
    int axis = x ? (int)draw(m, (unsigned)x->rank) : 0;
    if (!x || !i || x->size[axis].rows)
        return false;
    Value from = *x, index = *i, v = from;
    int n = from.size[axis].number;
    index.bound = n;
    index.type = i->type == T_I64 ? T_I64 : T_I32;
    const Value *made = define(m, &index, say(m, "%s %% %d", as(m, i, index.type), n));
    m->values[m->count - 1].used = true;
    const char *inner = "", *left = "";
    v.rank = 0;
    for (int k = 0; k < index.rank; k++) {
        bool shared = k == 0 && axis != 0 && same_size(from.size[0], index.size[0]);
        const char *letter = shared ? "a" : say(m, "%c", 'u' + k);
        inner = say(m, "%s%s%s", inner, k ? ", " : "", letter);
        if (!shared)
            left = say(m, "%s%s%s", left, v.rank ? ", " : "", letter),
            v.size[v.rank++] = index.size[k];
    }
    for (int k = 0; k < from.rank; k++)
        if (k != axis)
            left = say(m, "%s%s%c", left, v.rank ? ", " : "", 'a' + k),
            v.size[v.rank++] = from.size[k];
    if (!v.rank)
        return false;
    const char *name = say(m, "v%d", m->program->names++);
    line(m, "let %s[%s] = %s[%s]", name, left, from.name,
         with_special(m, &from, axis, say(m, "%s[%s]", made->name, inner)));
    declare(m, &v, name);
    return true;
}

/* exp(x - max) / sum over one index, and other functions of indices. */
static bool normalised(Maker *m)
{
    const Value *x = pick(m, FLOATS, 1, 4);
    if (!x)
        return false;
    Value v = *x;
    int axis = (int)draw(m, (unsigned)x->rank);
    const char *left = with_special(m, x, -1, ""), *other = with_special(m, x, axis, "z"),
               *name = say(m, "v%d", m->program->names++), *letter = say(m, "%c", 'a' + axis);
    v.bound = 8;
    static const char *const ways[] = {"exp(%s[%s] - max(%s[%s]))", "tanh(%s[%s]) * mean(%s[%s])",
                                       "where(%s[%s] < 0.5, 1.0, max(%s[%s]))"};
    unsigned k = draw(m, 4);
    const char *right = k < 3 ? say(m, ways[k], x->name, left, x->name, other)
                              : say(m, "where(%s > 1, %s[%s], 0.25) + %s(%s) * 0.125", letter,
                                    x->name, left, random_types[x->type].name, letter);
    line(m, "let %s[%s] = %s", name, left, right);
    v.bound = k ? v.bound + x->bound : 1;
    declare(m, &v, name);
    return true;
}

bool random_index_statement(Maker *m)
{
    unsigned way = draw(m, 25);
    return way < 10   ? contraction(m)
           : way < 16 ? shifted(m)
           : way < 21 ? looked_up(m)
                      : normalised(m);
}
