/*
 * threads.c's pool as a model, of which every interleaving is tried:
 *
 *     spin -a pool.pml && cc -DSAFETY -DCOLLAPSE -O2 -o pan pan.c && ./pan -m100000
 *
 * Two threads call, each twice, one after the other or at once; helpers join when they like. Atomic words are as in C; what is
 * plain memory there, the operation, is here with a number that tells one operation from the
 * next. Asserted: nobody reads the operation while it is written, whoever works on a part works
 * for the operation that it has claimed it from, each part is done once before its caller goes
 * on, and no caller sleeps for ever. Every step is a full barrier here: that weaker ones are
 * enough, ThreadSanitizer watches.
 */
#define CALLERS 2
#define CALLS 2
#define HELPERS 2
#define PARTS 2
#define ALL ((1 << PARTS) - 1)

bool taken;
byte unclaimed; /* a bit for each part */
byte undone;
byte operation; /* the number of the call; plain memory */
bool writing;

/* The caller's sleeper: a lock, and whether a wake-up has come. */
bool locked, woken;

byte done[CALLERS * CALLS + 1]; /* parts, by operation */
bool over[CALLERS * CALLS + 1]; /* its caller has returned */

inline lock() { atomic { !locked -> locked = true } }
inline unlock() { locked = false }

/* claim(), with `seen` from before: to clear the bit, and to see whether one was there. */
inline claim(part)
{
    seen = unclaimed;
    part = 0;
    do
    :: seen == 0 || part == PARTS -> part = PARTS; seen = 0; break
    :: seen != 0 && part < PARTS && !(seen & (1 << part)) -> part++
    :: seen != 0 && part < PARTS && (seen & (1 << part)) ->
        atomic {
            seen = unclaimed;
            unclaimed = unclaimed & ~(1 << part)
        }
        if
        :: seen & (1 << part) -> seen = 0; break
        :: else -> part++
        fi
    od
}

/* work() on one part: the operation is read again after the work, as operands would be. */
inline compute()
{
    assert(!writing);
    mine = operation;
    assert(!over[mine]);
    done[mine]++;
    assert(!writing && operation == mine && !over[mine]);
    mine = 0
}

proctype helper()
{
    byte seen, part, mine, left;
end:
    do
    :: unclaimed != 0 -> /* woken or awake, in time or late */
        do
        :: claim(part);
            if
            :: part == PARTS -> break
            :: else -> skip
            fi;
            compute();
            atomic { undone--; left = undone }
            if
            :: left == 0 -> lock(); woken = true; unlock()
            :: else -> left = 0
            fi
        od
    od
}

proctype caller(byte number)
{
    byte seen, part, mine, call, id;
    bool free;
    for (call : 1 .. CALLS) {
        id = number * CALLS + call;
        atomic { free = !taken; taken = true }
        if
        :: !free -> skip /* computes alone */
        :: free ->
            assert(unclaimed == 0 && undone == 0);
            writing = true;
            operation = id;
            writing = false;
            undone = PARTS;
            unclaimed = ALL;
            do
            :: claim(part);
                if
                :: part == PARTS -> break
                :: else -> skip
                fi;
                compute();
                atomic { undone-- }
            od;
            do
            :: undone == 0 -> break
            :: undone != 0 ->
                lock();
                do
                :: woken -> break
                :: else -> unlock(); woken; lock() /* a condition variable's wait */
                od;
                woken = false;
                unlock()
            od;
            assert(done[id] == PARTS);
            over[id] = true;
            taken = false
        fi
    }
}

init {
    byte i;
    atomic {
        run caller(0);
        run caller(1);
        for (i : 1 .. HELPERS) {
            run helper()
        }
    }
}
