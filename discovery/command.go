package discovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/doorhub/doorhub/door"
)

const (
	wordLock   = "LOCK"
	wordUnlock = "UNLOCK"
)

// The limits of a command: far more than one needs, far less than harms.
const (
	MaxCommand = 4 << 10 // bytes of a command's payload
	MaxCode    = 64      // digits of a remote code
)

// Earliest and latest time that a command may carry, in Unix seconds: 2001 and 2242. Between
// them a float64 tells microseconds apart.
const (
	earliest = 1_000_000_000
	latest   = 1 << 33
)

// Why a message could not be read. The texts are all that is ever said of it: they hold
// nothing of the payload, which may carry a code.
var (
	ErrTopic   = errors.New("no topic the hub reads: commands go to doorhub/cmd/door/<door>/lock, readings to doorhub/in/<sensor>/contact, requests for events to doorhub/in/<user>/replay")
	ErrEmpty   = errors.New("the payload is empty: send LOCK, or JSON with action, code and at")
	ErrHuge    = errors.New("the payload is over 4096 bytes: send JSON with action, code and at alone")
	ErrUTF8    = errors.New("the payload is not UTF-8 text")
	ErrNotJSON = errors.New("the payload is neither LOCK nor UNLOCK nor one JSON object")
	ErrAction  = errors.New("the action is unknown: use LOCK or UNLOCK")
	ErrCode    = errors.New("the code is no text of at most 64 digits")
	ErrAt      = errors.New("at is no time: send Unix seconds as a number")
	ErrReading = errors.New("the reading is unknown: send open or closed")
)

// ParseCommand reads a message from CommandFilter. The payload is JSON as CommandTemplate
// writes it, {"action":"UNLOCK","code":"12345678","at":1795240000.123456}, or the bare word
// LOCK or UNLOCK. The code is returned apart, for the caller to check against the remote codes
// and to set the command's User, Code and Person; it must be neither logged nor kept.
//
// LOCK tightens, so nothing may keep it from being carried out: its code is not even looked
// at, and an at that makes no sense is left out.
//
// When err is not nil, the command holds the reason in Bad, and the door if the topic names
// one, so that the house can write down that it was refused. Whether there is such a door is
// for the house to say.
func ParseCommand(topic string, payload []byte, retained bool) (cmd door.Command, code string, err error) {
	id, ok := between("doorhub/cmd/door/", topic, "/lock")
	if !ok {
		return door.Command{Retained: retained, Bad: ErrTopic.Error()}, "", ErrTopic
	}
	cmd, code, err = readCommand(payload)
	if err != nil {
		cmd, code = door.Command{Bad: err.Error()}, ""
	}
	cmd.Door, cmd.Retained = id, retained
	return cmd, code, err
}

func readCommand(payload []byte) (cmd door.Command, code string, err error) {
	if len(payload) > MaxCommand {
		return cmd, "", ErrHuge
	}
	if !utf8.Valid(payload) {
		return cmd, "", ErrUTF8
	}
	switch payload = bytes.TrimSpace(payload); string(payload) {
	case "":
		return cmd, "", ErrEmpty
	case wordLock:
		return door.Command{Action: door.ActionLock, Code: door.NoCode}, "", nil
	case wordUnlock:
		return door.Command{Action: door.ActionUnlock, Code: door.NoCode}, "", nil
	}
	// A map, since a struct would take keys in any case.
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil || fields == nil {
		return cmd, "", ErrNotJSON
	}
	return commandOf(fields)
}

func commandOf(fields map[string]json.RawMessage) (cmd door.Command, code string, err error) {
	cmd.Code = door.NoCode
	if cmd.Action, err = parseAction(fields["action"]); err != nil {
		return cmd, "", err
	}
	cmd.At, err = parseAt(fields["at"])
	if cmd.Action == door.ActionLock {
		return cmd, "", nil
	}
	if err != nil {
		return cmd, "", err
	}
	code, err = parseCode(fields["code"])
	return cmd, code, err
}

func parseAction(raw json.RawMessage) (door.Action, error) {
	switch word, _ := text(raw); word {
	case wordLock:
		return door.ActionLock, nil
	case wordUnlock:
		return door.ActionUnlock, nil
	}
	return "", ErrAction
}

func parseCode(raw json.RawMessage) (string, error) {
	code, ok := text(raw)
	if !ok || len(code) > MaxCode {
		return "", ErrCode
	}
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return "", ErrCode
		}
	}
	return code, nil
}

// text reads a JSON string; what is absent or null is the empty one.
func text(raw json.RawMessage) (s string, ok bool) {
	return s, len(raw) == 0 || json.Unmarshal(raw, &s) == nil
}

// parseAt reads Unix seconds, to the microsecond; absent or null is the zero time.
func parseAt(raw json.RawMessage) (time.Time, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return time.Time{}, nil
	}
	// Raw is valid JSON, so what ParseFloat takes beyond it, as NaN or 0x1p4, cannot occur.
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || !(f >= earliest && f < latest) {
		return time.Time{}, ErrAt
	}
	// Seconds and fraction apart: together they would need more bits than a float64 has.
	sec, frac := math.Modf(f)
	return time.UnixMicro(int64(sec)*1e6 + int64(math.Round(frac*1e6))).UTC(), nil
}

// ParseReading reads a message from ReadingFilter: exactly open or closed. Sensor is named even
// when the reading makes no sense. Raw input is never retained: the caller drops what is, since
// the broker's memory is no news.
func ParseReading(topic string, payload []byte) (sensor string, open bool, err error) {
	sensor, ok := between("doorhub/in/", topic, "/contact")
	if !ok {
		return "", false, ErrTopic
	}
	switch string(payload) {
	case wordOpen:
		return sensor, true, nil
	case wordClosed:
		return sensor, false, nil
	}
	return sensor, false, ErrReading
}

// Birth reports whether a message is Home Assistant saying that it is there, and so shall be
// told everything anew. Topic is compared with birth, which is Config.Birth.
func Birth(topic string, payload []byte, birth string) bool {
	return topic == birth && string(payload) == online
}

// Death reports whether a message is Home Assistant saying that it goes, or its last will that it
// has gone.
func Death(topic string, payload []byte, birth string) bool {
	return topic == birth && string(payload) == offline
}
