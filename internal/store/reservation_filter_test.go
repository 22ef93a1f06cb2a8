package store_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// A filter for something that no reservation has leaves none, alone and in each order, whichever way a page is read: a
// filter that a way of reading forgot would show everything.
func TestEveryFilterFilters(t *testing.T) {
	t.Parallel()
	s, ctx := listed(t), context.Background()
	never := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range reflect.TypeFor[store.ReservationFilter]().NumField() {
		for _, order := range []store.Order{store.ByChange, store.ByCheckIn} {
			f := store.ReservationFilter{Order: order}
			field := reflect.ValueOf(&f).Elem().Field(i)
			name := reflect.TypeOf(f).Field(i).Name
			switch field.Interface().(type) {
			case string:
				field.SetString("nothing has this")
			case []string:
				if name == "Status" {
					continue // it has two values, of which both are all
				}
				field.Set(reflect.ValueOf([]string{"nothing has this"}))
			case *time.Time:
				if name == "Undated" {
					continue // no day is so late that it leaves out stays without a check-out: undated_test.go
				}
				field.Set(reflect.ValueOf(&never))
			case store.Range:
				field.Set(reflect.ValueOf(store.Range{From: &store.Bound{At: never}}))
			case store.Order:
				continue
			default:
				t.Fatalf("%s: no value of %s that matches nothing", name, field.Type())
			}

			list, err := s.Reservations.List(ctx, f, store.Cursor{}, 500)
			if err != nil || len(list) > 0 {
				t.Errorf("%s leaves %d reservations in the list: %v", name, len(list), err)
			}
			n, err := s.Reservations.Count(ctx, f, 500)
			if err != nil || n > 0 {
				t.Errorf("%s leaves %d reservations to count: %v", name, n, err)
			}
		}
	}
}
