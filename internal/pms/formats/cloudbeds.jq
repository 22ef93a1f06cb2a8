module {
  "about": "Cloudbeds: official documentation and captured events, in both spellings of its keys. Reservations are fetched.",
  "type": ["event"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://hotels.cloudbeds.com/api/v1.2", "auth": "header", "header": "x-api-key", "per_second": 5,
    "documents": {"reservation": {"path": "/getReservation?propertyID={property}&reservationID={id}", "modified": "data.dateModified"}}
  }
};

def classes: {
  "confirmed": "confirmed", "not_confirmed": "pending", "checked_in": "checked_in", "checked_out": "checked_out",
  "canceled": "cancelled", "no_show": "no_show"
};

# A booking is one key a room. A room that is not assigned yet is none to open. Its version is the webhook's: the document's own
# time of change has no zone.
def rooms(version): (.data // {}) as $r
  | (($r.guestList // {}) | to_entries | map(.value)) as $guests
  | (if (($r.assigned // []) | length) == 0 then [{}] else $r.assigned end)
  | length as $several
  | .[] as $room
  | (($guests | map(select($several > 1 and .subReservationID == $room.subReservationID))) + ($guests | map(select(.isMainGuest))) + $guests | .[0] // {}) as $guest
  | {reservation: {
      reservation_id: $r.reservationID,
      unit: (if $several > 1 then $room.subReservationID else null end),
      rest: true,
      listing_id: $room.roomID,
      status: ($r.status | class_by(classes)),
      pms_status: $r.status,
      guest_id: ($guest.guestID // $r.guestID),
      guest_email: ($guest.guestEmail // $r.guestEmail),
      guest_name: ($guest.guestName // $r.guestName),
      guest_phone: first_said($guest.guestCellPhone, $guest.guestPhone),
      guests: ($guests | map(select(.guestID != $guest.guestID and ($several == 1 or .subReservationID == $room.subReservationID))
        | {guest_id: .guestID, guest_email: .guestEmail, guest_name: .guestName, guest_phone: first_said(.guestCellPhone, .guestPhone)})),
      check_in: local($room.startDate // $r.startDate; null),
      check_out: local($room.endDate // $r.endDate; null),
      version: version
    }};

if .fetched.reservation then .body.timestamp as $version | .fetched.reservation[] | rooms($version)
else .body
  | ((.reservationID // .reservationId) | id) as $id
  | ((.propertyID_str // .propertyId_str // .propertyID // .propertyId) | id) as $property
  | if (.event // "" | startswith("reservation/") | not) or $id == null then {ignore: "\(.event) is about nothing that a key depends on"}
    elif .event == "reservation/deleted" then {reservation: {reservation_id: $id, status: "cancelled", pms_status: "deleted", rest: true, version: .timestamp}}
    elif (.event | IN("reservation/notes_changed", "reservation/custom_fields_changed")) then {ignore: "\(.event) is about nothing that a key depends on"}
    else {fetch: {kind: "reservation", id: $id, with: {property: $property}, as_of: .timestamp}} end
end
