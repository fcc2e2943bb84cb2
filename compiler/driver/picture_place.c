/* Where boxes go. In: boxes and edges; out: layers, lanes and coordinates (layered drawing after
 * Sugiyama, Tagawa and Toda).
 *
 *   1. layer: one more than the deepest box it takes from
 *   2. an edge over several layers gets a lane in each layer between; edges of one value share them
 *   3. order in a layer: by the mean place of neighbours above, then below, a few times
 *   4. x: every box wants to stand under (over) its neighbours; the wishes of a layer are met as
 *      well as its order and the widths allow, by least squares (pooling of adjacent violators) */
#include "compiler/driver/picture.h"

#include <stdlib.h>

enum { SWEEPS = 6, GAP_X = 34, GAP_Y = 46, MARGIN = 26, LANE_WIDTH = 8 };

typedef struct {
    Picture *picture;
    int **members; /* per layer: boxes from left to right */
    int *counts;
} Placer;

/* ---- Layers and lanes ---- */

/* Joins are made when a later box asks for them, so boxes are not in order; there are no cycles. */
static void assign_layers(Picture *picture)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (uint32_t i = 0; i < picture->boxes.count; i++) {
            PictureBox *box = &picture->boxes.data[i];
            for (uint32_t k = 0; k < box->from.count; k++) {
                int layer = picture->boxes.data[box->from.data[k].from].layer + 1;
                changed = changed || layer > box->layer;
                box->layer = layer > box->layer ? layer : box->layer;
            }
            picture->layers = box->layer + 1 > picture->layers ? box->layer + 1 : picture->layers;
        }
    }
}

/* The lane of a box's value in a layer below it; the box itself in its own. */
static int lane_at(Picture *picture, int origin, int layer)
{
    if (picture->boxes.data[origin].layer == layer)
        return origin;
    for (uint32_t i = 0; i < picture->boxes.count; i++) {
        const PictureBox *box = &picture->boxes.data[i];
        if (box->kind == BOX_LANE && box->origin == origin && box->layer == layer)
            return (int)i;
    }
    PictureBox lane = {.kind = BOX_LANE, .origin = origin, .layer = layer, .width = LANE_WIDTH};
    PictureEdge edge = {lane_at(picture, origin, layer - 1), NULL};
    vec_push(picture->arena, &lane.from, edge);
    vec_push(picture->arena, &picture->boxes, lane);
    return (int)picture->boxes.count - 1;
}

static void add_lanes(Picture *picture)
{
    uint32_t count = picture->boxes.count;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < picture->boxes.data[i].from.count; k++) {
            int lane = lane_at(picture, picture->boxes.data[i].from.data[k].from,
                               picture->boxes.data[i].layer - 1);
            picture->boxes.data[i].from.data[k].from = lane;
        }
}

static void list_members(Placer *p)
{
    Picture *picture = p->picture;
    p->members = ARENA_ARRAY(picture->arena, int *, picture->layers);
    p->counts = ARENA_ARRAY(picture->arena, int, picture->layers);
    for (uint32_t i = 0; i < picture->boxes.count; i++)
        p->counts[picture->boxes.data[i].layer]++;
    for (int layer = 0; layer < picture->layers; layer++) {
        p->members[layer] = ARENA_ARRAY(picture->arena, int, p->counts[layer] + 1);
        p->counts[layer] = 0;
    }
    for (uint32_t i = 0; i < picture->boxes.count; i++) {
        PictureBox *box = &picture->boxes.data[i];
        box->order = p->counts[box->layer];
        p->members[box->layer][p->counts[box->layer]++] = (int)i;
    }
}

/* ---- Neighbours ---- */

static bool leads_to(const PictureBox *box, int from)
{
    for (uint32_t i = 0; i < box->from.count; i++)
        if (box->from.data[i].from == from)
            return true;
    return false;
}

typedef double Place(const PictureBox *box);

static double place_order(const PictureBox *box)
{
    return box->order;
}

static double place_x(const PictureBox *box)
{
    return box->x;
}

/* The mean place of the neighbours in a layer. A box looks at lanes only when it has no other
 * neighbour: so a chain stays straight beside the lanes that join it. Without neighbours: where it
 * is. */
static double mean_place(const Placer *p, int index, int layer, Place *place)
{
    const PictureBox *boxes = p->picture->boxes.data, *self = &boxes[index];
    double sums[2] = {0, 0}; /* boxes, lanes */
    int counts[2] = {0, 0};
    for (int i = 0; layer >= 0 && layer < p->picture->layers && i < p->counts[layer]; i++) {
        int other = p->members[layer][i];
        if (!(layer < self->layer ? leads_to(self, other) : leads_to(&boxes[other], index)))
            continue;
        int lane = boxes[other].kind == BOX_LANE;
        sums[lane] += place(&boxes[other]);
        counts[lane]++;
    }
    if (self->kind == BOX_LANE && counts[0] + counts[1] > 0)
        return (sums[0] + sums[1]) / (counts[0] + counts[1]);
    int which = counts[0] > 0 ? 0 : 1;
    return counts[which] > 0 ? sums[which] / counts[which] : place(self);
}

