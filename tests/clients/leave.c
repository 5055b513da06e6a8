/* leave MODULE PIN HOW: a program that ends while threads of it are inside the module: one signs, one asks for presence, two
 * wait for events.
 *
 * HOW      exit      returns from main
 *          dlclose   unloads the module, then returns from main
 *          finalize  C_Finalize, then dlclose; every call has come back by then, with an answer
 *          kill      ends itself with SIGKILL
 *
 * Its process lingers: what it writes last of all, when every library has had its end, is read half a second late, and the
 * threads go on meanwhile.
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

/* Has stdout read by a child that takes its time once something is written, and hands on the last line. */
static void linger(void) {
    static char buffer[1 << 20];
    int ends[2];
    if (pipe(ends) != 0) die("there is no pipe");
    pid_t reader = fork();
    if (reader < 0) die("there is no child");
    if (reader == 0) {
        close(ends[1]);
        char part[4096], *line = NULL;
        ssize_t count, late = 0;
        while ((count = read(ends[0], part, sizeof part)) > 0) {
            if (!late++) usleep(500 * 1000);
            line = memrchr(part, '\n', count - 1);
            line = line ? line + 1 : part;
            memmove(part, line, count -= line - part);
            if (part[count - 1] == '\n' && write(1, part, count) != count) _exit(1);
        }
        _exit(0);
    }
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    /* More than a pipe holds, so that whoever writes it waits for the reader. */
    for (int i = 0; i < 200 * 1024; i++) putchar(' ');
    putchar('\n');
}

int main(int argc, char **argv) {
    if (argc != 4) die("usage: leave MODULE PIN HOW");
    alarm(60);
    linger();
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
