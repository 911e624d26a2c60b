/*
 * Loaded into a process before its libc (LD_PRELOAD): the clocks that it reads are the machine's and what SET_CLOCKS adds to
 * them, a file of two 64-bit numbers, nanoseconds, for the wall clock and for the monotonic one. Whoever writes them sets the
 * clocks of that process, at once. Calls nothing that could allocate: an allocator may ask for the time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000L

static const volatile long *added;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SET_CLOCKS");
  int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  void *page = mmap(NULL, 2 * sizeof *added, PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) added = page;
  close(file);
}

static long addedTo(clockid_t clock) {
  if (added == NULL) return 0;
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
      return added[0];
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
      return added[1];
    default:
      return 0;
  }
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  int result = (int)syscall(SYS_clock_gettime, clock, at);
  if (result != 0) return result;
  long more = addedTo(clock);
  long ns = at->tv_nsec + more % SECOND;
  long carry = ns < 0 ? -1 : ns / SECOND;
  at->tv_sec += more / SECOND + carry;
  at->tv_nsec = ns - carry * SECOND;
  return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  struct timespec now;
  int result = clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return result;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at != NULL) *at = now.tv_sec;
  return now.tv_sec;
}
