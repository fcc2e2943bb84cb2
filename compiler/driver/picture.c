/* A drawing of the model as SVG (no other file is needed to show it) and as dot. Shapes stand at
 * the edges: the one that a box makes below it, and the one that the next box takes above that,
 * where arithmetic in between has changed it. */
#include "compiler/driver/picture.h"
#include "compiler/driver/text.h"

#include <math.h>
#include <string.h>

static const char style[] =
    "<style>text{font-family:'DejaVu Sans',Verdana,Helvetica,Arial,sans-serif;text-anchor:middle}"
    ".title{font-size:13px;font-weight:bold;fill:#1d2733}.detail{font-size:11px;fill:#42505f}"
    ".shape{font-size:10.5px;fill:#6a7683;text-anchor:end;stroke:#fff;stroke-width:3px;paint-order:"
    "stroke}"
    ".box{stroke-width:1.2}.input,.output{fill:#eef1f4;stroke:#8795a3}.layer{fill:#f3f0fa;stroke:#"
    "7a68b0}"
    ".trained{fill:#e2eefb;stroke:#2f6fb3}.function{fill:#fff;stroke:#8795a3}.join{fill:#fdf3dc;"
    "stroke:#b08420}"
    ".edge{fill:none;stroke:#5b6b7b;stroke-width:1.3}</style>\n"
    "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
    "markerHeight=\"7\" "
    "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#5b6b7b\"/></marker></defs>\n";

static void add_escaped(StrBuf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            strbuf_add(out, "&lt;");
            break;
        case '>':
            strbuf_add(out, "&gt;");
            break;
        case '&':
            strbuf_add(out, "&amp;");
            break;
        case '"':
            strbuf_add(out, "&quot;");
            break;
        default:
            strbuf_add_char(out, *text);
        }
    }
}

/* ---- Sizes of boxes, from the widths of letters in the usual sans-serif faces ---- */

static void measure_boxes(Picture *picture)
{
    for (uint32_t i = 0; i < picture->boxes.count; i++) {
        PictureBox *box = &picture->boxes.data[i];
        double title = 8.6 * (double)strlen(box->title),
               detail = box->detail ? 6.8 * (double)strlen(box->detail) : 0;
        double wide = (title > detail ? title : detail) + 28,
               least = box->kind == BOX_JOIN ? 30 : 130;
        box->width = box->kind == BOX_JOIN && strlen(box->title) == 1 ? 30
                     : wide > least                                   ? wide
                                                                      : least;
        box->height = box->detail ? 46 : 30;
        StrBuf shape = {0};
        if (box->type)
            type_print(picture->program->dims, box->type, &shape);
        box->label = box->type ? 6.6 * (double)shape.length + 8 : 0;
        strbuf_free(&shape);
    }
}

/* ---- SVG ---- */

static int at(double coordinate)
{
    return (int)lround(coordinate);
}

static bool has_edges_down(const Picture *picture, int index)
{
    for (uint32_t i = 0; i < picture->boxes.count; i++)
        for (uint32_t k = 0; k < picture->boxes.data[i].from.count; k++)
            if (picture->boxes.data[i].from.data[k].from == index)
                return true;
    return false;
}

static void svg_shape(const Picture *picture, const Type *type, int x, int y, StrBuf *out)
{
    StrBuf text = {0};
    type_print(picture->program->dims, type, &text);
    strbuf_printf(out, "<text x=\"%d\" y=\"%d\" class=\"shape\">", x, y);
    add_escaped(out, text.text);
    strbuf_add(out, "</text>\n");
    strbuf_free(&text);
}

/* Does another edge, drawn without a lane, show the same shape right above the box? */
static bool is_shown(const Picture *picture, const PictureBox *to, const PictureEdge *edge)
{
    for (uint32_t i = 0; i < to->from.count; i++) {
        const PictureEdge *other = &to->from.data[i];
        const PictureBox *from = &picture->boxes.data[other->from];
        if (other != edge && from->type && type_equal(from->type, edge->type))
            return true;
    }
    return false;
}

/* What the box takes, where arithmetic made it of what the other box gave. */
static void svg_taken_shape(const Picture *picture, const PictureBox *to, const PictureEdge *edge,
                            StrBuf *out)
{
    const PictureBox *from = &picture->boxes.data[edge->from];
    const PictureBox *origin = from->kind == BOX_LANE ? &picture->boxes.data[from->origin] : from;
    if (edge->type && origin->type && to->kind != BOX_OUTPUT &&
        !type_equal(edge->type, origin->type) && !is_shown(picture, to, edge))
        svg_shape(picture, edge->type, at(to->x) - 7, at(to->y) - 8, out);
}

