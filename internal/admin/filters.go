package admin

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// A list's filters are the fields of its query (ReservationQuery, ListingQuery, EventQuery, ...), and are named nowhere
// else. Their tags say what follows:
//
//	query      the name of the parameter, for REST, the OpenAPI document and the page
//	enum, doc  as huma has them; checkEnums checks the page's values, too
//	personal   "true": the value may be a guest's. It is kept neither in a saved view nor in the audit log
//	view       "no": the page's list doesn't read it, and a saved view can't hold it
//
// So a new filter is in REST, its document, saved views and the audit log of exports without another line.

// filter is one filter of a query.
type filter struct {
	name  string
	value reflect.Value
	tag   reflect.StructTag
}

// filters are those of a query, a struct or a pointer to one, without its paging.
func filters(query any) []filter {
	v := reflect.Indirect(reflect.ValueOf(query))
	var list []filter
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if name := field.Tag.Get("query"); name != "" {
			list = append(list, filter{name, v.Field(i), field.Tag})
		}
	}
	return list
}

func (f filter) isPersonal() bool { return f.tag.Get("personal") == "true" }

// text is the filter as its parameter has it; "" if it isn't set.
func (f filter) text() string {
	switch value := f.value.Interface().(type) {
	case []string:
		return strings.Join(value, ",")
	case bool:
		if value {
			return "true"
		}
		return ""
	}
	return f.value.String()
}

// ReadFilters reads the filters of a query, such as &ReservationQuery{}, from the parameters of a page.
func ReadFilters(q url.Values, query any) {
	for _, f := range filters(query) {
		if f.tag.Get("view") == "no" {
			continue
		}
		text := strings.TrimSpace(q.Get(f.name))
		switch f.value.Kind() {
		case reflect.Slice:
			f.value.Set(reflect.ValueOf(Values(text)))
		case reflect.Bool:
			f.value.SetBool(text == "true")
		default:
			f.value.SetString(text)
		}
	}
}

// FilterNames are the names of a query's filters.
func FilterNames(query any) []string {
	var names []string
	for _, f := range filters(query) {
		names = append(names, f.name)
	}
	return names
}

// FilterValues are the values that a filter of a query can have; nil for any.
func FilterValues(query any, name string) []string {
	for _, f := range filters(query) {
		if values := f.tag.Get("enum"); f.name == name && values != "" {
			return strings.Split(values, ",")
		}
	}
	return nil
}

// auditedFilters are the filters of a query that are set, for the audit log.
func auditedFilters(query any) map[string]string {
	set := map[string]string{}
	for _, f := range filters(query) {
		if text := f.text(); text != "" && !f.isPersonal() && f.name != "sort" {
			set[f.name] = text
		}
	}
	return set
}

// viewFiltersOf are the filters that a view of a list can hold: those of its query, and what only the page reads.
func viewFiltersOf(query any, more ...string) []string {
	var names []string
	for _, f := range filters(query) {
		if !f.isPersonal() && f.tag.Get("view") != "no" {
			names = append(names, f.name)
		}
	}
	return slices.Concat(names, more)
}
