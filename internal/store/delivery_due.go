package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// Stays that are due for a subscription, and what is done about each: the third and fourth step of a claim
// (delivery_claims.go).

// dueStay is a locked row of subscription_stays with the state of its stay.
type dueStay struct {
	StayToReport
	again    bool
	pmsGates []byte
}

// readDue reads the state of stays that are due, after they were locked.
func readDue(ctx context.Context, tx pgx.Tx, c ClaimRequest, due []dueStay) ([]dueStay, error) {
	refs, at := make([]Ref, len(due)), make(map[Ref]int, len(due))
	for i, d := range due {
		refs[i], at[d.Present.Ref] = d.Present.Ref, i
	}

	sources, ids := splitRefs(refs)
	lasts, reports := map[uuid.UUID]*Delivery{}, map[Ref][]gateRow{}
	deliveries := make([]*uuid.UUID, len(due))
	var b pgx.Batch

	b.Queue(`
		SELECT w.reported, w.unconfirmed, w.reported_sequence, w.delivery_id, w.again, w.source, w.reservation_id,
			k.sequence,
			r.status, r.listing_id, l.name, r.check_in, r.check_out,
			r.guest_name, k.status, k.reason, k.message, k.changed_at, u.acs_user_id, u.acs_credential_id, u.starts_at,
				u.ends_at, u.acs_access_group_ids,
			r.gates, (SELECT looked_to FROM gate_deadlines),
			d.first_used_at, d.first_used_entrance, d.denied_at, d.denied_reason, d.denied_entrance, x.doors
		FROM unnest($2::text[], $3::text[]) AS n (source, reservation_id)
		JOIN subscription_stays w ON w.source = n.source AND w.reservation_id = n.reservation_id AND w.subscription = $1
		JOIN mobile_keys k ON k.source = n.source AND k.reservation_id = n.reservation_id
		JOIN reservations r ON r.source = n.source AND r.reservation_id = n.reservation_id
		LEFT JOIN listings l ON l.source = r.source AND l.listing_id = r.listing_id
		LEFT JOIN LATERAL (SELECT * FROM (
			SELECT * FROM acs_users u WHERE u.source = n.source AND u.reservation_id = n.reservation_id
				AND u.deleted_at IS NULL ORDER BY `+currentFirst+` LIMIT 1) u
			WHERE `+isAtSeam+`) u ON true
		LEFT JOIN door_uses d ON d.source = n.source AND d.reservation_id = n.reservation_id
			AND d.guest_key = u.guest_key
		LEFT JOIN door_risks x ON x.source = n.source AND x.reservation_id = n.reservation_id`,
		c.Subscription, sources, ids).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var d dueStay
				var last *uuid.UUID
				if err := d.scan(rows, &last); err != nil {
					return err
				}
				i := at[d.Present.Ref]
				due[i], deliveries[i] = d, last
			}
			return rows.Err()
		})

	b.Queue(gateReportsOfStays, sources, ids).Query(func(rows pgx.Rows) error {
		return collectGateReports(rows, reports)
	})

	b.Queue(`
		SELECT `+deliveryColumns+` FROM deliveries t WHERE delivery_id IN (
			SELECT w.delivery_id FROM subscription_stays w
				JOIN unnest($2::text[], $3::text[]) AS n (source, reservation_id) USING (source, reservation_id)
			WHERE w.subscription = $1)
		ORDER BY delivery_id FOR NO KEY UPDATE`, c.Subscription, sources, ids).
		Query(func(rows pgx.Rows) error {
			list, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[Delivery])
			for _, last := range list {
				lasts[last.DeliveryID] = last
			}
			return err
		})

	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return nil, err
	}

	for i := range due {
		d := &due[i]
		d.Present.GateReports = mergedGateReports(d.pmsGates, reports[d.Present.Ref])
		d.Present.DoorsAtRisk = slices.DeleteFunc(d.Present.DoorsAtRisk,
			func(p stay.DoorProblem) bool { return p.SystemID != "" })
		if id := deliveries[i]; id != nil && lasts[*id] != nil {
			d.Last = lasts[*id]
			d.LastSequence = max(d.LastSequence, d.Last.Sequence)
		}
	}

	return slices.DeleteFunc(due, func(d dueStay) bool { return d.Present.KeyStatus == "" }), nil
}

