package main

import "testing"

func TestReadPgbench(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		report            string
		perSecond, micros float64
		found             bool
	}{
		"a report": {
			"number of transactions actually processed: 100\nlatency average = 0.250 ms\n" +
				"initial connection time = 1.2 ms\ntps = 4000.5 (without initial connection time)\n", 4000.5, 250, true,
		},
		"no transaction in time": {"number of transactions actually processed: 0\n", 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			perSecond, micros, found := readPgbench([]byte(c.report))
			if perSecond != c.perSecond || micros != c.micros || found != c.found {
				t.Errorf("%v a second, %v µs, %v; want %v, %v, %v", perSecond, micros, found, c.perSecond, c.micros,
					c.found)
			}
		})
	}
}
