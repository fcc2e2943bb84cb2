/* The memory plan for people: what is live at the peak, and a picture of the whole arena. */
#ifndef NNC_DRIVER_MEMORY_PICTURE_H
#define NNC_DRIVER_MEMORY_PICTURE_H
#include "compiler/driver/timing.h"

/* Planned bytes, the lower bound, and all that is live at the peak, by line of the model. */
void memory_text(const Schedule *schedule, const SourceMap *sources, StrBuf *out);
/* SVG: time across (groups), address up, coloured by line of the model. */
void memory_svg(const Schedule *schedule, const SourceMap *sources, StrBuf *out);

#endif
