/* nnc_trainer: a run with its files, which rundir.c keeps. */
#include "compiler/codegen/codegen.h"
#include "compiler/driver/rundir.h"
#include "compiler/driver/sample.h"
#include "compiler/driver/weights.h"

#include "runtime/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LOADER_THREADS = 1024 };

static char *copy_option(Arena *arena, const char *text)
{
    return text ? arena_string(arena, text) : NULL;
}

static void add_list(StrBuf *out, const char *key, const char *const *items, size_t count)
{
    strbuf_printf(out, ",\n  \"%s\": [", key);
    for (size_t i = 0; i < count; i++) {
        strbuf_add(out, i ? ", " : "");
        strbuf_add_json(out, items[i]);
    }
    strbuf_add(out, "]");
}

static void add_machine(StrBuf *out, const nnc_program_options *options)
{
    CodeIdentity code = codegen_identity(options->cpu);
    strbuf_add(out, ",\n  \"cpu\": ");
    strbuf_add_json(out, code.cpu);
    strbuf_add(out, ",\n  \"llvm\": ");
    strbuf_add_json(out, code.llvm);
}

static void add_configuration(StrBuf *out, const Configuration *told)
{
    strbuf_add(out, ",\n  \"configuration\": {");
    for (int i = 0; i < told->count; i++) {
        if (strcmp(told->items[i].key, "told") == 0) /* the options, which stand above */
            continue;
        strbuf_add(out, i ? ",\n    " : "\n    ");
        strbuf_add_json(out, told->items[i].key);
        strbuf_add(out, ": ");
        strbuf_add_json(out, told->items[i].value);
    }
    strbuf_add(out, "\n  }");
}

void run_json(const nnc_trainer *trainer, const Configuration *told, StrBuf *out)
{
    const nnc_program_options *options = &trainer->run.program->options;
    const TrainSpec *spec = &trainer->run.spec;
    strbuf_add(out, "{\n  \"nnc\": ");
    strbuf_add_json(out, nnc_version());
    strbuf_add(out, ",\n  \"file\": ");
    strbuf_add_json(out, spec->file);
    strbuf_add(out, ",\n  \"train\": ");
    strbuf_add_json(out, spec->block);
    strbuf_printf(
        out, ",\n  \"seed\": %llu,\n  \"batch\": %lld,\n  \"epochs\": %lld,\n  \"steps\": %lld",
        (unsigned long long)spec->seed, (long long)spec->batch, (long long)spec->epochs,
        (long long)trainer_planned_steps(spec));
    strbuf_printf(out,
                  ",\n  \"shuffle\": %s,\n  \"threads\": %d,\n  \"f64\": %s,\n  \"engine\": \"%s\"",
                  spec->shuffle ? "true" : "false", spec->threads, options->f64 ? "true" : "false",
                  options->interpret ? "ref" : "jit");
    if (trainer->init) {
        strbuf_add(out, ",\n  \"init\": ");
        strbuf_add_json(out, trainer->init);
    }
    add_list(out, "defines", options->defines, options->define_count);
    add_list(out, "settings", options->settings, options->setting_count);
    add_machine(out, options);
    add_configuration(out, told);
    strbuf_add(out, "\n}\n");
}

static nnc_status save_weights(nnc_trainer *trainer, const char *path)
{
    return weights_save(trainer->run.program->context, trainer->run.trainer, &trainer->run.spec,
                        trainer->run.notes, path);
}

/* RUN-DIR/samples/step-000500.png and .txt */
static nnc_status write_samples(nnc_trainer *trainer, int64_t step)
{
    Run *run = &trainer->run;
    const SampleOptions options = {.temperature = 1, .top_p = 1};
    const char *folder = arena_format(run->arena, "%s/samples", trainer->run_dir);
    const char *path = arena_format(run->arena, "%s/step-%06lld", folder, (long long)step);
    StrBuf text = {0};
    if (!folder_make(folder))
        return context_fail(run->program->context, NNC_DATA, ERR_E0806,
                            "cannot make the folder %s: %s", folder, strerror(errno));
    nnc_status status = trainer->sampler ? NNC_OK : sampler_open(run, &trainer->sampler);
    if (status == NNC_OK)
        status = sampler_draw(trainer->sampler, &options, arena_format(run->arena, "%s.png", path),
                              &text);
    path = arena_format(run->arena, "%s.txt", path);
    if (status == NNC_OK && text.text && !file_replace(path, text.text, text.length))
        status = context_fail(run->program->context, NNC_DATA, ERR_E0806, "cannot write %s: %s",
                              path, strerror(errno));
    strbuf_free(&text);
    return status;
}

