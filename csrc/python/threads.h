/*
 * Splitting a long operation over threads. The only file besides its .c that knows of
 * threads.
 */
#ifndef RELU_EXT_THREADS_H
#define RELU_EXT_THREADS_H

#include <stddef.h>

enum { RELU_EXT_PAGE = 4096 };

/*
 * An operation that can be done in parts. part(context, begin, end) is called for ranges that
 * make up 0 to count; none is empty. They are cut where (past_grain + begin) is a multiple of
 * `grain`, for example at the pages of the output, so that no two threads write to one line or
 * fault in one page; 0 stands for a grain of 1.
 */
struct relu_ext_parallel {
    void (*part)(void *context, size_t begin, size_t end);
    void *context;
    size_t count, bytes; /* that it moves: whether threads are worth it */
    size_t grain, past_grain;
};

/* On this thread, and on others that are free meanwhile if it is long enough. */
void relu_ext_parallel_for(struct relu_ext_parallel operation);

/*
 * The number of threads that a long operation called from here would run on: the number set
 * below, but no more than there are CPUs for it, or than the environment says of them.
 */
int relu_ext_get_num_threads(void);

/* At least 1; INT_MAX at first. Holds for the whole process, from the next operation on. */
void relu_ext_set_num_threads(int n);
int relu_ext_get_num_threads_asked(void);

/* A number to take for that of the CPUs, 0 to ask the system; and the most threads of all. */
void relu_ext_set_most_threads(int cpus, int limit);

/* Operations that move at least this many bytes are split; 0 for the default. */
size_t relu_ext_get_parallel_bytes(void);
void relu_ext_set_parallel_bytes(size_t bytes);

/* How many helping threads there are, and how many parts they have done so far. */
void relu_ext_get_helpers(int *helpers, size_t *parts);

/* To be called once, before any operation. */
void relu_ext_threads_init(void);

#endif
