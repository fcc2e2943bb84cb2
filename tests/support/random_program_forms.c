/* Statements of random programs that have a form of their own: loops, decisions, functions and
 * modules that are declared where they are needed, derivatives, layers of the library, random
 * numbers and states. */
#include "tests/support/random_program_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- bodies ---- */

/* What a body made goes out of scope with it. */
static void body(Maker *m, int count)
{
    m->indent++;
    m->regions++;
    statements(m, count);
    m->regions--;
    m->indent--;
}

static bool is_rows(const Value *v)
{
    return v->rank > 0 && v->size[0].rows == 1 && v->size[0].number == 0;
}

/* A value to begin a carry with. Integers stay what they are, floats below 2. */
static bool first_of_carry(Maker *m, bool rows, Value *v, const char **text)
{
    const Value *from = pick(m, ANYTHING, rows ? 1 : 0, 3);
    if (!from || (rows && !is_rows(from)) || from->type == T_U8) {
        *v = (Value){.type = T_F32, .rank = rows ? 2 : 1, .size = {{0, 2}}, .bound = 1};
        if (rows)
            v->size[0] = (Size){1, 0}, v->size[1] = (Size){0, 2};
        *text = say(m, "zeros(%s)", axes_text(m, v));
        return true;
    }
    *v = *from;
    *text = kind_of(v) == FLOATS ? say(m, "tanh(%s)", v->name) : say(m, "%s", v->name);
    v->bound = kind_of(v) == FLOATS ? 1 : v->bound + 7;
    return true;
}

/* Declares the carries and gives "with a = .., b = ..". */
static const char *carries(Maker *m, int count, bool rows, Value *carry)
{
    const char *text = "";
    for (int i = 0; i < count; i++) {
        const char *begin;
        first_of_carry(m, rows, &carry[i], &begin);
        snprintf(carry[i].name, sizeof carry[i].name, "c%d", m->program->names++);
        text = say(m, "%s%s%s = %s", text, i ? ", " : " with ", carry[i].name, begin);
    }
    return text;
}

/* The sequences of a scan: names in the body, values, and what the body sees. */
typedef struct {
    const char *names, *sources;
    Value part[2];
    int count, axis;
    Size length;
} Sequences;

static bool sequences(Maker *m, bool rows, Sequences *s)
{
    const Value *x = pick(m, ANYTHING, rows ? 2 : 1, 4);
    if (!x || (rows && (!is_rows(x) || x->size[1].rows)))
        return false;
    *s = (Sequences){.axis = rows ? 1 : (int)draw(m, (unsigned)x->rank)};
    s->length = x->size[s->axis];
    s->part[s->count++] = *x;
    s->sources = x->name;
    const Value *y = pick(m, ANYTHING, s->axis + 1, 4);
    if (y && y != x && same_size(y->size[s->axis], s->length) && !(rows && !is_rows(y))) {
        s->part[s->count++] = *y;
        s->sources = say(m, "(%s, %s)", x->name, y->name);
    }
    for (int i = 0; i < s->count; i++) {
        drop_axis(&s->part[i], s->axis);
        snprintf(s->part[i].name, sizeof s->part[i].name, "s%d", m->program->names++);
        s->names = say(m, "%s%s%s", i ? s->names : "", i ? ", " : "", s->part[i].name);
    }
    return true;
}

/* Values of the body to be yielded; they go on in *yielded with the axis of time. Gives "(a,
 * b)". */
static const char *yields(Maker *m, int count, bool rows, int axis, Size length, Value *yielded,
                          int *made)
{
    const char *text = "";
    *made = 0;
    for (int i = 0; i < count; i++) {
        const Value *v = pick(m, ANYTHING, axis, MOST_AXES - 1);
        if (!v || (rows && !is_rows(v)))
            continue;
        text = say(m, "%s%s%s", text, *made ? ", " : "", v->name);
        yielded[*made] = *v;
        put_axis(&yielded[(*made)++], axis, length);
    }
    return *made > 1 ? say(m, "(%s)", text) : text;
}

