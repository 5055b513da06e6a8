/* agent MODULE: a process of the user's that does what a script has it do. Each line of its standard input is a task, the first
 * one number 1, and answered by "NUMBER RESULT [MORE]", the result in hexadecimal; a task that begins with "& " is done in a
 * thread of its own, beside those that follow. It remembers its sessions by slot, and uses the latest of a slot.
 *
 *   initialize | finalize | open SLOT | close SLOT | closeall SLOT | forget SLOT | login SLOT SECRET | logout SLOT
 *   setpin SLOT OLD NEW | sign SLOT TEXT | state SLOT | slotinfo SLOT | tokeninfo SLOT
 *   descriptors none|some | fork exit|_exit|finalize|stay | exit | _exit */
#include "cryptoki.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { CKR_SLOT_ID_INVALID = 3, SLOTS = 4, SESSIONS = 64, NO_SESSION = 0xF0000001, NO_KEY = 0xF0000002, NO_TASK = 0xF0000003 };

typedef struct {
    CK_BYTE label[32], manufacturer[32], model[16], serial[16];
    CK_ULONG flags, counts[10];
    CK_BYTE versions[4], time[16];
} CK_TOKEN_INFO;

#define C_GetTokenInfo ((CK_ULONG (*)(CK_ULONG, CK_TOKEN_INFO *))p11->C_GetTokenInfo)
#define C_SetPIN ((CK_ULONG (*)(CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG))p11->C_SetPIN)

typedef struct {
    unsigned long number;
    char line[256];
} TASK;

static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER, output = PTHREAD_MUTEX_INITIALIZER;
static CK_ULONG sessions[SLOTS][SESSIONS];
static int count[SLOTS];

static void answer(unsigned long number, CK_ULONG rv, const char *more) {
    pthread_mutex_lock(&output);
    printf("%lu %lX %s\n", number, rv, more);
    fflush(stdout);
    pthread_mutex_unlock(&output);
}

static CK_ULONG open_session(CK_ULONG slot) {
    CK_ULONG session, slots, rv;
    rv = p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    if (rv == CKR_SLOT_ID_INVALID) {
        /* A service that was not there at first shows its readers to who asks how many there are. */
        p11->C_GetSlotList(0, NULL, &slots);
        rv = p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);
    }
    if (rv != CKR_OK) return rv;
    pthread_mutex_lock(&table);
    if (count[slot] == SESSIONS) die("too many sessions");
    sessions[slot][count[slot]++] = session;
    pthread_mutex_unlock(&table);
    return rv;
}

/* The latest session of the slot, for the last time if it is to be taken away. */
static CK_ULONG session_of(CK_ULONG slot, int take) {
    pthread_mutex_lock(&table);
    CK_ULONG session = count[slot] ? sessions[slot][count[slot] - 1] : 0;
    if (take && count[slot]) count[slot]--;
    pthread_mutex_unlock(&table);
    return session;
}

static void forget(CK_ULONG slot) {
    pthread_mutex_lock(&table);
    count[slot] = 0;
    pthread_mutex_unlock(&table);
}

/* Signs `text` with the token's only private key; the signature in hexadecimal. */
static CK_ULONG sign_text(CK_ULONG session, const char *text, char *more) {
    CK_ULONG key, found = 0, class = CKO_PRIVATE_KEY, length = 512;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
    CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
    CK_BYTE signature[512];
    CK_ULONG rv = p11->C_FindObjectsInit(session, &template, 1);
    if (rv != CKR_OK) return rv;
    rv = p11->C_FindObjects(session, &key, 1, &found);
    p11->C_FindObjectsFinal(session);
    if (rv != CKR_OK) return rv;
    if (!found) return NO_KEY;
    rv = p11->C_SignInit(session, &mechanism, key);
    if (rv == CKR_OK) rv = p11->C_Sign(session, (CK_BYTE *)text, strlen(text), signature, &length);
    for (CK_ULONG i = 0; rv == CKR_OK && i < length; i++) sprintf(more + 2 * i, "%02x", signature[i]);
    return rv;
}

/* A child that was forked from a process with the module. */
static CK_ULONG fork_child(const char *how, char *more) {
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        alarm(strcmp(how, "stay") == 0 ? 600 : 20);
        if (strcmp(how, "exit") == 0) exit(0);
        if (strcmp(how, "_exit") == 0) _exit(0);
        if (strcmp(how, "finalize") == 0) _exit(p11->C_Finalize(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED);
        /* Not to be taken for its parent by who listens. */
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        for (;;) pause();
    }
    sprintf(more, "%d", (int)child);
    if (strcmp(how, "stay") == 0) return CKR_OK;
    int status;
    if (waitpid(child, &status, 0) != child) die("waitpid");
    return (CK_ULONG)status;
}

