package notify

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// errAddress means that a receiver has an address that is not allowed.
var errAddress = errors.New(
	"the receiver has a private, loopback, link-local or reserved address: set insecure: true to allow it")

// reserved are networks that are not public, in addition to those that [netip.Addr] knows (IANA
// special-purpose address registries).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// Networks whose addresses hold an IPv4 address, and at which byte: NAT64 and 6to4.
var embedding = map[netip.Prefix]int{netip.MustParsePrefix("64:ff9b::/96"): 12, netip.MustParsePrefix("2002::/16"): 2}

// public reports whether an address is a public one.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for prefix, at := range embedding {
		if prefix.Contains(a) {
			bytes := a.As16()
			return public(netip.AddrFrom4([4]byte(bytes[at : at+4])))
		}
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, prefix := range reserved {
		if prefix.Contains(a) {
			return false
		}
	}
	return true
}

// onlyPublic is a dialer's control function. It checks the address right before connecting, so that no name can
// resolve to another one afterwards.
func onlyPublic(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", errAddress, address)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !public(ip) {
		return errAddress
	}
	return nil
}
