/* A picture of the model: boxes are the calls that a reader knows (std layers and functions, and own ones that call nothing),
 * arrows are the tensors between them. Boxes stand in layers: one below everything they need.
 *
 * The calls come from the analysis; an arrow's tail is found by walking back from an input node to the nearest node that some
 * box made, so plain arithmetic between two layers is an arrow, too. */
#include "compiler/driver/text.h"

#include <stdlib.h>
#include <string.h>

enum { BOX_WIDTH = 230, BOX_HEIGHT = 46, GAP_X = 40, GAP_Y = 44, MARGIN = 24, NOBODY = -2 };

typedef struct {
    const SemaCall *call; /* NULL: the input */
    int layer, column;
    VEC(int) from; /* boxes */
} Box;

typedef struct {
    Arena *arena;
    const SemaProgram *program;
    const TrainPlan *plan;
    VEC(Box) boxes;
    int *box_of_node; /* per node id of the forward graph: box that made it, 0: the input, or NOBODY */
    int layers;
} Picture;


static bool has_own_calls(const TrainPlan *plan, uint32_t index)
{
    for (uint32_t i = 0; i < plan->calls.count; i++)
        if (plan->calls.data[i].parent == (int32_t)index)
            return true;
    return false;
}

static bool inside_std(const TrainPlan *plan, const SemaCall *call)
{
    for (int32_t parent = call->parent; parent >= 0; parent = plan->calls.data[parent].parent)
        if (plan->calls.data[parent].in_std)
            return true;
    return false;
}

static bool is_box(const TrainPlan *plan, uint32_t index)
{
    const SemaCall *call = &plan->calls.data[index];
    return call->outputs.count > 0 && !inside_std(plan, call) && (call->in_std || !has_own_calls(plan, index));
}

static void add_edge(Picture *picture, Box *box, int from)
{
    for (uint32_t i = 0; i < box->from.count; i++)
        if (box->from.data[i] == from)
            return;
    vec_push(picture->arena, &box->from, from);
}

/* Every box, or the input, from which a value flows into the node without passing another box. */
static void find_producers(Picture *picture, const Node *node, uint8_t *seen, Box *box, int self)
{
    if (seen[node->id])
        return;
    seen[node->id] = 1;
    int maker = picture->box_of_node[node->id];
    if (maker != NOBODY && maker != self) {
        add_edge(picture, box, maker);
        return;
    }
    for (int i = 0; i < node->nsrc; i++)
        find_producers(picture, node->src[i], seen, box, self);
}

static void place_box(Picture *picture, int index)
{
    Box *box = &picture->boxes.data[index];
    for (uint32_t i = 0; i < box->from.count; i++) {
        int layer = picture->boxes.data[box->from.data[i]].layer + 1;
        box->layer = layer > box->layer ? layer : box->layer;
    }
    for (int i = 0; i < index; i++)
        if (picture->boxes.data[i].layer == box->layer)
            box->column++;
    picture->layers = box->layer + 1 > picture->layers ? box->layer + 1 : picture->layers;
}

static void add_box(Picture *picture, uint32_t call_index)
{
    const SemaCall *call = &picture->plan->calls.data[call_index];
    int self = (int)picture->boxes.count;
    Box box = {.call = call};
    uint8_t *seen = calloc(picture->plan->forward->nodes.count + 1, 1);
    for (uint32_t i = 0; seen && i < call->inputs.count; i++)
        find_producers(picture, call->inputs.data[i], seen, &box, self);
    free(seen);
    vec_push(picture->arena, &picture->boxes, box);
    for (uint32_t i = 0; i < call->outputs.count; i++) {
        int *maker = &picture->box_of_node[call->outputs.data[i]->id];
        if (*maker == NOBODY)
            *maker = self;
    }
    place_box(picture, self);
}

