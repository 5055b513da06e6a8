/* namespace MODULE PIN HOW: process 1 of a pid namespace, whose child is process 1 of another one. The child is a process of its
 * own and its parent stays logged in.
 *
 * HOW      fork    by the C library
 *          clone   by the system call alone, which runs no handlers at forks
 */
#include "cryptoki.h"
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int main(int argc, char **argv) {
    CK_ULONG key, count;
    int status;
    if (argc != 4) die("usage: namespace MODULE PIN HOW");
    alarm(60);
    if (getpid() != 1) die("this is process %d", (int)getpid());
    load(argv[1]);
    OK(C_Initialize(NULL));
    CK_ULONG session = log_in(0, argv[2], &key);
    if (unshare(CLONE_NEWPID) != 0) die("unshare");
    pid_t child = strcmp(argv[3], "fork") == 0 ? fork() : (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        alarm(30);
        if (getpid() != 1) die("the child is process %d", (int)getpid());
        EXPECT(C_GetSlotList(0, NULL, &count), CKR_CRYPTOKI_NOT_INITIALIZED);
        EXPECT(C_CloseSession(session), CKR_CRYPTOKI_NOT_INITIALIZED);
        EXPECT(C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
        OK(C_Initialize(NULL));
        CK_ULONG own_key, own = log_in(0, argv[2], &own_key);
        expect("the child's signature", sign(own, own_key), CKR_OK);
        OK(C_Finalize(NULL));
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0) die("the child failed: %d", status);
    CK_SESSION_INFO info;
    OK(C_GetSessionInfo(session, &info));
    if (info.state != CKS_RW_USER_FUNCTIONS) die("the parent's session is in state %lu", info.state);
    expect("the parent's signature", sign(session, key), CKR_OK);
    OK(C_Finalize(NULL));
    puts("done");
    return 0;
}
