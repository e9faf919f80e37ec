package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	paint "image/draw"
	"image/jpeg"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// emptyDoorway is a picture of a door with nobody before it.
func emptyDoorway(tb testing.TB) []byte {
	tb.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 640, 360))
	fill := func(r image.Rectangle, c color.Color) {
		paint.Draw(m, r, image.NewUniform(c), image.Point{}, paint.Src)
	}
	fill(m.Bounds(), color.RGBA{196, 188, 176, 255})
	fill(image.Rect(0, 300, 640, 360), color.RGBA{120, 112, 104, 255})
	fill(image.Rect(230, 40, 410, 310), color.RGBA{92, 64, 44, 255})
	fill(image.Rect(242, 52, 398, 310), color.RGBA{134, 92, 60, 255})
	fill(image.Rect(376, 178, 388, 190), color.RGBA{220, 200, 120, 255})
	var b bytes.Buffer
	must(tb, jpeg.Encode(&b, m, nil))
	return b.Bytes()
}

// browser is one tab of a Chromium without a window.
type browser struct {
	tb   testing.TB
	conn *websocket.Conn
	id   int
	tab  string
}

// startBrowser runs a Chromium until the end of the test. It reaches this machine alone.
func startBrowser(tb testing.TB) *browser {
	tb.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		tb.Skip("SKIPPED, NOT DRAWN: chromium is not here: apt-get install chromium")
	}
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--hide-scrollbars",
		"--remote-debugging-port=0", "--user-data-dir="+tb.TempDir(), "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank")
	out, err := cmd.StderrPipe()
	must(tb, err)
	must(tb, cmd.Start())
	tb.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "DevTools listening on "); ok {
			go func() {
				for lines.Scan() {
				}
			}()
			conn, _, err := websocket.DefaultDialer.DialContext(soon(tb), address, nil)
			must(tb, err)
			// All of its processes, which else go on writing into its folder.
			tb.Cleanup(func() {
				_ = conn.WriteJSON(map[string]any{"id": 0, "method": "Browser.close"})
				_ = cmd.Wait()
				conn.Close()
			})
			return (&browser{tb: tb, conn: conn}).open()
		}
	}
	tb.Fatal("chromium ended")
	return nil
}

func (b *browser) open() *browser {
	b.tb.Helper()
	var target struct{ TargetID, SessionID string }
	b.do(&target, "Target.createTarget", map[string]any{"url": "about:blank"})
	b.do(&target, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true})
	b.tab = target.SessionID
	return b
}

// do sends one command of the DevTools protocol.
func (b *browser) do(into any, method string, params map[string]any) {
	b.tb.Helper()
	b.id++
	message := map[string]any{"id": b.id, "method": method, "params": params}
	if b.tab != "" {
		message["sessionId"] = b.tab
	}
	must(b.tb, b.conn.WriteJSON(message))
	must(b.tb, b.conn.SetReadDeadline(time.Now().Add(soonAtCore)))
	for {
		var r struct {
			ID            int
			Error, Result json.RawMessage
		}
		must(b.tb, b.conn.ReadJSON(&r))
		switch {
		case r.ID != b.id:
		case r.Error != nil:
			b.tb.Fatalf("%s: %s", method, r.Error)
		default:
			if into != nil {
				must(b.tb, json.Unmarshal(r.Result, into))
			}
			return
		}
	}
}

// run returns what a script makes of the page.
func (b *browser) run(script string) string {
	b.tb.Helper()
	var r struct {
		Result           struct{ Value string }
		ExceptionDetails json.RawMessage
	}
	b.do(&r, "Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true})
	if r.ExceptionDetails != nil {
		b.tb.Fatalf("%s: %s", script, r.ExceptionDetails)
	}
	return r.Result.Value
}

// seenOnPage are the tags and the text of all there is on the page, in its shadows, too.
const seenOnPage = `(() => {
	const tags = [], texts = [];
	const look = (node) => {
		for (const e of node.querySelectorAll("*")) {
			tags.push(e.localName);
			if (e.shadowRoot) look(e.shadowRoot);
		}
		for (const e of node.childNodes) if (e.nodeType === 1 && !/^(STYLE|SCRIPT)$/.test(e.tagName)) texts.push(e.innerText || "");
	};
	look(document);
	return tags.join(" ") + "\n" + texts.join(" ");
})()`

// dashboardIsDrawn: no card is an error, in any view. With DOORHUB_SHOT the first view becomes
// that file.
func (d *coreDay) dashboardIsDrawn(t *testing.T) {
	b := startBrowser(t)
	b.do(nil, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 1480, "height": 640, "deviceScaleFactor": 1, "mobile": false})
	tokens := mustJSON(t, map[string]any{"access_token": d.token, "token_type": "Bearer", "expires_in": 86400, "refresh_token": "",
		"expires": time.Now().Add(24 * time.Hour).UnixMilli(), "hassUrl": d.url, "clientId": d.url + "/"})
	b.do(nil, "Page.navigate", map[string]any{"url": d.url + "/manifest.json"})
	d.until("the page's store", func() bool { return b.run("location.origin") == d.url })
	b.run(fmt.Sprintf("localStorage.setItem('hassTokens', %s); ''", mustJSON(t, string(tokens))))
	for view, words := range map[string][]string{"system": {"Journal head", "Relock time", "Last seen"}, "door": {"Front door", "Last person", "Ann", "Kitchen window"}} {
		b.do(nil, "Page.navigate", map[string]any{"url": d.url + "/doorhub-house/" + view})
		var seen string
		d.until("the view "+view, func() bool {
			seen = b.run(seenOnPage)
			for _, w := range words {
				if !strings.Contains(seen, w) {
					return false
				}
			}
			return true
		})
		for _, wrong := range []string{"hui-error-card", "hui-error-entity-row", "hui-warning", "Entity not found", "Configuration error"} {
			if strings.Contains(seen, wrong) {
				t.Errorf("%s shows %s", view, wrong)
			}
		}
		if file := os.Getenv("DOORHUB_SHOT"); file != "" && view == "door" {
			<-time.After(3 * time.Second) // until it has stopped moving
			var shot struct{ Data []byte }
			b.do(&shot, "Page.captureScreenshot", map[string]any{"format": "webp", "quality": 70})
			must(t, os.WriteFile(file, shot.Data, 0o644))
		}
	}
}
