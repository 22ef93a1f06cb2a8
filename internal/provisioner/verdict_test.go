package provisioner_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Postgres fails once while the verdict of an issued key is written: nothing is known to be wrong with the key, so
// nobody hears that it is being made again. The next attempt has the same verdict.
func TestVerdictMeetsAFailureOfPostgres(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.rest(s)
	statuses := func() []string {
		rows, _ := r.store.Pool().Query(t.Context(), `SELECT summary FROM timeline WHERE kind = 'status' ORDER BY id`)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := statuses()
	if _, err := r.store.Pool().Exec(t.Context(), `
		CREATE SEQUENCE verdicts;
		CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('verdicts') = 1 THEN
				RAISE EXCEPTION USING ERRCODE = '55P03', MESSAGE = 'canceling statement due to lock timeout';
			END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER fail_once BEFORE UPDATE ON mobile_keys FOR EACH ROW
			WHEN (OLD.lease_token IS NOT NULL AND NEW.lease_token IS NULL) EXECUTE FUNCTION fail_once()`); err != nil {
		t.Fatal(err)
	}

	r.recheck(s)
	waitFor(t, "the verdict to fail once", func() bool {
		var tried bool
		err := r.store.Pool().QueryRow(t.Context(), `SELECT is_called FROM verdicts`).Scan(&tried)
		return err == nil && tried
	})
	// The lease would end in a few seconds. It is ended here so that nobody waits for it.
	if _, err := r.store.Pool().Exec(t.Context(), `UPDATE mobile_keys SET lease_until = clock_timestamp()
		WHERE lease_until IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
	r.prov.Wake()
	r.rest(s)
	if after := statuses(); !slices.Equal(after, before) {
		t.Errorf("the key's statuses: %q, before the failure %q", after, before)
	}
}

// Postgres refuses to store what an attempt has found, now and for good: the key gets a reason all the same.
func TestAVerdictThatCanNeverBeStored(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	_, err := r.store.Pool().Exec(t.Context(), `
		ALTER TABLE mobile_keys ADD CONSTRAINT refused CHECK (reason IS DISTINCT FROM 'rejected_by_seam')`)
	if err != nil {
		t.Fatal(err)
	}
	r.sim.Inject(simulator.Fault{Kind: simulator.Refused, Path: seam.PathUserCreate, Count: -1})
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "a reason", func() bool {
		v := r.view(s)
		r.skipTo(v)
		return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "unexpected_error"
	})
}