static void build_picture(Picture *picture, const SemaProgram *program, const TrainPlan *plan)
{
    uint32_t nodes = plan->forward->nodes.count;
    *picture = (Picture){.arena = arena_new(), .program = program, .plan = plan};
    picture->box_of_node = ARENA_ARRAY(picture->arena, int, nodes + 1);
    for (uint32_t i = 0; i < nodes; i++)
        picture->box_of_node[i] = plan->forward->nodes.data[i]->op == OP_INPUT ? 0 : NOBODY;
    vec_push(picture->arena, &picture->boxes, (Box){0});
    picture->layers = 1;
    for (uint32_t i = 0; i < plan->calls.count; i++)
        if (is_box(plan, i))
            add_box(picture, i);
}

static void box_title(const Picture *picture, const Box *box, StrBuf *out)
{
    const SemaCall *call = box->call;
    if (!call) {
        strbuf_add(out, "input");
        return;
    }
    strbuf_add(out, call->instance ? call->instance->path : call->name);
    if (call->instance)
        strbuf_printf(out, ": %s", call->instance->module);
    const char *detail = call->instance ? call->instance->detail : call->detail;
    if (detail && *detail)
        strbuf_printf(out, "(%s)", detail);
    (void)picture;
}

static void box_shape(const Picture *picture, const Box *box, StrBuf *out)
{
    if (box->call) {
        type_print(picture->program->dims, &box->call->outputs.data[0]->type, out);
        return;
    }
    for (uint32_t i = 0; i < picture->plan->forward->nodes.count; i++) {
        const Node *node = picture->plan->forward->nodes.data[i];
        if (node->op != OP_INPUT)
            continue;
        strbuf_printf(out, "%s%s: ", out->length ? ", " : "", node->attr.leaf.name);
        type_print(picture->program->dims, &node->type, out);
    }
}

static void add_escaped(StrBuf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<': strbuf_add(out, "&lt;"); break;
        case '>': strbuf_add(out, "&gt;"); break;
        case '&': strbuf_add(out, "&amp;"); break;
        case '"': strbuf_add(out, "&quot;"); break;
        default: strbuf_add_char(out, *text);
        }
    }
}

static int layer_size(const Picture *picture, int layer)
{
    int count = 0;
    for (uint32_t i = 0; i < picture->boxes.count; i++)
        count += picture->boxes.data[i].layer == layer;
    return count;
}

static int picture_width(const Picture *picture)
{
    int widest = 1;
    for (int layer = 0; layer < picture->layers; layer++)
        widest = layer_size(picture, layer) > widest ? layer_size(picture, layer) : widest;
    return 2 * MARGIN + widest * BOX_WIDTH + (widest - 1) * GAP_X + 80;
}

static int box_x(const Picture *picture, const Box *box)
{
    int count = layer_size(picture, box->layer);
    int row = count * BOX_WIDTH + (count - 1) * GAP_X;
    return (picture_width(picture) - row) / 2 + box->column * (BOX_WIDTH + GAP_X);
}

static int box_y(const Box *box)
{
    return MARGIN + box->layer * (BOX_HEIGHT + GAP_Y);
}

/* Straight to the next layer; around the boxes between, at their right, when layers are skipped. */
static void svg_edge(const Picture *picture, const Box *from, const Box *to, StrBuf *out)
{
    int x1 = box_x(picture, from) + BOX_WIDTH / 2, y1 = box_y(from) + BOX_HEIGHT;
    int x2 = box_x(picture, to) + BOX_WIDTH / 2, y2 = box_y(to) - 3;
    strbuf_printf(out, "<path d=\"M%d %d", x1, y1);
    if (to->layer - from->layer > 1) {
        int side = (x1 > x2 ? x1 : x2) + BOX_WIDTH / 2 + 30;
        strbuf_printf(out, " C%d %d %d %d %d %d", x1, y1 + 20, side, y1 + 4, side, y1 + 36);
        strbuf_printf(out, " L%d %d C%d %d %d %d %d %d", side, y2 - 36, side, y2 - 4, x2, y2 - 24, x2, y2);
    } else {
        strbuf_printf(out, " C%d %d %d %d %d %d", x1, y1 + 18, x2, y2 - 18, x2, y2);
    }
    strbuf_add(out, "\" class=\"edge\" marker-end=\"url(#arrow)\"/>\n");
}

