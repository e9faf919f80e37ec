package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// seedJournal writes n records of people who come and go, two minutes apart, up to now.
func seedJournal(tb testing.TB, st *store.Store, person string, n int) {
	tb.Helper()
	at := time.Now().Add(-time.Duration(n) * 2 * time.Minute)
	kinds := []door.Kind{door.KindGranted, door.KindUnlocked, door.KindEntry, door.KindLocked, door.KindDenied, door.KindExit}
	recs := make([]door.Record, n)
	for i := range recs {
		kind := kinds[i%len(kinds)]
		r := door.Record{Time: at.Add(time.Duration(i) * 2 * time.Minute), Door: "front", Kind: kind,
			Clock: door.Clock{Synced: true, Boot: "an earlier one", Mono: time.Duration(i) * 2 * time.Minute}}
		switch kind {
		case door.KindGranted, door.KindEntry, door.KindExit:
			r.Person, r.Factors, r.Side = person, door.SetOf(door.PIN, door.FaceID), door.Entry
			r.Details = map[string]string{door.DetailDistance: "0.41", door.DetailLiveness: "live"}
		case door.KindDenied:
			r.Side, r.Reason = door.Entry, door.ReasonWrongPIN
		}
		recs[i] = r
	}
	for some := range slices.Chunk(recs, 1000) {
		_, err := st.Append(tb.Context(), some)
		must(tb, err)
	}
}

// seed has the house look back on n records.
func (th *testHouse) seed(tb testing.TB, n int) {
	tb.Helper()
	st, err := store.Open(th.cfg.Data, store.With(th.cfg.Store))
	must(tb, err)
	seedJournal(tb, st, th.ann, n)
	must(tb, st.Close())
}

// caughtUp waits until all that is journalled is in the database.
func (h *testHub) caughtUp() {
	h.tb.Helper()
	untilIn(h.tb, time.Minute, "the history to catch up", func() bool { return h.history.Status().Backlog == 0 })
}

// awaitHistory waits until the history is well again, and what it says of that is sent, too.
func (h *testHub) awaitHistory() {
	h.tb.Helper()
	gone := h.records.next(h.tb, "the history to be well", func(r door.Record) bool {
		return r.Kind == door.KindProblemGone && r.Details[door.DetailPart] == historyName
	})
	untilIn(h.tb, time.Minute, "that to be sent", func() bool { return h.history.Status().Cursor >= gone.Seq })
	h.caughtUp()
}

// A database that comes later gets all that was journalled before, and what happens then.
func TestHistoryAddedLater(t *testing.T) {
	t.Parallel()
	house := newTestHouse(t)
	house.seed(t, 3000)
	without := house.start(t)
	without.enters(annPIN)
	without.await(door.KindGranted)
	without.stop()

	db := startInflux(t)
	db.create("doorhub")
	house.cfg.History = db.config()
	h := house.start(t, func(h *hub) { h.cfg.Metrics.Listen = "127.0.0.1:0" })
	h.caughtUp()
	h.enters(noPIN)
	h.await(door.KindDenied)
	h.enters(annPIN)
	granted := h.await(door.KindGranted)
	h.caughtUp()
	db.wantWhole(h.store.Head().Seq)
	if name := db.fields("name")[granted.Seq]; name != "Ann" {
		t.Errorf("granted to %q", name)
	}
	texts := db.texts()
	for _, secret := range []string{annPIN, annRemote, noPIN} {
		if strings.Contains(texts, secret) {
			t.Errorf("%s is in the database", secret)
		}
	}
	if !strings.Contains(texts, "Ann") {
		t.Error("no name among the texts: none of them was read")
	}
	if inside := db.fields("inside_seconds"); len(inside) != 500 || inside[6] != "360" {
		t.Errorf("%d exits, the first after %s s", len(inside), inside[6])
	}
	if behind := value(h.scrape(), "doorhub_history_backlog_records"); behind != 0 {
		t.Errorf("%v records behind", behind)
	}
}

// A token that is wrong and a database that is missing are problems, of which nothing is lost;
// and neither needs a restart to be mended.
func TestHistoryRefused(t *testing.T) {
	t.Parallel()
	db := startInflux(t, "INFLUXDB_HTTP_AUTH_ENABLED=true")
	db.query("", "CREATE USER root WITH PASSWORD 'right' WITH ALL PRIVILEGES")
	token := filepath.Join(t.TempDir(), "token")
	house := newTestHouse(t, func(c *Config) {
		c.History = db.config()
		c.History.TokenFile = token
	})
	h := house.start(t)
	states := sub(t, h.as("homeassistant"), "doorhub/instance/hub/history")
	wrong := func(reason string) string {
		t.Helper()
		r := h.records.next(t, reason, func(r door.Record) bool {
			return r.Kind == door.KindProblem && r.Details[door.DetailPart] == historyName && r.Reason == reason
		})
		return r.Details[door.DetailText]
	}
	wrong("history_file")
	says(t, states, "doorhub/instance/hub/history", `"problem":"history_file"`)
	must(t, os.WriteFile(token, []byte("root:secretly-wrong\n"), 0o600))
	said := wrong("database_token")
	must(t, os.WriteFile(token, []byte("root:right\n"), 0o600))
	said += wrong("database_bucket")
	if strings.Contains(said, "secretly") || strings.Contains(said, "right") {
		t.Errorf("a token is told: %s", said)
	}
	db.login = "root:right"
	db.create("doorhub")
	h.awaitHistory()
	says(t, states, "doorhub/instance/hub/history", `"problem":null`)
	db.wantWhole(h.store.Head().Seq)
}

// doorhub history answers with a hub running and without.
func TestHistoryCommands(t *testing.T) {
	t.Parallel()
	db := startInflux(t)
	db.create("doorhub")
	house := newCLIHouse(t)
	if got := house.do("", "history", "status"); got.code != exitFailed || !strings.Contains(got.err, "set history.url") {
		t.Errorf("without a database: %+v", got)
	}
	house.edit("data: ", fmt.Sprintf("history: {url: http://%s, bucket: doorhub, every: 100ms}\ndata: ", db.addr))
	house.ok("people", "add", "Ann")
	if got := house.ok("history", "status"); !strings.Contains(got, "0 of 1 sent, 1 behind\nno hub is running") {
		t.Errorf("without a hub: %s", got)
	}
	stop := house.start()
	status := func(args ...string) (v historyView) {
		t.Helper()
		must(t, json.Unmarshal([]byte(house.ok(append([]string{"--json", "history"}, args...)...)), &v))
		return v
	}
	until(t, "the journal to be sent", func() bool { v := status("status"); return v.Running && v.Backlog == 0 })
	db.query("doorhub", "DROP MEASUREMENT doorhub")
	if v := status("backfill", "--from", "all"); v.Cursor > 0 && v.Sent <= v.Head {
		t.Errorf("asked for all again: %+v", v)
	}
	until(t, "all to be sent again", func() bool { v := status("status"); return v.Backlog == 0 && v.Sent > v.Head })
	db.wantWhole(status("status").Head)
	stop()
	house.ok("history", "backfill", "--from", "1h")
	if v := status("status"); v.Running || v.Cursor != 0 {
		t.Errorf("all again at the next start: %+v", v)
	}
	for _, args := range [][]string{{"backfill"}, {"backfill", "--from", ""}, {"backfill", "--from", "soon"}} {
		if got := house.do("", append([]string{"history"}, args...)...); got.code != exitUsage {
			t.Errorf("%q: %+v", args, got)
		}
	}
}
