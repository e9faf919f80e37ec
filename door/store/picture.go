package store

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// picturesFolder holds a folder for each person of whom pictures are kept, by id.
const picturesFolder = "pictures"

func (s *Store) pictureFolder(person int64) string {
	return filepath.Join(s.dir, picturesFolder, personID(person))
}

// keepPicture writes a picture of the person, readable to nobody else, and returns the file's
// name; "" for none.
func (s *Store) keepPicture(person int64, picture []byte) (name string, err error) {
	if len(picture) == 0 {
		return "", nil
	}
	folder := s.pictureFolder(person)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", explainFile("make the folder of pictures", folder, err)
	}
	name = strings.ToLower(rand.Text()[:12]) + pictureExt(picture)
	if err := writePicture(filepath.Join(folder, name), picture); err != nil {
		return "", errors.Join(explainFile("keep a picture", folder, err), s.dropPicture(person, name))
	}
	return name, nil
}

func pictureExt(picture []byte) string {
	if bytes.HasPrefix(picture, []byte("\x89PNG")) {
		return ".png"
	}
	return ".jpg"
}

func writePicture(path string, picture []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(picture)
	return errors.Join(err, f.Sync(), f.Close(), syncFolder(filepath.Dir(path)))
}

// dropPicture removes a picture that belongs to no face, and the folder made for it.
func (s *Store) dropPicture(person int64, name string) error {
	if name == "" {
		return nil
	}
	folder := s.pictureFolder(person)
	err := os.Remove(filepath.Join(folder, name))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	_ = os.Remove(folder) // fails while there are others in it
	return err
}

// removePictures removes all pictures of the person. It comes before what refers to them, so
// that a power cut between leaves no picture of somebody who is gone.
func (s *Store) removePictures(person int64) error {
	folder := s.pictureFolder(person)
	if _, err := os.Lstat(folder); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := errors.Join(os.RemoveAll(folder), syncFolder(filepath.Dir(folder))); err != nil {
		return fmt.Errorf("remove the pictures: %w", err)
	}
	return nil
}
