/* As much of PKCS#11 2.40 as the client programs here use. Functions that none of them calls have no type. */
#ifndef CRYPTOKI_H
#define CRYPTOKI_H

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long CK_ULONG;
typedef unsigned char CK_BYTE;

enum {
    CKR_OK = 0x0,
    CKR_NO_EVENT = 0x8,
    CKR_USER_NOT_LOGGED_IN = 0x101,
    CKR_CRYPTOKI_NOT_INITIALIZED = 0x190,
    CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191,
};
enum { CKU_USER = 1, CKF_SERIAL_SESSION = 4, CKF_RW_SESSION = 2, CKS_RW_USER_FUNCTIONS = 3 };
enum { CKA_CLASS = 0, CKO_PRIVATE_KEY = 3, CKM_SHA256_RSA_PKCS = 0x40 };

typedef struct { CK_ULONG type; void *value; CK_ULONG length; } CK_ATTRIBUTE;
typedef struct { CK_ULONG mechanism; void *parameter; CK_ULONG length; } CK_MECHANISM;
typedef struct { CK_ULONG slot, state, flags, error; } CK_SESSION_INFO;
typedef struct { CK_BYTE description[64], manufacturer[32]; CK_ULONG flags; CK_BYTE versions[4]; } CK_SLOT_INFO;

typedef void (*UNUSED)(void);

typedef struct {
    CK_BYTE version[2];
    CK_ULONG (*C_Initialize)(void *);
    CK_ULONG (*C_Finalize)(void *);
    UNUSED C_GetInfo, C_GetFunctionList;
    CK_ULONG (*C_GetSlotList)(CK_BYTE, CK_ULONG *, CK_ULONG *);
    CK_ULONG (*C_GetSlotInfo)(CK_ULONG, CK_SLOT_INFO *);
    UNUSED C_GetTokenInfo, C_GetMechanismList, C_GetMechanismInfo, C_InitToken, C_InitPIN, C_SetPIN;
    CK_ULONG (*C_OpenSession)(CK_ULONG, CK_ULONG, void *, void *, CK_ULONG *);
    CK_ULONG (*C_CloseSession)(CK_ULONG);
    CK_ULONG (*C_CloseAllSessions)(CK_ULONG);
    CK_ULONG (*C_GetSessionInfo)(CK_ULONG, CK_SESSION_INFO *);
    UNUSED C_GetOperationState, C_SetOperationState;
    CK_ULONG (*C_Login)(CK_ULONG, CK_ULONG, CK_BYTE *, CK_ULONG);
    CK_ULONG (*C_Logout)(CK_ULONG);
    UNUSED C_CreateObject, C_CopyObject, C_DestroyObject, C_GetObjectSize, C_GetAttributeValue, C_SetAttributeValue;
    CK_ULONG (*C_FindObjectsInit)(CK_ULONG, CK_ATTRIBUTE *, CK_ULONG);
    CK_ULONG (*C_FindObjects)(CK_ULONG, CK_ULONG *, CK_ULONG, CK_ULONG *);
    CK_ULONG (*C_FindObjectsFinal)(CK_ULONG);
    UNUSED C_EncryptInit, C_Encrypt, C_EncryptUpdate, C_EncryptFinal;
    UNUSED C_DecryptInit, C_Decrypt, C_DecryptUpdate, C_DecryptFinal;
    UNUSED C_DigestInit, C_Digest, C_DigestUpdate, C_DigestKey, C_DigestFinal;
    CK_ULONG (*C_SignInit)(CK_ULONG, CK_MECHANISM *, CK_ULONG);
    CK_ULONG (*C_Sign)(CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *);
    UNUSED C_SignUpdate, C_SignFinal, C_SignRecoverInit, C_SignRecover;
    UNUSED C_VerifyInit, C_Verify, C_VerifyUpdate, C_VerifyFinal, C_VerifyRecoverInit, C_VerifyRecover;
    UNUSED C_DigestEncryptUpdate, C_DecryptDigestUpdate, C_SignEncryptUpdate, C_DecryptVerifyUpdate;
    UNUSED C_GenerateKey, C_GenerateKeyPair, C_WrapKey, C_UnwrapKey, C_DeriveKey;
    UNUSED C_SeedRandom, C_GenerateRandom, C_GetFunctionStatus, C_CancelFunction;
    CK_ULONG (*C_WaitForSlotEvent)(CK_ULONG, CK_ULONG *, void *);
} CK_FUNCTION_LIST;

static CK_FUNCTION_LIST *p11;

/* Ends the program with a line on what went wrong; from a child too, whose parent sees the exit code. */
__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(1);
}

/* Asserts what a function answers. */
static void expect(const char *what, CK_ULONG rv, CK_ULONG wanted) {
    if (rv != wanted) die("%d: %s: 0x%lX, not 0x%lX", (int)getpid(), what, rv, wanted);
}

#define EXPECT(call, wanted) expect(#call, p11->call, wanted)
#define OK(call) EXPECT(call, CKR_OK)

static void *load(const char *module) {
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    if (!library) die("%s", dlerror());
    CK_ULONG (*function_list)(CK_FUNCTION_LIST **);
    *(void **)&function_list = dlsym(library, "C_GetFunctionList");
    if (!function_list) die("%s", dlerror());
    expect("C_GetFunctionList", function_list(&p11), CKR_OK);
    return library;
}

/* A session with the token in this slot, logged in; its private key. */
__attribute__((unused)) static CK_ULONG log_in(CK_ULONG slot, const char *pin, CK_ULONG *key) {
    CK_ULONG session, class = CKO_PRIVATE_KEY, count = 0;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
    OK(C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    OK(C_Login(session, CKU_USER, (CK_BYTE *)pin, strlen(pin)));
    OK(C_FindObjectsInit(session, &template, 1));
    OK(C_FindObjects(session, key, 1, &count));
    OK(C_FindObjectsFinal(session));
    if (count != 1) die("there are %lu private keys", count);
    return session;
}

__attribute__((unused)) static CK_ULONG sign(CK_ULONG session, CK_ULONG key) {
    CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
    CK_BYTE data[] = "practice makes perfect", signature[512];
    CK_ULONG length = sizeof signature;
    CK_ULONG rv = p11->C_SignInit(session, &mechanism, key);
    return rv == CKR_OK ? p11->C_Sign(session, data, sizeof data - 1, signature, &length) : rv;
}

#endif
