/* Memory for numbers: on lines of the cache, and where there is much of it on large pages. */
#ifndef NNC_BASE_MEMORY_H
#define NNC_BASE_MEMORY_H
#include <stddef.h>

/* At a multiple of 64, not cleared; given back with free. NULL: refused. */
void *memory_new(size_t bytes);

#endif
