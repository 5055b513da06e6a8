/* Signs an XML template as xmlsec1's command line does, with libxmlsec1's NSS back end, which takes a token's key.
 *
 * xmlsign DATABASE NICKNAME TEMPLATE SIGNED
 *
 * The first line of standard input is the password of the token that the nickname names. */

#include <libxml/parser.h>
#include <nss/cert.h>
#include <nss/keyhi.h>
#include <nss/nss.h>
#include <nss/pk11pub.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmlsec/xmldsig.h>
#include <xmlsec/xmlsec.h>
#include <xmlsec/xmltree.h>
#include <xmlsec/nss/app.h>
#include <xmlsec/nss/crypto.h>
#include <xmlsec/nss/pkikeys.h>
#include <xmlsec/nss/x509.h>

static void require(int condition, const char *what) {
    if (!condition) {
        fprintf(stderr, "%s: NSS error %d\n", what, PORT_GetError());
        exit(1);
    }
}

/* NSS asks again after a wrong password: it gets none then. */
static char *password(PK11SlotInfo *slot, PRBool again, void *unused) {
    (void)slot, (void)unused;
    char line[64];
    if (again || !fgets(line, sizeof line, stdin)) return NULL;
    line[strcspn(line, "\n")] = '\0';
    return PORT_Strdup(line);
}

/* The token's key with its certificate, as xmlsec has keys. */
static xmlSecKeyPtr token_key(const char *nickname) {
    CERTCertificate *certificate = PK11_FindCertFromNickname(nickname, NULL);
    require(certificate != NULL, "certificate");
    SECKEYPrivateKey *private = PK11_FindKeyByAnyCert(certificate, NULL);
    require(private != NULL, "key");
    SECKEYPublicKey *public = CERT_ExtractPublicKey(certificate);
    require(public != NULL, "public key");
    xmlSecKeyDataPtr value = xmlSecNssPKIAdoptKey(private, public);
    xmlSecKeyDataPtr x509 = xmlSecKeyDataCreate(xmlSecNssKeyDataX509Id);
    require(value != NULL && x509 != NULL, "key data");
    require(xmlSecNssKeyDataX509AdoptKeyCert(x509, CERT_DupCertificate(certificate)) == 0, "key's certificate");
    require(xmlSecNssKeyDataX509AdoptCert(x509, certificate) == 0, "certificate");
    xmlSecKeyPtr key = xmlSecKeyCreate();
    require(key != NULL && xmlSecKeySetValue(key, value) == 0 && xmlSecKeyAdoptData(key, x509) == 0, "key");
    return key;
}

int main(int count, char **arguments) {
    if (count != 5) return 2;
    PK11_SetPasswordFunc(password);
    xmlInitParser();
    require(xmlSecInit() == 0 && xmlSecNssAppInit(arguments[1]) == 0 && xmlSecNssInit() == 0, "xmlsec");
    xmlDocPtr document = xmlReadFile(arguments[3], NULL, XML_PARSE_NONET);
    require(document != NULL, "template");
    xmlNodePtr template = xmlSecFindNode(xmlDocGetRootElement(document), xmlSecNodeSignature, xmlSecDSigNs);
    require(template != NULL, "template's signature");
    xmlSecDSigCtxPtr context = xmlSecDSigCtxCreate(NULL);
    require(context != NULL, "context");
    context->signKey = token_key(arguments[2]);
    require(xmlSecDSigCtxSign(context, template) == 0, "signature");
    require(xmlSaveFile(arguments[4], document) > 0, "output");
    xmlSecDSigCtxDestroy(context);
    xmlFreeDoc(document);
    xmlSecNssShutdown();
    xmlSecNssAppShutdown();
    xmlSecShutdown();
    return 0;
}
