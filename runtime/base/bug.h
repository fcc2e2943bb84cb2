/* Our own mistakes: NNC_BUG ends the process with a message that names the place. Never used for
 * a user's mistake, bad data or a full disk. NNC_ASSERT is on in Debug, in tests and in the
 * hostile build. */
#ifndef NNC_BASE_BUG_H
#define NNC_BASE_BUG_H

_Noreturn void nnc_bug(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define NNC_BUG(...) nnc_bug(__FILE__, __LINE__, __VA_ARGS__)
#ifdef NDEBUG
#define NNC_ASSERT(condition) ((void)sizeof(condition))
#else
#define NNC_ASSERT(condition) ((condition) ? (void)0 : NNC_BUG("assertion failed: %s", #condition))
#endif

#endif
