/* Views of a model for people: the table of nnc summary, the drawing of nnc graph. */
#include "tests/support/api.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_of(const char *program_text, const char *what)
{
    char *text = NULL;
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, program_text, NULL);
    cr_assert_eq(nnc_program_text(program, NULL, what, &text), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    nnc_program_release(program);
    nnc_context_release(context);
    return text;
}

static int occurrences(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}

Test(picture, table_of_a_model)
{
    char *text = text_of(api_text("cnn"), "summary");
    cr_expect_str_eq(text,
                     "layer   module                     output            parameters\n"
                     "---------------------------------------------------------------\n"
                     "x       (input)                    f32[B, 1, 8, 8]\n"
                     "conv    Conv2d(1, 4, k=3, pad=1)   f32[B, 4, 8, 8]           40\n"
                     "norm    BatchNorm2d(4)             f32[B, 4, 8, 8]            8\n"
                     "fc      Linear(64, 3)              f32[B, 3]                195\n"
                     "---------------------------------------------------------------\n"
                     "total                                                       243\n"
                     "1,012 bytes of weights; 9 numbers of state beside the parameters\n",
                     "%s", text);
    nnc_free(text);
}

typedef struct {
    int x, y, width, height;
} Box;

static int boxes_of(const char *svg, Box *boxes, int most)
{
    int count = 0;
    for (const char *at = strstr(svg, "<rect x="); at && count < most;
         at = strstr(at + 1, "<rect x=")) {
        Box *b = &boxes[count++];
        cr_assert_eq(sscanf(at, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"", &b->x, &b->y,
                            &b->width, &b->height),
                     4);
    }
    return count;
}

static bool overlap(const Box *a, const Box *b)
{
    return a->x < b->x + b->width && b->x < a->x + a->width && a->y < b->y + b->height &&
           b->y < a->y + a->height;
}

/* Every box lies inside of the picture, and none over another. */
static void expect_sound(const char *svg, int wanted)
{
    Box boxes[128], all = {0};
    int count = boxes_of(svg, boxes, 128);
    cr_expect_eq(count, wanted, "%d boxes", count);
    cr_assert_eq(sscanf(strstr(svg, "viewBox"), "viewBox=\"0 0 %d %d\"", &all.width, &all.height),
                 2);
    for (int i = 0; i < count; i++) {
        cr_expect(boxes[i].x >= 0 && boxes[i].y >= 0 && boxes[i].x + boxes[i].width <= all.width &&
                      boxes[i].y + boxes[i].height <= all.height,
                  "box %d", i);
        for (int k = 0; k < i; k++)
            cr_expect(!overlap(&boxes[i], &boxes[k]), "boxes %d and %d", k, i);
    }
    cr_expect_eq(occurrences(svg, "<text"), occurrences(svg, "</text>"));
    cr_expect(strcmp(svg + strlen(svg) - 7, "</svg>\n") == 0);
}

Test(picture, a_chain)
{
    char *svg = text_of(api_text("cnn"), "svg");
    expect_sound(svg, 9); /* x, conv, norm, relu, max_pool, flatten, dropout, fc, output */
    cr_expect_eq(occurrences(svg, "marker-end"), 8);
    cr_expect(strstr(svg, ">max_pool(2)<") && strstr(svg, ">f32[B, 4, 4, 4]<") &&
              strstr(svg, ">dropout(0.25)<"));
    nnc_free(svg);
}

Test(picture, residual_connections_join)
{
    char *svg = text_of(api_text("residual"), "svg");
    expect_sound(svg, 13);
    cr_expect_eq(occurrences(svg, "class=\"box join\""), 2);
    cr_expect_eq(occurrences(svg, "marker-end"), 14);
    cr_expect(strstr(svg, ">blocks.0.norm<") && strstr(svg, ">LayerNorm(6)<"));
    nnc_free(svg);
    char *dot = text_of(api_text("residual"), "dot");
    cr_expect_eq(occurrences(dot, " -> "), 14);
    cr_expect_eq(occurrences(dot, "shape=circle"), 2);
    nnc_free(dot);
}

static const char branches[] =
    "from nn import Linear, relu\nfrom losses import mse\nfrom optim import sgd\n"
    "module Net {\n"
    "    let a_name_that_is_longer_than_any_box_should_be_in_a_drawing_of_a_model = Linear(4, 4)\n"
    "    let b = Linear(4, 4)\n    let c = Linear(4, 2)\n    let d = Linear(10, 1)\n"
    "    fn (x: f32[B, 4]) -> f32[B, 1] {\n"
    "        let left = x |> a_name_that_is_longer_than_any_box_should_be_in_a_drawing_of_a_model "
    "|> relu |> relu\n"
    "        concat([left, b(x), c(x)], axis=1) |> d\n    }\n}\n"
    "dataset rows { source = arrays(x=rand(4, 4, seed=1), y=rand(4, 1, seed=2))\n fields = [x: "
    "f32[4], y: f32[1]] }\n"
    "train t on rows { model = Net()\n loss = mse(model(x), y)\n optimizer = sgd() }\n";

Test(picture, branches)
{
    char *svg = text_of(branches, "svg");
    expect_sound(svg, 9); /* x, the long one, relu, relu, b, c, concat, d, output */
    cr_expect_eq(occurrences(svg, ">concat<"), 1);
    cr_expect_eq(occurrences(svg, "...<"), 1, "the long name is cut");
    nnc_free(svg);
}
