package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// session is a connection to Postgres that several clients use, one after another, each as if it were new. What is kept
// is what no client can see: the caches of the catalog. What a client sees doesn't
// outlast it, see [session.reset].
type session struct {
	conn     net.Conn
	startup  string // the parameters that it began with, see [startupOf]
	pid      uint32
	secret   []byte
	status   map[string]string // what Postgres reported when it began
	settings []string          // those of databases and roles when it began, see [settingsNow]
}

// beginSession connects to a database with the parameters of a startup message.
func beginSession(ctx context.Context, dsn, database string, parameters map[string]string) (*session, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.Database, config.RuntimeParams = database, maps.Clone(parameters)
	delete(config.RuntimeParams, "user")
	delete(config.RuntimeParams, "database")
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := conn.SyncConn(ctx); err != nil {
		return nil, err
	}
	raw, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	s := &session{
		conn: raw.Conn, startup: startupOf(parameters), pid: raw.PID, secret: raw.SecretKey,
		status: raw.ParameterStatuses,
	}
	s.settings, err = s.ask(settingsNow)
	return s, err
}

// startupOf is a text that is the same for equal parameters of a startup message, whatever the name of the database.
func startupOf(parameters map[string]string) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if name != "database" {
			fmt.Fprintf(&text, "%s=%q ", name, parameters[name])
		}
	}
	return text.String()
}

// settingsNow are the settings of the database and the role, and those of all, which a session takes when it begins.
// Other tests change settings of their own databases meanwhile.
const settingsNow = `
	SELECT setdatabase || ' ' || setrole || ' ' || setconfig::text FROM pg_db_role_setting
	WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
		AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user)) ORDER BY 1`

// isFresh reports whether the session is alive, and a new one would get the same settings.
func (s *session) isFresh() bool {
	now, err := s.ask(settingsNow)
	return err == nil && slices.Equal(now, s.settings)
}

// reset makes a session like a new one; status is that of its transaction. Statistics are reported at once, because
// they show which catalogs were written to. An error means that the session can't be used any more.
func (s *session) reset(status byte) error {
	ends := []string{`DISCARD ALL`, `SELECT pg_stat_force_next_flush()`}
	if status != 'I' {
		ends = slices.Insert(ends, 0, `ROLLBACK`)
	}
	_, err := s.ask(ends...)
	return err
}

// askPatience is how long Postgres gets to answer about a session that is handed on: only a hang misses it.
const askPatience = 4 * time.Minute

// ask has Postgres carry out statements, in one round trip, and returns the first column of all rows.
func (s *session) ask(statements ...string) (rows []string, err error) {
	if err := s.conn.SetDeadline(time.Now().Add(askPatience)); err != nil {
		return nil, err
	}
	defer func() { _ = s.conn.SetDeadline(time.Time{}) }()

	frontend := pgproto3.NewFrontend(s.conn, s.conn)
	for _, sql := range statements {
		frontend.SendQuery(&pgproto3.Query{String: sql})
	}
	if err := frontend.Flush(); err != nil {
		return nil, err
	}

	for done := 0; done < len(statements); {
		message, err := frontend.Receive()
		if err != nil {
			return nil, err
		}
		switch m := message.(type) {
		case *pgproto3.DataRow:
			rows = append(rows, string(m.Values[0]))
		case *pgproto3.ErrorResponse:
			return nil, errors.New(m.Message)
		case *pgproto3.ReadyForQuery:
			done++
		}
	}
	if frontend.ReadBufferLen() > 0 {
		return nil, errors.New("an answer that nobody asked for")
	}
	return rows, nil
}

