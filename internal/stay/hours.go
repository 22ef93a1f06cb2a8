package stay

import "time"

// Hours returns when access to a stay begins and ends: from check-in to check-out, extended by the source's grace. Both
// are zero while one of the two isn't known. Grace never turns a stay that is cut short, or a mistake, into one.
func Hours(checkIn, checkOut *time.Time, before, after time.Duration) (starts, ends time.Time) {
	if checkIn == nil || checkOut == nil {
		return starts, ends
	}
	if !checkOut.After(*checkIn) {
		before, after = 0, 0
	}
	return checkIn.Add(-before).UTC(), checkOut.Add(after).UTC()
}
