// Reads float32 from standard input and writes their ReLU to standard output.
//
//	$ export CGO_CFLAGS="$(relu-ext config --cflags)"
//	$ go build -o program main.go
package main

// #define RELU_EXT_STATIC
// #include "relu_ext.c"
import "C"

import (
	"io"
	"os"
	"unsafe"
)

func main() {
	x, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	if len(x) >= 4 {
		// In place. No alignment is needed, so bytes will do.
		first := (*C.float)(unsafe.Pointer(&x[0]))
		C.relu_f32(first, first, C.size_t(len(x)/4))
	}
	if _, err := os.Stdout.Write(x); err != nil {
		panic(err)
	}
}
