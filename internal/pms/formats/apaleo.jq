module {
  "about": "Apaleo: official documentation (apaleo.dev). Reservations are fetched.",
  "id": "id",
  "type": ["topic", "type"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://api.apaleo.com", "auth": "oauth2", "token_url": "https://identity.apaleo.com/connect/token", "per_second": 5,
    "documents": {"reservation": {"path": "/booking/v1/reservations/{id}", "require": "id"}}
  }
};

def classes: {"Confirmed": "confirmed", "InHouse": "checked_in", "CheckedOut": "checked_out", "Canceled": "cancelled", "NoShow": "no_show"};

def reservation_types: "created", "amended", "changed", "canceled", "cancelled", "set-to-no-show", "checked-in", "checked-out", "unit-assigned", "unit-unassigned", "deleted";

def contact: obj | {guest_email: .email, guest_name: name_of(.firstName, .lastName), guest_phone: .phone};

# The units of a stay that moves while it lasts.
def segments: [.assignedUnits | list[] | obj | (.unit | room_of(.id)) as $unit | .timeRanges | list[] | obj | {listing_id: $unit, from: .from, until: .to}]
  | if length > 1 then . else [] end;

if .fetched.reservation then .fetched.reservation[] | obj | segments as $segments | {reservation: ({
    reservation_id: .id,
    listing_id: ((.unit | room_of(.id)) // (.assignedUnits | list | .[0] | obj | .unit | room_of(.id))),
    status: (.status | class_by(classes)),
    pms_status: .status,
    guests: [.additionalGuests | list[] | contact],
    check_in: .arrival,
    check_out: .departure,
    checked_in_at: (if .status == "InHouse" then .checkInTime else null end),
    segments: $segments,
    # The sign of the balance is not documented: only zero says that nothing is owed.
    gates: {paid: (.balance | obj | .amount | if . == 0 then "open" elif type == "number" then "unknown" else null end), checked_in: gate_of_check_in(.status | class_by(classes))},
    version: .modified
  } + (.primaryGuest | contact))}
else .body | obj
  | (.type | word) as $type
  # Without a topic, the type tells what it is about: only reservations have these.
  | (.topic | word | if . != "" then . elif $type | IN(reservation_types) then "reservation" else "" end) as $topic
  | (.data | obj | .entityId) as $id
  | ({"set-to-no-show": "no_show"}[$type] // ($type | end_of_stay)) as $end
  | if $topic == "system" then {ping: true}
    elif $topic != "reservation" then {ignore: "\(.topic) is about nothing that a key depends on"}
    elif $end != null then
      # What takes a key away needs no more than the id.
      {reservation: {reservation_id: $id, version: .timestamp, pms_status: .type, status: $end}}
    else {fetch: {kind: "reservation", id: $id, reservation_id: $id}} end
end
