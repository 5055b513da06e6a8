"""A program that uses python-pkcs11: with_python_pkcs11.py MODULE ACTION [ARGUMENT]..., on the first token."""

import sys
import time

import pkcs11
from pkcs11 import MGF, Attribute, Mechanism, ObjectClass

MECHANISMS = {
    "pkcs1": (Mechanism.SHA256_RSA_PKCS, None),
    "pss": (Mechanism.SHA256_RSA_PKCS_PSS, (Mechanism.SHA256, MGF.SHA256, 32)),
}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main(module, action, *arguments):
    library = pkcs11.lib(module)
    if action == "wait":
        print("waiting", flush=True)
        # The library's own wait_for_slot_event cannot be used: it fails as soon as there is an event (0.9.5, 0.10.1).
        for present, event in [(True, "inserted"), (False, "removed")]:
            while bool(library.get_slots(token_present=True)) != present:
                time.sleep(0.1)
            print(event, flush=True)
        return
    token = library.get_slots(token_present=True)[0].get_token()
    if action == "list":
        with token.open() as session:
            print(token.label)
            for kind in ObjectClass.CERTIFICATE, ObjectClass.PUBLIC_KEY, ObjectClass.PRIVATE_KEY:
                things = session.get_objects({Attribute.CLASS: kind})
                print(*(thing[Attribute.LABEL] for thing in things), sep="\n")
    elif action == "sign":
        pin, mechanism, document, signature = arguments
        with token.open(user_pin=pin) as session:
            key = session.get_key(ObjectClass.PRIVATE_KEY)
            mechanism, parameters = MECHANISMS[mechanism]
            signed = key.sign(read(document), mechanism=mechanism, mechanism_param=parameters)
        with open(signature, "wb") as file:
            file.write(signed)
    elif action == "verify":
        pin, mechanism, document, signature = arguments
        with token.open(user_pin=pin) as session:
            key = session.get_key(ObjectClass.PUBLIC_KEY)
            mechanism, parameters = MECHANISMS[mechanism]
            print(key.verify(read(document), read(signature), mechanism=mechanism, mechanism_param=parameters))
    elif action == "change":
        old, new = arguments
        with token.open(user_pin=old, rw=True) as session:
            session.set_pin(old, new)


main(*sys.argv[1:])