/* Names for the results: "ys, (a, b)" in the order of (yields, last values). */
static const char *results(Maker *m, Value *yielded, int yield_count, Value *carry, int carry_count)
{
    const char *both[2] = {"", ""};
    for (int side = 0; side < 2; side++) {
        Value *values = side ? carry : yielded;
        int count = side ? carry_count : yield_count;
        for (int i = 0; i < count; i++) {
            snprintf(values[i].name, sizeof values[i].name, "v%d", m->program->names++);
            both[side] = say(m, "%s%s%s", both[side], i ? ", " : "", values[i].name);
        }
        if (count > 1 && yield_count && carry_count)
            both[side] = say(m, "(%s)", both[side]);
    }
    return !yield_count ? both[1] : !carry_count ? both[0] : say(m, "%s, %s", both[0], both[1]);
}

/* The text before the loop is written last, as it names what the body yields. */
static void finish_loop(Maker *m, StrBuf *before, const char *head, Value *yielded, int yield_count,
                        Value *carry, int carry_count)
{
    StrBuf inner = m->body;
    m->body = *before;
    line(m, "let %s = %s {", results(m, yielded, yield_count, carry, carry_count), head);
    strbuf_add(&m->body, inner.text);
    line(m, "}");
    strbuf_free(&inner);
    for (int i = 0; i < yield_count; i++)
        declare(m, &yielded[i], yielded[i].name);
    for (int i = 0; i < carry_count; i++)
        declare(m, &carry[i], carry[i].name);
}

static bool scan(Maker *m)
{
    bool rows = m->rows && chance(m, 25), counts = !rows && chance(m, 15);
    Sequences s;
    Value carry[2], yielded[2];
    if (m->regions > 2 || !sequences(m, rows, &s) || (counts && s.length.rows))
        return false;
    const Value *lengths = rows ? pick(m, INTEGERS, 1, 1) : NULL;
    rows = lengths && is_rows(lengths);
    int carry_count = (int)draw(m, 3), yield_count = carry_count ? (int)draw(m, 3) : 1;
    const char *with = carries(m, carry_count, rows, carry), *extra = "";
    if (counts) {
        s = (Sequences){.count = 1, .length = s.length, .part = {{.type = T_I32, .bound = 9}}};
        snprintf(s.part[0].name, sizeof s.part[0].name, "s%d", m->program->names++);
        s.names = s.part[0].name;
        s.sources = say(m, "0..%s", axis_text(m, s.length));
    }
    if (s.axis || (!counts && chance(m, 20)))
        extra = say(m, " over axis=%d", s.axis);
    if (rows)
        extra = say(m, "%s lengths i32(%s) %% %d", extra, lengths->name, s.length.number + 1);
    extra = say(m, "%s%s%s", extra, chance(m, 30) ? " reverse" : "",
                chance(m, 25) ? " checkpoint" : "");
    StrBuf before = m->body;
    int outside = m->count;
    bool loop = m->loop;
    m->body = (StrBuf){0};
    m->loop = true;
    for (int i = 0; i < s.count; i++)
        declare(m, &s.part[i], s.part[i].name);
    for (int i = 0; i < carry_count; i++)
        declare(m, &carry[i], carry[i].name);
    body(m, (int)draw(m, 4));
    m->indent++;
    for (int i = 0; i < carry_count; i++)
        line(m, "%s = %s", carry[i].name, updated(m, &carry[i]));
    int made = 0;
    const char *values = yields(m, yield_count, rows, s.axis, s.length, yielded, &made);
    if (!made && !carry_count) { /* a scan gives something */
        made = 1;
        yielded[0] = s.part[0];
        values = s.part[0].name;
        put_axis(&yielded[0], s.axis, s.length);
    }
    if (made)
        line(m, "yield %s", values);
    m->indent--;
    m->loop = loop;
    m->count = outside;
    finish_loop(m, &before, say(m, "scan %s in %s%s%s", s.names, s.sources, extra, with), yielded,
                made, carry, carry_count);
    return true;
}

