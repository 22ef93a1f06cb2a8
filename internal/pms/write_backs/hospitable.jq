module {
  "about": "Hospitable, enrichment of reservations: official documentation (developer.hospitable.com). Only partners' tokens may write (scope enrichment:write).",
  "quality": "documented",
  "account": {"url": "https://public.api.hospitable.com/v2", "auth": "bearer", "per_second": 1},
  "field": "smartlock_code",
  "fields": {"smartlock_code": {"longest": 255, "one_line": true}, "guidebook": {"longest": 255, "one_line": true}},
  "calls": {"change": {"method": "PUT", "path": "/reservations/{id}/enrichment/{field}"}}
};

if .do == "write" then {call: "change", body: {value: .text}}
elif .do == "clear" then {call: "change", body: {value: null}}
else empty end
