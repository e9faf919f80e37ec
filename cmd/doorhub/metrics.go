package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics says where Prometheus finds the hub's figures.
type Metrics struct {
	Listen string `yaml:"listen"` // address host:port of /metrics, on loopback; "" for none
}

// Validate reports an address that cannot be, or that others on the network would reach:
// nobody has to log in there.
func (m Metrics) Validate() error {
	if m.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(m.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w: use an address and a port, as 127.0.0.1:9469", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("listen: %s would show the hub's figures to the network without a login: use 127.0.0.1, and a tunnel or a proxy with a login from elsewhere", m.Listen)
	}
	return nil
}

// metricsPatience bounds one scrape, and how long a slow client may take to ask.
const metricsPatience = 10 * time.Second

// serveMetrics serves the hub's figures until close.
func (h *hub) serveMetrics() error {
	if h.cfg.Metrics.Listen == "" {
		return nil
	}
	reg := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{h.meters, hubCollector{h}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	l, err := net.Listen("tcp", h.cfg.Metrics.Listen)
	if err != nil {
		return fmt.Errorf("metrics: listen: %w: does another program use the port? choose another", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(h.log.With("component", "metrics").Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: metricsPatience,
	}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: metricsPatience, WriteTimeout: 2 * metricsPatience, IdleTimeout: 2 * time.Minute}
	go server.Serve(l) //nolint:errcheck // ends with ErrServerClosed
	h.metricsAddr = l.Addr().String()
	h.log.Info("metrics", "component", "metrics", "url", "http://"+h.metricsAddr+"/metrics")
	h.undo.add("metrics", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closePatience/2)
		defer cancel()
		err := server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) { // a scrape that takes long is of no use any more
			return server.Close()
		}
		return err
	})
	return nil
}
