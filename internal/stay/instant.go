package stay

import "time"

// SameInstant reports whether both times are known and equal to the millisecond, as PMSs send and Seam stores times.
func SameInstant(a, b *time.Time) bool {
	return a != nil && b != nil && a.Truncate(time.Millisecond).Equal(b.Truncate(time.Millisecond))
}
