/* The checker of memory plans against plans that are wrong on purpose: what overlaps is found,
 * whatever made it overlap. */
#include "compiler/schedule/schedule.h"
#include "tests/support/random_graph.h"

#include <criterion/criterion.h>

enum { SEEDS = 60 };

static Schedule *random_schedule(Arena *arena, uint64_t seed)
{
    RandomGraphOptions random = {.operations = 28, .free_symbol = seed % 2 == 0};
    Graph *graph = random_graph(arena, dim_table_new(arena), seed, &random);
    return schedule_build(arena, graph, &(ScheduleOptions){.fuse = seed % 3 != 0, .plan = true});
}

static int64_t elements(const Schedule *s, uint32_t i)
{
    int64_t count = 1;
    for (int k = 0; k < s->buffers.data[i].type.rank; k++) {
        count *= dim_eval(s->buffers.data[i].type.dims[k], s->hints);
    }
    return count;
}

/* By the planner's own lifetimes: do two buffers that are not in place of each other share bytes?
 */
static bool overlaps(const Schedule *s)
{
    for (uint32_t a = 0; a < s->buffers.count; a++) {
        for (uint32_t b = 0; b < a; b++) {
            const Buffer *x = &s->buffers.data[a], *y = &s->buffers.data[b];
            bool arena = x->kind == STORAGE_ARENA && y->kind == STORAGE_ARENA &&
                         elements(s, a) > 0 && elements(s, b) > 0;
            if (!arena || x->in_place_of != NO_BUFFER || y->in_place_of != NO_BUFFER ||
                x->first > y->last || y->first > x->last) {
                continue;
            }
            int64_t at_x = plan_offset(s, a, s->hints), at_y = plan_offset(s, b, s->hints);
            int64_t end_x = at_x + elements(s, a) * (int64_t)dtype_bytes(x->type.dtype);
            int64_t end_y = at_y + elements(s, b) * (int64_t)dtype_bytes(y->type.dtype);
            if (at_x < end_y && at_y < end_x) {
                return true;
            }
        }
    }
    return false;
}

static bool is_found(const Schedule *s)
{
    StrBuf faults = {0};
    bool good = plan_check(s, s->hints, &faults);
    cr_expect(good == (faults.length == 0));
    strbuf_free(&faults);
    return !good;
}

Test(memplan, a_buffer_at_the_bottom_is_found)
{
    int wrong = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Arena *arena = arena_new();
        Schedule *s = random_schedule(arena, seed);
        cr_assert(!overlaps(s) && !is_found(s));
        for (uint32_t i = 0; i < s->buffers.count; i++) {
            Buffer *buffer = &s->buffers.data[i];
            uint32_t count = buffer->below.count;
            buffer->below.count = 0;
            if (count > 0 && overlaps(s)) {
                cr_expect(is_found(s), "seed %d: buffer %u lies on another", (int)seed, i);
                wrong++;
            }
            buffer->below.count = count;
        }
        arena_free(arena);
    }
    cr_expect_gt(wrong, 50);
}

Test(memplan, a_lost_neighbour_is_found)
{
    int wrong = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Arena *arena = arena_new();
        Schedule *s = random_schedule(arena, seed);
        for (uint32_t i = 0; i < s->buffers.count; i++) {
            Buffer *buffer = &s->buffers.data[i];
            for (uint32_t k = 0; k < buffer->below.count; k++) {
                uint32_t kept = buffer->below.data[k];
                buffer->below.data[k] = buffer->below.data[--buffer->below.count];
                if (overlaps(s)) {
                    cr_expect(is_found(s), "seed %d: buffer %u forgot %u", (int)seed, i, kept);
                    wrong++;
                }
                buffer->below.data[buffer->below.count++] = buffer->below.data[k];
                buffer->below.data[k] = kept;
            }
        }
        arena_free(arena);
    }
    cr_expect_gt(wrong, 30);
}

/* reverse may not be made in place: y[i] reads x[n - 1 - i]. */
Test(memplan, in_place_of_other_elements_is_found)
{
    Arena *arena = arena_new();
    char *error;
    const char *text = "graph t {\n"
                       "  %0 = input {x} : f32[8]\n"
                       "  %1 = exp %0 : f32[8]\n"
                       "  %2 = reverse %1 {0} : f32[8]\n"
                       "  %3 = cumsum %2 {0} : f32[8]\n"
                       "  output y = %3\n"
                       "}\n";
    Graph *graph = graph_read(arena, dim_table_new(arena), text, &error);
    cr_assert(graph != NULL, "%s", error);
    Schedule *s = schedule_build(arena, graph, &(ScheduleOptions){.fuse = false, .plan = true});
    int32_t from = s->buffer_of[graph->nodes.data[1]->id],
            to = s->buffer_of[graph->nodes.data[2]->id];
    cr_assert(s->buffers.data[from].kind == STORAGE_ARENA &&
              s->buffers.data[to].kind == STORAGE_ARENA);
    cr_expect_eq(s->buffers.data[to].in_place_of, NO_BUFFER);
    cr_expect(!is_found(s));
    s->buffers.data[to].in_place_of = from;
    cr_expect(is_found(s));
    arena_free(arena);
}

Test(memplan, elementwise_chains_are_in_place)
{
    Arena *arena = arena_new();
    char *error;
    const char *text = "graph t {\n"
                       "  %0 = input {x} : f32[B, 8]\n"
                       "  %1 = exp %0 : f32[B, 8]\n"
                       "  %2 = neg %1 : f32[B, 8]\n"
                       "  %3 = cumsum %2 {0} : f32[B, 8]\n"
                       "  output y = %3\n"
                       "}\n";
    Graph *graph = graph_read(arena, dim_table_new(arena), text, &error);
    cr_assert(graph != NULL, "%s", error);
    Schedule *s = schedule_build(arena, graph, &(ScheduleOptions){.fuse = false, .plan = true});
    int32_t from = s->buffer_of[graph->nodes.data[1]->id],
            to = s->buffer_of[graph->nodes.data[2]->id];
    cr_expect_eq(s->buffers.data[to].in_place_of, from);
    cr_expect_eq(s->hint_bytes, 64 * 8 * 4);
    arena_free(arena);
}

/* Buffers of a guarded plan end where pages end, with a page behind that is nobody's. */
Test(memplan, guarded_buffers_end_at_pages)
{
    int buffers = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Arena *arena = arena_new();
        RandomGraphOptions random = {.operations = 20, .free_symbol = seed % 2 == 0};
        Graph *graph = random_graph(arena, dim_table_new(arena), seed, &random);
        ScheduleOptions options = {.fuse = seed % 3 != 0, .plan = true, .guard = true};
        Schedule *s = schedule_build(arena, graph, &options);
        int64_t top = GUARD_PAGE;
        cr_expect(!is_found(s), "seed %d", (int)seed);
        for (uint32_t i = 0; i < s->placement.count; i++) {
            uint32_t at = s->placement.data[i];
            int64_t bytes = dim_eval(guarded_bytes(s, at), s->hints);
            int64_t offset = plan_offset(s, at, s->hints), end = offset + bytes;
            cr_expect(offset >= top && end % GUARD_PAGE == 0, "seed %d: buffer %u", (int)seed, at);
            top = end + GUARD_PAGE;
            buffers++;
        }
        cr_expect_eq(plan_bytes(s, s->hints), s->placement.count > 0 ? top : 0);
        arena_free(arena);
    }
    cr_expect_gt(buffers, 100);
}
