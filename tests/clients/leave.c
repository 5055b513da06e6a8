/* leave MODULE PIN HOW: a program that ends while threads of it are inside the module: one signs, one asks for presence, two
 * wait for events.
 *
 * HOW      exit      returns from main
 *          dlclose   unloads the module, then returns from main
 *          finalize  C_Finalize, then dlclose; every call has come back by then, with an answer
 *          kill      ends itself with SIGKILL
 *
 * It has a minute; a deadlock ends it with SIGALRM. */
#include "cryptoki.h"
#include <signal.h>

static CK_ULONG session, key;
static atomic_int started;

static void *keep_signing(void *nothing) {
    for (started++;;) {
        CK_ULONG rv = sign(session, key);
        if (rv == CKR_CRYPTOKI_NOT_INITIALIZED) return nothing;
        expect("the signature", rv, CKR_OK);
    }
}

static void *keep_polling(void *nothing) {
    CK_SLOT_INFO info;
    for (started++;;) {
        CK_ULONG rv = p11->C_GetSlotInfo(0, &info);
        if (rv == CKR_CRYPTOKI_NOT_INITIALIZED) return nothing;
        expect("C_GetSlotInfo", rv, CKR_OK);
    }
}

static void *keep_waiting(void *nothing) {
    CK_ULONG slot;
    started++;
    EXPECT(C_WaitForSlotEvent(0, &slot, NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
    return nothing;
}

int main(int argc, char **argv) {
    if (argc != 4) die("usage: leave MODULE PIN HOW");
    alarm(60);
    void *library = load(argv[1]);
    OK(C_Initialize(NULL));
    session = log_in(0, argv[2], &key);
    void *(*work[4])(void *) = {keep_signing, keep_polling, keep_waiting, keep_waiting};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work[i], NULL);
    while (started < 4) usleep(1000);
    usleep(300 * 1000);
    if (strcmp(argv[3], "kill") == 0) raise(SIGKILL);
    if (strcmp(argv[3], "finalize") == 0) {
        OK(C_Finalize(NULL));
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    }
    if (strcmp(argv[3], "exit") != 0) dlclose(library);
    puts("done");
    return 0;
}
