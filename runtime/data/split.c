/* Which rows train, validate and test.
 *
 * Rows are put into groups (one group, or one per value of the stratify column). Each part's
 * total is its fraction of all rows, rounded; the groups share it by the method of the largest
 * remainder: every group gets the whole part of its due, the seats that are left go to the
 * largest fractions. Within a group rows are drawn by a permutation that is a function of the
 * seed and the group's place, so that equal programs cut equal parts. */
#include "runtime/data/reader.h"

#include "runtime/base/rng.h"
#include "runtime/base/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t value, row;
} Labelled;

typedef struct {
    int64_t first, count; /* in the list of rows ordered by value */
    int64_t seats[SPLIT_PARTS];
    double remainder;
} Group;

typedef struct {
    Labelled *order;
    Group *groups;
    int64_t *ranks; /* scratch: groups by remainder */
    int64_t group_count, rows;
} Groups;

static int64_t label_at(const DataColumn *column, int64_t row)
{
    const char *cell = column->data + row * column->row_bytes;
    int64_t label;
    scalar_convert(column->dtype, DT_I64, cell, &label, 1);
    return label;
}

static int by_value(const void *a, const void *b)
{
    const Labelled *x = a, *y = b;
    if (x->value != y->value) {
        return x->value < y->value ? -1 : 1;
    }
    return x->row < y->row ? -1 : x->row > y->row;
}

static bool make_groups(Groups *groups, int64_t rows, const DataColumn *stratify)
{
    size_t count = (size_t)rows + 1;
    groups->rows = rows;
    groups->order = malloc(count * sizeof *groups->order);
    groups->groups = calloc(count, sizeof *groups->groups);
    groups->ranks = malloc(count * sizeof *groups->ranks);
    if (!groups->order || !groups->groups || !groups->ranks) {
        return false;
    }
    for (int64_t row = 0; row < rows; row++) {
        groups->order[row] = (Labelled){stratify ? label_at(stratify, row) : 0, row};
    }
    qsort(groups->order, (size_t)rows, sizeof *groups->order, by_value);
    for (int64_t row = 0; row < rows; row++) {
        if (row == 0 || groups->order[row].value != groups->order[row - 1].value) {
            groups->groups[groups->group_count++].first = row;
        }
        groups->groups[groups->group_count - 1].count++;
    }
    return true;
}

static void free_groups(Groups *groups)
{
    free(groups->order);
    free(groups->groups);
    free(groups->ranks);
}

/* The group with the larger remainder first, the earlier one among equals. */
static int by_remainder(const void *a, const void *b, void *user)
{
    const Group *groups = user;
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    if (groups[x].remainder != groups[y].remainder) {
        return groups[x].remainder > groups[y].remainder ? -1 : 1;
    }
    return x < y ? -1 : x > y;
}

static void share_seats(Groups *groups, int part, int64_t total)
{
    int64_t given = 0;
    for (int64_t g = 0; g < groups->group_count; g++) {
        Group *group = &groups->groups[g];
        double due = (double)total * ((double)group->count / (double)groups->rows);
        int64_t whole = (int64_t)floor(due + 1e-9);
        int64_t free_rows = group->count - group->seats[SPLIT_VALID] - group->seats[SPLIT_TEST];
        whole = whole < free_rows ? whole : free_rows;
        group->seats[part] = whole;
        group->remainder = due - (double)whole;
        groups->ranks[g] = g;
        given += whole;
    }
    qsort_r(groups->ranks, (size_t)groups->group_count, sizeof *groups->ranks, by_remainder,
            groups->groups);
    while (given < total) {
        int64_t before = given;
        for (int64_t i = 0; i < groups->group_count && given < total; i++) {
            Group *group = &groups->groups[groups->ranks[i]];
            if (group->seats[SPLIT_VALID] + group->seats[SPLIT_TEST] < group->count) {
                group->seats[part]++;
                given++;
            }
        }
        if (given == before) {
            return; /* no group has a row left; the callers' totals rule it out */
        }
    }
}

/* The part of the i-th drawn row of a group. */
static int part_of(const Group *group, int64_t drawn)
{
    if (drawn < group->seats[SPLIT_VALID]) {
        return SPLIT_VALID;
    }
    return drawn < group->seats[SPLIT_VALID] + group->seats[SPLIT_TEST] ? SPLIT_TEST : SPLIT_TRAIN;
}

static void draw(const Groups *groups, uint64_t seed, unsigned char *parts)
{
    for (int64_t g = 0; g < groups->group_count; g++) {
        const Group *group = &groups->groups[g];
        for (int64_t i = 0; i < group->count; i++) {
            uint64_t place = rng_permute(seed, (uint64_t)g, (uint64_t)group->count, (uint64_t)i);
            parts[groups->order[group->first + (int64_t)place].row] =
                (unsigned char)part_of(group, i);
        }
    }
}

static bool options_are_sound(const SplitOptions *options, Diag *diag)
{
    const DataColumn *column = options->stratify;
    if (!(options->valid >= 0 && options->test >= 0 && options->valid + options->test <= 1)) {
        diag_error(diag, ERR_E0616, options->span, NULL,
                   "the parts of a split are between 0 and 1, and at most 1 together");
        return false;
    }
    if (column && (dtype_is_float(column->dtype) ||
                   column->row_bytes != (int64_t)dtype_bytes(column->dtype))) {
        diag_error(diag, ERR_E0616, options->span, NULL,
                   "stratify needs a column of one integer, and %s is not", column->name);
        return false;
    }
    return true;
}

static bool collect(Split *split, const unsigned char *parts, int64_t rows)
{
    for (int part = 0; part < SPLIT_PARTS; part++) {
        split->rows[part] = malloc(((size_t)rows + 1) * sizeof(int64_t));
        if (!split->rows[part]) {
            return false;
        }
        for (int64_t row = 0; row < rows; row++) {
            if (parts[row] == part) {
                split->rows[part][split->counts[part]++] = row;
            }
        }
    }
    return true;
}

bool split_rows(int64_t rows, const SplitOptions *options, Split *split, Diag *diag)
{
    if (!options_are_sound(options, diag)) {
        return false;
    }
    int64_t valid = (int64_t)floor((double)rows * options->valid + 0.5);
    int64_t test = (int64_t)floor((double)rows * options->test + 0.5);
    test = valid + test > rows ? rows - valid : test;
    Groups groups = {0};
    Split result = {0};
    unsigned char *parts = calloc((size_t)rows + 1, 1);
    bool done = parts && (options->last || make_groups(&groups, rows, options->stratify));
    if (done && options->last) {
        memset(parts + rows - test - valid, SPLIT_VALID, (size_t)valid);
        memset(parts + rows - test, SPLIT_TEST, (size_t)test);
    } else if (done && rows > 0) {
        share_seats(&groups, SPLIT_VALID, valid);
        share_seats(&groups, SPLIT_TEST, test);
        draw(&groups, options->seed, parts);
    }
    done = done && collect(&result, parts, rows);
    free(parts);
    free_groups(&groups);
    if (!done) {
        split_free(&result);
        diag_error(diag, ERR_E0617, options->span, NULL, "no memory to split %lld rows",
                   (long long)rows);
        return false;
    }
    *split = result;
    return true;
}

void split_free(Split *split)
{
    for (int part = 0; part < SPLIT_PARTS; part++) {
        free(split->rows[part]);
    }
    *split = (Split){0};
}

int64_t shuffled_index(uint64_t seed, uint64_t epoch, int64_t n, int64_t i)
{
    return (int64_t)rng_permute(seed, epoch, (uint64_t)n, (uint64_t)i);
}
