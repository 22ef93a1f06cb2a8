package rows

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/store"
)

// A row that becomes a record and a row again is the same row, whichever column is set: a column that a conversion
// forgot would be overwritten with nothing at the next commit.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	var user store.ACSUser
	fill(t, &user)
	if diff := cmp.Diff(user, ACSUser(User(user).Row)); diff != "" {
		t.Errorf("an ACS user: %s", diff)
	}
	var code store.BackupCode
	fill(t, &code)
	if diff := cmp.Diff(code, BackupCode(Code(code))); diff != "" {
		t.Errorf("a backup code: %s", diff)
	}
	var identity store.UserIdentity
	fill(t, &identity)
	if diff := cmp.Diff(identity, UserIdentity(Identity(identity))); diff != "" {
		t.Errorf("a user identity: %s", diff)
	}
}

// A record has no column that the row lacks: it would be lost with each attempt.
func TestRecordsHaveNoOtherColumns(t *testing.T) {
	t.Parallel()
	columns, parts := reflect.TypeFor[store.ACSUser]().NumField(), reflect.TypeFor[record.Row]()
	n := 0
	for i := range parts.NumField() {
		n += parts.Field(i).Type.NumField()
	}
	if n != columns {
		t.Errorf("the parts of a record have %d columns, the row has %d", n, columns)
	}
}

// fill gives each field of a row a value of its own.
func fill(t *testing.T, row any) {
	t.Helper()
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		field, text := v.Field(i), v.Type().Field(i).Name
		at := time.Date(2026, 1, 1, 0, i, 0, 0, time.UTC)
		var value any
		switch field.Interface().(type) {
		case string:
			value = text
		case *string:
			value = &text
		case []string:
			value = []string{text}
		case []byte:
			value = []byte(text)
		case time.Time:
			value = at
		case *time.Time:
			value = &at
		case bool:
			value = true
		case int64:
			value = int64(i + 1)
		case int32:
			value = int32(i + 1)
		case int16:
			value = int16(i + 1)
		case map[string]int16:
			value = map[string]int16{text: 1}
		case []store.SurplusUser:
			value = []store.SurplusUser{{ID: text, DeletedAt: &at, MissingAt: &at, Tries: 1}}
		default:
			t.Fatalf("no value for %s %s", text, field.Type())
		}
		field.Set(reflect.ValueOf(value))
	}
}
