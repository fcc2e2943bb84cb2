/* nnc_trainer: a run with its files. The run directory holds run.json (what was run), log.jsonl
 * (its events), the weights at the end and, when the block asks for checkpoints, the newest of
 * them: step-500.safetensors. */
#include "compiler/driver/run.h"
#include "compiler/driver/trainer_handle.h"
#include "compiler/driver/weights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *copy_option(Arena *arena, const char *text)
{
    return text ? arena_string(arena, text) : NULL;
}

/* Makes every folder on the way. */
static bool make_folders(const char *path)
{
    char *copy = strdup(path);
    bool good = copy != NULL;
    for (char *p = copy; good && *p; p++)
        if (*p == '/' && p != copy) {
            *p = 0;
            good = mkdir(copy, 0777) == 0 || errno == EEXIST;
            *p = '/';
        }
    good = good && (mkdir(copy, 0777) == 0 || errno == EEXIST);
    free(copy);
    return good;
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

static void write_run_json(FILE *file, const nnc_trainer *trainer)
{
    const nnc_program_options *options = &trainer->run.program->options;
    const TrainSpec *spec = &trainer->run.spec;
    StrBuf out = {0};
    strbuf_add(&out, "{\n  \"nnc\": ");
    strbuf_add_json(&out, nnc_version());
    strbuf_add(&out, ",\n  \"file\": ");
    strbuf_add_json(&out, spec->file);
    strbuf_add(&out, ",\n  \"train\": ");
    strbuf_add_json(&out, spec->block);
    strbuf_printf(
        &out, ",\n  \"seed\": %llu,\n  \"batch\": %lld,\n  \"epochs\": %lld,\n  \"steps\": %lld",
        (unsigned long long)spec->seed, (long long)spec->batch, (long long)spec->epochs,
        (long long)trainer_planned_steps(spec));
    strbuf_printf(&out,
                  ",\n  \"shuffle\": %s,\n  \"threads\": %d,\n  \"f64\": %s,\n  \"engine\": \"%s\"",
                  spec->shuffle ? "true" : "false", spec->threads, options->f64 ? "true" : "false",
                  options->interpret ? "ref" : "jit");
    if (trainer->init) {
        strbuf_add(&out, ",\n  \"init\": ");
        strbuf_add_json(&out, trainer->init);
    }
    add_list(&out, "defines", options->defines, options->define_count);
    add_list(&out, "settings", options->settings, options->setting_count);
    strbuf_add(&out, "\n}\n");
    fputs(out.text, file);
    strbuf_free(&out);
}

static nnc_status open_run_directory(nnc_trainer *trainer)
{
    nnc_context *context = trainer->run.program->context;
    const char *folder = trainer->run_dir;
    if (!make_folders(folder))
        return context_fail(context, NNC_DATA, ERR_E0806, "cannot make the folder %s: %s", folder,
                            strerror(errno));
    FILE *file = fopen(arena_format(trainer->run.arena, "%s/run.json", folder), "w");
    trainer->log = fopen(arena_format(trainer->run.arena, "%s/log.jsonl", folder), "w");
    if (file)
        write_run_json(file, trainer);
    if (!file || fclose(file) != 0 || !trainer->log)
        return context_fail(context, NNC_DATA, ERR_E0806, "cannot write in %s: %s", folder,
                            strerror(errno));
    return NNC_OK;
}

static nnc_status save_weights(nnc_trainer *trainer, const char *path)
{
    return weights_save(trainer->run.program->context, trainer->run.trainer, &trainer->run.spec,
                        trainer->run.notes, path);
}

/* "DIR/step-500.safetensors", to be freed. */
static StrBuf checkpoint_path(const nnc_trainer *trainer, int64_t step)
{
    StrBuf path = {0};
    strbuf_printf(&path, "%s/step-%lld.safetensors", trainer->run_dir, (long long)step);
    return path;
}

/* The newest `keep` files stay. */
static void save_checkpoint(nnc_trainer *trainer, int64_t step)
{
    const TrainSettings *settings = &trainer->run.plan->settings;
    if (!trainer->run_dir || !settings->has_checkpoint || settings->checkpoint_every < 1 ||
        step % settings->checkpoint_every != 0)
        return;
    StrBuf path = checkpoint_path(trainer, step);
    nnc_status status = save_weights(trainer, path.text);
    strbuf_free(&path);
    if (status != NNC_OK) {
        trainer->save_status = status;
        return;
    }
    int64_t keep = settings->checkpoint_keep, before = step / settings->checkpoint_every;
    if (keep < 1 || before <= keep)
        return;
    path = checkpoint_path(trainer, (before - keep) * settings->checkpoint_every);
    remove(path.text);
    strbuf_free(&path);
}

static void forward_event(void *user, const nnc_event *event)
{
    nnc_trainer *trainer = user;
    if (event->kind == NNC_EVENT_STEP)
        save_checkpoint(trainer, event->step);
    if (trainer->log && event->kind != NNC_EVENT_STEP) {
        StrBuf line = {0};
        event_json(event, &line);
        fprintf(trainer->log, "%s\n", line.text);
        fflush(trainer->log);
        strbuf_free(&line);
    }
    if (!trainer->on_event)
        return;
    nnc_event copy = *event;
    if (event->kind == NNC_EVENT_START)
        copy.initial = trainer->initial;
    trainer->on_event(trainer->user, &copy);
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
    if (options->init) {
        StrBuf matched = {0};
        status = weights_load(run->program->context, run->trainer, &run->spec, options->init,
                              options->init_partial ? WEIGHTS_PARTIAL : WEIGHTS_TRAINING, &matched);
        trainer->initial = copy_option(run->arena, matched.text);
        strbuf_free(&matched);
        if (status == NNC_OK && !options->init_partial)
            status = weights_check_words(run->program->context, &run->dataset, options->init);
    }
    if (status == NNC_OK && trainer->run_dir)
        status = open_run_directory(trainer);
    trainer_on_event(run->trainer, forward_event, trainer);
    trainer_on_finish(run->trainer, save_at_end, trainer);
    return status;
}

nnc_status nnc_trainer_new(nnc_program *program, const char *block,
                           const nnc_trainer_options *given, nnc_trainer **out)
{
    nnc_trainer_options options;
    context_begin(program->context);
    if (!options_copy(&options, sizeof options, given))
        return context_fail(program->context, NNC_ARGUMENT, ERR_E0901,
                            "trainer options begin with their size");
    nnc_trainer *trainer = calloc(1, sizeof *trainer);
    if (!trainer)
        return NNC_MEMORY;
    trainer->references = 1;
    uint64_t seed = options.seed;
    if (seed == 0 && options.init && options.same_parts)
        seed = weights_seed(options.init);
    nnc_status status = run_open(&trainer->run, program, block, seed, true);
    if (status == NNC_OK)
        status = prepare(trainer, &options);
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
    if (trainer->log)
        fclose(trainer->log);
    run_close(&trainer->run);
    free(trainer);
}

nnc_status nnc_trainer_run(nnc_trainer *trainer)
{
    context_begin(trainer->run.program->context);
    nnc_status status = trainer_run(trainer->run.trainer);
    return status == NNC_OK ? trainer->save_status : status;
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
