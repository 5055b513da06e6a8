/* fork MODULE PIN WHEN CHILD CHILDREN: a parent that forks, as servers and OpenSSL's providers do.
 *
 * WHEN     before     the parent initialises the module after it has forked
 *          idle       it is logged in, and no call is under way
 *          signing    a thread of it signs all the time
 *          polling    threads of it ask for presence all the time, and one waits for events
 *          crowded    threads of it open and close sessions all the time, and wait for each other's locks
 *          searching  threads of it look for readers all the time, and one waits, without a PC/SC service: nobody logs in
 * CHILD    exit             calls nothing and ends as any program does
 *          finalize-first   calls C_Finalize before C_Initialize, as pkcs11-provider does
 *          initialize       calls C_Initialize at once
 *
 * Every child that uses the module gets its own session, logs in, signs and finalises. It has twenty seconds, more than
 * `lock_timeout`, and the parent four minutes; a deadlock ends either with SIGALRM. Afterwards the parent is still logged
 * in, without having been asked for a PIN again. */
#include "cryptoki.h"
#include <sys/wait.h>

static const char *pin;
static CK_ULONG session, key;
static int searching;
static atomic_int stop;

static void *keep_signing(void *nothing) {
    while (!stop) expect("the parent's signature", sign(session, key), CKR_OK);
    return nothing;
}

static void *keep_polling(void *nothing) {
    CK_SLOT_INFO info;
    CK_ULONG count;
    while (!stop) {
        if (searching) OK(C_GetSlotList(0, NULL, &count));
        else OK(C_GetSlotInfo(0, &info));
    }
    return nothing;
}

static void *keep_opening(void *nothing) {
    CK_ULONG own;
    while (!stop) {
        OK(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &own));
        OK(C_CloseSession(own));
    }
    return nothing;
}

static void *keep_waiting(void *nothing) {
    CK_ULONG slot;
    while (p11->C_WaitForSlotEvent(0, &slot, NULL) != CKR_CRYPTOKI_NOT_INITIALIZED);
    return nothing;
}

static void be_child(const char *child, int inherits) {
    CK_ULONG count, own_key;
    alarm(20);
    if (strcmp(child, "exit") == 0) exit(0);
    if (inherits) {
        EXPECT(C_GetSlotList(0, NULL, &count), CKR_CRYPTOKI_NOT_INITIALIZED);
        EXPECT(C_CloseSession(session), CKR_CRYPTOKI_NOT_INITIALIZED);
    }
    if (strcmp(child, "finalize-first") == 0) EXPECT(C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
    OK(C_Initialize(NULL));
    EXPECT(C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    if (searching) {
        OK(C_GetSlotList(0, NULL, &count));
    } else {
        CK_ULONG own = log_in(0, pin, &own_key);
        expect("the child's signature", sign(own, own_key), CKR_OK);
    }
    OK(C_Finalize(NULL));
    exit(0);
}

int main(int argc, char **argv) {
    if (argc != 6) die("usage: fork MODULE PIN WHEN CHILD CHILDREN");
    alarm(240);
    const char *when = argv[3];
    int before = strcmp(when, "before") == 0;
    pthread_t threads[8];
    int running = 0, waits = 0;
    load(argv[1]);
    pin = argv[2];
    searching = strcmp(when, "searching") == 0;
    if (!before) {
        OK(C_Initialize(NULL));
        if (!searching) session = log_in(0, pin, &key);
    }
    if (strcmp(when, "signing") == 0) {
        pthread_create(&threads[running++], NULL, keep_signing, NULL);
    } else if (strcmp(when, "crowded") == 0) {
        while (running < 8) pthread_create(&threads[running++], NULL, keep_opening, NULL);
    } else if (strcmp(when, "polling") == 0 || searching) {
        for (int poller = 0; poller < 2; poller++) pthread_create(&threads[running++], NULL, keep_polling, NULL);
        pthread_create(&threads[running++], NULL, keep_waiting, NULL);
        waits = 1;
    }
    for (int child = 0; child < atoi(argv[5]); child++) {
        /* Not always at the same moment of the other threads' work. */
        usleep(1000 * (child % 17));
        pid_t pid = fork();
        if (pid == 0) be_child(argv[4], !before);
        int status;
        if (waitpid(pid, &status, 0) != pid) die("waitpid");
        if (WIFSIGNALED(status)) die("child %d of %s: signal %d", child, argv[5], WTERMSIG(status));
        if (WEXITSTATUS(status)) die("child %d of %s failed", child, argv[5]);
    }
    stop = 1;
    /* All but the one that waits for events, which C_Finalize wakes. */
    for (int thread = 0; thread < running; thread++)
        if (!waits || thread < running - 1) pthread_join(threads[thread], NULL);
    if (before) {
        OK(C_Initialize(NULL));
        session = log_in(0, pin, &key);
    }
    if (!searching) {
        CK_SESSION_INFO info;
        OK(C_GetSessionInfo(session, &info));
        if (info.state != CKS_RW_USER_FUNCTIONS) die("the parent's session is in state %lu", info.state);
        expect("the parent's last signature", sign(session, key), CKR_OK);
    }
    OK(C_Finalize(NULL));
    if (waits) pthread_join(threads[running - 1], NULL);
    puts("done");
    return 0;
}
