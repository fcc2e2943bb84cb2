/* Splits, shuffling and moments. */
#include "runtime/data/data.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    SourceMap *map;
    Diag *diag;
} Place;

static Place make_place(void)
{
    SourceMap *map = source_map_new();
    return (Place){map, diag_new(map)};
}

static void drop_place(Place place)
{
    diag_free(place.diag);
    source_map_free(place.map);
}

/* Every row is in exactly one part, and parts are ascending. */
static void check_cover(const Split *split, int64_t rows)
{
    char *seen = calloc((size_t)rows + 1, 1);
    int64_t total = 0;
    for (int part = 0; part < SPLIT_PARTS; part++) {
        for (int64_t i = 0; i < split->counts[part]; i++) {
            int64_t row = split->rows[part][i];
            cr_assert(row >= 0 && row < rows && !seen[row]++);
            cr_assert(i == 0 || split->rows[part][i - 1] < row);
        }
        total += split->counts[part];
    }
    cr_assert_eq(total, rows);
    free(seen);
}

Test(split, fractions_are_rounded)
{
    static const struct {
        int64_t rows;
        double valid, test;
        int64_t want_valid, want_test;
    } cases[] = {{60000, 0.2, 0, 12000, 0}, {569, 0.2, 0.2, 114, 114},
                 {100, 0, 0.2, 0, 20},      {0, 0.5, 0.1, 0, 0},
                 {1, 0.5, 0.5, 1, 0},       {3, 0.5, 0.5, 2, 1},
                 {10, 1, 0, 10, 0},         {7, 0, 0, 0, 0}};
    Place place = make_place();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int last = 0; last < 2; last++) {
            SplitOptions options = {
                .valid = cases[i].valid, .test = cases[i].test, .seed = 3, .last = last};
            Split split;
            cr_assert(split_rows(cases[i].rows, &options, &split, place.diag));
            cr_assert_eq(split.counts[SPLIT_VALID], cases[i].want_valid);
            cr_assert_eq(split.counts[SPLIT_TEST], cases[i].want_test);
            check_cover(&split, cases[i].rows);
            split_free(&split);
        }
    }
    drop_place(place);
}

Test(split, last_rows)
{
    Place place = make_place();
    Split split;
    SplitOptions options = {.valid = 0.2, .test = 0.1, .last = true};
    cr_assert(split_rows(10, &options, &split, place.diag));
    cr_assert_eq(split.rows[SPLIT_VALID][0], 7);
    cr_assert_eq(split.rows[SPLIT_VALID][1], 8);
    cr_assert_eq(split.rows[SPLIT_TEST][0], 9);
    split_free(&split);
    drop_place(place);
}

Test(split, is_a_function_of_the_seed)
{
    Place place = make_place();
    Split a, b, c;
    SplitOptions options = {.valid = 0.3, .seed = 1}, other = {.valid = 0.3, .seed = 2};
    cr_assert(split_rows(1000, &options, &a, place.diag));
    cr_assert(split_rows(1000, &options, &b, place.diag));
    cr_assert(split_rows(1000, &other, &c, place.diag));
    cr_assert_eq(memcmp(a.rows[SPLIT_VALID], b.rows[SPLIT_VALID], 300 * sizeof(int64_t)), 0);
    cr_assert_neq(memcmp(a.rows[SPLIT_VALID], c.rows[SPLIT_VALID], 300 * sizeof(int64_t)), 0);
    double mean = 0;
    for (int i = 0; i < 300; i++) {
        mean += (double)a.rows[SPLIT_VALID][i] / 300;
    }
    cr_assert_float_eq(mean, 499.5, 60); /* spread over the whole file */
    split_free(&a);
    split_free(&b);
    split_free(&c);
    drop_place(place);
}

Test(split, strata_keep_their_share)
{
    enum { ROWS = 1003 };
    static const DType types[] = {DT_U8, DT_I32, DT_I64};
    Place place = make_place();
    for (int t = 0; t < 3; t++) {
        size_t bytes = dtype_bytes(types[t]);
        char *data = calloc(ROWS, bytes);
        int64_t count[4] = {0};
        for (int row = 0; row < ROWS; row++) {
            int value = row % 97 == 0 ? 3 : row % 5 == 0 ? 2 : row % 2;
            data[(size_t)row * bytes] = (char)value;
            count[value]++;
        }
        DataColumn column = {
            .name = "label", .dtype = types[t], .row_bytes = (int64_t)bytes, .data = data};
        SplitOptions options = {.valid = 0.17, .test = 0.23, .seed = 5, .stratify = &column};
        Split split;
        cr_assert(split_rows(ROWS, &options, &split, place.diag));
        check_cover(&split, ROWS);
        for (int part = SPLIT_VALID; part < SPLIT_PARTS; part++) {
            double total = (double)split.counts[part];
            int64_t got[4] = {0};
            for (int64_t i = 0; i < split.counts[part]; i++) {
                got[(int)data[(size_t)split.rows[part][i] * bytes]]++;
            }
            for (int value = 0; value < 4; value++) {
                cr_assert_lt(fabs((double)got[value] - total * (double)count[value] / ROWS), 1);
            }
        }
        split_free(&split);
        free(data);
    }
    drop_place(place);
}

Test(split, refusals)
{
    Place place = make_place();
    Split split;
    DataColumn image = {.name = "image", .dtype = DT_U8, .row_bytes = 784},
               real = {.name = "x", .dtype = DT_F32, .row_bytes = 4};
    SplitOptions cases[] = {{.valid = 1.1},
                            {.valid = -0.1},
                            {.valid = 0.6, .test = 0.6},
                            {.valid = (double)NAN},
                            {.valid = 0.1, .stratify = &image},
                            {.valid = 0.1, .stratify = &real}};
    for (int i = 0; i < 6; i++) {
        cr_assert_not(split_rows(10, &cases[i], &split, place.diag));
        StrBuf out = {0};
        diag_render_text(place.diag, &out, false);
        cr_assert_not_null(strstr(out.text, "E0616"), "%d", i);
        strbuf_free(&out);
        diag_clear(place.diag);
    }
    drop_place(place);
}

Test(shuffle, every_epoch_is_another_permutation)
{
    char seen[100] = {0};
    int same = 0;
    for (int64_t i = 0; i < 100; i++) {
        int64_t place = shuffled_index(1, 0, 100, i);
        cr_assert_eq(seen[place]++, 0);
        same += place == shuffled_index(1, 1, 100, i);
    }
    cr_assert_lt(same, 10);
}

Test(moments, of_some_rows)
{
    float data[] = {1, 10, 3, 10, 100, 10, 5, 10};
    DataColumn column = {.name = "x",
                         .dtype = DT_F32,
                         .rank = 1,
                         .sizes = {2},
                         .row_bytes = 8,
                         .data = (char *)data};
    int64_t rows[] = {0, 1, 3};
    double mean[2], deviation[2];
    data_moments(&column, rows, 3, mean, deviation);
    cr_assert_float_eq(mean[0], 3, 1e-12);
    cr_assert_float_eq(deviation[0], sqrt(8.0 / 3), 1e-12);
    cr_assert_eq(mean[1], 10);
    cr_assert_eq(deviation[1], 0);
    data_moments(&column, NULL, 0, mean, deviation);
    cr_assert(isnan(mean[0]) && isnan(deviation[1]));
}