/* From now on there is no descriptor for anybody who wants one, or there is again. */
static CK_ULONG descriptors(const char *how) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (strcmp(how, "none") == 0) {
        int lowest = dup(0);
        close(lowest);
        limit.rlim_cur = (rlim_t)lowest;
    }
    return (CK_ULONG)setrlimit(RLIMIT_NOFILE, &limit);
}

static CK_ULONG of_slot(const char *what, CK_ULONG slot, char *first, char *second, char *more) {
    CK_SESSION_INFO session_info;
    CK_SLOT_INFO slot_info;
    CK_TOKEN_INFO token_info;
    CK_ULONG rv;
    if (slot >= SLOTS) die("there is no slot %lu", slot);
    if (strcmp(what, "open") == 0) return open_session(slot);
    if (strcmp(what, "forget") == 0) return forget(slot), CKR_OK;
    if (strcmp(what, "closeall") == 0) return forget(slot), p11->C_CloseAllSessions(slot);
    if (strcmp(what, "slotinfo") == 0) return p11->C_GetSlotInfo(slot, &slot_info);
    if (strcmp(what, "tokeninfo") == 0) {
        rv = C_GetTokenInfo(slot, &token_info);
        if (rv == CKR_OK) sprintf(more, "%lX", token_info.flags);
        return rv;
    }
    CK_ULONG session = session_of(slot, strcmp(what, "close") == 0);
    if (!session) return NO_SESSION;
    if (strcmp(what, "close") == 0) return p11->C_CloseSession(session);
    if (strcmp(what, "login") == 0) return p11->C_Login(session, CKU_USER, (CK_BYTE *)first, strlen(first));
    if (strcmp(what, "logout") == 0) return p11->C_Logout(session);
    if (strcmp(what, "sign") == 0) return sign_text(session, first, more);
    if (strcmp(what, "setpin") == 0)
        return C_SetPIN(session, (CK_BYTE *)first, strlen(first), (CK_BYTE *)second, strlen(second));
    if (strcmp(what, "state") == 0) {
        rv = p11->C_GetSessionInfo(session, &session_info);
        if (rv == CKR_OK) sprintf(more, "%lX", session_info.state);
        return rv;
    }
    return NO_TASK;
}

static void *perform(void *given) {
    TASK *task = given;
    char *rest = task->line, *words[4] = {"", "", "", ""}, more[1100] = "";
    if (strncmp(rest, "& ", 2) == 0) rest += 2;
    for (int i = 0; i < 4 && rest; i++) words[i] = strsep(&rest, " ");
    CK_ULONG rv;
    if (strcmp(words[0], "initialize") == 0) {
        rv = p11->C_Initialize(NULL);
    } else if (strcmp(words[0], "finalize") == 0) {
        for (CK_ULONG slot = 0; slot < SLOTS; slot++) forget(slot);
        rv = p11->C_Finalize(NULL);
    } else if (strcmp(words[0], "fork") == 0) {
        rv = fork_child(words[1], more);
    } else if (strcmp(words[0], "descriptors") == 0) {
        rv = descriptors(words[1]);
    } else if (strcmp(words[0], "exit") == 0) {
        exit(0);
    } else if (strcmp(words[0], "_exit") == 0) {
        _exit(0);
    } else {
        rv = of_slot(words[0], strtoul(words[1], NULL, 10), words[2], words[3], more);
    }
    answer(task->number, rv, more);
    free(task);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2) die("usage: agent MODULE");
    /* Also if it is stopped when its test is killed. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* A full disk is an error, whoever it is that makes it full. */
    signal(SIGXFSZ, SIG_IGN);
    load(argv[1]);
    for (unsigned long number = 1;; number++) {
        TASK *task = calloc(1, sizeof *task);
        if (!task) die("memory");
        if (!fgets(task->line, sizeof task->line, stdin)) return 0;
        task->number = number;
        task->line[strcspn(task->line, "\n")] = 0;
        pthread_t thread;
        if (strncmp(task->line, "& ", 2) != 0) {
            perform(task);
        } else if (pthread_create(&thread, NULL, perform, task) == 0) {
            pthread_detach(thread);
        } else {
            die("pthread_create");
        }
    }
}
