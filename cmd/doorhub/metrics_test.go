package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/doorhub/doorhub/door"
)

func withMetrics(c *Config) { c.Metrics.Listen = "127.0.0.1:0" }

// scrape reads the hub's figures as Prometheus does.
func (h *testHub) scrape() map[string]*dto.MetricFamily {
	h.tb.Helper()
	families, _ := h.scrapeText()
	return families
}

func (h *testHub) scrapeText() (map[string]*dto.MetricFamily, string) {
	h.tb.Helper()
	req, err := http.NewRequestWithContext(soon(h.tb), http.MethodGet, "http://"+h.metricsAddr+"/metrics", nil)
	must(h.tb, err)
	resp, err := http.DefaultClient.Do(req)
	must(h.tb, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(h.tb, err)
	if resp.StatusCode != http.StatusOK {
		h.tb.Fatalf("%s: %s", resp.Status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	must(h.tb, err)
	return families, string(text)
}

// value returns the metric of these labels (as "kind=granted"): a counter's or gauge's value, a
// histogram's count; 0 when there is none.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	for _, m := range families[name].GetMetric() {
		var has []string
		for _, l := range m.GetLabel() {
			has = append(has, l.GetName()+"="+l.GetValue())
		}
		if slices.Equal(has, labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return 0
}

func TestMetricsMove(t *testing.T) {
	t.Parallel()
	h := startTestHub(t, withMetrics)
	kitchen := h.client("kitchen")
	before := h.scrape()
	h.enters(annPIN)
	h.await(door.KindGranted)
	must(t, kitchen.Publish(soon(t), reading("kitchen", "open")))
	h.await(door.KindIntrusion)
	flood(soon(t), login{h.server.Addr(), "kitchen", "wrong"})
	until(t, "the records to be told", func() bool {
		return value(h.scrape(), "doorhub_journal_backlog_records", "reader=bus") == 0
	})
	after := h.scrape()
	for _, c := range []struct {
		name   string
		more   float64 // at least
		labels []string
	}{
		{"doorhub_journal_records_total", 1, []string{"kind=granted"}},
		{"doorhub_journal_records_total", 1, []string{"kind=intrusion"}},
		{"doorhub_journal_head", 3, nil},
		{"doorhub_journal_append_seconds", 2, nil},
		{"doorhub_house_step_seconds", 2, nil},
		{"doorhub_house_unlock_seconds", 1, nil},
		{"doorhub_broker_messages_total", 3, []string{"direction=in"}},
		{"doorhub_broker_packets_total", 3, []string{"direction=out"}},
		{"doorhub_broker_bytes_total", 60, []string{"direction=in"}},
		{"doorhub_broker_refused_logins_total", 1, nil},
		{"process_cpu_seconds_total", 0, nil},
	} {
		was, is := value(before, c.name, c.labels...), value(after, c.name, c.labels...)
		if is < was+c.more {
			t.Errorf("%s %v: %v, then %v", c.name, c.labels, was, is)
		}
	}
	for name, want := range map[string]float64{"doorhub_broker_connections": 3, "doorhub_broker_users": 3,
		"doorhub_house_inputs_queued": 0, "doorhub_journal_unwritten_records": 0} {
		if got := value(after, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if u := after["doorhub_house_unlock_seconds"].GetMetric()[0].GetHistogram(); u.GetSampleCount() != 1 || u.GetSampleSum() <= 0 {
		t.Errorf("unlocked once: %v", u)
	}
	if value(after, "go_goroutines") == 0 || value(after, "process_resident_memory_bytes") == 0 {
		t.Error("nothing of Go or the process")
	}
}

// What Prometheus asks of names (https://prometheus.io/docs/practices/naming/), and that nobody
// is named in a label.
func TestMetricsNamesAndLabels(t *testing.T) {
	t.Parallel()
	elsewhere := startTestHub(t)
	h := startTestHub(t, withMetrics, func(c *Config) {
		c.HomeAssistant.Broker, c.HomeAssistant.User = "mqtt://"+elsewhere.server.Addr(), ""
		c.History.URL = "http://" + freeAddr(t)
	})
	h.enters(annPIN)
	h.await(door.KindGranted)
	families, text := h.scrapeText()
	may := map[string][]string{"kind": nil, "direction": {"in", "out"}, "reader": nil, "broker": {"bus", "home_assistant"},
		"version": nil, "vision": {"yes", "no"}, "door": {"front"}, "side": {"entry", "exit"}, "camera": nil}
	ours := 0
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		if !strings.HasPrefix(name, "doorhub_") {
			continue
		}
		ours++
		if f.GetHelp() == "" || !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s: help %q", name, f.GetHelp())
		}
		if counts := f.GetType() == dto.MetricType_COUNTER; counts != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, f.GetType())
		}
		if !regexp.MustCompile(`^[a-z_]+$`).MatchString(name) || f.GetType() == dto.MetricType_HISTOGRAM && !strings.HasSuffix(name, "_seconds") {
			t.Errorf("%s is no good name of a %s", name, f.GetType())
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if values, ok := may[l.GetName()]; !ok || values != nil && !slices.Contains(values, l.GetValue()) {
					t.Errorf("%s: label %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
	if ours < 35 {
		t.Errorf("only %d families are ours", ours)
	}
	if value(families, "doorhub_link_up", "broker=home_assistant") == 1 {
		t.Error("up at a broker that lets nobody in without a password")
	}
	for _, secret := range append(slices.Collect(maps.Values(h.tokens)), "Ann", h.ann+`"`, "kitchen", "homeassistant\"") {
		if strings.Contains(text, secret) {
			t.Errorf("the figures say %q", secret)
		}
	}
}

func TestMetricsAreOffByDefault(t *testing.T) {
	h := startTestHub(t)
	if h.metricsAddr != "" || h.meters != nil {
		t.Errorf("served at %s", h.metricsAddr)
	}
}

func TestMetricsServeNothingElse(t *testing.T) {
	t.Parallel()
	h := startTestHub(t, withMetrics)
	for path, method := range map[string]string{"/": "GET", "/debug/pprof/": "GET", "/metrics": "POST"} {
		req, err := http.NewRequestWithContext(soon(t), method, "http://"+h.metricsAddr+path, nil)
		must(t, err)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s %s: %s", method, path, resp.Status)
		}
	}
	h.stop()
	if c, err := net.Dial("tcp", h.metricsAddr); err == nil {
		c.Close()
		t.Error("still served after the hub's end")
	}
}

func TestMetricsListenOnLoopbackAlone(t *testing.T) {
	for listen, want := range map[string]string{
		"": "", "127.0.0.1:9469": "", "[::1]:9469": "", "localhost:0": "", "127.8.0.1:1": "",
		"9469": "use an address and a port", "0.0.0.0:9469": "without a login", ":9469": "without a login",
		"192.0.2.1:9469": "without a login", "doorhub.lan:9469": "without a login", "[::]:9469": "without a login",
	} {
		got := fmt.Sprint(Metrics{listen}.Validate())
		if want == "" && got != "<nil>" || !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %q", listen, got, want)
		}
	}
}

// Inputs are matched with the time at which they came, in order; what the house's own loop
// brings is none of them.
func TestMetersMatchInputs(t *testing.T) {
	m := newMeters()
	var came []bool
	clock, do := m.house(func() door.Instant { return door.Instant{} }, func(door.Input, []door.Effect) { came = append(came, m.came.Before(m.began)) })
	for range 2 {
		m.sends()
	}
	for _, in := range []door.Input{nil, door.REX{}, nil, door.REX{}, door.Stopping{}, door.REX{}} {
		clock()
		do(in, nil)
	}
	if diff := cmp.Diff([]bool{false, true, false, true, false, false}, came); diff != "" || len(m.waiting) > 0 {
		t.Error(diff, m.waiting)
	}
	var none *meters
	none.sends()
	none.unlocked()
	if j := none.through(nil); j != nil {
		t.Error("measures a journal though nobody asked")
	}
}
