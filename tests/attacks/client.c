/*
 * A client of the module for what is a matter of its whole process: what stays in memory, what a set-uid program lets its
 * caller decide, and one module loaded twice.
 *
 *   client memory MODULE SLOT      secrets on the standard input, a line each: right, wrong, new
 *   client holder MODULE SLOT      on the standard input, a line each: the password, the holder's name, the address
 *   client slots MODULE            what this process may see
 *   client twice MODULE PROXY      the module, and the module behind p11-kit's proxy
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

typedef unsigned long ulong_t;

/* CK_FUNCTION_LIST of PKCS#11 2.40, as far as it is used here. */
struct functions {
    unsigned char version[2];
    ulong_t (*initialize)(void *);
    ulong_t (*finalize)(void *);
    ulong_t (*get_info)(void *);
    void *get_function_list;
    ulong_t (*get_slot_list)(unsigned char, ulong_t *, ulong_t *);
    void *get_slot_info, *get_token_info, *get_mechanism_list, *get_mechanism_info, *init_token, *init_pin;
    ulong_t (*set_pin)(ulong_t, const char *, ulong_t, const char *, ulong_t);
    ulong_t (*open_session)(ulong_t, ulong_t, void *, void *, ulong_t *);
    void *close_session, *close_all_sessions, *get_session_info, *get_operation_state, *set_operation_state;
    ulong_t (*login)(ulong_t, ulong_t, const char *, ulong_t);
    ulong_t (*logout)(ulong_t);
    void *create_object, *copy_object, *destroy_object, *get_object_size;
    ulong_t (*get_attribute_value)(ulong_t, ulong_t, void *, ulong_t);
    void *set_attribute_value;
    ulong_t (*find_objects_init)(ulong_t, void *, ulong_t);
    ulong_t (*find_objects)(ulong_t, ulong_t *, ulong_t, ulong_t *);
    ulong_t (*find_objects_final)(ulong_t);
};

struct attribute {
    ulong_t type;
    void *value;
    ulong_t length;
};

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(2);
}

static struct functions *load(const char *path) {
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    ulong_t (*list)(struct functions **) = (ulong_t(*)(struct functions **))dlsym(module, "C_GetFunctionList");
    struct functions *functions;
    if (!list || list(&functions) != 0)
        die("C_GetFunctionList");
    return functions;
}

static ulong_t slots(struct functions *module, ulong_t *rv) {
    ulong_t count = 0;
    *rv = module->get_slot_list(0, NULL, &count);
    return count;
}

/* -- What stays in memory ------------------------------------------------------------------------------------------ */

enum { SECRETS = 3, LONGEST = 32, CHUNK = 1 << 16 };

static char secret[SECRETS][LONGEST];
static size_t length[SECRETS];
/* What is looked for, as typed and folded to capitals; kept so that it does not find itself. */
static unsigned char masked[SECRETS][2][LONGEST];
static const unsigned char MASK = 0xA5;

static void read_secrets(void) {
    for (int i = 0; i < SECRETS; i++) {
        char c;
        while (read(0, &c, 1) == 1 && c != '\n')
            if (length[i] < LONGEST)
                secret[i][length[i]++] = c;
        for (size_t j = 0; j < length[i]; j++) {
            char upper = secret[i][j] >= 'a' && secret[i][j] <= 'z' ? secret[i][j] - 'a' + 'A' : secret[i][j];
            masked[i][0][j] = (unsigned char)secret[i][j] ^ MASK;
            masked[i][1][j] = (unsigned char)upper ^ MASK;
        }
        c = 0;
    }
}

/* How many copies of any of the secrets there are in all that /proc/self/mem gives. */
static int copies(int verbose) {
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY);
    unsigned char *window = mmap(NULL, CHUNK + LONGEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int found = 0;
    char line[512];
    if (!maps || memory < 0 || window == MAP_FAILED)
        die("/proc/self");
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) != 3 || rights[0] != 'r')
            continue;
        for (unsigned long at = start; at < end; at += CHUNK) {
            if (at >= (unsigned long)window && at < (unsigned long)window + CHUNK + LONGEST)
                continue;
            size_t want = end - at < CHUNK + LONGEST ? end - at : CHUNK + LONGEST;
            ssize_t got = pread(memory, window, want, (off_t)at);
            for (ssize_t i = 0; i < got; i++)
                window[i] ^= MASK;
            for (ssize_t i = 0; i < got && i < CHUNK; i++)
                for (int s = 0; s < SECRETS; s++)
                    for (int form = 0; form < 2; form++) {
                        int same_form = form == 1 && !memcmp(masked[s][0], masked[s][1], length[s]);
                        if (length[s] && !same_form && i + (ssize_t)length[s] <= got
                            && !memcmp(window + i, masked[s][form], length[s])) {
                            found++;
                            if (verbose)
                                fprintf(stderr, "secret %d, form %d at %lx in %s", s, form, at + (unsigned long)i, line);
                        }
                    }
            memset(window, 0, (size_t)(got > 0 ? got : 0));
        }
    }
    munmap(window, CHUNK + LONGEST);
    close(memory);
    fclose(maps);
    return found;
}