static void svg_box(const Picture *picture, const Box *box, StrBuf *out)
{
    int x = box_x(picture, box), y = box_y(box);
    StrBuf title = {0}, shape = {0};
    box_title(picture, box, &title);
    box_shape(picture, box, &shape);
    bool trained = box->call && box->call->instance && box->call->instance->tensors.count > 0;
    strbuf_printf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" class=\"%s\"/>\n", x, y, BOX_WIDTH,
                  BOX_HEIGHT, !box->call ? "input" : trained ? "trained" : "plain");
    strbuf_printf(out, "<text x=\"%d\" y=\"%d\" class=\"title\">", x + BOX_WIDTH / 2, y + 19);
    if (title.length > 34)
        strcpy(title.text + 31, "...");
    add_escaped(out, title.text);
    strbuf_printf(out, "</text>\n<text x=\"%d\" y=\"%d\" class=\"shape\">", x + BOX_WIDTH / 2, y + 36);
    add_escaped(out, shape.text ? shape.text : "");
    strbuf_add(out, "</text>\n");
    strbuf_free(&title);
    strbuf_free(&shape);
}

static const char style[] =
    "<style>text{font-family:'DejaVu Sans',Helvetica,Arial,sans-serif;text-anchor:middle}"
    ".title{font-size:12px;font-weight:bold;fill:#1d2733}.shape{font-size:11px;fill:#4c5b6b}"
    ".input{fill:#eef1f4;stroke:#8795a3}.plain{fill:#fff;stroke:#8795a3}.trained{fill:#e2eefb;stroke:#2f6fb3}"
    ".edge{fill:none;stroke:#5b6b7b;stroke-width:1.3}</style>\n"
    "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"6\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" "
    "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#5b6b7b\"/></marker></defs>\n";

void picture_svg(const SemaProgram *program, const TrainPlan *plan, StrBuf *out)
{
    Picture picture;
    build_picture(&picture, program, plan);
    int width = picture_width(&picture), height = 2 * MARGIN + picture.layers * (BOX_HEIGHT + GAP_Y) - GAP_Y;
    strbuf_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n",
                  width, height, width, height);
    strbuf_add(out, style);
    strbuf_printf(out, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height);
    for (uint32_t i = 0; i < picture.boxes.count; i++) {
        const Box *box = &picture.boxes.data[i];
        for (uint32_t k = 0; k < box->from.count; k++)
            svg_edge(&picture, &picture.boxes.data[box->from.data[k]], box, out);
    }
    for (uint32_t i = 0; i < picture.boxes.count; i++)
        svg_box(&picture, &picture.boxes.data[i], out);
    strbuf_add(out, "</svg>\n");
    arena_free(picture.arena);
}

static void dot_label(const Picture *picture, const Box *box, StrBuf *out)
{
    StrBuf label = {0};
    box_title(picture, box, &label);
    strbuf_add_char(&label, '\n');
    box_shape(picture, box, &label);
    strbuf_add_json(out, label.text);
    strbuf_free(&label);
}

void picture_dot(const SemaProgram *program, const TrainPlan *plan, StrBuf *out)
{
    Picture picture;
    build_picture(&picture, program, plan);
    strbuf_add(out, "digraph ");
    strbuf_add_json(out, plan->name);
    strbuf_add(out, " {\n  node [shape=box, style=rounded, fontname=\"DejaVu Sans\", fontsize=10];\n");
    for (uint32_t i = 0; i < picture.boxes.count; i++) {
        strbuf_printf(out, "  n%u [label=", i);
        dot_label(&picture, &picture.boxes.data[i], out);
        strbuf_add(out, "];\n");
    }
    for (uint32_t i = 0; i < picture.boxes.count; i++)
        for (uint32_t k = 0; k < picture.boxes.data[i].from.count; k++)
            strbuf_printf(out, "  n%d -> n%u;\n", picture.boxes.data[i].from.data[k], i);
    strbuf_add(out, "}\n");
    arena_free(picture.arena);
}
