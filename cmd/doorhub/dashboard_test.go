package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

const grafana = "../../deploy/grafana/"

// dashboard is what the tests read of a dashboard's JSON.
type dashboard struct {
	UID        string `json:"uid"`
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []panel
}

type panel struct {
	ID      int
	Title   string
	Type    string
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		Datasource struct{ Type, UID string }
		Query      string
		RawQuery   bool
	}
	Transformations []struct {
		ID      string
		Options struct {
			Fields       map[string]struct{ Aggregations []string }
			RenameByName map[string]string
		}
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(grafana + "dashboards/*.json")
	must(t, err)
	if len(files) < 3 {
		t.Fatalf("only %q", files)
	}
	all := map[string]dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		var d dashboard
		must(t, json.Unmarshal(text, &d))
		all[filepath.Base(file)] = d
	}
	return all
}

// lived is a house in which everything has happened that a journal can tell.
func lived(t *testing.T) *testHouse {
	t.Helper()
	house := newTestHouse(t)
	house.seed(t, 600)
	st, err := store.Open(house.cfg.Data)
	must(t, err)
	var recs []door.Record
	for i, kind := range allKinds() {
		r := door.Record{Kind: kind, Time: time.Now().Add(time.Duration(i-60) * time.Minute), Person: house.ann, Reason: "a_word",
			Clock:   door.Clock{Boot: "earlier", Mono: time.Duration(i) * time.Minute},
			Details: map[string]string{door.DetailSensor: "kitchen", door.DetailPart: "sensor/kitchen", door.DetailText: "in words"}}
		if kind == door.KindClockSet {
			r.Details[door.DetailOffset] = "-1m30s"
		}
		if !strings.Contains(string(kind), "sensor") && kind != door.KindIntrusion { // windows are at no door
			r.Door = "front"
		}
		recs = append(recs, r)
	}
	_, err = st.Append(t.Context(), recs)
	must(t, err)
	must(t, st.Close())
	return house
}

// asked is a query as Grafana sends it.
func asked(query string) string {
	return strings.NewReplacer("$timeFilter", "time >= now() - 60d and time <= now()", "$__interval", "1h",
		"$door", "(front|back)", "$zone", "Europe/Berlin").Replace(query)
}

// TestDashboardQueries has every query of the dashboards find something in a real database.
func TestDashboardQueries(t *testing.T) {
	t.Parallel()
	db := startInflux(t)
	db.create("doorhub")
	house := lived(t)
	house.cfg.History = db.config()
	house.start(t).caughtUp()
	ran := 0
	for file, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if v.Type == "query" && len(rows(db.query("doorhub", v.Query))) == 0 {
				t.Errorf("%s: %s: no values", file, v.Name)
			}
		}
		for _, p := range d.Panels {
			if len(p.Targets) == 0 {
				t.Errorf("%s: %s: no query", file, p.Title)
			}
			for _, target := range p.Targets {
				ran++
				answer := db.query("doorhub", asked(target.Query))
				if len(rows(answer)) == 0 {
					t.Errorf("%s: %s: no rows: %s", file, p.Title, target.Query)
					continue
				}
				p.wantColumns(t, file, answer[0].Columns)
				if p.Type != "stat" && strings.Contains(target.Query, "intrusion") && !strings.Contains(fmt.Sprint(answer), "intrusion") {
					t.Errorf("%s: %s: lacks intrusions where doors are chosen: %s", file, p.Title, target.Query)
				}
				if found := fmt.Sprint(answer[0].Values[0][1]); p.Title == "Largest correction of the clock" && found != "90000000000" {
					t.Errorf("a clock that was a minute and a half ahead is corrected by %s ns", found)
				}
			}
		}
	}
	if ran < 25 {
		t.Errorf("only %d queries", ran)
	}
}

// rows are those that hold more than a time.
func rows(answer []series) (found [][]any) {
	for _, s := range answer {
		for _, row := range s.Values {
			if slices.ContainsFunc(row[1:], func(v any) bool { return v != nil && v != "" }) {
				found = append(found, row)
			}
		}
	}
	return found
}

// wantColumns fails when a transformation names a column that is not there.
func (p panel) wantColumns(t *testing.T, file string, columns []string) {
	t.Helper()
	have := map[string]bool{"Time": true}
	for _, c := range columns {
		have[c] = true
	}
	for _, tr := range p.Transformations {
		next := maps.Clone(have)
		for field, do := range tr.Options.Fields {
			if !have[field] {
				t.Errorf("%s: %s: groups by %q, which is not there", file, p.Title, field)
			}
			for _, a := range do.Aggregations {
				next[fmt.Sprintf("%s (%s)", field, a)] = true
			}
		}
		for field := range tr.Options.RenameByName {
			if !have[field] {
				t.Errorf("%s: %s: renames %q, which is not there", file, p.Title, field)
			}
		}
		have = next
	}
}

// Panels lie side by side, and all read the data source that is provisioned.
func TestDashboardForm(t *testing.T) {
	t.Parallel()
	var provisioned struct {
		Datasources []struct{ UID, Type string }
	}
	text, err := os.ReadFile(grafana + "provisioning/datasources/doorhub.yaml")
	must(t, err)
	must(t, yaml.Unmarshal(text, &provisioned))
	uids := map[string]string{}
	for file, d := range dashboards(t) {
		if other := uids[d.UID]; d.UID == "" || other != "" {
			t.Errorf("%s: uid %q is that of %q", file, d.UID, other)
		}
		uids[d.UID] = file
		ids, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			if ids[p.ID] {
				t.Errorf("%s: two panels have id %d", file, p.ID)
			}
			ids[p.ID] = true
			p.place(t, file, taken)
			for _, target := range p.Targets {
				from := provisioned.Datasources[0]
				if strings.Contains(target.Query, "time(1d)") && !strings.Contains(target.Query, "tz('$zone')") {
					t.Errorf("%s: %s: its days are not those of the house: %s", file, p.Title, target.Query)
				}
				if target.Datasource != (struct{ Type, UID string }{from.Type, from.UID}) || !target.RawQuery {
					t.Errorf("%s: %s: reads %+v", file, p.Title, target)
				}
			}
		}
	}
}

func (p panel) place(t *testing.T, file string, taken map[[2]int]string) {
	t.Helper()
	g := p.GridPos
	if g.W == 0 || g.H == 0 || g.X+g.W > 24 {
		t.Errorf("%s: %s: lies at %+v", file, p.Title, g)
	}
	for x := g.X; x < g.X+g.W; x++ {
		for y := g.Y; y < g.Y+g.H; y++ {
			if other := taken[[2]int{x, y}]; other != "" {
				t.Errorf("%s: %s lies on %s", file, p.Title, other)
				return
			}
			taken[[2]int{x, y}] = p.Title
		}
	}
}
