package main

// provisionerTests runs some of the provisioner's tests.
func provisionerTests(name, what, tests string, edits ...edit) mutant {
	return mutant{name: name, what: what, edits: edits, pkg: "./internal/provisioner", tests: "^(" + tests + ")$"}
}

func seamTests(name, what, tests string, edits ...edit) mutant {
	return mutant{name: name, what: what, edits: edits, pkg: "./internal/seam", tests: "^(" + tests + ")$"}
}

// seamMutants are the protections against what Seam may answer, or not answer.
var seamMutants = []mutant{
	provisionerTests("one 404", "an ACS user counts as deleted at the first 404", "TestOneWrongNotFoundDuringAReconcile",
		edit{"internal/provisioner/check.go", "	list, err := a.seam.ACSUsers(ctx, u.ACSSystemID, u.UserIdentityID)\n	if err", "	return from, beingGone, outcome{}\n	list, err := a.seam.ACSUsers(ctx, u.ACSSystemID, u.UserIdentityID)\n	if err"}),
	provisionerTests("refused, restored", "a refusal forgets the mark of an earlier, lost create", "TestRefusalKeepsTheMarkOfALostCreate",
		edit{"internal/provisioner/record/record.go", "		u.ACSUser = *u.undo\n", "		u.ACSUser = *u.undo\n		u.MarkedAt, u.LostAt = nil, nil\n"}),
	provisionerTests("wider window", "a lost extension counts as not made", "TestLostExtensionOfAStayThatIsOver",
		edit{"internal/provisioner/record/record.go", "	if u.EndsAt == nil || ends.After(*u.EndsAt) {\n", "	if u.EndsAt == nil {\n"}),
	provisionerTests("system's errors", "any error of an access system explains a refusal", "TestFullSiteDoesNotHideWhyACreateIsRefused",
		edit{"internal/provisioner/create.go", "	if code := system.Disconnected(); code != \"\" {\n", "	for _, e := range system.Errors {\n		code := e.ErrorCode\n"}),
	provisionerTests("refused steps", "one refused step stops those after it", "TestARefusedLinkStarvesNothing",
		edit{"internal/provisioner/attempt.go", "		if out.kind == refused && !a.endsWith(s) {\n", "		if false {\n"}),
	provisionerTests("hidden groups", "a group that Seam doesn't show is closed", "TestAGroupThatIsNotShownStaysOpen",
		edit{"internal/provisioner/directory.go", "	d.groups[groupID] = groupEntry{system: e.system, unknown: true, checkedAt: d.now()}\n", "	_ = e\n	delete(d.groups, groupID)\n"}),
	provisionerTests("whose identity", "an identity that became somebody else's is used", "TestAnIdentityThatBecameSomebodyElses",
		edit{"internal/provisioner/identity.go", "	case is.EmailAddress != \"\" && !sameAddress(is.EmailAddress, d.Email):\n		a.note(\"user identity", "	case false:\n		a.note(\"user identity"}),
	provisionerTests("stuck deletion", "a deletion that hangs is waited for whatever the guest needs", "TestAStuckDeletionLocksNobodyOut",
		edit{"internal/provisioner/retry.go", "	return a.now().Before(until)\n", "	return true\n"}),
	provisionerTests("loss and look-ups", "that a create was lost is forgotten in a crash", "TestLookUpsSurviveACrash",
		edit{"internal/store/mobile_keys.go", "		if lostAt != nil {\n			b.Queue(", "		if false {\n			b.Queue("}),
	provisionerTests("cleaning up last", "what is due of stays that are over goes before arrivals", "TestArrivalsGoBeforeCleaningUp",
		edit{"internal/store/mobile_keys.go", "rank_at = CASE WHEN over_at <= $1 THEN $3 ELSE rank_at END", "rank_at = CASE WHEN over_at <= $1 AND $3::timestamptz IS NULL THEN $3 ELSE rank_at END"}),
	provisionerTests("pinned workspace", "a workspace that can't be confirmed is provisioned", "TestAWorkspaceThatCantBeConfirmedPauses",
		edit{"internal/provisioner/admission.go", "	case err != nil && pinned != \"\":\n", "	case err != nil && pinned == \"never\":\n"}),
	provisionerTests("texts", "texts from Seam are stored as they are", "TestErrorTextsOfAllKinds",
		edit{"internal/store/text.go", "	s = strings.ReplaceAll(strings.ToValidUTF8(s, \"\\uFFFD\"), \"\\x00\", \"\\uFFFD\")\n", ""},
		edit{"internal/seam/text.go", "	return strings.ReplaceAll(strings.ToValidUTF8(s, \"\\uFFFD\"), \"\\x00\", \"\\uFFFD\")\n", "	return s\n"},
		edit{"internal/seam/answer.go", "json.Unmarshal(withoutNUL(answer), &fields)", "json.Unmarshal(answer, &fields)"}),
	provisionerTests("hold", "what is held is cleaned up at Seam", "TestHoldDuringARemoval",
		edit{"internal/provisioner/attempt.go", "	if held := a.work.Overrides.Held(); held != \"\" {\n", "	if held := a.work.Overrides.Held(); held == \"never\" {\n"}),
	provisionerTests("erasing", "an identity is erased while a new booking takes it", "TestErasingWhileTheGuestBooksAgain",
		edit{"internal/provisioner/erase.go", "	free, err := p.store.BeginErasing(ctx, key, p.now())\n", "	free, err := true, error(nil)\n"}),
	provisionerTests("merged identities", "an ACS user of a merged identity counts as unlinked", "TestMergedIdentity",
		edit{"internal/provisioner/check.go", "	u.Unlinked = !merged\n", "	u.Unlinked = true\n	_ = merged\n"}),
	provisionerTests("doors open", "a door closes although Seam refuses the new one", "TestARefusedDoorLocksNobodyOut",
		edit{"internal/provisioner/attempt.go", " || s.Kind == plan.RemoveGroup && r.step.Kind == plan.AddGroup\n", "\n"}),
	provisionerTests("missing fields", "an ACS user without a name in the answer is somebody else's", "TestOptionalFieldsThatAreMissing",
		edit{"internal/provisioner/belief.go", "made.FullName != \"\" && !sameName(made.FullName, fullName) {\n", "!sameName(made.FullName, fullName) {\n"}),
	seamTests("silent connections", "calls go on into a connection that doesn't answer", "TestSilentConnection|TestManyCallsOnASilentConnection",
		edit{"internal/seam/transport.go", "		c.current = c.open()\n", "		_ = c.open\n"},
		edit{"internal/seam/transport.go", "		SendPingTimeout:  min(timeout*3/8, 3*time.Second), // of silence\n", ""}),
	seamTests("endless lists", "a cursor that comes again is followed", "TestListsThatAreNotComplete|TestCursorsInACircle",
		edit{"internal/seam/page.go", "		if seen[p.cursor] || len(seen) >= maxPages {\n", "		if len(seen) >= maxPages {\n"}),
	seamTests("half lists", "a list that continues without a cursor is complete", "TestListsThatAreNotComplete",
		edit{"internal/seam/page.go", "		p.broken = \"the list has another page, and the answer has no cursor to it\"\n", ""}),
	seamTests("null", "null is an object without fields, and an empty list", "TestListsThatAreNotComplete",
		edit{"internal/seam/answer.go", "	if len(value) == 0 || string(value) == \"null\" {\n", "	if len(value) == 0 {\n"}),
	seamTests("Retry-After", "a pause of any length is believed", "TestRetryAfterIsBounded",
		edit{"internal/seam/answer.go", "		return time.Duration(min(seconds, longestRetryAfter.Seconds()) * float64(time.Second))\n", "		return min(time.Duration(seconds*float64(time.Second)), longestRetryAfter)\n"}),
	seamTests("redaction", "a text is cut before it is redacted", "TestRedact|TestRedactAnything",
		edit{"internal/seam/text.go", "	s = address.ReplaceAllString(storable(s), \"[e-mail]\")\n", "	s = address.ReplaceAllString(storable(cut(s, most)), \"[e-mail]\")\n"}),
}
