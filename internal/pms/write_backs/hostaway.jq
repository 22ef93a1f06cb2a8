module {
  "about": "Hostaway: official documentation (github.com/Hostaway/api). That fields which a PUT leaves out keep their values is how public clients use it.",
  "quality": "documented",
  "account": {
    "url": "https://api.hostaway.com/v1", "auth": "oauth2", "token_url": "accessTokens", "scopes": ["general"],
    "per_second": 1.5, "limits": [{"requests": 15, "seconds": 10}], "at_once": 2
  },
  "field": "doorCode",
  "fields": {"doorCode": {"one_line": true}, "doorCodeInstruction": {}, "hostNote": {"shared": true}, "custom:*": {"number": true}},
  "read_back": true,
  "calls": {
    "read": {"path": "/reservations/{id}"},
    "change": {"method": "PUT", "path": "/reservations/{id}"}
  }
};

def is_custom: .field | startswith("custom:");

def change(value): {call: "change", body: (
  if is_custom then {customFieldValues: [{customFieldId: (.custom | tonumber), value: value}]} else {(.field): value} end
)};

if .do == "read" then {call: "read"}
elif .do == "find" then .field as $field | .custom as $custom | is_custom as $is_custom
  | .answer | obj | if .status == "fail" then {refused: true}
    else .result | obj
      | if $is_custom then .customFieldValues | select(type == "array")
          | {text: (first(.[] | obj | select((.customFieldId | tostring) == $custom) | .value | str) // "")}
        else select(has($field)) | {text: (.[$field] | str)} end
    end
elif .do == "write" then .text as $text | change($text)
else change("") end
