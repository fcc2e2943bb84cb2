/* Scope and frame of random programs: draws, texts, values by type, the network's ends, data and
 * training. Statements are in random_program_values.c, random_program_forms.c and
 * random_program_library.c. */
#include "tests/support/random_program.h"

#include "runtime/base/rng.h"
#include "tests/support/random_program_parts.h"

#include <stdio.h>
#include <string.h>

const ElementType random_types[TYPE_COUNT] = {
    [T_F32] = {"f32", FLOATS, 12},  [T_F64] = {"f64", FLOATS, 4},   [T_I32] = {"i32", INTEGERS, 4},
    [T_I64] = {"i64", INTEGERS, 3}, [T_U8] = {"u8", INTEGERS, 2},   [T_BOOL] = {"bool", BOOLS, 3},
    [T_F16] = {"f16", FLOATS, 2},   [T_BF16] = {"bf16", FLOATS, 2}, [T_I8] = {"i8", INTEGERS, 2}};

enum { LARGEST = 48, LARGEST_INTEGER = 1000 };

/* ---- draws ---- */

unsigned draw(Maker *m, unsigned n)
{
    uint64_t key[2] = {m->program->seed, m->program->draws++};
    return (unsigned)(rng_hash(key, sizeof key, 41) >> 20) % n;
}

bool chance(Maker *m, unsigned percent)
{
    return draw(m, 100) < percent;
}

/* Differences need all digits. */
static unsigned share_of(const Maker *m, int type, int kinds)
{
    bool half = type == T_F16 || type == T_BF16;
    bool wanted = (random_types[type].kind & kinds) && !(half && m->program->gradient);
    return wanted ? (unsigned)random_types[type].share : 0;
}

int draw_type(Maker *m, int kinds)
{
    unsigned total = 0;
    for (int i = 0; i < TYPE_COUNT; i++)
        total += share_of(m, i, kinds);
    unsigned at = draw(m, total);
    for (int i = 0;; i++) {
        unsigned share = share_of(m, i, kinds);
        if (at < share)
            return i;
        at -= share;
    }
}

double draw_number(Maker *m)
{
    double size = (1 + draw(m, 16)) / 8.0;
    return chance(m, 30) ? -size : size;
}

/* ---- texts ---- */

const char *say(Maker *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = arena_vformat(m->program->arena, format, args);
    va_end(args);
    return text;
}

const char *axis_text(Maker *m, Size size)
{
    if (!size.rows && (m->named >> size.number & 1) && (m->signature || chance(m, 50)))
        return say(m, "C%d", size.number);
    if (!size.rows)
        return say(m, "%d", size.number);
    const char *rows = size.rows == 1 ? m->rows : say(m, "%d*%s", size.rows, m->rows);
    return size.number ? say(m, "%s %c %d", rows, size.number < 0 ? '-' : '+',
                             size.number < 0 ? -size.number : size.number)
                       : rows;
}

const char *axes_text(Maker *m, const Value *v)
{
    const char *text = "";
    for (int i = 0; i < v->rank; i++)
        text = say(m, "%s%s%s", text, i ? ", " : "", axis_text(m, v->size[i]));
    return text;
}

const char *plain_axes_text(Maker *m, const Value *v)
{
    const char *text = "";
    for (int i = 0; i < v->rank; i++)
        text = say(m, "%s%s%d", text, i ? ", " : "", v->size[i].number);
    return text;
}

const char *tensor_text(Maker *m, const Value *v)
{
    return say(m, v->rank ? "%s[%s]" : "%s", random_types[v->type].name, axes_text(m, v));
}

const char *as(Maker *m, const Value *v, int type)
{
    return v->type == type ? v->name : say(m, "%s(%s)", random_types[type].name, v->name);
}

void line(Maker *m, const char *format, ...)
{
    va_list args;
    strbuf_printf(&m->body, "%*s", 4 * m->indent, "");
    va_start(args, format);
    strbuf_vprintf(&m->body, format, args);
    va_end(args);
    strbuf_add(&m->body, "\n");
}

