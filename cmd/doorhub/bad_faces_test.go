//go:build vision

package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	imgdraw "image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
)

// portraitImage is one of the sample portraits.
func portraitImage(t *testing.T, name string) image.Image {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(portraits(), name))
	must(t, err)
	img, err := jpeg.Decode(bytes.NewReader(data))
	must(t, err)
	return img
}

func asJPEG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}))
	return b.Bytes()
}

func asPNG(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, png.Encode(&b, img))
	return b.Bytes()
}

// redrawn puts a picture into one of another kind.
func redrawn(into imgdraw.Image, img image.Image) imgdraw.Image {
	imgdraw.Draw(into, into.Bounds(), img, img.Bounds().Min, imgdraw.Src)
	return into
}

// onItsSide turns a picture to the left, and says in its EXIF data that it is to be turned to
// the right to be seen: orientation 6 (CIPA DC-008, 4.6.4).
func onItsSide(t *testing.T, img image.Image) []byte {
	t.Helper()
	b := img.Bounds()
	turned := image.NewRGBA(image.Rect(0, 0, b.Dy(), b.Dx()))
	for y := range b.Dy() {
		for x := range b.Dx() {
			turned.Set(y, b.Dx()-1-x, img.At(b.Min.X+x, b.Min.Y+y))
		}
	}
	data := asJPEG(t, turned)
	tiff := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00")
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(tiff)+2))
	return bytes.Join([][]byte{data[:2], segment, tiff, data[2:]}, nil)
}

// bomb is a PNG of a few bytes that claims 50,000 by 50,000 pixels.
func bomb(t *testing.T) []byte {
	t.Helper()
	data := asPNG(t, image.NewGray(image.Rect(0, 0, 2, 2)))
	binary.BigEndian.PutUint32(data[16:], 50_000)
	binary.BigEndian.PutUint32(data[20:], 50_000)
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return data
}

// Each odd picture is taken when it shows a face all the same, or else says what is wrong.
func TestEnrolOddPictures(t *testing.T) {
	needPictures(t)
	ann, bob := portraitImage(t, "obama.jpg"), portraitImage(t, "biden.jpg")
	size := ann.Bounds().Size()
	pair := image.NewRGBA(image.Rect(0, 0, size.X+bob.Bounds().Dx(), max(size.Y, bob.Bounds().Dy())))
	redrawn(pair, ann)
	imgdraw.Draw(pair, image.Rectangle{Min: image.Pt(size.X, 0), Max: pair.Bounds().Max}, bob, bob.Bounds().Min, imgdraw.Src)
	dark := image.NewRGBA(image.Rectangle{Max: size})
	redrawn(dark, ann)
	imgdraw.Draw(dark, dark.Bounds(), image.NewUniform(color.RGBA{A: 200}), image.Point{}, imgdraw.Over)
	all := image.Rectangle{Max: size}
	pictures := map[string]struct {
		data []byte
		want string
	}{
		"0grey.jpg":    {asJPEG(t, redrawn(image.NewGray(all), ann)), "taken"},
		"1side.jpg":    {onItsSide(t, ann), "taken"},
		"2deep.png":    {asPNG(t, redrawn(image.NewNRGBA64(all), ann)), "taken"},
		"3bomb.png":    {bomb(t), "not taken: the picture cannot be used: it has 50000x50000 = 2500000000 pixels"},
		"4empty.jpg":   {nil, "not taken: the picture cannot be used: the file is empty"},
		"5two.jpg":     {asJPEG(t, pair), "not taken: 2 faces: use a picture of one person alone"},
		"6nobody.jpg":  {asJPEG(t, image.NewGray(all)), "not taken: no face of at least 80 pixels found"},
		"7cut.jpg":     {asJPEG(t, ann)[:2000], "not taken: the picture cannot be used: the file is cut off"},
		"8dark.jpg":    {asJPEG(t, dark), "not taken: the face is too dark"},
		"9caption.txt": {[]byte("this is Ann"), "not taken: the picture cannot be used: it is no JPEG or PNG file"},
	}
	h := newCLIHouse(t)
	h.ok("people", "add", "Ann")
	dir := t.TempDir()
	args := []string{"people", "enrol", "Ann", "--consent"}
	for name, p := range pictures {
		must(t, os.WriteFile(filepath.Join(dir, name), p.data, 0o600))
		args = append(args, "--pictures", filepath.Join(dir, name))
	}
	got := h.do("", args...)
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	for name, p := range pictures {
		if !regexp.MustCompile(`(?m)^` + name + `(: | .* %  +)` + p.want).MatchString(got.out) {
			t.Errorf("%s: want %s", name, p.want)
		}
	}
	if t.Failed() {
		t.Log(got.out)
	}
	if out := h.ok("--json", "people", "show", "Ann"); !strings.Contains(out, `"faces":3`) {
		t.Errorf("taken: %s", out)
	}
}

