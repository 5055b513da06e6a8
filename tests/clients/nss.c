/* A program that signs through NSS as its TLS does: it looks its key up for each handshake, and NSS asks for the PIN where
 * the token's session says that nobody is logged in. Told what to do by lines on standard input, it answers each with one
 * line: what came of it, and how often the password function has been called so far.
 *
 *     nss MODULE PIN
 *     handshake   look the key of the certificate up, and sign with it
 *     sign        sign with the key that was looked up last
 *     login       have NSS log in, should it think that it needs to */

#include <nss.h>
#include <pk11pub.h>
#include <cert.h>
#include <keyhi.h>
#include <prerror.h>
#include <secmod.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *pin;
static int prompts;

static char *ask(PK11SlotInfo *slot, PRBool retry, void *arg)
{
    (void)slot;
    (void)arg;
    prompts++;
    return retry ? NULL : PORT_Strdup(pin);
}

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, PR_ErrorToName(PR_GetError()));
    exit(1);
}

/* The first slot with a token in it. */
static PK11SlotInfo *token(SECMODModule *module)
{
    for (int i = 0; i < module->slotCount; i++)
        if (PK11_IsPresent(module->slots[i]))
            return module->slots[i];
    fail("no token");
    return NULL;
}

/* The certificate to which the token has a key. */
static CERTCertificate *certificate(PK11SlotInfo *slot)
{
    CERTCertList *list = PK11_ListCertsInSlot(slot);
    if (list == NULL)
        fail("PK11_ListCertsInSlot");
    for (CERTCertListNode *node = CERT_LIST_HEAD(list); !CERT_LIST_END(node, list); node = CERT_LIST_NEXT(node))
        if (CERT_IsUserCert(node->cert))
            return CERT_DupCertificate(node->cert);
    fail("no user certificate");
    return NULL;
}

/* A signature of a DigestInfo, checked with the certificate's key. */
static SECStatus sign(SECKEYPrivateKey *key, CERTCertificate *certificate)
{
    /* SHA-256 of nothing. */
    static unsigned char info[] = {
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
        0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    };
    unsigned char room[512];
    SECItem hash = { siBuffer, info, sizeof info }, signature = { siBuffer, room, sizeof room };
    if (PK11_Sign(key, &signature, &hash) != SECSuccess)
        return SECFailure;
    SECKEYPublicKey *public = CERT_ExtractPublicKey(certificate);
    if (public == NULL)
        fail("CERT_ExtractPublicKey");
    SECStatus verified = PK11_Verify(public, &signature, &hash, NULL);
    SECKEY_DestroyPublicKey(public);
    return verified;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    /* A hang ends here, and the reader of our answers sees the end of them. */
    alarm(60);
    pin = argv[2];
    PK11_SetPasswordFunc(ask);
    if (NSS_NoDB_Init(NULL) != SECSuccess)
        fail("NSS_NoDB_Init");
    char spec[4096];
    snprintf(spec, sizeof spec, "library=\"%s\" name=\"card\"", argv[1]);
    SECMODModule *module = SECMOD_LoadUserModule(spec, NULL, PR_FALSE);
    if (module == NULL || !module->loaded)
        fail("SECMOD_LoadUserModule");
    PK11SlotInfo *slot = token(module);
    CERTCertificate *user = certificate(slot);
    SECKEYPrivateKey *key = NULL;
    char line[32];
    while (fgets(line, sizeof line, stdin) != NULL) {
        SECStatus done;
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "login") == 0) {
            done = PK11_Authenticate(slot, PR_TRUE, NULL);
        } else {
            if (strcmp(line, "handshake") == 0) {
                SECKEY_DestroyPrivateKey(key);
                key = PK11_FindKeyByAnyCert(user, NULL);
            }
            done = key == NULL ? SECFailure : sign(key, user);
        }
        printf("%s, prompts: %d\n", done == SECSuccess ? "ok" : PR_ErrorToName(PR_GetError()), prompts);
        fflush(stdout);
    }
    return 0;
}
