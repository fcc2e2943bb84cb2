/* Weights on disk. A safetensors file is
 *
 *   8 bytes    length n of the header, little endian
 *   n bytes    JSON: {"__metadata__": {"key": "text"}, "fc1.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *   the rest   the elements, little endian; offsets count from here, the ranges cover it without gaps or overlaps
 *
 * Types: F32 F64 I32 I64 U8 BOOL. Nothing in a file is trusted: lengths, offsets, shapes and
 * names are checked before use. Errors go to `diag` under E0700..E0702 at `span`. */
#ifndef NNC_TENSOR_SAFETENSORS_H
#define NNC_TENSOR_SAFETENSORS_H
#include "runtime/base/diag.h"
#include "runtime/base/file.h"
#include "runtime/tensor/tensor.h"

typedef struct SafeTensors SafeTensors;

SafeTensors *safetensors_open(const char *path, Diag *diag, Span span); /* NULL: an error was reported */
void safetensors_close(SafeTensors *file);                              /* NULL is allowed */
int safetensors_count(const SafeTensors *file);
uint64_t safetensors_hash(const SafeTensors *file, int64_t *bytes); /* file_hash of the whole file, and its length */
/* In the order of the file. The tensor and its data belong to the file; data is aligned for the
 * type. */
const char *safetensors_name(const SafeTensors *file, int i);
const Tensor *safetensors_tensor(const SafeTensors *file, int i);
const Tensor *safetensors_find(const SafeTensors *file, const char *name); /* NULL: none */
int safetensors_metadata_count(const SafeTensors *file);
const char *safetensors_metadata_key(const SafeTensors *file, int i);
const char *safetensors_metadata(const SafeTensors *file, const char *key); /* NULL: none */

/* One tensor to write; data is borrowed. */
typedef struct {
    const char *name;
    DType dtype;
    int rank;
    int64_t sizes[TENSOR_MAX_RANK];
    const void *data;
} SafeEntry;

typedef struct {
    const char *key, *value;
} SafeMetadata;

/* Writes the file whole or not at all (runtime/base/file.h): after any failure the old one is
 * still there. The bytes are a function of the contents: elements in descending size of their
 * type, then by name; metadata by key. Names are unique. false: an error was reported. */
bool safetensors_write(const char *path, const SafeEntry *entries, int count, const SafeMetadata *metadata,
                       int metadata_count, Diag *diag, Span span);
/* The same bytes into a file that was begun; the caller commits it. */
bool safetensors_write_into(FileWriter *file, const SafeEntry *entries, int count, const SafeMetadata *metadata,
                            int metadata_count);

#endif
