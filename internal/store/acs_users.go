package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ACSUsers are the record of what was created, or may have been created, at Seam for each stay. A worker writes it in
// the transaction of its lease: [SaveACSUser], [DeleteACSUser].
type ACSUsers struct{ *db }

// ErrIDTaken means that an ACS user or credential id already belongs to another reservation.
var ErrIDTaken = errors.New("this id belongs to another reservation")

// ACSUser is a row of acs_users: an ACS user that we created, are creating, or may have created. A row is written
// before the call that creates, so that whatever exists at Seam has one, and is deleted only when Seam no longer has
// the ACS user. All times are UTC.
//
// Package internal/provisioner/record names the states that the nullable columns form, and only it changes them:
//
//	Claimed    none of MarkedAt, LostAt, ACSUserID
//	Marked     MarkedAt: the create is about to be sent, or was by a process that died
//	Lost       LostAt: the create was sent and its answer lost
//	Made       ACSUserID
//	Unsure     ACSUserID and Unsure: a change was sent, and its result is unknown
//	Missing    ACSUserID and MissingAt: Seam did not show it once
//	Contested  ACSUserID and ContestedAt: Seam showed once that its identity is another's
//	Displaced  ContestedAt and RemovedAt: its identity is another's
//	Removed    RemovedAt: somebody else deleted it
//	Removing   DeletedAt: we did
//	Aside      DeletedAt without ACSUserID: a lost create of an ACS user that is no longer wanted
//
// The mobile key goes through the first four in its own columns.
type ACSUser struct {
	ID              int64  // our own number, ascending: the order of locks
	Source          string // with ReservationID: the stay
	ReservationID   string // see Source
	ACSSystemID     string `db:"acs_system_id"` // Seam's id of the access system
	UserIdentityKey string // of the row in user_identities
	UserIdentityID  string // Seam's id. Unique per ACSSystemID: the slot that the stay claims first
	GuestKey        string // HMAC of the guest that it was created for, "" without an e-mail address

	MarkedAt       *time.Time // set right before a create call, until its result is recorded
	LostAt         *time.Time // the end of a create call without a usable answer: the ACS user may exist
	ACSUserID      *string    `db:"acs_user_id"` // nil until it is known
	MadeAt         *time.Time // when we learned its id; nil until then
	StartsAt       *time.Time // the schedule that Seam may have, the longest one while a change is unsure
	EndsAt         *time.Time // like StartsAt
	AccessGroupIDs []string   `db:"acs_access_group_ids"` // all that may be open

	CredentialID       *string    `db:"acs_credential_id"` // the mobile key, nil until it is known
	CredentialMarkedAt *time.Time // like MarkedAt
	CredentialLostAt   *time.Time // like LostAt

	Settled          bool       // read back since it last changed: no error, nothing in progress
	Subscribed       bool       // Seam reported the subscription of Salto KS
	Problem          *string    // Seam's error code of the ACS user, as last read
	RemovedAt        *time.Time // found deleted, by somebody else, or displaced
	ContestedAt      *time.Time // its identity was first found to be another's; counts when that is repeated
	SuspendedAt      *time.Time // found suspended
	DeletedAt        *time.Time // our delete was sent; the row is kept until Seam no longer has the ACS user
	DeleteLostAt     *time.Time // the answer to our last delete was lost, and Seam shows no effect, which may come late
	Unsure           bool       // a change was sent and its result is not recorded
	UnsureGeneration int64      // of the desired state that it was for: while current, it can be sent again
	ChangedAt        *time.Time // the end of our last change: reads within a read lag may be stale

	Drift             *string // found changed at Seam and left alone
	CredentialProblem *string // an error that Seam reports on the mobile key

	MissingAt           *time.Time // Seam did not show the ACS user once; counts when repeated after the read lag
	CredentialMissingAt *time.Time // the same for the mobile key
	GroupsRead          bool       `db:"doors_read"` // its access groups were read back since they were last changed

	Unkept        int16            // repairs in a row that Seam did not keep, of the part that it kept least
	UnkeptBy      map[string]int16 // the same, by the part of the ACS user (record.Part)
	DeletesInVain int16            // deletes in a row without effect

	// RevivedGeneration is that of the desired state that it was last created or unsuspended for: one request brings
	// back what somebody removed at Seam once.
	RevivedGeneration int64
	// RepairedGeneration is the same for what Seam has not kept before: one request repairs that once.
	RepairedGeneration int64

	Surplus []SurplusUser // what a lost create left in addition, until Seam no longer has it
	// acs_user_ids of other people's ACS users that were found in place of this one, or with its name: reported once,
	// and never changed
	Others []string
}

