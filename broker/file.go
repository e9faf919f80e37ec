package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// tempSuffix marks a file that is being written; one found later was left by a crash.
const tempSuffix = ".new"

// replaceFile makes content the content of path, readable by the owner alone: after a crash at
// any moment the old or the new content is there, and once it has returned, the new one.
func replaceFile(path string, content []byte) error {
	return replaceFileMode(path, content, 0o600)
}

func replaceFileMode(path string, content []byte, mode os.FileMode) error {
	temp := path + tempSuffix
	if err := writeSynced(temp, content, mode); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes renames and removals in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}
