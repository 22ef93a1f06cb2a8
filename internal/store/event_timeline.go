package store

// This file adds events to the timelines of the reservations that they are about, where nothing else of them is
// applied: those that were rejected, and those that wait for documents of the PMS. Others are added as they are
// applied.

// noteResults is a statement that adds settled events to timelines, but for a condition on event_results t.
const noteResults = `
	INSERT INTO timeline (source, reservation_id, at, kind, summary, detail)
	SELECT r.source, r.reservation_id, now(), '` + TimelineEvent + `',
		coalesce(nullif(t.type, ''), 'an event') || ' ' || t.status,
		jsonb_build_object('event_id', t.event_id::text, 'type', t.type, 'status', t.status, 'reason', t.reason)
	FROM event_results t CROSS JOIN LATERAL unnest(t.reservation_id || coalesce(t.also_about, '{}')) AS n (id)
	JOIN reservations r ON r.source = t.source AND r.reservation_id = n.id
	WHERE `

// noteRejected adds those of the events that were rejected.
const noteRejected = noteResults + `t.event_id = ANY ($1) AND t.status = 'rejected'`

// noteWaiting is a statement that adds events to timelines that begin to wait for documents: what a WITH query named
// "begun" returns of event_fetches.
const noteWaiting = `
	INSERT INTO timeline (source, reservation_id, at, kind, summary, detail)
	SELECT r.source, r.reservation_id, now(), '` + TimelineEvent + `',
		coalesce(nullif(e.type, ''), 'an event') || ' accepted: waits for documents of the PMS',
		jsonb_build_object('event_id', e.event_id::text, 'type', e.type, 'status', '` + EventAccepted + `',
			'reason', b.reason)
	FROM begun b JOIN events e USING (event_id) CROSS JOIN LATERAL unnest(b.reservation_ids) AS n (id)
	JOIN reservations r ON r.source = b.source AND r.reservation_id = n.id`