// IsAtSeam reports whether it exists at Seam as far as is known, whether or not it serves the stay.
func (u ACSUser) IsAtSeam() bool {
	return u.ACSUserID != nil && (u.RemovedAt == nil || u.IsDisplaced())
}

// IsDisplaced reports whether it exists and serves nobody: another ACS user, or another person, has its identity.
func (u ACSUser) IsDisplaced() bool {
	return u.ACSUserID != nil && isDisplaced(u.RemovedAt, u.ContestedAt)
}

// isDisplaced derives the state from the columns, as [isAtSeam] does in SQL.
func isDisplaced(removedAt, contestedAt *time.Time) bool {
	return removedAt != nil && contestedAt != nil
}

// isAtSeam is the condition that an ACS user u, as far as is known, exists at Seam: nobody removed it, or it is only
// displaced.
const isAtSeam = `(u.removed_at IS NULL OR u.contested_at IS NOT NULL)`

// SurplusUser is an ACS user that a lost create left in addition to the recorded one, with the same identity, name and
// hours.
type SurplusUser struct {
	ID        string     `json:"id"`                   // Seam's acs_user_id
	DeletedAt *time.Time `json:"deleted_at,omitempty"` // our last delete that Seam accepted, or whose result is unknown
	MissingAt *time.Time `json:"missing_at,omitempty"` // neither get nor list showed it then
	Tries     int        `json:"tries,omitempty"`      // deletes without effect, in a row
}

const userColumns = `id, source, reservation_id, acs_system_id, user_identity_key, user_identity_id, guest_key,
	marked_at, lost_at, acs_user_id, made_at, starts_at, ends_at, acs_access_group_ids, acs_credential_id,
	credential_marked_at, credential_lost_at, settled, subscribed, problem, removed_at, contested_at, suspended_at,
	deleted_at, delete_lost_at, unsure, unsure_generation, changed_at, drift, credential_problem, missing_at,
	credential_missing_at, doors_read, unkept, unkept_by, deletes_in_vain, surplus, others, revived_generation,
	repaired_generation`

// Current returns the ACS user that serves a reservation whose mobile key has this status: the newest that is not being
// deleted. A key that is issued is that of one that exists: a newer row may only be kept to look for what a lost create
// has made. users are sorted, oldest first.
func Current(users []ACSUser, keyStatus string) (current *ACSUser) {
	issued := keyStatus == KeyIssued || keyStatus == KeyActive
	for i := len(users) - 1; i >= 0; i-- {
		switch u := &users[i]; {
		case u.DeletedAt != nil:
		case u.ACSUserID != nil || !issued:
			return u
		case current == nil:
			current = u
		}
	}
	return current
}

// currentFirst orders rows u of acs_users that are not being deleted as [Current] does, for the mobile key k.
const currentFirst = `u.acs_user_id IS NULL AND k.status IN ('` + KeyIssued + `', '` + KeyActive + `'), u.id DESC`

// Of returns the rows of each reservation, oldest first.
func (s ACSUsers) Of(ctx context.Context, refs []Ref) (map[Ref][]ACSUser, error) {
	sources, ids := splitRefs(refs)
	rows, _ := s.pool.Query(ctx, `
		SELECT `+userColumns+` FROM acs_users
		WHERE (source, reservation_id) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY id`, sources, ids)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ACSUser])
	if err != nil {
		return nil, wrap(err, "read ACS users")
	}
	users := map[Ref][]ACSUser{}
	for _, u := range list {
		ref := Ref{Source: u.Source, ReservationID: u.ReservationID}
		users[ref] = append(users[ref], u)
	}
	return users, nil
}

