package handlers

import (
	"context"
	"net/http"

	"github.com/staykey/staykey/internal/admin"

	"github.com/danielgtaylor/huma/v2"
)

// SourceState is a source and how it is doing.
type SourceState struct {
	Name        string         `json:"name" example:"default"`
	Format      string         `json:"format" example:"staykey"`
	Verify      string         `json:"verify" example:"standard-webhooks" doc:"How its webhooks are verified."`
	Insecure    bool           `json:"insecure" doc:"It takes webhooks from anybody."`
	Fetch       *string        `json:"fetch" enum:"configured,missing" doc:"Of a format that asks the PMS for documents: whether it has an account to do so; null of others."`
	WebhookPath string         `json:"webhook_path" example:"/webhooks/default"`
	WebhookURL  *string        `json:"webhook_url" doc:"What to give to the PMS; null while STAYKEY_PUBLIC_URL is not set. A token in the URL is not shown."`
	LastEventAt *string        `json:"last_event_at" format:"date-time" doc:"The last authentic webhook, within 35 days."`
	LastDay     map[string]int `json:"last_day" doc:"What came of webhooks within 24 hours: applied, superseded, ignored, rejected, duplicate, refused (not authentic)."`
	Secrets     []SecretUse    `json:"secrets" nullable:"false" doc:"Which of its secrets have verified webhooks; empty where it has none."`
}

// SecretUse is how often one secret has verified a webhook.
type SecretUse struct {
	Secret        int     `json:"secret" doc:"Its place among the source's secrets, from 1."`
	LastMatchedAt *string `json:"last_matched_at" format:"date-time" doc:"Null: not within 35 days; a secret of a finished rotation can be removed."`
	LastDay       int     `json:"last_day" doc:"How often within 24 hours."`
}

// SourceName is the parameter that names one source.
type SourceName struct {
	Source string `path:"source" example:"default"`
}

func showSource(s admin.SourceState) SourceState {
	out := SourceState{
		Name: s.Name, Format: s.Format, Verify: s.Verify, Insecure: s.Insecure, WebhookPath: s.WebhookPath, WebhookURL: orNil(s.WebhookURL),
		LastEventAt: stampOrNull(s.LastEventAt), LastDay: s.LastDay, Secrets: make([]SecretUse, len(s.Secrets)),
	}
	if s.NeedsFetch {
		has := "configured"
		if !s.Fetches {
			has = "missing"
		}
		out.Fetch = &has
	}
	for i, use := range s.Secrets {
		out.Secrets[i] = SecretUse{Secret: use.Secret, LastMatchedAt: stampOrNull(use.LastMatchedAt), LastDay: use.LastDay}
	}
	return out
}

func (s *server) sourceOperations(api huma.API) {
	const tag = "Sources"
	huma.Register(api, operation("list-sources", http.MethodGet, "/v1/sources", tag, "List the sources and how they are doing"),
		func(ctx context.Context, _ *struct{}) (*Output[List[SourceState]], error) {
			states, err := s.admin.Sources(ctx)
			if err != nil {
				return nil, s.problemOf(err)
			}
			return listOf(admin.Page[admin.SourceState]{Items: states}, showSource), nil
		})
	test := operation("test-source", http.MethodPost, "/v1/sources/{source}/test", tag, "Have a signed test event posted to a source's webhook", http.StatusForbidden, http.StatusNotFound)
	test.Description = "It goes to STAYKEY_PUBLIC_URL, as the PMS's would, or, while that is not set, the same way inside the process. It is stored, and nothing is made of it."
	huma.Register(api, test, func(ctx context.Context, in *SourceName) (*Output[admin.SourceTest], error) {
		result, err := s.admin.TestSource(ctx, in.Source)
		if err != nil {
			return nil, s.problemOf(err)
		}
		return &Output[admin.SourceTest]{result}, nil
	})
	diagnosis := operation("get-diagnosis", http.MethodGet, "/v1/diagnosis", tag, "Compare the configuration with the real world", http.StatusForbidden)
	diagnosis.Description = "Database, Seam's key, access systems, the access groups of listings, clocks, and the webhook by a signed test event. It takes some seconds. Not for a token of single sources."
	huma.Register(api, diagnosis, func(ctx context.Context, _ *struct{}) (*Output[admin.Diagnosis], error) {
		d, err := s.admin.Diagnose(ctx)
		if err != nil {
			return nil, s.problemOf(err)
		}
		return &Output[admin.Diagnosis]{d}, nil
	})
}
