//go:build vision

#include <opencv2/core/utility.hpp>

extern "C" void openblas_set_num_threads(int);
extern "C" void face_one_thread();

void face_one_thread() {
	openblas_set_num_threads(1);
	cv::setNumThreads(1);
}
