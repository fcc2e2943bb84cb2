/* state.json: what is printed reads back, and nothing else does. */
#include "runtime/train/state.h"
#include "tests/support/golden.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static TrainState sample(void)
{
    return (TrainState){
        .step = 500,
        .epoch = 1,
        .step_of_epoch = 125,
        .has_best = 1,
        .best_step = 375,
        .epochs_since_best = 0,
        .log_bytes = 1024,
        .best_value = 0.1,
        .loss = 1.0 / 3,
        .lr = 1e-300,
        .items = {{"train", "mnist"}, {"told", "a \"b\" \\ \n \xc3\xa9"}},
        .item_count = 2,
        .files = {{"weights.safetensors", 904512, UINT64_MAX}, {"state.safetensors", 0, 0}},
        .file_count = 2,
    };
}

static void expect_equal(const TrainState *a, const TrainState *b)
{
    cr_expect_eq(a->step, b->step);
    cr_expect_eq(a->epoch, b->epoch);
    cr_expect_eq(a->step_of_epoch, b->step_of_epoch);
    cr_expect_eq(a->has_best, b->has_best);
    cr_expect_eq(a->best_step, b->best_step);
    cr_expect_eq(a->epochs_since_best, b->epochs_since_best);
    cr_expect_eq(a->log_bytes, b->log_bytes);
    cr_expect(memcmp(&a->best_value, &b->best_value, 8) == 0 || isnan(a->best_value));
    cr_expect(memcmp(&a->loss, &b->loss, 8) == 0 || isnan(a->loss));
    cr_expect(memcmp(&a->lr, &b->lr, 8) == 0 || isnan(a->lr));
    cr_assert_eq(a->item_count, b->item_count);
    for (int i = 0; i < a->item_count; i++)
        cr_expect(strcmp(a->items[i].key, b->items[i].key) == 0 &&
                  strcmp(a->items[i].value, b->items[i].value) == 0);
    cr_assert_eq(a->file_count, b->file_count);
    for (int i = 0; i < a->file_count; i++)
        cr_expect(strcmp(a->files[i].name, b->files[i].name) == 0 &&
                  a->files[i].bytes == b->files[i].bytes && a->files[i].hash == b->files[i].hash);
}

static void check_round_trip(const TrainState *state)
{
    StrBuf text = {0}, again = {0};
    Arena *arena = arena_new();
    TrainState found;
    state_print(state, &text);
    const char *wrong = state_read(text.text, text.length, arena, &found);
    cr_assert_null(wrong, "%s: %s", wrong, text.text);
    expect_equal(state, &found);
    state_print(&found, &again);
    cr_expect_str_eq(text.text, again.text);
    arena_free(arena);
    strbuf_free(&text);
    strbuf_free(&again);
}

Test(state, reads_what_it_prints)
{
    TrainState state = sample();
    check_round_trip(&state);
    state.best_value = NAN;
    state.loss = INFINITY;
    state.lr = -INFINITY;
    check_round_trip(&state);
    state.step = INT64_MAX;
    state.best_value = -0.0;
    state.loss = 5e-324;
    state.item_count = state.file_count = 0;
    check_round_trip(&state);
    state.item_count = STATE_ITEMS;
    for (int i = 0; i < STATE_ITEMS; i++)
        state.items[i] = (StateItem){"key", ""};
    check_round_trip(&state);
}

Test(state, looks_like_this)
{
    TrainState state = sample();
    StrBuf text = {0};
    state_print(&state, &text);
    cr_expect(test_golden(NNC_SOURCE_DIR "/tests/golden/train/state.json", text.text));
    strbuf_free(&text);
}

/* Every cut, and every byte changed. */
Test(state, refuses_all_damage)
{
    TrainState state = sample(), found;
    StrBuf text = {0};
    Arena *arena = arena_new();
    state_print(&state, &text);
    for (size_t length = 0; length < text.length; length++)
        cr_assert_not_null(state_read(text.text, length, arena, &found), "%zu", length);
    for (size_t i = 0; i < text.length; i++)
        for (int bit = 0; bit < 8; bit++) {
            text.text[i] ^= (char)(1 << bit);
            cr_assert_not_null(state_read(text.text, text.length, arena, &found), "%zu", i);
            text.text[i] ^= (char)(1 << bit);
        }
    cr_expect_null(state_read(text.text, text.length, arena, &found));
    arena_free(arena);
    strbuf_free(&text);
}

/* Texts with a good checksum and bad contents: what a hostile writer makes. */
static void expect_refused(const char *from, const char *to, const char *says)
{
    TrainState state = sample(), found;
    StrBuf text = {0}, changed = {0}, sealed = {0};
    Arena *arena = arena_new();
    state_print(&state, &text);
    char *at = strstr(text.text, from), *end = strstr(text.text, "\"checksum\"");
    cr_assert(at && at < end, "%s", from);
    strbuf_add_bytes(&changed, text.text, (size_t)(at - text.text));
    strbuf_add(&changed, to);
    strbuf_add_bytes(&changed, at + strlen(from), (size_t)(end - at - (long)strlen(from)));
    state_seal(changed.text, changed.length, &sealed);
    const char *wrong = state_read(sealed.text, sealed.length, arena, &found);
    cr_expect(wrong && strcmp(wrong, says) == 0, "%s: %s", to, wrong ? wrong : "taken");
    arena_free(arena);
    strbuf_free(&text);
    strbuf_free(&changed);
    strbuf_free(&sealed);
}

Test(state, refuses_bad_contents_with_good_checksums)
{
    static const char bad[] = "is not the state of a run";
    expect_refused("\"format\": 1", "\"format\": 2", "was written by another version of nnc");
    expect_refused("\"step\": 500", "\"step\": -1", bad);
    expect_refused("\"step\": 500", "\"step\": 99999999999999999999", bad);
    expect_refused("\"step\": 500", "\"step\": \"500\"", bad);
    expect_refused("\"epoch\": 1", "\"eposh\": 1", bad);
    expect_refused("\"best_value\": \"0.1\"", "\"best_value\": \"0.1x\"", bad);
    expect_refused("\"best_value\": \"0.1\"", "\"best_value\": \"\"", bad);
    expect_refused("\"best_value\": \"0.1\"", "\"best_value\": \" 1\"", bad);
    expect_refused("904512 ffff", "-904512 ffff", bad);
    expect_refused("904512 ffff", "904512ffff", bad);
    expect_refused("\"0 0000000000000000\"", "\"0 00000000000000000\"", bad);
    expect_refused("\"0 0000000000000000\"", "0", bad);
    expect_refused("\"files\"", "\"files\": {}, \"files\"", bad);
    char items[4096] = "\"configuration\": {";
    for (int i = 0; i <= STATE_ITEMS; i++)
        strcat(items, "\"a\": \"b\", ");
    expect_refused("\"configuration\": {", items, bad);
}
