//go:build vision

// Package dlib finds faces in raw pixels and places their landmarks: two of the steps that
// go-face takes in one call, each by itself. It stands apart from its user since dlib's
// headers take a minute to compile.
package dlib

/*
#cgo CXXFLAGS: -std=c++17 -O3 -DNDEBUG -march=native
#cgo LDFLAGS: -ldlib -lopenblas -llapack -lopencv_core
#include <stdlib.h>
#include "dlib.h"
*/
import "C"

import (
	"errors"
	"image"
	"runtime"
	"unsafe"

	"gocv.io/x/gocv"
)

// ErrPicture says that a picture is not what the detector reads.
var ErrPicture = errors.New("the picture is empty, or not grey of 8 bits")

// Finder finds faces and places their landmarks. It serves one goroutine at a time.
type Finder struct{ ptr unsafe.Pointer }

// NewFinder reads a landmark model of five points from a file. The caller closes the finder.
func NewFinder(landmarkModel string) (*Finder, error) {
	path := C.CString(landmarkModel)
	defer C.free(unsafe.Pointer(path))
	var f Finder
	if err := failed(C.face_finder_new(path, &f.ptr)); err != nil {
		return nil, err
	}
	return &f, nil
}

// Close frees the model.
func (f *Finder) Close() { C.face_finder_free(f.ptr) }

// failed makes an error of what a function of dlib.h returned.
func failed(message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return errors.New("dlib: " + C.GoString(message))
}

// Sizes says which sizes of faces are looked for.
type Sizes int

// The sizes.
const (
	AnySize   Sizes = iota // from LeastWindow on
	LeastSize              // about LeastWindow alone, for a third of the time
)

// LeastWindow is the width of the smallest face that the detector knows, in pixels of what it
// looks at.
const LeastWindow = 64

// Spot is a place where a face was found.
type Spot struct {
	Box   image.Rectangle // in pixels of the picture; may reach over its edge
	Score float64         // how sure the detector is: 0 is dlib's own threshold, 1 a clear face
	Front bool            // it looks like a face from the front, neither turned nor tilted
}

// Find returns up to most faces of a picture of 8-bit grey, the surest first, or ErrPicture.
func (f *Finder) Find(grey gocv.Mat, sizes Sizes, most int) ([]Spot, error) {
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
	spots := make([]Spot, count)
	for i, s := range found[:count] {
		box := image.Rect(int(s.left), int(s.top), int(s.right)+1, int(s.bottom)+1)
		spots[i] = Spot{Box: box, Score: float64(s.score), Front: s.filter == 0}
	}
	return spots, nil
}

// Place returns the five landmarks of the face in a box of a grey picture: the outer and the
// inner corner of the eye on the right of the picture, those of the eye on its left, and the
// base of the nose. Box and points are in pixels of the picture.
func (f *Finder) Place(grey gocv.Mat, box image.Rectangle) ([]image.Point, error) {
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
		return C.face_pixels{}, ErrPicture
	}
	data, err := grey.DataPtrUint8()
	if err != nil {
		return C.face_pixels{}, errors.Join(ErrPicture, err)
	}
	return C.face_pixels{data: (*C.uint8_t)(&data[0]), width: C.int(grey.Cols()), height: C.int(grey.Rows()), stride: C.int(grey.Step())}, nil
}
