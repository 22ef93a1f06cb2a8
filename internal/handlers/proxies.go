package handlers

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/pms"
)

// Proxies returns the proxies whose X-Forwarded-For is trusted, from the current configuration. None if it is empty.
type Proxies func() pms.Addresses

// Sender is the address of a request's client: the nearest one in the chain that isn't a trusted proxy.
func (p Proxies) Sender(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := from.Addr().Unmap()

	trusted := p()
	if len(trusted) == 0 {
		return address
	}

	var hops []string
	for _, line := range r.Header.Values("X-Forwarded-For") {
		hops = append(hops, strings.Split(line, ",")...)
	}

	for _, hop := range slices.Backward(hops) {
		if !trusted.Allow(address) {
			return address
		}
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return netip.Addr{}
		}
		address = next.Unmap()
	}
	return address
}
