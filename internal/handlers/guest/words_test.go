package guest

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// No language lacks a text, has another number of values in it than English, or has forgotten to translate one.
func TestEveryLanguageHasEveryText(t *testing.T) {
	t.Parallel()
	same := map[string]bool{"FirstDay": true, "Date": true, "CheckInLabel": true}
	for _, l := range languages {
		t.Run(l.tag.String(), func(t *testing.T) {
			t.Parallel()
			reference, in := reflect.ValueOf(english), reflect.ValueOf(*l.words)
			for i := range in.NumField() {
				name := in.Type().Field(i).Name
				if in.Field(i).Kind() == reflect.Array {
					for n := range in.Field(i).Len() {
						if in.Field(i).Index(n).String() == "" {
							t.Errorf("%s[%d] is missing", name, n)
						}
					}
					continue
				}
				text, original := in.Field(i).String(), reference.Field(i).String()
				if text == "" {
					t.Errorf("%s is missing", name)
				}
				if strings.Count(text, "%s") != strings.Count(original, "%s") ||
					strings.Count(text, "%") != strings.Count(original, "%") {
					t.Errorf("%s: %q has other values than %q", name, text, original)
				}
				if l.words != &english && text == original && !same[name] {
					t.Errorf("%s is not translated: %q", name, text)
				}
			}
		})
	}
}

func TestDatesInWords(t *testing.T) {
	t.Parallel()
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2030, 11, 1, 14, 0, 0, 0, time.UTC).In(madrid)
	for _, c := range []struct{ tag, want string }{
		{"en", "Friday, 1 November 2030, 15:00"},
		{"es", "viernes, 1 de noviembre de 2030, 15:00"},
		{"de", "Freitag, 1. November 2030, 15:00 Uhr"},
		{"fr", "vendredi 1er novembre 2030 à 15:00"},
		{"it", "venerdì 1º novembre 2030, ore 15:00"},
		{"pt", "sexta-feira, 1 de novembro de 2030, 15:00"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", c.tag)
		if _, in := languageOf(r, ""); in.date(at) != c.want {
			t.Errorf("%s: %q, want %q", c.tag, in.date(at), c.want)
		}
	}
}

func TestLanguageOfRequests(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "en", "*": "en", // no preference
		"ja": "en", "nonsense;;q=": "en", // none that the page has
		"it": "it", "de-AT": "de", "fr-CH, fr;q=0.9": "fr", // a language, and a region of one
		"pt-BR,pt;q=0.9,en;q=0.8": "pt", "en-GB,de;q=0.9": "en", // the first of several
		"ca,es;q=0.8,en;q=0.5": "es", // the first that the page has
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if header != "" {
			r.Header.Set("Accept-Language", header)
		}
		if got, _ := languageOf(r, ""); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestBrandColoursCanBeRead(t *testing.T) {
	t.Parallel()
	for color, want := range map[string]string{
		"#000000": "#ffffff", "#ffffff": "#000000", "#ffd400": "#000000",
		"#0a6e5c": "#ffffff", "#777777": "#000000",
	} {
		if css := brand(color); !strings.Contains(css, "--on-brand:"+want) {
			t.Errorf("%s: %s", color, css)
		}
	}
}

// The guest's language comes before the browser's, if the page is written in it.
func TestLanguageOfGuests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ why, guests, asks, want string }{
		{"the guest's language comes before the browser's", "de", "fr", "de"},
		{"a region of a language", "de-AT", "en", "de"},
		{"a region, and a browser without a language", "pt-BR", "", "pt"},
		{"a region that is a continent", "es-419", "en", "es"},
		{"the page has no Dutch", "nl", "fr", "fr"},
		{"the page has no Catalan, and Spanish isn't guessed", "ca", "it", "it"},
		{"the page has no Japanese, and the browser has no language", "ja", "", "en"},
		{"undetermined", "und", "de", "de"},
		{"unknown", "", "it", "it"},
		{"what isn't a language tag", "no language", "es", "es"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", c.asks)
		if got, _ := languageOf(r, c.guests); got != c.want {
			t.Errorf("%s: a guest of %q who asks for %q: %s, want %s", c.why, c.guests, c.asks, got, c.want)
		}
	}
}
