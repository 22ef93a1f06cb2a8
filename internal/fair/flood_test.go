package fair_test

import (
	"testing"

	"github.com/staykey/staykey/internal/fair"
)

// BenchmarkFlood has strangers of 8 addresses at the ceiling open one connection after another.
func BenchmarkFlood(b *testing.B) {
	c := fair.New(1024, nil)
	for i := range 1024 {
		if p, ok := c.Take(client(i%8), "", func() {}); ok {
			p.SetIdle(i%2 == 0)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Take(client(i%8), "", func() {})
	}
}
