/* obedient MODULE: a process of the same user that does as the lines of its standard input say, and answers each with a line:
 * a function's result in hexadecimal, and what it tells after it. SLOT is a slot's number, and there is one session a slot.
 *
 *     initialize | finalize | slots          C_Initialize, C_Finalize, the number of slots with a token
 *     slot SLOT | token SLOT                 C_GetSlotInfo, C_GetTokenInfo; their flags
 *     open | close | close-all | state SLOT  C_OpenSession, C_CloseSession, C_CloseAllSessions, the session's state
 *     login SLOT SECRET                      C_Login, in a new session if there is none
 *     logout | sign SLOT                     C_Logout, a signature
 *     set-pin SLOT OLD NEW                   C_SetPIN, in a new session if there is none
 *     loop SLOT SECRET MS                    login, sign, logout for so long; how many times, and the first thing that failed
 *     begin LINE                             does that in a thread of its own; answers when it begins to
 *     join                                   waits for that; its answer, and the milliseconds that it took
 *     keep-signing SLOT                      signs in a thread of its own as long as it can; answers after the first signature
 *     at-exit                                has C_Finalize called at exit, by a handler that says what it answered
 *     alarms                                 has a signal interrupt such threads fifty times a second
 *     alarmed                                how often that was
 *     no-descriptors | descriptors           leaves no descriptor to be had; lets them be had again
 *     fork                                   forks a child that only waits; its number
 *     fork-exit N                            forks a child that calls exit(3); how it ended
 *     exit N | return N | _exit N | raise N  ends so: by exit(3), from main, without handlers, by a signal
 */
#include "cryptoki.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

enum { SLOTS = 4, CKR_OBJECT_HANDLE_INVALID = 0x82 };

static CK_ULONG sessions[SLOTS], keys[SLOTS];
static atomic_int alarms, begun;
static pthread_t worker;
static char work[256], done[256];

/* CK_TOKEN_INFO as far as its flags, and room for the rest. */
typedef struct { CK_BYTE texts[96]; CK_ULONG flags; CK_BYTE rest[256]; } TOKEN_INFO;
typedef CK_ULONG (*GET_TOKEN_INFO)(CK_ULONG, TOKEN_INFO *);
typedef CK_ULONG (*SET_PIN)(CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG);

static CK_ULONG open_session(CK_ULONG slot) {
    if (sessions[slot]) return CKR_OK;
    return p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &sessions[slot]);
}

static CK_ULONG login(CK_ULONG slot, const char *secret) {
    CK_ULONG class = CKO_PRIVATE_KEY, count = 0, rv = open_session(slot);
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
    if (rv == CKR_OK) rv = p11->C_Login(sessions[slot], CKU_USER, (CK_BYTE *)secret, strlen(secret));
    if (rv == CKR_OK) rv = p11->C_FindObjectsInit(sessions[slot], &template, 1);
    if (rv == CKR_OK) rv = p11->C_FindObjects(sessions[slot], &keys[slot], 1, &count);
    if (rv == CKR_OK) rv = p11->C_FindObjectsFinal(sessions[slot]);
    return rv == CKR_OK && count != 1 ? CKR_OBJECT_HANDLE_INVALID : rv;
}

static void obey(char *line, char *answer);

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void loop(CK_ULONG slot, const char *secret, long ms, char *answer) {
    long end = now() + ms;
    CK_ULONG times = 0, rv = CKR_OK;
    const char *failed = "nothing";
    while (rv == CKR_OK && now() < end) {
        times++;
        if ((rv = login(slot, secret)) != CKR_OK) failed = "login";
        else if ((rv = sign(sessions[slot], keys[slot])) != CKR_OK) failed = "sign";
        else if ((rv = p11->C_Logout(sessions[slot])) != CKR_OK) failed = "logout";
    }
    sprintf(answer, "%lX %s, after %lu", rv, failed, times);
}

static void alarmed(int signal) {
    (void)signal;
    alarms++;
}

static void *do_work(void *nothing) {
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
    long start = now();
    begun = 1;
    obey(work, done);
    sprintf(done + strlen(done), " %ld", now() - start);
    return nothing;
}

static void *keep_signing(void *argument) {
    CK_ULONG slot = (CK_ULONG)argument;
    while (sign(sessions[slot], keys[slot]) == CKR_OK) begun = 1;
    return NULL;
}

static void start(void *(*thread)(void *), void *argument) {
    begun = 0;
    if (pthread_create(&worker, NULL, thread, argument)) die("no thread");
    while (!begun) usleep(1000);
}