static void sample_step(nnc_trainer *trainer, const nnc_event *event)
{
    int64_t every = trainer->run.plan->sample.every;
    if (!trainer->run_dir || every == 0 || event->step % every != 0 ||
        trainer->save_status != NNC_OK)
        return;
    trainer->save_status = write_samples(trainer, event->step);
}

static void forward_event(void *user, const nnc_event *event)
{
    nnc_trainer *trainer = user;
    if (event->kind == NNC_EVENT_STEP)
        sample_step(trainer, event);
    nnc_event copy = *event;
    if (event->kind == NNC_EVENT_START)
        copy.initial = trainer->initial;
    copy.notice = trainer->notice.text;
    rundir_log(trainer, &copy);
    if (trainer->on_event)
        trainer->on_event(trainer->user, &copy);
    strbuf_free(&trainer->notice);
}

static void save_at_moment(void *user, TrainMoment moment)
{
    rundir_moment(user, moment);
}

/* The weights at the end, whatever the end was; a failed save is remembered and becomes the status
 * of the run. */
static const char *save_at_end(void *user, nnc_status status)
{
    nnc_trainer *trainer = user;
    const char *path = trainer->save;
    (void)status;
    if (!path && trainer->run_dir)
        path = arena_format(trainer->run.arena, "%s/weights.safetensors", trainer->run_dir);
    if (!path)
        return NULL;
    nnc_status saved = save_weights(trainer, path);
    if (saved != NNC_OK)
        trainer->save_status = saved;
    return saved == NNC_OK ? path : NULL;
}

static nnc_status take_initial(nnc_trainer *trainer, const nnc_trainer_options *options)
{
    Run *run = &trainer->run;
    StrBuf matched = {0};
    nnc_status status =
        weights_load(run->program->context, run->trainer, &run->spec, options->init,
                     options->init_partial ? WEIGHTS_PARTIAL : WEIGHTS_TRAINING, &matched);
    trainer->initial = copy_option(run->arena, matched.text);
    strbuf_free(&matched);
    if (status == NNC_OK && !options->init_partial)
        status = weights_check_words(run->program->context, &run->dataset, options->init);
    return status;
}

static nnc_status prepare(nnc_trainer *trainer, const nnc_trainer_options *options)
{
    nnc_status status = NNC_OK;
    Run *run = &trainer->run;
    trainer->on_event = options->on_event;
    trainer->user = options->user;
    trainer->run_dir = copy_option(run->arena, options->run_dir);
    trainer->save = copy_option(run->arena, options->save);
    trainer->init = copy_option(run->arena, options->init);
    run->notes = weights_notes_of_data(run->arena, &run->spec, &run->dataset);
    if (options->resume && trainer->run_dir)
        status = rundir_resume(trainer);
    if (status == NNC_OK && options->init && !trainer->resumed)
        status = take_initial(trainer, options);
    if (status == NNC_OK && trainer->run_dir)
        status = rundir_start(trainer, options->resume);
    trainer_on_event(run->trainer, forward_event, trainer);
    trainer_on_moment(run->trainer, save_at_moment, trainer);
    trainer_on_finish(run->trainer, save_at_end, trainer);
    return status;
}

/* Without a seed: that of the run that wrote the weights, or that goes on. */
static uint64_t seed_of(const nnc_trainer_options *options, const char *init)
{
    uint64_t seed = options->seed;
    if (seed == 0 && init && options->same_parts)
        seed = weights_seed(init);
    if (seed == 0 && options->run_dir && options->resume)
        seed = rundir_seed(options->run_dir);
    return seed;
}

