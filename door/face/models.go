package face

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrModels is face models that are missing or damaged; the hub then has no vision.
var ErrModels = errors.New("no face models")

// model is a file that dlib reads. It is checked before, since what dlib does with
// another file is anybody's guess.
type model struct{ name, sha256 string }

const landmarkModel = "shape_predictor_5_face_landmarks.dat"

func models() []model {
	return []model{
		{"dlib_face_recognition_resnet_model_v1.dat", "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"},
		{landmarkModel, "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"},
		{"mmod_human_face_detector.dat", "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6"},
	}
}

// ModelFolder returns the folder of the face models: the one in the settings, or else the
// first of the usual ones that holds any. It fails with ErrModels, saying where it looked.
func (c Config) ModelFolder() (string, error) {
	if c.Models != "" {
		return c.Models, nil
	}
	places := modelPlaces()
	for _, dir := range places {
		if _, err := os.Stat(filepath.Join(dir, models()[0].name)); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%w: not in %s: get them with `make models`", ErrModels, strings.Join(places, ", "))
}

func modelPlaces() []string {
	var places []string
	if cache := os.Getenv("DOORHUB_CACHE"); cache != "" {
		places = append(places, filepath.Join(cache, "models"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		places = append(places, filepath.Join(home, ".cache", "doorhub", "models"))
	}
	return append(places, "/usr/local/share/doorhub/models")
}

// checkModels reports every model that is missing or not the one expected.
func checkModels(dir string) error {
	var errs []error
	for _, m := range models() {
		errs = append(errs, m.check(dir))
	}
	return errors.Join(errs...)
}

func (m model) check(dir string) error {
	path := filepath.Join(dir, m.name)
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s is missing: get it with `make models`", ErrModels, path)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrModels, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrModels, path, err)
	}
	if found := hex.EncodeToString(h.Sum(nil)); found != m.sha256 {
		return fmt.Errorf("%w: %s is damaged or another file: its sha256 is %s, expected %s: get it with `make models`",
			ErrModels, path, found, m.sha256)
	}
	return nil
}
