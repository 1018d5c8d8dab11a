/*
 * A pool of threads that never hurts: whoever has a CPU claims the next part of an operation,
 * and nobody waits for a thread that has claimed none.
 *
 * One operation at a time is published here. Its caller works on it as if it were alone; helpers
 * join when they get to run. Two words say how far it is:
 *
 *     unclaimed   a bit for each part that nobody has claimed
 *     undone      how many parts are not done, claimed or not
 *
 * To claim a part is to clear its bit and to have been the one who did. The caller returns when
 * `undone` is 0. Why nothing is read or written too late:
 *
 * 1. Only the thread that holds `taken` publishes: it writes `operation` while both words are 0,
 *    then `undone`, then `unclaimed`, with release. So whoever clears a bit, with acquire, sees
 *    the operation that the bit belongs to: later bits are set only by later publishing.
 * 2. Until that part is done `undone` is above 0, so that its caller is still waiting, and what it
 *    has published and its operands stay. Each part is counted down once, by its claimer.
 * 3. A helper reads `operation` only between claiming a part and counting it down. However late it
 *    wakes up, and whatever it remembers, it can claim only a part that is there to be claimed.
 * 4. Counting down releases, and the caller acquires the 0, so that it sees all results.
 *
 * tests/native/pool.pml is this as a model of which every interleaving is tried.
 */
#ifdef __linux__
#define _GNU_SOURCE /* CPU affinity, threads' names */
#endif
#include "threads.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* --- What systems have different names for ------------------------------------------------ */

/* No operation takes 16 KiB of it. Some C libraries put the program's thread variables there. */
enum { STACK_BYTES = 256 << 10 };

static void help(int number);

#ifdef _WIN32
#include <windows.h>

typedef SRWLOCK mutex;
typedef CONDITION_VARIABLE condition;
#define MUTEX_INIT SRWLOCK_INIT
#define CONDITION_INIT CONDITION_VARIABLE_INIT
#define mutex_lock AcquireSRWLockExclusive
#define mutex_unlock ReleaseSRWLockExclusive
#define condition_signal WakeConditionVariable
#define condition_wait(c, m) SleepConditionVariableSRW(c, m, INFINITE, 0)
#define PAUSE() YieldProcessor()
#define yield_cpu SwitchToThread

static uint64_t now_ns(void)
{
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&frequency);
    return (uint64_t)((double)ticks.QuadPart * 1e9 / (double)frequency.QuadPart);
}

static int count_cpus(void)
{
    DWORD_PTR ours, all;
    int n = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &ours, &all))
        for (; ours; ours &= ours - 1)
            n++;
    return n ? n : 1;
}

/* -1 where that is not known, or does not matter. */
static int current_cpu(void)
{
    return -1;
}

static DWORD WINAPI start(void *number)
{
    help((int)(intptr_t)number);
    return 0;
}

