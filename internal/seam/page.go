package seam

import (
	"context"
	"encoding/json"
	"fmt"
)

// Limits of a list that is read page by page.
const (
	maxPages   = 10_000 // 5 million items, at Seam's default page
	fullPage   = 500    // Seam's default limit: a page with so many items may not be the last
	pageCursor = "page_cursor"
)

// page is one page of a list.
type page[T any] struct {
	items   []T
	unpaged bool   // the endpoint is documented to answer everything at once
	cursor  string // of the next page, "" on the last
	broken  string // what is wrong with the pagination, "" for nothing
}

func (p *page[T]) UnmarshalJSON(b []byte) error {
	*p = page[T]{unpaged: p.unpaged}
	return json.Unmarshal(b, &p.items)
}

func (p *page[T]) check() string {
	if p.broken != "" {
		return p.broken
	}
	return checkEach(p.items)
}

// paginate takes the pagination that accompanies a list. A list counts as complete only if Seam says so, or says
// nothing and the page isn't full: with half a list, everything on the other half would seem not to exist.
func (p *page[T]) paginate(pagination json.RawMessage) {
	var out struct {
		HasNextPage *bool   `json:"has_next_page"`
		NextCursor  *string `json:"next_page_cursor"`
	}
	if len(pagination) > 0 && json.Unmarshal(pagination, &out) != nil {
		p.broken = `"pagination" of the answer has another form than documented`
		return
	}
	switch {
	case out.HasNextPage != nil && !*out.HasNextPage:
	case out.NextCursor != nil && *out.NextCursor != "":
		p.cursor = *out.NextCursor
	case out.HasNextPage != nil:
		p.broken = "the list has another page, and the answer has no cursor to it"
	case len(p.items) >= fullPage && !p.unpaged:
		p.broken = "the page is full, and the answer doesn't indicate whether it is the last"
	}
}

// list reads every page of a list into one slice.
func list[T any](ctx context.Context, c *Client, path, key string, in map[string]any) ([]T, error) {
	return collect[T](ctx, c, listing{path, key, in, false})
}

// whole reads a list that is documented to come as one page.
func whole[T any](ctx context.Context, c *Client, path, key string, in map[string]any) ([]T, error) {
	return collect[T](ctx, c, listing{path, key, in, true})
}

// listing is a question for a list.
type listing struct {
	path, key string         // of the endpoint, and of the list in its answer
	in        map[string]any // the parameters
	unpaged   bool           // the endpoint is documented to answer everything at once
}

func collect[T any](ctx context.Context, c *Client, l listing) ([]T, error) {
	var all []T
	err := pages(ctx, c, l, func(items []T) error {
		all = append(all, items...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// eachPage reads every page of a list. What take was given before a failure is part of a list, and no more.
func eachPage[T any](ctx context.Context, c *Client, path, key string, in map[string]any, take func([]T) error) error {
	return pages(ctx, c, listing{path, key, in, false}, take)
}

// pages reads every page; the other parameters stay the same between pages, as Seam asks. A list that doesn't end
// is [Lost].
func pages[T any](ctx context.Context, c *Client, l listing, take func([]T) error) error {
	seen := map[string]bool{}
	for {
		p := page[T]{unpaged: l.unpaged}
		if err := c.post(ctx, l.path, l.in, l.key, &p); err != nil {
			return err
		}
		if err := take(p.items); err != nil || p.cursor == "" {
			return err
		}
		if seen[p.cursor] || len(seen) >= maxPages {
			return &Error{
				Path: l.path, Kind: Lost,
				Message: fmt.Sprintf("the list doesn't end: its cursors repeat, or it has more than %d pages",
					maxPages),
			}
		}
		seen[p.cursor] = true
		l.in[pageCursor] = p.cursor
	}
}
