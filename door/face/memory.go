//go:build vision

package face

/*
#cgo LDFLAGS: -lopenblas
#include <malloc.h>

extern void openblas_set_num_threads(int num_threads);

static void face_trim(void) { malloc_trim(0); }
*/
import "C"

// useOneThread keeps OpenBLAS to one thread. Its threads spin while they wait for each other,
// which on a machine that has other work to do makes a face slower, not faster to describe.
func useOneThread() { C.openblas_set_num_threads(1) }

// trimMemory gives what the C library holds in reserve back to the system; worth it after
// large pictures.
func trimMemory() { C.face_trim() }
