package stay

import (
	"strconv"
	"time"
)

// DescribeDuration writes a duration for people, in the largest unit that is exact: "30 days", "36 hours",
// "1 minute".
func DescribeDuration(d time.Duration) string {
	for _, unit := range []struct {
		name string
		of   time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		if n := d / unit.of; n != 0 && d%unit.of == 0 {
			if n == 1 {
				return "1 " + unit.name
			}
			return strconv.FormatInt(int64(n), 10) + " " + unit.name + "s"
		}
	}
	return d.String()
}
