package simulator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves a simulator on loopback, over HTTP/1.1, or over TLS with HTTP/2, and can have connections fall silent.
type Server struct {
	URL     string
	RootCAs *x509.CertPool // of a server over TLS

	server *http.Server
	mu     sync.Mutex
	open   map[*quietConn]bool
}

// Serve starts a server on a free port.
func Serve(handler http.Handler, overTLS bool) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the simulator: %w", err)
	}

	s := &Server{URL: "http://" + listener.Addr().String(), open: map[*quietConn]bool{}}
	s.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if secured, ok := c.(*tls.Conn); ok {
				c = secured.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c)
		},
	}

	var accepting net.Listener = quietListener{listener, s}
	if overTLS {
		certificate, pool, err := selfSigned()
		if err != nil {
			_ = listener.Close()
			return nil, err
		}
		s.URL, s.RootCAs = "https://"+listener.Addr().String(), pool
		s.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		go func() { _ = s.server.ServeTLS(accepting, "", "") }()
		return s, nil
	}

	go func() { _ = s.server.Serve(accepting) }()
	return s, nil
}

// Close ends the server and its connections.
func (s *Server) Close() { _ = s.server.Close() }

// Silence makes all open connections silent, as if a NAT had dropped them: nothing arrives or leaves, without an error.
// New connections work. It returns how many were silenced.
func (s *Server) Silence() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.silence()
	}
	return len(s.open)
}

// IsBusy closes the connections that serve no call, and reports whether any other is open that isn't silent. After a
// client is gone, the calls that it has sent have taken effect, or never will, once this is false.
func (s *Server) IsBusy() bool {
	s.server.SetKeepAlivesEnabled(false)
	s.server.SetKeepAlivesEnabled(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if !c.isSilent() {
			return true
		}
	}
	return false
}

type connKey struct{}

// silence makes the connection of a request silent.
func silence(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*quietConn); ok {
		c.silence()
	}
}

type quietListener struct {
	net.Listener
	server *Server
}

func (l quietListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	quiet := &quietConn{Conn: c, hushed: make(chan struct{}), closed: make(chan struct{}), server: l.server}
	l.server.mu.Lock()
	l.server.open[quiet] = true
	l.server.mu.Unlock()
	return quiet, nil
}

// quietConn is a connection that can become silent: incoming and outgoing data is then dropped.
type quietConn struct {
	net.Conn
	server         *Server
	hushed, closed chan struct{}
	once, end      sync.Once
}

func (c *quietConn) silence() { c.once.Do(func() { close(c.hushed) }) }

func (c *quietConn) isSilent() bool {
	select {
	case <-c.hushed:
		return true
	default:
		return false
	}
}

// Read never returns what comes in after the silence began, nor that the other side has closed.
func (c *quietConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.isSilent() {
		return n, err
	}
	for err == nil {
		_, err = c.Conn.Read(p)
	}
	<-c.closed
	return 0, net.ErrClosed
}

func (c *quietConn) Write(p []byte) (int, error) {
	if c.isSilent() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *quietConn) Close() error {
	c.end.Do(func() { close(c.closed) })
	c.server.mu.Lock()
	delete(c.server.open, c)
	c.server.mu.Unlock()
	return c.Conn.Close()
}

// selfSigned makes a certificate for 127.0.0.1, and the pool that trusts it.
func selfSigned() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("the simulator's key: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("the simulator's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("the simulator's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}, pool, nil
}
