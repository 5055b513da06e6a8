/* cancel MODULE PIN: a program that cancels its threads (pthread_cancel) while they are inside the module, joins them, and goes
 * on. It has a minute; a join that hangs ends with SIGALRM. */
#include "cryptoki.h"
#include <stdint.h>

static CK_ULONG session, key;
static atomic_int started;

static void *keep_signing(void *nothing) {
    for (started++;; pthread_testcancel()) expect("the signature", sign(session, key), CKR_OK);
    return nothing;
}

static void *keep_waiting(void *nothing) {
    CK_ULONG slot;
    started++;
    EXPECT(C_WaitForSlotEvent(0, &slot, NULL), CKR_OK);
    return nothing;
}

/* One that has been cancelled before it calls. */
static void *call_cancelled(void *work) {
    pthread_cancel(pthread_self());
    return ((void *(*)(void *))(uintptr_t)work)(NULL);
}

static void *keep_polling(void *nothing) {
    CK_SLOT_INFO info;
    for (started++;; pthread_testcancel()) OK(C_GetSlotInfo(0, &info));
    return nothing;
}

int main(int argc, char **argv) {
    CK_ULONG slot;
    if (argc != 3) die("usage: cancel MODULE PIN");
    alarm(60);
    load(argv[1]);
    OK(C_Initialize(NULL));
    session = log_in(0, argv[2], &key);
    while (p11->C_WaitForSlotEvent(1, &slot, NULL) == CKR_OK);
    void *(*work[])(void *) = {keep_signing, keep_waiting, keep_polling, keep_waiting};
    enum { WORKERS = sizeof work / sizeof *work };
    for (int round = 0; round < 6; round++) {
        pthread_t threads[WORKERS];
        started = 0;
        for (int i = 0; i < WORKERS; i++) {
            int before = round == 5;
            pthread_create(&threads[i], NULL, before ? call_cancelled : work[i], before ? (void *)(uintptr_t)work[i] : NULL);
        }
        while (started < WORKERS) usleep(1000);
        /* Not always at the same moment of their work. */
        usleep(61 * 1000 * round);
        for (int i = 0; i < WORKERS; i++) {
            void *result;
            pthread_cancel(threads[i]);
            if (pthread_join(threads[i], &result) != 0 || result != PTHREAD_CANCELED) die("thread %d was not cancelled", i);
        }
        expect("the next signature", sign(session, key), CKR_OK);
    }
    OK(C_Finalize(NULL));
    puts("done");
    return 0;
}
