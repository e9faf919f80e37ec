//go:build vision

// Two of the steps that go-face takes in one call, each by itself: find faces in raw pixels,
// and place their landmarks. The same detector and landmark model of the same library; only
// describing is left to go-face, and with it the last word on what is a face.

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>

#include <dlib/image_processing.h>
#include <dlib/image_processing/frontal_face_detector.h>

#include "dlib.h"

namespace {

// grey lets dlib read a picture where it lies.
struct grey : face_pixels {
	explicit grey(face_pixels p) : face_pixels(p) {}
};
long num_rows(const grey &p) { return p.height; }
long num_columns(const grey &p) { return p.width; }
const void *image_data(const grey &p) { return p.data; }
long width_step(const grey &p) { return p.stride; }

// Steps of 3/4 from size to size, not dlib's 5/6, take a third less time. Faces between two
// steps score less: the threshold is lower for it, and finds the same ones.
typedef dlib::pyramid_down<4> steps;
typedef dlib::object_detector<dlib::scan_fhog_pyramid<steps>> detector;
const double threshold = -0.25;

// frontal_faces is dlib's detector of frontal faces over other steps, and over so many of
// them (0: all).
detector frontal_faces(const dlib::frontal_face_detector &own, int levels) {
	const auto &from = own.get_scanner();
	dlib::scan_fhog_pyramid<steps> scanner;
	scanner.set_detection_window_size(from.get_detection_window_width(), from.get_detection_window_height());
	scanner.set_padding(from.get_padding());
	scanner.set_cell_size(from.get_cell_size());
	scanner.set_min_pyramid_layer_size(from.get_min_pyramid_layer_width(), from.get_min_pyramid_layer_height());
	if (levels > 0)
		scanner.set_max_pyramid_levels(levels);
	std::vector<detector::feature_vector_type> weights;
	for (unsigned long i = 0; i < own.num_detectors(); i++)
		weights.push_back(own.get_w(i));
	return detector(scanner, own.get_overlap_tester(), weights);
}

struct finder {
	detector any, least;
	dlib::shape_predictor landmarks;

	finder() {
		auto own = dlib::get_frontal_face_detector();
		any = frontal_faces(own, 0);
		least = frontal_faces(own, 1);
	}
};

template <typename work> char *guarded(work w) {
	try {
		w();
		return nullptr;
	} catch (const std::exception &e) {
		return strdup(e.what());
	} catch (...) {
		return strdup("unknown error");
	}
}

} // namespace

namespace dlib {
template <> struct image_traits<grey> {
	typedef unsigned char pixel_type;
};
} // namespace dlib

char *face_finder_new(const char *landmark_model, void **out) {
	return guarded([&] {
		auto f = std::make_unique<finder>();
		dlib::deserialize(landmark_model) >> f->landmarks;
		if (f->landmarks.num_parts() != 5)
			throw dlib::error("the landmark model does not have five points");
		*out = f.release();
	});
}

void face_finder_free(void *f) { delete static_cast<finder *>(f); }

char *face_find(void *f, face_pixels pixels, int levels, face_found *found, int most, int *count) {
	return guarded([&] {
		auto &detect = levels == 1 ? static_cast<finder *>(f)->least : static_cast<finder *>(f)->any;
		std::vector<dlib::rect_detection> all;
		detect(grey(pixels), all, threshold);
		*count = std::min<size_t>(most, all.size());
		for (int i = 0; i < *count; i++) {
			const dlib::rectangle &r = all[i].rect;
			found[i] = {int(r.left()), int(r.top()), int(r.right()), int(r.bottom()),
				float(all[i].detection_confidence), int(all[i].weight_index)};
		}
	});
}

char *face_place(void *f, face_pixels pixels, face_found at, face_landmarks *landmarks) {
	return guarded([&] {
		dlib::rectangle box(at.left, at.top, at.right, at.bottom);
		auto shape = static_cast<finder *>(f)->landmarks(grey(pixels), box);
		for (int i = 0; i < 5; i++) {
			landmarks->x[i] = shape.part(i).x();
			landmarks->y[i] = shape.part(i).y();
		}
	});
}
