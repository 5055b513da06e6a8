/* locks MODULE PIN FORKS: a host that holds a lock of its own around calls of the module, and takes it in a handler of its own
 * at each fork, so that its children find what it guards whole. It has a minute; a deadlock ends it with SIGALRM. */
#include "cryptoki.h"
#include <sys/wait.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int stop, started;

static void take(void) { pthread_mutex_lock(&lock); }
static void release(void) { pthread_mutex_unlock(&lock); }

static void *keep_asking(void *nothing) {
    CK_SLOT_INFO info;
    for (started++; !stop;) {
        take();
        OK(C_GetSlotInfo(0, &info));
        release();
        /* Whoever forks gets the lock, too. */
        usleep(100);
    }
    return nothing;
}

int main(int argc, char **argv) {
    CK_ULONG key;
    pthread_t threads[4];
    if (argc != 4) die("usage: locks MODULE PIN FORKS");
    alarm(60);
    /* Before the module's own handler, which so is called first. */
    pthread_atfork(take, release, release);
    load(argv[1]);
    OK(C_Initialize(NULL));
    CK_ULONG session = log_in(0, argv[2], &key);
    /* One is about to call while another one is inside, and has the lock then. */
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, keep_asking, NULL);
    while (started < 4) usleep(1000);
    for (int i = 0; i < atoi(argv[3]); i++) {
        int status;
        usleep(1000 + 137 * i);
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        if (waitpid(pid, &status, 0) != pid || status != 0) die("child %d failed", i);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    expect("the signature", sign(session, key), CKR_OK);
    OK(C_Finalize(NULL));
    puts("done");
    return 0;
}
