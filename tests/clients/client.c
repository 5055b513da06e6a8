/* client MODULE: another process of the same user. It does as the lines of its standard input say and answers each with the
 * function's result in hexadecimal: initialize, login PIN, sign, state, logout, finalize. A session's state is its number. */
#include "cryptoki.h"

int main(int argc, char **argv) {
    CK_ULONG session = 0, key = 0, rv;
    char line[64];
    if (argc != 2) die("usage: client MODULE");
    load(argv[1]);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (strcmp(line, "initialize") == 0) {
            rv = p11->C_Initialize(NULL);
        } else if (strncmp(line, "login ", 6) == 0) {
            session = log_in(0, line + 6, &key);
            rv = CKR_OK;
        } else if (strcmp(line, "sign") == 0) {
            rv = sign(session, key);
        } else if (strcmp(line, "state") == 0) {
            CK_SESSION_INFO info;
            OK(C_GetSessionInfo(session, &info));
            rv = info.state;
        } else if (strcmp(line, "logout") == 0) {
            rv = p11->C_Logout(session);
        } else if (strcmp(line, "finalize") == 0) {
            rv = p11->C_Finalize(NULL);
        } else {
            die("what is %s?", line);
        }
        printf("%lX\n", rv);
        fflush(stdout);
    }
    return 0;
}
