/* Index statements: every axis has an index with a name, and what is missing on the left is summed.
 *
 *   let s[b, t, u] = q[b, t, d] * k[b, u, d] / sqrt(C)      a dot over d, divided by a constant
 *   let y[b, t] = (x[b, t - 1 else 0.0] + x[b, t]) / 2.0    nothing is summed: element by element
 *   let p[b, t] = exp(z[b, t] - max(z[b, u]))               max goes over u, not on the left
 *
 * An index is a name on the left, or one that stands for no value here. Each term of a sum is
 * summed by itself, over the indices it has and the left has not. A term without such indices is
 * computed as it is written; the factors of the others are multiplied in the order that costs least
 * (indexed_dot.c). What an access x[...] may hold is in indexed_take.c. */
#include "compiler/sema/indexed.h"

#include <string.h>

/* ---- Finding the indices ---- */

static bool stands_for_a_value(Sema *s, const char *name, Span span)
{
    Binding *binding = scope_find(s->scope, name);
    if (!binding)
        return false;
    Value v = binding->kind == BIND_ITEM || binding->kind == BIND_IMPORT
                  ? value_none
                  : binding_value(s, binding, span);
    return v.kind == VALUE_INT || v.kind == VALUE_TENSOR || v.kind == VALUE_POISON;
}

static void add_index(Indexing *ix, const char *name, Span span)
{
    if (index_find(ix, name) >= 0)
        return;
    if (ix->count == MAX_INDICES) {
        sema_error(ix->s, ERR_E0408, span, NULL, "more than %d indices in one statement",
                   MAX_INDICES);
        ix->failed = true;
        return;
    }
    ix->index[ix->count++] = (Index){.name = name, .span = span};
}

static void collect(Indexing *ix, const AstExpr *expr, bool in_index);

static void collect_call(Indexing *ix, const AstExpr *expr, bool in_index)
{
    for (uint32_t i = 0; i < expr->as.call.arguments.count; i++)
        collect(ix, expr->as.call.arguments.data[i].value, in_index);
}

/* Names between brackets that stand for no value are indices. */
static void collect(Indexing *ix, const AstExpr *expr, bool in_index)
{
    switch (expr->kind) {
    case AST_EXPR_NAME:
        if (in_index && index_find(ix, expr->as.name) < 0 &&
            !stands_for_a_value(ix->s, expr->as.name, expr->span))
            add_index(ix, expr->as.name, expr->span);
        break;
    case AST_EXPR_INDEX:
        if (expr->as.index.base->kind == AST_EXPR_INDEX)
            collect(ix, expr->as.index.base, false);
        for (uint32_t i = 0; i < expr->as.index.items.count; i++)
            collect(ix, expr->as.index.items.data[i], true);
        break;
    case AST_EXPR_CALL:
        collect_call(ix, expr, false);
        break;
    case AST_EXPR_NEGATE:
    case AST_EXPR_NOT:
        collect(ix, expr->as.operand, in_index);
        break;
    case AST_EXPR_PADDED:
        collect(ix, expr->as.binary.left, in_index);
        break;
    case AST_EXPR_BINARY:
    case AST_EXPR_PIPE:
        collect(ix, expr->as.binary.left, in_index);
        collect(ix, expr->as.binary.right, in_index);
        break;
    default:
        break;
    }
}

/* ---- Sizes ---- */

typedef bool InferRule(Indexing *ix, const AstExpr *access);

static bool infer(Indexing *ix, const AstExpr *expr, InferRule *rule)
{
    bool progress = false;
    switch (expr->kind) {
    case AST_EXPR_INDEX:
        if (index_mentions(ix, expr))
            progress = rule(ix, expr);
        for (uint32_t i = 0; i < expr->as.index.items.count; i++)
            progress |= infer(ix, expr->as.index.items.data[i], rule);
        break;
    case AST_EXPR_CALL:
        for (uint32_t i = 0; i < expr->as.call.arguments.count; i++)
            progress |= infer(ix, expr->as.call.arguments.data[i].value, rule);
        break;
    case AST_EXPR_NEGATE:
    case AST_EXPR_NOT:
        return infer(ix, expr->as.operand, rule);
    case AST_EXPR_BINARY:
    case AST_EXPR_PIPE:
    case AST_EXPR_PADDED:
        progress = infer(ix, expr->as.binary.left, rule);
        return infer(ix, expr->as.binary.right, rule) || progress;
    default:
        break;
    }
    return progress;
}

