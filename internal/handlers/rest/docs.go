package rest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsPage string

//go:embed docs.css
var docsStyle []byte

var docsTemplate = template.Must(template.New("docs").Parse(docsPage))

type docOperation struct {
	*huma.Operation
	Method  string
	Path    string
	About   []template.HTML
	Request string
	Answer  string
	Codes   []string
}

type docSection struct {
	Tag        *huma.Tag
	Operations []docOperation
}

// renderDocs renders the OpenAPI document as one page that loads only its style sheet.
func renderDocs(api *huma.OpenAPI) []byte {
	var sections []docSection
	for _, tag := range api.Tags {
		s := docSection{Tag: tag}
		for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
			item := api.Paths[path]
			for _, o := range []docOperation{
				{Operation: item.Get, Method: "GET"},
				{Operation: item.Put, Method: "PUT"},
				{Operation: item.Post, Method: "POST"},
				{Operation: item.Delete, Method: "DELETE"},
			} {
				if o.Operation != nil && slices.Contains(o.Tags, tag.Name) {
					s.Operations = append(s.Operations, o.filled(path))
				}
			}
		}
		sections = append(sections, s)
	}

	var page bytes.Buffer
	if err := docsTemplate.Execute(&page, map[string]any{
		"Info": api.Info, "About": paragraphs(api.Info.Description),
		"Sections": sections,
	}); err != nil {
		panic("the docs page can't be rendered: " + err.Error()) // a mistake in this package; any test shows it
	}
	return page.Bytes()
}

func (o docOperation) filled(path string) docOperation {
	o.Path, o.Codes, o.About = path, slices.Sorted(maps.Keys(o.Responses)), paragraphs(o.Description)
	if o.RequestBody != nil {
		o.Request = exampleOf(o.RequestBody.Content)
	}
	for _, code := range o.Codes {
		if code[0] == '2' && o.Answer == "" {
			o.Answer = exampleOf(o.Responses[code].Content)
		}
	}
	return o
}

func exampleOf(content map[string]*huma.MediaType) string {
	media := content["application/json"]
	if media == nil || media.Example == nil {
		return ""
	}
	encoded, err := json.MarshalIndent(media.Example, "", "  ")
	if err != nil {
		panic("an example can't be encoded: " + err.Error()) // a mistake in this package; any test shows it
	}
	return string(encoded)
}

// paragraphs shows the little Markdown that descriptions have: paragraphs, and code between backticks.
func paragraphs(markdown string) []template.HTML {
	var list []template.HTML
	for paragraph := range strings.SplitSeq(markdown, "\n\n") {
		var b strings.Builder
		for i, part := range strings.Split(paragraph, "`") {
			part = template.HTMLEscapeString(part)
			if i%2 == 1 {
				part = "<code>" + part + "</code>"
			}
			b.WriteString(part)
		}
		if b.Len() > 0 {
			list = append(list, template.HTML(b.String())) // #nosec G203 -- our own text, escaped above
		}
	}
	return list
}
