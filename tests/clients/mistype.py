"""A service that begins again and again with the same PIN: mistype.py MODULE PIN TIMES, with C_Finalize between. Prints
what each login came to."""

import sys

import PyKCS11


def main(module, pin, times):
    for _ in range(int(times)):
        library = PyKCS11.PyKCS11Lib()
        library.load(module)
        slot = library.getSlotList(tokenPresent=True)[0]
        session = library.openSession(slot)
        try:
            session.login(pin)
            print("logged in")
        except PyKCS11.PyKCS11Error as error:
            print(error)
        session.closeSession()
        # C_Finalize, and dlclose.
        library.unload()


main(*sys.argv[1:])
