/*
 * detach.h - a process that a call leaves behind
 */
#ifndef WALSHIP_DETACH_H
#define WALSHIP_DETACH_H

#include <stdbool.h>

/* Runs in the new process; does not return. */
typedef void (*detach_main)(void *arg);

/*
 * Forks twice, so that the new process' parent is gone and nobody has to wait
 * for it; between the two it gets its own session.  It has all descriptors and
 * all memory of this one, but locked memory is not locked in it.  False:
 * there is no room for processes.
 */
extern bool detach(detach_main run, void *arg);

#endif
