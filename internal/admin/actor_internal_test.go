package admin

import "testing"

// The identity provider's name counts, whatever a request says; a token's user may name anybody.
func TestWhoIsTheAuthor(t *testing.T) {
	t.Parallel()
	shared := Actor{Token: Token{Name: "desk"}, Person: "Ana"}
	known := Actor{Token: Token{Name: "maria@hotel.example", Subject: "s"}, Person: "Maria Ruiz"}
	unnamed := Actor{Token: Token{Name: "sso:s", Subject: "s"}}
	for _, c := range []struct {
		actor        Actor
		person, want string
	}{
		{shared, "", "Ana (desk)"},
		{shared, "Luis", "Luis (desk)"},
		{known, "", "Maria Ruiz (maria@hotel.example)"},
		{known, "The boss", "Maria Ruiz (maria@hotel.example)"},
		{unnamed, "The boss", "sso:s"},
	} {
		if got := c.actor.Author(c.person); got != c.want {
			t.Errorf("%+v as %q: %q, not %q", c.actor, c.person, got, c.want)
		}
	}
}
