/* A pull reader for the JSON of safetensors headers and tokenizers: objects, arrays, integers,
 * strings. The caller knows what comes next and asks for it; the first thing that is not there
 * stops the reader and every later question fails. */
#ifndef NNC_TENSOR_JSON_H
#define NNC_TENSOR_JSON_H
#include "runtime/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *at, *end;
    Arena *arena;         /* of the strings */
    const char *problem;  /* NULL: all is well */
} Json;

bool json_take(Json *json, char sign);      /* the next sign, if it is this one */
bool json_expect(Json *json, char sign);    /* the next sign must be this one */
const char *json_string(Json *json);        /* NULL: a problem; never contains a NUL */
bool json_integer(Json *json, int64_t *value); /* 0 or more */
bool json_skip(Json *json);                 /* one value of any kind */
bool json_at_end(Json *json);               /* only spaces are left */
bool json_fail(Json *json, const char *problem); /* false */

#endif
