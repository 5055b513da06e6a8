// leave MODULE PIN PASSWORD CODE: a program in Go that logs in to both tokens, signs with either key and ends with this code.
// Go's own end runs no handler that a C library has registered.
package main

/*
#cgo LDFLAGS: -ldl
#include "cryptoki.h"

static void initialize(const char *module) {
    load(module);
    OK(C_Initialize(NULL));
}

static void log_in_and_sign(CK_ULONG slot, const char *secret) {
    CK_ULONG key, session = log_in(slot, secret, &key);
    expect("the signature", sign(session, key), CKR_OK);
}
*/
import "C"

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	C.initialize(C.CString(os.Args[1]))
	C.log_in_and_sign(0, C.CString(os.Args[2]))
	C.log_in_and_sign(1, C.CString(os.Args[3]))
	fmt.Println("signed")
	if code, _ := strconv.Atoi(os.Args[4]); code != 0 {
		os.Exit(code)
	}
}