static bool has_poison(const Indexing *ix)
{
    for (uint32_t i = 0; i < ix->known.count; i++)
        if (ix->known.data[i].value.kind == VALUE_POISON)
            return true;
    return false;
}

static bool find_sizes(Indexing *ix, const AstExpr *expr)
{
    int open = 0;
    infer(ix, expr, index_infer_plain);
    while (infer(ix, expr, index_infer_affine))
        infer(ix, expr, index_infer_plain);
    while (open < ix->count && ix->index[open].size)
        open++;
    if (open == ix->count)
        return true;
    uint32_t errors = diag_error_count(ix->s->diag);
    infer(ix, expr, index_check);
    if (has_poison(ix) || diag_error_count(ix->s->diag) > errors)
        return false;
    DiagItem *item = sema_error(ix->s, ERR_E0307, ix->index[open].span, NULL,
                                "no axis gives the index %s a size", ix->index[open].name);
    diag_help(item, "an index gets its size where it stands alone between the brackets: x[.., %s]",
              ix->index[open].name);
    return false;
}

/* ---- Parts: element by element ---- */

static Labelled part_of_value(Indexing *ix, Value v, const AstExpr *expr)
{
    Labelled out = {.value = v};
    if (v.kind == VALUE_TENSOR && v.as.node->type.rank > 0) {
        DiagItem *item =
            sema_error(ix->s, ERR_E0301, expr->span, NULL,
                       "%s without indices in an index statement", value_text(ix->s, &v));
        diag_help(item, "give every axis an index, as in x[i, j]");
        return labelled_poison;
    }
    return out;
}

static Labelled part_name(Indexing *ix, const AstExpr *expr)
{
    int index = index_find(ix, expr->as.name);
    Type type = {.dtype = DT_I32, .rank = 1, .dims = {ix->index[index].size}};
    Value v = value_tensor(build_iota(ix->s->elab->graph, type, 0), expr->span);
    return (Labelled){.value = v, .count = 1, .index = {index}};
}

static Labelled part_unary(Indexing *ix, const AstExpr *expr)
{
    Labelled out = index_part(ix, expr->as.operand);
    if (out.value.kind != VALUE_POISON)
        out.value = expr->kind == AST_EXPR_NOT ? eval_not(ix->s, &out.value, expr->span)
                                               : eval_negate(ix->s, &out.value, expr->span);
    return out;
}

static Labelled part_binary(Indexing *ix, const AstExpr *expr)
{
    if (expr->as.binary.op == AST_MATMUL) {
        sema_error(ix->s, ERR_E0403, expr->as.binary.op_span, NULL,
                   "@ has no indices: write the product with *, as in a[i, k] * b[k, j]");
        return labelled_poison;
    }
    Labelled a = index_part(ix, expr->as.binary.left), b = index_part(ix, expr->as.binary.right);
    a.value.span = a.value.kind == VALUE_TENSOR ? expr->as.binary.left->span : a.value.span;
    b.value.span = b.value.kind == VALUE_TENSOR ? expr->as.binary.right->span : b.value.span;
    return labelled_binary(ix, expr->as.binary.op, &a, &b, expr->span);
}

/* ---- Reductions: max(x[b, t]) goes over what the left has not ---- */

static bool reduction_of(const Value *callee, OpCode *op, bool *mean)
{
    static const struct {
        const char *name;
        OpCode op;
    } rows[] = {{"sum", OP_SUM},   {"mean", OP_SUM}, {"max", OP_AMAX}, {"min", OP_AMIN},
                {"prod", OP_PROD}, {"all", OP_ALL},  {"any", OP_ANY}};
    for (size_t i = 0; callee->kind == VALUE_BUILTIN && i < sizeof rows / sizeof *rows; i++) {
        *op = rows[i].op;
        *mean = strcmp(rows[i].name, "mean") == 0;
        if (strcmp(rows[i].name, callee->as.builtin->name) == 0)
            return true;
    }
    return false;
}

