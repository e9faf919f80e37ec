//go:build vision

#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Both return NULL or an error message to be freed. A network serves one thread at a time.
char *face_network_new(const char *model, void **network);
char *face_network_describe(void *network, const uint8_t *rgb, float *descriptor);

void face_network_free(void *network);

#ifdef __cplusplus
}
#endif
