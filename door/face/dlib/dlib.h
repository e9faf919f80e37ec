//go:build vision

#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// face_pixels are 8-bit grey pixels in somebody else's memory, rows stride bytes apart.
typedef struct {
	const uint8_t *data;
	int width, height, stride;
} face_pixels;

typedef struct {
	int left, top, right, bottom; // the last column and row belong to it
	float score;                  // how far beyond dlib's own threshold
	int filter;                   // 0 from the front, 1 and 2 turned, 3 and 4 tilted
} face_found;

typedef struct {
	int x[5], y[5];
} face_landmarks;

// The functions below return NULL or an error message to be freed. A finder serves one
// thread at a time.
char *face_finder_new(const char *landmark_model, void **finder);
void face_finder_free(void *finder);

// face_find writes up to most faces, the surest first, and how many it wrote. With levels 0
// it finds faces of any size, with 1 those of about the least alone.
char *face_find(void *finder, face_pixels grey, int levels, face_found *found, int most, int *count);

// face_place writes the landmarks of the face at a place.
char *face_place(void *finder, face_pixels grey, face_found at, face_landmarks *landmarks);

#ifdef __cplusplus
}
#endif
