package fetch

import (
	"time"

	"github.com/staykey/staykey/internal/pmsapi"
)

// How long an optional document is waited for, and how often it is asked for.
const (
	withoutAfter = 10 * time.Minute
	withoutTries = 4
)

// doWithout reports whether an optional document is given up.
func doWithout(a pmsapi.Attempt) bool {
	return a.Cause == pmsapi.Unknown || a.Since >= withoutAfter || a.Number >= withoutTries
}
