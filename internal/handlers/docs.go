package handlers

import (
	"bytes"
	_ "embed"
	"html/template"
	"maps"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsPage string

var docsTemplate = template.Must(template.New("docs").Parse(docsPage))

type docOperation struct {
	*huma.Operation
	Method string
	Path   string
	Codes  []string
}

// renderDocs writes the OpenAPI document as one page that loads nothing from anywhere.
func renderDocs(api *huma.OpenAPI) []byte {
	type section struct {
		Tag        string
		Operations []docOperation
	}
	var sections []section
	for _, tag := range []string{"Reservations", "Listings", "Events"} {
		s := section{Tag: tag}
		for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
			item := api.Paths[path]
			for _, o := range []docOperation{{Operation: item.Get, Method: "GET"}, {Operation: item.Put, Method: "PUT"}, {Operation: item.Post, Method: "POST"}} {
				if o.Operation != nil && slices.Contains(o.Tags, tag) {
					o.Path, o.Codes = path, slices.Sorted(maps.Keys(o.Responses))
					s.Operations = append(s.Operations, o)
				}
			}
		}
		sections = append(sections, s)
	}
	var page bytes.Buffer
	if err := docsTemplate.Execute(&page, map[string]any{"Info": api.Info, "Sections": sections}); err != nil {
		panic("the docs page can't be rendered: " + err.Error()) // a mistake in this package; any test shows it
	}
	return page.Bytes()
}
