//go:build vision

package face

/*
#cgo LDFLAGS: -lopenblas
#include <malloc.h>

extern void openblas_set_num_threads(int num_threads);

static void face_settle(void) {
	openblas_set_num_threads(1);
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#endif
}

static void face_trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
*/
import "C"

// settle fits the C libraries to a program that runs for months beside others.
//
// OpenBLAS gets one thread: its threads spin while they wait for each other, which on a busy
// machine makes a face slower, not faster to describe. glibc gives each picture back as soon
// as it is freed, instead of keeping room for the largest ever seen in an arena for each
// thread: 155 MB in place of 240 with a camera at 720p.
func settle() { C.face_settle() }

// trimMemory gives what the C library holds in reserve back to the system; worth it after
// large pictures.
func trimMemory() { C.face_trim() }
