package intake

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Any error halves a batch, down to one event; a lock makes its events, and only those, be applied one by one.
func TestPortion(t *testing.T) {
	t.Parallel()
	p := portion{limit: applyBatch}
	want := func(n int) {
		t.Helper()
		if got := p.next(); got != n {
			t.Errorf("the next batch has %d events, want %d", got, n)
		}
	}
	for _, n := range []int{500, 250, 125, 62, 31, 15, 7, 3, 1} {
		want(n)
		p.failed(n, errors.New("anything"))
	}
	want(1)
	p.succeeded(1)
	want(2)
	for range 10 {
		p.succeeded(2)
	}
	want(applyBatch)
	for _, code := range []string{"55P03", "57014"} {
		p.failed(40, &pgconn.PgError{Code: code})
		for range 39 {
			want(1)
			p.succeeded(1)
		}
		want(1)
		p.found() // the one at fault is out of the way
		want(applyBatch)
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	for tries, want := range []int{1, 4, 16, 64, 256, 256} {
		if got := patienceOf(tries); got != want {
			t.Errorf("try %d: %d times as long, want %d", tries+1, got, want)
		}
	}
}
