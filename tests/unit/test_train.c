/* The training loop over a model written by hand: which rows a step sees, how metrics merge, early
 * stopping, runs that diverge, fail or are stopped, and the events as JSON. */
#include "tests/support/golden.h"
#include "tests/support/hand_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 4096 };

typedef struct {
    TrainSpec spec;
    HandModel *model;
    SourceMap *map;
    Diag *diag;
    Session *session;
    Trainer *trainer;
    nnc_event events[EVENTS];
    int event_count;
    double w_at_epoch[64], valid_at_epoch[64];
    int64_t stop_at; /* step after which to ask for a stop, 0: never */
    StrBuf *json;
} Run;

static void scrub(nnc_event *event)
{
    event->seconds = event->seconds > 0 ? 1 : 0;
    event->valid_seconds = 0;
    event->step_ms_min = event->step_ms_median = event->step_ms_max = 0.5;
    event->peak_rss_bytes = event->peak_rss_bytes > 0 ? 4096 : 0;
}

static void on_event(void *user, const nnc_event *event)
{
    Run *run = user;
    cr_assert_lt(run->event_count, EVENTS);
    run->events[run->event_count++] = *event;
    if (event->kind == NNC_EVENT_EPOCH && event->epoch < 64) {
        run->w_at_epoch[event->epoch] = *(double *)trainer_tensor(run->trainer, "w");
        run->valid_at_epoch[event->epoch] = event->valid_count ? event->valid[0].value : NAN;
    }
    if (event->kind == NNC_EVENT_STEP && event->step == run->stop_at) {
        trainer_stop(run->trainer);
    }
    if (run->json) {
        nnc_event steady = *event;
        scrub(&steady);
        event_json(&steady, run->json);
        strbuf_add_char(run->json, '\n');
    }
}

/* Rows 0 .. rows of x. The caller may change run->spec before start(). */
static Run *run_of(const double *x, int64_t rows)
{
    Run *run = calloc(1, sizeof *run);
    run->model = hand_model(x, rows, &run->spec);
    run->map = source_map_new();
    run->diag = diag_new(run->map);
    run->session = session_new(NULL, NULL);
    return run;
}

static nnc_status start(Run *run)
{
    run->trainer = trainer_new(&run->spec, run->session, run->diag);
    cr_assert_not_null(run->trainer);
    trainer_on_event(run->trainer, on_event, run);
    return trainer_run(run->trainer);
}

static void done(Run *run)
{
    trainer_free(run->trainer);
    session_free(run->session);
    diag_free(run->diag);
    source_map_free(run->map);
    hand_model_free(run->model);
    free(run);
}

static double value(const Run *run, const char *name)
{
    return *(double *)trainer_tensor(run->trainer, name);
}

static const nnc_event *last(const Run *run)
{
    return &run->events[run->event_count - 1];
}

static const double ten[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

Test(train, a_short_last_batch_and_scalars)
{
    Run *run = run_of(ten, 10);
    run->spec.epochs = 2;
    run->spec.seed = 7;
    cr_assert_eq(start(run), NNC_OK);
    static const int64_t rows[] = {4, 4, 2, 4, 4, 2};
    cr_assert_eq(run->model->call_count, 6);
    for (int i = 0; i < 6; i++) {
        const HandCall *call = &run->model->calls[i];
        cr_assert_eq(call->rows, rows[i]);
        cr_assert_eq((int64_t)call->step, i);
        cr_assert_eq(call->scalar_step, i);
        cr_assert_eq(call->scalar_total, 6);
        cr_assert_eq(call->seed, 7u);
    }
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(run->model->ids[i], i % 10, "without shuffling rows come in order");
    }
    cr_assert_eq(value(run, "seen"), 20);
    cr_assert_eq(value(run, "optim.m"), 6);
    cr_assert_eq(value(run, "stat.scale"), 3.5);
    done(run);
}

Test(train, the_last_batch_can_be_dropped)
{
    Run *run = run_of(ten, 10);
    run->spec.drop_last = true;
    cr_assert_eq(start(run), NNC_OK);
    cr_assert_eq(run->model->call_count, 2);
    cr_assert_eq(run->model->id_count, 8);
    done(run);
}

Test(train, steps_in_place_of_epochs)
{
    Run *run = run_of(ten, 10);
    run->spec.steps = 7;
    cr_assert_eq(start(run), NNC_OK);
    cr_assert_eq(run->model->call_count, 7);
    cr_assert_eq(last(run)->step, 7);
    cr_assert_eq(last(run)->epochs, 3);
    cr_assert_eq(run->model->calls[6].scalar_total, 7);
    done(run);
}