/* A curve to the next layer, upright at both ends; through a lane it goes straight on. */
static void svg_edge(const Picture *picture, const PictureBox *to, const PictureEdge *edge,
                     StrBuf *out)
{
    const PictureBox *from = &picture->boxes.data[edge->from];
    int x1 = at(from->x), y1 = at(from->y + from->height), x2 = at(to->x), y2 = at(to->y),
        middle = (y1 + y2) / 2;
    strbuf_printf(out, "<path d=\"M%d %dC%d %d %d %d %d %d", x1, y1, x1, middle, x2, middle, x2,
                  y2);
    if (to->kind == BOX_LANE)
        strbuf_printf(out, "V%d\" class=\"edge\"/>\n", at(to->y + to->height));
    else
        strbuf_add(out, "\" class=\"edge\" marker-end=\"url(#arrow)\"/>\n");
}

static void svg_box(const Picture *picture, int index, StrBuf *out)
{
    static const char *const classes[] = {"input", "layer", "function", "join", "output", ""};
    const PictureBox *box = &picture->boxes.data[index];
    strbuf_printf(
        out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"%d\" class=\"box %s\"/>\n",
        at(box->x - box->width / 2), at(box->y), at(box->width), at(box->height),
        box->kind == BOX_JOIN ? 15 : 6, box->trained ? "trained" : classes[box->kind]);
    strbuf_printf(out, "<text x=\"%d\" y=\"%d\" class=\"title\">", at(box->x), at(box->y) + 20);
    add_escaped(out, box->title);
    strbuf_add(out, "</text>\n");
    if (box->detail) {
        strbuf_printf(out, "<text x=\"%d\" y=\"%d\" class=\"detail\">", at(box->x),
                      at(box->y) + 37);
        add_escaped(out, box->detail);
        strbuf_add(out, "</text>\n");
    }
    if (box->type && has_edges_down(picture, index))
        svg_shape(picture, box->type, at(box->x) - 7, at(box->y + box->height) + 15, out);
}

void picture_svg(const SemaProgram *program, const TrainPlan *plan, StrBuf *out)
{
    Picture picture;
    picture_make(&picture, program, plan);
    measure_boxes(&picture);
    picture_place(&picture);
    int width = at(picture.width), height = at(picture.height);
    strbuf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                  "height=\"%d\">\n<title>",
                  width, height, width, height);
    add_escaped(out, plan->name);
    strbuf_printf(out, "</title>\n%s<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", style,
                  width, height);
    for (uint32_t i = 0; i < picture.boxes.count; i++)
        for (uint32_t k = 0; k < picture.boxes.data[i].from.count; k++)
            svg_edge(&picture, &picture.boxes.data[i], &picture.boxes.data[i].from.data[k], out);
    for (uint32_t i = 0; i < picture.boxes.count; i++) {
        const PictureBox *box = &picture.boxes.data[i];
        if (box->kind != BOX_LANE)
            svg_box(&picture, (int)i, out);
        for (uint32_t k = 0; k < box->from.count; k++)
            svg_taken_shape(&picture, box, &box->from.data[k], out);
    }
    strbuf_add(out, "</svg>\n");
    picture_free(&picture);
}

/* ---- dot ---- */

static void dot_box(const PictureBox *box, uint32_t index, StrBuf *out)
{
    StrBuf label = {0};
    strbuf_add(&label, box->title);
    if (box->detail)
        strbuf_printf(&label, "\n%s", box->detail);
    strbuf_printf(out, "  n%u [label=", index);
    strbuf_add_json(out, label.text);
    strbuf_add(out, box->kind == BOX_JOIN ? ", shape=circle];\n" : "];\n");
    strbuf_free(&label);
}

static void dot_edge(const Picture *picture, const PictureEdge *edge, uint32_t to, StrBuf *out)
{
    StrBuf label = {0};
    type_print(picture->program->dims, edge->type, &label);
    strbuf_printf(out, "  n%d -> n%u [label=", edge->from, to);
    strbuf_add_json(out, label.text);
    strbuf_add(out, "];\n");
    strbuf_free(&label);
}

void picture_dot(const SemaProgram *program, const TrainPlan *plan, StrBuf *out)
{
    Picture picture;
    picture_make(&picture, program, plan);
    strbuf_add(out, "digraph ");
    strbuf_add_json(out, plan->name);
    strbuf_add(out,
               " {\n  node [shape=box, style=rounded, fontname=\"DejaVu Sans\", fontsize=10];\n"
               "  edge [fontname=\"DejaVu Sans\", fontsize=9];\n");
    for (uint32_t i = 0; i < picture.boxes.count; i++)
        dot_box(&picture.boxes.data[i], i, out);
    for (uint32_t i = 0; i < picture.boxes.count; i++)
        for (uint32_t k = 0; k < picture.boxes.data[i].from.count; k++)
            dot_edge(&picture, &picture.boxes.data[i].from.data[k], i, out);
    strbuf_add(out, "}\n");
    picture_free(&picture);
}