static bool repeat_while(Maker *m)
{
    Value carry[2] = {{.type = T_F32}}, count = {.type = T_I32, .bound = 6}, yielded[2];
    if (m->regions > 2 || m->example)
        return false;
    const char *with = carries(m, 1, false, carry), *go;
    bool floating = kind_of(carry) == FLOATS, bound = floating || chance(m, 60);
    snprintf(count.name, sizeof count.name, "n%d", m->program->names++);
    int turns = 1 + (int)draw(m, 5), yield_count = bound ? (int)draw(m, 2) : 0;
    go = say(m, "%s < %d", count.name, turns);
    if (floating && !has_nothing(carry))
        go = say(m, "%s and sum(abs(%s)) < %.2f", go, carry[0].name, 2.0 + draw(m, 60) / 10.0);
    StrBuf before = m->body;
    int outside = m->count;
    bool loop = m->loop;
    m->body = (StrBuf){0};
    m->loop = true;
    declare(m, &carry[0], carry[0].name);
    declare(m, &count, count.name);
    m->values[m->count - 1].used = true;
    if (bound)
        body(m, (int)draw(m, 3));
    m->indent++;
    line(m, "%s = %s", carry[0].name, updated(m, carry));
    line(m, "%s = %s + 1", count.name, count.name);
    int made = 0;
    int most = 2 + (int)draw(m, 4);
    const char *values = yields(m, yield_count, false, 0, (Size){0, most}, yielded, &made);
    if (made)
        line(m, "yield %s", values);
    m->indent--;
    m->loop = loop;
    m->count = outside;
    carry[1] = count;
    const char *limit = bound ? say(m, " bound %d", most) : "";
    finish_loop(m, &before, say(m, "while %s%s%s, %s = 0", go, limit, with, count.name), yielded,
                made, carry, 2);
    return true;
}

static const char *condition(Maker *m)
{
    const Value *c = pick(m, ANYTHING, 0, 3);
    if (!c)
        return "true";
    if (kind_of(c) == BOOLS)
        return c->rank ? say(m, "%s(%s)", chance(m, 50) ? "any" : "all", c->name) : c->name;
    return say(m, "sum(f32(%s)) > %.2f", c->name, draw_number(m));
}

static bool decide(Maker *m)
{
    const Value *found = pick(m, ANYTHING, 0, 4);
    if (m->regions > 2 || !found)
        return false;
    Value v = *found;
    const char *when = condition(m), *word = chance(m, 30) ? "cond" : "if";
    int outside = m->count;
    bool decision = m->decision, assigns = chance(m, 35);
    const char *name = say(m, "v%d", m->program->names++);
    if (strcmp(when, "true") == 0 || (v.type == T_U8))
        return false;
    if (assigns)
        line(m, "let %s = %s", name, v.name);
    line(m, assigns ? "%s%s %s {" : "let %s = %s %s {", assigns ? "" : name, word, when);
    snprintf(v.name, sizeof v.name, "%s", assigns ? name : found->name);
    m->decision = true;
    for (int side = 0; side < 2; side++) {
        body(m, (int)draw(m, 3));
        m->indent++;
        line(m, assigns ? "%s = %s" : "%s%s", assigns ? name : "", updated(m, &v));
        m->indent--;
        m->count = outside;
        if (!side)
            line(m, "} else {");
    }
    line(m, "}");
    m->decision = decision;
    v.bound = kind_of(&v) == FLOATS ? 1 : v.bound + 7;
    declare(m, &v, name);
    return true;
}

/* ---- functions and modules ---- */

/* A fn of one to three values of the scope, declared on the spot. Gives the call; *result is
 * what it makes. */