/* Steps are asked for but no epoch has one: the run ends all the same. */
Test(train, epochs_without_steps_end, .timeout = 20)
{
    static const int64_t counts[] = {0, 3};
    for (int i = 0; i < 2; i++) {
        Run *run = run_of(ten, counts[i]);
        run->spec.drop_last = true;
        run->spec.steps = 5;
        cr_assert_eq(start(run), NNC_OK);
        cr_assert_eq(run->model->call_count, 0);
        cr_assert_eq(last(run)->kind, NNC_EVENT_END);
        done(run);
    }
}

static void order_of_epochs(uint64_t seed, const int64_t *rows, int64_t ids[3][10])
{
    Run *run = run_of(ten, 10);
    run->spec.epochs = 3;
    run->spec.seed = seed;
    run->spec.shuffle = true;
    run->spec.parts[NNC_PART_TRAIN].rows = rows;
    cr_assert_eq(start(run), NNC_OK);
    cr_assert_eq(run->model->id_count, 30);
    memcpy(ids, run->model->ids, sizeof(int64_t) * 30);
    done(run);
}

Test(train, shuffled_rows_are_permutations_of_seed_and_epoch)
{
    static const int64_t reversed[] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
    int64_t first[3][10], again[3][10], other[3][10], mapped[3][10];
    order_of_epochs(1, NULL, first);
    order_of_epochs(1, NULL, again);
    order_of_epochs(2, NULL, other);
    order_of_epochs(1, reversed, mapped);
    cr_assert_arr_eq(first, again, sizeof first);
    cr_assert_arr_neq(first, other, sizeof first);
    cr_assert_arr_neq(first[0], first[1], sizeof first[0]);
    cr_assert_arr_neq(first[1], first[2], sizeof first[0]);
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen = 0;
        for (int i = 0; i < 10; i++) {
            seen |= 1 << first[epoch][i];
            cr_assert_eq(mapped[epoch][i], 9 - first[epoch][i], "positions, then the part's rows");
        }
        cr_assert_eq(seen, 0x3ff);
    }
}

Test(train, the_rows_of_a_part)
{
    static const int64_t rows[] = {8, 1, 5, 5, 0, 9};
    Run *run = run_of(ten, 10);
    run->spec.parts[NNC_PART_TRAIN].rows = rows;
    run->spec.parts[NNC_PART_TRAIN].count = 6;
    cr_assert_eq(start(run), NNC_OK);
    cr_assert_arr_eq(run->model->ids, rows, sizeof rows);
    done(run);
}

/* With w fixed by a part of equal values, the loss of a part is a sum over all of its rows. */
Test(train, metrics_are_sums_over_a_part_and_start_anew)
{
    Run *run = run_of(ten, 10);
    static const int64_t valid[] = {3, 3, 3, 3, 9}, test[] = {2};
    run->spec.epochs = 3;
    run->spec.parts[NNC_PART_VALID] = (DataPart){run->model->data, valid, 5};
    run->spec.parts[NNC_PART_TEST] = (DataPart){run->model->data, test, 1};
    cr_assert_eq(start(run), NNC_OK);
    cr_assert_eq(run->model->eval_calls, 3 * 2 + 1, "batches of 4 and 1 per epoch, 1 test batch");
    const nnc_metric *metrics;
    size_t count;
    double w = value(run, "w");
    for (int twice = 0; twice < 2; twice++) {
        cr_assert_eq(trainer_evaluate(run->trainer, NNC_PART_VALID, &metrics, &count), NNC_OK);
        cr_assert_eq(count, 2);
        cr_assert_str_eq(metrics[0].name, "loss");
        double sum = 4 * (w - 3) * (w - 3) + (w - 9) * (w - 9);
        cr_assert_float_eq(metrics[0].value, sum / 5, 1e-12);
        cr_assert_eq(metrics[1].rank, 2);
        cr_assert_eq(metrics[1].sizes[0] * metrics[1].sizes[1], 4);
        cr_assert_float_eq(metrics[1].values[0], sum, 1e-12);
        cr_assert_eq(metrics[1].values[1], 5);
        cr_assert(isnan(metrics[1].value));
    }
    cr_assert_float_eq(last(run)->test[0].value, (w - 2) * (w - 2), 1e-12);
    cr_assert_eq(value(run, "w"), w, "evaluation changes no weight");
    done(run);
}