/* ---- values ---- */

int kind_of(const Value *v)
{
    return random_types[v->type].kind;
}

bool has_rows(const Value *v)
{
    for (int i = 0; i < v->rank; i++)
        if (v->size[i].rows)
            return true;
    return false;
}

bool is_number(Size size, int number)
{
    return !size.rows && size.number == number;
}

bool same_size(Size a, Size b)
{
    return a.rows == b.rows && a.number == b.number;
}

bool same_shape(const Value *a, const Value *b)
{
    for (int i = 0; i < a->rank && a->rank == b->rank; i++)
        if (!same_size(a->size[i], b->size[i]))
            return false;
    return a->rank == b->rank;
}

bool has_nothing(const Value *v)
{
    for (int i = 0; i < v->rank; i++)
        if (is_number(v->size[i], 0))
            return true;
    return false;
}

double elements_bound(const Value *v)
{
    double count = 1;
    for (int i = 0; i < v->rank; i++)
        count *= v->size[i].rows * FEW_ROWS + v->size[i].number;
    return count;
}

/* Newer values are drawn more often, and those that nothing has used. */
static Value *drawn_of(Maker *m, Value *const *found, int count)
{
    if (!count)
        return NULL;
    unsigned a = draw(m, (unsigned)count), b = draw(m, (unsigned)count);
    Value *v = found[a > b ? a : b];
    if (v->used && chance(m, 50))
        v = found[draw(m, (unsigned)count)];
    v->used = true;
    return v;
}

Value *pick(Maker *m, int kinds, int low, int high)
{
    Value *found[MOST_VALUES];
    int count = 0;
    for (int i = 0; i < m->count; i++) {
        Value *v = &m->values[i];
        if ((kind_of(v) & kinds) && v->rank >= low && v->rank <= high && !has_nothing(v))
            found[count++] = v;
    }
    return drawn_of(m, found, count);
}

Value *pick_like(Maker *m, const Value *v, bool (*fits)(const Value *, const Value *))
{
    Value *found[MOST_VALUES];
    int count = 0;
    for (int i = 0; i < m->count; i++)
        if (kind_of(&m->values[i]) == FLOATS && fits(&m->values[i], v))
            found[count++] = &m->values[i];
    return drawn_of(m, found, count);
}

bool broadcast(const Value *a, const Value *b, Value *out)
{
    out->rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 1; i <= out->rank; i++) {
        Size one = {0, 1}, x = i <= a->rank ? a->size[a->rank - i] : one,
             y = i <= b->rank ? b->size[b->rank - i] : one;
        if (!same_size(x, y) && !is_number(x, 1) && !is_number(y, 1))
            return false;
        out->size[out->rank - i] = is_number(x, 1) ? y : x;
    }
    return true;
}

bool broadcasts_to(const Value *from, const Value *to)
{
    Value out = {.rank = 0};
    return broadcast(from, to, &out) && same_shape(&out, to);
}

void keep_bounded(Maker *m, Value *v, const char **expression)
{
    int kind = kind_of(v);
    if (kind == FLOATS && v->bound > LARGEST) {
        *expression = say(m, "tanh(%s)", *expression);
        v->bound = 1;
    } else if (kind == INTEGERS && v->type != T_U8 && v->type != T_I8 &&
               v->bound > LARGEST_INTEGER) {
        *expression = say(m, "(%s) %% 97", *expression);
        v->bound = 97;
    } else if (kind == BOOLS)
        v->bound = 1;
}

void declare(Maker *m, const Value *v, const char *name)
{
    if (m->count == MOST_VALUES)
        m->count--;
    Value *kept = &m->values[m->count++];
    *kept = *v;
    kept->used = false;
    snprintf(kept->name, sizeof kept->name, "%s", name);
}

Value *define(Maker *m, const Value *v, const char *expression)
{
    Value made = *v;
    keep_bounded(m, &made, &expression);
    const char *name = say(m, "v%d", m->program->names++);
    line(m, "let %s = %s", name, expression);
    declare(m, &made, name);
    return &m->values[m->count - 1];
}

