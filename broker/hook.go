package broker

import (
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/system"
)

// hook hears what mochi-mqtt does by itself: it ends retained messages whose life is over, and
// makes up $SYS.
type hook struct {
	mqtt.HookBase
	s *Server
}

func (*hook) ID() string { return "doorhub" }

func (*hook) Provides(b byte) bool { return b == mqtt.OnRetainedExpired || b == mqtt.OnSysInfoTick }

// OnRetainedExpired forgets a message whose own life has run out.
func (h *hook) OnRetainedExpired(topic string) { h.s.unretain(topic) }

// OnSysInfoTick tells the topics of $SYS, which have been made up and which only the hub may
// read.
func (h *hook) OnSysInfoTick(*system.Info) {
	var b batch
	defer b.flush()
	for _, pk := range h.s.mq.Topics.Messages("$SYS/#") {
		h.s.tell(&session{}, bodyOf(pk), 0, false, h.s.route(pk.TopicName), &b)
	}
	h.s.countForSys()
}

// countForSys hands our counts to mochi-mqtt, for the next time.
func (s *Server) countForSys() {
	st := s.Stats()
	for to, n := range map[*int64]uint64{
		&s.mq.Info.BytesReceived: st.In.Bytes, &s.mq.Info.BytesSent: st.Out.Bytes,
		&s.mq.Info.PacketsReceived: st.In.Packets, &s.mq.Info.PacketsSent: st.Out.Packets,
		&s.mq.Info.MessagesReceived: st.In.Messages, &s.mq.Info.MessagesSent: st.Out.Messages,
		&s.mq.Info.MessagesDropped: st.Dropped, &s.mq.Info.Inflight: uint64(st.Queued),
	} {
		atomic.StoreInt64(to, int64(n))
	}
}
