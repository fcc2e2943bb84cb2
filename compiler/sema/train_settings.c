/* Settings of a train block, and which params are frozen.
 *
 *   batch = 128; clip_norm = 1.0; freeze = "embed.*"
 *
 * becomes TrainSettings {batch 128, clip_norm 1} and trainable = false for params that match. */
#include "compiler/sema/internal.h"

#include <math.h>
#include <string.h>

/* ---- Settings ---- */

enum { USUAL_PREFETCH = 2, MOST_PREFETCH = 1024 };

static bool read_early_stop(Sema *s, const Block *block, Scope *scope, TrainSettings *set)
{
    static const char *const known[] = {"monitor", "patience", "min_delta", NULL};
    Block sub;
    set->has_early_stop = block_sub(s, block, "early_stop", &sub);
    set->patience = 1;
    set->monitor = "valid/loss";
    sub.what = "early_stop";
    if (set->has_early_stop)
        block_check(s, &sub, known);
    sub.what = "train.early_stop";
    const AstExpr *monitor = block_value(s, &sub, "monitor", &set->monitor_span);
    Value v = monitor ? eval_in(s, scope, monitor) : value_none;
    return (!monitor || want_string(s, &v, monitor->span, "monitor", &set->monitor)) &&
           block_int(s, &sub, scope, "patience", 1, &set->patience, NULL) &&
           block_real(s, &sub, scope, "min_delta", 0, INFINITY, &set->min_delta, NULL);
}

static bool read_checkpoint(Sema *s, const Block *block, Scope *scope, TrainSettings *set)
{
    static const char *const known[] = {"every", "minutes", "keep", NULL};
    Block sub;
    set->has_checkpoint = block_sub(s, block, "checkpoint", &sub);
    set->checkpoint_keep = 3;
    sub.what = "checkpoint";
    if (set->has_checkpoint)
        block_check(s, &sub, known);
    sub.what = "train.checkpoint";
    bool ok = block_int(s, &sub, scope, "every", 1, &set->checkpoint_every, NULL) &&
              block_real(s, &sub, scope, "minutes", 0, INFINITY, &set->checkpoint_minutes, NULL) &&
              block_int(s, &sub, scope, "keep", 1, &set->checkpoint_keep, NULL);
    set->has_checkpoint |= set->checkpoint_every > 0 || set->checkpoint_minutes > 0;
    return ok;
}

/* precision = bf16: products of the model, with masters in f32. */
static bool read_precision(Sema *s, const Block *block, Scope *scope, TrainSettings *set)
{
    const AstExpr *expr = block_value(s, block, "precision", NULL);
    set->precision = DT_F32;
    if (!expr)
        return true;
    Value v = eval_in(s, scope, expr);
    if (v.kind == VALUE_POISON)
        return false;
    bool named = v.kind == VALUE_BUILTIN && dtype_from_name(v.as.builtin->name, &set->precision);
    if (named && (set->precision == DT_F32 || dtype_is_small_float(set->precision)))
        return true;
    sema_error(s, ERR_E0200, expr->span, NULL, "precision is f32, bf16 or f16, and this is %s",
               value_text(s, &v));
    return false;
}

bool train_settings(Sema *s, const Block *block, Scope *scope, TrainSettings *set)
{
    set->batch = 32;
    set->seed = -1;
    set->shuffle = true;
    bool ok = block_int(s, block, scope, "batch", 1, &set->batch, &set->batch_span);
    ok = block_int(s, block, scope, "epochs", 1, &set->epochs, &set->epochs_span) && ok;
    ok = block_int(s, block, scope, "steps", 1, &set->steps, &set->steps_span) && ok;
    ok = block_int(s, block, scope, "seed", 0, &set->seed, NULL) && ok;
    ok = block_bool(s, block, scope, "shuffle", &set->shuffle) && ok;
    ok = block_bool(s, block, scope, "drop_last", &set->drop_last) && ok;
    set->accumulate = 1;
    ok = block_int(s, block, scope, "accumulate", 1, &set->accumulate, NULL) && ok;
    set->prefetch = USUAL_PREFETCH;
    Span prefetch = {0};
    ok = block_int(s, block, scope, "prefetch", 1, &set->prefetch, &prefetch) && ok;
    if (set->prefetch > MOST_PREFETCH) {
        sema_error(s, ERR_E0205, prefetch, NULL, "prefetch is at most %d batches", MOST_PREFETCH);
        ok = false;
    }
    ok = block_real(s, block, scope, "clip_norm", 1e-30, 1e30, &set->clip_norm, NULL) && ok;
    ok = block_real(s, block, scope, "clip_value", 1e-30, 1e30, &set->clip_value, NULL) && ok;
    ok = block_real(s, block, scope, "ema", 0, 1, &set->ema, NULL) && ok;
    set->loss_scale = 1;
    ok = block_real(s, block, scope, "loss_scale", 1e-30, 1e30, &set->loss_scale, NULL) && ok;
    ok = read_precision(s, block, scope, set) && ok;
    ok = read_early_stop(s, block, scope, set) && ok;
    return read_checkpoint(s, block, scope, set) && ok;
}

/* ---- Frozen parts ---- */

static bool apply_pattern(Sema *s, TensorSpecs *tensors, const Value *v, Span span, bool trainable)
{
    const char *pattern;
    bool found = false;
    if (!want_string(s, v, span, "a pattern of names", &pattern))
        return false;
    for (uint32_t i = 0; i < tensors->count; i++) {
        TensorSpec *spec = &tensors->data[i];
        if (spec->role != TENSOR_PARAM || !pattern_matches(pattern, spec->name))
            continue;
        found = true;
        spec->trainable = trainable;
    }
    return found || report_pattern(s, tensors, pattern, span);
}

/* A pattern or an array of them. */
static bool apply_patterns(Sema *s, Scope *scope, TensorSpecs *tensors, const AstExpr *expr,
                           bool trainable)
{
    Value v = eval_in(s, scope, expr);
    if (v.kind != VALUE_ARRAY && v.kind != VALUE_TUPLE)
        return apply_pattern(s, tensors, &v, expr->span, trainable);
    bool ok = true;
    for (uint32_t i = 0; i < v.as.list->count; i++)
        ok = apply_pattern(s, tensors, &v.as.list->items[i], expr->span, trainable) && ok;
    return ok;
}

bool train_frozen(Sema *s, const Block *block, Scope *scope, TensorSpecs *tensors)
{
    const AstExpr *trainable = block_value(s, block, "trainable", NULL);
    const AstExpr *freeze = block_value(s, block, "freeze", NULL);
    for (uint32_t i = 0; trainable && i < tensors->count; i++)
        tensors->data[i].trainable = false;
    bool ok = !trainable || apply_patterns(s, scope, tensors, trainable, true);
    return (!freeze || apply_patterns(s, scope, tensors, freeze, false)) && ok;
}
