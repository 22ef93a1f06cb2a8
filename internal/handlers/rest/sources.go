package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// SourceState is a source and how it is doing.
type SourceState struct {
	Name        string         `json:"name" example:"default"`
	Format      string         `json:"format" example:"staykey"`
	Verify      string         `json:"verify" example:"standard-webhooks" doc:"How its webhooks are verified."`
	Insecure    bool           `json:"insecure" doc:"Accepts webhooks from anybody."`
	Fetch       *string        `json:"fetch" enum:"configured,missing" doc:"For a format that fetches documents: whether credentials are configured. Null for other formats."`
	WebhookPath string         `json:"webhook_path" example:"/webhooks/default"`
	WebhookURL  *string        `json:"webhook_url" doc:"URL to configure in the PMS; null while STAYKEY_PUBLIC_URL is not set. A token in the URL is not shown."`
	LastEventAt *string        `json:"last_event_at" format:"date-time" doc:"The last authentic webhook, within 35 days."`
	LastDay     map[string]int `json:"last_day" doc:"Results of webhooks in the last 24 hours: applied, superseded, ignored, rejected, duplicate, refused (not authentic)."`
	Secrets     []SecretUse    `json:"secrets" nullable:"false" doc:"Which of its secrets verified webhooks; empty if it has none."`
}

// SecretUse is how often one secret has verified a webhook.
type SecretUse struct {
	Secret        int     `json:"secret" doc:"Position among the source's secrets, from 1."`
	LastMatchedAt *string `json:"last_matched_at" format:"date-time" doc:"Null if it didn't match in 35 days: after a rotation you can remove it."`
	LastDay       int     `json:"last_day" doc:"Matches in the last 24 hours."`
}

// SourceName is the parameter that names one source.
type SourceName struct {
	Source string `path:"source" example:"default"`
}

func showSource(s admin.SourceState) SourceState {
	out := SourceState{
		Name: s.Name, Format: s.Format, Verify: s.Verify, Insecure: s.Insecure, WebhookPath: s.WebhookPath,
		WebhookURL:  stay.OrNil(s.WebhookURL),
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
		out.Secrets[i] = SecretUse{
			Secret: use.Secret, LastMatchedAt: stampOrNull(use.LastMatchedAt),
			LastDay: use.LastDay,
		}
	}
	return out
}

func (s *API) sourceOperations(api huma.API) {
	const tag = "Sources"
	huma.Register(api, described(operation("list-sources", http.MethodGet, "/v1/sources", tag, "List sources and their status"),
		"Each source's webhook address, format, when each of its secrets last matched, and counts of events. Secrets are never shown."),
		func(ctx context.Context, _ *struct{}) (*Output[List[SourceState]], error) {
			states, err := s.Admin.Sources.List(ctx)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return listOf(admin.Page[admin.SourceState]{Items: states}, showSource), nil
		})

	test := operation("test-source", http.MethodPost, "/v1/sources/{source}/test", tag,
		"Send a signed test event to a source's webhook", http.StatusForbidden, http.StatusNotFound)
	test.Description = "Sent to STAYKEY_PUBLIC_URL, like the PMS's events, or inside the process if that is not set. The event is stored and has no effect."
	huma.Register(api, test, func(ctx context.Context, in *SourceName) (*Output[admin.SourceTest], error) {
		result, err := s.Admin.Sources.Test(ctx, in.Source)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[admin.SourceTest]{result}, nil
	})

	diagnosis := operation("get-diagnosis", http.MethodGet, "/v1/diagnosis", tag, "Check the configuration",
		http.StatusForbidden)
	diagnosis.Description = "Checks the database, Seam's API key, access systems, listings' access groups, clocks, " +
		"and the webhook with a signed test event. Takes a few seconds. Not for tokens limited to some sources."
	huma.Register(api, diagnosis, func(ctx context.Context, _ *struct{}) (*Output[admin.Diagnosis], error) {
		d, err := s.Admin.Sources.Diagnose(ctx)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[admin.Diagnosis]{d}, nil
	})
}
