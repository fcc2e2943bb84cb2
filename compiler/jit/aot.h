/* Ahead of time: a program as a relocatable object and a C header that need nothing of nnc.
 *
 *   cc app.c model.o -lm          with #include "model.h" in app.c
 *
 * The header is self-contained C99 (C++ too). For a program NAME with a free dimension B, an
 * input `image` and an output `logits` it declares
 *
 *   typedef struct { const float *fc_w; ... } NAME_params;          unless the weights are embedded
 *   int64_t NAME_workspace(int64_t B);                              bytes that NAME_forward wants
 *   int NAME_forward(const NAME_params *params, int64_t B, const float *image, float *logits,
 *                    void *workspace);
 *
 * pure functions over memory of the caller, safe from several threads with a workspace each.
 * NAME_forward gives 0, or 1 + the number of the check that failed; NAME_workspace gives -1 for
 * sizes that the model does not take. Names that are no C identifiers, or taken, are changed;
 * shapes and original names stand beside. */
#ifndef NNC_JIT_AOT_H
#define NNC_JIT_AOT_H
#include "compiler/codegen/codegen.h"

/* Two sizes that must be equal: C expressions over dims[], nnc_aot_floor(a, b) and
 * nnc_aot_max(a, b). */
typedef struct {
    const char *left, *right;
    const char *text; /* for a comment */
} AotRelation;

typedef struct {
    const char *triple, *cpu, *features; /* as in CodegenOptions */
    const char *name;                    /* prefix of the C functions; NULL: the program's name */
    /* By index of the external buffer: bytes of a param or state to carry in the object, or NULL.
     * NULL: none is embedded. Either all params and states have data or none has. */
    const void *const *weights;
    const size_t *weight_bytes;
    const AotRelation *relations;
    uint32_t relation_count;
} AotOptions;

/* Writes both files. False: *error (malloc'd) says why, and neither file is left behind. */
bool aot_write(const KProgram *program, const AotOptions *options, const char *object_path,
               const char *header_path, char **error);
/* The text of the header alone; `name` is the prefix, a C identifier. */
void aot_header(const KProgram *program, const char *name, const AotOptions *options, StrBuf *out);

#endif
