/* A program that uses the module again and again: SIGNER MODULE PIN ROUNDS. Each round is C_Initialize to C_Finalize with
 * a wrong handle, a login, the objects and their attributes, and two signatures. Needs no PKCS#11 header. */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long Ulong;
typedef struct { Ulong type; void *value; Ulong length; } Attribute;
typedef struct { Ulong mechanism; void *parameter; Ulong length; } Mechanism;

static void *module;

/* The result of a function, which must be this. */
#define MUST(result, name, ...)                                                                                        \
    do {                                                                                                               \
        Ulong (*function)() = (Ulong (*)())dlsym(module, #name);                                                       \
        Ulong came = function ? function(__VA_ARGS__) : ~0UL;                                                          \
        if (came != (result)) {                                                                                        \
            fprintf(stderr, #name ": %#lx\n", came);                                                                   \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static void look_at(Ulong session, Ulong object)
{
    Attribute label = {3, NULL, 0};
    MUST(0, C_GetAttributeValue, session, object, &label, 1UL);
    label.value = malloc(label.length);
    MUST(0, C_GetAttributeValue, session, object, &label, 1UL);
    free(label.value);
    /* A type that nothing has. */
    Attribute unknown = {0x7fffffffUL, NULL, 0};
    MUST(0x12UL, C_GetAttributeValue, session, object, &unknown, 1UL);
}

static void use(unsigned char *pin)
{
    Ulong slots[8], slot_count = 0, session, found[16], count, key = 0;
    MUST(0, C_Initialize, NULL);
    MUST(0, C_GetSlotList, 1, NULL, &slot_count);
    slot_count = 8;
    MUST(0, C_GetSlotList, 1, slots, &slot_count);
    MUST(0, C_OpenSession, slots[0], 6UL, NULL, NULL, &session);
    MUST(0xB3UL, C_Logout, session + 1);
    MUST(0, C_Login, session, 1UL, pin, (Ulong)strlen((char *)pin));

    MUST(0, C_FindObjectsInit, session, NULL, 0UL);
    MUST(0, C_FindObjects, session, found, 16UL, &count);
    MUST(0, C_FindObjectsFinal, session);
    for (Ulong at = 0; at < count; at++) {
        Ulong class;
        Attribute what = {0, &class, sizeof class};
        MUST(0, C_GetAttributeValue, session, found[at], &what, 1UL);
        if (class == 3)
            key = found[at];
        if (class <= 3)
            look_at(session, found[at]);
    }

    for (int at = 0; at < 2; at++) {
        Mechanism mechanism = {0x40, NULL, 0};
        Ulong length = 0;
        MUST(0, C_SignInit, session, &mechanism, key);
        MUST(0, C_Sign, session, pin, 4UL, NULL, &length);
        unsigned char *signature = malloc(length);
        MUST(0, C_Sign, session, pin, 4UL, signature, &length);
        free(signature);
    }
    MUST(0, C_Logout, session);
    MUST(0, C_Finalize, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 4 || !(module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL))) {
        fprintf(stderr, "signer MODULE PIN ROUNDS: %s\n", dlerror());
        return 1;
    }
    for (int round = atoi(argv[3]); round > 0; round--)
        use((unsigned char *)argv[2]);
    return 0;
}