static const char *new_function(Maker *m, const char *part, int kinds, const Value *first,
                                Value *result, const char **name)
{
    bool module = part != NULL;
    Maker inner = {.program = m->program,
                   .indent = module ? 2 : 1,
                   .calls = m->calls + 1,
                   .decision = m->decision,
                   .loop = m->loop,
                   .example = m->example};
    StrBuf members = {0};
    const char *parameters = "", *arguments = "";
    int count = 1 + (int)draw(m, 3);
    *name = say(m, module ? "Part%d" : "g%d", m->program->names++);
    inner.members = module ? &members : NULL;
    for (int i = 0; i < count; i++) {
        const Value *v = i || !first ? pick(m, ANYTHING, 0, 4) : first;
        bool plain = v != NULL;
        for (int k = 0; plain && k < v->rank; k++)
            plain = !v->size[k].rows || (v->size[k].rows == 1 && !v->size[k].number);
        if (!plain)
            continue;
        inner.rows = has_rows(v) ? "N" : inner.rows;
        for (int k = 0; k < v->rank; k++)
            if (!v->size[k].rows && v->size[k].number > 0 && v->size[k].number < 10 &&
                chance(m, 50))
                inner.named |= 1u << v->size[k].number;
        declare(&inner, v, say(m, "a%d", inner.count));
        const char *separator = *parameters ? ", " : "";
        Value *kept = &inner.values[inner.count - 1];
        kept->bound = v->bound;
        inner.signature = true;
        parameters =
            say(m, "%s%s%s: %s", parameters, separator, kept->name, tensor_text(&inner, kept));
        inner.signature = false;
        arguments = say(m, "%s%s%s", arguments, separator, v->name);
    }
    const char *call = NULL;
    if (inner.count) {
        statements(&inner, 1 + (int)draw(m, 4));
        const Value *last = NULL;
        for (int i = 0; i < inner.count; i++)
            if ((kind_of(&inner.values[i]) & kinds) && !has_nothing(&inner.values[i]))
                last = &inner.values[i];
        if (last) {
            *result = *last;
            line(&inner, "%s", last->name);
            if (module)
                strbuf_printf(&m->program->declarations,
                              "module %s {\n%s    fn (%s) {\n%s    }\n}\n", *name,
                              members.text ? members.text : "", parameters, inner.body.text);
            else
                strbuf_printf(&m->program->declarations, "fn %s(%s) {\n%s}\n", *name, parameters,
                              inner.body.text);
            call = arguments;
            for (const char *at = inner.params; at && *at; at += strcspn(at, " ")) {
                at++;
                add_param(m, say(m, "%s.%.*s", part, (int)strcspn(at, " "), at));
            }
        }
    }
    strbuf_free(&members);
    strbuf_free(&inner.body);
    return call;
}

static bool call_function(Maker *m)
{
    Value v;
    const char *name,
        *call = m->calls > 1 ? NULL : new_function(m, NULL, ANYTHING, NULL, &v, &name);
    if (!call)
        return false;
    define(m, &v, say(m, "%s(%s)", name, call));
    if (chance(m, 20))
        define(m, &v, say(m, "%s(%s)", name, call));
    return true;
}

static bool call_module(Maker *m)
{
    Value v;
    const char *name,
        *part = say(m, "p%d", m->program->names++),
        *call =
            m->calls > 1 || !m->members ? NULL : new_function(m, part, ANYTHING, NULL, &v, &name);
    if (!call)
        return false;
    strbuf_printf(m->members, "    let %s = %s()\n", part, name);
    define(m, &v, say(m, "%s(%s)", part, call));
    return true;
}

/* ---- derivatives ---- */

static bool differentiate(Maker *m)
{
    const Value *x = pick(m, FLOATS, 0, 3);
    Value v, point;
    const char *name, *call = NULL;
    bool plain = x && m->calls < 2;
    for (int k = 0; plain && k < x->rank; k++)
        plain = !x->size[k].rows || (x->size[k].rows == 1 && !x->size[k].number);
    if (!plain)
        return false;
    point = *x;
    call = new_function(m, NULL, FLOATS, &point, &v, &name);
    if (!call)
        return false;
    const char *rest = strchr(call, ',') ? strchr(call, ',') : "";
    if (chance(m, 60)) {
        point.bound = 1;
        define(m, &point,
               say(m, "tanh(grad(fn (u) -> mean(%s(u%s)))(%s))", name, rest, point.name));
        return true;
    }
    int id = m->program->names;
    m->program->names += 2;
    line(m, "let v%d, v%d = jvp(fn (u) -> %s(u%s))(%s, 0.5 * %s)", id, id + 1, name, rest,
         point.name, point.name);
    declare(m, &v, say(m, "v%d", id));
    v.bound = 1;
    define(m, &v, say(m, "tanh(v%d)", id + 1));
    return true;
}

