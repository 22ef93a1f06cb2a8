package lang_test

import (
	"html/template"
	"testing"
	"time"

	"golang.org/x/text/language"

	"github.com/staykey/staykey/internal/lang"
)

func catalog(t *testing.T, tag, file string, foreign ...lang.Text) *lang.Catalog {
	t.Helper()
	c, err := lang.ReadCatalog(language.MustParse(tag), []byte(file), foreign)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const german = `
"Open~gate": "Erfüllt"
"{n} key|{n} keys": "{n} Schlüssel allein|{n} Schlüssel"
"{guest} has {n} key|{guest} has {n} keys": "{n} Schlüssel hat {guest}|{n} Schlüssel haben {guest}"
"<strong>{what}</strong> by {person}": "{person}: <strong>{what}</strong>"
"the key of {guest} is {state}": "Schlüssel von {guest}: {state}"
"lost": "verloren"
"{n} days": "{n} Tage"
`

func TestTexts(t *testing.T) {
	t.Parallel()
	in := catalog(t, "de", german).Locale("", lang.RegionsClock)
	english := lang.English.Locale("", lang.RegionsClock)
	for _, c := range []struct {
		reason    string
		got, want string
	}{
		{"a context isn't shown", english.T("Open~gate"), "Open"},
		{"a context tells texts apart", in.T("Open~gate"), "Erfüllt"},
		{"a text without a translation is shown in English", in.T("Close"), "Close"},
		{"its plural follows the English rules", in.T("{n} door|{n} doors", 2), "2 doors"},
		{"one", english.T("{n} key|{n} keys", 1), "1 key"},
		{"none", english.T("{n} key|{n} keys", 0), "0 keys"},
		{"one, translated", in.T("{n} key|{n} keys", 1), "1 Schlüssel allein"},
		{"values go to the places of their names", in.T("{guest} has {n} key|{guest} has {n} keys", "Ada", 3), "3 Schlüssel haben Ada"},
		{"a value is never taken for a placeholder", in.T("{guest} has {n} key|{guest} has {n} keys", "{n}", 3), "3 Schlüssel haben {n}"},
		{"numbers of five digits are grouped", in.T("{n} key|{n} keys", 12345), "12.345 Schlüssel"},
		{"and those of four are not", english.T("{n} key|{n} keys", 1001), "1001 keys"},
		{
			"a full stop of a value ends the sentence", english.T("Next check {time}.", "in 7 Min."), "Next check in 7 Min.",
		},
		{
			"and its other sentences", english.T("{what}: since {time}. {do}.", "Door", "7 Min.", "Try it"),
			"Door: since 7 Min. Try it.",
		},
		{"but nothing else", english.T("{name}.csv, {time}, {more}...", "a.", "7 Min.", "b."), "a..csv, 7 Min., b...."},
		{"without arguments, placeholders remain", english.T("{n} selected"), "{n} selected"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, not %q", c.reason, c.got, c.want)
		}
	}
}

func TestMarkup(t *testing.T) {
	t.Parallel()
	english := lang.English.Locale("", lang.RegionsClock)
	in := catalog(t, "de", german).Locale("", lang.RegionsClock)
	const link lang.Text = `<a href="{link}">{name}</a>`
	for _, c := range []struct {
		reason    string
		got, want template.HTML
	}{
		{"values are escaped", in.HTML("<strong>{what}</strong> by {person}", "<i>", `"&`), "&#34;&amp;: <strong>&lt;i&gt;</strong>"},
		{"HTML is not", in.HTML("<strong>{what}</strong> by {person}", template.HTML("<i>x</i>"), "A"), "A: <strong><i>x</i></strong>"},
		{
			"a full stop of a value ends the sentence, across the markup",
			english.HTML("<b>{door}</b>: <em>{since}</em>. {do}", "Door", "seit 7 Min.", "Try it"),
			"<b>Door</b>: <em>seit 7 Min.</em> Try it",
		},
		{"a path is an address", in.HTML(link, "/events?a=1&b=2", "x"), `<a href="/events?a=1&amp;b=2">x</a>`},
		{"a script is not", in.HTML(link, "javascript:alert(1)", "x"), `<a href="#">x</a>`},
		{"nor is another host", in.HTML(link, "//evil.example", "x"), `<a href="#">x</a>`},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, not %q", c.reason, c.got, c.want)
		}
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	in := catalog(t, "de", german, "the key of {guest} is {state}", "lost", "{n} days", "never translated").
		Locale("", lang.RegionsClock)
	for written, want := range map[string]string{
		"the key of Ada is gone": "Schlüssel von Ada: gone",
		"the key of Ada is lost": "Schlüssel von Ada: verloren", // what fills it is translated too
		"the key of  is gone":    "the key of  is gone",
		"3 days":                 "3 Tage",
		"in at most days":        "in at most days",
		"within 3 days":          "within 3 days",
		"never translated":       "never translated",
		"":                       "",
	} {
		if got := in.Foreign(written); got != want {
			t.Errorf("%q: %q, not %q", written, got, want)
		}
	}
}

// Dates and times as people of each region write them.
func TestDates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	first, second := time.Date(2026, 12, 1, 15, 4, 0, 0, time.UTC), time.Date(2027, 1, 2, 0, 30, 0, 0, time.UTC)
	month := [2]time.Time{time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)}
	weeks := [2]time.Time{time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 14, 0, 0, 0, 0, time.UTC)}
	for _, c := range []struct{ language, region, near, far, long, month, weeks, over string }{
		{
			"en", "", "Tue 1 Dec, 15:04", "Sat 2 Jan 2027, 00:30", "Tuesday 1 December", "December 2026",
			"1 – 14 December 2026", "14 December 2026 – 2 January 2027",
		},
		{
			"en", "US", "Tue, Dec 1, 3:04 pm", "Sat, Jan 2, 2027, 12:30 am", "Tuesday, December 1", "December 2026",
			"December 1 – 14, 2026", "December 14, 2026 – January 2, 2027",
		},
		{
			"es", "ES", "mar, 1 dic, 15:04", "sáb, 2 ene 2027, 00:30", "martes, 1 de diciembre", "diciembre de 2026",
			"1 – 14 de diciembre de 2026", "14 de diciembre de 2026 – 2 de enero de 2027",
		},
		{
			"es", "CO", "mar, 1 dic, 3:04 p. m.", "sáb, 2 ene 2027, 12:30 a. m.", "martes, 1 de diciembre",
			"diciembre de 2026", "1 – 14 de diciembre de 2026", "14 de diciembre de 2026 – 2 de enero de 2027",
		},
		{
			"de", "AT", "Di, 1. Dez., 15:04", "Sa, 2. Jan. 2027, 00:30", "Dienstag, 1. Dezember", "Dezember 2026",
			"1. – 14. Dezember 2026", "14. Dezember 2026 – 2. Januar 2027",
		},
		{
			"fr", "", "mar. 1er déc., 15:04", "sam. 2 janv. 2027, 00:30", "mardi 1er décembre", "décembre 2026",
			"1er – 14 décembre 2026", "14 décembre 2026 – 2 janvier 2027",
		},
		{
			"it", "", "mar 1º dic, 15:04", "sab 2 gen 2027, 00:30", "martedì 1º dicembre", "dicembre 2026",
			"1º – 14 dicembre 2026", "14 dicembre 2026 – 2 gennaio 2027",
		},
	} {
		in := lang.English.Locale(c.region, lang.RegionsClock)
		if c.language != "en" {
			in = catalog(t, c.language, "{}").Locale(c.region, lang.RegionsClock)
		}
		for what, got := range map[string][2]string{
			"this year":     {in.DayAndTime(first, now), c.near},
			"another year":  {in.DayAndTime(second, now), c.far},
			"a day's title": {in.LongDays(first, first, now), c.long},
			"a month":       {in.Period(month[0], month[1]), c.month},
			"two weeks":     {in.Period(weeks[0], weeks[1]), c.weeks},
			"two years":     {in.Period(weeks[1], second), c.over},
		} {
			if got[0] != got[1] {
				t.Errorf("%s-%s, %s: %q, not %q", c.language, c.region, what, got[0], got[1])
			}
		}
	}
}

