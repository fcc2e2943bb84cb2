/* Sample blocks: what a trained model makes, to be looked at.
 *
 *   sample {
 *       every  = 500                                           steps; nnc sample does it at any time
 *       images = grid(G(randn(64, 100)), rows=8)               f32[C, H, W], 0 is black and 1 is white
 *       text   = generate(model, prompt, length, temperature)  i32[..]: tokens of the dataset
 *   }
 *
 * In: the block. Out: one graph with an OUTPUT per key. A text may read the names of
 * sample_inputs, which become INPUT leaves. */
#include "compiler/sema/internal.h"

#include <string.h>

static const struct {
    const char *name, *leaf;
    DType dtype;
} sample_inputs[] = {{"prompt", SAMPLE_PROMPT, DT_I32},
                     {"length", SAMPLE_LENGTH, DT_I32},
                     {"temperature", SAMPLE_TEMPERATURE, DT_F32},
                     {"top_k", SAMPLE_TOP_K, DT_I32},
                     {"top_p", SAMPLE_TOP_P, DT_F32}};

enum { INPUTS = sizeof sample_inputs / sizeof *sample_inputs };

static void declare_inputs(Sema *s, Scope *scope, int64_t context, Span span)
{
    for (int i = 0; i < INPUTS; i++) {
        Type type = {.dtype = sample_inputs[i].dtype};
        if (i == 0) {
            type.rank = 1;
            type.dims[0] = dim_const(s->dims, context);
        }
        if (type.dtype == DT_F32)
            type.dtype = sema_float(s);
        Node *leaf = build_leaf(s->elab->graph, OP_INPUT, sample_inputs[i].leaf, type);
        scope_put(s, scope, sample_inputs[i].name, span, BIND_MEMBER, value_tensor(leaf, span));
    }
}

static bool image_fits(Sema *s, const Node *node, Span span)
{
    int64_t channels = 1;
    bool known = true;
    for (int axis = 0; axis < node->type.rank; axis++)
        known &= dim_is_const(node->type.dims[axis], NULL);
    if (node->type.rank == 3)
        dim_is_const(node->type.dims[0], &channels);
    if (known && dtype_is_float(node->type.dtype) &&
        (node->type.rank == 2 || node->type.rank == 3) && (channels == 1 || channels == 3))
        return true;
    DiagItem *item =
        sema_error(s, ERR_E0405, span, NULL,
                   "an image is a float [H, W], [1, H, W] or [3, H, W], and this is %s",
                   type_text(s, &node->type));
    if (node->type.rank == 4)
        diag_help(item, "grid(x, rows=8) puts several images into one");
    return false;
}

static bool text_fits(Sema *s, const TrainPlan *plan, const Node *node, Span span)
{
    if (node->type.dtype != DT_I32 || node->type.rank != 1 ||
        node->type.dims[0] != dim_const(s->dims, plan->sample.context)) {
        sema_error(s, ERR_E0405, span, NULL,
                   "a text is the tokens of its context, i32[%lld], and this is %s",
                   (long long)plan->sample.context, type_text(s, &node->type));
        return false;
    }
    if (plan->dataset && plan->dataset->source.kind == SOURCE_TEXT)
        return true;
    sema_error(s, ERR_E0405, span, NULL, "the dataset has no text, so tokens have no characters");
    return false;
}

static bool read_output(Sema *s, const Block *block, Scope *scope, const char *key, TrainPlan *plan)
{
    const AstExpr *expr = block_value(s, block, key, NULL);
    Node *node;
    if (!expr)
        return true;
    Value v = eval_in(s, scope, expr);
    if (!want_tensor(s, &v, expr->span, key, &node))
        return false;
    bool text = strcmp(key, "text") == 0;
    if (text ? !text_fits(s, plan, node, expr->span) : !image_fits(s, node, expr->span))
        return false;
    graph_root(s->elab->graph, ROOT_OUTPUT, key, node);
    plan->sample.has_text |= text;
    plan->sample.has_images |= !text;
    return true;
}

static bool read_context(Sema *s, const Block *block, Scope *scope, TrainPlan *plan)
{
    const DatasetPlan *data = plan->dataset;
    plan->sample.context = data && data->source.kind == SOURCE_TEXT ? data->source.text.window : 1;
    return block_int(s, block, scope, "every", 1, &plan->sample.every, NULL) &&
           block_int(s, block, scope, "context", 1, &plan->sample.context, NULL);
}

bool sample_graph(Sema *s, const Block *train, Scope *outer, TrainPlan *plan)
{
    static const char *const known[] = {"every", "context", "images", "text", NULL};
    Block block;
    if (!block_sub(s, train, "sample", &block))
        return true;
    Span span = block_member(train, "sample")->as.block.name.span;
    uint32_t errors = diag_error_count(s->diag);
    block.what = "sample";
    block_check(s, &block, known);
    block.what = "train.sample";
    if (!read_context(s, &block, outer, plan))
        return false;
    Scope *scope = scope_new(s, outer);
    if (block_value(s, &block, "text", NULL))
        declare_inputs(s, scope, plan->sample.context, span);
    bool ok = read_output(s, &block, scope, "images", plan);
    ok &= read_output(s, &block, scope, "text", plan);
    if (ok && errors == diag_error_count(s->diag) && !plan->sample.has_text &&
        !plan->sample.has_images) {
        sema_error(s, ERR_E0402, span, NULL, "a sample block needs images = ... or text = ...");
        ok = false;
    }
    plan->sample.graph = s->elab->graph;
    plan->sample.span = span;
    return ok;
}
