package admin

import (
	"context"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// This file is what HTTP needs to know of the database, so that no package of handlers but webhook imports the store.

// Answering returns the context of a request that somebody waits for from now on: its transactions wait for locks for
// a bounded time in all.
func Answering(ctx context.Context) context.Context { return store.Answering(ctx) }

// ErrorOf returns how to answer an error of a request. expected is false for one that is not a refusal: it must be
// logged, and the answer doesn't contain its text.
func ErrorOf(err error) (answer *Error, expected bool) {
	if refusal, is := IsRefusal(err); is {
		return refusal, true
	}
	if store.IsTextError(err) {
		return refuse(Invalid, "the request contains text that can't be stored: it must be UTF-8 without NUL"), true
	}
	return &Error{Kind: Unavailable, Message: databaseTrouble[store.CauseOf(err)], RetryAfter: databaseRetry}, false
}

// databaseRetry is the Retry-After of requests that failed because of the database.
const databaseRetry = 2 * time.Second

// databaseTrouble has the detail of such a problem, by the store's cause.
var databaseTrouble = map[string]string{
	store.CauseUnreachable: "the database does not answer: try again in a moment",
	store.CauseReadOnly:    "nothing was changed, because the database is read-only: point DATABASE_URL at the primary",
	store.CauseLocked:      "nothing was changed, because another transaction holds a lock: try again, or end that transaction",
	store.CauseDiskFull:    "nothing was changed, because the database's disk is full: free some space",
	store.CauseSchema:      "the schema doesn't fit this version: run staykey migrate, and check the role's privileges",
	store.CauseRefused:     "the database can't do this now: try again in a moment; the log says why",
}
