/* Where a wrong size came from: the operations behind a node are followed back to the convolution
 * that shrank its axes, and what padding would have given is computed.
 *
 *   conv2 has no padding, so 14x14 becomes 12x12, and 6x6 after max_pool(2)
 *   help: Conv2d(32, 64, k=3, pad=1) keeps 14x14 and gives 64*7*7 = 3136 */
#include "compiler/sema/internal.h"

#include <string.h>

enum { HINT_STEPS = 200, HINT_WINDOWS = 16 };

/* What lies between a convolution and the node with the wrong size. */
typedef struct {
    const Node *conv;
    const Node *windows[HINT_WINDOWS]; /* the last first */
    int count;
} Path;

static bool is_window(const Node *node)
{
    return node->op == OP_WINDOW_MAX || node->op == OP_WINDOW_SUM;
}

static bool find_conv(const Node *node, Path *path)
{
    *path = (Path){0};
    for (int step = 0; node && step < HINT_STEPS; step++) {
        if (node->op == OP_CONV) {
            path->conv = node;
            return true;
        }
        if (is_window(node)) {
            if (path->count == HINT_WINDOWS)
                return false;
            path->windows[path->count++] = node;
        }
        node = node->nsrc == 0 ? NULL : node->src[node->op == OP_SELECT ? 2 : 0];
    }
    return false;
}

/* The param that is the weight of a convolution. */
static const Node *weight_of(const Node *conv)
{
    const Node *node = conv->src[1];
    for (int step = 0; step < HINT_STEPS && node->nsrc > 0; step++)
        node = node->src[0];
    return node->op == OP_PARAM ? node : NULL;
}

static bool shrinks(const Node *conv)
{
    for (int i = 0; i < conv->attr.conv.spatial; i++)
        if (dim_is(conv->attr.conv.pad_low[i], 0) && !dim_is(conv->src[1]->type.dims[i + 1], 1))
            return true;
    return false;
}

static const char *area_text(Sema *s, const Type *type, int first, int count)
{
    const char *text = "";
    for (int i = 0; i < count; i++)
        text = arena_format(s->arena, "%s%s%s", text, i ? "x" : "",
                            dim_text(s, type->dims[first + i]));
    return text;
}

/* The call of the module as written, from its name to the closing bracket; NULL: it sets pad
 * already. */
static const char *written_call(Sema *s, Span span)
{
    size_t length, end = span.begin;
    const char *text = source_text(s->map, span.file, &length);
    int depth = 0;
    while (end < length && text[end] != '\n') {
        depth += (text[end] == '(') - (text[end] == ')');
        end++;
        if (depth == 0 && text[end - 1] == ')')
            break;
    }
    if (end == span.begin || text[end - 1] != ')' || depth != 0)
        return NULL;
    char *call = arena_substring(s->arena, text + span.begin, end - 1 - span.begin);
    return strstr(call, "pad") ? NULL : call;
}

/* The product of channels and axes when the convolution keeps its axes: "64*7*7 = 3136". */
static const char *padded_product(Sema *s, const Path *path, int64_t *product)
{
    int spatial = path->conv->attr.conv.spatial;
    int64_t size[MAX_SPATIAL];
    const Type *out = &path->conv->type;
    if (!dim_is_const(out->dims[out->rank - 1], product))
        return NULL;
    const char *text = arena_format(s->arena, "%lld", (long long)*product);
    for (int i = 0; i < spatial; i++) {
        if (!dim_is_const(path->conv->src[0]->type.dims[2 + i], &size[i]))
            return NULL;
        for (int w = path->count - 1; w >= 0; w--) {
            const Attr *a = &path->windows[w]->attr;
            int axis = a->window.rank - spatial + i;
            int64_t low = 0, high = 0;
            dim_is_const(a->window.pad_low[axis], &low);
            dim_is_const(a->window.pad_high[axis], &high);
            int64_t reach = (a->window.size[axis] - 1) * a->window.dilate[axis] + 1;
            size[i] = (size[i] + low + high - reach) / a->window.stride[axis] + 1;
        }
        *product *= size[i];
        text = arena_format(s->arena, "%s*%lld", text, (long long)size[i]);
    }
    return arena_format(s->arena, "%s = %lld", text, (long long)*product);
}

static void help_padding(Sema *s, DiagItem *item, const Path *path, const char *before, Span call,
                         const char *gives)
{
    int64_t k;
    const Node *conv = path->conv;
    if (!dim_is_const(conv->src[1]->type.dims[1], &k) || k % 2 == 0 ||
        conv->attr.conv.stride[0] != 1)
        return;
    const char *written = sema_is_null_span(call) ? NULL : written_call(s, call);
    const char *fixed = written
                            ? arena_format(s->arena, "%s, pad=%lld)", written, (long long)(k / 2))
                            : arena_format(s->arena, "pad=%lld", (long long)(k / 2));
    diag_help(item, "%s keeps %s and gives %s", fixed, before, gives);
}

void hint_size(Sema *s, DiagItem *item, const Node *node, const Dim *wanted)
{
    Path path;
    int64_t product;
    if (!find_conv(node, &path) || !shrinks(path.conv))
        return;
    const char *gives = padded_product(s, &path, &product);
    if (!gives || !dim_is(wanted, product))
        return; /* padding is not what is missing */
    const Node *conv = path.conv, *weight = weight_of(conv);
    int spatial = conv->attr.conv.spatial;
    const char *before = area_text(s, &conv->src[0]->type, 2, spatial);
    const char *text = arena_format(s->arena, "no padding, so %s becomes %s", before,
                                    area_text(s, &conv->type, 2, spatial));
    Span place = conv->span, call = {0, 0, 0};
    if (weight && !sema_in_std(s, weight->span)) {
        const char *dot = strrchr(weight->attr.leaf.name, '.');
        place = call = weight->span;
        if (dot)
            text = arena_format(s->arena, "%.*s has %s", (int)(dot - weight->attr.leaf.name),
                                weight->attr.leaf.name, text);
    }
    if (path.count > 0) {
        const Type *last = &path.windows[0]->type;
        text = arena_format(s->arena, "%s, and %s after pooling", text,
                            area_text(s, last, last->rank - spatial, spatial));
    }
    if (!sema_is_null_span(place))
        diag_note(item, place, "%s", text);
    help_padding(s, item, &path, before, call, gives);
}
