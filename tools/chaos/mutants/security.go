package main

// securityMutants are the protections of docs/security.md against people, one taken out of each.
func init() {
	mutants = append(mutants, []mutant{
		{
			name: "database kind", what: "a development start accepts a production database",
			edits: []edit{{
				"internal/app/database_kind.go",
				"	case have.Kind == store.ProductionDatabase && c.Dev:\n", "	case false:\n",
			}},
			pkg: "./internal/app", tests: "^TestDatabaseWithoutAKind$",
		},
		{
			name: "well-known secrets", what: "production accepts the README's secrets",
			edits: []edit{{
				"internal/config/secrets.go",
				"	return secret == DevWebhookSecret || secret == DevAdminToken\n", "	return false\n",
			}},
			pkg: "./internal/config", tests: "^TestConfigurationProblems$",
		},
		{
			name: "own doors", what: "a source opens whatever it names",
			edits: []edit{{
				"internal/provisioner/plan/desired.go",
				"			denied = append(denied, g)\n			continue\n", "			denied = nil\n",
			}},
			pkg: "./internal/provisioner", tests: "^TestSourceOpensOnlyItsDoors$",
		},
		{
			name: "audit of doors", what: "a PUT of a listing leaves no audit entry",
			edits: []edit{{
				"internal/intake/listing_settings.go",
				"	return store.QueueAudit(writes, audit)\n", "	return nil\n",
			}},
			pkg: "./internal/handlers", tests: "^TestEveryChangeIsAudited$",
		},
		{
			name: "whole addresses", what: "erase-guest takes part of an address for the whole",
			edits: []edit{{
				"internal/pms/mentions.go", "		if beginsAt(s[:i]) && endsAt(s[i+len(m.address):]) {\n",
				"		if true {\n",
			}},
			pkg: "./internal/pms", tests: "^TestMentionsAreExact$",
		},
		{
			name: "decoded bodies", what: "erase-guest searches the raw bytes of JSON",
			edits: []edit{
				{
					"internal/pms/mentions.go",
					"	if json.Valid(content) {\n		return m.inJSON(content, nestedReadings)\n	}\n", "",
				},
				{
					"internal/pms/mentions.go", " && json.Valid([]byte(s)) && m.inJSON([]byte(s), depth) {\n",
					" && json.Valid(nil) && m.inJSON([]byte(s), depth) {\n",
				},
			},
			pkg: "./internal/pms", tests: "^TestMentionsAreExact$",
		},
		{
			name: "sign-in: state", what: "any browser finishes a sign-in that another one began",
			edits: []edit{{
				"internal/sso/client.go", "	if !same(flow.State, a.State) || !flow.Until.After(c.now()) {\n",
				"	if !flow.Until.After(c.now()) {\n",
			}},
			pkg: "./internal/sso", tests: "^TestAnswersOfOtherSignIns$",
		},
		{
			name: "sign-in: nonce", what: "an ID token of another sign-in is accepted",
			edits: []edit{{
				"internal/sso/client.go", "	case !same(verified.Nonce, flow.Nonce):\n", "	case false:\n",
			}},
			pkg: "./internal/sso", tests: "^TestAnswersThatArentTrusted$",
		},
		{
			name: "sign-in: role", what: "everybody whom the identity provider knows may sign in",
			edits: []edit{{
				"internal/handlers/web/sso.go", "		Subject: session.Subject,\n	}, ok\n",
				"		Subject: session.Subject,\n	}, ok || true\n",
			}},
			pkg: "./internal/handlers", tests: "^TestSignInsThatFail$",
		},
		{
			name: "sign-in: provider", what: "a session outlives the identity provider's entry",
			edits: []edit{{
				"internal/handlers/web/sso.go",
				"	if subtle.ConstantTimeCompare(session.TokenHash, id[:]) != 1 {\n",
				"	if subtle.ConstantTimeCompare(session.TokenHash, id[:]) > 1 {\n",
			}},
			pkg: "./internal/handlers", tests: "^TestProviderSessionsEndWithTheConfiguration$",
		},
		{
			name: "sign-in: name", what: "people choose the name that is recorded with what they do",
			edits: []edit{{
				"internal/admin/actor.go", "	if person == \"\" || a.Subject != \"\" {\n", "	if person == \"\" {\n",
			}},
			pkg: "./internal/admin", tests: "^TestWhoIsTheAuthor$",
		},
		{
			name: "fair shares", what: "the first client keeps every connection",
			edits: []edit{{
				"internal/fair/fair.go", "	if heaviest.permits() > mine+1 {\n",
				"	if heaviest.permits() > mine+1 && false {\n",
			}},
			pkg: "./internal/fair", tests: "^TestSharesHold$",
		},
		{
			name: "stalled bodies", what: "a client that stalls a large body keeps its turn",
			edits: []edit{{"internal/handlers/limits.go", "			turn.lost = true\n", ""}},
			pkg:   "./internal/handlers", tests: "^TestStalledBodiesGiveWay$",
		},
		{
			name: "guesses", what: "every guessed token is checked",
			edits: []edit{{
				"internal/handlers/auth.go",
				"		if wait := a.guesses.wait(client, a.now()); wait > 0 {\n",
				"		if wait := a.guesses.wait(client, a.now()); wait < 0 {\n",
			}},
			pkg: "./internal/handlers", tests: "^TestGuessing$",
		},
		{
			name: "foreign names", what: "a token of one source sees the names of all doors",
			edits: []edit{{
				"internal/admin/groups.go", "		if foreign[one.ID] {\n",
				"		if foreign[one.ID] && false {\n",
			}},
			pkg: "./internal/handlers", tests: "^TestDoorsOfScopedTokens$",
		},
		{
			name: "streams end", what: "live updates continue after the session",
			edits: []edit{{
				"internal/handlers/web/live.go",
				"	w.endWhere(func(l *listener) bool { return l.of.Session == session })\n", "",
			}},
			pkg: "./internal/handlers/web", tests: "^TestStreamsOfOneSession$",
		},
		{
			name: "plain terminals", what: "terminals get control characters",
			edits: []edit{{"cmd/server/visible.go", "		if pms.Invisible(r) {\n", "		if false {\n"}},
			pkg:   "./cmd/server", tests: "^TestVisible$",
		},
		{
			name: "redacted logs", what: "records are written without redaction",
			edits: []edit{{
				"internal/app/logging.go",
				"	if _, err := io.WriteString(w.out, w.redactor.Redact(string(p))); err != nil {\n",
				"	if _, err := w.out.Write(p); err != nil {\n",
			}},
			pkg: "./internal/app", tests: "^TestLogsAreRedacted$",
		},
		{
			name: "hidden secrets", what: "the secrets of subscriptions may be logged",
			edits: []edit{{
				"internal/config/redact.go", "		list = append(list, subscription.Hidden()...)\n",
				"		_ = subscription\n",
			}},
			pkg: "./internal/config", tests: "^TestEverySecretIsHidden$",
		},
		{
			name: "one thing only", what: "a token that sets gates may do everything",
			edits: []edit{{
				"internal/handlers/auth.go", "	if slices.Contains(onlyRoutes[token.Only], route) {\n",
				"	if slices.Contains(onlyRoutes[token.Only], route) || true {\n",
			}},
			pkg: "./internal/handlers", tests: "^TestEveryRouteWithEveryScope$",
		},
		{
			name: "text in bodies", what: "a JSON text with NUL reaches the database",
			edits: []edit{
				{"internal/admin/replay.go", "		if !pms.IsText(text) {\n", "		if !pms.IsText(text) && false {\n"},
				{
					"internal/handlers/rest/body.go", "			if field, wrong := unstorable(body); wrong != \"\" {\n",
					"			if field, wrong := unstorable(body); wrong != \"\" && false {\n",
				},
			},
			pkg: "./internal/handlers", tests: "^TestWrongInputs$",
		},
		{
			name: "signatures", what: "a webhook's signature may be of anybody",
			edits: []edit{{
				"internal/pms/standard_webhooks.go", "	if matched == 0 || err != nil {\n",
				"	if err != nil {\n",
			}},
			pkg: "./internal/handlers", tests: "^TestContractTable$",
		},
		{
			name: "secrets in headers", what: "a secret in a header or the URL may be of anybody",
			edits: []edit{{
				"internal/pms/verify.go", "		same := subtle.ConstantTimeCompare(given[:], want[:])\n",
				"		same := subtle.ConstantTimeCompare(given[:], given[:])\n		_ = want\n",
			}},
			pkg: "./internal/pms", tests: "^TestVerifiers$",
		},
		{
			name: "foreign stays", what: "a stay's timeline names another source's stay of the same guest",
			edits: []edit{{
				"internal/provisioner/slot.go", "	if holder.Source == own.Source {\n",
				"	if holder.Source != \"\" {\n",
			}},
			pkg: "./internal/provisioner", tests: "^TestSlotTakenByAnotherSource$",
		},
		{
			name: "an admin's no", what: "a PMS gives a key back that an admin has revoked",
			edits: []edit{{
				"internal/provisioner/plan/desired.go",
				"	if d.Revoked = s.Decisions.Revoked; d.Revoked != \"\" {\n",
				"	if d.Revoked = s.Decisions.Revoked; false {\n",
			}},
			pkg: "./internal/provisioner", tests: "^TestRevokeAndReissue$",
		},
		{
			name: "size of outputs", what: "a format's program may put out as much as it likes",
			edits: []edit{{
				"internal/pms/run.go", "		if size += sizeOf(v); size > maxMapped {\n",
				"		if size += sizeOf(v); size < 0 {\n",
			}},
			pkg: "./internal/pms", tests: "^TestProgramsAreHeldToTheirBounds$",
		},
		{
			name: "redirects", what: "a PMS may send staykey to another host",
			edits: []edit{{
				"internal/pmsapi/client.go",
				"			CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirected },\n", "",
			}},
			pkg: "./internal/fetch", tests: "^TestAnswersThatAreNotTaken$",
		},
		{
			name: "ids in addresses", what: "a PMS's id may be any part of an address",
			edits: []edit{{
				"internal/pms/fetch.go", "		return url.PathEscape(value)\n",
				"		return value\n",
			}},
			pkg: "./internal/pms", tests: "^TestAddressesOfDocuments$",
		},
		{
			name: "slow clients", what: "a client may take as long as it likes",
			edits: []edit{{
				"internal/app/public.go",
				"		ReadHeaderTimeout: HeaderWithin, ReadTimeout: RequestWithin, ", "		",
			}},
			pkg: "./cmd/server", tests: "^TestSlowClientsAreCutOff$",
		},
		{
			name: "rate of a source", what: "a source may post as fast as it likes",
			edits: []edit{{
				"internal/handlers/limits.go", "	if known.limiter.AllowN(now, 1) {\n",
				"	if known.limiter.AllowN(now, 1) || true {\n",
			}},
			pkg: "./internal/handlers", tests: "^TestRateLimit$",
		},
		{
			name: "own forms", what: "a form of another site is taken",
			edits: []edit{{
				"internal/handlers/web/sign_in.go",
				"			if !hmac.Equal([]byte(r.PostFormValue(\"csrf\")), []byte(s.csrfToken(cookie))) {\n",
				"			if cookie == \"\" {\n",
			}},
			pkg: "./internal/handlers", tests: "^TestFormsMustBeOurs$",
		},
		{
			name: "own scripts", what: "pages may run any script",
			edits: []edit{{
				"internal/handlers/web/web.go", "		h.Set(\"Content-Security-Policy\", pageCSP)\n",
				"		_ = pageCSP\n",
			}},
			pkg: "./internal/handlers", tests: "^TestPagesNeedASession$",
		},
		{
			name: "cursors", what: "a cursor may be made by anybody",
			edits: []edit{{
				"internal/admin/list.go",
				" || !hmac.Equal(raw[:cursorMAC], s.cursorMAC(list, raw[cursorMAC:])) ||\n", " ||\n",
			}},
			pkg: "./internal/handlers", tests: "^TestCursorsCannotBeForged$",
		},
		{
			name: "no DDL", what: "a start changes the schema, although no migration is pending",
			edits: []edit{{
				"internal/app/database.go", "	pending, err := migrations.Pending(ctx, sqlDB)\n",
				"	if _, err := sqlDB.ExecContext(ctx, `CREATE TABLE mine (x int)`); err != nil {\n" +
					"		return err\n	}\n	pending, err := migrations.Pending(ctx, sqlDB)\n",
			}},
			pkg: "./cmd/server", tests: "^TestLeastPrivilege$",
		},
		{
			name: "drift",
			what: "what somebody else changed at Seam is changed back, though it was only to be reported",
			edits: []edit{{
				"internal/provisioner/drift.go", "u.Foreign || c.policy.Drift == pms.DriftReport //", "u.Foreign //",
			}},
			pkg: "./internal/provisioner", tests: "^TestDriftIsReported$",
		},
		{
			name: "stored proofs", what: "the header that proves the sender is stored with the body",
			edits: []edit{
				{
					"internal/pms/kept.go", " || strings.EqualFold(name, c.Header) || holdsAny(value, secrets) {\n",
					" {\n",
				},
				{"internal/pms/format.go", "			delete(r.Headers, name)\n", ""},
			},
			pkg: "./internal/handlers", tests: "^TestWhatProvesTheSenderIsNotStored$",
		},
		{
			name: "private profiles", what: "profiles are served whether or not they are wanted",
			edits: []edit{{"internal/handlers/router.go", "	if s.Profiling {\n", "	if true {\n"}},
			pkg:   "./internal/handlers", tests: "^TestProfilesArePrivate$",
		},
		{
			name: "profiles on loopback", what: "profiles are served on every address",
			edits: []edit{{
				"internal/config/load.go", "s.Profiling || isLoopback(c.OpsListen)",
				"s.Profiling || c.OpsListen != \"\"",
			}},
			pkg: "./internal/config", tests: "^TestProfilesAreForLoopback$",
		},
	}...)
}
