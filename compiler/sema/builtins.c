/* Built-in functions: the table of builtins.def, and the matching of arguments against a row's
 * parameters. */
#include "compiler/sema/builtins.h"

#include <string.h>

#define OP_NONE OP_COUNT

static const Builtin builtins[] = {
#define BUILTIN(name, parameters, function, op, doc)                                               \
    {#name, parameters, builtin_##function, OP_##op, doc},
#include "compiler/sema/builtins.def"
};

enum { BUILTIN_COUNT = sizeof builtins / sizeof *builtins, PARAM_MAX = 8 };

const Builtin *builtin_find(const char *name)
{
    for (uint32_t i = 0; i < BUILTIN_COUNT; i++)
        if (strcmp(builtins[i].name, name) == 0)
            return &builtins[i];
    return NULL;
}

void builtin_names(Sema *s, const char ***names, uint32_t *count)
{
    const char **all = ARENA_ARRAY(s->arena, const char *, BUILTIN_COUNT);
    for (uint32_t i = 0; i < BUILTIN_COUNT; i++)
        all[i] = builtins[i].name;
    *names = all;
    *count = BUILTIN_COUNT;
}

typedef struct {
    ParamName params[PARAM_MAX];
    uint32_t count;
    uint32_t star; /* parameters before the * one; count when there is none */
    bool has_star, has_named;
} Signature;

static Signature read_signature(Sema *s, const char *text)
{
    Signature out = {0};
    while (*text) {
        size_t length = strcspn(text, ",?");
        if (strncmp(text, "**", 2) == 0) {
            out.has_named = true;
        } else if (*text == '*') {
            out.has_star = true;
            out.star = out.count;
        } else {
            out.params[out.count++] =
                (ParamName){arena_substring(s->arena, text, length), text[length] == '?'};
        }
        text += length;
        text += strspn(text, ",? ");
    }
    if (!out.has_star)
        out.star = out.count;
    return out;
}

/* With a star, positional arguments beyond those before it go to `rest`. */
static Args take_rest(Sema *s, const Signature *signature, const Args *args, BuiltinCall *call)
{
    Args kept = {ARENA_ARRAY(s->arena, Arg, args->count + 1), 0};
    uint32_t position = 0;
    call->rest = ARENA_ARRAY(s->arena, Value, args->count + 1);
    for (uint32_t i = 0; i < args->count; i++) {
        if (args->data[i].name || position++ < signature->star) {
            kept.data[kept.count++] = args->data[i];
            continue;
        }
        if (call->rest_count == 0)
            call->rest_span = args->data[i].span;
        call->rest_span.end = args->data[i].span.end;
        call->rest[call->rest_count++] = args->data[i].value;
    }
    return kept;
}

static bool has_param(const Signature *signature, const char *name)
{
    for (uint32_t i = 0; i < signature->count; i++)
        if (strcmp(signature->params[i].name, name) == 0)
            return true;
    return false;
}

/* With two stars, arguments whose names no parameter has go to `named`. */
static Args take_named(Sema *s, const Signature *signature, const Args *args, BuiltinCall *call)
{
    Args kept = {ARENA_ARRAY(s->arena, Arg, args->count + 1), 0};
    call->named.data = ARENA_ARRAY(s->arena, Arg, args->count + 1);
    for (uint32_t i = 0; i < args->count; i++) {
        const Arg *arg = &args->data[i];
        if (arg->name && !has_param(signature, arg->name))
            call->named.data[call->named.count++] = *arg;
        else
            kept.data[kept.count++] = *arg;
    }
    return kept;
}

Value call_builtin(Sema *s, const Builtin *builtin, const Args *args, Span span)
{
    for (uint32_t i = 0; i < args->count; i++)
        if (args->data[i].value.kind == VALUE_POISON)
            return value_poison;
    BuiltinCall call = {.row = builtin, .span = span, .rest_span = span, .all = args};
    if (strcmp(builtin->parameters, "**") == 0)
        return builtin->function(s, &call);
    Signature signature = read_signature(s, builtin->parameters);
    Args kept = signature.has_star    ? take_rest(s, &signature, args, &call)
                : signature.has_named ? take_named(s, &signature, args, &call)
                                      : *args;
    int32_t slots[PARAM_MAX];
    if (!bind_arguments(s, builtin->name, span, signature.params, signature.count, &kept, slots,
                        (Span){0, 0, 0}))
        return value_poison;
    for (uint32_t i = 0; i < signature.count; i++) {
        if (slots[i] < 0 || kept.data[slots[i]].value.kind == VALUE_NONE)
            continue; /* none is as good as left out */
        call.arg[i] = kept.data[slots[i]].value;
        call.arg_span[i] = kept.data[slots[i]].span;
        call.given[i] = true;
    }
    for (uint32_t i = 0; i < signature.count; i++)
        if (!call.given[i] && !signature.params[i].optional) {
            sema_error(s, ERR_E0200, kept.data[slots[i]].span, NULL, "%s of %s is none",
                       signature.params[i].name, builtin->name);
            return value_poison;
        }
    s->elab->graph->error = NULL;
    return builtin->function(s, &call);
}

bool want_dims(Sema *s, const Value *values, uint32_t count, Span span, const Dim **dims, int *rank)
{
    if (count == 1 && (values->kind == VALUE_ARRAY || values->kind == VALUE_TUPLE))
        return want_dims(s, values->as.list->items, values->as.list->count, span, dims, rank);
    if (count > MAX_RANK) {
        sema_error(s, ERR_E0301, span, NULL, "%u axes; a tensor has at most %d", count, MAX_RANK);
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!want_dim(s, &values[i], span, "a size", &dims[i]))
            return false;
    *rank = (int)count;
    return true;
}

bool want_sizes(Sema *s, const Value *values, uint32_t count, Span span, const Dim **dims,
                int *rank)
{
    if (!want_dims(s, values, count, span, dims, rank))
        return false;
    const Dim *total = dim_product(s->dims, dims, *rank);
    int64_t number;
    for (int i = 0; i < *rank; i++)
        if (dim_is_const(dims[i], &number) && number < 0) {
            sema_error(s, ERR_E0205, span, NULL, "a size of %lld", (long long)number);
            return false;
        }
    if (!total || (dim_is_const(total, &number) && number > (int64_t)1 << 40)) {
        sema_error(s, ERR_E0205, span, NULL, "a tensor of so many elements is out of reach");
        return false;
    }
    return true;
}

bool want_axes(Sema *s, const Value *v, Span span, int rank, Axes *axes)
{
    bool seen[MAX_RANK] = {false};
    bool list = v->kind == VALUE_ARRAY || v->kind == VALUE_TUPLE;
    uint32_t count = list ? v->as.list->count : 1;
    for (uint32_t i = 0; i < count; i++) {
        int axis;
        if (!want_axis(s, list ? &v->as.list->items[i] : v, span, rank, &axis))
            return false;
        if (seen[axis]) {
            sema_error(s, ERR_E0304, span, NULL, "axis %d is named twice", axis);
            return false;
        }
        seen[axis] = true;
    }
    axes->count = 0;
    for (int i = 0; i < rank; i++)
        if (seen[i])
            axes->axis[axes->count++] = (uint8_t)i;
    return true;
}

bool want_dtype(Sema *s, const BuiltinCall *call, int index, DType fallback, DType *out)
{
    *out = fallback;
    if (!call->given[index])
        return true;
    const Value *v = &call->arg[index];
    if (v->kind == VALUE_DTYPE) {
        *out = v->as.dtype;
        return true;
    }
    if (v->kind == VALUE_BUILTIN && sema_dtype(s, v->as.builtin->name, out))
        return true;
    sema_error(s, ERR_E0200, call->arg_span[index], NULL,
               "dtype must be a type such as f32 or i64, and this is %s", value_text(s, v));
    return false;
}
