/* The texts of the library (compiler/std/NAME.nn), compiled into the binary. The build makes
 * std_sources.c from the files (cmake/std.cmake); the array is sorted by name. */
#ifndef NNC_STD_STD_H
#define NNC_STD_STD_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name; /* "nn" for compiler/std/nn.nn */
    const char *text; /* NUL-terminated */
    size_t length;
} StdSource;

const StdSource *std_sources(uint32_t *count);

#endif
