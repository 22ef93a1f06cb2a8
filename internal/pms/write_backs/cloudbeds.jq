module {
  "about": "Cloudbeds API v1.3: official documentation (developers.cloudbeds.com, cloudbeds/openapi-specs). The custom field must exist; its length is 40 unless you set it.",
  "quality": "documented",
  "account": {"url": "https://api.cloudbeds.com/api/v1.3", "auth": "header", "header": "x-api-key", "per_second": 5},
  "fields": {"*": {}},
  "with": ["property"],
  "read_back": true,
  "calls": {
    "read": {"path": "/getReservation?propertyID={property}&reservationID={id}"},
    "change": {"method": "PUT", "path": "/putReservation", "form": true}
  }
};

def change(value): {call: "change", body: {
  propertyID: .with.property, reservationID: .id, "customFields[0][customFieldName]": .field, "customFields[0][customFieldValue]": value
}};

if .do == "read" then {call: "read"}
elif .do == "find" and (.answer | obj | .success | is_true | not) then {refused: true}
# A reservation lists its custom fields by name; one that is listed otherwise is not known.
elif .do == "find" then .field as $field | .answer.data | obj | .customFields | list
  | first(.[] | obj | select(.customFieldName == $field)) | {text: (.customFieldValue | str)}
elif .do == "write" then .text as $text | change($text)
else change("") end
