package guest

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/store"
)

var asked = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_guest_keys_total",
	Help: "Requests for a guest's key, by how (link, app_session; code and code_request for backup codes) and " +
		"result: given, not_ready, gone, unknown, limited, unavailable (Seam or Postgres did not answer).",
}, []string{"kind", "result"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{asked} }

// Kinds of requests for a key, in metrics.
const (
	byLink    = "link"
	bySession = "app_session"
	// Backup codes, on a guest's page and in REST.
	byCode        = "code"
	byCodeRequest = "code_request"
)

// count counts a request for a key by how it ended.
func count(kind string, err error) { asked.WithLabelValues(kind, resultOf(err)).Inc() }

func resultOf(err error) string {
	notReady, limit := new(NotReadyError), new(LimitError)
	switch {
	case err == nil:
		return "given"
	case errors.As(err, &notReady), errors.Is(err, ErrNoCode):
		return "not_ready"
	case errors.As(err, &limit):
		return "limited"
	case errors.Is(err, ErrGone):
		return "gone"
	case errors.Is(err, ErrUnknown), errors.Is(err, store.ErrNotFound):
		return "unknown"
	default:
		return "unavailable"
	}
}