// The person's choice of a clock wins over the region's.
func TestClocks(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 15, 4, 0, 0, time.UTC)
	for _, c := range []struct {
		region string
		clock  lang.Clock
		want   string
	}{
		{"US", lang.RegionsClock, "3:04 pm"},
		{"US", lang.Clock24, "15:04"},
		{"GB", lang.RegionsClock, "15:04"},
		{"GB", lang.Clock12, "3:04 pm"},
		{"", lang.RegionsClock, "15:04"},
	} {
		if got := lang.English.Locale(c.region, c.clock).Clock(at); got != c.want {
			t.Errorf("%s, %d: %q, not %q", c.region, c.clock, got, c.want)
		}
	}
}

func TestRegions(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"en-US,en;q=0.9": "US", "de-AT,en-AU;q=0.5": "AU", "en": "", "": "", "fr-FR": "", "en;q=0.5,en-GB": "GB",
	} {
		asked, _, err := language.ParseAcceptLanguage(header)
		if err != nil {
			t.Fatal(err)
		}
		if got := lang.RegionOf(asked, lang.English); got != want {
			t.Errorf("%q: %q, not %q", header, got, want)
		}
	}
}

// A catalog that can't be read says which one it is.
func TestCatalogsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"- a list", "\"a\": 1\n\"a\": 2"} {
		if _, err := lang.ReadCatalog(language.German, []byte(file), nil); err == nil {
			t.Errorf("%q can be read", file)
		}
	}
}
