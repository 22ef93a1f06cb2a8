package seam

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections are the client's connections to Seam. Over HTTP/2 all calls share one, and a NAT, a firewall or a
// load balancer may drop it without telling either side: the kernel would keep sending into it for about 15
// minutes, and every call would be lost. So dead connections are looked for (pings, keep-alives, TCP_USER_TIMEOUT),
// and after a call without an answer, later calls use new connections.
type connections struct {
	open func() *http.Transport

	mu      sync.Mutex
	current *http.Transport
}

func newConnections(timeout time.Duration, roots *x509.CertPool) *connections {
	open := func() *http.Transport { return newTransport(timeout, roots) }
	return &connections{open: open, current: open()}
}

// newTransport notices a silent connection within the deadline of a call that waits on it.
func newTransport(timeout time.Duration, roots *x509.CertPool) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256 // as many as there may be workers
	dialer := net.Dialer{
		Timeout:         min(timeout, 5*time.Second),
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
		Control:         giveUpAfter(timeout),
	}
	t.DialContext = dialer.DialContext
	t.HTTP2 = &http.HTTP2Config{
		SendPingTimeout:  min(timeout*3/8, 3*time.Second), // of silence
		PingTimeout:      min(timeout/4, 2*time.Second),
		WriteByteTimeout: min(timeout, 5*time.Second),
	}
	if roots != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return t
}

// use returns the connections for a call.
func (c *connections) use() *http.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// retire makes later calls open new connections, because a call on these got no answer. Calls still in progress on them
// may finish.
func (c *connections) retire(used *http.Transport) {
	c.mu.Lock()
	if c.current == used {
		c.current = c.open()
	}
	c.mu.Unlock()
	used.CloseIdleConnections()
}

func (c *connections) close() { c.use().CloseIdleConnections() }
