package web

import (
	"slices"
	"time"
)

// Which property a row belongs to. Listings of several properties may have the same name, and each row's times are in
// its own property's time zone.

// properties names the property of each row of a page.
type properties struct {
	several bool // the page shows more than one; otherwise rows don't say which
	zones   bool // rows are in different time zones, and say which
}

// propertiesOf are the properties of a page of one source, or with "" of all those that the person sees. zones are
// those of its rows; nil is UTC.
func propertiesOf(visible []string, source string, zones []*time.Location) properties {
	several := len(visible) > 1 && source == ""
	differs := func(zone *time.Location) bool { return orUTC(zone).String() != orUTC(zones[0]).String() }
	return properties{several: several, zones: several && slices.ContainsFunc(zones, differs)}
}

// Name is the name of a row's property, with its time zone where those of the page differ; "" on a page of one.
func (p properties) Name(source string, zone *time.Location) string {
	switch {
	case !p.several:
		return ""
	case p.zones:
		return source + " · " + orUTC(zone).String()
	}
	return source
}

// nameProperties names the property of each stay of a page.
func nameProperties(visible []string, source string, rows ...*stayRow) {
	zones := make([]*time.Location, len(rows))
	for i, row := range rows {
		zones[i] = row.Zone
	}
	shown := propertiesOf(visible, source, zones)
	for _, row := range rows {
		row.Property = shown.Name(row.Reservation.Source, row.Zone)
	}
}

// staysOf are the stays of all of a day's lists that the page shows.
func (t *today) staysOf() []*stayRow {
	var rows []*stayRow
	for _, group := range t.Problems {
		for i := range group.Rows {
			rows = append(rows, &group.Rows[i].stayRow)
		}
	}
	for i := range t.Stuck {
		rows = append(rows, &t.Stuck[i].stayRow)
	}
	return append(rows, pointersTo(t.Rows)...)
}

func pointersTo(rows []stayRow) []*stayRow {
	list := make([]*stayRow, len(rows))
	for i := range rows {
		list[i] = &rows[i]
	}
	return list
}