func (d *dueStay) scan(row pgx.Row, last **uuid.UUID) error {
	p := &d.Present
	return row.Scan(&d.Reported, &d.Unconfirmed, &d.LastSequence, last, &d.again, &p.Source,
		&p.ReservationID, &p.Sequence, &p.ReservationStatus, &p.ListingID, &p.ListingName,
		&p.CheckIn, &p.CheckOut, &p.GuestName, &p.KeyStatus, &p.Reason, &p.Message, &p.ChangedAt, &p.ACSUserID,
		&p.CredentialID, &p.StartsAt, &p.EndsAt, &p.AccessGroupIDs,
		&d.pmsGates, &d.LookedTo, &p.DoorUse.FirstUsedAt, &p.DoorUse.FirstUsedEntrance, &p.DoorUse.DeniedAt,
		&p.DoorUse.DeniedReason, &p.DoorUse.DeniedEntrance, &p.DoorsAtRisk)
}

// decide queues what stores the decision for a stay; nil if there is nothing to send.
func (d dueStay) decide(b *pgx.Batch, c ClaimRequest, t Report) *ClaimedDelivery {
	last := d.Last
	args := pgx.StrictNamedArgs{
		"source": d.Present.Source, "reservation_id": d.Present.ReservationID, "subscription": c.Subscription,
		"reported":    t.Reported,
		"unconfirmed": t.Unconfirmed,
	}
	const whose = ` WHERE source = @source AND reservation_id = @reservation_id AND subscription = @subscription`
	out := &ClaimedDelivery{Token: uuid.New()}
	switch {
	case t.Message != nil && t.Repeat && last != nil:
		out.Delivery, out.State, out.More = *last, t.Message.State, t.Message.More
	case t.Message != nil:
		out.State, out.More = t.Message.State, t.Message.More
		out.Delivery = Delivery{
			DeliveryID: uuid.New(), Subscription: c.Subscription, Type: t.Message.Type, Source: d.Present.Source,
			ReservationID: d.Present.ReservationID,
			Sequence:      t.Message.Sequence, Status: DeliveryWaiting, Body: t.Message.Body, CreatedAt: c.Now,
		}
		dropOvertaken(b, last, c.Now)
		insertDelivery(b, out.Delivery)
	case d.again && last != nil:
		out.Delivery = *last
	case t.Unsettled:
		b.Queue(`
			UPDATE subscription_stays SET due_at = NULL, again = false, lease_token = NULL, lease_until = NULL
			WHERE source = $1 AND reservation_id = $2 AND subscription = $3`,
			d.Present.Source, d.Present.ReservationID, c.Subscription)
		return nil
	default:
		dropOvertaken(b, last, c.Now)
		args["sequence"] = d.LastSequence
		b.Queue(`
			UPDATE subscription_stays SET reported = @reported,
				reported_sequence = greatest(reported_sequence, @sequence),
				unconfirmed = @unconfirmed, due_at = NULL,
				tries = 0, again = false, lease_token = NULL, lease_until = NULL`+whose, args)
		return nil
	}

	out.Attempt = out.Attempts + 1
	args["delivery_id"], args["token"], args["lease"] = out.DeliveryID, out.Token, c.Lease
	b.Queue(`
		UPDATE subscription_stays SET reported = @reported, unconfirmed = @unconfirmed, delivery_id = @delivery_id,
			again = false,
			lease_token = @token, lease_until = clock_timestamp() + @lease::interval`+whose, args)
	return out
}

func dropOvertaken(b *pgx.Batch, last *Delivery, now time.Time) {
	if last == nil || last.Status != DeliveryWaiting {
		return
	}
	b.Queue(`
		UPDATE deliveries SET status = 'dropped', reason = 'overtaken by a newer state', next_attempt_at = NULL,
			finished_at = $2
		WHERE delivery_id = $1`, last.DeliveryID, now)
}
