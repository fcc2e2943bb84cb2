/* Values as text, as constants and as nodes. Constants (literals, sizes, arguments of modules) have
 * no element type of their own: they take the one they meet, and a number that does not fit is an
 * error at that place. */
#include "compiler/sema/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const Value value_poison = {.kind = VALUE_POISON};
const Value value_none = {.kind = VALUE_NONE};

Value value_tensor(Node *node, Span span)
{
    if (!node)
        return value_poison;
    return (Value){.kind = VALUE_TENSOR, .span = span, .as.node = node};
}

Value value_int(const Dim *dim, Span span)
{
    return (Value){.kind = VALUE_INT, .span = span, .as.dim = dim};
}

Value value_number(Sema *s, int64_t number, Span span)
{
    return value_int(dim_const(s->dims, number), span);
}

Value value_float(double real, Span span)
{
    return (Value){.kind = VALUE_FLOAT, .span = span, .as.real = real};
}

Value value_bool(bool boolean, Span span)
{
    return (Value){.kind = VALUE_BOOL, .span = span, .as.boolean = boolean};
}

Value value_string(const char *text, uint32_t length, Span span)
{
    return (Value){.kind = VALUE_STRING, .span = span, .as.string = {text, length}};
}

Value value_list(Sema *s, ValueKind kind, uint32_t count, Span span)
{
    ValueList *list = ARENA_NEW(s->arena, ValueList);
    list->items = ARENA_ARRAY(s->arena, Value, count ? count : 1);
    list->count = count;
    return (Value){.kind = kind, .span = span, .as.list = list};
}

bool value_is_constant(const Value *v)
{
    return v->kind == VALUE_INT || v->kind == VALUE_FLOAT || v->kind == VALUE_BOOL;
}

bool value_int64(const Value *v, int64_t *out)
{
    return v->kind == VALUE_INT && dim_is_const(v->as.dim, out);
}

bool value_real(const Value *v, double *out)
{
    int64_t number;
    if (v->kind == VALUE_FLOAT)
        *out = v->as.real;
    else if (value_int64(v, &number))
        *out = (double)number;
    else
        return false;
    return true;
}

/* ---- Text ---- */

static const char *take_text(Sema *s, StrBuf *buffer)
{
    const char *text = arena_string(s->arena, buffer->text ? buffer->text : "");
    strbuf_free(buffer);
    return text;
}

const char *type_text(Sema *s, const Type *type)
{
    StrBuf out = {0};
    type_print(s->dims, type, &out);
    return take_text(s, &out);
}

const char *dim_text(Sema *s, const Dim *dim)
{
    StrBuf out = {0};
    dim_print(s->dims, dim, &out);
    return take_text(s, &out);
}

static const char *kind_words(ValueKind kind)
{
    static const char *const words[] = {
#define ROW(e, text) text,
        VALUE_TABLE(ROW)
#undef ROW
    };
    return words[kind];
}

/* 3.0 and not 3, which is an integer. */
static void add_real(StrBuf *out, double real)
{
    char text[40];
    snprintf(text, sizeof text, "%.9g", real);
    bool whole = strspn(text, "-0123456789") == strlen(text);
    strbuf_printf(out, "%s%s", text, whole ? ".0" : "");
}

const char *value_text(Sema *s, const Value *v)
{
    StrBuf out = {0};
    switch (v->kind) {
    case VALUE_TENSOR:
        type_print(s->dims, &v->as.node->type, &out);
        break;
    case VALUE_INT:
        strbuf_add(&out, dim_is_const(v->as.dim, NULL) ? "the integer " : "the size ");
        dim_print(s->dims, v->as.dim, &out);
        break;
    case VALUE_FLOAT:
        strbuf_add(&out, "the number ");
        add_real(&out, v->as.real);
        break;
    case VALUE_BOOL:
        strbuf_add(&out, v->as.boolean ? "true" : "false");
        break;
    case VALUE_STRING:
        strbuf_printf(&out, "the string \"%.40s\"", v->as.string.text);
        break;
    case VALUE_TUPLE:
        strbuf_printf(&out, "a tuple of %u", v->as.list->count);
        break;
    case VALUE_ARRAY:
        strbuf_printf(&out, "an array of %u", v->as.list->count);
        break;
    case VALUE_FN:
        strbuf_printf(&out, "the function %s", v->as.closure->name ? v->as.closure->name : "");
        break;
    case VALUE_BUILTIN:
        strbuf_printf(&out, "the function %s", v->as.builtin->name);
        break;
    case VALUE_MODULE:
        strbuf_printf(&out, "the module %s (not an instance of it)", v->as.decl->item->name.text);
        break;
    case VALUE_INSTANCE:
        strbuf_printf(&out, "an instance of %s", v->as.instance->decl->item->name.text);
        break;
    default:
        strbuf_add(&out, kind_words(v->kind));
    }
    return take_text(s, &out);
}

