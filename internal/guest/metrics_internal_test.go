package guest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/staykey/staykey/internal/store"
)

func TestResultsOfRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "given"},
		{&NotReadyError{}, "not_ready"},
		{&LimitError{}, "limited"},
		{ErrGone, "gone"},
		{ErrUnknown, "unknown"},
		{fmt.Errorf("read: %w", store.ErrNotFound), "unknown"},
		{ErrBusy, "unavailable"},
		{errors.Join(ErrUnavailable, store.ErrLeaseLost), "unavailable"},
		{context.DeadlineExceeded, "unavailable"},
	} {
		if got := resultOf(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}
