/* Objects in memory: links an object produced by codegen and gives addresses of its symbols. */
#ifndef NNC_JIT_JIT_H
#define NNC_JIT_JIT_H
#include "compiler/codegen/codegen.h"

typedef struct Jit Jit;
typedef struct JitUnit JitUnit;

/* A Jit may be used from several threads; a unit from one at a time. */
Jit *jit_new(char **error); /* NULL: *error (malloc'd) */
void jit_free(Jit *jit);    /* the code of all units goes with it */

/* Takes the memory of the objects, also on failure. Several objects as one unit see each other. */
JitUnit *jit_add(Jit *jit, ObjectCode *object, char **error);
JitUnit *jit_add_all(Jit *jit, ObjectList *list, char **error); /* list->count stays */
/* NULL: no such symbol, or the object does not link; jit_error says which (owned by the unit). */
void *jit_symbol(JitUnit *unit, const char *name);
const char *jit_error(const JitUnit *unit);
void jit_remove(JitUnit *unit); /* its code goes at once: nothing of it may be running */

#endif
