//go:build vision

// Package network runs the network that describes a face, and nothing around it: what a
// descriptor costs at least, for benchmarks to hold everything else against. doorhub itself
// has its faces described by go-face. It stands apart since the network's types take minutes
// to compile.
package network

/*
#cgo CXXFLAGS: -std=c++17 -O3 -DNDEBUG -march=native
#cgo LDFLAGS: -ldlib -lopenblas -llapack
#include <stdlib.h>
#include "network.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// Side is the width and height of a chip in pixels.
const Side = 150

// Network describes faces. It serves one goroutine at a time.
type Network struct{ ptr unsafe.Pointer }

// New reads dlib_face_recognition_resnet_model_v1.dat from a file. The caller closes the
// network.
func New(model string) (*Network, error) {
	path := C.CString(model)
	defer C.free(unsafe.Pointer(path))
	var n Network
	if err := failed(C.face_network_new(path, &n.ptr)); err != nil {
		return nil, err
	}
	return &n, nil
}

// Close frees the model.
func (n *Network) Close() { C.face_network_free(n.ptr) }

// Describe describes a face that is cut out and turned upright already: Side rows of Side
// pixels of red, green and blue.
func (n *Network) Describe(chip []byte) (descriptor [128]float32, err error) {
	if len(chip) != Side*Side*3 {
		return descriptor, fmt.Errorf("a chip of %d bytes: use %d", len(chip), Side*Side*3)
	}
	err = failed(C.face_network_describe(n.ptr, (*C.uint8_t)(&chip[0]), (*C.float)(&descriptor[0])))
	return descriptor, err
}

func failed(message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return errors.New("dlib: " + C.GoString(message))
}
