package main

// securityMutants are the protections of docs/security.md against people, one taken out of each.
func init() {
	mutants = append(mutants, []mutant{
		{
			name: "database kind", what: "a development start takes a production database",
			edits: []edit{{"internal/app/database_kind.go", "	case have.Kind == store.ProductionDatabase && c.Dev:\n", "	case false:\n"}},
			pkg:   "./internal/app", tests: "^TestDatabaseWithoutAKind$",
		},
		{
			name: "well-known secrets", what: "production takes the README's secrets",
			edits: []edit{{"internal/config/secrets.go", "	return secret == DevWebhookSecret || secret == DevAdminToken\n", "	return false\n"}},
			pkg:   "./internal/config", tests: "^TestConfigurationProblems$",
		},
		{
			name: "own doors", what: "a source opens whatever it names",
			edits: []edit{{"internal/provisioner/plan/desired.go", "			denied = append(denied, g)\n			continue\n", "			denied = nil\n"}},
			pkg:   "./internal/provisioner", tests: "^TestSourceOpensOnlyItsDoors$",
		},
		{
			name: "audit of doors", what: "a PUT of a listing leaves no audit entry",
			edits: []edit{{"internal/intake/admin.go", "		if err := store.QueueAudit(&writes, audit); err != nil {\n			return err\n		}\n", ""}},
			pkg:   "./internal/handlers", tests: "^TestEveryChangeIsAudited$",
		},
		{
			name: "whole addresses", what: "erase-guest takes part of an address for the whole",
			edits: []edit{{"internal/pms/mentions.go", "		if beginsAt(s[:i]) && endsAt(s[i+len(m.address):]) {\n", "		if true {\n"}},
			pkg:   "./internal/pms", tests: "^TestMentionsAreExact$",
		},
		{
			name: "decoded bodies", what: "erase-guest searches the raw bytes of JSON",
			edits: []edit{{"internal/pms/mentions.go", "	if json.Valid(content) {\n		return m.inJSON(content, nestedReadings)\n	}\n", ""}},
			pkg:   "./internal/pms", tests: "^TestMentionsAreExact$",
		},
		{
			name: "fair shares", what: "who came first keeps every connection",
			edits: []edit{{"internal/fair/fair.go", "	if len(heaviest) > mine+1 {\n", "	if false {\n"}},
			pkg:   "./internal/fair", tests: "^TestSharesHold$",
		},
		{
			name: "stalled bodies", what: "who stalls a large body keeps its turn",
			edits: []edit{{"internal/handlers/limits.go", "			turn.lost = true\n", ""}},
			pkg:   "./internal/handlers", tests: "^TestStalledBodiesGiveWay$",
		},
		{
			name: "guesses", what: "every guessed token is looked at",
			edits: []edit{{"internal/handlers/auth.go", "		if wait := a.guesses.wait(client, a.now()); wait > 0 {\n", "		if wait := a.guesses.wait(client, a.now()); wait < 0 {\n"}},
			pkg:   "./internal/handlers", tests: "^TestGuessing$",
		},
		{
			name: "foreign names", what: "a token of one source sees the names of all doors",
			edits: []edit{{"internal/admin/groups.go", "		if foreign[one.ID] {\n", "		if foreign[one.ID] && false {\n"}},
			pkg:   "./internal/handlers", tests: "^TestDoorsOfScopedTokens$",
		},
		{
			name: "streams end", what: "live updates continue after the session",
			edits: []edit{{"internal/handlers/web/live.go", "	w.endWhere(func(l *listener) bool { return l.of.Session == session })\n", ""}},
			pkg:   "./internal/handlers/web", tests: "^TestStreamsOfOneSession$",
		},
		{
			name: "plain terminals", what: "terminals get control characters",
			edits: []edit{{"cmd/server/visible.go", "		if pms.Invisible(r) {\n", "		if false {\n"}},
			pkg:   "./cmd/server", tests: "^TestVisible$",
		},
		{
			name: "redacted logs", what: "records are written as they come",
			edits: []edit{{"internal/app/logging.go", "	if _, err := io.WriteString(w.out, w.redactor.Redact(string(p))); err != nil {\n", "	if _, err := w.out.Write(p); err != nil {\n"}},
			pkg:   "./internal/app", tests: "^TestLogsAreRedacted$",
		},
		{
			name: "text in bodies", what: "a JSON text with NUL reaches the database",
			edits: []edit{{"internal/admin/replay.go", "		if !pms.IsText(text) {\n", "		if !pms.IsText(text) && false {\n"}},
			pkg:   "./internal/handlers", tests: "^TestWrongInputs$",
		},
	}...)
}