static bool lists_equal(const ValueList *a, const ValueList *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!value_equal(&a->items[i], &b->items[i]))
            return false;
    return true;
}

bool value_equal(const Value *a, const Value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VALUE_NONE:
        return true;
    case VALUE_FLOAT:
        return a->as.real == b->as.real;
    case VALUE_BOOL:
        return a->as.boolean == b->as.boolean;
    case VALUE_DTYPE:
        return a->as.dtype == b->as.dtype;
    case VALUE_STRING:
        return a->as.string.length == b->as.string.length &&
               memcmp(a->as.string.text, b->as.string.text, a->as.string.length) == 0;
    case VALUE_TUPLE:
    case VALUE_ARRAY:
        return lists_equal(a->as.list, b->as.list);
    case VALUE_RANGE:
        return a->as.range.low == b->as.range.low && a->as.range.high == b->as.range.high;
    default:
        return a->as.node == b->as.node; /* one pointer of the union */
    }
}

/* ---- Constants as nodes ---- */

DType sema_float(const Sema *s)
{
    return s->options.float64 ? DT_F64 : DT_F32;
}

bool sema_dtype(const Sema *s, const char *name, DType *dtype)
{
    if (!dtype_from_name(name, dtype))
        return false;
    if (*dtype == DT_F32)
        *dtype = sema_float(s);
    return true;
}

static bool integer_fits(DType dtype, int64_t number)
{
    return number >= dtype_least(dtype) && number <= dtype_largest(dtype);
}

static Node *constant_of_int(Sema *s, const Value *v, DType dtype, Span span)
{
    int64_t number;
    if (dtype == DT_BOOL) {
        sema_error(s, ERR_E0200, span, NULL, "a bool is needed, and this is %s", value_text(s, v));
        return NULL;
    }
    if (dim_is_const(v->as.dim, &number)) {
        if (!dtype_is_float(dtype) && !integer_fits(dtype, number)) {
            sema_error(s, ERR_E0205, span, NULL, "%lld does not fit into %s", (long long)number,
                       dtype_name(dtype));
            return NULL;
        }
        if (dtype_is_float(dtype))
            return build_scalar(s->elab->graph, dtype, dtype_round(dtype, (double)number));
    }
    return build_dim(s->elab->graph, v->as.dim, dtype);
}

Node *value_constant_node(Sema *s, const Value *v, DType dtype, Span span)
{
    Graph *graph = s->elab->graph;
    if (v->kind == VALUE_INT)
        return constant_of_int(s, v, dtype, span);
    if (v->kind == VALUE_BOOL) {
        if (dtype == DT_BOOL)
            return build_scalar(graph, DT_BOOL, v->as.boolean);
        sema_error(s, ERR_E0200, span, NULL, "%s is needed, and this is a bool", dtype_name(dtype));
        return NULL;
    }
    if (!dtype_is_float(dtype)) {
        DiagItem *item = sema_error(s, ERR_E0200, span, NULL, "%s is needed, and this is %s",
                                    dtype_name(dtype), value_text(s, v));
        diag_help(item,
                  "a number with a fraction does not turn into %s by itself: convert the other "
                  "side with f32(...)",
                  dtype_name(dtype));
        return NULL;
    }
    return build_scalar(graph, dtype, dtype_round(dtype, v->as.real));
}