Test(train, evaluation_without_training)
{
    Run *run = run_of(ten, 10);
    run->spec.train = NULL;
    run->trainer = trainer_new(&run->spec, run->session, run->diag);
    cr_assert_not_null(run->trainer);
    const nnc_metric *metrics;
    size_t count;
    cr_assert_eq(trainer_evaluate(run->trainer, NNC_PART_TRAIN, &metrics, &count), NNC_OK);
    cr_assert_float_eq(metrics[0].value, 28.5, 1e-12);
    done(run);
}

/* w goes from 0 to 10 and passes 3, the value of the validation rows, in the second epoch. */
static Run *passing_run(int64_t patience, bool higher)
{
    static const double x[] = {10, 10, 10, 10, 3};
    static const int64_t valid[] = {4};
    Run *run = run_of(x, 5);
    run->spec.parts[NNC_PART_TRAIN].count = 4;
    run->spec.parts[NNC_PART_VALID] = (DataPart){run->model->data, valid, 1};
    run->spec.epochs = 12;
    run->spec.monitor_part = NNC_PART_VALID;
    run->spec.patience = patience;
    run->model->metrics[0].higher_is_better = higher;
    return run;
}

Test(train, early_stopping_restores_the_best_weights)
{
    Run *run = passing_run(3, false);
    cr_assert_eq(start(run), NNC_OK);
    const nnc_event *end = last(run);
    cr_assert(end->stopped_early);
    cr_assert_eq(end->step, 5, "best in epoch 2, three more epochs");
    cr_assert_lt(run->valid_at_epoch[2], run->valid_at_epoch[1]);
    cr_assert_lt(run->valid_at_epoch[2], run->valid_at_epoch[3]);
    cr_assert_eq(value(run, "w"), run->w_at_epoch[2]);
    cr_assert_eq(end->valid[0].value, run->valid_at_epoch[2], "the numbers at the end are theirs");
    cr_assert_eq(value(run, "seen"), 8, "states of the model are restored with its parameters");
    cr_assert_eq(value(run, "optim.m"), 5, "the optimiser's are not");
    for (int i = 0; i < run->event_count; i++) {
        if (run->events[i].kind == NNC_EVENT_EPOCH) {
            cr_assert_eq(run->events[i].improved, run->events[i].epoch <= 2);
        }
    }
    done(run);
}

Test(train, early_stopping_counts_from_the_last_improvement)
{
    Run *run = passing_run(1, true); /* far from 3 is good: not epoch 2, but 1 and then 3 on */
    cr_assert_eq(start(run), NNC_OK);
    cr_assert_eq(last(run)->step, 2);
    cr_assert_eq(value(run, "w"), run->w_at_epoch[1]);
    done(run);
    run = passing_run(2, true);
    cr_assert_eq(start(run), NNC_OK);
    cr_assert_eq(last(run)->step, 12);
    cr_assert_not(last(run)->stopped_early);
    done(run);
    run = passing_run(0, false);
    cr_assert_eq(start(run), NNC_OK);
    cr_assert_eq(last(run)->step, 12);
    cr_assert_eq(value(run, "w"), run->w_at_epoch[12], "no patience: the last weights stay");
    done(run);
}

/* The loss of epoch n is 100 * 0.64^(n - 1). Gains over the best fall below 1 in epoch 11, add up
 * to more than 1 in epoch 12, and never do again. Without validation rows the training part counts.
 */
Test(train, gains_up_to_min_delta_do_not_count)
{
    Run *run = run_of((const double[]){10, 10}, 2);
    run->spec.epochs = 40;
    run->spec.patience = 2;
    run->spec.min_delta = 1.0;
    run->spec.monitor_part = NNC_PART_VALID;
    cr_assert_eq(start(run), NNC_OK);
    cr_assert_eq(last(run)->step, 14);
    for (int i = 0; i < run->event_count; i++) {
        const nnc_event *event = &run->events[i];
        bool improved = event->epoch <= 10 || event->epoch == 12;
        cr_assert(event->kind != NNC_EVENT_EPOCH || event->improved == improved);
    }
    done(run);
}

