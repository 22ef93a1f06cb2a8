module {
  "about": "Beds24: official schema of its V2 booking webhook; V1 names ids only and is fetched.",
  "accepts": ["json", "query"],
  "type": ["action", "booking.status", "query:status"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://beds24.com/api/v2", "auth": "header", "header": "token", "per_second": 1,
    "documents": {"booking": {"path": "/bookings?id={id}&includeInfoItems=true", "modified": "data.modifiedTime"}}
  }
};

def classes: {
  "new": "confirmed", "confirmed": "confirmed", "checkedin": "checked_in", "checkedout": "checked_out",
  "cancelled": "cancelled", "request": "pending", "inquiry": "inquiry"
};

# A guest's own hours, as lock connectors of Beds24 have them: over 24:00 is the next day, below 0 the day before.
def booking(items): ((items // []) | map({(.code // ""): .text}) | add // {}) as $own | {reservation: {
    reservation_id: (.id | id),
    listing_id: ([.roomId, .unitId] | map(id | values) | join("/") | said),
    status: (.status | class_by(classes)),
    pms_status: .status,
    guest_email: .email,
    guest_name: name_of(.firstName, .lastName),
    guest_phone: first_said(.mobile, .phone),
    check_in: local(.arrival; $own.ACCESS_STARTTIME),
    check_out: local(.departure; $own.ACCESS_ENDTIME),
    version: .modifiedTime
  } | if .listing_id == null then del(.listing_id) else . end};

if .fetched.booking then .fetched.booking[] | (if (.data | type) == "array" then .data[] else .data end) | booking(.infoItems)
elif .query.bookid then
  if .query.status == "message" then {ignore: "a message is about nothing that a key depends on"} else {fetch: {kind: "booking", id: .query.bookid}} end
elif (.body.booking | type) != "object" then {ignore: "\(.body.action // "a webhook without a booking") is about nothing that a key depends on"}
elif .body.booking.status == "black" then {ignore: "a block of the calendar, not a stay"}
else .body | .infoItems as $items | .booking | booking($items) end
