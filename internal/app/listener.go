package app

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/fair"
)

// fairListener holds connections below a ceiling that their clients share: at the ceiling a newcomer replaces the
// longest idle connection of the address that has the most. It never stops accepting: a client that is beyond its
// share is closed at once.
type fairListener struct {
	net.Listener
	ceiling *fair.Ceiling
}

// newFairListener accepts at most this many connections. Those of trusted proxies, which serve many clients, are closed
// last.
func newFairListener(l net.Listener, most int, sources *atomic.Pointer[config.Set]) *fairListener {
	return &fairListener{l, fair.New(most, func(client netip.Addr) bool {
		trusted := sources.Load().TrustedProxies
		return len(trusted) > 0 && trusted.Allow(client)
	})}
}

// Accept implements net.Listener.
func (l *fairListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		place, ok := l.ceiling.Take(clientOf(conn), "", func() { _ = conn.Close() })
		if ok {
			return &countedConn{Conn: conn, permit: place}, nil
		}
		_ = conn.Close()
	}
}

func clientOf(conn net.Conn) netip.Addr {
	address, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return fair.Client(address.Addr())
}

// countedConn is a connection that counts towards the ceiling until it is closed.
type countedConn struct {
	net.Conn
	permit *fair.Permit
	once   sync.Once
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.permit.Release)
	return err
}

// noteState tells the ceiling which connections are idle: those that have sent nothing yet, and those between requests.
func noteState(conn net.Conn, state http.ConnState) {
	if over, is := conn.(interface{ NetConn() net.Conn }); is { // TLS
		conn = over.NetConn()
	}
	if counted, is := conn.(*countedConn); is {
		switch state {
		case http.StateNew, http.StateIdle:
			counted.permit.SetIdle(true)
		case http.StateActive, http.StateHijacked:
			counted.permit.SetIdle(false)
		}
	}
}

// connectionMetrics are the public listener's gauges.
func (s *service) connectionMetrics() []prometheus.Collector {
	state := func() fair.State {
		if s.listener == nil {
			return fair.State{}
		}
		return s.listener.ceiling.State()
	}
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "staykey_connections",
			Help: "Open connections of the public listener.",
		},
			func() float64 { return float64(state().InUse) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "staykey_connections_limit",
			Help: "Maximum connections of the public listener.",
		},
			func() float64 { return float64(state().Most) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "staykey_connections_closed_total",
			Help: "Connections of the public listener closed to make room for others at the limit.",
		},
			func() float64 { return float64(state().Evicted) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "staykey_connections_refused_total",
			Help: "Connections closed at once because their client already had its share.",
		},
			func() float64 { return float64(state().Refused) }),
	}
}
