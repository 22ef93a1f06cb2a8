package simulator

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

func containsFold(search string, values ...string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return strings.Contains(strings.ToLower(v), search) })
}

// listed keeps the last lists, because the pages of a large one are requested one after another.
type listed struct {
	users       remembered[User]
	credentials remembered[Credential]
}

type remembered[T any] struct {
	query string
	list  []T
}

// recall returns the list of the previous page, unless something has changed since.
func recall[T any](s *workspace, st *State, last *remembered[T], query string, list func() []T) []T {
	if st != s.state {
		return list()
	}
	if last.list == nil || last.query != query {
		*last = remembered[T]{query, list()}
	}
	return last.list
}

// paged answers a list page by page; the cursor is the offset.
func (s *workspace) paged(r request, key string, total int, show func(int) any) answer {
	limit := cmp.Or(s.options.PageSize, 500)
	if n, ok := r["limit"].(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			limit = min(limit, int(i))
		}
	}
	from, _ := strconv.Atoi(r.text("page_cursor"))
	if s.options.ShortPages {
		limit = 1 + rand.IntN(limit) // #nosec G404 -- a simulation
	}
	to := min(from+limit, total)
	items := []any{}
	for n := min(from, total); n < to; n++ {
		items = append(items, show(n))
	}
	a := accept(key, items)
	var next any
	if to < total {
		next = strconv.Itoa(to)
	}
	a.body["pagination"] = map[string]any{"has_next_page": to < total, "next_page_cursor": next, "next_page_url": nil}
	return a
}
