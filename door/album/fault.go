package album

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// explain adds to an error of the file system what to do.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk is full: make room on it, or lower pictures.most: %w", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the data folder is read-only: make it writable: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the folder of pictures belongs to somebody else: give it to the user who runs doorhub: %w", err)
	}
	return err
}
