package broker

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// errRefused ends a connection that was not let in; it has been told why.
var errRefused = errors.New("login refused")

// enter is everything up to the answer to the CONNECT, and reports whether the client is in.
func (s *Server) enter(c *conn, listener string) bool {
	if err := c.Conn.SetDeadline(time.Now().Add(s.cfg.LoginTimeout)); err != nil {
		return false
	}
	err := aside(func() error {
		if !s.shakeHands(c) {
			return errRefused
		}
		if err := c.Conn.SetWriteDeadline(time.Time{}); err != nil {
			return err
		}
		return s.connect(c, listener)
	})
	if err != nil && !errors.Is(err, errRefused) {
		s.log.Debug("no login", keyRemote, c.RemoteAddr().String(), "why", err.Error())
	}
	return err == nil
}

// connect takes the CONNECT, logs the client in, gives it its session, and answers.
func (s *Server) connect(c *conn, listener string) error {
	p, err := s.next(c)
	if err != nil {
		return err
	}
	pk, err := decode(p, 4)
	if err != nil {
		return err
	}
	c.meet(&pk)
	cl := s.mq.NewClient(c, listener, "", false) // of which only the reading of CONNECT and the answer are used
	cl.ParseConnect(listener, pk)
	if code := s.judge(pk); code != packets.CodeSuccess {
		return errors.Join(code, s.mq.SendConnack(cl, code, false, nil))
	}
	if err := s.login(cl, c, pk); err != nil {
		return err
	}
	present := s.establish(cl, c)
	if err := s.mq.SendConnack(cl, packets.CodeSuccess, present, c.announcement()); err != nil {
		return err
	}
	c.session.begin(c)
	c.batch.flush()
	return nil
}

// judge is mochi-mqtt's checks of a CONNECT, as far as they do not follow from how we set it up.
func (s *Server) judge(pk packets.Packet) packets.Code {
	may := s.mq.Options.Capabilities
	switch full := atomic.LoadInt64(&s.mq.Info.ClientsConnected) >= may.MaximumClients; {
	case full && pk.ProtocolVersion == 5:
		return packets.ErrServerBusy
	case full:
		return packets.ErrServerUnavailable
	}
	if code := pk.ConnectValidate(); code != packets.CodeSuccess {
		return code
	}
	switch {
	case pk.ProtocolVersion < 5 && !pk.Connect.Clean && pk.Connect.ClientIdentifier == "":
		return packets.ErrClientIdentifierNotValid
	case pk.ProtocolVersion < may.MinimumProtocolVersion:
		return packets.ErrUnsupportedProtocolVersion
	}
	return packets.CodeSuccess
}

// login is the check of the token, then of the will, by the rules for publishing. The client id
// is put under the user's name, so that nobody takes over the session of another.
func (s *Server) login(cl *mqtt.Client, c *conn, pk packets.Packet) error {
	name := string(pk.Connect.Username)
	if pk.Properties.AuthenticationMethod != "" { // (MQTT 5.0, 4.12)
		return s.turnDown(cl, packets.ErrBadAuthenticationMethod, "asks for an authentication method; there are tokens only")
	}
	role, err := s.check(c, name, string(pk.Connect.Password))
	if err != nil {
		return s.turnDown(cl, packets.ErrBadUsernameOrPassword, err.Error())
	}
	if w := c.will; w != nil && !MayPublish(s.users.rules(name), w.topic, w.retain) {
		return s.turnDown(cl, packets.ErrNotAuthorized, fmt.Sprintf("may not have a will on %.80q (retained: %t)", w.topic, w.retain))
	}
	cl.ID = name + "/" + cl.ID
	c.limiter = s.limiterOf(name, role)
	if err := s.slow(c, typeConnect, 0); err != nil {
		return err
	}
	limit := s.cfg.MaxPacket
	if role == RoleHub {
		limit = s.cfg.MaxHubPacket
	} else if !s.placeFor(name, cl.ID) {
		return s.sendRefusal(cl, packets.ErrQuotaExceeded)
	}
	s.imposeKeepalive(cl)
	c.admit(cl, limit)
	atomic.AddInt64(&s.mq.Info.ClientsConnected, 1)
	s.totals.logins.Add(1)
	s.log.Debug("connected", keyUser, name, keyClient, cl.ID, keyRemote, cl.Net.Remote)
	return nil
}

// check checks a user's token and the name in its certificate, if there is one, unless there
// were too many wrong ones.
func (s *Server) check(c *conn, name, token string) (Role, error) {
	from := address(c.RemoteAddr())
	if !s.throttle.allowed(from, name) {
		return "", errors.New("too many wrong logins of this address or user; wait some minutes")
	}
	c.token = sha256.Sum256([]byte(token))
	role, ok := s.users.Check(name, token)
	foreign := c.certified && c.holder() != name
	if !ok || foreign {
		known := ""
		if s.users.rules(name) != nil {
			known = name
		}
		if err := s.throttle.wrong(from, known); err != nil {
			s.log.Error("cannot write", "error", err)
		}
		if foreign {
			return "", fmt.Errorf("its certificate is of user %.64q", c.holder())
		}
		return "", errors.New("no such user and token")
	}
	s.warnOfEnd(c, name)
	if err := s.throttle.right(from, name); err != nil {
		s.log.Error("cannot write", "error", err)
	}
	return role, nil
}

func (s *Server) turnDown(cl *mqtt.Client, code packets.Code, why string) error {
	s.log.Warn("login refused", keyUser, fmt.Sprintf("%.40q", cl.Properties.Username), keyRemote, cl.Net.Remote, "why", why)
	return s.sendRefusal(cl, code)
}

func (s *Server) sendRefusal(cl *mqtt.Client, code packets.Code) error {
	switch {
	case cl.Properties.ProtocolVersion == 5:
	case code == packets.ErrQuotaExceeded:
		code = packets.Err3ServerUnavailable
	default:
		code = packets.Err3NotAuthorized
	}
	s.totals.refusedLogins.Add(1)
	return errors.Join(errRefused, s.mq.SendConnack(cl, code, false, nil))
}