static bool own_gradient(Maker *m)
{
    const Value *x = pick(m, FLOATS, 0, 4);
    if (!x || m->decision)
        return false;
    Value v = *x;
    v.bound = 1;
    define(m, &v,
           say(m, "custom_vjp(fn (u) -> sin(u), fn (u, y, dy) -> dy * cos(u))(%s)", x->name));
    return true;
}

static bool stopped(Maker *m)
{
    const Value *x = m->program->gradient ? NULL : pick(m, FLOATS, 0, 4);
    return x && define(m, x, say(m, "stop(%s)", x->name));
}

/* ---- layers, random numbers, states ---- */

static bool layer(Maker *m)
{
    const Value *found = pick(m, FLOATS, 2, 4);
    if (!found || !m->members || m->loop || m->decision || found->size[found->rank - 1].rows ||
        found->type != T_F32)
        return false;
    Value v = *found;
    int n = v.size[v.rank - 1].number, way = (int)draw(m, 3), out = 1 + (int)draw(m, 4);
    const char *name = say(m, "l%d", m->program->names++);
    if (way == 2 && (v.rank != 2 || !is_rows(&v) || m->program->gradient))
        way = 1;
    if (way == 0)
        strbuf_printf(m->members, "    let %s = Linear(%d, %d)\n", name, n, out);
    else
        strbuf_printf(m->members, "    let %s = %s(%d)\n", name,
                      way == 2 ? "BatchNorm1d" : "LayerNorm", n);
    add_param(m, say(m, "%s.weight", name));
    add_param(m, say(m, "%s.bias", name));
    if (way == 0)
        v.size[v.rank - 1].number = out;
    v.bound = way == 0 ? v.bound * n : 4;
    define(m, &v, say(m, "%s(%s)", name, found->name));
    return true;
}

static bool random_numbers(Maker *m)
{
    static const char *const ways[] = {"rand_like(%s)", "randn_like(%s)", "dropout(%s, 0.25)"};
    const Value *x = m->program->gradient || m->example ? NULL : pick(m, FLOATS, 1, 3);
    unsigned k = draw(m, 3);
    if (!x)
        return false;
    Value v = *x;
    v.bound = v.bound * 2 + 5;
    return define(m, &v, say(m, ways[k], x->name));
}

static bool state(Maker *m)
{
    if (!m->members || m->program->gradient)
        return false;
    const Value *found = pick(m, FLOATS, 0, 3);
    if (!found || has_rows(found))
        return false;
    Value v = *found;
    const char *name = say(m, "q%d", m->program->names++);
    strbuf_printf(m->members, "    state %s: %s[%s] = %.2f\n", name, random_types[v.type].name,
                  plain_axes_text(m, &v), draw_number(m));
    line(m, "%s = 0.5 * %s + 0.5 * tanh(%s)", name, name, found->name);
    v.bound = 2;
    if (!m->loop && !m->decision)
        declare(m, &v, name);
    return true;
}

static bool tuple(Maker *m)
{
    const Value *x = pick(m, ANYTHING, 0, 4), *y = pick(m, ANYTHING, 0, 4);
    if (!x || !y)
        return false;
    const char *name = say(m, "t%d", m->program->names++);
    line(m, "let %s = (low=%s, rest=[%s, 1.5])", name, x->name, y->name);
    define(m, x, say(m, "%s.low", name));
    define(m, y, say(m, "%s.rest[0]", name));
    return true;
}

const Statement random_form_statements[] = {
    {10, scan},         {5, repeat_while}, {8, decide},         {25, random_index_statement},
    {5, call_function}, {4, call_module},  {4, differentiate},  {2, own_gradient},
    {1, stopped},       {4, layer},        {3, random_numbers}, {2, state},
    {1, tuple},         {0, NULL}};