void add_param(Maker *m, const char *path)
{
    m->params = say(m, "%s %s", m->params ? m->params : "", path);
}

Value *new_param(Maker *m, const Value *v)
{
    if (!m->members || has_rows(v) || kind_of(v) != FLOATS || m->loop || m->decision)
        return NULL;
    const char *name = say(m, "w%d", m->program->names++);
    strbuf_printf(m->members, "    param %s: %s[%s] = normal(0.0, %.2f)\n", name,
                  random_types[v->type].name, plain_axes_text(m, v), 0.2 + draw(m, 7) / 10.0);
    add_param(m, name);
    Value made = *v;
    made.bound = 3;
    declare(m, &made, name);
    m->values[m->count - 1].used = true;
    return &m->values[m->count - 1];
}

const char *toward(Maker *m, const Value *from, const Value *to)
{
    const char *type = random_types[to->type].name;
    if (broadcasts_to(from, to) || !from->rank)
        return as(m, from, to->type);
    switch (kind_of(to)) {
    case FLOATS:
        return say(m, "mean(%s(%s))", type, from->name);
    case INTEGERS:
        return say(m, "%s(sum(i64(%s)))", type, from->name);
    default:
        return say(m, "any(bool(%s))", from->name);
    }
}

const char *updated(Maker *m, const Value *to)
{
    const Value *from = pick(m, kind_of(to) == FLOATS ? FLOATS : ANYTHING, 0, MOST_AXES);
    const char *more = from ? toward(m, from, to) : to->name;
    if (kind_of(to) == BOOLS)
        return say(m, "xor(%s, %s)", to->name, more);
    if (kind_of(to) == INTEGERS)
        return say(m, "(%s + %s) %% 7", to->name, more);
    return say(m, "tanh(%.2f * %s + %s)", 0.3 + draw(m, 10) / 10.0, to->name, more);
}

static bool one_statement(Maker *m, const Statement *table)
{
    unsigned total = 0;
    for (const Statement *s = table; s->make; s++)
        total += (unsigned)s->share;
    unsigned at = draw(m, total);
    while (at >= (unsigned)table->share)
        at -= (unsigned)table++->share;
    return table->make(m);
}

void statements(Maker *m, int count)
{
    for (int tries = 20 * count; count > 0 && tries > 0 && m->count < MOST_VALUES - 8; tries--) {
        unsigned at = draw(m, 100);
        count -= one_statement(m, at < 46   ? random_value_statements
                                  : at < 80 ? random_form_statements
                                            : random_library_statements);
    }
}

/* ---- the program around it ---- */

/* What the network gives for every row: of everything that nothing has used, of the newest
 * values, and of all params. */
static const char *result_of(Maker *m)
{
    const char *text = "zeros(B)";
    for (int i = 0; i < m->count; i++) {
        const Value *v = &m->values[i];
        bool in_rows = v->rank && v->size[0].rows == 1 && !v->size[0].number;
        const char *how = has_nothing(v) ? "sum" : "mean", *axes = "";
        if (v->used && i < m->count - 2)
            continue;
        if (!in_rows) {
            text = say(m, "%s + %.2f * %s(f32(%s))", text, 0.1 + draw(m, 9) / 10.0, how, v->name);
            continue;
        }
        for (int k = 1; k < v->rank; k++)
            axes = say(m, "%s%s%d", axes, k > 1 ? ", " : "", k);
        text = v->rank == 1 ? say(m, "%s + f32(%s)", text, v->name)
                            : say(m, "%s + %s(f32(%s), axis=[%s])", text, how, v->name, axes);
    }
    for (const char *at = m->params; at && *at;) {
        size_t n = strcspn(at, " ");
        if (n)
            text = say(m, "%s + 0.01 * mean(f32(%.*s) ** 2.0)", text, (int)n, at);
        at += n + (at[n] == ' ');
    }
    return text;
}