Node *value_node(Sema *s, const Value *v, DType dtype, Span span)
{
    if (v->kind == VALUE_POISON)
        return NULL;
    if (v->kind == VALUE_TENSOR)
        return dtype == DT_COUNT ? v->as.node : weak_to(s, v, dtype);
    if (!value_is_constant(v)) {
        sema_error(s, ERR_E0200, span, NULL, "a tensor is needed, and this is %s",
                   value_text(s, v));
        return NULL;
    }
    if (dtype == DT_COUNT)
        dtype = v->kind == VALUE_BOOL ? DT_BOOL : v->kind == VALUE_INT ? DT_I32 : sema_float(s);
    return value_constant_node(s, v, dtype, span);
}

Value sema_node_value(Sema *s, Node *node, Span span)
{
    Graph *graph = s->elab->graph;
    if (!node) {
        if (graph->error)
            sema_error(s, ERR_E0312, span, NULL, "%s", graph->error);
        graph->error = NULL;
    }
    for (int i = 0; node && i < node->type.rank; i++) {
        const Dim *size = node->type.dims[i];
        if (!dim_is_const(size, NULL))
            elab_check_size(s, size, span,
                            arena_format(s->arena, "the size %s must be at least 0", dim_text(s, size)));
    }
    return value_tensor(node, span);
}

/* ---- What an argument has to be ---- */

static bool not_wanted(Sema *s, const Value *v, Span span, const char *what, const char *wanted)
{
    bool open = v->kind == VALUE_INT && !dim_is_const(v->as.dim, NULL);
    if (v->kind == VALUE_POISON || (open && s->elab->generic))
        return false;
    if (v->kind == VALUE_TENSOR || open)
        sema_error(s, ERR_E0203, span, NULL,
                   "%s must be %s that is known when the program is compiled, and this is %s", what,
                   wanted, value_text(s, v));
    else
        sema_error(s, ERR_E0200, span, NULL, "%s must be %s, and this is %s", what, wanted,
                   value_text(s, v));
    return false;
}

bool want_int(Sema *s, const Value *v, Span span, const char *what, int64_t *out)
{
    return value_int64(v, out) || not_wanted(s, v, span, what, "an integer");
}

bool want_dim(Sema *s, const Value *v, Span span, const char *what, const Dim **out)
{
    if (v->kind != VALUE_INT)
        return not_wanted(s, v, span, what, "an integer");
    *out = v->as.dim;
    return true;
}

bool want_real(Sema *s, const Value *v, Span span, const char *what, double *out)
{
    return value_real(v, out) || not_wanted(s, v, span, what, "a number");
}

bool want_bool(Sema *s, const Value *v, Span span, const char *what, bool *out)
{
    if (v->kind != VALUE_BOOL)
        return not_wanted(s, v, span, what, "true or false");
    *out = v->as.boolean;
    return true;
}

bool want_string(Sema *s, const Value *v, Span span, const char *what, const char **out)
{
    if (v->kind != VALUE_STRING)
        return not_wanted(s, v, span, what, "a string");
    *out = v->as.string.text;
    return true;
}

bool want_tensor(Sema *s, const Value *v, Span span, const char *what, Node **out)
{
    if (v->kind == VALUE_TENSOR) {
        *out = v->as.node;
        return true;
    }
    if (v->kind == VALUE_POISON)
        return false;
    if (value_is_constant(v)) {
        *out = value_node(s, v, DT_COUNT, span);
        return *out != NULL;
    }
    sema_error(s, ERR_E0200, span, NULL, "%s must be a tensor, and this is %s", what,
               value_text(s, v));
    return false;
}

bool want_axis(Sema *s, const Value *v, Span span, int rank, int *out)
{
    int64_t axis;
    if (!want_int(s, v, span, "an axis", &axis))
        return false;
    if (axis < -rank || axis >= rank) {
        if (rank == 0)
            sema_error(s, ERR_E0304, span, NULL, "axis %lld of a tensor that has none",
                       (long long)axis);
        else
            sema_error(s, ERR_E0304, span, NULL, "axis %lld of a tensor with the axes 0 to %d",
                       (long long)axis, rank - 1);
        return false;
    }
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}
