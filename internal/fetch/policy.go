package fetch

import (
	"time"

	"github.com/staykey/staykey/internal/pmsapi"
)

// How long, and how many times, an optional document is requested.
const (
	withoutAfter = 10 * time.Minute
	withoutTries = 4
)

// doWithout reports whether to continue without an optional document.
func doWithout(a pmsapi.Attempt) bool {
	return a.Cause == pmsapi.Unknown || a.Since >= withoutAfter || a.Number >= withoutTries
}
