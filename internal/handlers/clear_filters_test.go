package handlers_test

import (
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/notify"
)

// Lists offer to clear filters only where one is set: an order, a place and empty fields of the form are none.
func TestClearFilters(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.subscriptions = []admin.SubscriptionSettings{{Name: "app", Kind: notify.KindWebhook}}
	v := a.visitor()
	v.signIn(adminToken)
	for list, filter := range map[string]string{
		"/reservations": "status=confirmed", "/events": "status=rejected", "/audit": "action=put_listing",
		"/listings": "q=attic", "/subscriptions/app": "status=waiting",
	} {
		for query, want := range map[string]bool{
			"": false, "?sort=check_in&status=&q=": false, "?" + filter: true,
		} {
			if page := v.see(list + query); strings.Contains(page.body, "Clear filters") != want {
				t.Errorf("%s%s: Clear filters is shown: %v", list, query, !want)
			}
		}
	}
}
