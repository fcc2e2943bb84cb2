/* What to do when a loss or a parameter is not finite. A step updates in place, so the weights
 * that it began with are gone; but a step is a pure function of them, and a copy of everything
 * is at most an epoch old. Going back to the copy and making the steps again, with a look at
 * every parameter after each, finds the first step that did harm; going back once more and
 * making only those before it leads to its beginning, which becomes the copy. From there the
 * same step is run in checking mode, which names the first operation whose result is not finite.
 * The run ends with the weights from before that step. */
#include "runtime/train/trainer_private.h"

#include <math.h>
#include <string.h>

bool tensor_is_finite(const RunTensor *spec, const void *data)
{
    size_t count = tensor_bytes(spec) / dtype_bytes(spec->dtype);
    for (size_t i = 0; i < count; i++)
        if (spec->dtype == DT_F32    ? !isfinite(((const float *)data)[i])
            : spec->dtype == DT_F64  ? !isfinite(((const double *)data)[i])
            : spec->dtype == DT_F16  ? (((const uint16_t *)data)[i] & 0x7C00) == 0x7C00
            : spec->dtype == DT_BF16 ? (((const uint16_t *)data)[i] & 0x7F80) == 0x7F80
                                     : false)
            return false;
    return true;
}

bool step_is_bad(Trainer *trainer, double loss, StrBuf *what)
{
    if (!isfinite(loss)) {
        if (what)
            strbuf_printf(what, "the loss is %s at step",
                          isnan(loss) ? "not a number" : "infinite");
        return true;
    }
    for (int i = 0; i < trainer->spec->tensor_count; i++) {
        const RunTensor *tensor = &trainer->spec->tensors[i];
        if (tensor->role != ROLE_PARAM || tensor_is_finite(tensor, trainer->tensors[i]))
            continue;
        if (what)
            strbuf_printf(what, "%s is not finite after step", tensor->name);
        return true;
    }
    return false;
}

typedef struct {
    const int64_t *order;
    int64_t first; /* step of the run that the epoch began with */
    int64_t rows;  /* of the bad step */
    StrBuf what;
} Replay;

/* From the snapshot on, up to the step after which something is bad, or to `last`. False:
 * refused. */
static bool make_again(Trainer *trainer, Replay *replay, int64_t last, bool look)
{
    if (!snapshot_restore(trainer))
        return false;
    for (; trainer->step < last; trainer->step++) {
        if (step_call(trainer, replay->order, trainer->step - replay->first, &replay->rows) !=
            NNC_OK)
            return false;
        if (look && step_is_bad(trainer, step_output(trainer, "loss"), &replay->what))
            return true;
    }
    return !look;
}

/* True: the step after trainer->step is the first that does harm, its batch is the one at hand,
 * and the tensors are as it finds them. */
static bool find_bad_step(Trainer *trainer, Replay *replay, int64_t last)
{
    if (!trainer->can_replay || !make_again(trainer, replay, last, true))
        return false;
    int64_t bad = trainer->step;
    if (bad == trainer->snapshot_step)
        return snapshot_restore(trainer);
    return make_again(trainer, replay, bad, false) && snapshot_take(trainer) &&
           trainer->can_replay &&
           step_call(trainer, replay->order, bad - replay->first, &replay->rows) == NNC_OK &&
           snapshot_restore(trainer);
}

static bool inspect(Trainer *trainer, int64_t rows, Finding *finding)
{
    const Binding *binding = &trainer->train;
    int64_t dims[FUNCTION_RANK];
    for (int i = 0; i < binding->function->dim_count; i++)
        dims[i] = rows;
    trainer->scalar_step = trainer->step;
    return session_inspect(trainer->session, binding->function, dims, binding->buffers,
                           trainer->spec->seed, random_step(trainer), finding);
}

/* What the loader made of a row was wrong already: the map of the dataset says more. */
static void inspect_rows(Trainer *trainer, Finding *finding)
{
    Finding row = {0};
    if (!trainer->loader ||
        strncmp(finding->what.text, LOADER_PREFIX, strlen(LOADER_PREFIX)) != 0 ||
        !loader_inspect(trainer->loader, &row))
        return;
    strbuf_free(&finding->what);
    strbuf_free(&finding->inputs);
    *finding = row;
}

static void report(Trainer *trainer, const Replay *replay)
{
    Finding finding = {0};
    bool found = inspect(trainer, trainer->batch_rows, &finding);
    if (found)
        inspect_rows(trainer, &finding);
    DiagItem *item = diag_error(trainer->diag, ERR_E0800, finding.span, finding.what.text,
                                "%s %lld", replay->what.text, (long long)trainer->step + 1);
    if (found && finding.span.file == 0)
        diag_note(item, (Span){0}, "the first result that is not finite: %s", finding.what.text);
    for (char *line = found ? finding.inputs.text : NULL; line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = 0;
        diag_note(item, (Span){0}, "its input %s", line);
        line = end && end[1] ? end + 1 : NULL;
    }
    diag_help(item, "the weights from before step %lld are kept", (long long)trainer->step + 1);
    strbuf_free(&finding.what);
    strbuf_free(&finding.inputs);
}

nnc_status diverged(Trainer *trainer, const int64_t *order, int64_t last)
{
    Replay replay = {.order = order, .first = trainer->epoch * steps_of_epoch(trainer->spec)};
    StrBuf seen = {0};
    loader_rest(trainer->loader); /* steps are made again */
    step_is_bad(trainer, step_output(trainer, "loss"), &seen);
    if (find_bad_step(trainer, &replay, last)) {
        report(trainer, &replay);
    } else { /* refused memory, or a host function that is no function */
        bool back = snapshot_restore(trainer);
        DiagItem *item = diag_error(trainer->diag, ERR_E0800, (Span){0}, NULL, "%s %lld", seen.text,
                                    (long long)last);
        if (!back)
            diag_note(item, (Span){0},
                      "the copy of the weights cannot be read back from its file: those of the bad "
                      "step are kept");
    }
    strbuf_free(&replay.what);
    strbuf_free(&seen);
    return NNC_DIVERGED;
}
