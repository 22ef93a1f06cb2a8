//go:build browser

package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// wider is by how many pixels the page is wider than the window.
const wider = `document.documentElement.scrollWidth - document.documentElement.clientWidth`

// axedIn reports whether axe looks at a page in a language other than German, in which it looks at all: at every page
// in one of them, because a look takes half a second.
func axedIn(tag string, page, pages int) bool {
	at := map[string]int{"es": 0, "fr": 1, "it": 2}
	from, known := at[tag]
	return known && page < pages && page%len(at) == from
}

// TestPageSpeaksItsLanguages chooses each language at the foot of a page, and finds it on every page, after a reload,
// in texts of the script and without a script, on a phone; and then each clock.
func TestPageSpeaksItsLanguages(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	paths := []string{
		"/", "/reservations?when=all", "/reservations/default/HX-48210", "/listings", "/doors", "/calendar", "/events",
		"/sources", "/health", "/audit",
	}
	for _, l := range []struct {
		tag      string
		says     []string // each of the paths
		selected string
		evening  string // of a 12-hour clock
	}{
		{
			"de", []string{
				"Ohne Schlüssel", "CSV herunterladen", "Soll und Ist", "Unterkünfte", "Türen festlegen", "Kalender",
				"Ereignisse", "Quellen", "Systemzustand", "Protokoll",
			}, "1 ausgewählt", "PM",
		},
		{
			"es", []string{
				"Sin llave", "Descargar CSV", "Previsto y real", "Alojamientos", "Asignar puertas", "Calendario",
				"Eventos", "Orígenes", "Estado", "Auditoría",
			}, "Seleccionadas: 1", "p. m.",
		},
		{
			"fr", []string{
				"Sans clé", "Télécharger le CSV", "Attendu et réel", "Logements", "Définir les portes", "Calendrier",
				"Événements", "Sources", "État", "Audit",
			}, "Sélection\u00a0: 1", "PM",
		},
		{
			"it", []string{
				"Senza chiave", "Scarica CSV", "Previsto ed effettivo", "Alloggi", "Imposta le porte", "Calendario",
				"Eventi", "Origini", "Stato del servizio", "Registro",
			}, "Selezionate: 1", "PM",
		},
		{
			"en", []string{
				"Without a key", "Download CSV", "Expected and actual", "Listings", "Set doors", "Calendar", "Events",
				"Sources", "Health", "Audit",
			}, "1 selected", "pm",
		},
	} {
		b.open("/sources")
		b.do(chromedp.Click(chromedp.CSS(".languages a[lang="+l.tag+"]")),
			chromedp.WaitReady(chromedp.CSS("html[lang="+l.tag+"] main")), chromedp.Reload(),
			chromedp.WaitReady(chromedp.CSS("html[lang="+l.tag+"] main")))
		widths := []int64{390} // where words have least room
		if l.tag == "de" {     // whose words are the longest
			widths = append(widths, 1280)
		}
		for _, width := range widths {
			b.do(chromedp.EmulateViewport(width, 800))
			for i, path := range paths {
				b.open(path)
				b.untilText("main", l.says[i])
				if over := ask(b, chromedp.Evaluate[float64](wider)); over > 0 {
					t.Errorf("%s in %s at %d pixels is %v pixels too wide", path, l.tag, width, over)
				}
				if l.tag == "de" || width == 390 && axedIn(l.tag, i, len(paths)) {
					b.inBothSchemesNow(fmt.Sprint(path, " in ", l.tag, " at ", width))
				}
			}
		}

		b.do(chromedp.EmulateViewport(1280, 800))
		b.open("/reservations?when=all")
		b.do(chromedp.Click(chromedp.CSS("td.pick input")))
		b.untilText("[data-count]", l.selected)
		b.scripts(false)
		b.open("/events")
		b.untilText("main", l.says[6])
		b.scripts(true)

		for hours, want := range map[string]string{
			"12": `^\d{1,2}:\d\d (am|pm|AM|PM|a\. m\.|p\. m\.)$`, "24": `^\d\d:\d\d$`,
		} {
			b.open("/clock/" + hours + "?next=/?part=arrivals")
			hourly := fmt.Sprintf(`[...document.querySelectorAll("td.in")].every((td) => new RegExp(%q).test(td.innerText.trim()))`, want)
			if !ask(b, chromedp.Evaluate[bool](`document.querySelectorAll("td.in").length > 0 && `+hourly)) {
				t.Errorf("in %s, hours of a %s-hour clock are %s", l.tag, hours,
					ask(b, chromedp.Text(chromedp.CSS("main table"))))
			}
		}
		b.open("/clock/12?next=/reservations?when=all")
		b.untilText(".stays", l.evening)
		b.open("/clock/24?next=/")
	}
}
