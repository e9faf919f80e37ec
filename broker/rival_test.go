package broker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	_ "net/http/pprof" // for who asks where the time goes
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// benchEnv has the test binary run a broker for a benchmark on the folder that it names.
	benchEnv = "DOORHUB_TEST_BENCH_BROKER"
	// pprofEnv has it serve its profiles at the address that it names.
	pprofEnv = "DOORHUB_BENCH_PPROF"
)

func benchBroker(dir string) {
	if a := os.Getenv(pprofEnv); a != "" {
		go func() { fmt.Fprintln(os.Stderr, http.ListenAndServe(a, nil)) }()
	}
	cfg := Defaults()
	cfg.Listen, cfg.Dir, cfg.UserRate, cfg.MaxClients = "127.0.0.1:0", dir, 0, 2*idleConnections
	users, err := OpenUsers(filepath.Join(dir, "users.json"))
	if err == nil {
		var s *Server
		if s, err = Start(cfg, users, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))); err == nil {
			fmt.Println(s.Addr())
			_, _ = os.Stdin.Read(make([]byte, 1)) // until the benchmark ends
			return
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}

// rival is a broker under load, in a process of its own.
type rival struct {
	name   string // ours or peer
	addr   string
	pid    int
	tokens map[string]string // by user; nil: it lets anybody in
}

// benchSensors is how many users there are that may publish.
const benchSensors = 100

func sensorName(i int) string { return "s" + strconv.Itoa(i) }

// startOurs runs our broker as it is shipped, but without a limit for the rate of users, with a
// hub and some sensors.
func startOurs(b *testing.B) *rival {
	b.Helper()
	dir := b.TempDir()
	users, err := OpenUsers(filepath.Join(dir, "users.json"))
	must(b, err)
	r := &rival{name: "ours", tokens: map[string]string{}}
	r.tokens["hub"], err = users.Add("hub", RoleHub)
	must(b, err)
	for i := range benchSensors {
		r.tokens[sensorName(i)], err = users.Add(sensorName(i), RoleSensor)
		must(b, err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchEnv+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() { _ = errors.Join(in.Close(), cmd.Wait()) })
	line, err := bufio.NewReader(out).ReadString('\n')
	must(b, err)
	r.addr, r.pid = strings.TrimSpace(line), cmd.Process.Pid
	return r
}

// peerSettings are those of Debian's mosquitto.conf and, as one more file of the owner's would
// say, a port on loopback for anybody.
const peerSettings = `persistence true
persistence_location %[1]s/
log_dest file %[1]s/mosquitto.log
listener %[2]s 127.0.0.1
allow_anonymous true
`

// startPeer runs Mosquitto as Debian ships it.
func startPeer(b *testing.B) *rival {
	b.Helper()
	bin, dir, port := program(b, "mosquitto", "mosquitto"), b.TempDir(), freePort(b)
	conf, settings := filepath.Join(dir, "mosquitto.conf"), fmt.Sprintf(peerSettings, dir, port)
	if os.Getuid() == 0 {
		settings += "user root\n" // or it could not write there
	}
	must(b, os.WriteFile(conf, []byte(settings), 0o600))
	cmd := exec.Command(bin, "-c", conf)
	must(b, cmd.Start())
	b.Cleanup(func() { _ = errors.Join(cmd.Process.Kill(), cmd.Wait()) })
	r := &rival{name: "peer", addr: net.JoinHostPort("127.0.0.1", port), pid: cmd.Process.Pid}
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			must(b, c.Close())
			return r
		}
		if time.Now().After(end) {
			b.Fatalf("mosquitto does not answer: %v", err)
		}
	}
}

// in connects a user.
func (r *rival) in(b *testing.B, as loadLogin) *loader {
	b.Helper()
	if as.token = r.tokens[as.user]; r.tokens == nil {
		as.user = ""
	}
	l, err := dialLoad(r.addr, as)
	must(b, err)
	return l
}

// ticks returns the processor time that the broker has used.
func (r *rival) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.pid))
	must(b, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // from the third on (proc(5))
	var sum time.Duration
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f)
		must(b, err)
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

// resident returns the broker's VmRSS in KiB.
func (r *rival) resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.pid))
	must(b, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	must(b, err)
	return n
}

// traffic is publishers and one subscriber to all of them.
type traffic struct {
	pubs []*publisher
	sub  *subscriber
	done chan error // from the subscriber
}

// traffic connects so many sensors and, as the hub, the subscriber.
func (r *rival) traffic(b *testing.B, publishers, size int, hub loadLogin) *traffic {
	b.Helper()
	hub.user, hub.id, hub.keepalive = "hub", "hub", 60
	x := &traffic{sub: newSubscriber(r.in(b, hub), publishers), done: make(chan error, 1)}
	must(b, x.sub.subscribe("doorhub/in/#"))
	for i := range publishers {
		name := sensorName(i)
		x.pubs = append(x.pubs, newPublisher(r.in(b, loadLogin{user: name, id: name, keepalive: 60}), i, "doorhub/in/"+name+"/contact", size))
	}
	return x
}

// receive starts the subscriber.
func (x *traffic) receive() {
	go func() { x.done <- x.sub.run() }()
}

// lossPatience is how long nothing must arrive for what is missing to count as lost.
const lossPatience = time.Second

// finish waits for all that was acknowledged, and returns how much of it never came.
func (x *traffic) finish(b *testing.B) (lost int64) {
	b.Helper()
	var acked int64
	for _, p := range x.pubs {
		acked += int64(p.acked.Load())
	}
	last, since := int64(-1), time.Now()
	for x.sub.got.Load() < acked && time.Since(since) < lossPatience {
		<-time.After(time.Millisecond)
		if n := x.sub.got.Load(); n > last {
			last, since = n, time.Now()
		}
	}
	lost = acked - x.sub.got.Load()
	for _, p := range x.pubs {
		must(b, p.Close())
	}
	must(b, x.sub.Close())
	if err := <-x.done; !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		b.Fatalf("the subscriber's connection ended: %v", err)
	}
	return lost
}