static int watch_memory(const char *path, ulong_t slot) {
    struct functions *module = load(path);
    ulong_t session, rv;
    read_secrets();
    if (copies(0) != SECRETS) {
        fprintf(stderr, "the search does not find this program's own copies: %d\n", copies(1));
        return 2;
    }
    if (module->initialize(NULL) || module->open_session(slot, 6, NULL, NULL, &session))
        die("C_OpenSession");
    rv = module->login(session, 1, secret[1], length[1]);
    printf("wrong: %#lx\n", rv);
    rv = module->login(session, 1, secret[0], length[0]);
    printf("right: %#lx\n", rv);
    rv = module->set_pin(session, secret[0], length[0], secret[2], length[2]);
    printf("change: %#lx\n", rv);
    explicit_bzero(secret, sizeof secret);
    printf("while logged in: %d\n", copies(0));
    rv = module->logout(session);
    printf("logout: %#lx\n", rv);
    printf("after C_Logout: %d\n", copies(1));
    rv = module->finalize(NULL);
    printf("finalize: %#lx\n", rv);
    printf("after C_Finalize: %d\n", copies(1));
    return 0;
}

/* Reads the holder's certificate, and every attribute of every object, as a browser would. */
static int watch_holder(const char *path, ulong_t slot) {
    enum { MOST = 16, ROOM = 4096 };
    static const ulong_t types[] = {0x11 /* CKA_VALUE */, 0x101 /* CKA_SUBJECT */, 0x81 /* CKA_ISSUER */, 0x3 /* CKA_LABEL */};
    struct functions *module = load(path);
    ulong_t session, rv, objects[MOST], count = 0;
    size_t most = 0;
    static char value[ROOM];
    read_secrets();
    if (module->initialize(NULL) || module->open_session(slot, 6, NULL, NULL, &session))
        die("C_OpenSession");
    rv = module->login(session, 1, secret[0], length[0]);
    printf("login: %#lx\n", rv);
    explicit_bzero(secret, sizeof secret);
    length[0] = 0; /* The password is the other test's. */
    if (module->find_objects_init(session, NULL, 0) || module->find_objects(session, objects, MOST, &count)
        || module->find_objects_final(session))
        die("C_FindObjects");
    for (ulong_t i = 0; i < count; i++)
        for (size_t j = 0; j < sizeof types / sizeof *types; j++) {
            struct attribute attribute = {types[j], value, sizeof value};
            if (module->get_attribute_value(session, objects[i], &attribute, 1) == 0 && attribute.length > most)
                most = attribute.length;
            explicit_bzero(value, sizeof value);
        }
    printf("read: %d\n", most > 1000);
    printf("while logged in: %d\n", copies(0) > 0);
    rv = module->logout(session);
    printf("logout: %#lx\n", rv);
    printf("after C_Logout: %d\n", copies(1));
    rv = module->finalize(NULL);
    printf("finalize: %#lx\n", rv);
    printf("after C_Finalize: %d\n", copies(1));
    return 0;
}

/* -- What a program sees ------------------------------------------------------------------------------------------- */

static int show_slots(const char *path) {
    struct functions *module = load(path);
    ulong_t rv = module->initialize(NULL);
    printf("secure %lu initialize %#lx ", getauxval(AT_SECURE), rv);
    printf("slots %lu", slots(module, &rv));
    printf(" rv %#lx\n", rv);
    return 0;
}

static int load_twice(const char *path, const char *proxy_path) {
    struct functions *direct = load(path), *proxy = load(proxy_path);
    ulong_t rv;
    printf("direct initialize %#lx\n", direct->initialize(NULL));
    printf("direct again %#lx\n", direct->initialize(NULL));
    printf("proxy initialize %#lx\n", proxy->initialize(NULL));
    printf("direct slots %lu", slots(direct, &rv));
    printf(" rv %#lx\n", rv);
    printf("proxy slots %lu", slots(proxy, &rv));
    printf(" rv %#lx\n", rv);
    printf("proxy finalize %#lx\n", proxy->finalize(NULL));
    printf("direct slots %lu", slots(direct, &rv));
    printf(" rv %#lx\n", rv);
    printf("direct finalize %#lx\n", direct->finalize(NULL));
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "memory"))
        return watch_memory(argv[2], strtoul(argv[3], NULL, 0));
    if (argc == 4 && !strcmp(argv[1], "holder"))
        return watch_holder(argv[2], strtoul(argv[3], NULL, 0));
    if (argc == 3 && !strcmp(argv[1], "slots"))
        return show_slots(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "twice"))
        return load_twice(argv[2], argv[3]);
    fprintf(stderr, "usage: client (memory MODULE SLOT | holder MODULE SLOT | slots MODULE | twice MODULE PROXY)\n");
    return 2;
}
