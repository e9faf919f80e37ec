package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// killedFolder tells the test binary to be the process that is killed.
const killedFolder = "DOORHUB_TEST_KILLED_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedFolder); dir != "" {
		fmt.Fprintln(os.Stderr, appendForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// appendForever prints the head after every append, once it is acknowledged.
func appendForever(dir string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if _, err := s.Append(context.Background(), someRecords(1+n%3)); err != nil {
			return err
		}
		fmt.Println(s.Head())
		if err := s.SetCursor(context.Background(), "bus", s.Head().Seq); err != nil {
			return err
		}
	}
}

// TestKill ends a process with SIGKILL while it appends, 10 times or DOORHUB_KILLS, and finds
// every record it had acknowledged. It says nothing of power cuts: those hang on fsync,
// which TestConnectionsAreDurable and the disk answer for.
func TestKill(t *testing.T) {
	times := 10
	if text := os.Getenv("DOORHUB_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		must(t, err)
		times = n
	}
	dir := newFolder(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var slowest time.Duration
	var heads []Head
	for range times {
		head := killAfter(t, dir, random.IntN(60))
		heads = append(heads, head)
		start := time.Now()
		s := mustOpen(t, dir)
		slowest = max(slowest, time.Since(start))
		checkAfterKill(t, s, heads)
		mustClose(t, s)
	}
	t.Logf("killed %d times, %d records acknowledged, opened again in %v at most", times, heads[len(heads)-1].Seq, slowest)
}

// killAfter lets a process append, kills it some time after it has acknowledged that many
// appends, and returns the last head it acknowledged.
func killAfter(t *testing.T, dir string, appends int) (last Head) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedFolder+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == appends {
			must(t, cmd.Process.Kill())
		}
		h, err := ParseHead(lines.Text())
		if err != nil { // the kill cut the line short: nobody could read it
			break
		}
		last = h
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatalf("the process ended with %v", err)
	}
	return last
}

func checkAfterKill(t *testing.T, s *Store, acknowledged []Head) {
	t.Helper()
	last := acknowledged[len(acknowledged)-1]
	if got := s.Head(); got.Seq < last.Seq || got.Seq > last.Seq+3 {
		t.Errorf("the journal ends with %d, %d was acknowledged and at most 3 more were on their way", got.Seq, last.Seq)
	}
	mustVerify(t, s, acknowledged...)
	must(t, s.HeadProblem())
	cursor, err := s.Cursor(context.Background(), "bus")
	must(t, err)
	if cursor > s.Head().Seq {
		t.Errorf("the cursor stands at %d, ahead of %d", cursor, s.Head().Seq)
	}
}
