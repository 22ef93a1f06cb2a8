module {
  "about": "OwnerRez API v2: a mirror of its documentation. The host defines the custom field; field is the number of its definition.",
  "quality": "derived",
  "account": {"url": "https://api.ownerrez.com/v2", "auth": "bearer", "per_second": 2, "limits": [{"requests": 300, "seconds": 300}]},
  "fields": {"*": {"number": true}},
  "read_first": true,
  "calls": {
    "read": {"path": "/fields?entity_type=booking&entity_id={id}"},
    "create": {"method": "POST", "path": "/fields"},
    "change": {"method": "PATCH", "path": "/fields/{key}"},
    "delete": {"method": "DELETE", "path": "/fields/bydefinition?field_definition_id={field}&entity_id={id}"}
  }
};

def shown: {text: (.value | str), key: .id};

if .do == "read" then {call: "read"}
elif .do == "find" and .call == "read" then .field as $field | .answer | obj | .items | select(type == "array")
  | first(.[] | obj | select((.field_definition_id | tostring) == $field) | shown) // {text: ""}
elif .do == "find" then .answer | obj | select(has("value")) | shown
elif .do == "write" and .found.key then {call: "change", key: .found.key, body: {value: .text}}
elif .do == "write" then {call: "create", body: {field_definition_id: (.field | tonumber), entity_type: "booking", entity_id: (.id | tonumber), value: .text}}
elif .found.text == "" then empty
else {call: "delete"} end
