"""A program that uses PyKCS11: with_pykcs11.py MODULE ACTION [ARGUMENT]..., on the first token."""

import sys

import PyKCS11

MECHANISMS = {
    "pkcs1": PyKCS11.Mechanism(PyKCS11.CKM_SHA256_RSA_PKCS),
    "pss": PyKCS11.RSA_PSS_Mechanism(
        PyKCS11.CKM_SHA256_RSA_PKCS_PSS, PyKCS11.CKM_SHA256, PyKCS11.CKG_MGF1_SHA256, 32
    ),
}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def label(session, thing):
    return session.getAttributeValue(thing, [PyKCS11.CKA_LABEL])[0]


def main(module, action, *arguments):
    library = PyKCS11.PyKCS11Lib()
    library.load(module)
    if action == "wait":
        print("waiting", flush=True)
        for _ in range(2):
            slot = library.waitForSlotEvent()
            present = slot in library.getSlotList(tokenPresent=True)
            print("inserted" if present else "removed", flush=True)
        return
    slot = library.getSlotList(tokenPresent=True)[0]
    session = library.openSession(slot, PyKCS11.CKF_SERIAL_SESSION | PyKCS11.CKF_RW_SESSION)
    if action == "list":
        print(library.getTokenInfo(slot).label.strip())
        for kind in PyKCS11.CKO_CERTIFICATE, PyKCS11.CKO_PUBLIC_KEY, PyKCS11.CKO_PRIVATE_KEY:
            print(*(label(session, thing) for thing in session.findObjects([(PyKCS11.CKA_CLASS, kind)])), sep="\n")
    elif action == "sign":
        pin, mechanism, document, signature = arguments
        session.login(pin)
        (key,) = session.findObjects([(PyKCS11.CKA_CLASS, PyKCS11.CKO_PRIVATE_KEY)])
        with open(signature, "wb") as file:
            file.write(bytes(session.sign(key, read(document), MECHANISMS[mechanism])))
        session.logout()
    elif action == "verify":
        pin, mechanism, document, signature = arguments
        session.login(pin)
        (key,) = session.findObjects([(PyKCS11.CKA_CLASS, PyKCS11.CKO_PUBLIC_KEY)])
        print(session.verify(key, read(document), read(signature), MECHANISMS[mechanism]))
    elif action == "change":
        old, new = arguments
        session.login(old)
        session.setPin(old, new)
    session.closeSession()


main(*sys.argv[1:])
