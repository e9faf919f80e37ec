//go:build vision

package face

/*
#cgo CXXFLAGS: -std=c++17 -O3 -DNDEBUG -march=native
#cgo LDFLAGS: -ldlib -lopenblas -llapack -lopencv_core
#include <stdlib.h>
#include "dlib.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"image"
	"runtime"
	"unsafe"

	"gocv.io/x/gocv"
)

// finder finds faces and places their landmarks, apart from describing them. It serves one
// goroutine at a time.
type finder struct{ ptr unsafe.Pointer }

func newFinder(landmarkModel string) (*finder, error) {
	path := C.CString(landmarkModel)
	defer C.free(unsafe.Pointer(path))
	var f finder
	if err := failed(C.face_finder_new(path, &f.ptr)); err != nil {
		return nil, err
	}
	return &f, nil
}

func (f *finder) close() { C.face_finder_free(f.ptr) }

// failed makes an error of what a function of dlib.h returned.
func failed(message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return errors.New("dlib: " + C.GoString(message))
}

// reach says which sizes of faces are looked for.
type reach int

const (
	anySize   reach = iota // from leastWindow on
	leastSize              // about leastWindow alone, for a third of the time
)

// leastWindow is the width of the smallest face that the detector knows, in pixels of what it
// looks at.
const leastWindow = 64

// find returns up to most faces of a grey picture, the surest first, without landmarks.
func (f *finder) find(grey gocv.Mat, sizes reach, most int) ([]spot, error) {
	p, err := pixels(grey)
	if err != nil {
		return nil, err
	}
	found := make([]C.face_found, most)
	var count C.int
	err = failed(C.face_find(f.ptr, p, C.int(sizes), &found[0], C.int(most), &count))
	runtime.KeepAlive(grey)
	if err != nil {
		return nil, err
	}
	spots := make([]spot, count)
	for i, s := range found[:count] {
		box := image.Rect(int(s.left), int(s.top), int(s.right)+1, int(s.bottom)+1)
		spots[i] = spot{box: box, score: float64(s.score), front: s.filter == 0}
	}
	return spots, nil
}

// place returns the five landmarks of the face in a box of a grey picture: the outer and the
// inner corner of the eye on the right of the picture, those of the eye on its left, and the
// base of the nose.
func (f *finder) place(grey gocv.Mat, box image.Rectangle) ([]image.Point, error) {
	p, err := pixels(grey)
	if err != nil {
		return nil, err
	}
	at := C.face_found{left: C.int(box.Min.X), top: C.int(box.Min.Y), right: C.int(box.Max.X - 1), bottom: C.int(box.Max.Y - 1)}
	var placed C.face_landmarks
	err = failed(C.face_place(f.ptr, p, at, &placed))
	runtime.KeepAlive(grey)
	if err != nil {
		return nil, err
	}
	var landmarks []image.Point
	for i := range placed.x {
		landmarks = append(landmarks, image.Pt(int(placed.x[i]), int(placed.y[i])))
	}
	return landmarks, nil
}

func pixels(grey gocv.Mat) (C.face_pixels, error) {
	if grey.Ptr() == nil || grey.Empty() || grey.Type() != gocv.MatTypeCV8UC1 {
		return C.face_pixels{}, fmt.Errorf("%w: it is empty, or not grey of 8 bits", ErrPicture)
	}
	data, err := grey.DataPtrUint8()
	if err != nil {
		return C.face_pixels{}, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	return C.face_pixels{data: (*C.uint8_t)(&data[0]), width: C.int(grey.Cols()), height: C.int(grey.Rows()), stride: C.int(grey.Step())}, nil
}