static Labelled sum_of(Indexing *ix, const AstExpr *expr);

static void collect_labels(const Indexing *ix, const AstExpr *expr, IndexSet *set)
{
    for (int i = 0; i < ix->count; i++) {
        Indexing one = {.s = ix->s, .count = 1, .index = {ix->index[i]}};
        if (index_mentions(&one, expr))
            *set |= (IndexSet)1 << i;
    }
}

static Labelled part_reduction(Indexing *ix, const AstExpr *argument, OpCode op, bool mean,
                               Span span)
{
    IndexSet set = 0;
    collect_labels(ix, argument, &set);
    if (!(set & ~ix->kept)) {
        sema_error(ix->s, ERR_E0304, span, NULL,
                   "every index in here is on the left, so there is nothing to go over");
        return labelled_poison;
    }
    if (op == OP_SUM && !mean)
        return sum_of(ix, argument);
    Labelled v = index_part(ix, argument);
    IndexSet over = labelled_set(&v) & ~ix->kept;
    Labelled out = labelled_reduce(ix, &v, op, over, span);
    const Dim *count = dim_const(ix->s->dims, 1);
    for (int i = 0; i < ix->count; i++)
        if (over >> i & 1 && count)
            count = dim_mul(ix->s->dims, count, ix->index[i].size);
    if (mean && out.value.kind == VALUE_TENSOR && count) {
        Value divisor = value_int(count, span);
        out.value = eval_binary(ix->s, AST_DIV, &out.value, &divisor, span);
    }
    return out;
}

/* ---- Functions, element by element ---- */

static Labelled call_result(Indexing *ix, Value v, const int *order, int count, Span span,
                            const char *name)
{
    Labelled out = {.value = v, .count = count};
    bool fits = v.kind == VALUE_TENSOR && v.as.node->type.rank == count;
    for (int i = 0; i < count; i++) {
        out.index[i] = order[i];
        fits = fits && v.as.node->type.dims[i] == ix->index[order[i]].size;
    }
    if (fits || v.kind == VALUE_POISON)
        return fits ? out : labelled_poison;
    DiagItem *item = sema_error(
        ix->s, ERR_E0312, span, NULL,
        "%s gives %s here, and in an index statement a function works element by element",
        name ? name : "the function", value_text(ix->s, &v));
    diag_help(item, "compute it before, with let, and index the result");
    return labelled_poison;
}

/* All arguments get the axes of all. */
static Labelled call_parts(Indexing *ix, const Value *callee, Args *args, Labelled *parts,
                           Span span, const char *name)
{
    int order[MAX_RANK], count;
    IndexSet set = 0;
    for (uint32_t i = 0; i < args->count; i++)
        set |= labelled_set(&parts[i]);
    if (!index_order(ix, set, order, &count, span))
        return labelled_poison;
    for (uint32_t i = 0; i < args->count; i++) {
        args->data[i].value = parts[i].value;
        if (parts[i].count > 0)
            args->data[i].value = value_tensor(labelled_spread(ix, &parts[i], order, count, true),
                                               args->data[i].span);
    }
    return call_result(ix, call_value(ix->s, callee, args, span, name), order, count, span, name);
}

static Labelled part_call(Indexing *ix, const AstExpr *call, const AstExpr *piped)
{
    Sema *s = ix->s;
    bool bare = call->kind != AST_EXPR_CALL;
    const AstExpr *head = bare ? call : call->as.call.callee;
    AstArguments written = bare ? (AstArguments){0} : call->as.call.arguments;
    const char *name = head->kind == AST_EXPR_NAME ? head->as.name : NULL;
    Value callee = eval_expr(s, head);
    OpCode op;
    bool mean;
    uint32_t count = written.count + (piped != NULL);
    if (callee.kind == VALUE_POISON)
        return labelled_poison;
    if (count == 1 && reduction_of(&callee, &op, &mean))
        return part_reduction(ix, piped ? piped : written.data[0].value, op, mean, call->span);
    Args args = {ARENA_ARRAY(s->arena, Arg, count + 1), 0};
    Labelled *parts = ARENA_ARRAY(s->arena, Labelled, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        const AstArgument *argument = piped && i == 0 ? NULL : &written.data[i - (piped != NULL)];
        const AstExpr *value = argument ? argument->value : piped;
        parts[i] = index_part(ix, value);
        if (parts[i].value.kind == VALUE_POISON)
            return labelled_poison;
        args.data[args.count++] =
            (Arg){argument ? argument->name.text : NULL,
                  argument ? argument->name.span : value->span, parts[i].value, value->span};
    }
    return call_parts(ix, &callee, &args, parts, call->span, name);
}