/* ---- Order ---- */

static void sort_layer(Placer *p, int layer, int neighbours)
{
    int count = p->counts[layer], *members = p->members[layer];
    double *wishes = calloc((size_t)count + 1, sizeof *wishes);
    for (int i = 0; wishes && i < count; i++) {
        int member = members[i], at = i;
        double wish = mean_place(p, member, neighbours, place_order);
        for (; at > 0 && wishes[at - 1] > wish; at--) {
            wishes[at] = wishes[at - 1];
            members[at] = members[at - 1];
        }
        wishes[at] = wish;
        members[at] = member;
    }
    free(wishes);
    for (int i = 0; i < count; i++)
        p->picture->boxes.data[members[i]].order = i;
}

static void order_layers(Placer *p)
{
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        for (int layer = 1; layer < p->picture->layers; layer++)
            sort_layer(p, layer, layer - 1);
        for (int layer = p->picture->layers - 1; layer-- > 0;)
            sort_layer(p, layer, layer + 1);
    }
}

/* ---- Coordinates ---- */

typedef struct {
    double sum, weight; /* of wishes */
    int count;
} Block;

/* Offsets are the places of members when all stand as far left as they can; what is left of a wish
 * after its offset must not fall from left to right. Adjacent blocks that would fall are made one,
 * at their weighted mean. */
static void settle_layer(Placer *p, int layer, int neighbours)
{
    int count = p->counts[layer], *members = p->members[layer], blocks = 0, at = 0;
    Block *pool = calloc((size_t)count + 1, sizeof *pool);
    double offset = 0;
    PictureBox *boxes = p->picture->boxes.data;
    for (int i = 0; pool && i < count; i++) {
        PictureBox *box = &boxes[members[i]];
        double weight = box->kind == BOX_LANE ? 1e-4 : 1;
        offset += i ? (boxes[members[i - 1]].width + box->width) / 2 + GAP_X : 0;
        pool[blocks++] =
            (Block){weight * (mean_place(p, members[i], neighbours, place_x) - offset), weight, 1};
        while (blocks > 1 && pool[blocks - 2].sum / pool[blocks - 2].weight >
                                 pool[blocks - 1].sum / pool[blocks - 1].weight) {
            pool[blocks - 2].sum += pool[blocks - 1].sum;
            pool[blocks - 2].weight += pool[blocks - 1].weight;
            pool[blocks - 2].count += pool[blocks - 1].count;
            blocks--;
        }
    }
    offset = 0;
    for (int b = 0; b < blocks; b++)
        for (int i = 0; i < pool[b].count; i++, at++) {
            offset +=
                at ? (boxes[members[at - 1]].width + boxes[members[at]].width) / 2 + GAP_X : 0;
            boxes[members[at]].x = pool[b].sum / pool[b].weight + offset;
        }
    free(pool);
}

static void place_layers(Placer *p)
{
    for (int layer = 0; layer < p->picture->layers; layer++)
        settle_layer(p, layer, -1);
    for (int sweep = 0; sweep < 2 * SWEEPS; sweep++) {
        for (int layer = 1; layer < p->picture->layers; layer++)
            settle_layer(p, layer, layer - 1);
        for (int layer = p->picture->layers - 1; layer-- > 0;)
            settle_layer(p, layer, layer + 1);
    }
}

static void frame_picture(Placer *p)
{
    Picture *picture = p->picture;
    double left = 0, right = 0, y = MARGIN;
    for (uint32_t i = 0; i < picture->boxes.count; i++) {
        const PictureBox *box = &picture->boxes.data[i];
        double half = box->label > box->width / 2 ? box->label : box->width / 2;
        left = i == 0 || box->x - half < left ? box->x - half : left;
        right = i == 0 || box->x + box->width / 2 > right ? box->x + box->width / 2 : right;
    }
    for (int layer = 0; layer < picture->layers; layer++) {
        double tallest = 0;
        for (int i = 0; i < p->counts[layer]; i++) {
            double height = picture->boxes.data[p->members[layer][i]].height;
            tallest = height > tallest ? height : tallest;
        }
        for (int i = 0; i < p->counts[layer]; i++) {
            PictureBox *box = &picture->boxes.data[p->members[layer][i]];
            if (box->kind == BOX_LANE)
                box->height = tallest;
            box->x += MARGIN - left;
            box->y = y + (tallest - box->height) / 2;
        }
        y += tallest + GAP_Y;
    }
    picture->width = right - left + 2 * MARGIN;
    picture->height = y - GAP_Y + MARGIN;
}

void picture_place(Picture *picture)
{
    Placer placer = {.picture = picture};
    assign_layers(picture);
    add_lanes(picture);
    list_members(&placer);
    order_layers(&placer);
    place_layers(&placer);
    frame_picture(&placer);
}