// QueueSlot creates the row of an ACS user that is about to be created, with the mark of its create, unless another
// stay has this (access system, identity) or something newer is desired of the key than its generation onlyIf. It sets
// u.ID, to 0 if no row was created. The transaction ends with [ErrErasing] while the identity is being erased.
func QueueSlot(batch *pgx.Batch, u *ACSUser, onlyIf int64, now time.Time) {
	args := savedArgs(*u)
	args["source"], args["reservation_id"], args["guest_key"] = u.Source, u.ReservationID, u.GuestKey
	args["acs_system_id"], args["user_identity_key"], args["only_if"] = u.ACSSystemID, u.UserIdentityKey, onlyIf
	args["erased_since"] = now.Add(-EraseWithin)
	delete(args, "id")
	batch.Queue(claimSlot, args).QueryRow(func(row pgx.Row) error { return row.Scan(nil, &u.ID) })
}

var claimSlot = `
	WITH identity AS MATERIALIZED (
			SELECT coalesce(erasing_at > @erased_since, false) AS erasing
			FROM user_identities WHERE user_identity_key = @user_identity_key FOR SHARE),
		claimed AS (INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, guest_key,
				` + savedColumns.names() + `)
			SELECT @source, @reservation_id, @acs_system_id, @user_identity_key, @guest_key,
			` + savedColumns.values() + `
			FROM mobile_keys WHERE source = @source AND reservation_id = @reservation_id AND generation = @only_if
			ON CONFLICT (acs_system_id, user_identity_id) DO NOTHING RETURNING id)
	SELECT staykey_require(NOT (SELECT erasing FROM identity), '` + codeErasing + `',
		'this user identity is being erased'), coalesce((SELECT id FROM claimed), 0)`

// SlotHolder returns the stay that has this (access system, identity), or [ErrNotFound].
func (s ACSUsers) SlotHolder(ctx context.Context, acsSystemID, userIdentityID string) (holder Ref, err error) {
	err = s.pool.QueryRow(ctx, `SELECT source, reservation_id FROM acs_users WHERE acs_system_id = $1
		AND user_identity_id = $2 LIMIT 1`,
		acsSystemID, userIdentityID).Scan(&holder.Source, &holder.ReservationID)
	return holder, wrap(err, "look for the holder of a slot")
}

// columns are those that a statement writes, with their types.
type columns []struct{ name, kind string }

func (c columns) each(show func(name, kind string) string) string {
	parts := make([]string, len(c))
	for i, column := range c {
		parts[i] = show(column.name, column.kind)
	}
	return strings.Join(parts, ", ")
}

func (c columns) names() string { return c.each(func(name, _ string) string { return name }) }

func (c columns) values() string {
	return c.each(func(name, kind string) string { return "@" + name + "::" + kind })
}

func (c columns) assigned() string {
	return c.each(func(name, kind string) string { return name + " = @" + name + "::" + kind })
}

// savedColumns are those of acs_users that may change.
var savedColumns = columns{
	{"user_identity_id", "text"},
	{"marked_at", "timestamptz"},
	{"lost_at", "timestamptz"},
	{"acs_user_id", "text"},
	{"made_at", "timestamptz"},
	{"starts_at", "timestamptz"},
	{"ends_at", "timestamptz"},
	{"acs_access_group_ids", "text[]"},
	{"acs_credential_id", "text"},
	{"credential_marked_at", "timestamptz"},
	{"credential_lost_at", "timestamptz"},
	{"credential_missing_at", "timestamptz"},
	{"credential_problem", "text"},
	{"settled", "boolean"},
	{"subscribed", "boolean"},
	{"problem", "text"},
	{"missing_at", "timestamptz"},
	{"removed_at", "timestamptz"},
	{"contested_at", "timestamptz"},
	{"suspended_at", "timestamptz"},
	{"deleted_at", "timestamptz"},
	{"delete_lost_at", "timestamptz"},
	{"unsure", "boolean"},
	{"unsure_generation", "bigint"},
	{"changed_at", "timestamptz"},
	{"drift", "text"},
	{"doors_read", "boolean"},
	{"unkept", "smallint"},
	{"unkept_by", "jsonb"},
	{"deletes_in_vain", "smallint"},
	{"surplus", "jsonb"},
	{"others", "text[]"},
	{"revived_generation", "bigint"},
	{"repaired_generation", "bigint"},
}

