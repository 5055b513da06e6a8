/* daemon MODULE WHEN DOCUMENT: a program that becomes a daemon and closes every descriptor it does not know; the number of its
 * log is the document's then.
 *
 * WHEN     begun   the module is initialised, and goes on in the same process
 *          child   a child is forked, which closes, opens, and initialises the module itself; the parent's log stays
 */
#include "cryptoki.h"
#include <fcntl.h>
#include <sys/wait.h>

/* As daemons do. The document then has the lowest number. */
static void become_a_daemon(const char *document) {
    for (int number = 3; number < 256; number++) close(number);
    if (chdir("/") != 0 || open(document, O_RDWR | O_CREAT | O_EXCL, 0600) != 3) die("the document has no log's number");
    for (int number = 4; number < 32; number++)
        if (dup(3) != number) die("dup");
}

int main(int argc, char **argv) {
    CK_ULONG count;
    if (argc != 4) die("usage: daemon MODULE WHEN DOCUMENT");
    load(argv[1]);
    OK(C_Initialize(NULL));
    if (strcmp(argv[2], "begun") == 0) {
        become_a_daemon(argv[3]);
        OK(C_GetSlotList(0, NULL, &count));
    } else {
        pid_t child = fork();
        int status;
        if (child == 0) {
            become_a_daemon(argv[3]);
            OK(C_Initialize(NULL));
            OK(C_GetSlotList(0, NULL, &count));
            OK(C_Finalize(NULL));
            _exit(0);
        }
        if (waitpid(child, &status, 0) != child || status != 0) die("the child failed");
    }
    OK(C_Finalize(NULL));
    puts("done");
    return 0;
}
