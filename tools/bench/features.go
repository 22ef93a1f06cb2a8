package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// This file measures what one subscription, guests' links and a gate that is open cost the other figures: each is
// measured without them and with them, one after the other, in the same run.

// featureSource is the source default with links and a gate, and a subscription.
const featureSource = `sources:
  - name: default
    verify: {method: standard-webhooks, secrets: [%s]}
    guest_links: true
    gates: [{name: paid, holds: key}]
subscriptions:
  - {name: works, url: %q, secrets: [%s], insecure: true}
`

// featureGate is what the PMS of featureSource sends.
var featureGate = map[string]string{"paid": "open"}

// featurePolicy is the policy of featureSource.
func featurePolicy() pms.Policy {
	p := pms.DefaultPolicy()
	p.OwnIdentity, p.Gates = true, []pms.Gate{{Name: "paid", Holds: stay.HoldsKey}}
	return p
}

func (b features) featureConfig(s *subscriber) (string, error) {
	file := filepath.Join(b.dir, "features.yaml")
	text := fmt.Sprintf(featureSource, secret(), s.URL, secretOf("works"))
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// features measures accepting, applying and provisioning without and with the features.
func (b features) features(ctx context.Context) error {
	var accepted, applied, drained comparison
	for range b.rounds {
		if err := b.featuresOfEvents(ctx, &accepted, &applied); err != nil {
			return err
		}
	}

	queues := map[bool]string{}
	for _, with := range []bool{false, true} {
		name, db, err := b.database(ctx, "migrated")
		if err != nil {
			return err
		}
		if with {
			err = b.fillWith(ctx, name, db, featurePolicy(), featureGate)
		} else {
			err = b.fill(ctx, name, db)
		}
		_ = db.Close(ctx)
		if err != nil {
			return err
		}
		queues[with] = name
		defer func() { _, _ = b.admin.Exec(ctx, `DROP DATABASE `+name) }()
	}
	for range b.rounds {
		if err := b.featuresOfKeys(ctx, queues, &drained); err != nil {
			return err
		}
	}

	b.addFeatures(fmt.Sprintf("accepted in a burst of %.0f s", b.featured.Seconds()), accepted)
	b.addFeatures("applied after it", applied)
	b.addFeatures(fmt.Sprintf("%d keys, Seam at %d ms per call", b.drained, seamAnswer.Milliseconds()), drained)
	return nil
}

// comparison is how long something takes, in seconds for each, without and with the features, round by round.
type comparison struct{ without, with []float64 }

func (c *comparison) note(with bool, seconds float64) {
	if with {
		c.with = append(c.with, seconds)
	} else {
		c.without = append(c.without, seconds)
	}
}

func (b features) addFeatures(what string, c comparison) {
	ratios := make([]float64, len(c.with))
	for i := range c.with {
		ratios[i] = c.with[i] / c.without[i]
	}
	b.add(line{
		what: what + ", one subscription, links and a gate", value: fmt.Sprintf("%.0f/s", 1/median(c.with)),
		against: "without", base: fmt.Sprintf("%.0f/s", 1/median(c.without)),
		ratio: fmt.Sprintf("%.2f times as long", median(ratios)), target: "within 1.1",
	})
}

// featuresOfEvents posts a burst and waits until it is applied, without and with the features.
func (b features) featuresOfEvents(ctx context.Context, accepted, applied *comparison) error {
	for _, with := range []bool{false, true} {
		s := newSubscriber()
		defer s.Close()
		var env []string
		if with {
			config, err := b.featureConfig(s)
			if err != nil {
				return err
			}
			env = []string{"STAYKEY_CONFIG=" + config, "STAYKEY_PUBLIC_URL=https://keys.example.com"}
		}

		if err := b.intakeRig(ctx, b.replicas, func(db *pgx.Conn, servers []*program) error {
			l, err := b.post(ctx, db, servers, b.featured, posts{gates: with})
			if err != nil {
				return err
			}
			accepted.note(with, 1/l.perSecond())

			waiting, err := backlog(ctx, db)
			if err != nil {
				return err
			}
			began := time.Now()
			if err := b.watch(ctx, db, servers, func() (string, int, error) {
				return "applied", waiting, b.awaitApplied(ctx, db)
			}); err != nil {
				return err
			}
			applied.note(with, time.Since(began).Seconds()/float64(max(waiting, 1)))
			return nil
		}, env...); err != nil {
			return err
		}
	}
	return nil
}

// featuresOfKeys drains a full queue without and with the features.
func (b features) featuresOfKeys(ctx context.Context, queues map[bool]string, drained *comparison) error {
	took, _, err := b.drainReporting(ctx, queues[false], nil, "", 0)
	if err != nil {
		return err
	}
	drained.note(false, took/float64(b.drained))

	s := newSubscriber()
	defer s.Close()
	config, err := b.featureConfig(s)
	if err != nil {
		return err
	}
	if took, _, err = b.drainReporting(ctx, queues[true], s, config, 0); err != nil {
		return err
	}
	drained.note(true, took/float64(b.drained))
	return nil
}