/* One bad row, in the second batch of every epoch. */
static void check_divergence(double bad, const char *message, int64_t memory, const char *folder)
{
    const double x[] = {1, 1, 1, 1, bad, 1};
    Run *run = run_of(x, 6);
    StrBuf text = {0};
    run->spec.epochs = 3;
    run->spec.snapshot_memory = memory;
    run->spec.snapshot_folder = folder;
    cr_assert_eq(start(run), NNC_DIVERGED);
    cr_assert_eq(value(run, "w"), 0.2, "the weights of the last good step");
    cr_assert_eq(value(run, "seen"), 4);
    cr_assert_eq(value(run, "optim.m"), 1);
    cr_assert_eq(last(run)->kind, NNC_EVENT_END);
    cr_assert_eq(last(run)->step, 1);
    cr_assert_eq(last(run)->test_count, 0);
    diag_render_text(run->diag, &text, false);
    cr_assert_not_null(strstr(text.text, message), "%s", text.text);
    cr_assert_not_null(strstr(text.text, "E0800"));
    strbuf_free(&text);
    done(run);
}

Test(train, a_loss_that_is_not_finite_stops_the_run)
{
    check_divergence(NAN, "the loss is not a number at step 2", 0, NULL);
    check_divergence(INFINITY, "the loss is infinite at step 2", 0, NULL);
}

Test(train, the_copy_for_a_divergence_may_be_a_file)
{
    check_divergence(NAN, "the loss is not a number at step 2", 1, NULL);
    /* No file: in memory. */
    check_divergence(NAN, "the loss is not a number at step 2", 1, "/nowhere/at/all");
}

/* The data turn bad after two epochs, in the second batch. */
static void poison_after_two_epochs(void *user, const nnc_event *event)
{
    Run *run = user;
    on_event(user, event);
    if (event->kind == NNC_EVENT_EPOCH && event->epoch == 2) {
        ((double *)run->model->data->columns[0].data)[3] = NAN;
    }
}

static void check_later_divergence(int64_t memory)
{
    Run *run = run_of((const double[]){1, 1, 1, 1}, 4);
    run->spec.snapshot_memory = memory;
    run->spec.epochs = 5;
    run->spec.batch = 2;
    run->trainer = trainer_new(&run->spec, run->session, run->diag);
    trainer_on_event(run->trainer, poison_after_two_epochs, run);
    cr_assert_eq(trainer_run(run->trainer), NNC_DIVERGED);
    cr_assert_eq(last(run)->step, 5, "one good step of the third epoch");
    double w = run->w_at_epoch[2];
    cr_assert_eq(value(run, "w"), w - 0.1 * 2 * (w - 1));
    cr_assert_eq(value(run, "seen"), 10);
    done(run);
}

Test(train, divergence_in_a_later_epoch_keeps_the_step_before)
{
    check_later_divergence(0);
    check_later_divergence(1);
}

Test(train, a_stop_ends_after_the_step)
{
    Run *run = run_of(ten, 10);
    run->spec.epochs = 5;
    run->stop_at = 4;
    cr_assert_eq(start(run), NNC_INTERRUPTED);
    cr_assert_eq(run->model->call_count, 4);
    cr_assert_eq(last(run)->kind, NNC_EVENT_END);
    cr_assert_eq(last(run)->step, 4);
    cr_assert_eq(value(run, "seen"), 14, "the weights of the last step stay");
    done(run);
}

Test(train, a_failed_check_names_the_row_of_the_data)
{
    const double x[] = {1, 2, 3, 4, 5, -2000, -3000, 8};
    static const int64_t rows[] = {0, 1, 2, 7, 4, 6, 5, 3};
    Run *run = run_of(x, 8);
    StrBuf text = {0};
    run->spec.parts[NNC_PART_TRAIN].rows = rows;
    cr_assert_eq(start(run), NNC_DATA);
    diag_render_text(run->diag, &text, false);
    cr_assert_not_null(strstr(text.text, "x is too small"), "%s", text.text);
    cr_assert_not_null(strstr(text.text, "row 1 of the batch, row 6 of the data"), "%s", text.text);
    strbuf_free(&text);
    done(run);
}

Test(train, failures_of_shuffled_and_of_validation_rows)
{
    const double x[] = {1, 2, 3, 4, 5, 6, 7, 8, -9999};
    static const int64_t valid[] = {0, 1, 2, 3, 4, 8};
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        Run *run = run_of(x, 9);
        StrBuf text = {0};
        run->spec.shuffle = shuffled;
        if (!shuffled) {
            run->spec.parts[NNC_PART_TRAIN].count = 8;
            run->spec.parts[NNC_PART_VALID] = (DataPart){run->model->data, valid, 6};
        }
        cr_assert_eq(start(run), NNC_DATA);
        diag_render_text(run->diag, &text, false);
        cr_assert_not_null(strstr(text.text, "row 8 of the data"), "%s", text.text);
        strbuf_free(&text);
        done(run);
    }
}