// A model file that is cut in half is named; the door opens by what is left.
func TestHalfAModel(t *testing.T) {
	needPictures(t)
	from, err := face.Defaults().ModelFolder()
	must(t, err)
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(from, "*.dat"))
	must(t, err)
	for _, f := range files {
		must(t, os.Symlink(f, filepath.Join(dir, filepath.Base(f))))
	}
	const half = "dlib_face_recognition_resnet_model_v1.dat"
	data, err := os.ReadFile(filepath.Join(from, half))
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, half)))
	must(t, os.WriteFile(filepath.Join(dir, half), data[:len(data)/2], 0o600))
	h := startTestHub(t, withCamera(portraits()), func(c *Config) { c.Face.Models = dir })
	if r := h.awaitVision("no_models"); !strings.Contains(r.Details[door.DetailText], half+" is damaged") {
		t.Errorf("the problem does not name the file: %+v", r)
	}
	h.enters(annPIN)
	if r := h.await(door.KindGranted); r.Person != h.ann {
		t.Errorf("granted: %+v", r)
	}
}

// A face in the store that is none is a problem that says what to do; nobody else is kept out,
// and once it is taken away all is well.
func TestAFaceThatCannotBeRead(t *testing.T) {
	needPictures(t)
	enrol := func(h *cliHouse, who, picture string) outcome {
		return h.do("", "people", "enrol", who, "--consent", "--pictures", filepath.Join(portraits(), picture))
	}
	bothWays(t, func(h *cliHouse) {
		h.ok("people", "add", "Ann")
		h.ok("people", "add", "Bob")
		if got := enrol(h, "Bob", "biden.jpg"); got.code != 0 {
			t.Fatalf("%+v", got)
		}
		spoil(t, h, `UPDATE faces SET sealed = zeroblob(600)`)
	}, func(t *testing.T, h *cliHouse) {
		got := enrol(h, "Ann", "obama.jpg")
		if got.code != exitFailed || !strings.Contains(got.err, "enrolled already: face 1 of p2: ") || !strings.Contains(got.err, "doorhub people forget p2 --faces") {
			t.Errorf("got %+v", got)
		}
		if got := h.do("864203\n", "people", "enrol", "Ann", "--pin"); got.code != 0 || got.err != "" {
			t.Errorf("a PIN meanwhile: %+v", got)
		}
		if got := h.do("", "face", "report"); !strings.Contains(got.err, "face 1 of p2") {
			t.Errorf("the report hides it: %+v", got)
		}
		h.ok("people", "forget", "Bob", "--faces")
		if got := enrol(h, "Ann", "obama.jpg"); got.code != 0 {
			t.Errorf("afterwards: %+v", got)
		}
		log := h.ok("log", "--all")
		if strings.Contains(log, " started ") && (strings.Count(log, "unreadable") != 2 || !strings.Contains(log, " problem_gone ")) {
			t.Errorf("the hub has not told of the problem and its end once:\n%s", log)
		}
	})
}
