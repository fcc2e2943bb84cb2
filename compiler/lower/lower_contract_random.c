/* Plans drawn at random, for tests: whatever the plan, every accumulator is the same chain, so any
 * choice that the walk can carry out must give the same bits. What the planner would choose for
 * large operands is tried on small ones this way.
 *
 *   LowerOptions.random_plan = 7
 *   dot [5, 40] x [40, 70]      x packed, blocks of 3 indices of k, items of 2 tiles
 */
#include "compiler/lower/lower_contract.h"
#include "runtime/base/rng.h"

typedef struct {
    uint64_t seed, count;
} Draws;

/* 0 .. limit - 1 */
static int64_t draw(Draws *draws, int64_t limit)
{
    return (int64_t)(rng_word(draws->seed, 0, 0, draws->count++) % (uint32_t)limit);
}

static bool is_empty(const Contraction *of)
{
    bool empty = false;
    for (int i = 0; i < of->outs + of->ks; i++) {
        empty |= (i < of->outs ? of->out[i].count : of->k[i - of->outs].count) == 0;
    }
    return empty;
}

static bool may_copy(const Contraction *of, const TilePlan *plan, Side side)
{
    int axis = panel_axis(plan, side);
    if (plan->vector == NO_AXIS || axis == NO_AXIS || plan->lanes == 1) {
        return false;
    }
    bool windows = of->overlaps || of->window_count > 0;
    return dim_is(of->out[axis].stride[side], 1) && !(side == SIDE_X && windows);
}

void random_operands(const Contraction *of, uint64_t seed, TilePlan *plan)
{
    Draws draws = {seed, 0};
    for (int side = 0; side < SIDES && !is_empty(of); side++) {
        if (may_copy(of, plan, side)) {
            plan->packed[side] = draw(&draws, 2);
        }
    }
    plan->sliced = may_slice(of, plan) && draw(&draws, 2);
    bool blocks = of->leaf == 0 && of->ks > 0 && of->k[0].window == NO_WINDOW && !is_empty(of) &&
                  plan->row != NO_AXIS && draw(&draws, 2);
    if (!blocks) {
        return;
    }
    plan->split = SPLIT_BLOCKS;
    plan->k_outside = draw(&draws, 2);
    plan->k_block = 1 + draw(&draws, of->k[0].count > 0 ? of->k[0].count : 9);
    plan->k_inner = 0;
    for (int a = 0; a < of->outs; a++) {
        bool may = !axis_in_tile(plan, a) && dim_is(of->out[a].stride[SIDE_Y], 0);
        plan->inside[a] = may && of->out[a].count > 0 && draw(&draws, 2);
    }
}

void random_items(const Contraction *of, uint64_t seed, TilePlan *plan)
{
    Draws draws = {seed, 1000};
    bool together = plan->row == NO_AXIS || of->out[plan->row].window != NO_WINDOW;
    if (!together && !plan->sliced) {
        plan->group = of->out[plan->row].count < 0 ? 1 + draw(&draws, 3) : draw(&draws, 4);
    }
    plan->block = plan->vector == NO_AXIS ? plan->block : draw(&draws, 4);
}