nnc_status nnc_trainer_new(nnc_program *program, const char *block,
                           const nnc_trainer_options *given, nnc_trainer **out)
{
    nnc_trainer_options options;
    context_begin(program->context);
    if (!options_copy(&options, sizeof options, given))
        return context_fail(program->context, NNC_ARGUMENT, ERR_E0901,
                            "trainer options begin with their size");
    if (options.loader_threads < -1 || options.loader_threads > MOST_LOADER_THREADS)
        return context_fail(program->context, NNC_ARGUMENT, ERR_E0901,
                            "a loader has -1 to %d threads", MOST_LOADER_THREADS);
    Arena *arena = arena_new();
    nnc_status status = NNC_OK;
    if (options.init && !(options.init = weights_find(program->context, arena, options.init)))
        status = NNC_DATA;
    nnc_trainer *trainer = status == NNC_OK ? calloc(1, sizeof *trainer) : NULL;
    if (trainer) {
        trainer->references = 1;
        trainer->log = trainer->saved_step = -1;
        status = run_open(&trainer->run, program, block, seed_of(&options, options.init), true,
                          options.loader_threads);
        if (status == NNC_OK)
            status = prepare(trainer, &options);
    } else if (status == NNC_OK) {
        status = NNC_MEMORY;
    }
    arena_free(arena);
    if (status == NNC_OK)
        *out = trainer;
    else
        nnc_trainer_release(trainer);
    return status;
}

void nnc_trainer_release(nnc_trainer *trainer)
{
    if (!trainer || --trainer->references > 0)
        return;
    rundir_close(trainer);
    strbuf_free(&trainer->notice);
    sampler_close(trainer->sampler);
    run_close(&trainer->run);
    free(trainer);
}

nnc_status nnc_trainer_run(nnc_trainer *trainer)
{
    context_begin(trainer->run.program->context);
    nnc_status status = trainer_run(trainer->run.trainer);
    const nnc_status files[] = {trainer->save_status, trainer->checkpoint_status,
                                trainer->log_status};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if ((status == NNC_OK || status == NNC_INTERRUPTED) && files[i] != NNC_OK)
            status = files[i];
    return status;
}

nnc_status nnc_trainer_checkpoint(nnc_trainer *trainer, const char *path)
{
    context_begin(trainer->run.program->context);
    if (!path)
        return context_fail(trainer->run.program->context, NNC_ARGUMENT, ERR_E0901,
                            "a checkpoint needs a path");
    return rundir_checkpoint(trainer, path);
}

nnc_status nnc_trainer_resume(nnc_trainer *trainer, const char *path)
{
    nnc_context *context = trainer->run.program->context;
    const char *found = path;
    StrBuf problem = {0};
    context_begin(context);
    if (!path)
        return context_fail(context, NNC_ARGUMENT, ERR_E0901, "a checkpoint needs a path");
    Checkpoint *checkpoint = checkpoint_find(trainer->run.arena, path, &found, &problem);
    nnc_status status =
        checkpoint ? rundir_take(trainer, checkpoint, found)
                   : context_fail(context, NNC_DATA, ERR_E0807, "%s: %s", path, problem.text);
    checkpoint_close(checkpoint);
    strbuf_free(&problem);
    return status;
}

void nnc_trainer_stop(nnc_trainer *trainer)
{
    trainer_stop(trainer->run.trainer);
}

nnc_status nnc_trainer_evaluate(nnc_trainer *trainer, nnc_part part, const nnc_metric **metrics,
                                size_t *count)
{
    static const char *const names[PART_COUNT] = {"training", "validation", "test"};
    context_begin(trainer->run.program->context);
    if ((int)part < 0 || (int)part >= PART_COUNT)
        return context_fail(trainer->run.program->context, NNC_ARGUMENT, ERR_E0901,
                            "no such part of the data: %d", (int)part);
    if (trainer->run.spec.parts[part].count == 0)
        return context_fail(trainer->run.program->context, NNC_ARGUMENT, ERR_E0612,
                            "the %s part of the data has no rows", names[part]);
    return trainer_evaluate(trainer->run.trainer, part, metrics, count);
}

nnc_status nnc_trainer_save(nnc_trainer *trainer, const char *path)
{
    context_begin(trainer->run.program->context);
    if (!path)
        return context_fail(trainer->run.program->context, NNC_ARGUMENT, ERR_E0901,
                            "weights need a path");
    return save_weights(trainer, path);
}

nnc_status nnc_event_json(const nnc_event *event, char **line)
{
    StrBuf out = {0};
    event_json(event, &out);
    *line = out.text;
    return NNC_OK;
}
