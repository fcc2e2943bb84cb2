/* Weights: parameters, states and statistics by name, in safetensors. */
#include "compiler/driver/weights.h"

#include "runtime/tensor/safetensors.h"

#include <stdlib.h>
#include <string.h>

static bool is_saved(const RunTensor *tensor)
{
    return tensor->role == ROLE_PARAM || tensor->role == ROLE_STATE || tensor->role == ROLE_STAT;
}

nnc_status weights_save(nnc_context *context, Trainer *trainer, const TrainSpec *spec, const char *path)
{
    SafeEntry *entries = calloc((size_t)spec->tensor_count + 1, sizeof *entries);
    int count = 0;
    for (int i = 0; entries && i < spec->tensor_count; i++) {
        const RunTensor *tensor = &spec->tensors[i];
        if (!is_saved(tensor))
            continue;
        SafeEntry *entry = &entries[count++];
        *entry = (SafeEntry){.name = tensor->name, .dtype = tensor->dtype, .rank = tensor->rank};
        memcpy(entry->sizes, tensor->sizes, sizeof entry->sizes);
        entry->data = trainer_tensor_at(trainer, i);
    }
    SafeMetadata metadata[] = {{"format", "nnc"}, {"nnc", nnc_version()}};
    bool written = entries && safetensors_write(path, entries, count, metadata, 2, context->diag, (Span){0});
    free(entries);
    return written ? NNC_OK : NNC_DATA;
}

static bool load_one(nnc_context *context, Trainer *trainer, const RunTensor *tensor, int index, const SafeTensors *file,
                     const char *path, bool partial)
{
    const Tensor *found = safetensors_find(file, tensor->name);
    if (!found) {
        if (!partial)
            diag_error(context->diag, ERR_E0700, (Span){0}, NULL, "%s has no tensor %s", path, tensor->name);
        return partial;
    }
    if (!tensor_same_shape(found->rank, found->sizes, tensor->rank, tensor->sizes) ||
        (found->dtype != tensor->dtype && !(dtype_is_float(found->dtype) && dtype_is_float(tensor->dtype)))) {
        diag_error(context->diag, ERR_E0700, (Span){0}, NULL, "%s: %s has another shape or type than the program's",
                   path, tensor->name);
        return false;
    }
    void *data = trainer_tensor_at(trainer, index);
    for (int64_t i = 0; i < found->count && found->dtype != tensor->dtype; i++) {
        if (tensor->dtype == DT_F64)
            ((double *)data)[i] = ((const float *)found->data)[i];
        else
            ((float *)data)[i] = (float)((const double *)found->data)[i];
    }
    if (found->dtype == tensor->dtype)
        memcpy(data, found->data, found->bytes);
    return true;
}

static bool reject_unknown(nnc_context *context, Trainer *trainer, const TrainSpec *spec, const SafeTensors *file,
                           const char *path)
{
    const char **names = calloc((size_t)spec->tensor_count + 1, sizeof *names);
    bool good = names != NULL;
    for (int i = 0; names && i < spec->tensor_count; i++)
        names[i] = spec->tensors[i].name;
    for (int i = 0; good && i < safetensors_count(file); i++) {
        const char *name = safetensors_name(file, i);
        if (trainer_tensor_index(trainer, name) >= 0)
            continue;
        const char *nearest = diag_nearest(name, names, (uint32_t)spec->tensor_count);
        DiagItem *item =
            diag_error(context->diag, ERR_E0700, (Span){0}, NULL, "%s has a tensor %s that the program has not", path, name);
        if (nearest)
            diag_help(item, "the program has %s", nearest);
        good = false;
    }
    free(names);
    return good;
}

nnc_status weights_load(nnc_context *context, Trainer *trainer, const TrainSpec *spec, const char *path, bool partial)
{
    SafeTensors *file = safetensors_open(path, context->diag, (Span){0});
    bool good = file != NULL;
    for (int i = 0; file && i < spec->tensor_count; i++)
        if (is_saved(&spec->tensors[i]))
            good &= load_one(context, trainer, &spec->tensors[i], i, file, path, partial || spec->tensors[i].role == ROLE_STAT);
    if (good && !partial)
        good = reject_unknown(context, trainer, spec, file, path);
    safetensors_close(file);
    return good ? NNC_OK : NNC_DATA;
}
