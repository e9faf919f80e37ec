//go:build vision

package dlib

/*
#cgo LDFLAGS: -lopenblas
#include <malloc.h>

extern void face_one_thread(void);

static void face_bound_memory(void) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

static void face_trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
*/
import "C"

// Settle fits the C libraries to a program that runs for months beside others.
//
// OpenBLAS and OpenCV get one thread each: their threads spin while they wait for each
// other, which on a busy machine makes a face slower, not faster to describe. What runs in
// parallel is Go's to say: one goroutine a camera, and as many describing at once as there
// are recognisers.
//
// glibc keeps 16 MB at hand instead of room for the largest picture ever seen in an arena for
// each thread: less, and the memory that describing a face takes and frees is fetched from
// the kernel each time, for a third of the time that describing takes.
func Settle() {
	C.face_one_thread()
	C.face_bound_memory()
}

// Trim gives what the C library holds in reserve back to the system; worth it after
// large pictures.
func Trim() { C.face_trim() }