static bool start_helper(int number)
{
    HANDLE thread = CreateThread(NULL, STACK_BYTES, start, (void *)(intptr_t)number,
                                 STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    return thread != NULL && CloseHandle(thread);
}

static bool prepare_for_forks(void (*in_child)(void))
{
    (void)in_child;
    return true;
}

#else
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition;
#define MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define CONDITION_INIT PTHREAD_COND_INITIALIZER
#define mutex_lock pthread_mutex_lock
#define mutex_unlock pthread_mutex_unlock
#define condition_signal pthread_cond_signal
#define condition_wait pthread_cond_wait
#define yield_cpu sched_yield
#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() (void)0
#endif

static uint64_t now_ns(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int count_cpus(void)
{
#ifdef __linux__
    cpu_set_t ours;
    if (sched_getaffinity(0, sizeof ours, &ours) == 0)
        return CPU_COUNT(&ours);
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n < INT_MAX ? (int)n : INT_MAX;
}

static int current_cpu(void)
{
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

static void *start(void *number)
{
#if defined(__linux__)
    pthread_setname_np(pthread_self(), "relu_ext");
#elif defined(__APPLE__)
    pthread_setname_np("relu_ext");
#endif
    help((int)(intptr_t)number);
    return NULL;
}

/* With all signals blocked, which are for the program's own threads. */
static bool start_helper(int number)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int error;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    /* Some C libraries take their threads' variables from it, too: EINVAL if it is too small. */
    size_t stack = STACK_BYTES;
    do {
        pthread_attr_setstacksize(&attributes, stack);
        error = pthread_create(&thread, &attributes, start, (void *)(intptr_t)number);
        stack *= 4;
    } while (error == EINVAL && stack <= 16 << 20);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

static bool prepare_for_forks(void (*in_child)(void))
{
    return pthread_atfork(NULL, NULL, in_child) == 0;
}
#endif

/* --- Sleeping until woken; a wake-up that comes first is not lost ------------------------- */

struct sleeper {
    mutex lock;
    condition changed;
    bool woken;
    atomic_bool asleep; /* for a look without the lock */
};
static const struct sleeper awake = {.lock = MUTEX_INIT, .changed = CONDITION_INIT};

static void sleep_until_woken(struct sleeper *s)
{
    mutex_lock(&s->lock);
    atomic_store_explicit(&s->asleep, true, memory_order_relaxed);
    while (!s->woken)
        condition_wait(&s->changed, &s->lock);
    s->woken = false;
    atomic_store_explicit(&s->asleep, false, memory_order_relaxed);
    mutex_unlock(&s->lock);
}

static void wake(struct sleeper *s)
{
    mutex_lock(&s->lock);
    s->woken = true;
    condition_signal(&s->changed);
    mutex_unlock(&s->lock);
}

/* --- The operation ------------------------------------------------------------------------- */

enum { MOST_PARTS = 64, MOST_THREADS = 64 };

static atomic_bool taken;
static struct relu_ext_parallel operation;
static size_t part_size;
static _Atomic(uint64_t) unclaimed;
static atomic_int undone;

/* Who takes part, by number: the caller is 0. Known late, it does no harm. */
static atomic_int threads_wanted, parts_made, callers_cpu = -1;
static struct sleeper sleepers[MOST_THREADS];

/*
 * The next part from `home` on, or -1. Each thread begins in a place of its own, the same in one
 * operation as in the next, where its CPU's caches may have what it needs.
 */
static int claim(int home)
{
    uint64_t seen = atomic_load_explicit(&unclaimed, memory_order_relaxed);
    for (int i = 0; seen != 0 && i < MOST_PARTS; i++) {
        const int part = (home + i) % MOST_PARTS;
        const uint64_t bit = (uint64_t)1 << part;
        if ((seen & bit) == 0)
            continue;
        seen = atomic_fetch_and_explicit(&unclaimed, ~bit, memory_order_acquire);
        if (seen & bit)
            return part;
    }
    return -1;
}

/* Claims parts and does them until none is left. Returns how many. */
static int work(int number)
{
    const int threads = atomic_load_explicit(&threads_wanted, memory_order_relaxed);
    const int parts = atomic_load_explicit(&parts_made, memory_order_relaxed);
    int part = threads > 0 ? number * parts / threads : 0, done = 0;

    for (; (part = claim(part)) >= 0; done++) {
        const struct relu_ext_parallel *p = &operation;
        const size_t begin = (size_t)part * part_size, end = begin + part_size;
        const size_t past = p->past_grain, all = p->count + past;
        p->part(p->context, begin > past ? begin - past : 0, (end < all ? end : all) - past);
        if (atomic_fetch_sub_explicit(&undone, 1, memory_order_release) == 1 && number > 0)
            wake(&sleepers[0]);
    }
    return done;
}

/* --- Helpers ------------------------------------------------------------------------------- */

/*
 * To wake a thread takes the system some 25 us in a virtual machine, as long as 1 MiB takes one
 * thread. So while calls follow one another within this time, helpers stay awake in between.
 */
static const uint64_t SPIN_NS = 50000;

enum {
    /* From one look at what changes seldom, or costs a system call, to the next. */
    LOOK_NS = 4000000,
    ALONE_NS = 2000, /* in which nobody else has had the CPU */
    LATE_NS = 2000,  /* and a quarter more than on one thread: worse than without helpers */
    /*
     * Helpers pause for as many times what they cost, and for as many calls on one thread: so at
     * most one call in a hundred is late because of them, and all take a sixteenth longer at most.
     */
    PAUSE_FOR_LOSS = 16,
    PAUSE_CALLS = 128,
    MOST_PAUSE_CALLS = 1 << 16, /* so that no number of bytes is too large to multiply */
    /* For so much less where they have cost nothing for longer than that: a mere hiccup. */
    HICCUP = 16,
};
/* Calls may be rare: after so long things will have changed. */
static const uint64_t LONGEST_PAUSE_NS = 4000000000;

static atomic_int helpers;
static atomic_bool stay_awake;
static atomic_bool crowded; /* so much that a helper has lost its CPU */
static _Atomic(size_t) parts_helped;

static bool is_wanted(int number)
{
    return atomic_load_explicit(&unclaimed, memory_order_relaxed) != 0
           && number < atomic_load_explicit(&threads_wanted, memory_order_relaxed);
}

/* Waits for an operation without sleeping, while that pays and no other thread wants the CPU. */
static bool spin(int number)
{
    const uint64_t began = now_ns();
    for (uint64_t last = began, now = began; now - began < SPIN_NS; last = now) {
        for (int i = 0; i < 16; i++) {
            if (is_wanted(number))
                return true;
            PAUSE();
        }
        now = now_ns();
        if (now - last > SPIN_NS) {
            atomic_store_explicit(&crowded, true, memory_order_relaxed);
            break;
        }
    }
    return false;
}

static bool is_in_the_way(void)
{
    const int cpu = current_cpu();
    return cpu >= 0 && cpu == atomic_load_explicit(&callers_cpu, memory_order_relaxed);
}

/*
 * Linux may wake a thread on its waker's CPU though another is idle: with two of them it does so
 * each time, once the thread has been there. The caller would wait while the helper works, and
 * while it spins. One that gives way but stays ready is moved to an idle CPU at the next tick.
 */
static void make_way(void)
{
    const uint64_t began = now_ns();
    for (uint64_t last = began, now; is_in_the_way() && last - began < LOOK_NS; last = now) {
        yield_cpu();
        now = now_ns();
        if (now - last < ALONE_NS)
            break;
    }
}

static void help(int number)
{
    for (;;) {
        if (!atomic_load_explicit(&stay_awake, memory_order_relaxed) || is_in_the_way()
            || !spin(number)) {
            sleep_until_woken(&sleepers[number]);
            make_way();
        }
        if (is_wanted(number)) {
            const int done = work(number);
            atomic_fetch_add_explicit(&parts_helped, (size_t)done, memory_order_relaxed);
        }
    }
}

/* --- The caller ---------------------------------------------------------------------------- */

static atomic_int num_threads = INT_MAX, cpus, most_threads = MOST_THREADS;
static _Atomic(size_t) parallel_bytes;
static bool may_start_helpers;

static int find_cpus(void)
{
    const int instead = atomic_load_explicit(&cpus, memory_order_relaxed);
    return instead ? instead : count_cpus();
}

static int limit_threads(int threads)
{
    const int asked = atomic_load_explicit(&num_threads, memory_order_relaxed);
    const int most = atomic_load_explicit(&most_threads, memory_order_relaxed);
    threads = threads < asked ? threads : asked;
    return threads < most ? threads : most;
}

/* How threads have fared lately: for the one that holds `taken`. */
static struct {
    uint64_t last_end, last_wake;
    int close_calls; /* one after the other, up to now */
    int limit;       /* of helpers, while `left` is above 0, and until `until` at most */
    uint64_t until;
    uint64_t pause, left, fine; /* in bytes: all of it, what is left, and without a late call */
    uint64_t next_try;          /* to start a helper, after one could not be */
} lately = {.limit = MOST_THREADS, .fine = UINT64_MAX};

static void pause_helpers(int limit, uint64_t now)
{
    lately.limit = limit;
    lately.left = lately.pause;
    lately.until = now + LONGEST_PAUSE_NS;
    lately.fine = 0;
}

/* How many of the threads asked for to use now; starts those that are missing. */
static int find_threads(size_t bytes, uint64_t now)
{
    /* What the system says of the CPUs of a thread takes too long for each call. */
    static _Thread_local struct {
        uint64_t until;
        int cpus;
    } known;

    if (lately.limit < MOST_THREADS && (lately.left == 0 || now >= lately.until))
        pause_helpers(2 * lately.limit + 1, now);
    lately.left -= bytes < lately.left ? bytes : lately.left;
    if (lately.limit == 0)
        return 1;
    if (now >= known.until) {
        known.cpus = find_cpus();
        known.until = now + 5 * LOOK_NS;
    }
    int threads = limit_threads(known.cpus);
    if (threads - 1 > lately.limit)
        threads = lately.limit + 1;
    else
        lately.limit = MOST_THREADS; /* all are back */
    while (helpers < threads - 1 && now >= lately.next_try) {
        sleepers[helpers + 1] = awake;
        if (start_helper(helpers + 1))
            helpers++;
        else
            lately.next_try = now + LONGEST_PAUSE_NS;
    }
    return threads - 1 > helpers ? helpers + 1 : threads;
}

/*
 * After a call that would have been done sooner without helpers, by so much, or during which a
 * helper has lost its CPU, there are more threads than CPUs: fewer helpers for a while. It is
 * counted in bytes and not in time, since calls may be far apart.
 */
static void use_fewer(int threads, size_t bytes, uint64_t now, uint64_t alone, uint64_t lost)
{
    const uint64_t calls = PAUSE_CALLS + PAUSE_FOR_LOSS * lost / (alone + 1);
    lately.pause = (uint64_t)bytes * (calls < MOST_PAUSE_CALLS ? calls : MOST_PAUSE_CALLS);
    if (lately.fine > lately.pause)
        lately.pause /= HICCUP;
    pause_helpers((threads - 1) * 3 / 4, now);
}

/* Waits for the parts that helpers have claimed, awake for as long as those are, too. */
static void wait_for_helpers(uint64_t now)
{
    for (const uint64_t until = now + SPIN_NS; now < until; now = now_ns())
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(&undone, memory_order_acquire) == 0)
                return;
            PAUSE();
        }
    while (atomic_load_explicit(&undone, memory_order_acquire) != 0)
        sleep_until_woken(&sleepers[0]);
}

static void run_on_threads(const struct relu_ext_parallel *p, size_t parts, int threads,
                           uint64_t now)
{
    lately.close_calls = now - lately.last_end < SPIN_NS ? lately.close_calls + 1 : 0;
    const bool close = lately.close_calls > 2;
    atomic_store_explicit(&stay_awake, close, memory_order_relaxed);

    operation = *p;
    atomic_store_explicit(&threads_wanted, threads, memory_order_relaxed);
    atomic_store_explicit(&parts_made, (int)parts, memory_order_relaxed);
    atomic_store_explicit(&callers_cpu, current_cpu(), memory_order_relaxed);
    atomic_store_explicit(&undone, (int)parts, memory_order_relaxed);
    atomic_store_explicit(&unclaimed, UINT64_MAX >> (MOST_PARTS - parts), memory_order_release);
    /* A short call is over before they are awake: it wakes them for those that follow. */
    if (p->bytes >= 8 * relu_ext_get_parallel_bytes()
        || (close && now >= lately.last_wake + LOOK_NS))
        for (int i = 1; i < threads; i++)
            if (atomic_load_explicit(&sleepers[i].asleep, memory_order_relaxed)) {
                wake(&sleepers[i]);
                lately.last_wake = now;
            }
    const int done = work(0);
    const uint64_t own_end = now_ns();
    wait_for_helpers(own_end);
    lately.last_end = now_ns();
    /* How long it would have taken the caller alone, as far as its own parts tell. */
    const uint64_t took = lately.last_end - now;
    const uint64_t alone = done > 0 ? (own_end - now) * parts / (uint64_t)done : took;
    const bool late = took > alone + alone / 4 + LATE_NS;
    if (atomic_exchange_explicit(&crowded, false, memory_order_relaxed) || late)
        use_fewer(threads, p->bytes, lately.last_end, alone, late ? took - alone : 0);
    else
        lately.fine += p->bytes < UINT64_MAX - lately.fine ? p->bytes : 0;
}

void relu_ext_parallel_for(struct relu_ext_parallel p)
{
    const size_t split = relu_ext_get_parallel_bytes();

    if (p.count == 0)
        return;
    if (p.bytes >= split && may_start_helpers && relu_ext_get_num_threads_asked() > 1
        && !atomic_exchange_explicit(&taken, true, memory_order_acquire)) {
        const uint64_t now = now_ns();
        const int threads = find_threads(p.bytes, now);
        /* Large enough that claiming costs nothing, and many for each, as one will be the last. */
        size_t parts = p.bytes / (split / 8 + 1) + 1;
        if (parts > 16 * (size_t)threads)
            parts = 16 * (size_t)threads;
        if (parts > MOST_PARTS)
            parts = MOST_PARTS;
        const size_t grain = p.grain ? p.grain : 1, all = p.count + p.past_grain;
        part_size = (all - 1) / (parts ? parts : 1) / grain * grain + grain;
        parts = (all - 1) / part_size + 1;
        if (threads > 1 && parts > 1) {
            run_on_threads(&p, parts, threads, now);
            atomic_store_explicit(&taken, false, memory_order_release);
            return;
        }
        atomic_store_explicit(&taken, false, memory_order_release);
    }
    p.part(p.context, 0, p.count);
}

/* --- Settings ------------------------------------------------------------------------------ */

int relu_ext_get_num_threads(void)
{
    return limit_threads(find_cpus());
}

void relu_ext_set_num_threads(int n)
{
    atomic_store_explicit(&num_threads, n, memory_order_relaxed);
}

int relu_ext_get_num_threads_asked(void)
{
    return atomic_load_explicit(&num_threads, memory_order_relaxed);
}

void relu_ext_set_most_threads(int n, int limit)
{
    atomic_store_explicit(&cpus, n, memory_order_relaxed);
    atomic_store_explicit(&most_threads, limit < MOST_THREADS ? limit : MOST_THREADS,
                          memory_order_relaxed);
}

size_t relu_ext_get_parallel_bytes(void)
{
    size_t bytes = atomic_load_explicit(&parallel_bytes, memory_order_relaxed);
    return bytes ? bytes : (size_t)512 << 10;
}

void relu_ext_set_parallel_bytes(size_t bytes)
{
    atomic_store_explicit(&parallel_bytes, bytes, memory_order_relaxed);
}

void relu_ext_get_helpers(int *count, size_t *parts)
{
    *count = atomic_load_explicit(&helpers, memory_order_relaxed);
    *parts = atomic_load_explicit(&parts_helped, memory_order_relaxed);
}

/* --- Forks --------------------------------------------------------------------------------- */

/*
 * A forked child has the one thread that has forked, and whatever the others were about to do
 * stays undone: it begins anew.
 */
static void reset(void)
{
    for (int i = 0; i < MOST_THREADS; i++)
        sleepers[i] = awake;
    atomic_store(&unclaimed, 0);
    atomic_store(&undone, 0);
    atomic_store(&helpers, 0);
    lately.limit = MOST_THREADS;
    lately.next_try = 0;
    atomic_store(&taken, false);
}

void relu_ext_threads_init(void)
{
    sleepers[0] = awake;
    may_start_helpers = prepare_for_forks(reset);
}
