package provisioner

import (
	"context"
	"hash/maphash"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file compares one access system with what is recorded. A sweep judges nothing and changes nothing at Seam: it
// flags keys, and an attempt compares, judges and repairs each of them. It has two halves:
//
//	read      lists the system's ACS users, credentials and members of access groups, page by page, and keeps a digest
//	          of each ACS user: a few numbers, in which ids and texts are hashes (sweep_read.go)
//	compare   reads the recorded ACS users in the order of their identities, and compares each with its digest
//
// What differs is flagged at once, and what is missing only at the end, when its share is known: if much of a system is
// gone at the same time, that is more likely Seam's trouble than so many deletions, and repairing it would create
// second keys. Such a sweep is held back and reported. Sources whose policy is to report drift are flagged in any case,
// since nothing is repaired there.
//
// Rows that changed since shortly before the sweep began are left to their own attempts: the lists may be older. If
// Seam refuses to list a system, all its keys are flagged, also those of removed ACS users. A key that is locked is
// passed over and reported.

// systemSweep compares one access system.
type systemSweep struct {
	store    *store.Store
	seam     *seam.Client
	log      *slog.Logger
	now      func() time.Time
	sealer   stay.Sealer
	policy   func(source string) pms.Policy
	wake     func()
	systemID string
	recorded int       // ACS users of ours on it
	since    time.Time // later changes are left to their own attempts
	seed     maphash.Seed
	listedIdentities

	mu       sync.Mutex
	users    map[uint64]digest // by the hash of their ids
	slots    map[uint64]int    // number of ACS users by identity and full name
	byUser   bool              // access groups are read user by user
	noKeys   bool              // Seam doesn't report whose each credential is
	linked   int               // ACS users that Seam lists with an identity
	unlisted sample            // rows whose only difference is that Seam doesn't list an identity

	sweptCodes
	listed bool // the system's ACS users were read to the end
	judged bool // what is missing was counted

	compared, different, missing, heldBack int
	suspects                               []uint64 // the identities of ACS users that this database may not know
	locked                                 error    // the error of a key that differs, but was locked and passed over
}

// unlistedAtMost is how many links are verified one by one in a sweep if Seam's list doesn't show them.
const unlistedAtMost = 20

// sample keeps a few of many rows, each with equal probability.
type sample struct {
	rows []store.RecordedUser
	of   int
}

func (s *sample) offer(row store.RecordedUser) {
	s.of++
	if len(s.rows) < unlistedAtMost {
		s.rows = append(s.rows, row)
		return
	}
	i := rand.IntN(s.of) // #nosec G404 -- which rows are sampled is no secret
	if i < unlistedAtMost {
		s.rows[i] = row
	}
}

// digest is an ACS user in a few words of memory: a system may have a hundred thousand.
type digest struct {
	starts, ends int64  // milliseconds; 0 is none
	identity     uint64 // 0: not listed
	groups       uint64 // sum of the hashes
	key          uint64 // sum of the hashes
	name         uint64 // hash of the letters of its name
	keys         uint32
	letters      uint32 // how many bytes these letters are
	renamed      bool   // its name can't be what the access system has made of ours
	suspended    bool
	problem      bool
	keyProblem   bool
	otherCode    bool // its backup code is not listed as it is recorded
}

func (s *systemSweep) hash(parts ...string) uint64 { return hashOf(s.seed, parts...) }

func hashOf(seed maphash.Seed, parts ...string) uint64 {
	return maphash.String(seed, strings.Join(parts, "\x00"))
}

// isForeign reports whether a guest's identity now has another e-mail address.
func (s *systemSweep) isForeign(row store.RecordedUser) bool {
	owner, listed := s.owners[s.hash(row.UserIdentityID)]
	return row.IsGuests && listed && owner != s.hash(row.UserIdentityKey)
}

func (s *systemSweep) run(ctx context.Context) error {
	s.users, s.slots = map[uint64]digest{}, map[uint64]int{}
	err := s.read(ctx)
	if seam.IsRefusal(err) && seam.KindOf(err) != seam.Unauthorized {
		s.log.Warn("Seam refused to list an access system; comparing its keys one by one", "acs_system_id",
			s.systemID, "error", err)
		s.judged = true // nothing is held back: each key is looked at
		return s.flagAll(ctx)
	}
	if err != nil {
		return err
	}
	point.Reach(point.SweepRead)
	var missing []store.RecordedUser
	err = s.eachPage(ctx, func(rows []store.RecordedUser) error {
		var different []store.RecordedUser
		for _, row := range rows {
			differs, gone, err := s.compare(ctx, row)
			switch {
			case err != nil:
				return err
			case gone:
				missing = append(missing, row)
			case differs:
				different = append(different, row)
			}
		}
		s.compared += len(rows)
		s.different += len(different)
		return s.flag(ctx, different)
	})
	if err != nil {
		return err
	}
	s.different += len(s.unlisted.rows)
	if err := s.flag(ctx, s.unlisted.rows); err != nil {
		return err
	}
	if err := s.flagListedAgain(ctx); err != nil {
		return err
	}
	s.missing, s.judged = len(missing), true
	sweepCompared.WithLabelValues("same").Add(float64(s.compared - s.different - s.missing))
	sweepCompared.WithLabelValues("different").Add(float64(s.different))
	sweepCompared.WithLabelValues("missing").Add(float64(s.missing))
	// If the policy is to report, a comparison repairs nothing, so missing keys are shown however many they are.
	reported, missing := s.byPolicy(missing)
	if err := s.flag(ctx, reported); err != nil {
		return err
	}
	if s.missing >= missingLeast && s.missing*missingShare > s.compared {
		s.heldBack = len(missing)
		if s.heldBack == 0 {
			return nil
		}
		s.log.Error("sweep held back: too many keys are missing at Seam at once; check the access system, then reconcile reservations by hand",
			"acs_system_id", s.systemID, "missing", s.missing, "compared", s.compared)
		return nil
	}
	return s.flag(ctx, missing)
}

// flagAll flags all keys of a system that can't be listed, also those of removed ACS users: they may be back.
func (s *systemSweep) flagAll(ctx context.Context) error {
	err := s.eachPage(ctx, func(rows []store.RecordedUser) error {
		s.compared += len(rows)
		return s.flag(ctx, rows)
	})
	if err != nil {
		return err
	}
	removed, err := s.store.ACSUsers.RemovedFrom(ctx, s.systemID, s.since)
	if err != nil {
		return err
	}
	return s.flagRefs(ctx, slices.Collect(maps.Values(removed)))
}

// byPolicy separates rows whose differences are only reported from those that are repaired.
func (s *systemSweep) byPolicy(rows []store.RecordedUser) (reported, repaired []store.RecordedUser) {
	for _, row := range rows {
		if s.policy(row.Source).Drift == pms.DriftReport {
			reported = append(reported, row)
		} else {
			repaired = append(repaired, row)
		}
	}
	return reported, repaired
}

func (s *systemSweep) eachPage(ctx context.Context, take func([]store.RecordedUser) error) error {
	after := int64(0)
	for {
		rows, err := s.store.ACSUsers.Recorded(ctx, s.systemID, s.since, after, sweepPage)
		if err != nil {
			return err
		}
		if err := s.readCodes(ctx, rows); err != nil {
			return err
		}
		if err := take(rows); err != nil {
			return err
		}
		if len(rows) < sweepPage {
			return nil
		}
		after = rows[len(rows)-1].ID
	}
}

// compare reports whether an ACS user differs from its record at Seam, and whether it or its credential is gone.
func (s *systemSweep) compare(ctx context.Context, row store.RecordedUser) (differs, gone bool, err error) {
	d, exists := s.users[s.hash(row.ACSUserID)]
	gone = row.IsRemoved()
	if gone || !exists {
		return gone && exists, !gone && !exists, nil
	}
	if s.byUser {
		if d.groups, gone, err = s.groupsOf(ctx, row.ACSUserID); gone || err != nil {
			return false, gone, err
		}
	}
	want := s.digestOf(row)
	d = s.nameOf(row, d).scheduleOf(row).knownBy(want, s.noKeys)
	d.otherCode = s.codeDiffers(row)
	if row.IsDisplaced() {
		return d.differsDisplaced(want), false, nil
	}

	if d.identity == 0 && !row.Drifted && s.fewAreLinked() {
		d.identity = want.identity
		if d == want && !s.isForeign(row) {
			s.unlisted.offer(row)
			return false, false, nil
		}
	}
	differs, gone = s.judge(row, d, want)
	return differs, gone, nil
}

// differsDisplaced reports whether an ACS user whose identity is another's opens something else than is recorded, or
// has its identity again.
func (d digest) differsDisplaced(want digest) bool {
	linkedAgain := d.identity == want.identity
	d.identity, d.renamed = want.identity, false
	return linkedAgain || d != want
}

// nameOf is d with a verdict in place of its name: whether it must be looked at. It must be if it may be restored, as
// [isRenamed] decides, and after it was restored, so that the count of tries ends.
func (s *systemSweep) nameOf(row store.RecordedUser, d digest) digest {
	if ours, tries := letters(row.ReservationID), row.UnkeptBy[string(record.Name)]; d.letters > 0 {
		d.renamed = int(d.letters) > len(ours) || d.name != s.hash(ours[:d.letters])
		if d.renamed && (tries >= record.MaxUnkept || row.Suspended && d.suspended) {
			d.renamed = false
		} else if !d.renamed && tries > 0 && !row.Drifted {
			d.renamed = true
		}
	}
	d.name, d.letters = 0, 0
	return d
}

// scheduleOf is d with the row's times if Seam doesn't show any, even after they were set again.
func (d digest) scheduleOf(row store.RecordedUser) digest {
	if row.UnkeptBy[string(record.Hours)] > 0 && d.starts == 0 && d.ends == 0 {
		d.starts, d.ends = millisOf(row.StartsAt), millisOf(row.EndsAt)
	}
	return d
}

// fewAreLinked reports whether Seam lists most ACS users without their identities: that one has none proves little.
func (s *systemSweep) fewAreLinked() bool { return s.linked <= len(s.users)/2 }

// judge decides whether what Seam shows of an ACS user differs from what it should show.
func (s *systemSweep) judge(row store.RecordedUser, d, want digest) (differs, gone bool) {
	besides := s.isForeign(row) ||
		s.slots[s.hash(row.UserIdentityID, strings.TrimSpace(row.ReservationID))] > 1+row.Others
	differs = d != want || besides
	if row.Drifted && (!differs || s.policy(row.Source).Drift == pms.DriftReport) {
		return !differs, false // it may have been repaired
	}
	if row.Drifted { // what is known to differ is not repaired now
		differs = s.leaveUnkept(row, d, want) != want || besides
	}
	gone = differs && want.keys == 1 && d.keys == 0
	return differs && !gone, gone
}

// groupsOf is the hash of an ACS user's access groups, read for it alone; gone if there is no such user.
func (s *systemSweep) groupsOf(ctx context.Context, acsUserID string) (hash uint64, gone bool, err error) {
	groups, err := s.seam.AccessGroups(ctx, acsUserID)
	if seam.KindOf(err) == seam.NotFound {
		return 0, true, nil
	}
	for _, g := range groups {
		hash += s.hash(g.ACSAccessGroupID)
	}
	return hash, false, err
}

// digestOf is the digest of what Seam should show.
func (s *systemSweep) digestOf(row store.RecordedUser) digest {
	want := digest{
		identity: s.hash(row.UserIdentityID), starts: millisOf(row.StartsAt), ends: millisOf(row.EndsAt),
		suspended: row.Suspended, problem: row.Problem != nil, keyProblem: row.CredentialProblem != nil,
	}
	for _, g := range slices.Compact(slices.Sorted(slices.Values(row.AccessGroupIDs))) {
		want.groups += s.hash(g)
	}
	if row.CredentialID != nil {
		want.keys, want.key = 1, s.hash(*row.CredentialID)
	}
	return want
}

// leaveUnkept is d with the parts that Seam has not kept after several repairs as they should be: they are known to
// differ.
func (s *systemSweep) leaveUnkept(row store.RecordedUser, d, want digest) digest {
	for p, n := range row.UnkeptBy {
		if n < record.MaxUnkept {
			continue
		}
		switch part := record.Part(p); part {
		case record.Hours:
			d.starts, d.ends = want.starts, want.ends
		case record.Name: // left by [systemSweep.nameOf]
		case record.Link:
			d.identity = want.identity
		case record.MobileKey, record.SecondKeys:
			d.keys, d.key = want.keys, want.key
		default:
			group, _ := part.Group()
			if slices.Contains(row.AccessGroupIDs, group) {
				d.groups += s.hash(group)
			} else {
				d.groups -= s.hash(group)
			}
		}
	}
	return d
}

// knownBy is d with the values that Seam doesn't report, or only rounds, replaced by the expected ones.
func (d digest) knownBy(want digest, noKeys bool) digest {
	rounded := func(a, b int64) bool { return a != 0 && b != 0 && max(a-b, b-a) < record.Rounded.Milliseconds() }
	if rounded(d.starts, want.starts) {
		d.starts = want.starts
	}
	if rounded(d.ends, want.ends) {
		d.ends = want.ends
	}
	if noKeys {
		d.keys, d.key, d.keyProblem = want.keys, want.key, want.keyProblem
	}
	return d
}

// flagListedAgain flags the keys of removed ACS users that Seam lists again.
func (s *systemSweep) flagListedAgain(ctx context.Context) error {
	removed, err := s.store.ACSUsers.RemovedFrom(ctx, s.systemID, s.since)
	if err != nil {
		return err
	}
	var refs []stay.Ref
	for id, ref := range removed {
		if _, listed := s.users[s.hash(id)]; listed {
			refs = append(refs, ref)
		}
	}
	if len(refs) > 0 {
		s.log.Warn("removed ACS users are back at Seam", "acs_system_id", s.systemID, "count", len(refs))
	}
	return s.flagRefs(ctx, refs)
}

// flag schedules a comparison of each key by an attempt.
func (s *systemSweep) flag(ctx context.Context, rows []store.RecordedUser) error {
	refs := make([]stay.Ref, len(rows))
	for i, row := range rows {
		refs[i] = stay.Ref{Source: row.Source, ReservationID: row.ReservationID}
	}
	return s.flagRefs(ctx, refs)
}

func (s *systemSweep) flagRefs(ctx context.Context, refs []stay.Ref) error {
	for refs := range slices.Chunk(refs, sweepPage) {
		switch err := s.store.Keys.Check(ctx, refs, s.now()); {
		case store.IsLockWait(err): // the others are flagged
			s.locked = err
		case err != nil:
			return err
		}
		point.Reach(point.SweepFlagged)
		s.wake()
	}
	return nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func millisOf(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return millis(*t)
}
