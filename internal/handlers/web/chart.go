package web

import "github.com/staykey/staykey/internal/admin"

// chart shows the events of each of 24 hours.
type chart struct {
	Hours  []chartHour
	Events int // of the day
	Keys   int
	Wrong  int
}

type chartHour struct {
	admin.Hour
	X            int // left edge, in the chart's units
	EventsHeight int
	WrongHeight  int
	KeysHeight   int
}

// The chart's size, in its own units.
const (
	chartHeight = 80
	hourWidth   = 20
)

func newChart(hours []admin.Hour) chart {
	var c chart
	most := 1
	for _, h := range hours {
		c.Events, c.Keys, c.Wrong = c.Events+h.Events, c.Keys+h.Keys, c.Wrong+h.Wrong
		most = max(most, h.Events, h.Keys)
	}
	for i, h := range hours {
		c.Hours = append(c.Hours, chartHour{
			Hour: h, X: i * hourWidth, EventsHeight: barHeight(h.Events, most), WrongHeight: barHeight(h.Wrong,
				most), KeysHeight: barHeight(h.Keys, most),
		})
	}
	return c
}

// barHeight is the height of a bar. The smallest number is still visible.
func barHeight(n, most int) int {
	if n == 0 {
		return 0
	}
	return max(n*chartHeight/most, 2)
}
