/* Finished objects on disk, by key: what was compiled once is read the next time.
 *
 * Any number of processes may use one folder. An object is written under a temporary name and
 * renamed, so it is whole or not there; it carries its key and a checksum, and one that is
 * damaged counts as not there and is written again. Whatever fails (no folder, no space, no
 * permission), the code is compiled, and the cache says nothing. */
#ifndef NNC_JIT_CACHE_H
#define NNC_JIT_CACHE_H
#include "compiler/codegen/codegen.h"

typedef struct CodeCache CodeCache;

enum { CODE_CACHE_BYTES = 256 << 20 };

/* `folder` is made when the first object is written. Objects that were used least recently are
 * removed when there are more than `limit` bytes of them; 0: CODE_CACHE_BYTES. NULL: memory was
 * refused. */
CodeCache *code_cache_open(const char *folder, int64_t limit);
void code_cache_close(CodeCache *cache); /* NULL is allowed */
ObjectStore code_cache_store(CodeCache *cache);

typedef struct {
    int64_t files, bytes;
} CodeCacheSize;

CodeCacheSize code_cache_size(const char *folder);
/* Removes all objects and nothing else. False: errno says why one is still there. */
bool code_cache_clear(const char *folder);

#endif
