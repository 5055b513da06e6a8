/* first MODULE ROUNDS: forks beside the module's very first call in a process.
 *
 * Each round begins in a process that has called nothing yet. Its threads call C_Initialize all at once, and it forks
 * meanwhile, a little later in each round. The child finds whatever was half made; it begins anew, and so must find nothing
 * that waits for a thread it does not have. It and each round have twenty seconds; a deadlock ends either with SIGALRM.
 * There is no PC/SC service, so that a round is short. */
#include "cryptoki.h"
#include <sys/wait.h>

enum { THREADS = 4 };
static pthread_barrier_t all_there;
static atomic_int made;

static void *be_first(void *nothing) {
    CK_ULONG count;
    pthread_barrier_wait(&all_there);
    CK_ULONG rv = p11->C_Initialize(NULL);
    if (rv == CKR_OK) made++;
    else expect("C_Initialize", rv, CKR_CRYPTOKI_ALREADY_INITIALIZED);
    OK(C_GetSlotList(0, NULL, &count));
    return nothing;
}

static void be_child(void) {
    CK_ULONG count;
    alarm(20);
    EXPECT(C_GetSlotList(0, NULL, &count), CKR_CRYPTOKI_NOT_INITIALIZED);
    OK(C_Initialize(NULL));
    OK(C_GetSlotList(0, NULL, &count));
    OK(C_Finalize(NULL));
    exit(0);
}

static void outlive(pid_t pid, const char *who, int round) {
    int status;
    if (waitpid(pid, &status, 0) != pid) die("waitpid");
    if (WIFSIGNALED(status)) die("round %d, %s: signal %d", round, who, WTERMSIG(status));
    if (WEXITSTATUS(status)) die("round %d: %s failed", round, who);
}

static void be_round(int round) {
    pthread_t threads[THREADS];
    alarm(20);
    pthread_barrier_init(&all_there, NULL, THREADS + 1);
    for (int thread = 0; thread < THREADS; thread++) pthread_create(&threads[thread], NULL, be_first, NULL);
    pthread_barrier_wait(&all_there);
    for (volatile int wait = 0; wait < round % 50 * 2000; wait++);
    pid_t pid = fork();
    if (pid == 0) be_child();
    outlive(pid, "the child", round);
    for (int thread = 0; thread < THREADS; thread++) pthread_join(threads[thread], NULL);
    if (made != 1) die("round %d: %d threads made the module", round, made);
    OK(C_Finalize(NULL));
    exit(0);
}

int main(int argc, char **argv) {
    if (argc != 3) die("usage: first MODULE ROUNDS");
    load(argv[1]);
    for (int round = 0; round < atoi(argv[2]); round++) {
        pid_t pid = fork();
        if (pid == 0) be_round(round);
        outlive(pid, "the first process", round);
    }
    puts("done");
    return 0;
}
