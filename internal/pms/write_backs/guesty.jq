module {
  "about": "Guesty: official documentation (open-api-docs.guesty.com). That reservations which older routes made answer 404 on the new ones is read from public code.",
  "quality": "documented",
  "account": {
    "url": "https://open-api.guesty.com/v1", "auth": "oauth2", "token_url": "../oauth2/token", "scopes": ["open-api"],
    "per_second": 2, "limits": [{"requests": 120, "seconds": 60}, {"requests": 5000, "seconds": 3600}]
  },
  "field": "keyCode",
  "fields": {"keyCode": {"one_line": true}, "custom:*": {}},
  "routes": ["v3", "legacy"],
  "read_back": true,
  "calls": {
    "read_v3": {"path": "/reservations-v3/{id}"},
    "read_legacy": {"path": "/reservations/{id}?fields=keyCode"},
    "notes_v3": {"method": "PUT", "path": "/reservations-v3/{id}/notes"},
    "notes_legacy": {"method": "PUT", "path": "/reservations/{id}"},
    "read_custom_v3": {"path": "/reservations-v3/{id}/custom-fields"},
    "read_custom_legacy": {"path": "/reservations/{id}/custom-fields"},
    "custom_v3": {"method": "PUT", "path": "/reservations-v3/{id}/custom-fields"},
    "custom_legacy": {"method": "PUT", "path": "/reservations/{id}/custom-fields"}
  }
};

def is_custom: .field | startswith("custom:");

def change(value): if is_custom then [{fieldId: .custom, value: value}] as $fields
    | {call: "custom_\(.route)", body: (if .route == "v3" then $fields else {customFields: $fields} end)}
  elif .route == "v3" then {call: "notes_v3", body: {notes: {keyCode: value}}}
  else {call: "notes_legacy", body: {keyCode: value}} end;

if .do == "read" then {call: (if is_custom then "read_custom_\(.route)" else "read_\(.route)" end)}
elif .do == "find" then .custom as $custom
  | if is_custom then .answer | (if type == "array" then . else obj | .customFields end) | select(type == "array")
      | {text: (first(.[] | obj | select(.fieldId == $custom) | .value | str) // "")}
    # The legacy route doesn't show notes: what an answer lacks is not known.
    else .answer | obj | first(((.notes | obj), .) | select(has("keyCode")) | {text: (.keyCode | str)}) end
elif .do == "write" then .text as $text | change($text)
else change("") end