Labelled index_part(Indexing *ix, const AstExpr *expr)
{
    if (!sema_step(ix->s, expr->span))
        return labelled_poison;
    if (!index_mentions(ix, expr))
        return part_of_value(ix, index_known(ix, expr), expr);
    Span outer = ix->s->at;
    if (!sema_in_std(ix->s, expr->span))
        ix->s->elab->graph->span = ix->s->at = expr->span;
    Labelled out = labelled_poison;
    switch (expr->kind) {
    case AST_EXPR_NAME:
        out = part_name(ix, expr);
        break;
    case AST_EXPR_INDEX:
        out = index_take(ix, expr);
        break;
    case AST_EXPR_NEGATE:
    case AST_EXPR_NOT:
        out = part_unary(ix, expr);
        break;
    case AST_EXPR_BINARY:
        out = part_binary(ix, expr);
        break;
    case AST_EXPR_CALL:
        out = part_call(ix, expr, NULL);
        break;
    case AST_EXPR_PIPE:
        out = part_call(ix, expr->as.binary.right, expr->as.binary.left);
        break;
    default:
        sema_error(ix->s, ERR_E0403, expr->span, NULL,
                   "an index statement is made of tensors with indices, operators and functions, "
                   "and this is neither");
    }
    ix->s->elab->graph->span = ix->s->at = outer;
    return out;
}

/* ---- Terms ---- */

typedef struct {
    Value value;
    bool divides;
} Scale;

typedef struct {
    VEC(Labelled) factors;
    VEC(Labelled) divisors;
    VEC(Scale) scales; /* constants and scalars, in the order written */
    bool negative, poison;
} Term;

static void flatten(Indexing *ix, const AstExpr *expr, bool divides, Term *term)
{
    Arena *arena = ix->s->arena;
    bool product = expr->kind == AST_EXPR_BINARY && index_mentions(ix, expr) &&
                   (expr->as.binary.op == AST_MUL || expr->as.binary.op == AST_DIV);
    if (product) {
        flatten(ix, expr->as.binary.left, divides, term);
        flatten(ix, expr->as.binary.right, divides != (expr->as.binary.op == AST_DIV), term);
        return;
    }
    if (expr->kind == AST_EXPR_NEGATE && index_mentions(ix, expr)) {
        term->negative = !term->negative;
        flatten(ix, expr->as.operand, divides, term);
        return;
    }
    Labelled part = index_part(ix, expr);
    term->poison |= part.value.kind == VALUE_POISON;
    if (part.count == 0)
        vec_push(arena, &term->scales, ((Scale){part.value, divides}));
    else if (divides)
        vec_push(arena, &term->divisors, part);
    else
        vec_push(arena, &term->factors, part);
}

/* A divisor with an index that is summed goes into the first factor, the others divide the sum. */
static Labelled divide_first(Indexing *ix, Term *term, Span span)
{
    Labelled one = {.value = value_float(1, span)};
    if (term->factors.count == 0)
        vec_push(ix->s->arena, &term->factors, one);
    for (uint32_t i = 0; i < term->divisors.count; i++) {
        Labelled *divisor = &term->divisors.data[i];
        if (!(labelled_set(divisor) & ~ix->kept))
            continue;
        term->factors.data[0] = labelled_binary(ix, AST_DIV, &term->factors.data[0], divisor, span);
        if (term->factors.data[0].value.kind == VALUE_POISON)
            return labelled_poison;
        divisor->value = value_none;
    }
    for (uint32_t i = 1; i < term->factors.count; i++) { /* one element type */
        const Labelled *a = &term->factors.data[0], *b = &term->factors.data[i];
        if (a->value.as.node->type.dtype != b->value.as.node->type.dtype)
            return labelled_binary(ix, AST_MUL, a, b, span);
    }
    return labelled_product(ix, term->factors.data, (int)term->factors.count, ix->kept, span);
}