typedef struct {
    Value columns[4];
    int count, rows;
} Columns;

static Columns columns_of(Maker *m)
{
    static const int sizes[] = {1, 1, 2, 3, 4, 5};
    Columns c = {.count = 2 + (int)draw(m, 3), .rows = 4 + (int)draw(m, 5)};
    for (int i = 0; i < c.count; i++) {
        Value *v = &c.columns[i];
        *v = (Value){.type = i ? draw_type(m, i == 1 ? INTEGERS : ANYTHING) : T_F32,
                     .rank = i ? (int)draw(m, 5) : 1 + (int)draw(m, 3)};
        for (int k = 0; k < v->rank; k++)
            v->size[k] = (Size){0, sizes[draw(m, 6)]};
        v->bound = kind_of(v) == INTEGERS ? 9 : 5;
        snprintf(v->name, sizeof v->name, "x%d", i);
    }
    return c;
}

static const char *source_of(Maker *m, const Value *v, int rows, int seed)
{
    const char *shape = say(m, v->rank ? "%d, %s" : "%d%s", rows, axes_text(m, v));
    switch (kind_of(v)) {
    case BOOLS:
        return say(m, "rand(%s, seed=%d) > 0.5", shape, seed);
    case INTEGERS:
        return say(m, "%s(randint(0, 9, %s, seed=%d))", random_types[v->type].name, shape, seed);
    default:
        return say(m, "%s(randn(%s, seed=%d))", random_types[v->type].name, shape, seed);
    }
}

/* fn map: the columns, and values of them made by a few statements, as new columns. */
static void map_of(Maker *m, Columns *c, StrBuf *out)
{
    Maker map = {.program = m->program, .indent = 2, .example = true, .calls = 9};
    const char *parameters = "", *types = "", *values = "";
    for (int i = 0; i < c->count; i++) {
        declare(&map, &c->columns[i], c->columns[i].name);
        parameters = say(m, "%s%s%s", parameters, i ? ", " : "", c->columns[i].name);
    }
    statements(&map, 1 + (int)draw(m, 3));
    for (int i = 0; i < c->count; i++) {
        const Value *v = &c->columns[i], *last = &map.values[map.count - 1];
        if (i == 2 && last->rank < MOST_AXES && !has_nothing(last))
            v = last;
        types = say(m, "%s%sm%d: %s", types, i ? ", " : "", i,
                    v->rank ? tensor_text(m, v) : say(m, "%s", random_types[v->type].name));
        values = say(m, "%s%s%s", values, i ? ", " : "", v->name);
        c->columns[i] = *v;
        snprintf(c->columns[i].name, sizeof c->columns[i].name, "m%d", i);
    }
    strbuf_printf(out, "    fn map(%s) -> (%s) {\n%s        (%s)\n    }\n", parameters, types,
                  map.body.text ? map.body.text : "", values);
    strbuf_free(&map.body);
}

static const char *fields_of(Maker *m, const Columns *c)
{
    const char *text = "";
    for (int i = 0; i < c->count; i++)
        text = say(m, "%s%s%s: %s", text, i ? ", " : "", c->columns[i].name,
                   tensor_text(m, &c->columns[i]));
    return text;
}

static void dataset_of(Maker *m, Columns *c, StrBuf *out)
{
    const char *sources = "";
    for (int i = 0; i < c->count; i++)
        sources = say(m, "%s%s%s=%s", sources, i ? ", " : "", c->columns[i].name,
                      source_of(m, &c->columns[i], c->rows, i + 1));
    strbuf_printf(out, "dataset rows {\n    source = arrays(%s)\n    fields = [%s]\n", sources,
                  fields_of(m, c));
    if (chance(m, 40))
        map_of(m, c, out);
    strbuf_add(out, "}\n");
}

