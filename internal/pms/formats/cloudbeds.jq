module {
  "about": "Cloudbeds: official documentation and captured events, in both spellings of its keys. Reservations and guests are fetched.",
  "type": ["event"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://hotels.cloudbeds.com/api/v1.2", "auth": "header", "header": "x-api-key", "per_second": 5,
    "documents": {
      "reservation": {"path": "/getReservation?propertyID={property}&reservationID={id}", "ok": "success", "message": "message", "require": "data"},
      "guest": {"path": "/getGuest?propertyID={property}&guestID={id}", "ok": "success", "message": "message", "require": "data"}
    }
  }
};

def classes: {
  "confirmed": "confirmed", "not_confirmed": "pending", "checked_in": "checked_in", "checked_out": "checked_out",
  "canceled": "cancelled", "cancelled": "cancelled", "no_show": "no_show", "in_house": "checked_in"
};

def contact: {guest_id: (.guestID // .guestId | id), guest_email: first_nonempty(.guestEmail, .email),
  guest_name: first_nonempty(.guestName, name_of(first_nonempty(.guestFirstName, .firstName), first_nonempty(.guestLastName, .lastName))),
  guest_phone: first_nonempty(.guestCellPhone, .cellPhone, .guestPhone, .phone)};

# guestList is an object by id, or a list: PHP writes an empty object so.
def guests: .guestList | if type == "object" then to_entries | map(.value) else list end | map(select(type == "object"));

# More specific than the booking's status: a room can be checked in, checked out or cancelled on its own.
def room_class(booking): (.roomStatus | class_by(classes)) as $own
  | if $own == "other" or (booking | IN("confirmed", "checked_in", "checked_out") | not) or (booking == "checked_out" and $own == "confirmed") then booking else $own end;

# One room of a booking, which is several entries where the guest moves while the stay lasts.
def stays: map(. + {sub: (.subReservationID | id)}) | (map(select(.sub == null)) | map([.])) + (map(select(.sub != null)) | group_by(.sub));

# A booking has a key for each room. A room that is not assigned yet is a reservation that waits. It counts from its webhook: the
# document's own time of change has no zone.
def rooms(version): (.data | obj) as $r
  | ($r.status | class_by(classes)) as $class
  | ($r | guests) as $guests
  | ([$r.assigned, $r.unassigned] | any(type | IN("array", "object"))) as $told
  | ([$r.assigned, $r.unassigned] | map(if type == "object" then to_entries | map(.value) else list end) | add | map(select(type == "object"))) as $all
  # A cancel is about the whole booking; so is anything that removes a key if the rooms can't be distinguished.
  | (if ($all | length) == 0 or $class == "cancelled" or (($class | takes_away) and any($all[]; .subReservationID | type | IN("string", "number") | not))
      then [[{}]] else $all | stays end) as $rooms
  | ($rooms | length) as $several
  # The booking's other rooms are gone only if all of its rooms are identified.
  | (($class | takes_away) or ($told and all($all[]; .subReservationID | id != null))) as $rest
  | $rooms[] as $parts
  | $parts[0] as $room
  | (($guests | map(select($several > 1 and .subReservationID == $room.subReservationID))) + ($guests | map(select(.isMainGuest | is_true))) + $guests | .[0] // {}) as $guest
  | ($guest | contact) as $main
  | ($r | contact) as $booker
  | {reservation: ({
      reservation_id: ($r.reservationID | id),
      unit: ($room.subReservationID | id),
      rest: $rest,
      listing_id: ($room.roomID | room),
      # A guest who has left one room for another has not left.
      status: (if $room == {} then $class else [$parts[] | room_class($class)] | (map(select(takes_away | not)) + .)[0] end),
      pms_status: first_nonempty($room.roomStatus, $r.status),
      guest_id: ($main.guest_id // ($r.guestID | id)),
      guest_email: ($main.guest_email // $booker.guest_email),
      guest_name: ($main.guest_name // $booker.guest_name),
      guest_phone: ($main.guest_phone // $booker.guest_phone),
      guests: ($guests | map(select(.guestID != $guest.guestID and ($several == 1 or .subReservationID == $room.subReservationID)) | contact)),
      check_in: local(([$parts[].startDate | str | select(. != "")] | min) // $room.startDate // $r.startDate; null),
      check_out: local(([$parts[].endDate | str | select(. != "")] | max) // $room.endDate // $r.endDate; null),
      segments: (if ($parts | length) > 1 then [$parts[] | {listing_id: (.roomID | room), from: local(.startDate; null), until: local(.endDate; null)}] else [] end),
      gates: {paid: ($r.balance | gate_of_balance), checked_in: gate_of_check_in(if $room == {} then $class else ($room | room_class($class)) end)},
      as_of: version
    } | if $room == {} and (($class | takes_away) or ($told | not)) then keeps_room else . end)};

# A guest, in either of the documents that contain one.
def guest($id; version): (.data | obj) as $d
  | (first(($d | guests)[] | select((.guestID // .guestId | id) == $id)) // $d) | contact | {guest: (. + {guest_id: $id, version: version})};

# A document that doesn't show yet what its webhook is about comes from a lagging replica.
def lags($body): ($body.event | word) as $event
  | (.data | obj) as $r
  | def other(key): ($body | key | str | day) as $new | $new != "" and ($r | key | str | day) != $new;
  if ($event == "reservation/dates_changed" and (other(.startDate) or other(.endDate)))
      or ($event == "reservation/status_changed" and ($body.status | str) != "" and ($body.status | class_by(classes)) != ($r.status | class_by(classes)))
    then {recheck: "the PMS's document doesn't show yet what the webhook is about"} else empty end;

(.body | obj) as $body
| $body.timestamp as $version
| first_id($body | .guestID, .guestId_str, .guestId) as $guest
| if .fetched.reservation then .fetched.reservation[] | obj | rooms($version), lags($body)
  elif .fetched.guest then .fetched.guest[] | obj | guest($guest; $version)
  else $body
  | (.event | word) as $event
  | first_id(.reservationID, .reservationId_str, .reservationId) as $id
  | first_id(.propertyID_str, .propertyId_str, .propertyID, .propertyId) as $property
  | (.status | class_by(classes)) as $class
  | if ($event | IN("guest/assigned", "guest/removed", "guest/details_changed")) and $id != null then {fetch: {kind: "reservation", id: $id, reservation_id: $id, with: {property: $property}}}
    elif $event == "guest/details_changed" and $guest != null then {fetch: {kind: "guest", id: $guest, with: {property: $property}}}
    elif ($event != "" and ($event | startswith("reservation/") | not)) or $id == null then {ignore: "\(.event) is about nothing that a key depends on"}
    elif $event == "reservation/deleted" then {reservation: {reservation_id: $id, status: "cancelled", pms_status: "deleted", rest: true, version: $version}}
    elif ($event | IN("reservation/notes_changed", "reservation/custom_fields_changed")) then {ignore: "\(.event) is about nothing that a key depends on"}
    # What takes the keys of a whole booking away waits for no document.
    elif $class | takes_away then
      {reservation: {reservation_id: $id, status: $class, pms_status: .status, rest: true, version: $version}}
    else {fetch: {kind: "reservation", id: $id, reservation_id: $id, with: {property: $property}}} end
end