static Labelled term_of(Indexing *ix, const AstExpr *expr)
{
    IndexSet set = 0;
    Term term = {0};
    collect_labels(ix, expr, &set);
    if (!(set & ~ix->kept))
        return index_part(ix, expr);
    flatten(ix, expr, false, &term);
    if (term.poison)
        return labelled_poison;
    Labelled out = divide_first(ix, &term, expr->span);
    for (uint32_t i = 0; i < term.divisors.count; i++)
        if (term.divisors.data[i].value.kind == VALUE_TENSOR)
            out = labelled_binary(ix, AST_DIV, &out, &term.divisors.data[i], expr->span);
    for (uint32_t i = 0; i < term.scales.count; i++) {
        Labelled scale = {.value = term.scales.data[i].value};
        out = labelled_binary(ix, term.scales.data[i].divides ? AST_DIV : AST_MUL, &out, &scale,
                              expr->span);
    }
    if (term.negative && out.value.kind != VALUE_POISON)
        out.value = eval_negate(ix->s, &out.value, expr->span);
    return out;
}

/* A sum of terms, each over the indices that it has and the left has not. */
static Labelled sum_of(Indexing *ix, const AstExpr *expr)
{
    bool sum = expr->kind == AST_EXPR_BINARY &&
               (expr->as.binary.op == AST_ADD || expr->as.binary.op == AST_SUB);
    if (!sum || !index_mentions(ix, expr))
        return term_of(ix, expr);
    Labelled a = sum_of(ix, expr->as.binary.left), b = sum_of(ix, expr->as.binary.right);
    return labelled_binary(ix, expr->as.binary.op, &a, &b, expr->span);
}

/* ---- The statement ---- */

static bool left_side(Indexing *ix, const AstNames *indices)
{
    for (uint32_t i = 0; i < indices->count; i++) {
        AstName name = indices->data[i];
        int other = index_find(ix, name.text);
        if (other >= 0) {
            DiagItem *item = sema_error(ix->s, ERR_E0401, name.span, "again here",
                                        "the index %s stands twice on the left", name.text);
            diag_note(item, ix->index[other].span, "first here");
            return false;
        }
        add_index(ix, name.text, name.span);
    }
    if (ix->count > MAX_RANK) {
        sema_error(ix->s, ERR_E0301, indices->data[0].span, NULL,
                   "%d axes; a tensor has at most %d", ix->count, MAX_RANK);
        return false;
    }
    ix->kept = ((IndexSet)1 << ix->count) - 1;
    return !ix->failed;
}

static Value value_of_statement(Indexing *ix, const AstExpr *expr)
{
    int order[MAX_RANK], count = __builtin_popcount(ix->kept);
    collect(ix, expr, false);
    if (ix->failed || !find_sizes(ix, expr))
        return value_poison;
    Labelled sum = sum_of(ix, expr);
    if (sum.value.kind == VALUE_POISON)
        return value_poison;
    if (sum.count == 0) {
        Node *node = value_node(ix->s, &sum.value, DT_COUNT, expr->span);
        sum.value = value_tensor(node, expr->span);
    }
    for (int i = 0; i < count; i++)
        order[i] = i;
    if (sum.value.kind == VALUE_POISON)
        return value_poison;
    return sema_node_value(ix->s, labelled_spread(ix, &sum, order, count, true), expr->span);
}

void eval_indexed(Sema *s, const AstStmt *stmt)
{
    Indexing *ix = ARENA_NEW(s->arena, Indexing);
    *ix = (Indexing){.s = s};
    Value v = value_poison;
    if (left_side(ix, &stmt->as.indexed.indices))
        v = value_of_statement(ix, stmt->as.indexed.value);
    scope_declare(s, s->scope, stmt->as.indexed.name, BIND_LET, v);
}