// greeting is what Postgres answers to a startup message.
func (s *session) greeting(secret []byte) []byte {
	var out []byte
	add := func(m pgproto3.BackendMessage) { out, _ = m.Encode(out) }
	add(&pgproto3.AuthenticationOk{})
	for _, name := range slices.Sorted(maps.Keys(s.status)) {
		add(&pgproto3.ParameterStatus{Name: name, Value: s.status[name]})
	}
	add(&pgproto3.BackendKeyData{ProcessID: s.pid, SecretKey: secret})
	add(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return out
}

// client is the connection that a pool sees: it leads to a session from the startup message until the pool ends it.
type client struct {
	lease *lease
	begun chan struct{} // closed when it leads somewhere, or has ended before that

	writing sync.Mutex // held by who writes
	sent    []byte     // the start of a message whose end wasn't written yet
	asked   int        // messages that Postgres answers with ReadyForQuery

	reading  sync.Mutex // held by who reads
	greeting []byte     // what is read before the session's own answers
	answers  answers

	mu        sync.Mutex
	session   *session // nil until the startup message
	direct    net.Conn // of a request to cancel, instead of a session
	secret    []byte   // what a request to cancel must have; the session's own stays here
	ended     bool
	cancelled bool      // a request to cancel was sent
	deadline  time.Time // of reads
}

// errEnded is what a connection returns to those that use it after its end.
var errEnded = fmt.Errorf("this connection of a test has ended: %w", net.ErrClosed)

// Write takes messages, and passes them on when they are complete.
func (c *client) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	carrier, ended := c.carrier()
	if ended {
		return 0, errEnded
	}
	c.sent = append(c.sent, p...)
	if carrier == nil {
		return len(p), c.begin()
	}
	out, end := c.translate()
	if end && c.handBack() {
		return len(p), nil
	}
	if len(out) > 0 {
		if _, err := carrier.Write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// translate takes the complete messages of those that were written. end says that the last one ends the session.
func (c *client) translate() (out []byte, end bool) {
	for len(c.sent) >= 5 {
		size := 1 + int(binary.BigEndian.Uint32(c.sent[1:5]))
		if len(c.sent) < size {
			return out, false
		}
		message := c.sent[:size]
		c.sent = c.sent[size:]
		switch message[0] {
		case 'Q', 'S', 'F':
			c.asked++
		case 'X':
			return append(out, message...), true
		}
		out = append(out, message...)
	}
	return out, false
}

// Codes of the messages that begin a connection.
const (
	protocol3     = 3 << 16
	cancelRequest = 80877102
)

// begin answers the first message, once it is complete.
func (c *client) begin() error {
	if len(c.sent) < 8 || len(c.sent) < int(binary.BigEndian.Uint32(c.sent)) {
		return nil
	}
	message := c.sent[4:]
	c.sent = nil
	switch code := binary.BigEndian.Uint32(message); code {
	case protocol3:
		var startup pgproto3.StartupMessage
		if err := startup.Decode(message); err != nil {
			return err
		}
		s, err := c.lease.session(startup.Parameters)
		if err != nil {
			return err
		}
		secret := make([]byte, 4)
		_, _ = rand.Read(secret) // never fails (crypto/rand)
		c.greeting, c.answers = s.greeting(secret), answers{status: 'I'}
		return c.lead(s, nil, secret)
	case cancelRequest:
		conn, err := c.lease.cancel(message[8:])
		if err != nil {
			return err
		}
		return c.lead(nil, conn, nil)
	default:
		return fmt.Errorf("a connection of a test begins with %d", code)
	}
}

// lead has the client lead to a session, or to a connection.
func (c *client) lead(s *session, direct net.Conn, secret []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s != nil {
		direct = s.conn
	}
	if c.ended {
		_ = direct.Close()
		return errEnded
	}
	c.session, c.direct, c.secret = s, direct, secret
	close(c.begun)
	return direct.SetDeadline(c.deadline)
}

// handBack ends the use of a session that is idle and gives it back. It returns false if it can't be used again.
func (c *client) handBack() bool {
	c.mu.Lock()
	s := c.session
	if s == nil || c.ended {
		c.mu.Unlock()
		return false
	}
	c.ended = true
	deadline, cancelled := c.deadline, c.cancelled
	c.mu.Unlock()

	// a reader that still waits for an answer must not get ours
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	c.reading.Lock()
	defer c.reading.Unlock()

	idle := len(c.greeting) == 0 && c.answers.whole() && c.answers.ready == c.asked && len(c.sent) == 0
	if cancelled || !idle {
		c.lease.gone(c) // it has sent its end
		_ = s.conn.SetDeadline(deadline)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended = false
		return false
	}
	c.lease.takeBack(c, s, c.answers.status)
	return true
}

// spoil returns the session of the client whose secret this is, which can't be handed on from now on: a request to
// cancel is on its way to it.
func (c *client) spoil(secret []byte) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.session == nil || !bytes.Equal(c.secret, secret) {
		return nil
	}
	c.cancelled = true
	return c.session
}

// Read returns what Postgres answers. It may be called before there is a session: pgx reads while a write takes long.
func (c *client) Read(p []byte) (int, error) {
	<-c.begun
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.greeting) > 0 {
		n := copy(p, c.greeting)
		c.greeting = c.greeting[n:]
		return n, nil
	}
	carrier, ended := c.carrier()
	if ended {
		return 0, io.EOF
	}
	n, err := carrier.Read(p)
	c.answers.scan(p[:n])
	if _, ended := c.carrier(); ended && err != nil {
		err = io.EOF
	}
	return n, err
}

// Close ends the connection, and the session unless that was given back.
func (c *client) Close() error {
	c.lease.gone(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	c.ended = true
	if c.direct == nil {
		close(c.begun)
		return nil
	}
	return c.direct.Close()
}

// carrier is the connection below, nil if there is none yet.
func (c *client) carrier() (conn net.Conn, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.direct, c.ended
}

// LocalAddr implements [net.Conn].
func (c *client) LocalAddr() net.Addr { return c.lease.server }

// RemoteAddr implements [net.Conn].
func (c *client) RemoteAddr() net.Addr { return c.lease.server }

// SetDeadline implements [net.Conn].
func (c *client) SetDeadline(t time.Time) error {
	return c.limit(t, net.Conn.SetDeadline)
}

// SetReadDeadline implements [net.Conn].
func (c *client) SetReadDeadline(t time.Time) error {
	return c.limit(t, net.Conn.SetReadDeadline)
}

// SetWriteDeadline implements [net.Conn].
func (c *client) SetWriteDeadline(t time.Time) error {
	conn, ended := c.carrier()
	if ended || conn == nil {
		return nil
	}
	return conn.SetWriteDeadline(t)
}

func (c *client) limit(t time.Time, set func(net.Conn, time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.ended || c.direct == nil {
		return nil
	}
	return set(c.direct, t)
}

// answers counts Postgres' messages of one session.
type answers struct {
	header [5]byte
	have   int  // bytes of the header
	left   int  // bytes of the message
	ready  int  // messages ReadyForQuery
	status byte // in the last of them
}

// whole reports whether the last message was read to its end.
func (a *answers) whole() bool { return a.have == 0 && a.left == 0 }

func (a *answers) scan(p []byte) {
	for len(p) > 0 {
		if a.left == 0 {
			n := copy(a.header[a.have:], p)
			a.have += n
			p = p[n:]
			if a.have < len(a.header) {
				return
			}
			a.left = int(binary.BigEndian.Uint32(a.header[1:])) - 4
			a.have = 0
			continue
		}
		n := min(a.left, len(p))
		a.left -= n
		if a.left == 0 && a.header[0] == 'Z' {
			a.ready, a.status = a.ready+1, p[n-1]
		}
		p = p[n:]
	}
}
