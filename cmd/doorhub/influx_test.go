package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door/history"
)

// influx is a real InfluxDB 1.8 as a process of its own, at one address through all its restarts.
type influx struct {
	tb    testing.TB
	bin   string
	dir   string
	addr  string
	env   []string
	login string // user:password of whoever asks; "": nobody

	mu  sync.Mutex
	cmd *exec.Cmd // nil: it does not run
}

// startInflux runs an empty one. env are settings in InfluxDB's own words.
func startInflux(tb testing.TB, env ...string) *influx {
	tb.Helper()
	db := &influx{tb: tb, bin: influxServer(tb), dir: tb.TempDir(), addr: freeAddr(tb), env: env}
	tb.Cleanup(db.kill)
	db.start()
	return db
}

// influxServer finds the program that make puts into build/tools, or skips the test saying so.
func influxServer(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("DOORHUB_INFLUXD"); path != "" {
		return path
	}
	found, err := filepath.Glob("../../build/tools/*/influxd")
	must(tb, err)
	if len(found) > 0 {
		path, err := filepath.Abs(found[len(found)-1])
		must(tb, err)
		return path
	}
	fmt.Fprintf(os.Stderr, "SKIPPED, NOT TESTED: %s: influxd is not here: make packages-test\n", tb.Name())
	tb.Skip("SKIPPED, NOT TESTED: influxd is not here: make packages-test")
	return ""
}

func (db *influx) start() {
	db.tb.Helper()
	none := filepath.Join(db.dir, "none.conf")
	must(db.tb, os.WriteFile(none, nil, 0o600))
	cmd := exec.Command(db.bin, "run", "-config", none)
	cmd.Env = append(append(os.Environ(), "INFLUXDB_REPORTING_DISABLED=true", "INFLUXDB_BIND_ADDRESS=127.0.0.1:0",
		"INFLUXDB_META_DIR="+filepath.Join(db.dir, "meta"), "INFLUXDB_DATA_DIR="+filepath.Join(db.dir, "data"),
		"INFLUXDB_DATA_WAL_DIR="+filepath.Join(db.dir, "wal"), "INFLUXDB_HTTP_BIND_ADDRESS="+db.addr,
		"INFLUXDB_MONITOR_STORE_ENABLED=false", "INFLUXDB_HTTP_LOG_ENABLED=false", "INFLUXDB_DATA_QUERY_LOG_ENABLED=false"), db.env...)
	must(db.tb, cmd.Start())
	db.mu.Lock()
	db.cmd = cmd
	db.mu.Unlock()
	until(db.tb, "influxd to listen", func() bool {
		resp, err := http.Get("http://" + db.addr + "/ping")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusNoContent
	})
}

// kill ends it by SIGKILL; one that does not run stays so.
func (db *influx) kill() {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.cmd == nil {
		return
	}
	_ = db.cmd.Process.Kill()
	_ = db.cmd.Wait() // "signal: killed"
	db.cmd = nil
}

func (db *influx) runs() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.cmd != nil
}

// create makes a database, as its owner would.
func (db *influx) create(name string) {
	db.tb.Helper()
	db.query("", "CREATE DATABASE "+name)
}

// config is how a hub reaches it.
func (db *influx) config() history.Config {
	c := history.Defaults()
	c.URL, c.Bucket, c.Every = "http://"+db.addr, "doorhub/autogen", 100*time.Millisecond
	return c
}

// series is what InfluxQL answers with for each series.
type series struct {
	Tags    map[string]string `json:"tags"`
	Columns []string          `json:"columns"`
	Values  [][]any           `json:"values"`
}

// query asks by InfluxQL.
func (db *influx) query(database, q string) []series {
	db.tb.Helper()
	all, err := db.ask(database, q)
	if err != nil {
		db.tb.Fatalf("%s: %v", q, err)
	}
	return all
}

func (db *influx) ask(database, q string) ([]series, error) {
	ctx, cancel := context.WithTimeout(context.Background(), soonEnough)
	defer cancel()
	form := url.Values{"q": {q}, "db": {database}, "epoch": {"ns"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+db.addr+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Token "+db.login) // as the data source in deploy/grafana does
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var a struct {
		Error   string
		Results []struct {
			Error  string
			Series []series
		}
	}
	dec := json.NewDecoder(resp.Body)
	dec.UseNumber()
	if err := dec.Decode(&a); err != nil {
		return nil, err
	}
	if len(a.Results) != 1 || a.Error != "" || a.Results[0].Error != "" {
		return nil, fmt.Errorf("%+v", a)
	}
	return a.Results[0].Series, nil
}

// fields returns a field's values by the number of their record, each with its point's time.
func (db *influx) fields(field string) map[uint64]string {
	db.tb.Helper()
	got := map[uint64]string{}
	for _, s := range db.query("doorhub", fmt.Sprintf(`SELECT seq, %q FROM doorhub`, field)) {
		for _, v := range s.Values {
			seq, err := v[1].(json.Number).Int64()
			must(db.tb, err)
			if v[2] != nil {
				got[uint64(seq)] = fmt.Sprint(v[2])
			}
		}
	}
	return got
}

// texts are all tags and text fields there are.
func (db *influx) texts() string {
	db.tb.Helper()
	var all strings.Builder
	for _, s := range db.query("doorhub", "SELECT * FROM doorhub") {
		for _, v := range slices.Concat(s.Values...) {
			if text, ok := v.(string); ok {
				all.WriteString(text + "\n")
			}
		}
	}
	return all.String()
}

// wantWhole fails unless there is one point for each record up to head, and no other.
func (db *influx) wantWhole(head uint64) {
	db.tb.Helper()
	points := map[string]int{}
	for _, s := range db.query("doorhub", `SELECT seq FROM doorhub`) {
		for _, v := range s.Values {
			points[fmt.Sprint(v[1])]++
		}
	}
	wrong := 0
	for seq := uint64(1); seq <= head; seq++ {
		if n := points[fmt.Sprint(seq)]; n != 1 && wrong < 10 {
			wrong++
			db.tb.Errorf("record %d has %d points", seq, n)
		}
	}
	if uint64(len(points)) != head {
		db.tb.Errorf("%d records are in the database, and %d in the journal", len(points), head)
	}
}
