package history

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	influx "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"
	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"
)

// link is the connection to the database, made when it is needed.
type link struct {
	client influx.Client // nil: none
	write  api.WriteAPIBlocking
}

// dial makes a client by what the files say now. It says nothing to the database yet.
func (s *sender) dial() error {
	token, err := s.cfg.token()
	if err != nil {
		return err
	}
	tlsConfig, err := s.cfg.tls()
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, MaxIdleConns: 2, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment}
	s.client = influx.NewClientWithOptions(s.cfg.URL, token, influx.DefaultOptions().
		SetHTTPClient(&http.Client{Transport: transport, Timeout: s.cfg.Timeout}).
		SetPrecision(time.Nanosecond).SetUseGZip(!s.cfg.local()))
	s.write = s.client.WriteAPIBlocking(s.cfg.Org, s.cfg.Bucket)
	return nil
}

func (s *sender) hangUp() {
	if s.client != nil {
		s.client.Close()
		s.client, s.write = nil, nil
	}
}

// request sends items in one request.
func (s *sender) request(ctx context.Context, items []item) error {
	var lines strings.Builder
	size := 0
	for _, i := range items {
		size += len(i.line)
	}
	lines.Grow(size)
	for _, i := range items {
		if i.err != nil {
			return fmt.Errorf("%w a record that cannot be written: %w", errLine, i.err)
		}
		lines.Write(i.line) // ends in a line feed
	}
	if s.client == nil {
		if err := s.dial(); err != nil {
			return err
		}
	}
	began := time.Now()
	err := unquoted(s.write.WriteRecord(ctx, lines.String()))
	if n := outlived(err); n > 0 {
		s.expired(n)
		return nil
	}
	if err == nil {
		s.world.Took(time.Since(began))
	}
	if distrusted(err) {
		s.hangUp() // its files may be others by the next try
	}
	return err
}

// unquoted leaves out what a server repeats of a line that it cannot read, as "unable to parse
// 'doorhub,door=front ...': why". What it says is kept, logged and shown, and names of people
// must not stay there when they are erased.
func unquoted(err error) error {
	var answer *influxhttp.Error
	if !errors.As(err, &answer) {
		return err
	}
	first, last := strings.Index(answer.Message, "'"), strings.LastIndex(answer.Message, "'")
	if first < 0 {
		return err
	}
	end := ""
	if last > first {
		end = answer.Message[last:]
	}
	said := *answer
	said.Message = answer.Message[:first] + "'…" + end
	return &said
}
