/* The loader: rows that are made before a step, where the map of a dataset draws random numbers or
 * cannot run on a whole batch.
 *
 *   rows of the data         image      u8[28, 28]
 *   map, row by row          map.image  f32[1, 28, 28]
 *   input of the step        map.image  f32[B, 1, 28, 28]
 *
 * A compiled function makes one row. Threads of the loader make whole batches ahead of the step, at
 * most `prefetch` of them; the step reads them where they lie. The random numbers of a row are a
 * function of (seed, epoch, number of the row in its table), so a row is the same whatever the
 * batch, the number of threads or what was made before: a run that goes on in the middle of an
 * epoch begins with the batch that comes next. Threads live from loader_begin to loader_end, never
 * longer than a pass over rows.
 *
 * Ownership: belongs to its trainer; what it points at outlives it. */
#ifndef NNC_TRAIN_LOADER_H
#define NNC_TRAIN_LOADER_H
#include "runtime/train/trainer.h"

#define LOADER_PREFIX "map." /* of the inputs of a step that the loader fills */

typedef struct Loader Loader;

/* map: INPUT name: one row of the column of that name; STATE, PARAM: tensors of the trainer; OUTPUT
 * "map.NAME"; no free dims. `rows` of a full batch. threads 0: rows are made when they are asked
 * for. NULL: memory was refused. */
Loader *loader_new(Trainer *trainer, const Function *map, const DataTable *table, int64_t rows,
                   int threads, int64_t prefetch);
void loader_free(Loader *loader); /* NULL is allowed */
int loader_usual_threads(void);   /* for this machine, at least 1 */

/* A pass over `part` in the order of `order` (NULL: as it is), of which batches first .. end are
 * wanted: batch b has the rows from b * rows on. Ends the pass before. Threads that cannot be
 * started are missing, and nothing else. */
void loader_begin(Loader *loader, const DataPart *part, const int64_t *order, uint64_t epoch,
                  int64_t first, int64_t end);
/* Stops and joins the threads; batches of the pass can still be taken, in any order. NULL is
 * allowed. */
void loader_rest(Loader *loader);
/* The same, and the pass is over. NULL is allowed. */
void loader_end(Loader *loader);

/* Batch `batch` is the current one; with threads running, the next of the pass. NNC_DATA,
 * NNC_MEMORY: a row could not be made, which was said. */
nnc_status loader_take(Loader *loader, int64_t batch);
/* Where output `name` of the rows of the current batch lies; NULL: there is no such output. */
void *loader_column(const Loader *loader, const char *name);
/* The first row of the current batch that is not finite although what it was made of is. */
bool loader_inspect(Loader *loader, Finding *finding);
/* Seconds that loader_take has taken since loader_begin; NULL: 0. */
double loader_waited(const Loader *loader);

#endif
