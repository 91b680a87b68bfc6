/* Preloaded into a program, sets its clock wrong by WRONG_CLOCK seconds: the time of day alone, never what is counted
   from the start of the machine. What waits until a time of day is told the machine's own. */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long wrong(void) {
  const char *seconds = getenv("WRONG_CLOCK");
  return seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += wrong();
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int failed = syscall(SYS_gettimeofday, now, zone);
  if (!failed) now->tv_sec += wrong();
  return failed;
}

time_t time(time_t *now) {
  struct timespec present;
  clock_gettime(CLOCK_REALTIME, &present);
  if (now) *now = present.tv_sec;
  return present.tv_sec;
}
