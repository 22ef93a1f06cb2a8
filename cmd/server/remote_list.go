package main

import (
	"fmt"
	"io"
	"net/url"
	"reflect"

	"github.com/staykey/staykey/internal/handlers/rest"
)

// Commands that list something of a running service. A flag is a parameter of the list's query; its tag query names it,
// and a test names the filters that have no flag.

// parameters are those of the flags that were given.
func parameters(command any) url.Values {
	q := url.Values{}
	v := reflect.Indirect(reflect.ValueOf(command))
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("query"); name != "" && !v.Field(i).IsZero() {
			q.Set(name, fmt.Sprint(v.Field(i).Interface()))
		}
	}
	return q
}

// showList prints one page of a list: its header, a line for each item, and how to get the next page.
func showList[T any](r remote, out io.Writer, raw []byte, list rest.List[T], header string,
	line func(io.Writer, T),
) error {
	return r.show(out, raw, func(w io.Writer) {
		if len(list.Items) == 0 {
			_, _ = fmt.Fprintln(w, "no results")
			return
		}
		_, _ = fmt.Fprintln(w, header)
		for _, item := range list.Items {
			line(w, item)
		}
		if list.NextCursor != nil {
			_, _ = fmt.Fprintf(w, "\nmore: --cursor %s\n", *list.NextCursor)
		}
	})
}
