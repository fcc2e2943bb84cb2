/* What the files of random_program share: values with their types, the scope that holds them,
 * and tables of statements.
 *
 * A statement is a function that picks values of the scope, writes a line and defines what the
 * line makes; it gives false, and writes nothing, when the scope has nothing for it. */
#ifndef NNC_TESTS_RANDOM_PROGRAM_PARTS_H
#define NNC_TESTS_RANDOM_PROGRAM_PARTS_H
#include "runtime/base/arena.h"
#include "runtime/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum { MOST_AXES = 5, MOST_VALUES = 96, FEW_ROWS = 8 /* what B counts in bounds */ };
enum { FLOATS = 1, INTEGERS = 2, BOOLS = 4, NUMBERS = 3, ANYTHING = 7 }; /* kinds of types */
enum { T_F32, T_F64, T_I32, T_I64, T_U8, T_BOOL, T_F16, T_BF16, T_I8, TYPE_COUNT };

typedef struct {
    const char *name;
    int kind, share; /* how often it is drawn; 0: never */
} ElementType;
extern const ElementType random_types[TYPE_COUNT];

typedef struct {
    int rows, number; /* rows * B + number */
} Size;

typedef struct {
    char name[16];
    int type, rank;
    Size size[MOST_AXES];
    double bound; /* no element is larger */
    bool used;
} Value;

typedef struct {
    Arena *arena;
    uint64_t seed, draws;
    int names;
    bool gradient;
    StrBuf declarations; /* finished functions and modules */
} Program;

/* One fn while it is made. */
typedef struct {
    Program *program;
    StrBuf body;
    StrBuf *members;    /* of its module, where params go; NULL: it has none */
    const char *params; /* "w3 p4.w7": all of the module, which the loss has to depend on */
    const char *rows;   /* the name of B here; NULL: no argument has it */
    unsigned named;     /* bit c: size c has the name Cc here */
    bool signature;     /* what is named is written by its name */
    int indent, calls, regions;
    bool decision, loop; /* inside of one */
    bool example;        /* the map of a dataset */
    Value values[MOST_VALUES];
    int count;
} Maker;

typedef struct {
    int share;
    bool (*make)(Maker *m);
} Statement;

bool random_index_statement(Maker *m);
extern const Statement random_value_statements[], random_form_statements[],
    random_library_statements[]; /* the last has no function */

/* Draws */
unsigned draw(Maker *m, unsigned n); /* below n */
bool chance(Maker *m, unsigned percent);
int draw_type(Maker *m, int kinds);
double draw_number(Maker *m); /* of a few digits, between -2 and 2, not 0 */

/* Texts, in the arena of the program */
const char *say(Maker *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *axis_text(Maker *m, Size size);
const char *axes_text(Maker *m, const Value *v);       /* "B, 3" */
const char *plain_axes_text(Maker *m, const Value *v); /* without names: "2, 3" */
const char *tensor_text(Maker *m, const Value *v);     /* "f32[B, 3]" */
const char *as(Maker *m, const Value *v, int type);
void line(Maker *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Values */
int kind_of(const Value *v);
bool has_rows(const Value *v);
bool is_number(Size size, int number);
bool same_size(Size a, Size b);
bool same_shape(const Value *a, const Value *b);
bool has_nothing(const Value *v); /* an axis of size 0 */
double elements_bound(const Value *v);
Value *pick(Maker *m, int kinds, int low,
            int high); /* rank in low..high, without axes of size 0; NULL: none */
Value *pick_like(Maker *m, const Value *v,
                 bool (*fits)(const Value *, const Value *)); /* a float */
bool broadcast(const Value *a, const Value *b, Value *out);
bool broadcasts_to(const Value *from, const Value *to);
void put_axis(Value *v, int at, Size size);
void drop_axis(Value *v, int at);
Value *define(Maker *m, const Value *v, const char *expression);
void declare(Maker *m, const Value *v, const char *name);       /* in scope under this name */
void keep_bounded(Maker *m, Value *v, const char **expression); /* as define does it */
Value *new_param(Maker *m, const Value *v);                     /* NULL: the fn has no module */
void add_param(Maker *m, const char *path);
/* `from` as something that can be added to a value like `to`: converted, and its mean where
 * shapes do not fit. */
const char *toward(Maker *m, const Value *from, const Value *to);
/* An expression of exactly the type of `to` that depends on `to` and on what was made last. */
const char *updated(Maker *m, const Value *to);
void statements(Maker *m, int count);

#endif
