/* Where a wrong size came from: the operations behind a node are followed back to the convolution
 * or window that shrank an axis.
 *
 *   conv2 has pad=0, so 14x14 becomes 12x12      help: pad=1 keeps 14x14 */
#include "compiler/sema/internal.h"

static const Node *source_of(const Node *node)
{
    switch (node->op) {
    case OP_CONV:
    case OP_WINDOW_MAX:
    case OP_WINDOW_SUM:
        return node;
    default:
        return node->nsrc > 0 ? node->src[0] : NULL;
    }
}

static const char *area_text(Sema *s, const Type *type, int first, int count)
{
    const char *text = "";
    for (int i = 0; i < count; i++)
        text = arena_format(s->arena, "%s%s%s", text, i ? "x" : "",
                            dim_text(s, type->dims[first + i]));
    return text;
}

/* A convolution without padding of a window larger than 1 made its axes smaller. */
static bool shrinks(const Node *conv)
{
    for (int i = 0; i < conv->attr.conv.spatial; i++)
        if (dim_is(conv->attr.conv.pad_low[i], 0) && !dim_is(conv->src[1]->type.dims[i + 1], 1))
            return true;
    return false;
}

void hint_size(Sema *s, DiagItem *item, const Node *node, int axis, const Dim *wanted)
{
    (void)axis;
    const Node *at = node;
    for (int steps = 0; at && steps < 200 && at->op != OP_CONV; steps++)
        at = at->op == OP_WINDOW_MAX || at->op == OP_WINDOW_SUM || at->op == OP_SELECT
                 ? at->src[at->op == OP_SELECT ? 2 : 0]
                 : source_of(at);
    if (!at || at->op != OP_CONV || !shrinks(at))
        return;
    int spatial = at->attr.conv.spatial;
    const char *before = area_text(s, &at->src[0]->type, 2, spatial),
               *after = area_text(s, &at->type, 2, spatial);
    if (!sema_is_null_span(at->span))
        diag_note(item, at->span, "no padding here, so %s becomes %s", before, after);
    int64_t k;
    const Dim *kernel = at->src[1]->type.dims[1];
    if (dim_is_const(kernel, &k) && k % 2 == 1 && at->attr.conv.stride[0] == 1)
        diag_help(item, "pad=%lld keeps %s; or declare %s for the size that comes out",
                  (long long)(k / 2), before, dim_text(s, node->type.dims[axis]));
    (void)wanted;
}
