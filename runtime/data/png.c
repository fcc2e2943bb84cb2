/* Pictures to PNG files, through libpng: eight bits a channel, rows from the top. */
#include "runtime/data/reader.h"

#include "runtime/base/file.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

static unsigned char level(float value)
{
    if (!(value > 0))
        return 0;
    return value >= 1 ? 255 : (unsigned char)floorf(value * 255 + 0.5f);
}

/* [C, H, W] to rows of pixels. NULL: memory was refused. */
static unsigned char *pixels_of(const float *values, int64_t channels, int64_t places)
{
    unsigned char *pixels = malloc((size_t)(channels * places) + 1);
    for (int64_t i = 0; pixels && i < places; i++)
        for (int64_t c = 0; c < channels; c++)
            pixels[i * channels + c] = level(values[c * places + i]);
    return pixels;
}

/* The bytes of the file, malloc'd. NULL: libpng refused. */
static void *encoded(const unsigned char *pixels, int64_t channels, int64_t height, int64_t width,
                     size_t *bytes)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t room = PNG_IMAGE_PNG_SIZE_MAX(image);
    void *data = malloc(room);
    if (!data || !png_image_write_to_memory(&image, data, &room, 0, pixels, 0, NULL)) {
        png_image_free(&image);
        free(data);
        return NULL;
    }
    *bytes = room;
    return data;
}

bool png_write(const char *path, const float *values, int64_t channels, int64_t height,
               int64_t width, Span span, Diag *diag)
{
    enum { LARGEST_SIDE = 1 << 16 };
    size_t bytes = 0;
    bool fits = height > 0 && width > 0 && height <= LARGEST_SIDE && width <= LARGEST_SIDE;
    unsigned char *pixels = fits ? pixels_of(values, channels, height * width) : NULL;
    void *data = pixels ? encoded(pixels, channels, height, width, &bytes) : NULL;
    bool good = data && file_replace(path, data, bytes);
    if (!good)
        diag_error(diag, ERR_E0806, span, NULL, "cannot write the picture %s: %s", path,
                   data     ? strerror(errno)
                   : pixels ? "libpng refuses it"
                   : fits   ? "no memory"
                            : "its sides must be 1 to 65536");
    free(data);
    free(pixels);
    return good;
}