static void finalize_at_exit(void) {
    printf("at exit %lX\n", p11->C_Finalize(NULL));
    fflush(stdout);
}

/* Lets new descriptors be had up to this number; those that are open stay. */
static void limit_descriptors(rlim_t number) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) die("getrlimit");
    limit.rlim_cur = number < limit.rlim_max ? number : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit)) die("setrlimit");
}

static void obey(char *line, char *answer) {
    char word[32] = "", first[64] = "", second[64] = "";
    CK_ULONG number = 0, rv = CKR_OK, told = 0;
    int has_told = 0;
    sscanf(line, "%31s %lu %63s %63s", word, &number, first, second);
    CK_ULONG slot = number % SLOTS;
#define IS(command) (strcmp(word, command) == 0)
    if (IS("initialize")) {
        rv = p11->C_Initialize(NULL);
    } else if (IS("finalize")) {
        rv = p11->C_Finalize(NULL);
        memset(sessions, 0, sizeof sessions);
    } else if (IS("slots")) {
        rv = p11->C_GetSlotList(1, NULL, &told);
        has_told = 1;
    } else if (IS("slot")) {
        CK_SLOT_INFO info = {.flags = 0};
        rv = p11->C_GetSlotInfo(slot, &info);
        told = info.flags, has_told = 1;
    } else if (IS("token")) {
        TOKEN_INFO info = {.flags = 0};
        rv = ((GET_TOKEN_INFO)p11->C_GetTokenInfo)(slot, &info);
        told = info.flags, has_told = 1;
    } else if (IS("open")) {
        rv = open_session(slot);
    } else if (IS("close")) {
        rv = p11->C_CloseSession(sessions[slot]);
        sessions[slot] = 0;
    } else if (IS("close-all")) {
        rv = p11->C_CloseAllSessions(slot);
        sessions[slot] = 0;
    } else if (IS("state")) {
        CK_SESSION_INFO info = {.state = 0};
        rv = p11->C_GetSessionInfo(sessions[slot], &info);
        told = info.state, has_told = 1;
    } else if (IS("login")) {
        rv = login(slot, first);
    } else if (IS("logout")) {
        rv = p11->C_Logout(sessions[slot]);
    } else if (IS("sign")) {
        rv = sign(sessions[slot], keys[slot]);
    } else if (IS("set-pin")) {
        rv = open_session(slot);
        SET_PIN set_pin = (SET_PIN)p11->C_SetPIN;
        if (rv == CKR_OK)
            rv = set_pin(sessions[slot], (CK_BYTE *)first, strlen(first), (CK_BYTE *)second, strlen(second));
    } else if (IS("loop")) {
        loop(slot, first, atol(second), answer);
        return;
    } else if (IS("begin")) {
        strcpy(work, line + strlen("begin "));
        start(do_work, NULL);
    } else if (IS("join")) {
        pthread_join(worker, NULL);
        strcpy(answer, done);
        return;
    } else if (IS("keep-signing")) {
        start(keep_signing, (void *)slot);
    } else if (IS("at-exit")) {
        atexit(finalize_at_exit);
    } else if (IS("alarms")) {
        struct sigaction action = {.sa_handler = alarmed};
        struct itimerval often = {{0, 20000}, {0, 20000}};
        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &often, NULL);
    } else if (IS("alarmed")) {
        told = alarms, has_told = 1;
    } else if (IS("no-descriptors")) {
        /* Three are the standard ones. Not fewer: poll(2) refuses to look at more than may be open. */
        limit_descriptors(3);
    } else if (IS("descriptors")) {
        limit_descriptors(1024);
    } else if (IS("fork")) {
        pid_t child = fork();
        if (child == 0) {
            close(0), close(1), close(2);
            for (;;) pause();
        }
        told = child, has_told = 1;
    } else if (IS("fork-exit")) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) exit(number);
        if (waitpid(child, &status, 0) != child) die("waitpid");
        told = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status), has_told = 1;
    } else if (IS("exit")) {
        exit(number);
    } else if (IS("_exit")) {
        _exit(number);
    } else if (IS("raise")) {
        raise(number);
    } else {
        die("what is %s?", line);
    }
    if (has_told) sprintf(answer, "%lX %lX", rv, told);
    else sprintf(answer, "%lX", rv);
}

int main(int argc, char **argv) {
    char line[256], answer[256];
    if (argc != 2) die("usage: obedient MODULE");
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, NULL);
    load(argv[1]);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "return ", 7) == 0) return atoi(line + 7);
        obey(line, answer);
        puts(answer);
        fflush(stdout);
    }
    return 0;
}