static const char *const rules[] = {
    "sgd(lr=0.1)",
    "sgd(lr=0.05, momentum=0.9, nesterov=true)",
    "adam(lr=0.01)",
    "adamw(lr=cosine(0.01, warmup=1), weight_decay=0.1)",
    "rmsprop(lr=0.01)",
    "lion(lr=0.001)",
    "adamw(lr=0.01, groups=[group(max_rank=1, weight_decay=0.0)])",
    "adam(lr=0.01, groups=[group(\"w*\", lr=0.1), group(max_rank=0, sgd(0.1))])",
    "adagrad(lr=0.05)",
    "sgd(lr=0.1, groups=[group(\"*w?\", adam(0.02))])"};
enum { RULES = sizeof rules / sizeof *rules };

/* A few metrics of the network's value per row; what a metric of the program itself sees is
 * declared with it. */
static void metrics_of(Maker *m, const char *value, StrBuf *out)
{
    static const char *const metrics[] = {
        "mse(%s, 0.5 * %s)",         "mae(sin(%s), cos(%s))",
        "rmse(%s, tanh(%s))",        "accuracy(sigmoid(%s), i32(%s > 0.5))",
        "watched(%s, %s)",           "roc_auc(sigmoid(%s), i32(%s %% 1.0 > 0.5))",
        "confusion(sigmoid(%s), i32(%s > 0.25))"};
    strbuf_add(out, "    metrics   = [");
    for (unsigned i = 0, count = 1 + draw(m, 3); i < count; i++) {
        const char *text = metrics[draw(m, 7)], *first = strstr(text, "%s"),
                   *second = strstr(first + 2, "%s");
        strbuf_printf(out, "%s%.*s%s%.*s%s", i ? ", " : "", (int)(first - text), text, value,
                      (int)(second - first - 2), first + 2, value);
        for (const char *at = second + 2; *at; at++)
            if (at[0] != '%' || at[1] != '%')
                strbuf_printf(out, "%c", *at);
    }
    strbuf_add(out, "]\n");
}

/* A step written by hand: some updates of all params, then of one, by new values of the network. */
static void step_of(Maker *m, const Columns *c, const char *loss, StrBuf *out)
{
    const char *fields = "", *path = m->params + strspn(m->params, " ");
    for (int i = 0; i < c->count; i++)
        fields = say(m, "%s%s%s", fields, i ? ", " : "", c->columns[i].name);
    int n = (int)strcspn(path, " ");
    strbuf_printf(out, "    let model = Net()\n    let rule = %s\n    fn step(%s) {\n",
                  rules[draw(m, RULES - 4)], fields);
    const char *indent = "";
    unsigned turns = draw(m, 3);
    if (turns) {
        strbuf_printf(out, "        for i in 0..%u {\n", turns);
        indent = "    ";
    }
    strbuf_printf(out, "%s        minimize %s wrt model using rule\n%s", indent, loss,
                  turns ? "        }\n" : "");
    if (chance(m, 60))
        strbuf_printf(out, "        minimize mean(sin(%s)) wrt model.%.*s using %s\n", loss, n, path,
                      chance(m, 50) ? "rule" : "sgd(0.05)");
    strbuf_add(out, "    }\n");
}

