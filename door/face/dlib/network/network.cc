//go:build vision

#include <cstring>
#include <exception>
#include <memory>

#include <dlib/dnn.h>

#include "network.h"

namespace {

using namespace dlib;

// The network that davisking/dlib-models describes for the model: 29 layers of convolutions
// after He et al., "Deep Residual Learning for Image Recognition" (2016), over 150 x 150
// pixels. The types must be what the file was written from.
const int side = 150;

template <int filters, int stride, typename below>
using convolutions = affine<con<filters, 3, 3, 1, 1, relu<affine<con<filters, 3, 3, stride, stride, below>>>>>;

template <int filters, typename below> using same = relu<add_prev1<convolutions<filters, 1, tag1<below>>>>;

template <int filters, typename below>
using halved = relu<add_prev2<avg_pool<2, 2, 2, 2, skip1<tag2<convolutions<filters, 2, tag1<below>>>>>>>;

typedef relu<affine<con<32, 7, 7, 2, 2, input_rgb_image_sized<side>>>> first;
typedef same<32, same<32, same<32, max_pool<3, 3, 2, 2, first>>>> with32;
typedef same<64, same<64, same<64, halved<64, with32>>>> with64;
typedef same<128, same<128, halved<128, with64>>> with128;
typedef same<256, same<256, halved<256, with128>>> with256;
typedef loss_metric<fc_no_bias<128, avg_pool_everything<halved<256, with256>>>> network;

template <typename work> char *guarded(work w) {
	try {
		w();
		return nullptr;
	} catch (const std::exception &e) {
		return strdup(e.what());
	}
}

} // namespace

char *face_network_new(const char *model, void **out) {
	return guarded([&] {
		auto n = std::make_unique<network>();
		deserialize(model) >> *n;
		*out = n.release();
	});
}

void face_network_free(void *n) { delete static_cast<network *>(n); }

char *face_network_describe(void *n, const uint8_t *rgb, float *descriptor) {
	return guarded([&] {
		matrix<rgb_pixel> chip(side, side);
		std::memcpy(&chip(0, 0), rgb, side * side * sizeof(rgb_pixel));
		const matrix<float, 0, 1> out = (*static_cast<network *>(n))(chip);
		std::memcpy(descriptor, &out(0), 128 * sizeof(float));
	});
}
