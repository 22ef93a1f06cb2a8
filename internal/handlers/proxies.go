package handlers

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/pms"
)

// Proxies are the proxies whose X-Forwarded-For is believed, by the configuration of now; none if it is empty.
type Proxies func() pms.Addresses

// Sender is the address that a request comes from: the nearest one that no proxy of ours has.
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
