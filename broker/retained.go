package broker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"
)

// retained keeps retained messages in a folder, one file a topic, each replaced atomically and
// synced. A file is a line of JSON and then the payload as it is. What is already there is not
// written again.
type retained struct {
	dir string
	mu  sync.Mutex
	has map[string][sha256.Size]byte // topic: hash of its file
}

// retainedHead is the first line of a file.
type retainedHead struct {
	Topic   string             `json:"topic"`
	QoS     byte               `json:"qos"`
	Created int64              `json:"created"` // Unix seconds; when it was first kept with this content
	Expiry  int64              `json:"expiry,omitempty"`
	Version byte               `json:"version"` // of the publisher's protocol; only 5 has an expiry
	Props   packets.Properties `json:"props"`
}

func openRetained(dir string) (*retained, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("retained messages: %w", err)
	}
	return &retained{dir: dir, has: map[string][sha256.Size]byte{}}, nil
}

// load returns what was kept and is still alive at now, Unix seconds. Files that cannot be read
// are left alone and named in the error, beside which the good ones are returned.
func (r *retained) load(now int64) ([]packets.Packet, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, fmt.Errorf("retained messages: %w", err)
	}
	var pks []packets.Packet
	var errs []error
	for _, e := range entries {
		pk, err := r.loadFile(filepath.Join(r.dir, e.Name()), now)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("retained message in %s: %w; remove the file, its sender will send it again", e.Name(), err))
		case pk.TopicName != "":
			pks = append(pks, pk)
		}
	}
	return pks, errors.Join(errs...)
}

func (r *retained) loadFile(path string, now int64) (packets.Packet, error) {
	if strings.HasSuffix(path, tempSuffix) {
		return packets.Packet{}, os.Remove(path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return packets.Packet{}, err
	}
	pk, err := decodeRetained(content)
	if err != nil {
		return packets.Packet{}, err
	}
	if filepath.Base(path) != fileName(pk.TopicName) {
		return packets.Packet{}, fmt.Errorf("is named for another topic than %q", pk.TopicName)
	}
	if pk.Expiry > 0 && pk.Expiry <= now {
		return packets.Packet{}, os.Remove(path)
	}
	r.has[pk.TopicName] = digest(pk)
	return pk, nil
}

// keep makes what get returns for the topic the kept message; one without a payload, none. get
// is called under the lock, so that of two changes at once the later is what stays.
func (r *retained) keep(topic string, get func(topic string) (packets.Packet, bool)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	pk, _ := get(topic)
	before, had := r.has[topic]
	path := filepath.Join(r.dir, fileName(topic))
	if len(pk.Payload) == 0 {
		if !had {
			return nil
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("retained message %s: %w", topic, err)
		}
		delete(r.has, topic)
		return syncDir(r.dir)
	}
	sum := digest(pk)
	if had && sum == before {
		return nil
	}
	content, err := encodeRetained(pk)
	if err == nil {
		err = replaceFile(path, content)
	}
	if err != nil {
		delete(r.has, topic)
		return fmt.Errorf("retained message %s is lost at the next restart: %w", topic, err)
	}
	r.has[topic] = sum
	return nil
}

// digest tells two messages apart by all but the time they came.
func digest(pk packets.Packet) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d %d %+v\n%s", pk.FixedHeader.Qos, pk.Expiry, pk.Properties, pk.Payload))
}

func fileName(topic string) string {
	sum := sha256.Sum256([]byte(topic))
	return hex.EncodeToString(sum[:])
}

func encodeRetained(pk packets.Packet) ([]byte, error) {
	head, err := json.Marshal(retainedHead{
		Topic: pk.TopicName, QoS: pk.FixedHeader.Qos, Created: pk.Created, Expiry: pk.Expiry,
		Version: pk.ProtocolVersion, Props: pk.Properties,
	})
	return append(append(head, '\n'), pk.Payload...), err
}

func decodeRetained(content []byte) (packets.Packet, error) {
	line, payload, ok := bytes.Cut(content, []byte{'\n'})
	if !ok || len(payload) == 0 {
		return packets.Packet{}, errors.New("is cut off")
	}
	var h retainedHead
	if err := json.Unmarshal(line, &h); err != nil {
		return packets.Packet{}, err
	}
	if err := ValidTopic(h.Topic); err != nil || h.QoS > 2 {
		return packets.Packet{}, errors.Join(errors.New("is damaged"), err)
	}
	return packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: h.QoS, Retain: true},
		TopicName:   h.Topic, Payload: payload, Properties: h.Props,
		Created: h.Created, Expiry: h.Expiry, ProtocolVersion: h.Version,
	}, nil
}