static void train_of(Maker *m, const Columns *c, StrBuf *out)
{
    static const char *const settings[] = {"    clip_norm = 0.5\n", "    accumulate = 2\n",
                                           "    ema       = 0.9\n", "    shuffle   = false\n",
                                           "    clip_value = 0.1\n", "    precision = bf16\n",
                                           "    precision = f16\n", "    drop_last = true\n"};
    static const char *const losses[] = {"%s", "mean(%s)", "%s ** 2.0", "sum(tanh(%s))"};
    const char *values = "";
    for (int i = 0; i < c->count; i++)
        values = say(m, "%s%s%s", values, i ? ", " : "", c->columns[i].name);
    const char *value = say(m, "model(%s)", values);
    unsigned k = draw(m, 4);
    const char *loss = k == 0   ? value
                       : k == 1 ? say(m, losses[1], value)
                       : k == 2 ? say(m, losses[2], value)
                                : say(m, losses[3], value);
    strbuf_add(out, "train t on rows {\n");
    bool by_hand = !m->program->gradient && chance(m, 25);
    if (by_hand)
        step_of(m, c, loss, out);
    else
        strbuf_printf(out, "    model     = Net()\n    loss      = %s\n", loss);
    if (m->program->gradient) {
        strbuf_printf(out,
                      "    optimizer = sgd(lr=1.0)\n    batch     = %d\n    steps     = 1\n"
                      "    shuffle   = false\n}\n",
                      c->rows);
        return;
    }
    if (!by_hand)
        strbuf_printf(out, "    optimizer = %s\n", rules[draw(m, RULES)]);
    strbuf_printf(out, "    batch     = %u\n    epochs    = 1\n",
                  ((unsigned)c->rows + 2) / 3 + draw(m, 2));
    if (chance(m, 40))
        strbuf_add(out, settings[draw(m, sizeof settings / sizeof *settings)]);
    if (chance(m, 40))
        metrics_of(m, value, out);
    strbuf_add(out, "}\n");
}

/* module Net: its params are found while its fn is made. */
static void network_of(Maker *m, const Columns *c, int count)
{
    StrBuf members = {0};
    const char *parameters = "";
    m->members = &members;
    for (int i = 0; i < c->count; i++) {
        Value v = c->columns[i];
        v.rank = v.rank < MOST_AXES ? v.rank + 1 : v.rank;
        for (int k = 0; k + 1 < v.rank; k++)
            v.size[k + 1] = c->columns[i].size[k];
        v.size[0] = (Size){1, 0};
        snprintf(v.name, sizeof v.name, "x%d", i);
        declare(m, &v, v.name);
        parameters = say(m, "%s%s%s: %s", parameters, i ? ", " : "", v.name, tensor_text(m, &v));
    }
    Value weight = {.type = T_F32, .rank = 1, .size = {{0, 1 + (int)draw(m, 3)}}};
    new_param(m, &weight);
    m->values[m->count - 1].used = false;
    statements(m, count);
    line(m, "%s", result_of(m));
    strbuf_printf(&m->program->declarations, "module Net {\n%s    fn (%s) {\n%s    }\n}\n",
                  members.text, parameters, m->body.text);
    strbuf_free(&members);
}

static const char head[] =
    "from nn import (Linear, LayerNorm, BatchNorm1d, Embedding, EmbeddingBag, relu, sigmoid, gelu, softmax, "
    "log_softmax, softmin, logsumexp, normalize, glu, swiglu, geglu, reglu, dropout, sort, topk, median, "
    "cumprod, put_along_axis, roll, tril, triu, pad_reflect, pad_replicate, pad_circular)\n"
    "from optim import sgd, adam, adamw, rmsprop, lion, adagrad, cosine\n"
    "metric watched(x: f32[B], y: f32[B]) {\n"
    "    state n: i64 = 0\n"
    "    state seen: f64[2] = 0.0\n"
    "    fn update() {\n"
    "        n += B\n"
    "        seen += stack([sum(f64(x)), f64(y[0])])\n"
    "    }\n"
    "    fn result() -> f64 { sum(seen) / f64(n) }\n"
    "}\n";

char *random_program(Arena *arena, uint64_t seed, const RandomProgramOptions *options)
{
    Program program = {.arena = arena, .seed = seed, .names = 1, .gradient = options->gradient};
    Maker m = {.program = &program, .rows = "B", .indent = 2};
    StrBuf data = {0}, train = {0};
    Columns columns = columns_of(&m);
    dataset_of(&m, &columns, &data);
    network_of(&m, &columns, options->statements);
    train_of(&m, &columns, &train);
    char *text =
        arena_format(arena,
                     "%s%s%s%s", head, program.declarations.text, data.text, train.text);
    strbuf_free(&program.declarations);
    strbuf_free(&m.body);
    strbuf_free(&data);
    strbuf_free(&train);
    return text;
}
