/* without NAME... -- PROGRAM ARGUMENTS...: runs a program for which the system refuses to do what some file systems cannot:
 *
 * NAME     links     hard links: EPERM, as on FAT
 *          renames   renaming without replacing: EINVAL, as with many that run outside the kernel
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refuse(int call, int error) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv) {
    int i = 1, failed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "links") == 0) {
            failed |= refuse(SYS_linkat, EPERM);
#ifdef SYS_link
            failed |= refuse(SYS_link, EPERM);
#endif
        } else if (strcmp(argv[i], "renames") == 0) {
            failed |= refuse(SYS_renameat2, EINVAL);
        } else {
            failed = 1;
        }
    }
    if (failed || i + 1 >= argc) {
        fprintf(stderr, "usage: without (links | renames)... -- PROGRAM ARGUMENTS...\n");
        return 2;
    }
    execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 2;
}