Test(train, refused_memory_is_a_status)
{
    Run *run = run_of(ten, 10);
    run->model->refuse_memory = true;
    cr_assert_eq(start(run), NNC_MEMORY);
    done(run);
}

Test(train, calls_with_buffers_of_the_caller)
{
    Run *run = run_of(ten, 10);
    run->trainer = trainer_new(&run->spec, run->session, run->diag);
    const double x[] = {5, 7};
    const int64_t id[] = {1, 2}, step = 3, total = 9;
    const void *inputs[] = {x, &step, id, &total};
    double loss = 0, lr = 0;
    void *outputs[] = {&loss, &lr};
    cr_assert_eq(trainer_call(run->trainer, &run->model->train, 2, inputs, outputs), NNC_OK);
    cr_assert_eq(loss, 37);
    cr_assert_eq(lr, 0.1);
    cr_assert_eq(run->model->calls[0].scalar_total, 9);
    cr_assert_float_eq(value(run, "w"), 1.2, 1e-15);
    cr_assert_geq(session_arena_bytes(run->session), 16);
    done(run);
}

Test(train, a_model_that_only_predicts_has_no_data_and_no_batch)
{
    Run *run = run_of(ten, 10);
    run->spec.train = run->spec.eval = NULL;
    run->spec.parts[NNC_PART_TRAIN] = (DataPart){0};
    run->spec.batch = run->spec.epochs = 0;
    for (run->spec.steps = 0; run->spec.steps < 2; run->spec.steps++) {
        run->trainer = trainer_new(&run->spec, run->session, run->diag);
        cr_assert_not_null(run->trainer);
        cr_assert_eq(trainer_planned_steps(&run->spec), 0);
        trainer_free(run->trainer);
    }
    run->trainer = NULL;
    done(run);
}

Test(train, an_argument_that_is_nothing_is_refused)
{
    Run *run = run_of(ten, 10);
    run->model->data->columns[1].name[0] = 'I'; /* no column "id" any more */
    cr_assert_null(trainer_new(&run->spec, run->session, run->diag));
    done(run);
}

static const char *saved_at(void *user, nnc_status status)
{
    *(nnc_status *)user = status;
    return "runs/\"hand\".safetensors";
}

Test(train, events_as_json)
{
    Run *run = run_of(ten, 10);
    StrBuf json = {0};
    static const int64_t valid[] = {1, 2};
    nnc_status finished = NNC_MEMORY;
    run->json = &json;
    run->spec.epochs = 2;
    run->spec.batch = 5;
    run->spec.compile_ms = 12.5;
    run->spec.arena_bytes = 64;
    run->spec.kernel_count = 3;
    run->spec.seed = UINT64_MAX;
    run->spec.parts[NNC_PART_VALID] = (DataPart){run->model->data, valid, 2};
    run->spec.parts[NNC_PART_TEST] = (DataPart){run->model->data, valid, 1};
    run->trainer = trainer_new(&run->spec, run->session, run->diag);
    trainer_on_event(run->trainer, on_event, run);
    trainer_on_finish(run->trainer, saved_at, &finished);
    cr_assert_eq(trainer_run(run->trainer), NNC_OK);
    cr_assert_eq(finished, NNC_OK);
    cr_assert(test_golden(NNC_SOURCE_DIR "/tests/golden/train/events.jsonl", json.text));
    strbuf_free(&json);
    done(run);
}

Test(train, json_of_arrays_and_of_no_number)
{
    const double values[] = {1, 0.1, 1e300};
    const nnc_metric metrics[] = {
        {.name = "empty", .value = NAN},
        {.name = "vector", .rank = 1, .sizes = {3}, .values = values},
        {.name = "row", .rank = 2, .sizes = {1, 2}, .values = values},
    };
    nnc_event event = {.kind = NNC_EVENT_EPOCH, .epoch = 1, .train = metrics, .train_count = 3};
    StrBuf json = {0};
    event_json(&event, &json);
    cr_assert_not_null(strstr(json.text, "\"train\":{\"empty\":null,\"vector\":[1,0.1,1e+300],"
                                         "\"row\":[[1,0.1]]},\"valid\":{}"),
                       "%s", json.text);
    strbuf_free(&json);
}