func countsOrNone(counts map[string]int16) map[string]int16 {
	if counts == nil {
		return map[string]int16{}
	}
	return counts
}

// savedArgs are the values of savedColumns, and the row's id.
func savedArgs(u ACSUser) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"id": u.ID, "user_identity_id": u.UserIdentityID, "marked_at": u.MarkedAt, "lost_at": u.LostAt,
		"acs_user_id": u.ACSUserID, "made_at": u.MadeAt, "starts_at": u.StartsAt, "ends_at": u.EndsAt,
		"acs_access_group_ids": notNil(u.AccessGroupIDs),
		"acs_credential_id":    u.CredentialID, "credential_marked_at": u.CredentialMarkedAt,
		"credential_lost_at":    u.CredentialLostAt,
		"credential_missing_at": u.CredentialMissingAt, "credential_problem": textOrNil(u.CredentialProblem),
		"settled": u.Settled, "subscribed": u.Subscribed, "problem": textOrNil(u.Problem), "missing_at": u.MissingAt,
		"removed_at": u.RemovedAt, "contested_at": u.ContestedAt,
		"suspended_at": u.SuspendedAt, "deleted_at": u.DeletedAt, "delete_lost_at": u.DeleteLostAt,
		"unsure":            u.Unsure,
		"unsure_generation": u.UnsureGeneration,
		"changed_at":        u.ChangedAt, "drift": textOrNil(u.Drift), "doors_read": u.GroupsRead, "unkept": u.Unkept,
		"unkept_by":       countsOrNone(u.UnkeptBy),
		"deletes_in_vain": u.DeletesInVain,
		"surplus":         notNil(u.Surplus), "others": notNil(u.Others),
		"revived_generation": u.RevivedGeneration, "repaired_generation": u.RepairedGeneration,
	}
}

var saveACSUser = `UPDATE acs_users SET ` + savedColumns.assigned() + ` WHERE id = @id`

// QueueACSUser writes all columns of a row that may change, as part of a batch.
func QueueACSUser(batch *pgx.Batch, u ACSUser) { batch.Queue(saveACSUser, savedArgs(u)) }

