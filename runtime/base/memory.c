/* A step walks through hundreds of megabytes, often a row of a matrix at a time, and each page that
 * it touches costs an address translation, in a virtual machine two. Pages of 2 MiB need 512 times
 * fewer of them:
 *
 *   weights 50257 x 768, 154 MB:   37,700 pages of 4 KiB   74 of 2 MiB
 *
 * They are asked for only where a whole one fits, so that nothing more becomes resident than is
 * used, and a system without them goes on with small ones. */
#include "runtime/base/memory.h"

#include <stdlib.h>
#include <sys/mman.h>

#ifdef NNC_GUARD
#define LINE ((size_t)4096) /* where an arena has guard pages, it begins with a page */
#else
#define LINE ((size_t)64)
#endif
#define LARGE_PAGE ((size_t)2 << 20)

void *memory_new(size_t bytes)
{
    void *memory = NULL;
    size_t whole = bytes / LARGE_PAGE * LARGE_PAGE;
    if (posix_memalign(&memory, whole > LARGE_PAGE ? LARGE_PAGE : LINE, bytes ? bytes : 1) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (whole > LARGE_PAGE)
        (void)madvise(memory, whole, MADV_HUGEPAGE);
#endif
    return memory;
}
