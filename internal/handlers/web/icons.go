package web

import (
	"html/template"
	"strings"
)

// icons are the Lucide icons (ISC; static/icons/LICENSE) that pages use, by name, as HTML. They have the color and size
// of the surrounding text and are hidden from screen readers: a text next to them says what they mean.
var icons = readIcons()

func readIcons() map[string]template.HTML {
	const folder = "static/icons"
	list, err := files.ReadDir(folder)
	if err != nil {
		panic(err) // it is embedded
	}
	read := map[string]template.HTML{}
	for _, f := range list {
		name, is := strings.CutSuffix(f.Name(), ".svg")
		if !is {
			continue
		}
		text, err := files.ReadFile(folder + "/" + f.Name())
		if err != nil {
			panic(err) // it is embedded
		}
		_, shapes, _ := strings.Cut(string(text), "stroke-linejoin=\"round\"\n>")
		shapes, _, _ = strings.Cut(shapes, "</svg>")
		// #nosec G203 -- embedded
		read[name] = template.HTML(`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">` +
			strings.Join(strings.Fields(shapes), " ") + `</svg>`)
	}
	return read
}