// SaveACSUser is [QueueACSUser] at once. It returns [ErrIDTaken] if an id, or the identity's slot, is another
// reservation's.
func SaveACSUser(ctx context.Context, tx pgx.Tx, u ACSUser) error {
	err := sendOne(ctx, tx, func(batch *pgx.Batch) { QueueACSUser(batch, u) })
	if err = required(err); errors.Is(err, ErrIDTaken) {
		return err
	}
	return wrap(err, "save ACS user %d", u.ID)
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// DeleteACSUser deletes a row, which frees its slot.
func DeleteACSUser(ctx context.Context, tx pgx.Tx, id int64) error {
	_, err := tx.Exec(ctx, `DELETE FROM acs_users WHERE id = $1`, id)
	return wrap(err, "forget ACS user %d", id)
}

// TakenElsewhere returns those of the ids that rows other than except have.
func (s ACSUsers) TakenElsewhere(ctx context.Context, acsUserIDs []string, except int64) (map[string]bool, error) {
	rows, _ := s.pool.Query(ctx, `SELECT acs_user_id FROM acs_users WHERE acs_user_id = ANY ($1)
		AND id <> $2`, acsUserIDs, except)
	taken := map[string]bool{}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, id := range ids {
		taken[id] = true
	}
	return taken, wrap(err, "look who holds ACS users")
}

// RecordedUser is what a sweep compares with Seam.
type RecordedUser struct {
	ID                int64            // of the row in acs_users
	Source            string           // with ReservationID: the stay
	ReservationID     string           // see Source
	UserIdentityID    string           // Seam's id
	UserIdentityKey   string           // our key of the identity, as Seam keeps it
	IsGuests          bool             // the identity is the guest's, and not the stay's own
	ACSUserID         string           `db:"acs_user_id"` // Seam's id
	StartsAt          *time.Time       // the schedule that we set, UTC
	EndsAt            *time.Time       // like StartsAt
	AccessGroupIDs    []string         `db:"acs_access_group_ids"` // all that may be open
	CredentialID      *string          `db:"acs_credential_id"`    // the mobile key; nil while there is none
	Problem           *string          // as in [ACSUser]
	CredentialProblem *string          // as in [ACSUser]
	RemovedAt         *time.Time       // as in [ACSUser]
	ContestedAt       *time.Time       // as in [ACSUser]
	Suspended         bool             // somebody suspended it
	Drifted           bool             // Seam is known to differ from the record, and is left alone
	UnkeptBy          map[string]int16 // as in [ACSUser]
	Others            int              // how many of other people are known
}

// IsDisplaced is [ACSUser.IsDisplaced] of the row.
func (u RecordedUser) IsDisplaced() bool { return isDisplaced(u.RemovedAt, u.ContestedAt) }

// IsRemoved reports whether somebody else deleted it.
func (u RecordedUser) IsRemoved() bool { return u.RemovedAt != nil && !u.IsDisplaced() }

// Recorded returns up to limit ACS users of an access system that are recorded as existing, were not changed
// since the given time, and whose access has not ended by then, after the given row, in the order of the rows: most of
// those of a page are next to each other, so that a key costs the same however many there are.
func (s ACSUsers) Recorded(ctx context.Context, acsSystemID string, since time.Time, after int64,
	limit int,
) ([]RecordedUser, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT id, source, reservation_id, user_identity_id, user_identity_key, guest_key <> ''
			AND guest_key = user_identity_key AS is_guests, acs_user_id, starts_at, ends_at, acs_access_group_ids,
			acs_credential_id, problem, credential_problem,
			removed_at, contested_at, suspended_at IS NOT NULL AS suspended, drift IS NOT NULL AS drifted,
			unkept_by, cardinality(others) AS others
		FROM acs_users
		WHERE acs_system_id = $1 AND id > $3 AND acs_user_id IS NOT NULL AND deleted_at IS NULL
			AND NOT unsure
			AND (ends_at IS NULL OR ends_at > $2)
			AND coalesce(changed_at, made_at, 'epoch') < $2 AND coalesce(credential_marked_at, 'epoch') < $2
		ORDER BY id LIMIT $4`, acsSystemID, since, after, limit)
	users, err := pgx.CollectRows(rows, pgx.RowToStructByName[RecordedUser])
	return users, wrap(err, "read the ACS users of access system %s", acsSystemID)
}

// InUse returns the access systems on which we have ACS users, with their numbers, and those on which a removed one may
// come back, with 0.
func (s ACSSystems) InUse(ctx context.Context) (map[string]int, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT acs_system_id, sum(n) FROM (
			SELECT acs_system_id, count(*) AS n FROM acs_users WHERE acs_user_id IS NOT NULL GROUP BY 1
			UNION ALL SELECT DISTINCT acs_system_id, 0 FROM removed_acs_users) systems
		GROUP BY 1`)
	systems := map[string]int{}
	var id string
	var n int
	_, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { systems[id] = n; return nil })
	return systems, wrap(err, "count ACS users by access system")
}

// sendOne sends a batch of what queue adds to it.
func sendOne(ctx context.Context, tx pgx.Tx, queue func(*pgx.Batch)) error {
	var batch pgx.Batch
	queue(&batch)
	return tx.SendBatch(ctx, &batch).Close()
}

// CredentialOf returns the mobile key of the ACS user that serves a reservation, nil if there is none.
func CredentialOf(ctx context.Context, tx pgx.Tx, ref Ref) (*string, error) {
	rows, _ := tx.Query(ctx, `SELECT u.acs_credential_id FROM acs_users u
		JOIN mobile_keys k ON k.source = u.source AND k.reservation_id = u.reservation_id
		WHERE u.source = $1 AND u.reservation_id = $2 AND u.deleted_at IS NULL
		ORDER BY `+currentFirst+` LIMIT 1`, ref.Source, ref.ReservationID)
	found, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	if err != nil || len(found) == 0 {
		return nil, wrap(err, "mobile key of %s/%s", ref.Source, ref.ReservationID)
	}
	return found[0], nil
}
